//! Pages in a browser change nothing here, and every answer says that its type is what it is.

use super::*;

const MOZILLA: (&str, &str) =
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_registers_no_job_neither_by_a_plain_form_nor_by_a_name_that_leads_here() {
    let api = Fixture::start().await;
    let body = registration("foreign", 50).to_string();
    let plain = ("content-type", "text/plain");
    let own = "127.0.0.1:4646";
    for (host, origin) in [
        (own, Some("http://evil.example")),
        (own, Some("null")),
        ("evil.example:4646", Some("http://evil.example:4646")),
        ("evil.example:4646", None),
    ] {
        let mut headers = vec![("host", host), plain, MOZILLA];
        headers.extend(origin.map(|origin| ("origin", origin)));
        for (method, target) in [
            ("POST", "/v1/jobs"),
            ("PUT", "/v1/job/foreign"),
            ("POST", "/v1/jobs/parse"),
            ("DELETE", "/v1/job/foreign"),
            ("PUT", "/v1/system/reconcile/summaries"),
        ] {
            let refused = api.send(method, target, &headers, &body).await;
            assert_eq!(StatusCode::FORBIDDEN, refused.status, "{host} {origin:?} {method} {target}");
            assert!(refused.text().len() > 40, "{}", refused.text());
        }
    }
    assert_eq!((json!([]), 0), {
        let jobs = api.get("/v1/jobs").await;
        (jobs.json(), jobs.index())
    });
    // What a name leads here for is not told either; an own name is, and a foreign page may at most cause a read.
    for (host, status) in [("evil.example", 403), (own, 200), ("localhost", 200)] {
        let headers = [("host", host), ("origin", "http://evil.example"), MOZILLA];
        assert_eq!(status, api.send("GET", "/v1/jobs", &headers, "").await.status.as_u16(), "{host}");
    }
    let page_of_its_own = [("host", own), ("origin", "http://127.0.0.1:4646"), plain, MOZILLA];
    assert_eq!(StatusCode::OK, api.send("POST", "/v1/jobs", &page_of_its_own, &body).await.status);
    let client = [("host", "any.example"), ("user-agent", "Go-http-client/1.1")];
    assert_eq!(StatusCode::OK, api.send("POST", "/v1/jobs", &client, &body).await.status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_says_that_its_type_is_not_to_be_guessed() {
    let api = Fixture::start().await;
    for (method, target, headers, status) in [
        ("GET", "/v1/jobs", &[][..], 200),
        ("GET", "/v1/jobs", &[("accept-encoding", "gzip")], 200),
        ("GET", "/v1/job/none", &[], 404),
        ("GET", "/v1/metrics?format=prometheus", &[], 200),
        ("GET", "/ui/", &[], 404),
        ("PATCH", "/v1/jobs", &[], 405),
        ("POST", "/v1/jobs", &[], 400),
        ("GET", "/v1/jobs", &[("host", "evil.example"), MOZILLA], 403),
    ] {
        let answer = api.send(method, target, headers, "").await;
        assert_eq!(status, answer.status.as_u16(), "{method} {target}");
        assert_eq!("nosniff", answer.headers["x-content-type-options"], "{method} {target}");
    }
}
