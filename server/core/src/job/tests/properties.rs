//! Properties of all specifications.

use std::collections::BTreeMap;

use ordu_proto::api::job::{
    Affinity, Constraint, EphemeralDisk, Job, JobSpec, NetworkResource, ParameterizedJobConfig,
    PeriodicConfig, Port, ReschedulePolicy, Resources, RestartPolicy, Service, ServiceCheck, Task, TaskGroup,
    Template, UpdateStrategy,
};
use ordu_proto::state;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::job::{canonicalise, decode_register, job_document, job_row, parse_spec, spec_json, validate};

pub(super) fn word() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z/-]{0,4}", 1 => any::<String>()]
}

pub(super) fn words() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(word(), word(), 0..3)
}

/// Generates a driver's configuration. Its numbers are exact in every JSON parser.
pub(super) fn driver_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<i16>().prop_map(|number| json!(f64::from(number) / 4.0)),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map(word(), inner, 0..3).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

prop_compose! {
    fn constraint()(left in word(), right in word(), operand in word()) -> Constraint {
        Constraint { left, right, operand }
    }
}

prop_compose! {
    fn affinity()(left in word(), operand in word(), weight in option::of(any::<i8>())) -> Affinity {
        Affinity { left, operand, weight, ..Affinity::default() }
    }
}

prop_compose! {
    fn network()(label in word(), value in any::<i64>(), mbits in option::of(any::<i64>())) -> NetworkResource {
        let port = Port { label, value, ..Port::default() };
        NetworkResource { mbits, dynamic_ports: vec![port], ..NetworkResource::default() }
    }
}

prop_compose! {
    fn service()(
        name in word(), port_label in word(), tags in vec(word(), 0..2), checks in vec((word(), any::<i64>()), 0..2)
    ) -> Service {
        let check = |(check_type, interval)| ServiceCheck { check_type, interval, ..ServiceCheck::default() };
        Service { name, port_label, tags, checks: checks.into_iter().map(check).collect(), ..Service::default() }
    }
}

prop_compose! {
    fn template()(dest_path in option::of(word()), mode in option::of(word()), splay in option::of(any::<i64>())) -> Template {
        Template { dest_path, change_mode: mode, splay, ..Template::default() }
    }
}

prop_compose! {
    fn task()(
        name in word(),
        driver in word(),
        config in btree_map(word(), driver_value(), 0..3),
        env in words(),
        services in vec(service(), 0..2),
        templates in vec(template(), 0..2),
        resources in option::of((option::of(any::<i64>()), vec(network(), 0..2))),
        kill_timeout in option::of(any::<i64>()),
        kill_signal in word(),
        leader in any::<bool>(),
        restart_attempts in option::of(any::<i64>()),
    ) -> Task {
        let restart_policy =
            restart_attempts.map(|attempts| RestartPolicy { attempts: Some(attempts), ..RestartPolicy::default() });
        let resources = resources.map(|(cpu, networks)| Resources { cpu, networks, ..Resources::default() });
        Task {
            name, driver, config, env, services, templates, resources, kill_timeout, kill_signal, leader,
            restart_policy, ..Task::default()
        }
    }
}

prop_compose! {
    fn group()(
        name in word(),
        count in option::of(any::<i64>()),
        constraints in vec(constraint(), 0..2),
        affinities in vec(affinity(), 0..2),
        tasks in vec(task(), 0..3),
        max_parallel in option::of(option::of(any::<i64>())),
        reschedule in option::of((option::of(any::<i64>()), option::of(word()), option::of(any::<i64>()))),
        size_mb in option::of(any::<i64>()),
        networks in vec(network(), 0..2),
        meta in words(),
    ) -> TaskGroup {
        TaskGroup {
            name, count, constraints, affinities, tasks, networks, meta,
            update: max_parallel.map(|max_parallel| UpdateStrategy { max_parallel, ..UpdateStrategy::default() }),
            reschedule_policy: reschedule.map(|(attempts, delay_function, interval)| {
                ReschedulePolicy { attempts, delay_function, interval, ..ReschedulePolicy::default() }
            }),
            ephemeral_disk: size_mb.map(|size_mb| EphemeralDisk { size_mb: Some(size_mb), ..EphemeralDisk::default() }),
            ..TaskGroup::default()
        }
    }
}

fn job_type() -> impl Strategy<Value = Option<String>> {
    prop_oneof![Just(None), "service|batch|system|other|".prop_map(Some)]
}

