//! `ordu server recover`: forms a new cluster from one server's data directory, offline.

use super::{CommandError, DONE, FAILED, yes_or_no};
use crate::config::{self, Overrides, Sources};
use crate::output::{Screen, ago, moment};
use crate::private;
use clap::Args;
use ordu_server::membership::hex;
use ordu_server::recovery::{Formed, Found, Looked, Position, Recovery};
use std::io::BufRead;
use std::path::{Path, PathBuf};

/// How many characters of the cluster's id must be typed to confirm.
const CONFIRMED_BY_CHARACTERS: usize = 8;

/// The arguments of `ordu server recover`.
#[derive(Debug, Args)]
#[command(after_help = "\
For a cluster whose quorum is lost for good: most servers' data directories are gone, or damaged beyond use. While most
servers can still be started, start them instead; nothing is lost then.

Stop all servers. Look at every data directory that is left with -show, and recover from the one whose last log entry is
of the latest term and, of those, has the greatest index; -compare holds them against each other. Then start that server,
and the others with empty data directories: they join, and vote after ten seconds.")]
pub(crate) struct RecoverArgs {
    /// The server's configuration, which names its data directory; may be given several times, as to the agent
    #[arg(long, value_name = "PATH")]
    config: Vec<PathBuf>,
    /// The server's data directory, as the agent's flag has it
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,
    /// Data directory of another server of the cluster, or a copy of it, that must not have more than this one; may be
    /// given several times
    #[arg(long, value_name = "PATH")]
    compare: Vec<PathBuf>,
    /// Show what is there, and change nothing
    #[arg(long)]
    show: bool,
    /// Form the new cluster without asking: what only other servers have is lost
    #[arg(long)]
    lose_what_only_other_servers_have: bool,
}

impl RecoverArgs {
    fn data_dir(&self) -> Result<PathBuf, CommandError> {
        if self.config.is_empty() {
            let none = "name the server's data directory by -data-dir, or its configuration by -config";
            return self.data_dir.clone().ok_or_else(|| CommandError::Told(none.to_owned()));
        }
        let overrides = Overrides { data_dir: self.data_dir.clone(), ..Overrides::default() };
        let sources = Sources { dev: false, paths: self.config.clone(), overrides };
        let config = config::load(&sources).map_err(|error| CommandError::Told(error.to_string()))?;
        Ok(config.data_dir)
    }
}

pub(crate) async fn execute(arguments: &RecoverArgs) -> Result<u8, CommandError> {
    // What it writes is a server's data.
    private::take_umask();
    run(arguments, &mut std::io::stdin().lock(), &mut Screen::terminal(true)).await
}

async fn run(
    arguments: &RecoverArgs,
    input: &mut impl BufRead,
    screen: &mut Screen,
) -> Result<u8, CommandError> {
    let data_dir = of_server(&arguments.data_dir()?);
    let Some(recovery) = look(&data_dir, screen).await? else { return Ok(DONE) };
    let found = recovery.found().clone();
    show(&found, screen);
    if !arguments.compare.is_empty() {
        compare(&found, &arguments.compare, screen).await?;
    }
    if arguments.show {
        return Ok(DONE);
    }
    warn(&found, screen);
    if !arguments.lose_what_only_other_servers_have && !is_confirmed(&found, input, screen) {
        screen.line("Not confirmed: nothing is changed");
        return Ok(FAILED);
    }
    let formed = recovery.form().await.map_err(told)?;
    tell(&found, &formed, screen);
    Ok(DONE)
}

fn told(error: impl std::fmt::Display) -> CommandError {
    CommandError::Told(error.to_string())
}

/// Returns the server's data directory: `server` inside an agent's data directory, or else the directory itself.
fn of_server(data_dir: &Path) -> PathBuf {
    let inside = data_dir.join("server");
    if inside.is_dir() { inside } else { data_dir.to_owned() }
}

/// Inspects a directory; `None` if it only completed an earlier recovery.
async fn look(data_dir: &Path, screen: &mut Screen) -> Result<Option<Recovery>, CommandError> {
    match Recovery::look(data_dir).await.map_err(told)? {
        Looked::Recoverable(recovery) => Ok(Some(*recovery)),
        Looked::Completed => {
            screen.line(format!(
                "An earlier recovery of {} was confirmed and then cut short. It is completed now: start the server",
                data_dir.display()
            ));
            Ok(None)
        }
    }
}

fn entry(position: Position) -> String {
    format!("{} of term {}", position.index, position.term)
}

