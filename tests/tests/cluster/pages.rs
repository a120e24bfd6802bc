//! Runs each section of the operations manual, `deploy/operations.md`, on its own cluster.
//!
//! In a block, a line that begins with a host and a prompt is a command, and a line that begins with `# ` is an
//! event. The lines below a command are the output that shows success, in which `…` stands for anything. A command is
//! repeated until it prints that output.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ordu_tests::cli::{ordu, ordu_told};
use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, holds, may_mount, skipped};
use regex::Regex;

/// Timeout for a command.
const COMMAND_WITHIN: Duration = Duration::from_secs(40);
/// Size of each server's disk in sections on full disks. The constant below is the space that should stay free on it.
const DISK_MB: u64 = 300;
const FREE_MIN_MB: u64 = 80;

/// Defines a test for each section, and the list of sections.
macro_rules! sections {
    ($($test:ident $title:literal)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                run($title).await;
            }
        )*

        const SECTIONS: &[&str] = &[$($title),*];
    };
}

sections! {
    servers_and_nodes_are_installed "Install"
    rules_for_a_firewall_are_well_formed "What to firewall"
    three_servers_grow_to_five "Grow from three servers to five"
    five_servers_shrink_to_three "Shrink from five servers to three"
    a_server_is_replaced "Replace a server"
    a_server_is_moved "Move a server"
    a_server_is_taken_out_and_comes_back "Maintenance of a server"
    everything_is_upgraded "Upgrade"
    a_node_is_taken_out "Maintenance of a node"
    a_lost_server_comes_back "One server is lost"
    a_lost_quorum_comes_back "The quorum is lost"
    a_cluster_is_formed_anew_from_one_directory "The quorum is lost for good"
    a_damaged_disk_is_replaced "A disk is damaged"
    full_disks_get_room "A disk is full"
    a_wrong_clock_is_mended "A clock is wrong"
}

#[test]
fn every_section_is_run() {
    let titles: Vec<String> = page().into_iter().map(|section| section.title).collect();
    assert_eq!(SECTIONS, titles);
}

struct Section {
    title: String,
    /// The lines of its code blocks, without indentation.
    blocks: Vec<Vec<String>>,
}

fn page() -> Vec<Section> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/operations.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut sections: Vec<Section> = Vec::new();
    let mut is_in_block = false;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            sections.push(Section { title: title.to_owned(), blocks: Vec::new() });
        }
        let code = line.strip_prefix("    ");
        if let (Some(code), Some(section)) = (code, sections.last_mut()) {
            if !is_in_block {
                section.blocks.push(Vec::new());
            }
            section.blocks.last_mut().expect("a block was begun").push(code.to_owned());
        }
        is_in_block = code.is_some();
    }
    sections
}

async fn run(title: &str) {
    let section = page().into_iter().find(|section| section.title == title);
    let section = section.unwrap_or_else(|| panic!("there is no section {title:?}"));
    assert!(!section.blocks.is_empty(), "{title:?} shows nothing");
    if section.blocks.iter().all(|block| block[0].starts_with("table ")) {
        return section.blocks.iter().for_each(|rules| check_rules(rules));
    }
    let fills_disks = section.blocks.iter().flatten().any(|line| line.starts_with("# the disks of "));
    if fills_disks
        && let Err(why) = may_mount(&std::env::temp_dir().join(format!("ordu-mount-{}", std::process::id())))
    {
        return skipped(&format!("a small file system cannot be mounted here: {why}"));
    }
    let shape = Shape {
        clocks: true,
        disk_mb: fills_disks.then_some(DISK_MB),
        server_block: if fills_disks { format!("disk_free_min_mb = {FREE_MIN_MB}") } else { String::new() },
        ..Shape::default()
    };
    let cluster = match title {
        "Install" => Cluster::prepare(shape).await,
        _ => Cluster::start(shape).await,
    };
    let mut stage = Stage { cluster, moved: BTreeMap::new() };
    for block in section.blocks {
        let mut lines = block.into_iter().peekable();
        while let Some(line) = lines.next() {
            if let Some(event) = line.strip_prefix("# ") {
                stage.happens(event);
                continue;
            }
            let (host, command) = prompt(&line).unwrap_or_else(|| panic!("{line:?} is no command"));
            let mut output = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("# ") && prompt(line).is_none()) {
                output.push(line);
            }
            stage.command(&host, &command, &output).await;
        }
    }
}

