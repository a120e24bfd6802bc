//! Functions on objects.

use std::collections::BTreeMap;

use crate::hcl::shortened;
use crate::hcl::tree::{Member, ValueKind};

use super::super::values;
use super::{Function, at_least, between, exactly};

pub(super) const TABLE: &[Function] = &[
    exactly("keys", 1, |call| {
        let members = call.object(0)?;
        Ok(ValueKind::List(members.into_iter().map(|member| call.text_value(member.key)).collect()))
    }),
    exactly("values", 1, |call| {
        Ok(ValueKind::List(call.object(0)?.into_iter().map(|member| member.value).collect()))
    }),
    between("lookup", 2, 3, |call| {
        let (members, name) = (call.object(0)?, call.text(1)?);
        match (values::member(&members, &name), call.count()) {
            (Some(value), _) => Ok(value.kind.clone()),
            (None, 3) => Ok(call.take(2)),
            (None, _) => {
                call.refuse(1, &format!("is `{}`, which the object does not have", shortened(&name)))
            }
        }
    }),
    at_least("merge", 0, |call| {
        let mut merged: BTreeMap<String, Member> = BTreeMap::new();
        for at in 0..call.count() {
            match call.take(at) {
                ValueKind::Null => {}
                ValueKind::Object(members) => {
                    merged.extend(members.into_iter().map(|member| (member.key.clone(), member)));
                }
                _ => return call.refuse(at, "has to be an object"),
            }
        }
        Ok(ValueKind::Object(merged.into_values().collect()))
    }),
    exactly("zipmap", 2, |call| {
        let (names, items) = (call.texts(0)?, call.list(1)?);
        if names.len() != items.len() {
            return Err(format!("`zipmap` has {} names for {} values", names.len(), items.len()).into());
        }
        let pairs: BTreeMap<String, ValueKind> =
            names.into_iter().zip(items.into_iter().map(|item| item.kind)).collect();
        Ok(ValueKind::Object(pairs.into_iter().map(|(key, kind)| call.member(key, kind)).collect()))
    }),
    exactly("tomap", 1, |call| match call.take(0) {
        kind @ (ValueKind::Object(_) | ValueKind::Null) => Ok(kind),
        _ => call.refuse(0, "has to be an object"),
    }),
];
