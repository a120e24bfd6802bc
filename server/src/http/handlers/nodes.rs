//! Reads of nodes.

use ordu_core::state::{Table, read};
use ordu_proto::state::Node;

use super::{JsonList, id_of, id_prefix};
use crate::http::answer::encode;
use crate::http::blocking::{Found, View};
use crate::http::documents::node::{NodeDocument, NodeStub};
use crate::http::error::HttpError;
use crate::http::request::Request;
use crate::watch::Key;

pub(crate) fn list_keys(_: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::Table(Table::Nodes)])
}

pub(crate) fn list(view: &View<'_>) -> Result<Found, HttpError> {
    let resources = view.request.flag("resources")?;
    let mut list = JsonList::new();
    read::each(view.reader, Table::Nodes, &id_prefix(view.request, "node")?, &mut |node: Node| {
        NodeStub::of(&node, resources).write(list.next());
        Ok(())
    })?;
    Ok(Found::json(read::indexes(view.reader)?.get(Table::Nodes), list.finish()))
}

pub(crate) fn one_keys(request: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::Node(id_of(request, "node")?)])
}

pub(crate) fn one(view: &View<'_>) -> Result<Found, HttpError> {
    let Some(node) = read::node(view.reader, &id_of(view.request, "node")?)? else {
        return Ok(Found::nothing(read::indexes(view.reader)?.get(Table::Nodes), "node not found"));
    };
    Ok(Found::json(node.modify_index, encode(&NodeDocument::of(&node))))
}
