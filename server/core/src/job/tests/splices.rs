//! Editing a stored specification equals parsing, changing and serialising it, if this release knows all its members.

use std::collections::BTreeMap;

use ordu_proto::api::job::JobSpec;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::properties::{spec, word, words};
use crate::job::{SpecEdit, SpecFacts, parse_spec, spec_json, written_schedule};

/// Returns the result of parsing, changing and serialising.
fn written(json: &[u8], change: impl FnOnce(&mut JobSpec)) -> String {
    let mut spec = parse_spec(json).unwrap();
    change(&mut spec);
    text(spec_json(&spec))
}

fn text(json: Vec<u8>) -> String {
    String::from_utf8(json).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_child_is_the_parent_by_another_name(spec in spec(), id in word(), meta in words(), launched in any::<bool>()) {
        let json = spec_json(&spec);
        let mut edit = SpecEdit::of(&json).unwrap();
        edit.set_id(&id);
        edit.add_meta(&meta).unwrap();
        if launched {
            edit.clear_schedule();
        }
        let expected = written(&json, |spec| {
            (spec.id, spec.name) = (id.clone(), Some(id));
            spec.meta.extend(meta);
            spec.periodic = spec.periodic.take().filter(|_| !launched);
        });
        prop_assert_eq!(expected, text(edit.to_json()));
    }

    #[test]
    fn counts_are_set_by_the_names_of_groups(spec in spec(), counts in vec(option::of(option::of(any::<i64>())), 3)) {
        let json = spec_json(&spec);
        let groups = spec.task_groups.iter().zip(counts);
        let counts: BTreeMap<&str, Option<i64>> =
            groups.filter_map(|(group, count)| Some((&*group.name, count?))).collect();
        let mut edit = SpecEdit::of(&json).unwrap();
        edit.set_counts(&counts).unwrap();
        let expected = written(&json, |spec| {
            for group in &mut spec.task_groups {
                group.count = counts.get(&*group.name).copied().unwrap_or(group.count);
            }
        });
        prop_assert_eq!(expected, text(edit.to_json()));
    }

    #[test]
    fn the_facts_are_those_of_the_specification(spec in spec(), other in spec()) {
        let json = spec_json(&spec);
        let facts = SpecFacts::read(&json).unwrap();
        prop_assert_eq!(
            facts.periodic.map(|periodic| (periodic.enabled, periodic.prohibit_overlap)),
            spec.periodic.as_ref().map(|periodic| (periodic.enabled, periodic.prohibit_overlap))
        );
        prop_assert_eq!(
            facts.parameterized_job.map(|job| (job.payload, job.meta_required, job.meta_optional)),
            spec.parameterized_job.clone().map(|job| (job.payload, job.meta_required, job.meta_optional))
        );
        prop_assert_eq!(facts.task_groups.len(), spec.task_groups.len());
        for (read, group) in facts.task_groups.iter().zip(&spec.task_groups) {
            prop_assert_eq!((&read.name, read.count), (&group.name, group.count));
            prop_assert_eq!(
                read.reschedule_policy.as_ref().map(|policy| (policy.attempts, policy.unlimited)),
                group.reschedule_policy.as_ref().map(|policy| (policy.attempts, policy.unlimited))
            );
        }
        let other_json = spec_json(&other);
        prop_assert_eq!(
            written_schedule(&json) == written_schedule(&other_json),
            spec.periodic == other.periodic
        );
    }
}
