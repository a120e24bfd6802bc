//! The agent's limit of open files. Every connection is a file, so the agent raises the limit to its maximum.
//! Tasks get the original limit, since some programs cannot deal with more.

use std::ffi::{OsStr, OsString};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ordu_agent::SupervisorProgram;

/// The command that runs this program as the node's supervisor.
pub const SUPERVISOR_COMMAND: &str = "node-supervisor";

const FLAG: &str = "--open-files=";

/// Raises the limit to its maximum. Returns the former limit, with which the supervisor is to be started.
pub(crate) fn raise() -> Result<u64, String> {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| soft));
    raised.map_err(|error| format!("cannot raise the limit of open files: {error}"))
}

/// Returns the program and arguments that start the supervisor with a limit of `open_files`.
pub(crate) fn supervisor(open_files: u64) -> SupervisorProgram {
    let args = vec![OsString::from(SUPERVISOR_COMMAND), OsString::from(format!("{FLAG}{open_files}"))];
    SupervisorProgram { args, ..SupervisorProgram::default() }
}

/// Lowers the limit to that in an argument of [`supervisor`]'s. Returns false for any other argument.
pub fn lower(argument: &OsStr) -> bool {
    let Some(open_files) = argument.to_str().and_then(|argument| argument.strip_prefix(FLAG)) else {
        return false;
    };
    let lowered = open_files.parse::<u64>().map_err(|error| error.to_string()).and_then(|open_files| {
        getrlimit(Resource::RLIMIT_NOFILE)
            .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, open_files.min(hard), hard))
            .map_err(|error| error.to_string())
    });
    if let Err(error) = lowered {
        // Not fatal: the supervisor works with a higher limit, which its tasks then inherit.
        eprintln!("the limit of open files cannot be set to {open_files:?}: {error}");
    }
    true
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const CHILD: &str = "ORDU_TEST_OPEN_FILES";

    /// Runs in a process of its own, since the limit is the process's.
    #[test]
    fn child_that_raises_and_lowers() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let limits = || getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let (_, hard) = limits();
        setrlimit(Resource::RLIMIT_NOFILE, 200.min(hard), hard).unwrap();
        let before = raise().unwrap();
        assert_eq!((200.min(hard), (hard, hard)), (before, limits()));
        let supervisor = supervisor(before);
        assert_eq!(SUPERVISOR_COMMAND, supervisor.args[0]);
        assert!(lower(&supervisor.args[1]));
        assert_eq!((before, hard), limits());
        assert!(lower(OsStr::new("--open-files=many")) && !lower(OsStr::new("--socket")));
        assert_eq!((before, hard), limits());
        println!("done");
    }

    #[test]
    fn the_limit_is_raised_for_the_agent_and_lowered_again_for_the_supervisor() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["open_files::tests::child_that_raises_and_lowers", "--exact", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && said.contains("done"), "{said}");
    }
}
