//! Requests to parse a jobspec.

use crate::jobspec::ParseRequest;
use serde_json::json;

#[test]
fn a_request_says_what_it_wants() {
    let request = ParseRequest::decode(br#"{"JobHCL": "job \"x\" {}", "Canonicalize": true}"#).unwrap();
    let wanted =
        ParseRequest { job_hcl: "job \"x\" {}".to_owned(), canonicalize: true, ..ParseRequest::default() };
    assert_eq!(request, wanted);
    let request =
        ParseRequest::decode(br#"{"jobhcl": "x", "HCLv1": true, "variables": "a = 1", "Other": null}"#);
    assert_eq!(request.map(|request| (request.hcl1, request.variables)), Ok((true, "a = 1".to_owned())));
}

#[test]
fn a_request_that_says_nothing_is_refused_in_nomads_words() {
    let cases = [
        ("", "Request body is empty"),
        ("  ", "Request body is empty"),
        ("{}", "Job spec is empty"),
        (r#"{"JobHCL": ""}"#, "Job spec is empty"),
        (r#"{"JobHCL": null}"#, "Job spec is empty"),
    ];
    for (body, wanted) in cases {
        assert_eq!(ParseRequest::decode(body.as_bytes()), Err(wanted.to_owned()), "{body:?}");
    }
    for body in ["{", "[]", r#"{"JobHCL": 1}"#, "nonsense"] {
        assert!(ParseRequest::decode(body.as_bytes()).is_err(), "{body:?}");
    }
}

#[test]
fn the_answer_is_the_job_or_the_fault() {
    let request = |job_hcl: &str, hcl1: bool, variables: &str| ParseRequest {
        job_hcl: job_hcl.to_owned(),
        hcl1,
        variables: variables.to_owned(),
        ..ParseRequest::default()
    };
    let text = "variable \"name\" {}\njob \"x\" {\n  region = var.name\n}";
    let job = request(text, false, "name = \"north\"").answer(1).unwrap();
    assert_eq!(job["Region"], json!("north"));
    let refused = request(text, false, "name = ").answer(1).unwrap_err();
    assert_eq!(
        refused,
        "Variables: line 1, column 8: a value has to stand here, not the end of the document"
    );
    assert!(
        request(text, false, "").answer(1).unwrap_err().starts_with("line 1, column 1: the variable `name`")
    );

    let text = "job \"x\" { meta { a = \"${NOMAD_X:-1}\" } }";
    assert_eq!(request(text, true, "").answer(1).unwrap()["Meta"], json!({"a": "${NOMAD_X:-1}"}));
    assert!(request(text, false, "").answer(1).is_err());
}