fn show(found: &Found, screen: &mut Screen) {
    let name = found.me().map_or("not a member yet", |me| me.server.name.as_str());
    screen.facts([
        ("Data Directory", found.data_dir.display().to_string()),
        ("Server", format!("{name} ({})", found.server_id)),
        ("Cluster", hex(&found.cluster_id)),
        ("Last Log Entry", entry(found.last)),
        ("Applied", found.applied.map_or_else(String::new, entry)),
        ("State Hash", hex(&found.state_hash)),
        ("Written", format!("{} ({})", moment(found.time_ns), ago(found.time_ns))),
        ("Jobs", found.jobs.to_string()),
        ("Allocations", found.allocations.to_string()),
        ("Nodes", found.nodes.to_string()),
    ]);
    screen.title("Servers, as this one knows them");
    let rows = found.members.iter().map(|member| {
        let (id, voter) = (member.id.to_string(), yes_or_no(member.voter));
        [member.server.name.clone(), id, member.server.rpc_addr.clone(), voter]
    });
    screen.table(["Name", "ID", "Address", "Voter"], rows);
}

/// Refuses a directory that has less than another one of its cluster.
async fn compare(found: &Found, others: &[PathBuf], screen: &mut Screen) -> Result<(), CommandError> {
    let mut all = vec![found.clone()];
    for other in others {
        if let Some(other) = look(&of_server(other), screen).await? {
            all.push(other.found().clone());
        }
    }
    screen.title("Compared");
    let rows = all.iter().map(|it| {
        let is_same = it.cluster_id == found.cluster_id;
        let cluster = if is_same { "the same" } else { "another" };
        [it.data_dir.display().to_string(), cluster.to_owned(), entry(it.last), moment(it.time_ns)]
    });
    screen.table(["Data Directory", "Cluster", "Last Log Entry", "Written"], rows);
    let of_cluster = all.iter().filter(|it| it.cluster_id == found.cluster_id);
    match of_cluster.max_by_key(|it| it.last) {
        Some(most) if most.last > found.last => Err(CommandError::Told(format!(
            "{} has more than {}: recover from that one. Nothing is changed",
            most.data_dir.display(),
            found.data_dir.display()
        ))),
        _ => Ok(()),
    }
}

fn warn(found: &Found, screen: &mut Screen) {
    screen.title("What may be lost");
    screen.line(format!(
        "All that the other servers acknowledged behind entry {}, which this server never had: jobs that were \
         registered, changed or stopped, and what became of allocations.",
        entry(found.last)
    ));
    screen.line(
        "What this server has and the others may never have acknowledged is kept: a write that was answered with an \
         error can have been done.",
    );
    screen.line(
        "Nodes stop the allocations that this server does not know, and run what it knows and what is placed anew.",
    );
    screen.line(
        "The cluster gets a new id. Servers of the former one are refused from then on, until their data directories \
         are emptied. If most of them can still be started, do not go on: start them, and nothing is lost.",
    );
}

fn is_confirmed(found: &Found, input: &mut impl BufRead, screen: &mut Screen) -> bool {
    let wanted: String = hex(&found.cluster_id).chars().take(CONFIRMED_BY_CHARACTERS).collect();
    screen.line("");
    screen.line(format!(
        "Type the first {CONFIRMED_BY_CHARACTERS} characters of the cluster's id ({wanted}) to form a new cluster from \
         this directory:"
    ));
    let mut typed = String::new();
    // Input that cannot be read does not confirm.
    input.read_line(&mut typed).is_ok() && typed.trim() == wanted
}

fn tell(found: &Found, formed: &Formed, screen: &mut Screen) {
    screen.title("Recovered");
    screen.facts([
        ("Cluster", hex(&formed.cluster_id)),
        ("Server", formed.server_id.to_string()),
        ("What Was There", formed.aside.display().to_string()),
    ]);
    screen.line("");
    screen.line(format!(
        "Start this server on {}: it is the only voter and serves alone. Then start the others with empty data \
         directories: they join, and vote after ten seconds. When all is well, remove what was there.",
        found.data_dir.display()
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, ServerCommand, parse};

    fn parsed(line: &str) -> RecoverArgs {
        let cli = parse(line.split_whitespace().map(Into::into)).unwrap();
        let Command::Server(ServerCommand::Recover(arguments)) = cli.command else { panic!("{line}") };
        arguments
    }

    #[tokio::test]
    async fn a_directory_without_a_servers_data_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let there = directory.path().display();
        let file = directory.path().join("client.hcl");
        std::fs::write(
            &file,
            format!("data_dir = \"{there}/none\" client {{ enabled = true servers = [\"a\"] }}"),
        )
        .unwrap();
        let cases = [
            ("".to_owned(), "by -data-dir, or its configuration by -config"),
            (format!("-data-dir={there}/none"), "there is no directory"),
            (format!("-config={}", file.display()), "there is no directory"),
            (format!("-config={there}/none.hcl"), "cannot read the configuration"),
            (format!("-data-dir={there}"), "holds no server's data"),
        ];
        for (given, words) in cases {
            let arguments = parsed(&format!("ordu server recover {given}"));
            let mut screen = Screen::captured(true);
            let refused = run(&arguments, &mut &b"yes\n"[..], &mut screen).await.unwrap_err().to_string();
            assert!(refused.contains(words), "{given}: {refused}");
        }
    }
}
