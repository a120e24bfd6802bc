//! Evaluates expressions: the maintained crate reads them, the walk over what it read is our own,
//! because only so every step and every byte of it can be counted and bounded.

mod access;
mod budget;
mod call;
mod functions;
mod loops;
mod operators;
mod scope;
mod template;
pub(super) mod types;
mod values;

pub(super) use scope::Evaluator;
pub(super) use template::is_runtime_reference;
pub(super) use values::normalise;

use hcl::edit::Span;
use hcl::edit::expr::{Conditional, Expression, Object, ObjectKey};

use super::fragment::{Fragment, Parsed};
use super::tree::{Member, Value, ValueKind};
use super::{Error, HCL_EVALUATION_DEPTH_MAX, shortened};
use std::collections::BTreeMap;

/// What is wrong with an expression.
#[derive(Debug)]
pub(in crate::hcl) enum Fault {
    /// A sentence, and the byte of the expression that it is about.
    Told { offset: Option<usize>, text: String },
    /// Something with a place of its own: a local whose value cannot be had.
    Placed(Error),
}

impl From<String> for Fault {
    fn from(text: String) -> Fault {
        Fault::Told { offset: None, text }
    }
}

impl From<&str> for Fault {
    fn from(text: &str) -> Fault {
        Fault::from(text.to_owned())
    }
}

impl Fault {
    /// What it says, without its place.
    pub(super) fn into_text(self) -> String {
        match self {
            Fault::Told { text, .. } => text,
            Fault::Placed(error) => error.to_string(),
        }
    }

    /// The same about a part of the expression, unless it names a smaller one.
    fn within(self, part: &impl Span) -> Fault {
        match self {
            Fault::Told { offset: None, text } => {
                Fault::Told { offset: part.span().map(|span| span.start), text }
            }
            placed => placed,
        }
    }
}

type Outcome = Result<ValueKind, Fault>;

impl Evaluator<'_> {
    /// The value of a fragment of the document.
    pub(super) fn fragment(&mut self, fragment: &Fragment<'_>) -> Result<Value, Error> {
        let position = fragment.position();
        // Reading costs time for every byte, and within loops it is done again and again.
        self.budget.steps(fragment.text().len()).map_err(|fault| fragment.place(fault))?;
        let parsed = fragment.parse()?;
        let outer = std::mem::replace(&mut self.place, position);
        let kind = match &parsed {
            Parsed::Expression(expression) => self.expression(expression, fragment.text()),
            Parsed::Template(template) => self.template(template, fragment.text()),
        };
        self.place = outer;
        match kind {
            Ok(kind) => Ok(Value { kind, position }),
            Err(fault) => Err(fragment.place(fault)),
        }
    }

    /// The value of an expression that stands in the text `source`.
    fn expression(&mut self, expression: &Expression, source: &str) -> Outcome {
        self.budget.steps(1)?;
        self.deeper(|evaluator| {
            evaluator.expression_at_depth(expression, source).map_err(|fault| fault.within(expression))
        })
    }

    /// Does something that may nest, one level deeper.
    pub(super) fn deeper<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.depth >= HCL_EVALUATION_DEPTH_MAX {
            let text = format!(
                "expressions and the locals in them are nested deeper than {HCL_EVALUATION_DEPTH_MAX} levels"
            );
            return Err(text.into());
        }
        self.depth += 1;
        let outcome = inner(self);
        self.depth -= 1;
        outcome
    }

    fn expression_at_depth(&mut self, expression: &Expression, source: &str) -> Outcome {
        match expression {
            Expression::Null(_) => Ok(ValueKind::Null),
            Expression::Bool(flag) => Ok(ValueKind::Flag(**flag)),
            Expression::Number(number) => values::from_number(number.value()),
            Expression::String(text) => {
                self.budget.bytes(text.len())?;
                Ok(ValueKind::Text(text.value().clone()))
            }
            Expression::Array(items) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items.iter() {
                    let kind = self.expression(item, source)?;
                    list.push(self.here(kind));
                }
                self.checked(ValueKind::List(list))
            }
            Expression::Object(object) => self.object(object, source),
            Expression::StringTemplate(template) => self.string_template(template, source),
            Expression::HeredocTemplate(heredoc) => self.template(&heredoc.template, source),
            Expression::Parenthesis(parenthesis) => self.expression(parenthesis.inner(), source),
            Expression::Variable(name) => self.variable(name.as_str()),
            Expression::Conditional(conditional) => self.conditional(conditional, source),
            Expression::FuncCall(call) => self.call(call, source),
            Expression::Traversal(traversal) => self.traversal(traversal, source),
            Expression::UnaryOp(operation) => self.unary(operation, source),
            Expression::BinaryOp(operation) => self.binary(operation, source),
            Expression::ForExpr(expression) => self.for_expression(expression, source),
        }
    }

    fn object(&mut self, object: &Object, source: &str) -> Outcome {
        let mut members = BTreeMap::new();
        for (key, value) in object.iter() {
            let name = match key {
                ObjectKey::Ident(name) => name.as_str().to_owned(),
                ObjectKey::Expression(key) => {
                    let name = self.expression(key, source)?;
                    values::to_text(&name, "the key of an object").map_err(|fault| fault.within(key))?
                }
            };
            self.budget.bytes(name.len())?;
            let kind = self.expression(value.expr(), source)?;
            members.insert(name, kind);
        }
        self.object_of(members)
    }

    fn conditional(&mut self, conditional: &Conditional, source: &str) -> Outcome {
        let condition = self.expression(&conditional.cond_expr, source)?;
        let holds = values::to_flag(&condition, "the condition before `?`")
            .map_err(|fault| fault.within(&conditional.cond_expr))?;
        let chosen = if holds { &conditional.true_expr } else { &conditional.false_expr };
        self.expression(chosen, source)
    }

    /// A value at the place of the expression that is evaluated.
    fn here(&self, kind: ValueKind) -> Value {
        Value { kind, position: self.place }
    }

    /// An object with its members in order.
    fn object_of(&mut self, members: BTreeMap<String, ValueKind>) -> Outcome {
        let position = self.place;
        let member = |(key, kind)| Member { key, position, value: Value { kind, position } };
        self.checked(ValueKind::Object(members.into_iter().map(member).collect()))
    }

    /// The value, unless it is nested deeper than a value may be.
    fn checked(&mut self, kind: ValueKind) -> Outcome {
        self.budget.check(&kind)?;
        Ok(kind)
    }

    /// The refusal of a name that stands for nothing.
    fn unknown_name(name: &str) -> Fault {
        format!("`{}` is not a value; words stand in quotes", shortened(name)).into()
    }
}
