//! Reads of evaluations.

use ordu_core::state::rows::Evals;
use ordu_core::state::{Table, read};
use ordu_proto::state::Evaluation;

use super::{id_of, id_prefix, index_of};
use crate::http::answer::encode;
use crate::http::blocking::{Found, View};
use crate::http::documents::eval::{EvalDocument, status_word};
use crate::http::error::HttpError;
use crate::http::paging::{self, Listing, Paging, Take};
use crate::http::request::Request;
use crate::watch::Key;

pub(crate) fn list_keys(_: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::table(Table::Evals)])
}

pub(crate) fn list(view: &View<'_>) -> Result<Found, HttpError> {
    let (job, status) = (view.request.given("job"), view.request.given("status"));
    let listing = Listing {
        table: Table::Evals,
        prefix: &id_prefix(view.request, "eval")?,
        from: paging::from_id(view.request)?,
        belongs: &|eval: &Evaluation| {
            let is_asked = |asked: Option<&str>, has: &str| asked.is_none_or(|asked| asked == has);
            view.lists(&eval.namespace)
                && is_asked(job, &eval.job_id)
                && is_asked(status, status_word(eval.status()))
        },
        token: |eval| paging::id_token(&eval.id),
    };
    let mut show = |eval: &Evaluation, take: &mut Take<'_>| take(&EvalDocument::of(eval));
    let page = Paging::of(view.request)?.read(view, &listing, &mut show)?;
    Ok(Found::page(index_of(view.reader, Table::Evals)?, page))
}

pub(crate) fn of_job_keys(request: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::of_job(Table::EvalsByJob, request.namespace(), &request.id)])
}

pub(crate) fn of_job(view: &View<'_>) -> Result<Found, HttpError> {
    let evals = read::evals_of_job(view.reader, view.request.namespace(), &view.request.id)?;
    let mut show = |eval: &Evaluation, take: &mut Take<'_>| take(&EvalDocument::of(eval));
    let page = Paging::of(view.request)?.of_rows(view.request, evals, |eval| &eval.id, &mut show)?;
    Ok(Found::page(index_of(view.reader, Table::Evals)?, page))
}

pub(crate) fn one_keys(request: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::row::<Evals>(&id_of(request, "eval")?)])
}

pub(crate) fn one(view: &View<'_>) -> Result<Found, HttpError> {
    let Some(eval) = read::eval(view.reader, &id_of(view.request, "eval")?)? else {
        return Ok(Found::nothing(index_of(view.reader, Table::Evals)?, "eval not found"));
    };
    Ok(Found::json(eval.modify_index, encode(&EvalDocument::of(&eval))).of(eval.namespace))
}
