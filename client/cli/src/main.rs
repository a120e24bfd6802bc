//! The one binary: agent, and command line for the operator of a cluster.

/// Long-lived servers fragment the system's allocator; this one gives memory back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    ordu::run(std::env::args_os())
}
