//! `for` expressions: `[for … in …: …]` and `{for … in …: … => …}`.

use std::collections::BTreeMap;

use hcl::edit::expr::ForExpr;

use crate::hcl::shortened;
use crate::hcl::tree::{Value, ValueKind};

use super::{Evaluator, Fault, Outcome, values};

impl Evaluator<'_> {
    pub(super) fn for_expression(&mut self, expression: &ForExpr, source: &str) -> Outcome {
        let intro = &expression.intro;
        let collection = self.expression(&intro.collection_expr, source)?;
        let pairs = self.pairs(collection).map_err(|fault| fault.within(&intro.collection_expr))?;
        let key_name = intro.key_var.as_ref().map(|name| name.as_str());
        let mut list = Vec::new();
        let mut objects: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (key, value) in pairs {
            self.budget.steps(1)?;
            let item = self.with_frame(key_name, intro.value_var.as_str(), key, value, |evaluator| {
                evaluator.for_item(expression, source)
            })?;
            match item {
                None => {}
                Some((None, kind)) => list.push(self.here(kind)),
                Some((Some(key), kind)) => {
                    let item = self.here(kind);
                    let items = objects.entry(key).or_default();
                    if !items.is_empty() && !expression.grouping {
                        return Err(
                            "two items yield the same key; `...` behind the value makes lists of them".into(),
                        );
                    }
                    items.push(item);
                }
            }
        }
        if expression.key_expr.is_none() {
            return self.checked(ValueKind::List(list));
        }
        let value = |mut items: Vec<Value>| match items.pop() {
            Some(only) if !expression.grouping => only.kind,
            last => {
                items.extend(last);
                ValueKind::List(items)
            }
        };
        self.object_of(objects.into_iter().map(|(key, items)| (key, value(items))).collect())
    }

    /// Evaluates one iteration to an optional key and a value. Returns `None` if the condition excludes the item.
    fn for_item(
        &mut self,
        expression: &ForExpr,
        source: &str,
    ) -> Result<Option<(Option<String>, ValueKind)>, Fault> {
        if let Some(condition) = &expression.cond {
            let wanted = self.expression(&condition.expr, source)?;
            if !values::to_flag(&wanted, "the condition behind `if`")
                .map_err(|fault| fault.within(&condition.expr))?
            {
                return Ok(None);
            }
        }
        let key = match &expression.key_expr {
            Some(key) => {
                let value = self.expression(key, source)?;
                let key = values::to_text(&value, "the key before `=>`").map_err(|f| f.within(key))?;
                self.budget.bytes(key.len())?;
                Some(key)
            }
            None => None,
        };
        Ok(Some((key, self.expression(&expression.value_expr, source)?)))
    }

    /// Returns the keys and values over which a loop iterates.
    pub(in crate::hcl) fn pairs(
        &mut self,
        collection: ValueKind,
    ) -> Result<Vec<(ValueKind, ValueKind)>, Fault> {
        match collection {
            ValueKind::List(items) => {
                Ok((0..).map(ValueKind::Integer).zip(items.into_iter().map(|item| item.kind)).collect())
            }
            ValueKind::Object(members) => Ok(members
                .into_iter()
                .map(|member| (ValueKind::Text(member.key), member.value.kind))
                .collect()),
            other => {
                let found = shortened(&values::describe(&other));
                Err(format!("a loop goes through a list or an object, and this is {found}").into())
            }
        }
    }
}
