//! Bodies of the other requests about jobs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::small_job;
use crate::job::{
    BodyError, DispatchRequest, EvaluateRequest, RevertRequest, StableRequest, decode_dispatch,
    decode_evaluate, decode_plan, decode_revert, decode_stable, decode_update, decode_validate,
    validation_document,
};

/// Decodes a body for the job `a` and drops the result.
type Decode = fn(&[u8]) -> Result<(), BodyError>;

fn assert_refused(decode: Decode, cases: &[(&str, &str)]) {
    for (body, text) in cases {
        let refused = decode(body.as_bytes()).unwrap_err();
        assert_eq!((refused.status, refused.text.as_str()), (400, *text), "{body}");
    }
}

#[test]
fn the_job_of_a_body_is_that_of_the_path() {
    assert_refused(
        |body| decode_update("a", body).map(drop),
        &[
            ("", "Request body is empty"),
            ("{}", "Job must be specified"),
            (r#"{"Job": {}}"#, "Job ID hasn't been provided"),
            (r#"{"Job": {"ID": "b"}}"#, "Job ID does not match name"),
        ],
    );
    assert_refused(
        |body| decode_plan("a", body).map(drop),
        &[
            ("", "Request body is empty"),
            (r#"{"Diff": true}"#, "Job must be specified"),
            (r#"{"Job": {}}"#, "Job must have a valid ID"),
            (r#"{"Job": {"ID": "b"}}"#, "Job ID does not match"),
            ("[]", "json: cannot unmarshal array into Go value of type api.JobPlanRequest"),
        ],
    );
    assert_eq!(decode_update("a", br#"{"Job": {"ID": "a"}}"#).unwrap().job.id, "a");
}

#[test]
fn a_plan_says_whether_to_tell_the_differences() {
    let body = json!({"Job": small_job("batch"), "Diff": true, "PolicyOverride": true, "Namespace": "n"});
    let plan = decode_plan("small", body.to_string().as_bytes()).unwrap();
    assert!(plan.diff && plan.submitted.policy_override && !plan.submitted.enforce_index);
    assert_eq!((plan.submitted.job.id.as_str(), plan.submitted.namespace.as_str()), ("small", "n"));
}

#[test]
fn versions_are_named_by_number() {
    let body = br#"{"JobID": "a", "JobVersion": 3, "EnforcePriorVersion": 0, "ConsulToken": "c",
        "VaultToken": "v", "Region": "r", "Namespace": "n"}"#;
    let expected = RevertRequest {
        version: 3,
        enforced_prior_version: Some(0),
        consul_token: "c".to_owned(),
        vault_token: "v".to_owned(),
        region: "r".to_owned(),
        namespace: "n".to_owned(),
    };
    assert_eq!(decode_revert("a", body), Ok(expected));
    let expected = StableRequest { version: 1, stable: true, ..StableRequest::default() };
    assert_eq!(decode_stable("a", br#"{"jobid": "a", "jobversion": 1, "stable": true}"#), Ok(expected));

    let unread =
        "json: cannot unmarshal number -1 into Go struct field JobRevertRequest.JobVersion of type uint64";
    let both = [
        ("", "Request body is empty"),
        ("null", "JobID must be specified"),
        (r#"{"JobVersion": 1}"#, "JobID must be specified"),
        (r#"{"JobID": "b", "JobVersion": 1}"#, "Job ID does not match"),
    ];
    assert_refused(|body| decode_revert("a", body).map(drop), &both);
    assert_refused(|body| decode_stable("a", body).map(drop), &both);
    assert_refused(
        |body| decode_revert("a", body).map(drop),
        &[(r#"{"JobID": "a", "JobVersion": -1}"#, unread)],
    );
}

#[test]
fn a_dispatch_brings_bytes_and_words() {
    let body = br#"{"JobID": "a", "Payload": "aGVsbG8=", "Meta": {"Key": "v"}, "IdPrefixTemplate": "p",
        "IdempotencyToken": "t"}"#;
    let expected = DispatchRequest {
        payload: b"hello".to_vec(),
        meta: BTreeMap::from([("Key".to_owned(), "v".to_owned())]),
        id_prefix_template: "p".to_owned(),
        idempotency_token: "t".to_owned(),
        ..DispatchRequest::default()
    };
    assert_eq!(decode_dispatch("a", body), Ok(expected));
    assert_eq!(decode_dispatch("a", br#"{"Payload": null, "Meta": null}"#), Ok(DispatchRequest::default()));
    assert_refused(
        |body| decode_dispatch("a", body).map(drop),
        &[
            ("", "Request body is empty"),
            (r#"{"JobID": "other", "Meta": {"must": "1"}}"#, "Job ID does not match"),
            (r#"{"Payload": "!!"}"#, "illegal base64 data at input byte 0"),
            (r#"{"Payload": "A28C3=="}"#, "illegal base64 data at input byte 5"),
            (
                r#"{"Payload": 7}"#,
                "json: cannot unmarshal number into Go struct field JobDispatchRequest.Payload of type []uint8",
            ),
            ("7", "json: cannot unmarshal number into Go value of type structs.JobDispatchRequest"),
        ],
    );
}

#[test]
fn the_body_of_an_evaluation_may_be_left_out_but_not_be_wrong() {
    for (body, force_reschedule) in [
        ("", false),
        (" \n", false),
        (r#"{"JobID":"a"}"#, false),
        (r#"{"jobid":"a","EvalOptions":{"ForceReschedule":true}}"#, true),
        (r#"{"JobID":"a","EvalOptions":null}"#, false),
        (r#"{"JobID":"a","EvalOptions":{"ForceReschedule":null}}"#, false),
    ] {
        let expected = EvaluateRequest { force_reschedule, ..EvaluateRequest::default() };
        assert_eq!(decode_evaluate("a", body.as_bytes()), Ok(expected), "{body}");
    }
    assert_refused(
        |body| decode_evaluate("a", body).map(drop),
        &[
            ("nonsense", "invalid character 'o' in literal null (expecting 'u')"),
            ("[]", "json: cannot unmarshal array into Go value of type structs.JobEvaluateRequest"),
            ("{}", "Job ID must be specified"),
            (r#"{"JobID":"b"}"#, "JobID not same as job name"),
            (
                r#"{"JobID":"a","EvalOptions":{"ForceReschedule":1}}"#,
                "json: cannot unmarshal number into Go struct field EvalOptions.EvalOptions.ForceReschedule of type bool",
            ),
        ],
    );
}

#[test]
fn a_validation_tells_every_fault_and_warning() {
    let validated = |job: Value| -> Value {
        let request = decode_validate(json!({ "Job": job }).to_string().as_bytes()).unwrap();
        serde_json::from_slice(&validation_document(request, &|_| false)).unwrap()
    };
    let parallel = "1 warning(s):\n\n* Group \"g\" has warnings: 1 error occurred:\n\t* Update max parallel count is greater than task group count (1 > 0). A destructive change would result in the simultaneous replacement of all allocations.\n\n";
    let mut job = small_job("service");
    job["TaskGroups"][0]["Count"] = json!(0);
    assert_eq!(
        validated(job.clone()),
        json!({"DriverConfigValidated": true, "Error": "", "ValidationErrors": null, "Warnings": parallel})
    );
    job["Priority"] = json!(200);
    job["Datacenters"] = json!([]);
    job.as_object_mut().unwrap().remove("ID");
    assert_eq!(
        validated(job),
        json!({
            "DriverConfigValidated": true,
            "Error": "3 errors occurred:\n\t* Missing job ID\n\t* Job priority must be between [1, 100]\n\t* Missing job datacenters\n\n",
            "ValidationErrors": [
                "Missing job ID", "Job priority must be between [1, 100]", "Missing job datacenters",
            ],
            "Warnings": parallel,
        })
    );
    assert_refused(
        |body| decode_validate(body).map(drop),
        &[("", "Request body is empty"), ("{}", "Job must be specified")],
    );
}
