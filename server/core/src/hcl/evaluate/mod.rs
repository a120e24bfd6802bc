//! Evaluates expressions. An external crate parses them; the evaluator is our own, so that every step and byte is
//! counted and limited.

mod access;
mod budget;
mod call;
mod chance;
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
use super::{Error, HCL_DEEP_EVALUATION_DEPTH_MAX, HCL_EVALUATION_DEPTH_MAX, shortened};
use std::collections::BTreeMap;

/// Steps charged for a large stack.
const STEPS_OF_A_STACK: usize = 4096;

/// Error in an expression.
#[derive(Debug)]
pub(in crate::hcl) enum Fault {
    /// A message, and the byte offset in the expression that it is about.
    Told { offset: Option<usize>, text: String },
    /// An error with its own position, such as that of a failed local.
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
    /// Returns the message without the position.
    pub(super) fn into_text(self) -> String {
        match self {
            Fault::Told { text, .. } => text,
            Fault::Placed(error) => error.to_string(),
        }
    }

    /// Sets the offset to the start of `part`, unless a more exact one is set.
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
    /// Evaluates a fragment of the document.
    pub(super) fn fragment(&mut self, fragment: &Fragment<'_>) -> Result<Value, Error> {
        // Charge for parsing: loops parse their fragments again in each iteration.
        self.budget.steps(fragment.text().len()).map_err(|fault| fragment.place(fault))?;
        fragment.check()?;
        if fragment.is_deep() && !self.on_large_stack {
            self.budget.steps(STEPS_OF_A_STACK).map_err(|fault| fragment.place(fault))?;
            self.on_large_stack = true;
            let value = fragment.on_large_stack(|| self.fragment_here(fragment));
            self.on_large_stack = false;
            return value;
        }
        self.fragment_here(fragment)
    }

    /// Evaluates a fragment, which was checked, on this stack.
    fn fragment_here(&mut self, fragment: &Fragment<'_>) -> Result<Value, Error> {
        let position = fragment.position();
        let parsed = fragment.parse_here()?;
        let outer = std::mem::replace(&mut self.place, position);
        let kind = match &parsed {
            Parsed::Expression(expression) if fragment.is_interpolation() => {
                self.within_template(|evaluator| evaluator.expression(expression, fragment.text()))
            }
            Parsed::Expression(expression) => self.expression(expression, fragment.text()),
            Parsed::Template(template) => self.template(template, fragment.text()),
        };
        self.place = outer;
        match kind {
            Ok(kind) => Ok(Value { kind, position }),
            Err(fault) => Err(fragment.place(fault)),
        }
    }

    /// Evaluates an expression of the text `source`.
    fn expression(&mut self, expression: &Expression, source: &str) -> Outcome {
        self.budget.steps(1)?;
        self.deeper(|evaluator| {
            evaluator.expression_at_depth(expression, source).map_err(|fault| fault.within(expression))
        })
    }

    /// Runs `inner` one nesting level deeper.
    pub(super) fn deeper<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let depth_max =
            if self.on_large_stack { HCL_DEEP_EVALUATION_DEPTH_MAX } else { HCL_EVALUATION_DEPTH_MAX };
        if self.depth >= depth_max {
            let text =
                format!("expressions and the locals in them are nested deeper than {depth_max} levels");
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

    /// Creates a value at the position of the current fragment.
    fn here(&self, kind: ValueKind) -> Value {
        Value { kind, position: self.place }
    }

    /// Creates an object with sorted members.
    fn object_of(&mut self, members: BTreeMap<String, ValueKind>) -> Outcome {
        let position = self.place;
        let member = |(key, kind)| Member { key, position, value: Value { kind, position } };
        self.checked(ValueKind::Object(members.into_iter().map(member).collect()))
    }

    /// Returns the value unless it is nested too deeply.
    fn checked(&mut self, kind: ValueKind) -> Outcome {
        self.budget.check(&kind)?;
        Ok(kind)
    }

    /// Returns the error for an unknown name.
    fn unknown_name(name: &str) -> Fault {
        format!("`{}` is not a value; words stand in quotes", shortened(name)).into()
    }
}