/// Returns host and command of a line with a prompt.
fn prompt(line: &str) -> Option<(String, String)> {
    let (host, command) = line.split_once("# ").or_else(|| line.split_once("$ "))?;
    let is_host = host.starts_with("server-") || host.starts_with("node-");
    (is_host && !host.contains(' ')).then(|| (host.to_owned(), command.to_owned()))
}

/// Checks nftables rules without installing them.
fn check_rules(rules: &[String]) {
    let nft = Command::new("nft").args(["--check", "--file", "-"]).stdin(Stdio::piped()).spawn();
    let mut nft = match nft {
        Ok(nft) if nix::unistd::geteuid().is_root() => nft,
        _ => return skipped("nftables reads rules for root alone, where it is installed"),
    };
    let mut input = nft.stdin.take().expect("it has an input");
    input.write_all(rules.join("\n").as_bytes()).expect("it reads them");
    drop(input);
    assert!(nft.wait().expect("it ends").success(), "{rules:?}");
}

#[derive(Clone, Copy)]
enum Host {
    Server(usize),
    Node(usize),
}

/// A cluster that represents the hosts in the manual.
struct Stage {
    cluster: Cluster,
    /// Servers that have moved, by the name of their new host.
    moved: BTreeMap<String, usize>,
}

impl Stage {
    /// Returns the host with this name; adds a server that does not exist yet.
    fn host(&mut self, name: &str) -> Host {
        if let Some(number) = self.moved.get(name) {
            return Host::Server(*number);
        }
        let (kind, number) = name.rsplit_once('-').unwrap_or_else(|| panic!("{name:?} is no host"));
        let number: usize = number.parse().unwrap_or_else(|_| panic!("{name:?} has no number"));
        if kind == "node" {
            return Host::Node(number - 1);
        }
        while self.cluster.servers.len() < number {
            self.cluster.add_server();
        }
        Host::Server(number - 1)
    }

    fn happens(&mut self, event: &str) {
        if let Some(host) = event.strip_suffix(" dies") {
            return match self.host(host) {
                Host::Server(number) => self.cluster.servers[number].kill(),
                Host::Node(number) => self.cluster.nodes[number].kill(),
            };
        }
        if let Some((hosts, becomes)) = event
            .strip_prefix("the disks of ")
            .and_then(|of| of.split_once(" fill up").or_else(|| of.split_once(" have")))
        {
            let fills = becomes.is_empty();
            for host in hosts.split(", ") {
                let Host::Server(number) = self.host(host) else { panic!("{host} is no server") };
                let disk = &self.cluster.small_disks[number];
                if fills { disk.fill_but(FREE_MIN_MB / 2) } else { disk.empty() }
            }
            return;
        }
        let clock = event.strip_prefix("the clock of ").and_then(|of| of.split_once(" is "));
        let (host, is) = clock.unwrap_or_else(|| panic!("nobody knows how {event:?} happens"));
        let Host::Server(number) = self.host(host) else { panic!("{host} is no server") };
        self.cluster.clocks[number].shift(match is {
            "an hour ahead" => 3_600,
            "right again" => 0,
            _ => panic!("{is:?} is no clock's fault"),
        });
    }

