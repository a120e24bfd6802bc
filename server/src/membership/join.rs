//! What the leader does for a server that asks to belong.

use std::collections::BTreeSet;

use openraft::ChangeMembers;
use ordu_proto::server::Peer;
use tonic::Status;

use crate::cluster::Cluster;

/// Takes a server in: as a learner first, as a voter once it has the log. A known server gets its new
/// address; one that comes back under a new id (its disk was wiped) takes the place of its former self.
///
/// # Errors
/// When this server does not lead, or the change does not get through.
pub async fn admit(cluster: &Cluster, peer: Peer) -> Result<(), Status> {
    let Some(server) = peer.server.filter(|server| !server.rpc_addr.is_empty() && peer.id != 0) else {
        return Err(Status::invalid_argument("a server that joins says its id and its address"));
    };
    let members = cluster.members();
    let failed = |error: &dyn std::fmt::Display| {
        Status::unavailable(format!("the membership cannot be changed now: {error}"))
    };
    if let Some(known) = members.iter().find(|member| member.id == peer.id) {
        if known.server != server {
            tracing::info!(
                name = server.name,
                from = known.server.rpc_addr,
                to = server.rpc_addr,
                "a server has moved"
            );
            let change = ChangeMembers::SetNodes([(peer.id, server.clone())].into());
            cluster.raft().change_membership(change, true).await.map_err(|error| failed(&error))?;
        }
        if known.voter {
            return Ok(());
        }
    } else {
        tracing::info!(name = server.name, address = server.rpc_addr, "a server joins");
        cluster.raft().add_learner(peer.id, server.clone(), true).await.map_err(|error| failed(&error))?;
    }
    let former: BTreeSet<u64> = members
        .iter()
        .filter(|member| member.id != peer.id && member.server.name == server.name)
        .map(|member| member.id)
        .collect();
    let voters: BTreeSet<u64> = members
        .iter()
        .filter(|member| member.voter && !former.contains(&member.id))
        .map(|member| member.id)
        .chain([peer.id])
        .collect();
    cluster.raft().change_membership(voters, false).await.map_err(|error| failed(&error))?;
    tracing::info!(name = server.name, replaced = former.len(), "a server votes");
    Ok(())
}
