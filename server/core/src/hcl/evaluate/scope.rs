//! Scopes: the document's variables and locals, and the names bound by loops.

use std::collections::BTreeMap;

use crate::hcl::tree::{Position, Value, ValueKind};
use crate::hcl::{Error, shortened, syntax};

use super::budget::Budget;
use super::chance::Chance;
use super::{Fault, Outcome};

/// Evaluates the expressions of one document.
pub(in crate::hcl) struct Evaluator<'d> {
    pub(in crate::hcl) budget: Budget,
    /// Variables with their values.
    pub(super) variables: BTreeMap<String, Value>,
    pub(super) locals: BTreeMap<String, Local<'d>>,
    /// Names bound by loops, innermost last.
    pub(super) frames: Vec<(String, Value)>,
    pub(super) depth: usize,
    /// Position of the fragment being evaluated.
    pub(super) place: Position,
    /// Whether the evaluation runs on a large stack.
    pub(super) on_large_stack: bool,
    /// Whether a `${…}` or `%{…}` is being evaluated.
    pub(super) in_template: bool,
    /// Whether the content of a free-form block is being evaluated, in which nothing is expanded.
    pub(in crate::hcl) in_free_form: bool,
    /// What is drawn by chance; `None` where every evaluation has to yield the same.
    pub(super) chance: Option<Chance>,
}

/// A local, evaluated on first use.
pub(super) enum Local<'d> {
    Written(&'d syntax::Value<'d>),
    /// Being evaluated; a reference to it now is circular.
    Begun,
    Known(Value),
}

impl<'d> Evaluator<'d> {
    /// Creates an evaluator that draws what comes by chance from `seed`; without one, nothing does.
    pub(in crate::hcl) fn new(seed: Option<u128>) -> Evaluator<'d> {
        Evaluator {
            budget: Budget::new(),
            variables: BTreeMap::new(),
            locals: BTreeMap::new(),
            frames: Vec::new(),
            depth: 0,
            place: Position { line: 1, column: 1 },
            on_large_stack: false,
            in_template: false,
            in_free_form: false,
            chance: seed.map(Chance::new),
        }
    }

    pub(in crate::hcl) fn set_variable(&mut self, name: &str, value: Value) {
        self.variables.insert(name.to_owned(), value);
    }

    pub(in crate::hcl) fn declare_local(&mut self, name: &str, value: &'d syntax::Value<'d>) {
        self.locals.insert(name.to_owned(), Local::Written(value));
    }

    /// Evaluates a local unless it has been evaluated already.
    pub(in crate::hcl) fn ensure_local(&mut self, name: &str) -> Result<(), Fault> {
        let written = match self.locals.get_mut(name) {
            None => return Err(unknown("local", name, self.locals.keys(), &mut self.budget)),
            Some(Local::Known(_)) => return Ok(()),
            Some(Local::Begun) => {
                return Err(format!("`local.{}` is made from itself", shortened(name)).into());
            }
            Some(local) => match std::mem::replace(local, Local::Begun) {
                Local::Written(written) => written,
                Local::Begun | Local::Known(_) => return Ok(()),
            },
        };
        // The loops around a reference to a local are not in the local's scope.
        let frames = std::mem::take(&mut self.frames);
        let value = self.deeper(|evaluator| evaluator.value(written).map_err(Fault::Placed));
        self.frames = frames;
        let (local, outcome) = match value {
            Ok(mut value) => {
                super::normalise(&mut value);
                (Local::Known(value), Ok(()))
            }
            Err(fault) => (Local::Written(written), Err(fault)),
        };
        self.locals.insert(name.to_owned(), local);
        outcome
    }

    /// Whether the name is `var`, `local` or bound by a loop.
    pub(super) fn knows(&self, name: &str) -> bool {
        matches!(name, "var" | "local") || self.frames.iter().any(|(known, _)| known == name)
    }

    /// Returns the value of a bare name.
    pub(super) fn variable(&mut self, name: &str) -> Outcome {
        if let Some((_, value)) = self.frames.iter().rev().find(|(known, _)| known == name) {
            self.budget.copy(&value.kind)?;
            return Ok(value.kind.clone());
        }
        match name {
            "var" => {
                for value in self.variables.values() {
                    self.budget.copy(&value.kind)?;
                }
                let all = self.variables.iter();
                let members = all.map(|(name, value)| (name.clone(), value.kind.clone())).collect();
                self.object_of(members)
            }
            "local" => Err("a local is named: `local.name`".into()),
            // A lone word outside of templates is more likely a string without quotes.
            _ if self.in_template || name.starts_with("NOMAD_") => self.reference(name),
            _ => Err(Self::unknown_name(name)),
        }
    }

    /// Returns the text that stands for a value which only the node knows: the reference itself, as in Nomad. Operators
    /// and functions see that text, not the value.
    pub(super) fn reference(&mut self, written: &str) -> Outcome {
        self.budget.bytes(written.len())?;
        Ok(ValueKind::Text(format!("${{{written}}}")))
    }

    /// Runs `inner` inside a template.
    pub(super) fn within_template<T>(&mut self, inner: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.in_template, true);
        let outcome = inner(self);
        self.in_template = outer;
        outcome
    }

    /// Runs `inner` with a loop's names bound to a key and a value.
    pub(super) fn with_frame<T>(
        &mut self,
        key_name: Option<&str>,
        value_name: &str,
        key: ValueKind,
        value: ValueKind,
        inner: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let outer = self.frames.len();
        if let Some(name) = key_name {
            self.frames.push((name.to_owned(), self.here(key)));
        }
        self.frames.push((value_name.to_owned(), self.here(value)));
        let outcome = inner(self);
        self.frames.truncate(outer);
        outcome
    }

    /// Runs `inner` with a name bound to a value.
    pub(in crate::hcl) fn with_name<T>(
        &mut self,
        name: &str,
        value: Value,
        inner: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.frames.push((name.to_owned(), value));
        let outcome = inner(self);
        self.frames.pop();
        outcome
    }
}

/// Returns the error for an undeclared variable or local.
pub(super) fn unknown<'n>(
    root: &str,
    name: &str,
    known: impl Iterator<Item = &'n String>,
    budget: &mut Budget,
) -> Fault {
    let what = if root == "var" { "variable" } else { "local" };
    match budget.hint(name, &format!("{root}."), known.map(String::as_str)) {
        Ok(hint) => format!("there is no {what} `{}` here{hint}", shortened(name)).into(),
        Err(spent) => spent,
    }
}
