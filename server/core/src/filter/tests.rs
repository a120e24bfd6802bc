//! Tables of expressions evaluated on rows, and property tests.

mod properties;
mod refusals;

use std::collections::BTreeMap;

use ordu_proto::state;
use serde::Serialize;
use serde_json::{Value, json};

use super::*;
use crate::job::JobStub;

/// A row as a list answer contains it.
fn row() -> Value {
    json!({
        "ID": "web/periodic-1",
        "Name": "web",
        "Datacenters": ["dc1", "dc2"],
        "Ports": [80, 443],
        "Type": "service",
        "Priority": 50,
        "Share": 0.5,
        "Stop": false,
        "StatusDescription": "",
        "Offset": -3,
        "Submit": 18446744073709551615_u64,
        "Meta": {"owner": "team-a", "a b": "spaced", "a/b": "slashed", "m~n": "tilde", "empty": ""},
        "Multiregion": null,
        "Constraints": [],
        "Devices": {},
        "TaskGroups": [
            {"Name": "api", "Count": 2, "Tasks": [{"Name": "run", "Driver": "exec"}]},
            {"Name": "db", "Count": 0, "Tasks": []},
        ],
        "any": "odd",
        "é": 1,
    })
}

fn holds<T: Serialize + ?Sized>(row: &T, expression: &str) -> bool {
    let filter = Filter::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    filter.matches(row).unwrap_or_else(|error| panic!("{expression}: {error}"))
}

#[track_caller]
fn check<T: Serialize + ?Sized>(row: &T, hold: &[&str], hold_not: &[&str]) {
    for expression in hold {
        assert!(holds(row, expression), "does not hold: {expression}");
    }
    for expression in hold_not {
        assert!(!holds(row, expression), "holds: {expression}");
    }
}

#[test]
fn values_are_read_as_what_the_selector_finds() {
    check(
        &row(),
        &[
            r#"Type == "service""#,
            "Type == service",
            "Type==service",
            "Type == `service`",
            r#"Type != "batch""#,
            "Priority == 50",
            r#"Priority == "50""#,
            "Priority == -0050 or Priority == 0050",
            "Priority != 49",
            "Offset == -3",
            "Submit == 18446744073709551615",
            "Submit != 18446744073709551616",
            "Share == 0.5",
            "Share == 0.50",
            "Share != 1",
            "Stop == false",
            "Stop == 0",
            "Stop == F",
            "Stop != true",
            r#"StatusDescription == """#,
            r#"Name == "\x77\u0065\142""#,
        ],
        &[
            r#"Type == "Service""#,
            r#"Type == " service""#,
            "Type == `servic\\x65`",
            "Priority == 5",
            "Submit == -1",
            "Stop == true",
            "Share == 0",
        ],
    );
}

