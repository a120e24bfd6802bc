//! Decides on which set of first voters a server settles, so that a cluster forms only once.
//!
//! The member with the lowest id initialises raft with the set, and only after every member has said that it
//! settled on exactly that set. So there is only one first log entry. A server stores its choice before it
//! announces it. It leaves a set only for a smaller one (comparing the sorted ids) or for an existing
//! cluster, and only after it has learned that the set is void:
//!
//! - a member of the set has settled on a smaller set, or
//! - a member of the set belongs to another existing cluster or to its first voters.
//!
//! Why a void set was not and never will be initialised: consider the first member that leaves it. The member
//! whose statement made it leave was not on the set before (otherwise it would have been the first to leave).
//! It also never settles on it later, since servers move only to smaller sets, and never leave an existing
//! cluster. So that member's agreement is missing forever.
//!
//! Why servers agree: all servers that hear from each other prefer the lowest ids, and if two sets share a
//! member, the smaller one voids the larger one.
//!
//! If a member of a set is gone for good, the set is not void, since that member may have agreed to it. So a
//! server that misses a member for a while and holds nothing gives up its own id, and starts anew under a new
//! id that has made no statements. A server holds nothing if it has taken no entry from another leader and
//! has seen none committed. (The first entry, which is the set itself, does not count.) The old id's
//! agreement and votes go with it.
//!
//! Why that is safe: an id that is given up never appears again, which to raft is a permanent crash. The
//! server acknowledged no entry under it, so no commit of another server relied on it. It reported no entry
//! that it proposed itself, since it saw none committed. If a set loses its quorum in this way, it can commit
//! nothing from then on. It may have committed something earlier, without the members that give up. So a
//! missing member alone is no reason to give up. Either the missing members must be too few for a quorum, or
//! so many of them must have lost their disks that the set could not continue anyway. Otherwise they may have
//! formed the cluster and be cut off, and the server waits for them.
//!
//! Why two clusters cannot result: under its new id, a server settles on no other set until it knows that the
//! set it left can have no quorum any more (because others gave it up, too), or that one member never settled
//! on it (and will not do so, since it has been told). If the others formed a cluster nevertheless, the
//! server joins it.
//!
//! Why it terminates: a server that learns that a member gave up a set gives it up at once if it holds
//! nothing, and no server counts on servers that have yet to do so. So the remaining members of a set return
//! together under new ids.

use std::collections::BTreeSet;

use super::known::Said;

/// This server's state.
pub(super) struct Own<'a> {
    pub(super) id: u64,
    pub(super) name: &'a str,
    pub(super) bootstrap_expect: u32,
    /// The first voters that it has settled on, sorted; empty if it has not settled.
    pub(super) settled: &'a [u64],
    /// The set that it had settled on when it gave up its previous id; empty if it never did.
    pub(super) left: &'a [u64],
}

/// Another server, and whether it was heard from recently.
pub(super) struct Heard<'a> {
    pub(super) said: &'a Said,
    pub(super) lately: bool,
}

/// Ids that are no longer in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Gone {
    /// Given up, by their servers' own statement, while they held nothing.
    pub(super) given_up: BTreeSet<u64>,
    /// Another id answers at their address: their disks are lost.
    pub(super) replaced: BTreeSet<u64>,
}

/// The next action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait for more information.
    Wait,
    /// Join an existing cluster.
    Adopt(Vec<u8>),
    /// Settle on these first voters, instead of any earlier set.
    Settle(Vec<u64>),
    /// Wait, since two servers of the set have this name.
    SameName(String),
}

/// The prospects of the set that a server has settled on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// All members are present, or the cluster has formed and a quorum is present.
    Good,
    /// A member has given up the set.
    GivenUp,
    /// These members are missing. Without them nothing can have been committed, or what was committed is lost
    /// with their disks.
    Missing(Vec<u64>),
    /// These members are missing, and may have formed the cluster.
    Unsure(Vec<u64>),
}

