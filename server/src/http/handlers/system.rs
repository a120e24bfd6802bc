//! Operators' writes to the state as a whole.

use futures::future::BoxFuture;
use ordu_core::command::Reconciled;
use ordu_proto::command::SummariesReconcile;

use crate::http::answer::Answer;
use crate::http::dispatch::Call;
use crate::http::error::HttpError;

/// `PUT /v1/system/reconcile/summaries`.
pub(crate) fn reconcile_summaries(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let mut after = Vec::new();
        loop {
            let command = SummariesReconcile { after };
            let written = call.api.context.writer.write(command).await?;
            match written.answer {
                Reconciled::Continued(continued) => after = continued.after,
                Reconciled::Done(_) => return Ok(Answer::done(Some(written.index))),
            }
        }
    })
}
