//! Finds by greetings whether this server's log went back, and decides whether the others go on without the server.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use ordu_proto::server::{GreetReply, ReadIndexRequest};
use ordu_store::types::Server;
use tokio::time::timeout;

use super::{Greetings, Telling};
use crate::membership::known::{Said, position, rpc_addr};
use crate::server::ServerError;

/// How long a starting server waits for answers before it may vote.
const INTRODUCTION_TIMEOUT: Duration = Duration::from_millis(400);
/// How long a server that has lost entries waits for confirmation by a quorum of the others.
const CONFIRM_WITHIN: Duration = Duration::from_secs(10);
/// Pause between two requests for confirmation.
const CONFIRM_INTERVAL: Duration = Duration::from_millis(200);
/// Timeout of such a request.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);

/// A server's term and the end of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Has {
    /// The term of its vote.
    pub term: u64,
    /// Term and index of the last entry.
    pub last: Option<(u64, u64)>,
}

/// Loss of entries or votes from a server's log.
pub struct Loss {
    /// What is missing.
    pub(in crate::membership) what: String,
    /// The servers to ask for confirmation.
    pub(in crate::membership) targets: Vec<String>,
}

impl Loss {
    /// Returns a sentence that describes the loss.
    pub fn sentence(&self) -> String {
        format!(
            "this server's log went back: {}. Others count on what it lacks, so it neither votes nor answers",
            self.what
        )
    }
}

impl Greetings {
    /// Returns what this server has lost according to another server of its cluster; `has` is its current
    /// log.
    pub(in crate::membership) fn lost(&self, reply: &GreetReply, has: Has) -> Option<String> {
        if reply.cluster_id.is_empty() || !self.is_ours(reply) {
            return None;
        }
        let had = reply.had.as_ref()?;
        let entry = |position: Option<(u64, u64)>| {
            position.map_or_else(|| "none".to_owned(), |(term, index)| format!("{index} of term {term}"))
        };
        let committed = position(had.committed.as_ref());
        // What was acknowledged to a leader is binding only during its term; a later leader may have removed
        // it.
        let their_term = reply.standing.as_ref().map_or(0, |standing| standing.term);
        let acknowledged = position(reply.acknowledged.as_ref()).filter(|_| their_term >= has.term);
        let most = committed.max(acknowledged);
        if most > has.last {
            let (most, last) = (entry(most), entry(has.last));
            return Some(format!("it had the log entries up to {most}, and now its log ends at {last}"));
        }
        let (had, has) = (had.term, has.term);
        (had > has).then(|| format!("it had voted in term {had}, and now its vote is of term {has}"))
    }

    /// Greets the cluster's members and the configured servers once, before this server may vote. Returns
    /// what this server has lost, if anything.
    ///
    /// # Errors
    /// A sentence for the operator if this server must not start.
    pub async fn introduce(
        &self,
        members: &[(u64, Server)],
        telling: Telling,
        has: Has,
    ) -> Result<Option<Loss>, ServerError> {
        let targets = self.targets(members);
        let request = self.request(telling, false);
        let asked = targets.iter().map(|target| {
            self.ask(target, request.clone(), self.0.options.raft.scaled(INTRODUCTION_TIMEOUT, 10))
        });
        let replies: Vec<GreetReply> = join_all(asked).await.into_iter().flatten().collect();
        for reply in &replies {
            self.note_refusal(reply);
            if let Some(said) = Said::of_reply(reply).filter(|said| said.peer.id == self.id()) {
                self.weigh_namesake(&said);
            }
            if let Some(reason) = self.0.end.borrow().clone() {
                return Err(reason.into());
            }
        }
        let what = replies.iter().find_map(|reply| self.lost(reply, has));
        Ok(what.map(|what| Loss { what, targets }))
    }

    fn targets(&self, members: &[(u64, Server)]) -> Vec<String> {
        let configured = self.0.options.retry_join.iter().cloned();
        let members = members.iter().map(|(_, server)| server.rpc_addr.clone());
        let targets: BTreeSet<String> = configured.chain(members).collect();
        let mine = &self.0.options.rpc_advertise;
        targets.into_iter().filter(|target| !target.is_empty() && target != mine).collect()
    }

    /// Decides how a server ends that has lost entries and whose raft is stopped: it starts anew if the
    /// others go on without it.
    pub async fn end_of(&self, loss: &Loss) -> ServerError {
        if self.is_confirmed_by_others(loss).await {
            return ServerError::Anew {
                reason: format!(
                    "{}; the leader has confirmed by a quorum that the cluster goes on",
                    loss.sentence()
                ),
                known: self.0.known.clone(),
            };
        }
        ServerError::Fatal(format!(
            "{}. No quorum of the others has confirmed in {} s that the cluster goes on without it, so this may be \
             the only copy of what was acknowledged: start the other servers and then this one; it then joins them \
             anew. If they are gone for good, restore this server's data directory as it was last",
            loss.sentence(),
            CONFIRM_WITHIN.as_secs()
        ))
    }

    /// Waits until a leader confirms through a quorum that the cluster goes on. This server is not part of
    /// that quorum, since its raft is stopped.
    async fn is_confirmed_by_others(&self, loss: &Loss) -> bool {
        let confirmed = async {
            while !self.ask_for_confirmation(&loss.targets).await {
                tokio::time::sleep(CONFIRM_INTERVAL).await;
            }
        };
        timeout(CONFIRM_WITHIN, confirmed).await.is_ok()
    }

    async fn ask_for_confirmation(&self, targets: &[String]) -> bool {
        let replies = join_all(targets.iter().map(|target| self.probe(target))).await;
        let replies: Vec<GreetReply> =
            replies.into_iter().flatten().filter(|reply| self.is_ours(reply)).collect();
        let Some(leader) =
            replies.iter().map(|reply| reply.leader_id).find(|id| *id != 0 && *id != self.id())
        else {
            return false;
        };
        let peers = replies.iter().flat_map(|reply| reply.me.iter().chain(&reply.known));
        let Some(address) = peers.filter(|peer| peer.id == leader).map(rpc_addr).next() else { return false };
        let request = ReadIndexRequest { cluster_id: self.0.identity.get() };
        let asked = async { self.0.peers.server(address)?.read_index(request).await };
        match timeout(CONFIRM_TIMEOUT, asked).await {
            Ok(Ok(_)) => true,
            Ok(Err(status)) => {
                tracing::info!(
                    leader = address,
                    reason = status.message(),
                    "the leader does not confirm yet"
                );
                false
            }
            Err(_) => false,
        }
    }
}
