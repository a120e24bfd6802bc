//! Hostile bodies: every one gets an answer.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::everything::full_job;
use super::{edited, small_job};
use crate::job::{
    RegisterRequest, canonicalise, decode_dispatch, decode_evaluate, decode_job, decode_plan,
    decode_register, decode_revert, decode_stable, decode_update, decode_validate, group_counts,
    job_document, job_row, parse_spec, spec_json, validation_document, warnings,
};
use crate::limits::JOB_NAME_BYTES_MAX;

/// Takes a body through all steps of a registration, and checks the properties of every registration.
fn take(body: &[u8]) {
    let id = "full";
    let _ =
        (decode_update(id, body), decode_plan(id, body), decode_revert(id, body), decode_stable(id, body));
    let _ = (decode_dispatch(id, body), decode_evaluate(id, body), decode_job(body));
    let _ = crate::jobspec::ParseRequest::decode(body);
    if let Ok(request) = decode_validate(body) {
        assert!(
            serde_json::from_slice::<Value>(&validation_document(request, &|_| false)).unwrap().is_object()
        );
    }
    match decode_register(body) {
        Ok(request) => follow(request),
        Err(text) => assert!(!text.is_empty()),
    }
}

fn follow(mut request: RegisterRequest) {
    canonicalise(&mut request.job);
    let mut again = request.job.clone();
    canonicalise(&mut again);
    assert_eq!(again, request.job, "canonical twice");

    let _ = (request.validate(), warnings(&request.job, &|_| false).to_string(), group_counts(&request.job));
    let bytes = spec_json(&request.job);
    assert_eq!(parse_spec(&bytes).unwrap(), request.job, "stored and read");

    let mut document = br#"{"Job":"#.to_vec();
    let stored = ordu_proto::state::JobSpec { json: bytes.clone(), payload: Vec::new() };
    job_document(&job_row(&request.job, request.stop), &stored, &mut document);
    document.push(b'}');
    let mut told = decode_register(&document).unwrap();
    canonicalise(&mut told.job);
    assert_eq!(told.job, request.job, "told and registered again");
    assert_eq!(spec_json(&told.job), bytes);
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![
            i64::MIN,
            i64::MIN + 1,
            -1,
            0,
            1,
            127,
            255,
            65_536,
            i64::MAX - 1,
            i64::MAX
        ])
        .prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(u64::MAX)),
        any::<f64>().prop_map(Value::from),
    ]
}

fn text() -> impl Strategy<Value = Value> {
    let known = [
        "",
        "service",
        "batch",
        "system",
        "_core",
        "signal",
        "regexp",
        "version",
        "distinct_property",
        "fibonacci",
        "exponential",
        "constant",
        "${JOB}",
        "${BASE}-${TASK}",
        "}",
        "$",
        "{",
        "../../..",
        "(",
        "> 1",
        "driver",
        "connect-proxy:x",
        "tcp",
        "script",
        "%",
        "\0",
        "9".repeat(30).as_str(),
    ]
    .map(str::to_owned);
    prop_oneof![prop::sample::select(known.to_vec()), any::<String>()].prop_map(Value::from)
}

/// Generates arbitrary JSON, often with the API's names as keys.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number(), text()];
    let names = prop::sample::select(names_of(&full_job()));
    let key = prop_oneof![4 => names, 1 => any::<String>()];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn names_of(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => {
            members.iter().flat_map(|(name, value)| [vec![name.clone()], names_of(value)].concat()).collect()
        }
        Value::Array(items) => items.iter().flat_map(names_of).collect(),
        _ => Vec::new(),
    }
}

/// Collects the JSON pointers of everything in the document except its root.
fn places_of(value: &Value, place: &str, places: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (name, value) in below {
        let place = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
        places_of(value, &place, places);
        places.push(place);
    }
}

/// Generates edits: values of the same type as the original, or arbitrary ones.
fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, Value, Value, Value, bool)>> {
    prop::collection::vec((any::<prop::sample::Index>(), number(), text(), json_value(), any::<bool>()), 1..6)
}

