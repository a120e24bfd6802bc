//! Tests of how a leader treats forwarded commands.

use ordu_core::command::{FEATURE_LEVEL, envelope};
use ordu_proto::command::{Done, EvalUpdate};
use tokio::time::Instant;

use super::*;
use crate::testing::one_server;

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_cannot_be_read_is_not_logged_and_the_rest_of_its_batch_is() {
    let server = one_server().await;
    let raft = server.context().cluster.raft();
    let known = envelope(Some([7; 16]), 0, 5, EvalUpdate::default());
    let mut newer = known.clone();
    newer.head.feature_level = FEATURE_LEVEL + 1;
    let batch = || [Bytes::new(), known.encode_to_vec().into(), newer.encode_to_vec().into()].to_vec();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let results = propose_all(raft, &server.context().clock, |_| None, batch()).await;
        let results: Vec<_> = results.into_iter().map(|result| result.result.unwrap()).collect();
        let [propose_result::Result::Unreadable(empty), decided, propose_result::Result::Unreadable(newer)] =
            &results[..]
        else {
            panic!("{results:?}");
        };
        assert!(empty.contains("feature level 0"), "{empty}");
        assert!(newer.contains(&format!("feature level {}", FEATURE_LEVEL + 1)), "{newer}");
        if let propose_result::Result::Applied(applied) = decided {
            let outcome = Outcome::decode(applied.outcome.clone()).unwrap();
            assert!(outcome.answer::<Done>().is_some(), "{outcome:?}");
            return;
        }
        assert!(Instant::now() < deadline, "{decided:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
