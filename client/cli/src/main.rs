//! The one binary: agent, and command line for the operator of a cluster.

/// Long-lived servers fragment the system's allocator; this one gives memory back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args_os().peekable();
    // The node's supervisor is a small process of its own: nothing of the rest is started for it.
    if arguments.nth(1).is_some_and(|command| command == ordu::open_files::SUPERVISOR_COMMAND) {
        // The supervisor begins with what the agent was given, and so do the tasks.
        let _ = arguments.next_if(|argument| ordu::open_files::lower(argument));
        return ordu_agent::supervisor_main(arguments);
    }
    ordu::run(std::env::args_os())
}