#[test]
fn selectors_are_paths_pointers_and_indexes() {
    check(
        &row(),
        &[
            "Meta.owner == team_a or Meta.owner == `team-a`",
            r#"Meta["owner"] == "team-a""#,
            r#"Meta["a b"] == "spaced""#,
            "Meta[`a b`] == spaced",
            r#"Meta["a/b"] == slashed"#,
            r#""/Meta/a b" == spaced"#,
            r#""/Meta/a~1b" == slashed"#,
            r#""/Meta/m~0n" == tilde"#,
            "`/Meta/owner` == `team-a`",
            "TaskGroups.0.Name == api",
            "TaskGroups[1].Name == db",
            r#""/TaskGroups/0/Tasks/0/Driver" == exec"#,
            r#""/é" == 1"#,
            "TaskGroups.0.Count == 2 and TaskGroups.1.Count == 0",
            "any == odd and any is not empty",
        ],
        &["TaskGroups.0.Name == db", r#""/Meta/owner" == team"#],
    );
}

#[test]
fn containing_is_of_lists_maps_and_texts() {
    check(
        &row(),
        &[
            r#""dc1" in Datacenters"#,
            "dc1 in Datacenters",
            r#"Datacenters contains "dc2""#,
            r#""dc3" not in Datacenters"#,
            r#"Datacenters not contains "dc""#,
            "443 in Ports",
            "Ports not contains 8080",
            r#""owner" in Meta"#,
            r#"Meta contains "a b""#,
            r#""nobody" not in Meta"#,
            r#""periodic" in ID"#,
            r#"ID contains "/""#,
            r#"ID not contains "dispatch""#,
            r#""/dc" not in Datacenters"#,
            r#""dc1" in "/Datacenters""#,
            "Constraints not contains x and x not in Devices",
        ],
        &[r#""dc3" in Datacenters"#, r#""team-a" in Meta"#, "x in Constraints"],
    );
}

#[test]
fn emptiness_and_expressions_match_as_they_say() {
    check(
        &row(),
        &[
            "StatusDescription is empty",
            "Constraints is empty",
            "Devices is empty",
            "Multiregion is empty",
            "Multiregion is nil",
            "Meta.empty is empty",
            "Meta.empty is not nil",
            "Meta is not empty",
            "Datacenters is not empty",
            "Type is not empty and Type is not nil",
            r#"ID matches "^web/periodic-[0-9]+$""#,
            "Type matches serv",
            r#"Type not matches "^b""#,
            r"Name matches `^\w{3}$`",
        ],
        &["Datacenters is empty", "Name is nil", r#"Name matches "WEB""#, "Name not matches e"],
    );
}

#[test]
fn or_binds_least_then_and_then_not() {
    check(
        &row(),
        &[
            "Stop == false or Stop == false and Stop == true",
            "not Stop == true and Type == service",
            "not Stop == true or Type == batch and Type == batch",
            "not not Type == service",
            "not(Type == batch)",
            "(Type == batch or Type == service) and (Priority == 50)",
            "((((Type == service))))",
            " \n\tType\n==\tservice ",
            "not (Type == service and Stop == true)",
        ],
        &["(Stop == false or Stop == false) and Stop == true", "not Type == service or Stop == true"],
    );
}

#[test]
fn what_is_not_there_is_unequal_to_all() {
    for nothing in
        ["Meta.nobody", "Multiregion", "Multiregion.Regions", "TaskGroups.7.Name", "TaskGroups.0.Meta.x.y"]
    {
        let with = |rest: &str| format!("{nothing} {rest}");
        for rest in ["!= x", "not contains x", "not matches x", "is empty", "is nil"] {
            assert!(holds(&row(), &with(rest)), "{nothing} {rest}");
        }
        for rest in ["== x", r#"== """#, "contains x", "matches x", "is not empty", "is not nil"] {
            assert!(!holds(&row(), &with(rest)), "{nothing} {rest}");
        }
        assert!(holds(&row(), &format!("x not in {nothing}")));
        assert!(!holds(&row(), &format!("any {nothing} as x {{ x == x }}")));
        assert!(holds(&row(), &format!("all {nothing} as x {{ x == y }}")));
    }
}

#[test]
fn any_and_all_look_at_elements_keys_and_indexes() {
    check(
        &row(),
        &[
            "any Datacenters as dc { dc == dc2 }",
            "all Datacenters as dc { dc matches `^dc` }",
            "any Datacenters as i, dc { i == 1 and dc == dc2 }",
            "any Datacenters as _, dc { dc == dc1 }",
            "any TaskGroups as g { g.Count == 0 and g.Tasks is empty }",
            r#"any TaskGroups as g { any g.Tasks as t { t.Driver == exec and g["Name"] == api } }"#,
            "any Meta as k { k == owner }",
            "any Meta as k, v { k == owner and v == `team-a` }",
            "all Meta as _, v { v != nobody }",
            "any Ports as p { p == 443 } and not all Ports as p { p == 443 }",
            r#"any "/Ports" as p { p == 80 }"#,
            // A bound name shadows the member of that name; the row's other members remain accessible.
            "any Datacenters as Type { Type == dc1 and Stop == false }",
            "any Datacenters as x { any Ports as x { x == 80 } and x == dc1 }",
            "all Constraints as c { c == x }",
            "any TaskGroups as i, _ { i == 0 }",
        ],
        &[
            "any Datacenters as i, dc { i == 0 and dc == dc2 }",
            "all Datacenters as dc { dc == dc1 }",
            "any Constraints as c { c == x }",
            "any Meta as k { k == `team-a` }",
        ],
    );
}

/// A struct whose JSON omits some members.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Typed {
    name: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    next: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    wait: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    classes: BTreeMap<u8, bool>,
    inner: Option<Inner>,
    pair: (i8, f64),
}

#[derive(Default, Serialize)]
struct Inner {
    id: u32,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[test]
fn what_a_document_leaves_out_is_zero() {
    check(
        &Typed::default(),
        &[
            r#"Next == """#,
            "Next is empty and Next is nil",
            "Next != x and Next not contains x and Next not matches x",
            "Next matches `^$`",
            "Wait == 0 and Wait != 1",
            "Classes is empty and 1 not in Classes and Classes.1 is nil",
            "all Classes as k { k == 3 }",
            "Inner is nil and Inner.id != 3",
            "Pair.0 == 0 and Pair.1 == 0",
        ],
        &["Next == x", "Wait == 1", "Next is not empty", "any Classes as k { k == 3 }", "Next contains x"],
    );
    let full = Typed {
        next: "x",
        wait: 5,
        classes: BTreeMap::from([(1, true)]),
        inner: Some(Inner { id: 3 }),
        pair: (-1, 0.5),
        ..Typed::default()
    };
    check(
        &full,
        &[
            "Next == x and Wait == 5 and 1 in Classes and Classes.1 == true",
            "any Classes as k, v { k == 1 and v == true }",
            "Inner.id == 3 and Inner is not empty and Inner is not nil",
            "Pair.0 == -1 and Pair.1 == 0.5",
        ],
        &[],
    );
}

#[test]
fn names_of_types_are_checked_and_keys_of_maps_are_not() {
    let full = Typed { inner: Some(Inner { id: 3 }), ..Typed::default() };
    for (expression, expected) in [
        (
            "Nam == x",
            "failed to read result page: error finding value in datum: /Nam at part 0: couldn't find key \
             \"Nam\"; did you mean Name?",
        ),
        (
            "Inner.di == 3",
            "failed to read result page: error finding value in datum: /Inner/di at part 1: couldn't find \
             key \"di\"",
        ),
        (
            "name == x",
            "failed to read result page: error finding value in datum: /name at part 0: couldn't find key \
             \"name\"; did you mean Name?",
        ),
    ] {
        let error = Filter::parse(expression).unwrap().matches(&full).unwrap_err();
        assert_eq!(expected, error.to_string());
    }
    // Operands after the deciding one are not evaluated.
    check(&full, &["Wait == 0 or Nam == x"], &["Wait == 1 and Nam == x"]);
}

#[test]
fn entries_of_the_list_of_jobs_are_filtered_as_they_are() {
    let job = state::Job {
        id: "web".to_owned(),
        name: "web".to_owned(),
        r#type: "service".to_owned(),
        status: "running".to_owned(),
        priority: 50,
        datacenters: vec!["dc1".to_owned()],
        ..state::Job::default()
    };
    let groups = [("api".to_owned(), state::TaskGroupSummary { running: 2, ..Default::default() })];
    let summary = state::JobSummary { groups: groups.into(), ..state::JobSummary::default() };
    let stub = JobStub::of(&job, &summary);
    check(
        &stub,
        &[
            r#"Status == "running" and Type != "batch""#,
            "dc1 in Datacenters and Priority == 50 and Periodic == false",
            "JobSummary.Summary.api.Running == 2 and JobSummary.Summary.db.Running != 2",
            "any JobSummary.Summary as group, counts { group == api and counts.Running == 2 }",
            "JobSummary.Children.Pending == 0 and ParentID is empty and Multiregion is nil",
        ],
        &[r#"Status == "dead""#],
    );
    // The row gives the same results as JSON.
    let json = serde_json::to_value(&stub).unwrap();
    check(&json, &["Status == running and JobSummary.Summary.api.Running == 2"], &["Status == dead"]);
}

#[test]
fn a_filter_says_which_members_it_reads() {
    let filter =
        Filter::parse("Meta.a == 1 or any TaskGroups as t { t.Name == Meta.b } and x in Type").unwrap();
    assert_eq!(["Meta", "TaskGroups", "Type"], *filter.members().collect::<Vec<_>>());
}
