//! Feature levels: which commands a release knows, and which a cluster may use.
//!
//! A release that brings a command, or a new meaning of an old one, raises [`FEATURE_LEVEL`] by one. The cluster's own
//! level, in [`ordu_proto::state::ClusterMeta`], rises once every server knows the new one; until then what belongs to it
//! is refused, so that each server can go back to the release that it came from.

use ordu_proto::command::envelope::Command;
use ordu_proto::command::{Envelope, Refusal};

use super::refuse;

/// The highest feature level that this release knows.
pub const FEATURE_LEVEL: u32 = if cfg!(feature = "next-level") { 2 } else { 1 };

/// The level of a server, or of a cluster, that tells none.
pub const FIRST_LEVEL: u32 = 1;

/// The feature level that a command appeared with. Where an older command was given a new meaning, that of the meaning.
pub fn level_of(command: &Command) -> u32 {
    match command {
        Command::JobRegister(_)
        | Command::JobDeregister(_)
        | Command::JobEvaluate(_)
        | Command::EvalUpdate(_)
        | Command::PlanApply(_)
        | Command::AllocClientUpdate(_)
        | Command::NodeRegister(_)
        | Command::NodeStatusUpdate(_)
        | Command::ClusterInit(_)
        | Command::JobDispatch(_)
        | Command::JobRevert(_)
        | Command::JobStability(_)
        | Command::PeriodicLaunch(_)
        | Command::SummariesReconcile(_)
        | Command::TimeReset(_)
        | Command::AutopilotSet(_)
        | Command::FeatureLevelRaise(_) => FIRST_LEVEL,
        #[cfg(feature = "next-level")]
        Command::NotePut(_) => 2,
    }
}

/// The level that a cluster must have reached for the command of an envelope.
pub fn needed_level(envelope: &Envelope, command: &Command) -> u32 {
    envelope.feature_level.max(level_of(command))
}

/// The level that a release must know to have an envelope in its log: a level that is raised is one that all its
/// servers must know from then on.
pub(super) fn level_to_read(envelope: &Envelope, command: Option<&Command>) -> u32 {
    let raised = match command {
        Some(Command::ClusterInit(it)) => it.feature_level,
        Some(Command::FeatureLevelRaise(it)) => it.level,
        _ => 0,
    };
    envelope.feature_level.max(raised)
}

/// Refuses what the cluster has not reached. It tells no servers: all of them must write the same answer.
pub(super) fn must_have_reached(needed: u32, level: u32) -> Result<(), Refusal> {
    if needed <= level {
        return Ok(());
    }
    Err(refuse(409, format!("this needs feature level {needed}, and the cluster's is {level}")))
}

#[cfg(test)]
mod tests {
    use ordu_proto::command::FeatureLevelRaise;

    use super::*;

    #[test]
    fn a_command_needs_its_level_and_what_its_envelope_says_and_its_reader_what_it_leads_to() {
        let raise = |level| Command::FeatureLevelRaise(FeatureLevelRaise { level });
        let stamped = |feature_level| Envelope { feature_level, ..Envelope::default() };
        for (stamp, level, needed, to_read) in [(0, 1, 1, 1), (1, 3, 1, 3), (4, 3, 4, 4)] {
            assert_eq!(needed, needed_level(&stamped(stamp), &raise(level)), "{stamp} {level}");
            assert_eq!(to_read, level_to_read(&stamped(stamp), Some(&raise(level))), "{stamp} {level}");
        }
        assert_eq!(7, level_to_read(&stamped(7), None), "of a command that is not known");
    }

    #[test]
    fn what_the_cluster_has_not_reached_is_refused() {
        assert_eq!(Ok(()), must_have_reached(1, 1));
        assert_eq!(Ok(()), must_have_reached(1, 2));
        let refusal = must_have_reached(2, 1).expect_err("it is refused");
        assert_eq!(
            (409, "this needs feature level 2, and the cluster's is 1"),
            (refusal.status, refusal.text.as_str())
        );
    }
}