prop_compose! {
    pub(super) fn spec()(
        id in word(),
        name in option::of(word()),
        job_type in job_type(),
        priority in option::of(any::<i64>()),
        datacenters in vec(word(), 0..3),
        constraints in vec(constraint(), 0..2),
        task_groups in vec(group(), 0..3),
        health_check in option::of(option::of(word())),
        periodic in option::of(option::of(word())),
        payload in option::of(word()),
        meta in words(),
    ) -> JobSpec {
        JobSpec {
            id, name, job_type, priority, datacenters, constraints, task_groups, meta,
            update: health_check.map(|health_check| UpdateStrategy { health_check, ..UpdateStrategy::default() }),
            periodic: periodic.map(|spec| PeriodicConfig { spec, ..PeriodicConfig::default() }),
            parameterized_job: payload.map(|payload| ParameterizedJobConfig { payload, ..ParameterizedJobConfig::default() }),
            ..JobSpec::default()
        }
    }
}

/// Members whose values are maps with user-defined keys.
const OWN_WORDS: [&str; 3] = ["Config", "Env", "Meta"];

/// Writes the names of all members in another case.
fn in_other_case(document: Value) -> Value {
    match document {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| {
                    let value = if OWN_WORDS.contains(&name.as_str()) { value } else { in_other_case(value) };
                    let other = if name.len() % 2 == 0 { name.to_lowercase() } else { name.to_uppercase() };
                    (other, value)
                })
                .collect(),
        ),
        Value::Array(items) => items.into_iter().map(in_other_case).collect(),
        leaf => leaf,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stored_bytes_are_read_back_as_they_were(spec in spec()) {
        prop_assert_eq!(parse_spec(&spec_json(&spec)).unwrap(), spec);
    }

    #[test]
    fn equal_specifications_and_no_others_have_equal_bytes(one in spec(), other in spec()) {
        let read = parse_spec(&spec_json(&one)).unwrap();
        prop_assert_eq!(spec_json(&one), spec_json(&read));
        prop_assert_eq!(one == other, spec_json(&one) == spec_json(&other));
        let mut changed = one.clone();
        changed.meta.insert("changed".to_owned(), "yes".to_owned());
        prop_assert_ne!(spec_json(&one), spec_json(&changed));
    }

    #[test]
    fn a_canonical_specification_stays_as_it_is(spec in spec()) {
        let mut once = spec;
        canonicalise(&mut once);
        let mut twice = once.clone();
        canonicalise(&mut twice);
        prop_assert_eq!(&twice, &once);
        // Validation must not panic.
        let _ = validate(&once);
    }

    #[test]
    fn a_registered_document_is_its_own_registration(spec in spec(), stop in any::<bool>()) {
        let mut spec = spec;
        canonicalise(&mut spec);
        let mut body = br#"{"Job":"#.to_vec();
        let stored = state::JobSpec { json: spec_json(&spec), payload: Vec::new() };
        job_document(&job_row(&spec, stop), &stored, &mut body);
        body.push(b'}');
        let mut again = decode_register(&body).unwrap();
        canonicalise(&mut again.job);
        prop_assert_eq!(again.stop, stop);
        prop_assert_eq!(again.job, spec);
    }

    #[test]
    fn splicing_is_parsing_and_writing(spec in spec(), version in any::<u64>(), status in word()) {
        let mut row = job_row(&spec, false);
        row.version = version;
        row.status = status.clone();
        let bytes = spec_json(&spec);
        let mut document = Vec::new();
        let stored = state::JobSpec { json: bytes, payload: Vec::new() };
        job_document(&row, &stored, &mut document);
        let job = Job { spec: parse_spec(&stored.json).unwrap(), version, status, ..Job::default() };
        let spliced: Value = serde_json::from_slice(&document).unwrap();
        prop_assert_eq!(spliced, serde_json::to_value(&job).unwrap());
    }

    #[test]
    fn the_case_of_members_does_not_matter(spec in spec()) {
        let document = serde_json::to_value(&spec).unwrap();
        let body = json!({"JOB": in_other_case(document)}).to_string();
        prop_assert_eq!(decode_register(body.as_bytes()).unwrap().job, spec);
    }

    #[test]
    fn no_bytes_make_the_reader_fail_otherwise_than_with_a_text(body in vec(any::<u8>(), 0..64)) {
        if let Err(text) = decode_register(&body) {
            prop_assert!(!text.is_empty());
        }
    }
}
