//! Specifications written by another release: members that this release does not know must be kept.

use ordu_proto::command::JobDispatched;

use super::children::{dispatch, forced, launch};
use super::versions::{revert, stability};
use super::*;

const MINUTE: i64 = 60_000_000_000;

/// The members of a specification that commands edit.
#[derive(Clone, Copy)]
struct Edited<'a> {
    id: &'a str,
    count: i64,
    periodic: &'a str,
    meta: &'a str,
}

impl Edited<'_> {
    /// Returns a specification with unknown members at every depth, and known members of other types.
    fn spec(self) -> String {
        let Edited { id, count, periodic, meta } = self;
        let task = r#"{"Name":"t","Newest":{"b":1,"a":[ ]},"KillTimeout":"5s"}"#;
        let group =
            format!(r#"{{"First":-0.0,"Name":"g","Count":{count},"Newer":["\u00e9",1e3],"Tasks":[{task}]}}"#);
        let other = r#"{"Name":"other","Count":1,"Newer":{}}"#;
        let parameters =
            r#"{"Payload":"optional","MetaRequired":null,"MetaOptional":["b"],"MetaNewer":["c"]}"#;
        format!(
            r#"{{"Newer":{{"Deep":[1.0,{{"x":null}}]}},"ID":"{id}","Name":"{id}","Priority":"high","TaskGroups":[{group},{other}],"Periodic":{periodic},"ParameterizedJob":{parameters},"Meta":{meta},"Last":18446744073709551616}}"#
        )
    }
}

const SCHEDULE: &str = r#"{"Enabled":true,"Spec":"* * * * *","SpecType":"cron","Newer":[7]}"#;

const PLAIN: Edited<'_> = Edited {
    id: "j",
    count: 1,
    periodic: "null",
    meta: r#"{"a":"1","c":"\u0033","newer":{"Of":"objects"}}"#,
};

fn registration(row: Job, spec: &str) -> JobRegister {
    let groups = ["g", "other"].map(|name| GroupCount { name: name.into(), count: 1 }).to_vec();
    JobRegister { groups, ..register(row, spec, None) }
}

#[test]
fn a_registration_that_keeps_the_counts_changes_nothing_else() {
    let mut world = World::new();
    world.accept(registration(job("j"), &Edited { count: 7, ..PLAIN }.spec()));
    let newer = Edited { meta: r#"{"newer":true}"#, ..PLAIN };
    let kept = JobRegister { preserve_counts: true, ..registration(job("j"), &newer.spec()) };
    world.accept(kept);
    assert_eq!(Edited { count: 7, ..newer }.spec(), world.spec_text("j"));
}

#[test]
fn a_dispatch_changes_the_name_and_the_metadata_that_it_brings() {
    let mut world = World::new();
    let row = Job { parameterized: true, ..job("j") };
    world.accept(registration(row, &PLAIN.spec()));
    for (number, meta, expected) in [
        (1, [].as_slice(), PLAIN.meta),
        (2, [("b", "new")].as_slice(), r#"{"a":"1","b":"new","c":"\u0033","newer":{"Of":"objects"}}"#),
    ] {
        let JobDispatched { child_id, .. } = world.answer(dispatch("j", meta, b"", number));
        let expected = Edited { id: &child_id, meta: expected, ..PLAIN };
        assert_eq!(expected.spec(), world.spec_text(&child_id));
        assert_eq!(2, world.summary(&child_id).unwrap().groups.len());
    }
}

#[test]
fn a_launch_changes_the_name_and_takes_the_schedule_away() {
    let mut world = World::new();
    let periodic = Edited { periodic: SCHEDULE, ..PLAIN };
    let row = Job { periodic: true, ..job("j") };
    world.accept(registration(row.clone(), &periodic.spec()));
    world.time_ns = 2 * MINUTE + 1;
    for (command, child) in [(launch("j", MINUTE, 1), "j/periodic-60"), (forced("j", 2), "j/periodic-120")] {
        world.accept(command);
        assert_eq!(Edited { id: child, ..PLAIN }.spec(), world.spec_text(child));
        assert!(!world.job(child).periodic);
    }
    // A schedule is unchanged only if all its members are, including those that this release does not know.
    let schedule =
        |world: &World| read::periodic_launch(&world.tables, "default", "j").unwrap().unwrap().launch_ns;
    world.accept(registration(row.clone(), &Edited { count: 2, ..periodic }.spec()));
    assert_eq!(MINUTE, schedule(&world));
    let other = SCHEDULE.replace("[7]", "[8]");
    world.accept(registration(row, &Edited { periodic: &other, ..periodic }.spec()));
    assert_eq!(world.time_ns, schedule(&world));
}

#[test]
fn a_revert_and_a_mark_store_the_version_as_it_was() {
    for back in [Proposal::from(revert("j", 0, None, 9)), stability("j", 0, true).into()] {
        let mut world = World::new();
        world.accept(registration(job("j"), &PLAIN.spec()));
        world.accept(registration(job("j"), &Edited { count: 2, ..PLAIN }.spec()));
        world.accept(back);
        assert_eq!(PLAIN.spec(), world.spec_text("j"));
    }
}
