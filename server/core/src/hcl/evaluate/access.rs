//! Access to parts of a value: `.name`, `[index]` and the splats `.*` and `[*]`.

use hcl::edit::Span;
use hcl::edit::expr::{Expression, Traversal, TraversalOperator};

use crate::hcl::shortened;
use crate::hcl::tree::{Member, Value, ValueKind};

use super::budget::Budget;
use super::scope::{Evaluator, Local, unknown};
use super::{Fault, Outcome, values};

/// One step of an access path.
enum Step {
    Name(String),
    Index(ValueKind),
    /// `.*`: only the names directly after it are looked up in each item.
    Names,
    /// `[*]`: all further steps are looked up in each item.
    Everything,
}

impl Evaluator<'_> {
    pub(super) fn traversal(&mut self, traversal: &Traversal, source: &str) -> Outcome {
        let mut steps = Vec::with_capacity(traversal.operators.len());
        for operator in &traversal.operators {
            self.budget.steps(1)?;
            steps.push(match operator.value() {
                TraversalOperator::GetAttr(name) => Step::Name(name.as_str().to_owned()),
                TraversalOperator::Index(index) => Step::Index(self.expression(index, source)?),
                TraversalOperator::LegacyIndex(index) => {
                    Step::Index(ValueKind::Integer(i64::try_from(*index.value()).unwrap_or(i64::MAX)))
                }
                TraversalOperator::AttrSplat(_) => Step::Names,
                TraversalOperator::FullSplat(_) => Step::Everything,
            });
        }
        match &traversal.expr {
            Expression::Variable(name) => {
                let written = traversal.span().and_then(|span| source.get(span)).unwrap_or(source);
                self.by_name(name.as_str(), &steps, written.trim())
            }
            start => {
                let start = self.expression(start, source)?;
                walk(&start, &steps, &mut self.budget)
            }
        }
    }

    /// Walks the steps from a named value, without copying the whole value.
    fn by_name(&mut self, name: &str, steps: &[Step], written: &str) -> Outcome {
        if let Some((_, value)) = self.frames.iter().rev().find(|(known, _)| known == name) {
            return walk(&value.kind, steps, &mut self.budget);
        }
        let first = steps.first().and_then(Step::name);
        match (name, first) {
            ("var", Some(variable)) => match self.variables.get(variable) {
                Some(value) => walk(&value.kind, &steps[1..], &mut self.budget),
                None => Err(unknown("var", variable, self.variables.keys(), &mut self.budget)),
            },
            ("local", Some(local)) => {
                self.ensure_local(local)?;
                match self.locals.get(local) {
                    Some(Local::Known(value)) => walk(&value.kind, &steps[1..], &mut self.budget),
                    _ => Err(unknown("local", local, self.locals.keys(), &mut self.budget)),
                }
            }
            ("var" | "local", None) => {
                let value = self.variable(name)?;
                walk(&value, steps, &mut self.budget)
            }
            _ if super::is_runtime_reference(written) => self.reference(written),
            _ => Err(Self::unknown_name(name)),
        }
    }
}

impl Step {
    fn name(&self) -> Option<&str> {
        match self {
            Step::Name(name) | Step::Index(ValueKind::Text(name)) => Some(name),
            _ => None,
        }
    }
}

fn walk(start: &ValueKind, steps: &[Step], budget: &mut Budget) -> Outcome {
    let mut value = start;
    for (at, step) in steps.iter().enumerate() {
        let rest = &steps[at + 1..];
        match step {
            Step::Name(_) | Step::Index(_) => value = into(value, step, budget)?,
            Step::Everything => return each(value, rest, &[], budget),
            Step::Names => {
                let names = rest.iter().take_while(|step| matches!(step, Step::Name(_))).count();
                return each(value, &rest[..names], &rest[names..], budget);
            }
        }
    }
    budget.copy(value)?;
    Ok(value.clone())
}

/// Walks `of_items` in each item of a list, then `of_list` in the resulting list. A value that is not a list counts as
/// a list of one item, null as an empty list.
fn each(value: &ValueKind, of_items: &[Step], of_list: &[Step], budget: &mut Budget) -> Outcome {
    let position = crate::hcl::tree::Position { line: 1, column: 1 };
    let mut walked = Vec::new();
    let mut take = |kind: &ValueKind, position, budget: &mut Budget| {
        walk(kind, of_items, budget).map(|kind| walked.push(Value { kind, position }))
    };
    match value {
        ValueKind::Null => {}
        ValueKind::List(items) => {
            items.iter().try_for_each(|item| take(&item.kind, item.position, budget))?;
        }
        other => take(other, position, budget)?,
    }
    let list = ValueKind::List(walked);
    budget.check(&list)?;
    if of_list.is_empty() { Ok(list) } else { walk(&list, of_list, budget) }
}

fn into<'v>(value: &'v ValueKind, step: &Step, budget: &mut Budget) -> Result<&'v ValueKind, Fault> {
    match (value, step) {
        (ValueKind::Object(members), Step::Name(name)) => member(members, name, budget),
        (ValueKind::Object(members), Step::Index(index)) => {
            member(members, &values::to_text(index, "the name in `[…]`")?, budget)
        }
        (ValueKind::List(items), Step::Index(index)) => {
            let index = values::to_integer(index, "the index in `[…]`")?;
            let item = usize::try_from(index).ok().and_then(|index| items.get(index));
            item.map(|item| &item.kind).ok_or_else(|| {
                format!("the list has {} items, and none at index {index}", items.len()).into()
            })
        }
        (other, Step::Name(name)) => {
            let is = values::describe(other);
            Err(format!("`{}` is looked for in {is}, which is no object", shortened(name)).into())
        }
        (other, _) => {
            Err(format!("`[…]` looks into lists and objects, and this is {}", values::describe(other)).into())
        }
    }
}

fn member<'v>(members: &'v [Member], name: &str, budget: &mut Budget) -> Result<&'v ValueKind, Fault> {
    if let Some(value) = values::member(members, name) {
        return Ok(&value.kind);
    }
    let hint = budget.hint(name, "", members.iter().map(|member| member.key.as_str()))?;
    Err(format!("the object has no member `{}`{hint}", shortened(name)).into())
}