    async fn command(&mut self, host: &str, command: &str, output: &[String]) {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["systemctl", verbs @ .., "ordu-server" | "ordu-node"] => {
                let host = self.host(host);
                self.unit(host, verbs);
            }
            // The tests use the same binary, so there is nothing to install.
            ["install", .., "/usr/local/bin/ordu"] => {}
            ["rsync", .., from, "/var/lib/ordu/"] => {
                let from =
                    from.split_once(':').map_or_else(|| panic!("{from} names no host"), |(host, _)| host);
                let Host::Server(number) = self.host(from) else { panic!("{from} is no server") };
                self.cluster.move_server(number);
                self.moved.insert(host.to_owned(), number);
            }
            ["rm", "-r", "/var/lib/ordu/server"] => {
                let Host::Server(number) = self.host(host) else { panic!("{host} is no server") };
                let data = self.cluster.data_dir(number).join("server");
                fs::remove_dir_all(data).expect("the test's folder can be written to");
            }
            ["mv", "/var/lib/ordu/server", to] => {
                let Host::Server(number) = self.host(host) else { panic!("{host} is no server") };
                let data = self.cluster.data_dir(number);
                let to = to.strip_prefix("/var/lib/ordu/").unwrap_or_else(|| panic!("{to} is elsewhere"));
                fs::rename(data.join("server"), data.join(to)).expect("the test's folder can be written to");
            }
            _ => return self.shown(host, command, output).await,
        }
        assert!(output.is_empty(), "{command:?} shows nothing, and not {output:?}");
    }

    fn unit(&mut self, host: Host, verbs: &[&str]) {
        let (stops, starts) = match verbs {
            ["enable", "--now"] | ["start"] => (false, true),
            ["disable", "--now"] | ["stop"] => (true, false),
            ["restart"] => (true, true),
            _ => panic!("{verbs:?} is nothing that a unit does"),
        };
        let cluster = &mut self.cluster;
        if stops {
            match host {
                Host::Server(number) => cluster.servers[number].stop(),
                Host::Node(number) => cluster.nodes[number].stop(),
            }
        }
        if starts {
            match host {
                Host::Server(number) => cluster.start_server(number),
                Host::Node(number) => cluster.start_node(number),
            }
        }
    }

    /// Repeats a command until it prints the expected output.
    async fn shown(&mut self, host: &str, command: &str, output: &[String]) {
        assert!(!output.is_empty(), "{command:?} is to show something");
        let Host::Server(number) = self.host(host) else { panic!("{command:?} is for a server") };
        let data_dir = self.cluster.data_dir(number).display().to_string();
        let as_here = |line: &str| self.as_here(line).replace("/var/lib/ordu", &data_dir);
        let (command, wanted) = (as_here(command), output.iter().map(|line| as_here(line)));
        let wanted: Vec<Regex> = wanted.map(|line| pattern(&line)).collect();
        let client = self.cluster.client(number);
        let address = format!("http://{}", client.address());
        let server = &self.cluster.servers[number];
        eventually(&format!("{command:?} shows what the page shows"), SETTLE_WITHIN, async || {
            let words: Vec<&str> = command.split_whitespace().collect();
            let text = match words.as_slice() {
                ["ordu", "server", "recover", options @ ..] => recover(options)?,
                ["ordu", arguments @ ..] => {
                    let printed = ordu(arguments, &[("NOMAD_ADDR", &address)], COMMAND_WITHIN);
                    holds(printed.code == Some(0), || printed.all())?;
                    printed.stdout
                }
                ["curl", "-s", url] => {
                    let path = url.strip_prefix("http://127.0.0.1:4646").unwrap_or_default();
                    client.get(path).await.map_err(|error| error.to_string())?.text()
                }
                ["journalctl", "-u", "ordu-server"] => server.log_text(),
                _ => panic!("nobody knows how to run {command:?}"),
            };
            let missing = wanted.iter().find(|wanted| !text.lines().any(|line| wanted.is_match(line)));
            missing.map_or(Ok(()), |missing| Err(format!("no line is like {missing}: {text}")))
        })
        .await;
    }

    /// Replaces the manual's addresses in a line by those of the test's servers.
    fn as_here(&self, line: &str) -> String {
        let mut line = line.to_owned();
        let names = (0..self.cluster.servers.len()).map(|number| (format!("server-{}", number + 1), number));
        let hosts: Vec<(String, usize)> =
            names.chain(self.moved.iter().map(|(host, number)| (host.clone(), *number))).collect();
        for (host, number) in hosts {
            let octet = host.trim_start_matches("server-");
            line = line.replace(&format!("10.0.0.{octet}:4647"), &self.cluster.rpc_address(number));
            line = line.replace(&format!("10.0.0.{octet} "), "127.0.0.1 ");
        }
        line
    }
}

/// Runs `server recover` and types the confirmation that it asks for.
fn recover(options: &[&str]) -> Result<String, String> {
    let run = |typed: &str, more: &[&str]| {
        let arguments = [&["server", "recover"], options, more].concat();
        let printed = ordu_told(typed, &arguments, &[], COMMAND_WITHIN);
        holds(printed.code == Some(0), || printed.all()).map(|()| printed.stdout)
    };
    if options.contains(&"-show") {
        return run("", &[]);
    }
    let shown = run("", &["-show"])?;
    let id = shown.lines().find_map(|line| line.strip_prefix("Cluster ")).unwrap_or_default();
    let typed: String = id.trim_start_matches([' ', '=']).chars().take(8).collect();
    run(&format!("{typed}\n"), &[])
}

/// Converts an output line to a pattern: `…` matches anything, and columns may have any width.
fn pattern(line: &str) -> Regex {
    let words = line.split_whitespace().map(|word| regex::escape(word).replace('…', ".*"));
    let text = words.collect::<Vec<_>>().join(r"\s+");
    Regex::new(&format!(r"^\s*{text}\s*$")).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}
