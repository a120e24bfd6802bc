//! Function calls.

use hcl::edit::Span;
use hcl::edit::expr::{Expression, FuncCall};

use crate::hcl::shortened;
use crate::hcl::tree::{Member, Position, Value, ValueKind};

use super::budget::Budget;
use super::chance::Chance;
use super::functions::{self, Function};
use super::types::Type;
use super::values::{self, Number};
use super::{Evaluator, Fault, Outcome};

/// Function call with evaluated arguments.
pub(super) struct Call<'b> {
    name: &'static str,
    arguments: Vec<ValueKind>,
    pub(super) budget: &'b mut Budget,
    pub(super) place: Position,
    chance: Option<&'b mut Chance>,
}

impl Evaluator<'_> {
    pub(super) fn call(&mut self, call: &FuncCall, source: &str) -> Outcome {
        let name = call.name.name.as_str();
        if call.name.is_namespaced() {
            return Err(
                format!("functions have no `::` in their names, and `{}` has", shortened(name)).into()
            );
        }
        match name {
            "try" | "can" => return self.attempt(name, call, source),
            "convert" => return self.convert(call, source),
            _ => {}
        }
        let function = functions::find(name, &mut self.budget)?;
        let mut arguments = Vec::with_capacity(call.args.len());
        for argument in call.args.iter() {
            arguments.push(self.expression(argument, source)?);
        }
        if call.args.expand_final()
            && let Some(last) = arguments.pop()
        {
            let items = values::to_list(last, "the argument before `...`")?;
            arguments.extend(items.into_iter().map(|item| item.kind));
        }
        check_count(function, arguments.len())?;
        let mut call = Call {
            name: function.name,
            arguments,
            budget: &mut self.budget,
            place: self.place,
            chance: self.chance.as_mut(),
        };
        let kind = (function.body)(&mut call)?;
        self.checked(kind)
    }

    /// `try(…)` returns the first argument that evaluates without error; `can(…)` whether its argument does.
    fn attempt(&mut self, name: &str, call: &FuncCall, source: &str) -> Outcome {
        if name == "can" {
            let [argument] = arguments::<1>(call, "can")?;
            return Ok(ValueKind::Flag(self.expression(argument, source).is_ok()));
        }
        let mut last = None;
        for argument in call.args.iter() {
            match self.expression(argument, source) {
                Ok(kind) => return Ok(kind),
                Err(fault) => last = Some(fault),
            }
        }
        Err(last.unwrap_or_else(|| "`try` wants one argument at least".into()))
    }

    /// `convert(value, type)`
    fn convert(&mut self, call: &FuncCall, source: &str) -> Outcome {
        let [value, wanted] = arguments::<2>(call, "convert")?;
        let wanted = Type::read(wanted)?;
        let kind = self.expression(value, source)?;
        let value = self.here(kind);
        self.budget.copy(&value.kind)?;
        wanted.convert(value).map(|value| value.kind).map_err(|fault| fault.within(call))
    }
}

fn arguments<'c, const COUNT: usize>(
    call: &'c FuncCall,
    name: &str,
) -> Result<[&'c Expression; COUNT], Fault> {
    let given: Vec<&Expression> = call.args.iter().collect();
    let found = given.len();
    given.try_into().map_err(|_| {
        let fault: Fault = format!("`{name}` wants {COUNT} arguments, and has {found}").into();
        Fault::Told { offset: call.span().map(|span| span.start), text: fault.into_text() }
    })
}

fn check_count(function: &Function, count: usize) -> Result<(), Fault> {
    let Function { name, least, most, .. } = *function;
    if count >= least && most.is_none_or(|most| count <= most) {
        return Ok(());
    }
    let wanted = match most {
        Some(most) if most == least => format!("{least}"),
        Some(most) => format!("{least} to {most}"),
        None => format!("{least} or more"),
    };
    Err(format!("`{name}` wants {wanted} arguments, and has {count}").into())
}

impl Call<'_> {
    fn what(&self, at: usize) -> String {
        format!("argument {} of `{}`", at + 1, self.name)
    }

    pub(super) fn count(&self) -> usize {
        self.arguments.len()
    }

    /// Returns an error about the argument at `at`.
    pub(super) fn refuse<T>(&self, at: usize, sentence: &str) -> Result<T, Fault> {
        Err(format!("{} {sentence}", self.what(at)).into())
    }

    /// Takes the argument at `at`; null if absent.
    pub(super) fn take(&mut self, at: usize) -> ValueKind {
        self.arguments
            .get_mut(at)
            .map_or(ValueKind::Null, |argument| std::mem::replace(argument, ValueKind::Null))
    }

    /// Takes all arguments.
    pub(super) fn all(&mut self) -> Vec<ValueKind> {
        std::mem::take(&mut self.arguments)
    }

    pub(super) fn text(&mut self, at: usize) -> Result<String, Fault> {
        match self.take(at) {
            ValueKind::Text(text) => Ok(text),
            other => values::to_text(&other, &self.what(at)),
        }
    }

    pub(super) fn number(&mut self, at: usize) -> Result<Number, Fault> {
        values::to_number(&self.take(at), &self.what(at))
    }

    pub(super) fn integer(&mut self, at: usize) -> Result<i64, Fault> {
        values::to_integer(&self.take(at), &self.what(at))
    }

    pub(super) fn list(&mut self, at: usize) -> Result<Vec<Value>, Fault> {
        values::to_list(self.take(at), &self.what(at))
    }

    pub(super) fn object(&mut self, at: usize) -> Result<Vec<Member>, Fault> {
        values::to_object(self.take(at), &self.what(at))
    }

    /// Reads the argument at `at` as a list of strings.
    pub(super) fn texts(&mut self, at: usize) -> Result<Vec<String>, Fault> {
        let what = format!("every item of {}", self.what(at));
        self.list(at)?.iter().map(|item| values::to_text(&item.kind, &what)).collect()
    }

    /// Charges for a newly made text and returns it as a value.
    pub(super) fn made(&mut self, text: String) -> Outcome {
        self.budget.bytes(text.len())?;
        Ok(ValueKind::Text(text))
    }

    /// Draws 16 bytes by chance.
    pub(super) fn draw(&mut self) -> Result<[u8; 16], Fault> {
        match &mut self.chance {
            Some(chance) => Ok(chance.draw()),
            None => Err(format!("`{}` comes by chance, and there is no seed for it here", self.name).into()),
        }
    }

    pub(super) fn value(&self, kind: ValueKind) -> Value {
        Value { kind, position: self.place }
    }

    pub(super) fn text_value(&self, text: String) -> Value {
        self.value(ValueKind::Text(text))
    }

    pub(super) fn member(&self, key: String, kind: ValueKind) -> Member {
        Member { key, position: self.place, value: self.value(kind) }
    }
}
