//! What names stand for: variables and locals of the document, and the names that loops give.

use std::collections::BTreeMap;

use crate::hcl::tree::{Position, Value, ValueKind};
use crate::hcl::{Error, shortened, syntax};

use super::budget::Budget;
use super::{Fault, Outcome};

/// Evaluates the expressions of one document.
pub(in crate::hcl) struct Evaluator<'d> {
    pub(in crate::hcl) budget: Budget,
    /// Variables that have their value.
    pub(super) variables: BTreeMap<String, Value>,
    pub(super) locals: BTreeMap<String, Local<'d>>,
    /// What loops named, the innermost last.
    pub(super) frames: Vec<(String, Value)>,
    pub(super) depth: usize,
    /// Where the fragment stands that is evaluated.
    pub(super) place: Position,
}

/// A local on its way: it gets its value when it is first asked for.
pub(super) enum Local<'d> {
    Written(&'d syntax::Value<'d>),
    /// It is being evaluated: whoever asks for it now goes round in a circle.
    Begun,
    Known(Value),
}

impl<'d> Evaluator<'d> {
    pub(in crate::hcl) fn new() -> Evaluator<'d> {
        Evaluator {
            budget: Budget::new(),
            variables: BTreeMap::new(),
            locals: BTreeMap::new(),
            frames: Vec::new(),
            depth: 0,
            place: Position { line: 1, column: 1 },
        }
    }

    pub(in crate::hcl) fn set_variable(&mut self, name: &str, value: Value) {
        self.variables.insert(name.to_owned(), value);
    }

    pub(in crate::hcl) fn declare_local(&mut self, name: &str, value: &'d syntax::Value<'d>) {
        self.locals.insert(name.to_owned(), Local::Written(value));
    }

    /// Evaluates a local unless it has its value.
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
        // A local does not see the loops around the place that asks for it.
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

    /// Whether a loop or the document gives the name a meaning.
    pub(super) fn knows(&self, name: &str) -> bool {
        matches!(name, "var" | "local") || self.frames.iter().any(|(known, _)| known == name)
    }

    /// What a name alone stands for.
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
            _ => Err(Self::unknown_name(name)),
        }
    }

    /// Does something in which a loop's names stand for a key and a value.
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

    /// Does something in which a name stands for a value.
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

/// The refusal of a variable or local that the document does not have.
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
