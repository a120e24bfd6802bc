//! Rejected constraints, affinities and spreads.

use serde_json::json;

use super::{assert_refused, of_group, of_task, one};

#[test]
fn faults_of_placement() {
    let constraint =
        |operand: &str, right: &str| json!([{"LTarget": "a", "RTarget": right, "Operand": operand}]);
    let in_constraint = |fault: &str| one(&format!("Constraint 1 validation failed: {}", one(fault)));
    let in_affinity = |fault: &str| one(&format!("Affinity 1 validation failed: {}", one(fault)));
    let in_spread = |fault: &str| one(&format!("Spread 1 validation failed: {}", one(fault)));
    let affinity = |weight: i64| json!([{"LTarget": "a", "RTarget": "b", "Operand": "=", "Weight": weight}]);
    assert_refused(
        "service",
        &[
            ("/Constraints", constraint("nope", "b"), in_constraint("Unknown constraint type \"nope\"")),
            ("/Constraints", constraint("=", ""), in_constraint("Operator \"=\" requires an RTarget")),
            (
                "/Constraints",
                constraint("is_set", "b"),
                in_constraint("Operator \"is_set\" does not support an RTarget"),
            ),
            (
                "/Constraints",
                constraint("version", "> nope"),
                in_constraint("Version constraint is invalid: Malformed constraint: > nope"),
            ),
            (
                "/Constraints",
                constraint("distinct_property", "0"),
                in_constraint("Distinct Property must have an allowed count of 1 or greater: 0 < 1"),
            ),
            (
                "/Constraints",
                constraint("regexp", "("),
                in_constraint(
                    "Regular expression failed to compile: error parsing regexp: missing closing ): `(`",
                ),
            ),
            (
                "/Constraints",
                constraint("regexp", "\\pL{1000}"),
                in_constraint(
                    "Regular expression failed to compile: error parsing regexp: expression too large: `\\pL{1000}`",
                ),
            ),
            (
                "/Constraints",
                constraint("semver", ">= 1.0, ~> 1.2"),
                in_constraint("Semver constraint is invalid: Malformed constraint:  ~> 1.2"),
            ),
            (
                "/Constraints",
                json!([{"RTarget": "b", "Operand": "="}]),
                in_constraint("No LTarget provided but is required by constraint"),
            ),
            ("/Affinities", affinity(0), in_affinity("Affinity weight cannot be zero")),
            (
                "/Affinities",
                affinity(101),
                in_affinity("Affinity weight must be within the range [-100,100]"),
            ),
            (
                "/Spreads",
                json!([{"Attribute": "${node.datacenter}", "Weight": 50, "SpreadTarget": [{"Value": "a", "Percent": 60}, {"Value": "b", "Percent": 60}]}]),
                in_spread("Sum of spread target percentages must not be greater than 100%; got 120%"),
            ),
            (
                "/Spreads",
                json!([{"Attribute": "${node.datacenter}", "Weight": 101}]),
                in_spread("Spread stanza must have a positive weight from 0 to 100"),
            ),
            ("/Constraints", constraint("distinct_hosts", ""), String::new()),
            ("/Constraints", constraint("regexp", "${meta.x}("), String::new()),
        ],
    );
    assert_refused(
        "system",
        &[
            ("/Affinities", affinity(50), one("System jobs may not have an affinity stanza")),
            ("/Spreads", json!([{"Attribute": "a"}]), one("System jobs may not have a spread stanza")),
            (
                "/TaskGroups/0/Count",
                json!(3),
                one("Job task group g has count 3. Count cannot exceed 1 with system scheduler"),
            ),
            (
                "/TaskGroups/0/ReschedulePolicy",
                json!({"Attempts": 1}),
                of_group(&one("System jobs should not have a reschedule policy")),
            ),
        ],
    );
}

#[test]
fn a_constraint_that_says_nothing_is_told_what_it_lacks() {
    let text = "1 error occurred:\n\t* Constraint 1 validation failed: 3 errors occurred:\n\t* Missing constraint operand\n\t* Unknown constraint type \"\"\n\t* No LTarget provided but is required by constraint\n\n\n\n";
    assert_refused("service", &[("/Constraints", json!([{}]), text.to_owned())]);
    let text = text.replace("Constraint 1", "Affinity 1").replace("constraint operand", "affinity operand");
    let text = text.replace("constraint type", "affinity operator").replace(" by constraint", "");
    assert_refused("service", &[("/Affinities", json!([{}]), text)]);
}

#[test]
fn tasks_and_devices_do_not_look_at_other_allocations() {
    let both = json!([{"LTarget": "a", "Operand": "nope"}, {"Operand": "distinct_hosts"}]);
    let unknown = |number: u8| {
        format!("Constraint {number} validation failed: {}", one("Unknown constraint type \"nope\""))
    };
    let of_task_text = format!(
        "2 errors occurred:\n\t* {}\n\t* Constraint 2 has disallowed Operand at task level: distinct_hosts\n\n",
        unknown(1)
    );
    let of_device_text = format!(
        "2 errors occurred:\n\t* {}\n\t* Constraint 2 validation failed: using unsupported operand \"distinct_hosts\"\n\n",
        unknown(1)
    );
    assert_refused(
        "service",
        &[
            ("/TaskGroups/0/Tasks/0/Constraints", both.clone(), of_task(&of_task_text)),
            (
                "/TaskGroups/0/Tasks/0/Resources/Devices",
                json!([{"Name": "gpu", "Constraints": both}]),
                of_task(&one(&one(&format!("device 1 failed validation: {of_device_text}")))),
            ),
        ],
    );
}

#[test]
fn regular_expressions_are_refused_in_known_words() {
    for (pattern, reason) in [
        ("a(", "missing closing ): `a(`"),
        ("a[z-a]", "invalid character class range: `z-a`"),
        ("\\p{Nonsense}", "invalid character class range: `\\p{Nonsense}`"),
        ("x{1001}", "invalid repeat count: `{1001}`"),
    ] {
        let told = one(&format!("Regular expression failed to compile: error parsing regexp: {reason}"));
        assert_refused(
            "service",
            &[(
                "/Constraints",
                json!([{"LTarget": "a", "RTarget": pattern, "Operand": "regexp"}]),
                one(&format!("Constraint 1 validation failed: {told}")),
            )],
        );
    }
}

#[test]
fn more_regular_expressions_than_can_be_looked_at_are_refused_unseen() {
    let many = vec![json!({"LTarget": "a", "RTarget": "(", "Operand": "regexp"}); 65];
    let told =
        "the job has 65 regular expressions in its constraints and affinities, and at most 64 are allowed";
    assert_refused("service", &[("/TaskGroups/0/Tasks/0/Affinities", json!(many), one(told))]);
}

#[test]
fn constraints_longer_than_can_be_asked_of_nodes_are_refused_unseen() {
    let side = |bytes: usize| json!({"LTarget": "a", "RTarget": "x".repeat(bytes), "Operand": "="});
    let cases = [
        (
            json!([side(65_537)]),
            "the job has 65537 bytes in one side of a constraint or affinity, and at most 65536 are allowed",
        ),
        (
            json!(vec![side(65_536); 8]),
            "the job has 524296 bytes of constraints and affinities, and at most 524288 are allowed",
        ),
    ];
    for (constraints, told) in cases {
        assert_refused("service", &[("/TaskGroups/0/Constraints", constraints, one(told))]);
    }
}
