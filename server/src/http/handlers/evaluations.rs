//! Reads of evaluations.

use ordu_core::state::{Reader, Table, read};
use ordu_proto::state::Evaluation;

use super::{JsonList, id_of, id_prefix};
use crate::http::answer::encode;
use crate::http::blocking::{Found, View};
use crate::http::documents::eval::EvalDocument;
use crate::http::error::HttpError;
use crate::http::request::Request;
use crate::watch::Key;

pub(crate) fn list_keys(_: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::Table(Table::Evals)])
}

pub(crate) fn list(view: &View<'_>) -> Result<Found, HttpError> {
    let namespace = view.request.list_namespace();
    let mut list = JsonList::new();
    read::each(view.reader, Table::Evals, &id_prefix(view.request, "eval")?, &mut |eval: Evaluation| {
        if namespace.is_none_or(|namespace| namespace == eval.namespace) {
            EvalDocument::of(&eval).write(list.next());
        }
        Ok(())
    })?;
    found(view.reader, list)
}

pub(crate) fn of_job_keys(request: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::JobEvals(request.namespace().to_owned(), request.id.clone())])
}

pub(crate) fn of_job(view: &View<'_>) -> Result<Found, HttpError> {
    let mut list = JsonList::new();
    for eval in read::evals_of_job(view.reader, view.request.namespace(), &view.request.id)? {
        EvalDocument::of(&eval).write(list.next());
    }
    found(view.reader, list)
}

pub(crate) fn one_keys(request: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::Eval(id_of(request, "eval")?)])
}

pub(crate) fn one(view: &View<'_>) -> Result<Found, HttpError> {
    let Some(eval) = read::eval(view.reader, &id_of(view.request, "eval")?)? else {
        return Ok(Found {
            index: read::indexes(view.reader)?.get(Table::Evals),
            body: Err("eval not found"),
        });
    };
    Ok(Found { index: eval.modify_index, body: Ok(encode(&EvalDocument::of(&eval))) })
}

fn found(reader: &dyn Reader, list: JsonList) -> Result<Found, HttpError> {
    Ok(Found { index: read::indexes(reader)?.get(Table::Evals), body: Ok(list.finish()) })
}
