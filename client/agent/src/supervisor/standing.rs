//! What the agent knows about the supervisor, and how the node describes it to the servers.

use ordu_proto::state::Node;

use super::release::Release;

/// The supervisor, as the agent sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SupervisorStanding {
    /// The program of the supervisor connected last, if known.
    pub(crate) release: Option<Release>,
    /// Why no task can be started or stopped at present.
    pub(crate) problem: Option<&'static str>,
}

impl SupervisorStanding {
    /// Adds the supervisor to the node's description. While it does not answer, the drivers are unhealthy, so that
    /// nothing is placed on the node.
    pub(crate) fn describe(&self, node: &mut Node) {
        if let Some(release) = &self.release {
            release.describe(&mut node.attributes);
        }
        if let Some(problem) = self.problem {
            for driver in node.drivers.values_mut().filter(|driver| driver.detected) {
                driver.healthy = false;
                driver.health_description = problem.to_owned();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ordu_proto::state::DriverInfo;

    use super::*;

    #[test]
    fn drivers_are_unhealthy_while_the_supervisor_does_not_answer() {
        let driver = |detected| DriverInfo { detected, healthy: detected, ..DriverInfo::default() };
        let drivers = [("on".to_owned(), driver(true)), ("off".to_owned(), driver(false))];
        let mut node = Node { drivers: drivers.into(), ..Node::default() };
        SupervisorStanding::default().describe(&mut node);
        assert!(node.drivers["on"].healthy);
        SupervisorStanding { problem: Some("silent"), ..Default::default() }.describe(&mut node);
        assert_eq!(
            (node.drivers["on"].healthy, node.drivers["on"].health_description.as_str()),
            (false, "silent")
        );
        assert_eq!(node.drivers["off"], driver(false));
    }
}
