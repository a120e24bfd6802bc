//! Notes: a feature of the unreleased feature level, for tests of mixed releases.

use futures::future::BoxFuture;
use ordu_core::command::NotePut;

use crate::http::answer::Answer;
use crate::http::dispatch::Call;
use crate::http::error::HttpError;

/// `PUT /v1/operator/ordu/note`: stores the note `?text` under `?name`.
pub(crate) fn put(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let given = |param| call.request.given(param).unwrap_or_default().to_owned();
        let command = NotePut { name: given("name"), text: given("text") };
        let written = call.api.context.writer.write(command).await?;
        Ok(Answer::done(Some(written.index)))
    })
}
