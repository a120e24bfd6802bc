//! Command 21, since 0.1: applies the node agents' reports on their allocations.

use ordu_proto::command::{AllocClientUpdate, Done};
use ordu_proto::state::ClientStatus;

use super::Step;
use super::declared::Command;
use super::entry::Entry;
use super::job_state::is_client_terminal;
use super::level::FIRST_LEVEL;
use crate::state::{read, readable};

impl Command for AllocClientUpdate {
    type Answer = Done;
    const NUMBER: u32 = 21;
    const LEVEL: u32 = FIRST_LEVEL;

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<Done> {
        for update in self.updates {
            // Skip allocations that no longer exist; an undecodable one must not block the other updates.
            let Some(old) = readable(read::alloc(entry.reader(), &update.alloc_id))?.flatten() else {
                continue;
            };
            // A node may only update its own allocations.
            if !update.node_id.is_empty() && update.node_id != old.node_id {
                continue;
            }
            // A final report stands: an agent that has lost its local state knows less.
            if read::node_alloc(&old).over {
                continue;
            }
            // Skip outdated reports: the server that the node was connected to before may still be writing older ones.
            if update.stamp != 0 && update.stamp < old.client_stamp {
                continue;
            }
            // A terminal status stays: a repeated report must not revive the allocation.
            if is_client_terminal(old.client_status()) && !is_client_terminal(update.client_status()) {
                continue;
            }
            let mut new = old.clone();
            if update.client_status() != ClientStatus::Unspecified {
                new.set_client_status(update.client_status());
            }
            new.client_description = update.client_description;
            new.task_states = update.task_states;
            new.client_stamp = old.client_stamp.max(update.stamp);
            readable(entry.put_alloc(Some(old), new))?;
        }
        Ok(Ok(Done { index: entry.index }))
    }
}
