//! Size limits on messages from other servers.

use ordu_core::limits::{FORWARD_BATCH_MAX, LOG_ENTRY_BYTES_MAX};
use ordu_proto::server::{
    GreetReply, GreetRequest, NodeLivenessRequest, Peer, PeerChoice, ProposeRequest, peer_choice,
};
use tonic::Status;

use crate::raft::SERVER_TEXT_BYTES_MAX;

/// Maximum length of a cluster id (a hash) in bytes.
const CLUSTER_ID_BYTES_MAX: usize = 64;
/// Maximum number of servers in one message (initial voters or known servers).
const PEERS_MAX: usize = 1_024;
/// Maximum number of nodes reported by one server.
const NODES_MAX: usize = 65_536;

fn too_much(what: &str, is: usize, allowed: usize) -> Result<(), Status> {
    if is > allowed {
        return Err(Status::invalid_argument(format!("{what}: {is} where {allowed} are allowed")));
    }
    Ok(())
}

/// Checks a server's description of itself.
pub(crate) fn peer(peer: &Peer) -> Result<(), Status> {
    if peer.id == 0 {
        return Err(Status::invalid_argument("a server whose id is 0"));
    }
    too_much("bytes of a region's name", peer.region.len(), SERVER_TEXT_BYTES_MAX)?;
    let Some(it) = &peer.server else { return Ok(()) };
    [&it.name, &it.rpc_addr, &it.http_addr, &it.datacenter, &it.serf_addr].into_iter().try_for_each(|text| {
        too_much("bytes of a server's name or address", text.len(), SERVER_TEXT_BYTES_MAX)
    })
}

/// Checks an operator's choice of a server.
pub(crate) fn choice(choice: PeerChoice) -> Result<PeerChoice, Status> {
    if let Some(peer_choice::By::Address(address)) = &choice.by {
        too_much("bytes of a server's address", address.len(), SERVER_TEXT_BYTES_MAX)?;
    }
    Ok(choice)
}

/// Checks a greeting.
pub(crate) fn greeting(request: &GreetRequest) -> Result<(), Status> {
    request.me.as_ref().map_or(Ok(()), peer)?;
    too_much("bytes of a cluster's id", request.cluster_id.len(), CLUSTER_ID_BYTES_MAX)?;
    too_much("bytes of a release's name", request.release.len(), SERVER_TEXT_BYTES_MAX)?;
    too_much("first voters", request.settled.len(), PEERS_MAX)
}

/// Checks the answer to a greeting.
pub(crate) fn greeting_answer(reply: &GreetReply) -> Result<(), Status> {
    reply.me.as_ref().map_or(Ok(()), peer)?;
    too_much("bytes of a cluster's id", reply.cluster_id.len(), CLUSTER_ID_BYTES_MAX)?;
    too_much("bytes of a release's name", reply.release.len(), SERVER_TEXT_BYTES_MAX)?;
    too_much("first voters", reply.settled.len(), PEERS_MAX)?;
    too_much("servers that one knows", reply.known.len(), PEERS_MAX)?;
    reply.known.iter().try_for_each(peer)
}

/// Checks forwarded writes.
pub(super) fn proposals(request: &ProposeRequest) -> Result<(), Status> {
    too_much("commands in one message", request.commands.len(), FORWARD_BATCH_MAX)?;
    let largest = request.commands.iter().map(|command| command.len()).max().unwrap_or_default();
    too_much("bytes of a command", largest, LOG_ENTRY_BYTES_MAX)
}

/// Checks a report of live nodes.
pub(super) fn live_nodes(request: &NodeLivenessRequest) -> Result<(), Status> {
    too_much("nodes in one message", request.node_ids.len(), NODES_MAX)?;
    if request.node_ids.iter().any(|id| id.len() != 16) {
        return Err(Status::invalid_argument("a node's id has sixteen bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ordu_proto::raft::Server;

    use super::*;

    fn named(length: usize) -> Peer {
        let server = Server { name: "a".repeat(length), ..Server::default() };
        Peer { id: 1, server: Some(server), region: String::new() }
    }

    fn told(result: Result<(), Status>) -> String {
        result.expect_err("it is refused").message().to_owned()
    }

    #[test]
    fn a_server_says_who_it_is_in_few_words() {
        peer(&named(SERVER_TEXT_BYTES_MAX)).unwrap();
        assert!(told(peer(&named(SERVER_TEXT_BYTES_MAX + 1))).contains("1025 where 1024 are allowed"));
        assert!(told(peer(&Peer { id: 0, ..named(1) })).contains("id is 0"));
        let greets =
            GreetRequest { me: Some(named(1)), settled: vec![7; PEERS_MAX + 1], ..Default::default() };
        assert!(told(greeting(&greets)).contains("first voters"));
        let greets = GreetRequest { release: "a".repeat(SERVER_TEXT_BYTES_MAX + 1), ..Default::default() };
        assert!(told(greeting(&greets)).contains("a release's name"));
        let known = GreetReply { known: vec![named(1), Peer::default()], ..Default::default() };
        assert!(told(greeting_answer(&known)).contains("id is 0"));
        greeting(&GreetRequest::default()).unwrap();
        greeting_answer(&GreetReply::default()).unwrap();
    }

    #[test]
    fn a_message_of_many_is_bounded() {
        let commands = vec![vec![1].into(); FORWARD_BATCH_MAX + 1];
        assert!(
            told(proposals(&ProposeRequest { commands, ..Default::default() })).contains("257 where 256")
        );
        let node_ids = vec![vec![1; 16], vec![1; 15]];
        assert!(
            told(live_nodes(&NodeLivenessRequest { node_ids, ..Default::default() })).contains("sixteen")
        );
    }
}
