//! Plain values in a diff: their texts, the names of values nested in maps and lists, and the comparison of two sets of
//! named values.

use std::collections::BTreeMap;

use ordu_proto::api::job::{DiffType, FieldDiff};
use serde_json::{Number, Value};

/// Remaining bytes for the diff.
pub(super) struct Budget(pub(super) usize);

/// The diff would exceed its byte limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Budget {
    /// Overhead of a field beside its texts, in memory or as JSON, bytes.
    pub(super) const FIELD_BYTES: usize = 128;

    pub(super) fn take(&mut self, bytes: usize) -> Result<(), TooLarge> {
        self.0 = self.0.checked_sub(bytes).ok_or(TooLarge)?;
        Ok(())
    }
}

/// Values by name.
pub(super) type Fields = BTreeMap<String, String>;

/// Adds a value, or all values nested in it: `name[key]` for maps, `name[0]` for lists.
pub(super) fn flatten(
    name: String,
    value: &Value,
    fields: &mut Fields,
    budget: &mut Budget,
) -> Result<(), TooLarge> {
    // Charge for the name at each level: even nested empty lists have names.
    budget.take(name.len())?;
    match value {
        Value::Object(members) => members.iter().try_for_each(|(key, value)| {
            // Members of an unnamed object have bare names.
            let path = if name.is_empty() { key.clone() } else { format!("{name}[{key}]") };
            flatten(path, value, fields, budget)
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| flatten(format!("{name}[{index}]"), item, fields, budget)),
        value => {
            let text = text(value);
            budget.take(text.len() + Budget::FIELD_BYTES)?;
            fields.insert(name, text);
            Ok(())
        }
    }
}

/// Returns the text of a plain value.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number_text(number),
        Value::Null => "nil".to_owned(),
        // Does not occur: lists and objects are flattened.
        Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// Formats integers in full and other numbers with the fewest digits that identify them. Exponents are used below a
/// ten-thousandth and from a million upwards: `6379`, `0.5`, `1.5e+06`.
fn number_text(number: &Number) -> String {
    let float = match number.as_f64() {
        Some(float) if number.is_f64() => float,
        _ => return number.to_string(),
    };
    let scientific = format!("{float:e}");
    let parts =
        scientific.split_once('e').and_then(|(digits, exponent)| Some((digits, exponent.parse().ok()?)));
    match parts {
        Some((digits, exponent)) if !(-4..6_i32).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => float.to_string(),
    }
}

/// Compares the two values of a name. Returns `None` for equal values unless `contextual`.
pub(super) fn field(name: &str, old: &str, new: &str, contextual: bool) -> Option<FieldDiff> {
    let diff_type = match (old, new) {
        _ if old == new => DiffType::None,
        ("", _) => DiffType::Added,
        (_, "") => DiffType::Deleted,
        _ => DiffType::Edited,
    };
    (contextual || diff_type != DiffType::None).then(|| FieldDiff {
        diff_type,
        name: name.to_owned(),
        old: old.to_owned(),
        new: new.to_owned(),
        annotations: Vec::new(),
    })
}

/// Compares two sets of values by name.
pub(super) fn diff(old: &Fields, new: &Fields, contextual: bool) -> Vec<FieldDiff> {
    let mut diffs: Vec<FieldDiff> = old
        .iter()
        .filter_map(|(name, old)| field(name, old, new.get(name).map_or("", String::as_str), contextual))
        .collect();
    let added = new.iter().filter(|(name, _)| !old.contains_key(*name));
    diffs.extend(added.filter_map(|(name, new)| field(name, "", new, contextual)));
    diffs.sort_by(super::order::fields);
    diffs
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Budget, Fields, TooLarge, flatten, text};

    #[test]
    fn numbers_are_told_as_clients_of_the_api_know_them() {
        let cases = [
            (json!(0), "0"),
            (json!(u64::MAX), "18446744073709551615"),
            (json!(i64::MIN), "-9223372036854775808"),
            (json!(0.0), "0"),
            (json!(6379.0), "6379"),
            (json!(-0.5), "-0.5"),
            (json!(123_456.75), "123456.75"),
            (json!(999_999.0), "999999"),
            (json!(1e6), "1e+06"),
            (json!(-2.5e6), "-2.5e+06"),
            (json!(1_234_567.5), "1.2345675e+06"),
            (json!(9_007_199_254_740_993_f64), "9.007199254740992e+15"),
            (json!(1e100), "1e+100"),
            (json!(0.0001), "0.0001"),
            (json!(0.000_012_34), "1.234e-05"),
            (json!(5e-324), "5e-324"),
        ];
        for (number, wanted) in cases {
            assert_eq!(text(&number), wanted, "{number}");
        }
    }

    #[test]
    fn what_is_inside_maps_and_lists_is_named_by_its_way_there() {
        let config = json!({
            "command": "run", "args": ["-a", 1.0], "port_map": [{"db": 6379.0}], "nothing": null,
            "empty": [], "none": {},
        });
        let mut fields = Fields::new();
        flatten(String::new(), &config, &mut fields, &mut Budget(usize::MAX)).unwrap();
        let told: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(told, ["args[0]=-a", "args[1]=1", "command=run", "nothing=nil", "port_map[0][db]=6379"]);
    }

    #[test]
    fn long_ways_cost_what_they_are_long_even_to_nothing() {
        let nothing = Value::Array(vec![json!([]); 1000]);
        let document = json!({ "k".repeat(1000): nothing });
        let mut fields = Fields::new();
        let mut budget = Budget(999_999);
        assert_eq!(flatten(String::new(), &document, &mut fields, &mut budget), Err(TooLarge));
    }
}