fn job_type() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["service", "batch", "system", "sysbatch"])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_json_is_answered(value in json_value()) {
        take(value.to_string().as_bytes());
        take(json!({"Job": value, "JobID": "full"}).to_string().as_bytes());
    }

    #[test]
    fn any_value_in_the_place_of_another_is_answered(edits in edits(), job_type in job_type()) {
        let mut job = edited(full_job(), &[("/Type", json!(job_type))]);
        for (place, number, text, any, is_of_kind) in edits {
            let mut places = Vec::new();
            places_of(&job, "", &mut places);
            if places.is_empty() { break }
            let place = place.get(&places);
            let value = job.pointer_mut(place).unwrap();
            *value = match value {
                Value::Number(_) if is_of_kind => number,
                Value::String(_) if is_of_kind => text,
                _ => any,
            };
        }
        take(json!({ "Job": job }).to_string().as_bytes());
    }

    #[test]
    fn extreme_numbers_everywhere_are_answered(numbers in prop::collection::vec(any::<prop::sample::Index>(), 64), job_type in job_type()) {
        let extremes = [i64::MIN, -1, 0, 1, i64::MAX].map(Value::from);
        let small = [-100, -1, 0, 1, 100].map(Value::from);
        let mut job = edited(full_job(), &[("/Type", json!(job_type))]);
        let mut places = Vec::new();
        places_of(&job, "", &mut places);
        for (place, number) in places.iter().zip(numbers.iter().cycle()) {
            let value = job.pointer_mut(place).unwrap();
            // These members have narrow integer types.
            let is_narrow = ["Weight", "Percent", "Index"].iter().any(|name| place.ends_with(name));
            if value.is_i64() {
                *value = if is_narrow { small[2 + number.index(3)].clone() } else { number.get(&extremes).clone() };
            }
            if place.ends_with("/Devices/0/Count") { *value = json!(u64::MAX) }
        }
        let body = json!({ "Job": job }).to_string();
        prop_assert!(decode_register(body.as_bytes()).is_ok());
        take(body.as_bytes());
    }

    #[test]
    fn a_body_cut_off_anywhere_is_refused(at in any::<prop::sample::Index>()) {
        let body = json!({"Job": full_job()}).to_string();
        let cut = &body.as_bytes()[..at.index(body.len())];
        let told = decode_register(cut).unwrap_err();
        let expected = if cut.is_empty() { "Request body is empty" } else { "unexpected EOF" };
        prop_assert_eq!(told, expected);
    }

    #[test]
    fn a_body_with_a_byte_changed_is_answered(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = json!({"Job": full_job()}).to_string().into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        take(&body);
    }
}

#[test]
fn names_are_bounded_before_others_are_made_of_them() {
    let long = "x".repeat(JOB_NAME_BYTES_MAX + 1);
    for (pointer, what) in [
        ("/ID", "the job's ID"),
        ("/Name", "the job's name"),
        ("/Namespace", "the job's namespace"),
        ("/TaskGroups/0/Name", "the name of a task group"),
        ("/TaskGroups/0/Tasks/0/Name", "the name of a task"),
        ("/TaskGroups/0/Services/0/Name", "the name of a service"),
        ("/TaskGroups/0/Tasks/0/Services/0/Name", "the name of a service"),
    ] {
        let job = edited(full_job(), &[(pointer, json!(long))]);
        let told = decode_register(json!({ "Job": job }).to_string().as_bytes()).unwrap_err();
        let expected = format!("{what} has 1025 bytes, and at most 1024 are allowed: shorten it");
        assert_eq!(told, expected, "{pointer}");
        assert_eq!(decode_job(job.to_string().as_bytes()).unwrap_err(), expected, "{pointer}");
    }
}

#[test]
fn numbers_of_a_driver_are_the_same_after_any_number_of_readings() {
    for number in
        ["0.1", "1e-7", "123456789012345680", "2.2250738585072014e-308", "5e-324", "0.30000000000000004"]
    {
        let config = format!(r#"{{"n": {number}}}"#);
        let config: Value = serde_json::from_str(&config).unwrap();
        let job = edited(small_job("batch"), &[("/TaskGroups/0/Tasks/0/Config", config)]);
        take(json!({ "Job": job }).to_string().as_bytes());
    }
}
