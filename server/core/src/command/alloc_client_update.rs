//! Command 21, since 0.1: what node agents report of their allocations.

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
            // An allocation that is gone from the state is no one's concern any more, and one that cannot be
            // decoded does not hold up the others of the entry.
            let Some(old) = readable(read::alloc(entry.reader(), &update.alloc_id))?.flatten() else {
                continue;
            };
            // A node has a say in its own allocations only.
            if !update.node_id.is_empty() && update.node_id != old.node_id {
                continue;
            }
            // The node's last word stands: an agent that has lost what it had written down knows less.
            if read::node_alloc(&old).over {
                continue;
            }
            // A server that the node has left may still be writing what it was told: it is older.
            if update.stamp != 0 && update.stamp < old.client_stamp {
                continue;
            }
            // What was over stays over: a doubled report does not bring it back.
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
