//! The deployments that a plan begins, ends or places allocations for. Each is read once and written once, however
//! many allocations the plan has.

use std::collections::BTreeMap;

use ordu_proto::command::{DeploymentUpdate, Plan};
use ordu_proto::state::Deployment;

use super::entry::Entry;
use crate::scheduler::is_active_deployment;
use crate::state::{Corrupt, read};

/// A deployment before and after the plan.
struct Draft {
    before: Option<Deployment>,
    now: Deployment,
}

/// The deployments of one plan.
#[derive(Default)]
pub(super) struct PlanDeployments {
    /// `None` means that the deployment does not exist.
    drafts: BTreeMap<Vec<u8>, Option<Draft>>,
}

impl PlanDeployments {
    /// Reads all deployments that the plan may change.
    pub(super) fn load(&mut self, entry: &Entry<'_, '_>, plan: &Plan) -> Result<(), Corrupt> {
        let begun = plan.deployment.iter().map(|deployment| &deployment.id);
        let ended = plan.deployment_updates.iter().map(|update| &update.deployment_id);
        let joined = plan.update.iter().map(|update| &update.deployment_id);
        let placed = plan.place.iter().map(|alloc| &alloc.deployment_id);
        for id in begun.chain(ended).chain(joined).chain(placed).filter(|id| !id.is_empty()) {
            self.draft(entry, id)?;
        }
        Ok(())
    }

    /// Begins a deployment unless it exists: a large plan comes in several parts, and a plan may be proposed twice.
    pub(super) fn begin(&mut self, entry: &Entry<'_, '_>, deployment: Deployment) -> Result<(), Corrupt> {
        if self.draft(entry, &deployment.id)?.is_none() {
            let id = deployment.id.clone();
            self.drafts.insert(id, Some(Draft { before: None, now: deployment }));
        }
        Ok(())
    }

    /// Changes a deployment's status unless the deployment has ended.
    pub(super) fn update(&mut self, entry: &Entry<'_, '_>, update: &DeploymentUpdate) -> Result<(), Corrupt> {
        if let Some(draft) = self.draft(entry, &update.deployment_id)?
            && is_active_deployment(&draft.now)
        {
            draft.now.set_status(update.status());
            draft.now.status_description.clone_from(&update.status_description);
        }
        Ok(())
    }

    /// Counts an allocation placed for the group. The first one starts the progress deadline.
    pub(super) fn place(
        &mut self,
        entry: &Entry<'_, '_>,
        deployment_id: &[u8],
        group: &str,
    ) -> Result<(), Corrupt> {
        if deployment_id.is_empty() {
            return Ok(());
        }
        if let Some(draft) = self.draft(entry, deployment_id)?
            && let Some(state) = draft.now.groups.get_mut(group)
        {
            state.placed_allocs = state.placed_allocs.saturating_add(1);
            if state.require_progress_by_ns == 0 && state.progress_deadline_ns != 0 {
                state.require_progress_by_ns = entry.time_ns.saturating_add(state.progress_deadline_ns);
            }
        }
        Ok(())
    }

    /// Writes the changed deployments.
    pub(super) fn finish(self, entry: &mut Entry<'_, '_>) {
        for Draft { before, now } in self.drafts.into_values().flatten() {
            if before.as_ref() != Some(&now) {
                entry.put_deployment(before, now);
            }
        }
    }

    fn draft(&mut self, entry: &Entry<'_, '_>, id: &[u8]) -> Result<Option<&mut Draft>, Corrupt> {
        if !self.drafts.contains_key(id) {
            let row = read::deployment(entry.reader(), id)?;
            let draft = row.map(|row| Draft { before: Some(row.clone()), now: row });
            self.drafts.insert(id.to_vec(), draft);
        }
        Ok(self.drafts.get_mut(id).and_then(Option::as_mut))
    }
}
