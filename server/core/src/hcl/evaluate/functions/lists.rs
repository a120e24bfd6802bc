//! Functions on lists.

use std::collections::BTreeSet;

use crate::hcl::tree::{Value, ValueKind};

use super::super::call::Call;
use super::super::values::{self, Number};
use super::super::{Fault, Outcome};
use super::text::count;
use super::{Function, at_least, between, exactly};

pub(super) const TABLE: &[Function] = &[
    exactly("length", 1, |call| match call.take(0) {
        ValueKind::List(items) => count(items.len()),
        ValueKind::Object(members) => count(members.len()),
        ValueKind::Text(text) => count(text.chars().count()),
        _ => call.refuse(0, "has to be a list, an object or a string"),
    }),
    at_least("concat", 0, |call| {
        let mut all = Vec::new();
        for at in 0..call.count() {
            all.extend(call.list(at)?);
        }
        Ok(ValueKind::List(all))
    }),
    exactly("contains", 2, |call| {
        let (items, wanted) = (call.list(0)?, call.take(1));
        Ok(ValueKind::Flag(items.iter().any(|item| values::equal(&item.kind, &wanted))))
    }),
    exactly("distinct", 1, |call| {
        let mut known = BTreeSet::new();
        let mut items = call.list(0)?;
        charge(call, &items)?;
        items.retain(|item| known.insert(values::identity(&item.kind)));
        Ok(ValueKind::List(items))
    }),
    exactly("element", 2, element),
    exactly("index", 2, |call| {
        let (items, wanted) = (call.list(0)?, call.take(1));
        match items.iter().position(|item| values::equal(&item.kind, &wanted)) {
            Some(at) => count(at),
            None => call.refuse(1, "is not in the list"),
        }
    }),
    exactly("flatten", 1, |call| {
        let mut flat = Vec::new();
        flatten(call.list(0)?, &mut flat);
        Ok(ValueKind::List(flat))
    }),
    exactly("reverse", 1, |call| {
        let mut items = call.list(0)?;
        items.reverse();
        Ok(ValueKind::List(items))
    }),
    exactly("slice", 3, slice),
    exactly("sort", 1, |call| {
        let mut texts = call.texts(0)?;
        // Sorting costs more than one look at each text.
        call.budget.steps(texts.len().saturating_mul(16))?;
        texts.sort();
        Ok(ValueKind::List(texts.into_iter().map(|text| call.text_value(text)).collect()))
    }),
    exactly("compact", 1, |call| {
        let mut items = call.list(0)?;
        items.retain(|item| {
            !matches!(&item.kind, ValueKind::Null) && item.kind != ValueKind::Text(String::new())
        });
        Ok(ValueKind::List(items))
    }),
    exactly("chunklist", 2, chunklist),
    between("range", 1, 3, range),
    at_least("coalesce", 1, |call| {
        let mut given = call.all().into_iter();
        let first = given.find(|kind| *kind != ValueKind::Null && *kind != ValueKind::Text(String::new()));
        first.ok_or_else(|| Fault::from("`coalesce` finds nothing but null and empty strings"))
    }),
    at_least("coalescelist", 1, |call| {
        for at in 0..call.count() {
            match call.take(at) {
                ValueKind::List(items) if !items.is_empty() => return Ok(ValueKind::List(items)),
                ValueKind::List(_) | ValueKind::Null => {}
                _ => return call.refuse(at, "has to be a list"),
            }
        }
        Err("`coalescelist` finds nothing but empty lists".into())
    }),
    exactly("tolist", 1, |call| match call.take(0) {
        kind @ (ValueKind::List(_) | ValueKind::Null) => Ok(kind),
        _ => call.refuse(0, "has to be a list"),
    }),
];

/// Most numbers that `range` returns, as in HCL2.
const RANGE_ITEMS_MAX: usize = 1024;

/// Charges for copying or comparing the items.
pub(super) fn charge(call: &mut Call<'_>, items: &[Value]) -> Result<(), Fault> {
    items.iter().try_for_each(|item| call.budget.copy(&item.kind))
}

/// `element(list, index)`: the index wraps around at the end of the list.
fn element(call: &mut Call<'_>) -> Outcome {
    let (mut items, index) = (call.list(0)?, call.integer(1)?);
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    if length == 0 {
        return call.refuse(0, "has to have an item at least");
    }
    if index < 0 {
        return call.refuse(1, "is below zero");
    }
    Ok(items.swap_remove(usize::try_from(index % length).unwrap_or(0)).kind)
}

fn flatten(items: Vec<Value>, flat: &mut Vec<Value>) {
    for item in items {
        match item.kind {
            ValueKind::List(inner) => flatten(inner, flat),
            _ => flat.push(item),
        }
    }
}

/// `slice(list, from, to)`, without the item at `to`.
fn slice(call: &mut Call<'_>) -> Outcome {
    let (mut items, from, to) = (call.list(0)?, call.integer(1)?, call.integer(2)?);
    let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to)) else {
        return call.refuse(1, "and the one behind it cannot be below zero");
    };
    if from > to || to > items.len() {
        return Err(format!("a list of {} items has no slice from {from} to {to}", items.len()).into());
    }
    items.truncate(to);
    Ok(ValueKind::List(items.split_off(from)))
}

fn chunklist(call: &mut Call<'_>) -> Outcome {
    let (items, size) = (call.list(0)?, call.integer(1)?);
    let Ok(size) = usize::try_from(size) else {
        return call.refuse(1, "is below zero");
    };
    let mut chunks = Vec::new();
    let mut chunk = Vec::new();
    for item in items {
        chunk.push(item);
        if chunk.len() == size {
            chunks.push(call.value(ValueKind::List(std::mem::take(&mut chunk))));
        }
    }
    if !chunk.is_empty() {
        chunks.push(call.value(ValueKind::List(chunk)));
    }
    Ok(ValueKind::List(chunks))
}

/// `range(end)`, `range(start, end)`, `range(start, end, step)`
fn range(call: &mut Call<'_>) -> Outcome {
    let (start, end) = match call.count() {
        1 => (Number::Integer(0), call.number(0)?),
        _ => (call.number(0)?, call.number(1)?),
    };
    let upward = start.compare(end).is_le();
    let step = match call.count() {
        3 => call.number(2)?.as_f64(),
        _ if upward => 1.0,
        _ => -1.0,
    };
    if step == 0.0 || (step > 0.0) != upward {
        return Err("the step of `range` never reaches its end".into());
    }
    let (start, end) = (start.as_f64(), end.as_f64());
    let mut numbers = Vec::new();
    loop {
        // Multiply: repeated addition of fractions would accumulate rounding errors.
        let number = start + step * numbers.len() as f64;
        if (upward && number >= end) || (!upward && number <= end) {
            return Ok(ValueKind::List(numbers));
        }
        if numbers.len() == RANGE_ITEMS_MAX {
            return Err(format!("`range` makes {RANGE_ITEMS_MAX} numbers at most").into());
        }
        let kind = values::from_float(number)?;
        numbers.push(call.value(kind));
    }
}
