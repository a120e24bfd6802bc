//! Raft's types with Ordu's type parameters.

use std::fmt;

use bytes::Bytes;
use openraft::impls::leader_id_std::LeaderId;
use ordu_core::command::Outcome;

use crate::runtime::Runtime;

/// A proposal: the bytes of an `ordu.command.Envelope`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command(pub Bytes);

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes", self.0.len())
    }
}

/// The outcome of `apply`; `None` for entries without a command.
#[derive(Clone, Debug, Default)]
pub struct Answer(pub Option<Outcome>);

/// A server as recorded in the membership.
pub type Server = ordu_proto::raft::Server;

openraft::declare_raft_types!(
    /// Raft's type parameters. There is one leader per term, so that a term can be used as a fencing token.
    pub TypeConfig:
        D = Command,
        R = Answer,
        NodeId = u64,
        Node = Server,
        Term = u64,
        LeaderId = LeaderId<u64, u64>,
        AsyncRuntime = Runtime,
);

/// See [`openraft::LogId`].
pub type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
/// See [`openraft::Vote`].
pub type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
/// See [`openraft::Entry`].
pub type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
/// The payload of an [`Entry`].
pub type Payload = openraft::EntryPayload<Command, u64, Server>;
/// See [`openraft::Membership`].
pub type Membership = openraft::Membership<u64, Server>;
/// See [`openraft::StoredMembership`].
pub type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
/// See [`openraft::SnapshotMeta`].
pub type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
/// A snapshot with its data.
pub type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, crate::snapshot::SnapshotData>;
/// The callback that completes an append once it is synced.
pub type IoFlushed = openraft::storage::IOFlushed<TypeConfig>;
