//! The API's document of a deployment, member by member.

use ordu_proto::state::{Deployment, DeploymentState, DeploymentStatus};
use serde_json::{Value, json};

use crate::job::{DeploymentDocument, deployment_document};

fn row() -> Deployment {
    let group = DeploymentState {
        desired_total: 1,
        placed_allocs: 1,
        progress_deadline_ns: 600_000_000_000,
        require_progress_by_ns: 1_767_225_600_500_000_000,
        ..DeploymentState::default()
    };
    Deployment {
        id: (1..=16).collect(),
        namespace: "default".to_owned(),
        job_id: "basic".to_owned(),
        job_version: 2,
        job_create_index: 10,
        job_modify_index: 12,
        job_spec_modify_index: 11,
        groups: [("web".to_owned(), group)].into(),
        status: DeploymentStatus::Running.into(),
        status_description: "Deployment is running".to_owned(),
        create_index: 13,
        modify_index: 14,
        ..Deployment::default()
    }
}

fn document(row: &Deployment) -> Value {
    let mut document = Vec::new();
    deployment_document(row, &mut document);
    let written = serde_json::from_slice(&document).unwrap();
    assert_eq!(written, serde_json::to_value(DeploymentDocument::of(row)).unwrap());
    written
}

#[test]
fn a_deployment_has_the_members_of_the_wire() {
    let expected = json!({
        "ID": "01020304-0506-0708-090a-0b0c0d0e0f10", "Namespace": "default", "JobID": "basic", "JobVersion": 2,
        "JobCreateIndex": 10, "JobModifyIndex": 12, "JobSpecModifyIndex": 11, "IsMultiregion": false,
        "Status": "running", "StatusDescription": "Deployment is running", "CreateIndex": 13, "ModifyIndex": 14,
        "TaskGroups": {"web": {
            "AutoPromote": false, "AutoRevert": false, "DesiredCanaries": 0, "DesiredTotal": 1,
            "HealthyAllocs": 0, "PlacedAllocs": 1, "PlacedCanaries": null, "ProgressDeadline": 600_000_000_000_i64,
            "Promoted": false, "RequireProgressBy": "2026-01-01T00:00:00.5Z", "UnhealthyAllocs": 0,
        }},
    });
    assert_eq!(expected, document(&row()));
}

#[test]
fn each_member_of_a_group_is_told_as_it_stands() {
    let mut row = row();
    row.groups.insert(
        "api".to_owned(),
        DeploymentState {
            auto_revert: true,
            auto_promote: true,
            promoted: true,
            placed_canaries: vec![vec![0xab; 16]],
            desired_canaries: 1,
            desired_total: 2,
            placed_allocs: 3,
            healthy_allocs: 4,
            unhealthy_allocs: 5,
            progress_deadline_ns: 6,
            require_progress_by_ns: 0,
        },
    );
    let expected = json!({
        "AutoPromote": true, "AutoRevert": true, "DesiredCanaries": 1, "DesiredTotal": 2, "HealthyAllocs": 4,
        "PlacedAllocs": 3, "PlacedCanaries": ["abababab-abab-abab-abab-abababababab"], "ProgressDeadline": 6,
        "Promoted": true, "RequireProgressBy": "0001-01-01T00:00:00Z", "UnhealthyAllocs": 5,
    });
    assert_eq!(expected, document(&row)["TaskGroups"]["api"]);
}

#[test]
fn every_status_has_its_word_and_every_row_a_document() {
    for (status, word) in [
        (DeploymentStatus::Unspecified, "running"),
        (DeploymentStatus::Running, "running"),
        (DeploymentStatus::Paused, "paused"),
        (DeploymentStatus::Failed, "failed"),
        (DeploymentStatus::Successful, "successful"),
        (DeploymentStatus::Cancelled, "cancelled"),
    ] {
        assert_eq!(word, document(&Deployment { status: status.into(), ..row() })["Status"]);
    }
    for time_ns in [i64::MIN, -1, i64::MAX] {
        let mut row = row();
        row.groups.get_mut("web").unwrap().require_progress_by_ns = time_ns;
        assert!(document(&row)["TaskGroups"]["web"]["RequireProgressBy"].as_str().unwrap().ends_with('Z'));
    }
    assert_eq!("", document(&Deployment::default())["ID"]);
}
