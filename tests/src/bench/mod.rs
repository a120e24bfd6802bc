//! The benchmark: one module per kind of measurement, and their order.

pub mod catch_up;
pub mod drive;
pub mod failover;
pub mod jobs_api;
pub mod measures;
mod options;
pub mod restart;
pub mod statistics;
pub mod table;
pub mod target;
pub mod tasks;
pub mod watchers;

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

pub use options::{Measure, Options};
use table::Table;
use target::Target;

/// Runs the selected measurements and returns the table as Markdown.
pub async fn run(options: &Options) -> io::Result<String> {
    allow_many_connections()?;
    let mut target = Target::new(options).await;
    let mut table = Table::default();
    // Memory first, while the number of registrations is known exactly.
    if options.wants(Measure::Memory) {
        measures::memory(&target, options, &mut table).await?;
    }
    if options.wants(Measure::Registrations) {
        measures::registrations(&target, options, &mut table).await?;
    }
    if options.wants(Measure::Reads) {
        measures::reads(&target, options, &mut table).await?;
    }
    if options.wants(Measure::Running) {
        measures::running(&target, &mut table).await?;
    }
    if options.wants(Measure::Tasks) {
        tasks::tasks(&target, options, &mut table).await?;
    }
    if options.wants(Measure::Dispatches) {
        jobs_api::dispatches(&target, options, &mut table).await?;
    }
    if options.wants(Measure::Plan) {
        jobs_api::plan(&target, &mut table).await?;
    }
    if options.wants(Measure::Parse) {
        jobs_api::parse(&target, &mut table).await?;
    }
    if options.wants(Measure::Watchers) {
        watchers::watchers(&target, options, &mut table).await?;
    }
    if options.wants(Measure::Failover) {
        match target.own {
            Some(_) => failover::failover(&mut target, options, &mut table).await?,
            None => eprintln!("the failover is left out: only servers that --spawn started are killed"),
        }
    }
    // Last, because its many jobs would slow down later measurements.
    if options.wants(Measure::Pages) {
        jobs_api::pages(&target, options, &mut table).await?;
    }
    // These fill the servers with jobs and kill servers, so they run only if selected explicitly.
    if options.only.contains(&Measure::Restart) {
        restart::restart(&mut target, options, &mut table).await?;
    }
    if options.only.contains(&Measure::CatchUp) {
        catch_up::catch_up(&mut target, options, &mut table).await?;
    }
    if table.is_empty() {
        return Err(io::Error::other("nothing was measured: the failover needs --spawn, the memory --pids"));
    }
    let description = target.description().await?;
    Ok(table.markdown(&description, &command_line()))
}

/// Returns the command line for repeating the benchmark.
fn command_line() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("cargo run --release -p ordu-tests --bin bench -- {}", arguments.join(" "))
}

/// Raises the limit of open files: a thousand watchers need a thousand open files, in this process and in the servers,
/// which inherit the limit.
pub(crate) fn allow_many_connections() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
