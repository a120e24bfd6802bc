//! Reads of nodes.

use ordu_core::state::rows::Nodes;
use ordu_core::state::{Table, read};
use ordu_proto::state::Node;

use super::{id_of, id_prefix, index_of};
use crate::http::answer::encode;
use crate::http::blocking::{Found, View};
use crate::http::documents::node::{NodeDocument, NodeStub};
use crate::http::error::HttpError;
use crate::http::paging::{self, Listing, Paging, Take};
use crate::http::request::Request;
use crate::watch::Key;

pub(crate) fn list_keys(_: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::table(Table::Nodes)])
}

pub(crate) fn list(view: &View<'_>) -> Result<Found, HttpError> {
    let resources = view.request.flag("resources")?;
    let listing = Listing {
        table: Table::Nodes,
        prefix: &id_prefix(view.request, "node")?,
        from: paging::from_id(view.request)?,
        belongs: &|_: &Node| true,
        token: |node| paging::id_token(&node.id),
    };
    let mut show = |node: &Node, take: &mut Take<'_>| take(&NodeStub::of(node, resources));
    let page = Paging::of(view.request)?.read(view, &listing, &mut show)?;
    Ok(Found::page(index_of(view.reader, Table::Nodes)?, page))
}

pub(crate) fn one_keys(request: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::row::<Nodes>(&id_of(request, "node")?)])
}

pub(crate) fn one(view: &View<'_>) -> Result<Found, HttpError> {
    let Some(node) = read::node(view.reader, &id_of(view.request, "node")?)? else {
        return Ok(Found::nothing(index_of(view.reader, Table::Nodes)?, "node not found"));
    };
    Ok(Found::json(node.modify_index, encode(&NodeDocument::of(&node))))
}
