//! Matches the items of an old list with those of a new list.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::{Budget, TooLarge};
use super::schema::Identity;

/// An item on the old and on the new side.
pub(super) type Pair<'v> = (Option<&'v Value>, Option<&'v Value>);

/// Items with the same identity, in list order.
#[derive(Default)]
struct Same<'v> {
    old: Vec<&'v Value>,
    new: Vec<&'v Value>,
}

/// Pairs the items of two lists by identity. Among items with the same identity, such as services of one name, equal
/// ones are paired first and the rest in order.
pub(super) fn pairs<'v>(
    old: Option<&'v Value>,
    new: Option<&'v Value>,
    identity: Identity,
    budget: &mut Budget,
) -> Result<Vec<Pair<'v>>, TooLarge> {
    let mut by_identity: BTreeMap<&str, Same<'v>> = BTreeMap::new();
    for (key, item) in items(old) {
        by_identity.entry(identity.of(key, item)).or_default().old.push(item);
    }
    for (key, item) in items(new) {
        by_identity.entry(identity.of(key, item)).or_default().new.push(item);
    }
    let mut pairs = Vec::new();
    for mut same in by_identity.into_values() {
        let by_content = matches!(identity, Identity::Content);
        if by_content || same.old.len() > 1 || same.new.len() > 1 {
            same = take_equals(same, &mut pairs, budget)?;
        }
        let (old, new) = (same.old.into_iter().map(Some), same.new.into_iter().map(Some));
        if by_content {
            pairs.extend(old.map(|old| (old, None)));
            pairs.extend(new.map(|new| (None, new)));
        } else {
            let count = old.len().max(new.len());
            let nothing = std::iter::repeat(None);
            pairs.extend(old.chain(nothing.clone()).zip(new.chain(nothing)).take(count));
        }
    }
    Ok(pairs)
}

/// Pairs equal items and returns the others.
fn take_equals<'v>(
    same: Same<'v>,
    pairs: &mut Vec<Pair<'v>>,
    budget: &mut Budget,
) -> Result<Same<'v>, TooLarge> {
    let mut text = |item: &Value| {
        let text = item.to_string();
        budget.take(text.len() + Budget::FIELD_BYTES).map(|()| text)
    };
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    // In reverse, so that `pop` takes the first one first.
    for (place, old) in same.old.iter().enumerate().rev() {
        places.entry(text(old)?).or_default().push(place);
    }
    let mut has_equal = vec![false; same.old.len()];
    let mut rest = Same::default();
    for new in same.new {
        match places.get_mut(&text(new)?).and_then(Vec::pop) {
            Some(place) => {
                has_equal[place] = true;
                pairs.push((Some(same.old[place]), Some(new)));
            }
            None => rest.new.push(new),
        }
    }
    let left = same.old.into_iter().zip(has_equal).filter(|(_, has_equal)| !has_equal);
    rest.old = left.map(|(old, _)| old).collect();
    Ok(rest)
}

/// Returns the items of a list, or the values of a map with their keys.
fn items(list: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    let (items, members) = match list {
        Some(Value::Array(items)) => (Some(items), None),
        Some(Value::Object(members)) => (None, Some(members)),
        _ => (None, None),
    };
    let items = items.into_iter().flatten().map(|item| ("", item));
    items.chain(members.into_iter().flatten().map(|(key, item)| (key.as_str(), item)))
}

impl Identity {
    fn of<'v>(self, key: &'v str, item: &'v Value) -> &'v str {
        match self {
            Identity::Content => "",
            Identity::Member(name) => item[name].as_str().unwrap_or_default(),
            Identity::Key => key,
        }
    }
}
