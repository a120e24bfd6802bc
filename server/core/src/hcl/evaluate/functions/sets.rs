//! Functions on sets: sorted lists without duplicates.

use std::collections::BTreeMap;

use crate::hcl::tree::{Value, ValueKind};

use super::super::call::Call;
use super::super::{Fault, Outcome, values};
use super::lists::charge;
use super::{Function, at_least, exactly};

pub(super) const TABLE: &[Function] = &[
    exactly("toset", 1, |call| Ok(list(set(call, 0)?))),
    at_least("setunion", 1, |call| {
        let mut all = set(call, 0)?;
        for at in 1..call.count() {
            all.extend(set(call, at)?);
        }
        Ok(list(all))
    }),
    at_least("setintersection", 1, |call| {
        let mut all = set(call, 0)?;
        for at in 1..call.count() {
            let other = set(call, at)?;
            all.retain(|identity, _| other.contains_key(identity));
        }
        Ok(list(all))
    }),
    exactly("setsubtract", 2, |call| {
        let (mut all, other) = (set(call, 0)?, set(call, 1)?);
        all.retain(|identity, _| !other.contains_key(identity));
        Ok(list(all))
    }),
    at_least("setsymmetricdifference", 1, |call| {
        let mut all = set(call, 0)?;
        for at in 1..call.count() {
            for (identity, value) in set(call, at)? {
                if all.remove(&identity).is_none() {
                    all.insert(identity, value);
                }
            }
        }
        Ok(list(all))
    }),
    at_least("setproduct", 1, setproduct),
];

type Set = BTreeMap<String, Value>;

fn set(call: &mut Call<'_>, at: usize) -> Result<Set, Fault> {
    let items = call.list(at)?;
    charge(call, &items)?;
    Ok(items.into_iter().map(|item| (values::identity(&item.kind), item)).collect())
}

fn list(set: Set) -> ValueKind {
    ValueKind::List(set.into_values().collect())
}

/// Returns the Cartesian product of the lists.
fn setproduct(call: &mut Call<'_>) -> Outcome {
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for at in 0..call.count() {
        let items = call.list(at)?;
        let mut longer = Vec::new();
        for row in &rows {
            for item in &items {
                charge(call, row)?;
                charge(call, std::slice::from_ref(item))?;
                let mut row = row.clone();
                row.push(item.clone());
                longer.push(row);
            }
        }
        rows = longer;
    }
    Ok(ValueKind::List(rows.into_iter().map(|row| call.value(ValueKind::List(row))).collect()))
}
