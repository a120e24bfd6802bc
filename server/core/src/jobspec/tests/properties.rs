//! Properties of all jobspecs, tested with random documents that are generated from the schema.

use super::super::schema::{self, Kind, Schema};
use crate::job::{canonicalise, decode_job, parse_spec, spec_json, validate};
use crate::jobspec::{Variables, parse, parse_document};
use proptest::prelude::*;
use std::fmt::Write;

/// Random choices that determine a document. Once they are used up, nothing more is written.
struct Dice<'d>(std::slice::Iter<'d, u8>);

impl Dice<'_> {
    fn throw(&mut self, sides: u8) -> u8 {
        self.0.next().map_or(0, |byte| byte % sides)
    }
}

/// Writes a body by its schema, in the layout of either dialect.
fn write_body(schema: &Schema, depth: usize, dice: &mut Dice<'_>, line_end: &str, out: &mut String) {
    for field in schema.fields {
        // Keep documents small: write a third of the fields, and none below a fixed depth.
        let repeats = if field.kind.may_repeat() { 2 } else { 1 };
        for _ in 0..repeats {
            if dice.throw(3) != 1 || depth > 6 {
                continue;
            }
            write_entry(field, depth, dice, line_end, out);
        }
    }
    if schema.fields.iter().any(|field| field.key == "max") && !out.contains("max = 9") {
        out.push_str("max = 9");
        out.push_str(line_end);
    }
}

fn write_entry(field: &schema::Field, depth: usize, dice: &mut Dice<'_>, line_end: &str, out: &mut String) {
    let key = field.key;
    // These keys depend on each other; leave them absent, with their defaults.
    if matches!(key, "max" | "id" | "name")
        || (key == "type" && field.absent.to_json() == Some("horizontal".into()))
    {
        return;
    }
    let written = match &field.kind {
        Kind::Text => {
            format!("{key} = \"{}\"", ["service", "batch", "a", "${node.class}", ""][dice.throw(5) as usize])
        }
        Kind::Integer => format!("{key} = {}", i16::from(dice.throw(100)) - 10),
        Kind::IntegerIn(least, _) => format!("{key} = {}", least + i64::from(dice.throw(100))),
        Kind::Flag => format!("{key} = {}", dice.throw(2) == 1),
        Kind::Duration => format!("{key} = \"{}s\"", dice.throw(200)),
        Kind::Texts => format!("{key} = [\"a\", \"b\"]"),
        Kind::TextMap => block(key, "a = \"b\"", line_end),
        Kind::TextsMap => block(key, "X-A = [\"b\"]", line_end),
        Kind::Free => block(key, "a = [1, { b = 2.5 }]", line_end),
        Kind::One(schema) | Kind::Many(schema) | Kind::ByName(schema) => {
            let mut inner = String::new();
            write_body(schema, depth + 1, dice, line_end, &mut inner);
            let named = matches!(field.kind, Kind::Many(_) | Kind::ByName(_)) && schema.label.is_some();
            let label = if named { " \"one\"" } else { "" };
            block(&format!("{key}{label}"), &inner, line_end)
        }
        Kind::ManyBy(..) if key == "scaling" => block("scaling \"cpu\"", "max = 9", line_end),
        Kind::ManyBy(..) => block(key, "attribute = \"${meta.a}\"", line_end),
    };
    // Writing to a `String` cannot fail.
    let _ = write!(out, "{written}{line_end}");
}

fn block(head: &str, inner: &str, line_end: &str) -> String {
    format!("{head} {{{line_end}{inner}{line_end}}}")
}

prop_compose! {
    fn jobspec()(dice in proptest::collection::vec(any::<u8>(), 0..400), one_line in any::<bool>()) -> String {
        let line_end = if one_line { " " } else { "\n" };
        let mut inner = String::new();
        write_body(&schema::JOB, 0, &mut Dice(dice.iter()), line_end, &mut inner);
        block("job \"x\"", &inner, line_end)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_jobspec_is_a_job_whose_canonical_form_is_stable(text in jobspec()) {
        let parsed = parse(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let mut job = decode_job(&serde_json::to_vec(&parsed).unwrap()).map_err(TestCaseError::fail)?;
        canonicalise(&mut job);
        let mut twice = job.clone();
        canonicalise(&mut twice);
        prop_assert_eq!(&twice, &job);
        prop_assert_eq!(&parse_spec(&spec_json(&job)).unwrap(), &job);
        // Validation must not panic.
        let _ = validate(&job);
    }

    #[test]
    fn the_canonical_answer_registers_the_same_job(text in jobspec()) {
        let registered = |canonicalize| {
            let parsed = parse_document(&text, &Variables::new(), canonicalize).unwrap();
            let mut job = decode_job(&serde_json::to_vec(&parsed).unwrap()).unwrap();
            canonicalise(&mut job);
            // Free-form members are registered as the answer has them, and the two answers differ in defaults.
            job.multiregion = None;
            for group in &mut job.task_groups {
                let of_tasks = group.tasks.iter_mut().flat_map(|task| &mut task.services);
                group.services.iter_mut().chain(of_tasks).for_each(|service| service.connect = None);
            }
            job
        };
        prop_assert_eq!(registered(false), registered(true));
    }

    #[test]
    fn any_words_are_answered(words in proptest::collection::vec("job|group|task|\"x\"|\\{|\\}|=|\n|1|[a-z]{1,4}", 0..40)) {
        let _ = parse(&words.join(" "));
    }
}
