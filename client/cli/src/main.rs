//! The `ordu` program: agent, and command line for the operators of a cluster.

/// Long-running servers fragment the system's allocator; this one returns memory to the system.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args_os().peekable();
    // The node's supervisor is a small process: nothing else of this program is started for it.
    if arguments.nth(1).is_some_and(|command| command == ordu::open_files::SUPERVISOR_COMMAND) {
        // The supervisor and its tasks get the limit of open files and the umask that the agent was started with.
        while arguments
            .next_if(|argument| ordu::open_files::lower(argument) || ordu::private::give_back(argument))
            .is_some()
        {}
        return ordu_agent::supervisor_main(arguments);
    }
    ordu::run(std::env::args_os())
}
