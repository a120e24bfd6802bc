//! Which first voters a server settles on: the rule by which a cluster forms once.
//!
//! Raft is initialised with a set of voters only when each of them has said that it has settled on that
//! set. A server settles durably before it says so. It leaves a set only for a smaller one (by the order of
//! the sorted ids), or for a cluster that is there, and only once it has heard that the set is void:
//!
//! - a member of the set has settled on a smaller one, or
//! - a member of the set belongs to another cluster that is there, or is one of its first voters.
//!
//! Why a void set was not initialised and never will be: take the first member that leaves it. The member
//! that it had heard of had not been in the set before (or it would have been the first to leave), and it
//! never comes to it, since servers go from a set to smaller ones only, and from a cluster that is there to
//! none. So that member's word is missing for ever.
//!
//! Why servers agree: all that hear of each other tend to the lowest ids, and of two sets the smaller voids
//! the larger one as soon as they share a member.

use super::known::Said;

/// What matters of this server.
pub(super) struct Own<'a> {
    pub(super) id: u64,
    pub(super) name: &'a str,
    pub(super) bootstrap_expect: u32,
    /// The first voters that it has settled on; sorted; empty while it has not.
    pub(super) settled: &'a [u64],
}

/// Another server, and whether it was heard of lately.
pub(super) struct Heard<'a> {
    pub(super) said: &'a Said,
    pub(super) lately: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing before more is heard.
    Wait,
    /// Join a cluster that is there.
    Adopt(Vec<u8>),
    /// Settle on these first voters, in the place of those settled on before.
    Settle(Vec<u64>),
    /// Nothing, since two of those that would form the cluster have this name.
    SameName(String),
}

/// What a server that has no cluster yet does next.
pub(super) fn next(own: &Own<'_>, heard: &[Heard<'_>]) -> Next {
    if !own.settled.is_empty() && !is_void(own.settled, heard) {
        return Next::Wait;
    }
    let there = heard.iter().find(|other| other.said.formed && !other.said.settled.contains(&own.id));
    if let Some(there) = there {
        return Next::Adopt(there.said.cluster_id.clone());
    }
    let fits = |voters: &Vec<u64>| {
        voters.len() == own.bootstrap_expect as usize
            && voters.is_sorted_by(|one, next| one < next)
            && voters.contains(&own.id)
            && (own.settled.is_empty() || voters.as_slice() < own.settled)
            && !is_void(voters, heard)
    };
    let of_others = heard.iter().filter(|other| other.lately).map(|other| other.said.settled.clone());
    let Some(voters) = of_others.chain([lowest(own, heard)]).filter(fits).min() else { return Next::Wait };
    match same_name(own, heard, &voters) {
        Some(name) => Next::SameName(name),
        None => Next::Settle(voters),
    }
}

/// Whether a set was not initialised and never will be.
pub(super) fn is_void(voters: &[u64], heard: &[Heard<'_>]) -> bool {
    heard.iter().map(|other| other.said).any(|said| {
        if said.settled == voters {
            return false;
        }
        let is_member = voters.contains(&said.peer.id);
        let went_lower = is_member && !said.settled.is_empty() && said.settled.as_slice() < voters;
        let shares_voters = said.settled.iter().any(|voter| voters.contains(voter));
        went_lower || has_cluster(said) && (is_member || shares_voters)
    })
}

/// The lowest ids of those that wait for a cluster as this server does.
fn lowest(own: &Own<'_>, heard: &[Heard<'_>]) -> Vec<u64> {
    let mut ids: Vec<u64> = waiting(own, heard).map(|said| said.peer.id).chain([own.id]).collect();
    ids.sort_unstable();
    ids.truncate(own.bootstrap_expect as usize);
    ids
}

/// The servers heard of lately that would form a cluster with this one.
pub(super) fn waiting<'a>(own: &Own<'_>, heard: &'a [Heard<'a>]) -> impl Iterator<Item = &'a Said> {
    let bootstrap_expect = own.bootstrap_expect;
    let lately = heard.iter().filter(|other| other.lately).map(|other| other.said);
    lately.filter(move |said| said.bootstrap_expect == bootstrap_expect && !has_cluster(said))
}

/// Whether a server is in a cluster that is there, or on its way into one.
fn has_cluster(said: &Said) -> bool {
    said.formed || said.settled.is_empty() && !said.cluster_id.is_empty()
}

/// A name that two of `voters` have.
fn same_name(own: &Own<'_>, heard: &[Heard<'_>], voters: &[u64]) -> Option<String> {
    let others = heard.iter().filter(|other| other.lately && voters.contains(&other.said.peer.id));
    let mut names: Vec<&str> = others.map(|other| other.said.name()).chain([own.name]).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_owned())
}
