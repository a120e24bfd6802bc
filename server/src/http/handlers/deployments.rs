//! Reads of deployments.

use ordu_core::job::{DeploymentDocument, deployment_document};
use ordu_core::state::rows::Deployments;
use ordu_core::state::{Table, read, readable};
use ordu_proto::state::Deployment;

use super::{id_of, id_prefix, index_of};
use crate::http::blocking::{Found, View};
use crate::http::error::HttpError;
use crate::http::paging::{self, Listing, Paging, Take};
use crate::http::request::Request;
use crate::watch::Key;

pub(crate) fn list_keys(_: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::table(Table::Deployments)])
}

pub(crate) fn list(view: &View<'_>) -> Result<Found, HttpError> {
    let listing = Listing {
        table: Table::Deployments,
        prefix: &id_prefix(view.request, "deployment")?,
        from: paging::from_id(view.request)?,
        belongs: &|deployment: &Deployment| view.lists(&deployment.namespace),
        token: |deployment| paging::id_token(&deployment.id),
    };
    let mut show = |deployment: &Deployment, take: &mut Take<'_>| take(&DeploymentDocument::of(deployment));
    let page = Paging::of(view.request)?.read(view, &listing, &mut show)?;
    Ok(Found::page(index_of(view.reader, Table::Deployments)?, page))
}

pub(crate) fn of_job_keys(request: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::of_job(Table::DeploymentsByJob, request.namespace(), &request.id)])
}

pub(crate) fn of_job(view: &View<'_>) -> Result<Found, HttpError> {
    let (namespace, id) = (view.request.namespace(), view.request.id.as_str());
    // Deployments of an earlier job of the same name are listed only with `all`.
    let this_job = match view.request.flag("all")? {
        true => None,
        false => readable(read::job(view.reader, namespace, id))?.flatten().map(|job| job.create_index),
    };
    let mut deployments = read::deployments_of_job(view.reader, namespace, id)?;
    deployments.retain(|deployment| this_job.is_none_or(|index| index == deployment.job_create_index));
    let mut show = |deployment: &Deployment, take: &mut Take<'_>| take(&DeploymentDocument::of(deployment));
    let page = Paging::of(view.request)?.of_rows(view.request, deployments, |row| &row.id, &mut show)?;
    Ok(Found::page(index_of(view.reader, Table::Deployments)?, page))
}

pub(crate) fn latest_of_job(view: &View<'_>) -> Result<Found, HttpError> {
    let latest = read::latest_deployment(view.reader, view.request.namespace(), &view.request.id)?;
    let mut document = Vec::new();
    match &latest {
        Some(deployment) => deployment_document(deployment, &mut document),
        None => document.extend_from_slice(b"null"),
    }
    Ok(Found::json(index_of(view.reader, Table::Deployments)?, document))
}

pub(crate) fn one_keys(request: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::row::<Deployments>(&id_of(request, "deployment")?)])
}

pub(crate) fn one(view: &View<'_>) -> Result<Found, HttpError> {
    let Some(deployment) = read::deployment(view.reader, &id_of(view.request, "deployment")?)? else {
        return Ok(Found::nothing(index_of(view.reader, Table::Deployments)?, "deployment not found"));
    };
    let mut document = Vec::new();
    deployment_document(&deployment, &mut document);
    Ok(Found::json(deployment.modify_index, document).of(deployment.namespace))
}