/// Decides what a server without a cluster does next.
pub(super) fn next(own: &Own<'_>, heard: &[Heard<'_>], gone: &Gone) -> Next {
    if !own.settled.is_empty() && !is_void(own.settled, heard) {
        return Next::Wait;
    }
    let there = heard.iter().find(|other| other.said.formed && !other.said.settled.contains(&own.id));
    if let Some(there) = there {
        return Next::Adopt(there.said.cluster_id.clone());
    }
    let is_over = |left| is_without_quorum(left, gone) || is_void(left, heard) || lacks_a_word(left, heard);
    if !own.left.is_empty() && !is_over(own.left) {
        return Next::Wait;
    }
    let is_here = |voter: &u64| {
        *voter == own.id || heard.iter().any(|other| other.lately && other.said.peer.id == *voter)
    };
    let fits = |voters: &Vec<u64>| {
        voters.len() == own.bootstrap_expect as usize
            && voters.is_sorted_by(|one, next| one < next)
            && voters.contains(&own.id)
            && voters.iter().all(is_here)
            && (own.settled.is_empty() || voters.as_slice() < own.settled)
            && !is_void(voters, heard)
            && !is_given_up(voters, gone)
    };
    let of_others = heard.iter().filter(|other| other.lately).map(|other| other.said.settled.clone());
    let Some(voters) = of_others.chain([lowest(own, heard, gone)]).filter(fits).min() else {
        return Next::Wait;
    };
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

/// Judges the set that this server has settled on. A server that holds something keeps the set regardless.
pub(super) fn outlook(own: &Own<'_>, heard: &[Heard<'_>], gone: &Gone) -> Outlook {
    let voters = own.settled;
    let present = |voter: &u64| {
        let here = heard.iter().find(|other| other.lately && other.said.peer.id == *voter);
        here.map(|other| other.said)
    };
    let present: Vec<&Said> = voters.iter().filter_map(present).collect();
    let begun = present.iter().filter(|said| said.formed && said.settled == voters).count();
    if begun > 0 && present.len() + 1 >= quorum(voters) {
        return Outlook::Good;
    }
    let is_here = |voter: &u64| *voter == own.id || present.iter().any(|said| said.peer.id == *voter);
    let missing: Vec<u64> =
        voters.iter().copied().filter(|it| !is_here(it) && !gone.given_up.contains(it)).collect();
    let is_given_up = is_given_up(voters, gone);
    if missing.is_empty() && !is_given_up {
        return Outlook::Good;
    }
    let replaced = missing.iter().filter(|voter| gone.replaced.contains(voter)).count();
    let may_be_formed = missing.len() + begun >= quorum(voters) && !lacks_a_word(voters, heard);
    if may_be_formed && replaced + quorum(voters) <= voters.len() {
        return Outlook::Unsure(missing);
    }
    if is_given_up { Outlook::GivenUp } else { Outlook::Missing(missing) }
}

fn quorum(voters: &[u64]) -> usize {
    voters.len() / 2 + 1
}

/// Whether a member has given up the set.
fn is_given_up(voters: &[u64], gone: &Gone) -> bool {
    voters.iter().any(|voter| gone.given_up.contains(voter))
}

/// Whether the set can commit nothing any more.
fn is_without_quorum(voters: &[u64], gone: &Gone) -> bool {
    let is_gone = |voter: &&u64| gone.given_up.contains(voter) || gone.replaced.contains(voter);
    voters.iter().filter(is_gone).count() + quorum(voters) > voters.len()
}

/// Whether a member is present and has not settled on the set, so that it is not initialised. Nor will it be
/// later: a member that knows that another gave up the set does not settle on it.
fn lacks_a_word(voters: &[u64], heard: &[Heard<'_>]) -> bool {
    let mut here = heard.iter().filter(|other| other.lately).map(|other| other.said);
    here.any(|said| voters.contains(&said.peer.id) && said.settled != voters)
}

/// Returns the lowest ids among the servers that wait for a cluster as this server does.
fn lowest(own: &Own<'_>, heard: &[Heard<'_>], gone: &Gone) -> Vec<u64> {
    let mut ids: Vec<u64> = waiting(own, heard, gone).map(|said| said.peer.id).chain([own.id]).collect();
    ids.sort_unstable();
    ids.truncate(own.bootstrap_expect as usize);
    ids
}

/// Returns the servers heard from recently that would form a cluster with this one.
pub(super) fn waiting<'a>(
    own: &Own<'_>,
    heard: &'a [Heard<'a>],
    gone: &'a Gone,
) -> impl Iterator<Item = &'a Said> {
    let bootstrap_expect = own.bootstrap_expect;
    let lately = heard.iter().filter(|other| other.lately).map(|other| other.said);
    lately.filter(move |said| {
        // A server whose set was given up by another member is about to give it up, too, and its id with it.
        said.bootstrap_expect == bootstrap_expect && !has_cluster(said) && !is_given_up(&said.settled, gone)
    })
}

/// Whether a server is in an existing cluster, or about to join one.
fn has_cluster(said: &Said) -> bool {
    said.formed || said.settled.is_empty() && !said.cluster_id.is_empty()
}

/// Returns a name that two of `voters` have.
fn same_name(own: &Own<'_>, heard: &[Heard<'_>], voters: &[u64]) -> Option<String> {
    let others = heard.iter().filter(|other| other.lately && voters.contains(&other.said.peer.id));
    let mut names: Vec<&str> = others.map(|other| other.said.name()).chain([own.name]).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_owned())
}
