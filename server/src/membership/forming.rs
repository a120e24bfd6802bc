//! Which first voters a server settles on: the rule by which a cluster forms once.
//!
//! Raft is initialised with a set of voters by the one of the lowest id, and only when each of them has said
//! that it has settled on that set: so there is one first log entry. A server settles durably before it says
//! so. It leaves a set only for a smaller one (by the order of the sorted ids), or for a cluster that is
//! there, and only once it has heard that the set is void:
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
//!
//! A set of which a member is gone for good is not void, since that member may have said its word. So whoever
//! misses a member for a while, and holds nothing, gives up its own id instead and starts anew under a fresh
//! one, which has said nothing. It holds nothing if it has taken no entry from another leader and has seen
//! none committed (the first entry, which is the set itself, is none): a word that it gave, and a vote, it
//! takes with it.
//!
//! Why that is safe: an id that is given up is never heard of again, which is to raft a crash for ever. What
//! others may have committed with it they have not committed by it, for it has acknowledged no entry; and
//! what it proposed itself it has told no one of, for it saw none committed. A set that loses a quorum so
//! can commit nothing from then on. Whether it had committed something before, without those that give it
//! up, is why a member is not given up for missing alone: those that are missing must be too few for a
//! quorum, or so many of them must have lost their disks that the set could not go on in any case. Else it
//! may be that they formed the cluster and are cut off, and they are waited for.
//!
//! Why no two clusters come of it: under its new id, the server settles on no other set before it has heard
//! that the set that it left can have no quorum any more, since others have given it up, too, or that one of
//! them never settled on it (and by now will not, since it has been told). A cluster that the others formed
//! after all it joins.
//!
//! Why it ends: whoever hears that a member has given up a set gives it up at once, if it holds nothing, and
//! nobody counts on servers that have not done so yet. So all that are left over from a set come back fresh
//! together.

use std::collections::BTreeSet;

use super::known::Said;

/// What matters of this server.
pub(super) struct Own<'a> {
    pub(super) id: u64,
    pub(super) name: &'a str,
    pub(super) bootstrap_expect: u32,
    /// The first voters that it has settled on; sorted; empty while it has not.
    pub(super) settled: &'a [u64],
    /// Those that it had settled on when it gave up its former id; empty if it never did.
    pub(super) left: &'a [u64],
}

/// Another server, and whether it was heard of lately.
pub(super) struct Heard<'a> {
    pub(super) said: &'a Said,
    pub(super) lately: bool,
}

/// Ids that no server has any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Gone {
    /// Given up by servers that held nothing under them, by their own word.
    pub(super) given_up: BTreeSet<u64>,
    /// Where these were, another id answers: their disks are lost.
    pub(super) replaced: BTreeSet<u64>,
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

/// What has become of the set that a server has settled on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// All members are there; or it has begun, and enough of them are.
    Good,
    /// A member has given it up.
    GivenUp,
    /// These members are missing. Without them, nothing can have been committed; or with them it is lost.
    Missing(Vec<u64>),
    /// These members are missing, and they may have formed the cluster.
    Unsure(Vec<u64>),
}

/// What a server that has no cluster yet does next.
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

/// What has become of the set that this server has settled on. Whoever holds something goes on with it
/// whatever this says.
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

/// Whether a member has given a set up.
fn is_given_up(voters: &[u64], gone: &Gone) -> bool {
    voters.iter().any(|voter| gone.given_up.contains(voter))
}

/// Whether a set can commit nothing any more.
fn is_without_quorum(voters: &[u64], gone: &Gone) -> bool {
    let is_gone = |voter: &&u64| gone.given_up.contains(voter) || gone.replaced.contains(voter);
    voters.iter().filter(is_gone).count() + quorum(voters) > voters.len()
}

/// Whether a member of a set is here and has not settled on it: then it was not initialised so far. Nor is it
/// later, once a member has been told that another gave it up, for it settles on no such set.
fn lacks_a_word(voters: &[u64], heard: &[Heard<'_>]) -> bool {
    let mut here = heard.iter().filter(|other| other.lately).map(|other| other.said);
    here.any(|said| voters.contains(&said.peer.id) && said.settled != voters)
}

/// The lowest ids of those that wait for a cluster as this server does.
fn lowest(own: &Own<'_>, heard: &[Heard<'_>], gone: &Gone) -> Vec<u64> {
    let mut ids: Vec<u64> = waiting(own, heard, gone).map(|said| said.peer.id).chain([own.id]).collect();
    ids.sort_unstable();
    ids.truncate(own.bootstrap_expect as usize);
    ids
}

/// The servers heard of lately that would form a cluster with this one.
pub(super) fn waiting<'a>(
    own: &Own<'_>,
    heard: &'a [Heard<'a>],
    gone: &'a Gone,
) -> impl Iterator<Item = &'a Said> {
    let bootstrap_expect = own.bootstrap_expect;
    let lately = heard.iter().filter(|other| other.lately).map(|other| other.said);
    lately.filter(move |said| {
        // Who is settled on a set that was given up is about to give it up, and its id.
        said.bootstrap_expect == bootstrap_expect && !has_cluster(said) && !is_given_up(&said.settled, gone)
    })
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
