//! Policies for restarting, rescheduling, updating and migrating the allocations of a group.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Restarts of a task on its node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicy {
    /// Restarts within an interval.
    pub attempts: Option<i64>,
    /// Length of an interval in nanoseconds.
    pub interval: Option<i64>,
    /// Nanoseconds from an exit to the next start.
    pub delay: Option<i64>,
    /// `fail` or `delay`: what happens after the last attempt.
    pub mode: Option<String>,
}

impl RestartPolicy {
    /// Restarts within an interval.
    pub fn attempts(&self) -> i64 {
        self.attempts.unwrap_or(0)
    }

    /// Length of an interval in nanoseconds.
    pub fn interval_ns(&self) -> i64 {
        self.interval.unwrap_or(0)
    }

    /// Nanoseconds from an exit to the next start.
    pub fn delay_ns(&self) -> i64 {
        self.delay.unwrap_or(0)
    }

    /// `fail` or `delay`.
    pub fn mode(&self) -> &str {
        self.mode.as_deref().unwrap_or_default()
    }
}

/// Replacement of a failed allocation, preferably on another node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReschedulePolicy {
    /// Replacements within an interval; ignored if `Unlimited`.
    pub attempts: Option<i64>,
    /// Length of an interval in nanoseconds.
    pub interval: Option<i64>,
    /// Nanoseconds from a failure to the first replacement.
    pub delay: Option<i64>,
    /// `constant`, `exponential` or `fibonacci`.
    pub delay_function: Option<String>,
    /// Upper limit of the delay, in nanoseconds.
    pub max_delay: Option<i64>,
    /// No limit on the attempts.
    pub unlimited: Option<bool>,
}

impl ReschedulePolicy {
    /// Replacements within an interval.
    pub fn attempts(&self) -> i64 {
        self.attempts.unwrap_or(0)
    }

    /// Length of an interval in nanoseconds.
    pub fn interval_ns(&self) -> i64 {
        self.interval.unwrap_or(0)
    }

    /// Nanoseconds from a failure to the first replacement.
    pub fn delay_ns(&self) -> i64 {
        self.delay.unwrap_or(0)
    }

    /// `constant`, `exponential` or `fibonacci`.
    pub fn delay_function(&self) -> &str {
        self.delay_function.as_deref().unwrap_or_default()
    }

    /// Upper limit of the delay, in nanoseconds.
    pub fn max_delay_ns(&self) -> i64 {
        self.max_delay.unwrap_or(0)
    }

    /// No limit on the attempts.
    pub fn unlimited(&self) -> bool {
        self.unlimited.unwrap_or(false)
    }

    /// Whether the policy allows any replacement.
    pub fn is_enabled(&self) -> bool {
        self.unlimited() || (self.attempts() > 0 && self.interval_ns() > 0)
    }
}

/// Rolling updates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateStrategy {
    /// Nanoseconds between the evaluations of a system job's update.
    pub stagger: Option<i64>,
    /// Allocations replaced at a time; 0 disables deployments.
    pub max_parallel: Option<i64>,
    /// `checks`, `task_states` or `manual`.
    pub health_check: Option<String>,
    /// Nanoseconds that an allocation must stay healthy.
    pub min_healthy_time: Option<i64>,
    /// Nanoseconds within which an allocation must become healthy.
    pub healthy_deadline: Option<i64>,
    /// Nanoseconds within which a deployment must get its next healthy allocation.
    pub progress_deadline: Option<i64>,
    /// Revert to the latest stable version when the deployment fails.
    pub auto_revert: Option<bool>,
    /// Promote healthy canaries automatically.
    pub auto_promote: Option<bool>,
    /// Canaries before an update.
    pub canary: Option<i64>,
}

impl UpdateStrategy {
    /// Nanoseconds between the evaluations of a system job's update.
    pub fn stagger_ns(&self) -> i64 {
        self.stagger.unwrap_or(0)
    }

    /// Allocations replaced at a time; 0 disables deployments.
    pub fn max_parallel(&self) -> i64 {
        self.max_parallel.unwrap_or(0)
    }

    /// `checks`, `task_states` or `manual`.
    pub fn health_check(&self) -> &str {
        self.health_check.as_deref().unwrap_or_default()
    }

    /// Nanoseconds that an allocation must stay healthy.
    pub fn min_healthy_time_ns(&self) -> i64 {
        self.min_healthy_time.unwrap_or(0)
    }

    /// Nanoseconds within which an allocation must become healthy.
    pub fn healthy_deadline_ns(&self) -> i64 {
        self.healthy_deadline.unwrap_or(0)
    }

    /// Nanoseconds within which a deployment must get its next healthy allocation.
    pub fn progress_deadline_ns(&self) -> i64 {
        self.progress_deadline.unwrap_or(0)
    }

    /// Revert to the latest stable version when the deployment fails.
    pub fn auto_revert(&self) -> bool {
        self.auto_revert.unwrap_or(false)
    }

    /// Promote healthy canaries automatically.
    pub fn auto_promote(&self) -> bool {
        self.auto_promote.unwrap_or(false)
    }

    /// Canaries before an update.
    pub fn canary(&self) -> i64 {
        self.canary.unwrap_or(0)
    }
}

/// Migration of allocations from a drained node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct MigrateStrategy {
    /// Allocations moved at a time.
    pub max_parallel: Option<i64>,
    /// `checks` or `task_states`.
    pub health_check: Option<String>,
    /// Nanoseconds that an allocation must stay healthy.
    pub min_healthy_time: Option<i64>,
    /// Nanoseconds within which an allocation must become healthy.
    pub healthy_deadline: Option<i64>,
}

impl MigrateStrategy {
    /// Allocations moved at a time.
    pub fn max_parallel(&self) -> i64 {
        self.max_parallel.unwrap_or(0)
    }

    /// `checks` or `task_states`.
    pub fn health_check(&self) -> &str {
        self.health_check.as_deref().unwrap_or_default()
    }

    /// Nanoseconds that an allocation must stay healthy.
    pub fn min_healthy_time_ns(&self) -> i64 {
        self.min_healthy_time.unwrap_or(0)
    }

    /// Nanoseconds within which an allocation must become healthy.
    pub fn healthy_deadline_ns(&self) -> i64 {
        self.healthy_deadline.unwrap_or(0)
    }
}
