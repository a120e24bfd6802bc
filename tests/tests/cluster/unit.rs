//! Agents under a service manager: their notifications to a fake one, and the units in `deploy` under a real systemd.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use ordu_tests::harness::{
    Agent, HangingDisk, Root, SETTLE_WITHIN, ServiceManager, Systemd, eventually_now, free_port, holds,
    ordu_binary, processes, skipped,
};
use ordu_tests::tidy::tree;

/// The watchdog timeout. An agent sends four keep-alives per timeout.
const WATCHDOG: Duration = Duration::from_secs(2);
const ALIVE: &str = "WATCHDOG=1";

const ALONE: &str = "server {\n  enabled = true\n  bootstrap_expect = 1\n}\n";

/// Starts an agent with its own service manager.
fn managed(
    root: &Root,
    name: &str,
    more: &str,
    environment: Vec<(String, String)>,
) -> (Agent, ServiceManager) {
    let manager = ServiceManager::new(root.path(), name);
    let mut agent = Agent::on_loopback(root, name, [(); 3].map(|()| free_port()), more);
    agent.set_environment([manager.environment(WATCHDOG), environment].concat());
    agent.start();
    (agent, manager)
}

/// Waits until the manager has received a line that satisfies `is_it`.
async fn hears(manager: &mut ServiceManager, what: &str, is_it: impl Fn(&str) -> bool) {
    eventually_now(what, SETTLE_WITHIN, || {
        let heard = manager.heard();
        holds(heard.iter().any(|line| is_it(line)), || format!("{heard:?}"))
    })
    .await;
}

async fn hears_line(manager: &mut ServiceManager, line: &str) {
    hears(manager, line, |heard| heard == line).await;
}

/// Waits until the agent has sent this many more keep-alives.
async fn lives_on(manager: &mut ServiceManager, times: usize) {
    manager.heard().clear();
    eventually_now("it shows itself", SETTLE_WITHIN, || {
        let count = manager.count(ALIVE);
        holds(count >= times, || format!("{count} times"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manager_is_told_of_start_reload_and_end_and_hears_nothing_of_one_that_hangs() {
    let root = Root::new();
    let both = format!("{ALONE}client {{\n  enabled = true\n}}\n");
    let (mut agent, mut manager) = managed(&root, "both", &both, Vec::new());
    let pid = agent.pid().expect("it runs");
    hears_line(&mut manager, "READY=1").await;
    let heard = manager.heard();
    assert!(heard[0].starts_with("STATUS=starting"), "{heard:?}");
    assert!(!heard.iter().any(|line| line.starts_with("RELOADING")), "{heard:?}");
    hears(&mut manager, "what it does", |line| {
        line.starts_with("STATUS=server: leader; node: registered at ")
    })
    .await;
    lives_on(&mut manager, 3).await;

    manager.heard().clear();
    processes::signal(pid, Signal::SIGHUP);
    hears_line(&mut manager, "READY=1").await;
    let heard: Vec<&String> = manager.heard().iter().filter(|line| *line != ALIVE).collect();
    assert_eq!("RELOADING=1", heard[0]);
    assert!(
        heard[1].strip_prefix("MONOTONIC_USEC=").is_some_and(|time| time.parse::<u64>().is_ok()),
        "{heard:?}"
    );

    // Another, running agent measures the time.
    let (_other, mut of_other) = managed(&root, "other", ALONE, Vec::new());
    hears_line(&mut of_other, "READY=1").await;
    agent.pause();
    lives_on(&mut of_other, 2).await;
    manager.heard().clear();
    lives_on(&mut of_other, 8).await;
    assert_eq!(0, manager.heard().len(), "{:?}", manager.heard());
    agent.resume();
    lives_on(&mut manager, 3).await;

    agent.stop();
    let heard = manager.heard();
    assert!(heard.iter().any(|line| line == "STOPPING=1"), "{heard:?}");
    let ended = heard.iter().position(|line| line == "STOPPING=1").unwrap_or_default();
    assert!(!heard[ended..].iter().any(|line| line == "READY=1"), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_up_without_the_other_servers_and_lives_without_its_disk() {
    let root = Root::new();
    let nobody = format!("127.0.0.1:{}", free_port());
    let cases = [
        (
            "server",
            format!("server {{\n  enabled = true\n  bootstrap_expect = 3\n  retry_join = [{nobody:?}]\n}}\n"),
            "STATUS=server: waiting for its cluster",
        ),
        (
            "node",
            format!("client {{\n  enabled = true\n  servers = [{nobody:?}]\n}}\n"),
            "STATUS=node: looking for a server",
        ),
    ];
    for (name, more, status) in cases {
        let (_agent, mut manager) = managed(&root, name, &more, Vec::new());
        hears_line(&mut manager, "READY=1").await;
        hears_line(&mut manager, status).await;
        lives_on(&mut manager, 3).await;
    }

    let disk = HangingDisk::new(root.path(), "hanging");
    let (agent, mut manager) = managed(&root, "hanging", ALONE, disk.environment());
    hears_line(&mut manager, "STATUS=server: leader").await;
    disk.hang(true);
    let client = agent.client();
    // A write that needs a sync; the test does not wait for it.
    let job = serde_json::json!({ "Job": ordu_tests::jobs::unplaceable("stuck") });
    let write = tokio::spawn(async move { client.post("/v1/jobs", &job).await });
    ordu_tests::observe::health_tells(client, "a sync of the raft log took").await;
    // More keep-alives than an agent sends in one watchdog timeout.
    lives_on(&mut manager, 12).await;
    disk.hang(false);
    write.abort();
}

#[test]
fn lines_for_the_journal_have_priorities_and_others_have_none() {
    use std::os::unix::fs::MetadataExt;
    let root = Root::new();
    let wrong = root.write("wrong.hcl", "colour = \"red\"\n").display().to_string();
    let log = std::fs::File::create(root.path().join("log")).expect("the test's folder can be written to");
    let file = log.metadata().expect("it is there");
    let journal = format!("{}:{}", file.dev(), file.ino());
    for (stream, begins) in [(journal.as_str(), "<3>Error: "), ("1:1", "Error: ")] {
        log.set_len(0).expect("it can be cut");
        let log = std::fs::File::options().append(true).open(root.path().join("log")).expect("it is there");
        let status = Command::new(ordu_binary())
            .args(["agent", "-config", &wrong])
            .env("JOURNAL_STREAM", stream)
            .stderr(log)
            .status()
            .expect("ordu can be run");
        assert_eq!(Some(78), status.code());
        let text = std::fs::read_to_string(root.path().join("log")).expect("it is there");
        assert!(text.starts_with(begins), "{text}");
    }
}

const UNITS: [&str; 2] = ["ordu-server.service", "ordu-node.service"];

fn deployed(name: &str) -> PathBuf {
    tree().join("deploy").join(name)
}

/// Runs systemd-analyze; returns none if it is not installed.
fn analyze(arguments: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("systemd-analyze").args(arguments).output().ok()?;
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Some((output.status.success(), text))
}

#[test]
fn the_units_are_sound_and_the_server_s_exposes_little() {
    let root = Root::new();
    for name in UNITS {
        let text = std::fs::read_to_string(deployed(name)).expect("the unit is there");
        // The unit's binary must exist for the verification to succeed.
        let text = text.replace("/usr/local/bin/ordu", &ordu_binary().display().to_string());
        let file = root.write(name, &text).display().to_string();
        let Some((is_sound, said)) = analyze(&["verify", "--man=no", &file]) else {
            skipped("systemd-analyze is not installed");
            return;
        };
        assert!(is_sound && !said.contains(name), "{said}");
    }
    let server = root.path().join(UNITS[0]).display().to_string();
    // The threshold is in tenths.
    let (is_tight, said) =
        analyze(&["security", "--offline=true", "--threshold=25", &server]).expect("it was there just now");
    assert!(is_tight && said.contains("Overall exposure level"), "{said}");
}

/// Returns a unit's property.
fn property(systemd: &Systemd, unit: &str, name: &str) -> String {
    let asked = systemd.ask(&["systemctl", "show", "--value", "--property", name, unit]);
    asked.unwrap_or_else(|error| panic!("{error}")).trim().to_owned()
}

async fn property_becomes(systemd: &Systemd, unit: &str, name: &str, is_it: impl Fn(&str) -> bool) {
    eventually_now(&format!("{name} of {unit}"), SETTLE_WITHIN, || {
        let value = property(systemd, unit, name);
        holds(is_it(&value), || value.clone())
    })
    .await;
}

const CONFIGURATION: &str = "data_dir = \"/var/lib/ordu\"\nbind_addr = \"127.0.0.1\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_units_run_under_a_real_systemd() {
    let root = Root::new();
    let units = UNITS.map(deployed);
    let units: Vec<&Path> = units.iter().map(PathBuf::as_path).collect();
    let booted = Systemd::boot(&root, &ordu_binary(), &units, &deployed("ordu.sysusers")).await;
    let systemd = match booted {
        Ok(systemd) => systemd,
        Err(why) => {
            skipped(&why);
            return;
        }
    };
    systemd.ask(&["systemd-sysusers"]).unwrap_or_else(|error| panic!("{error}"));
    let ask = |command: &[&str]| systemd.ask(command).unwrap_or_else(|error| panic!("{error}"));
    let [server, node] = UNITS;

    // A configuration mistake fails the start, and systemd does not retry it.
    systemd.write("/etc/ordu/ordu.hcl", &format!("{CONFIGURATION}colour = \"red\"\n"));
    let failed = systemd.ask(&["systemctl", "start", server]);
    assert!(failed.is_err(), "it started with a wrong configuration");
    for (name, value) in [("ExecMainStatus", "78"), ("ActiveState", "failed"), ("NRestarts", "0")] {
        assert_eq!(value, property(&systemd, server, name), "{name}");
    }
    let said = ask(&["journalctl", "--unit", server, "--priority", "err", "--output", "cat"]);
    assert!(said.contains("`colour` is a key that neither Ordu nor Nomad knows"), "{said}");

    systemd.write("/etc/ordu/ordu.hcl", &format!("{CONFIGURATION}enable_syslog = true\n{ALONE}"));
    ask(&["systemctl", "start", server]);
    assert_eq!("active", property(&systemd, server, "ActiveState"));
    property_becomes(&systemd, server, "StatusText", |text| text == "server: leader").await;
    let pid = property(&systemd, server, "MainPID");
    let shown = ask(&["ps", "-L", "-o", "user=,ni=,comm=", "-p", &pid]);
    assert!(shown.lines().all(|line| line.starts_with("ordu ")), "{shown}");
    let limits = ask(&["cat", &format!("/proc/{pid}/limits")]);
    // In the kernel's unit: 20 is a niceness of 0.
    if limits.lines().any(|line| line.split_whitespace().eq(["Max", "nice", "priority", "30", "30"])) {
        let is_raft_s = |line: &str| line.split_whitespace().skip(1).eq(["-10", "raft"]);
        assert!(shown.lines().any(is_raft_s), "raft has no priority: {shown}");
    } else {
        skipped("raft's priority: systemd may not raise limits here, for want of CAP_SYS_RESOURCE");
    }

    let warned = ask(&["journalctl", "--unit", server, "--priority", "warning", "--output", "cat"]);
    assert!(warned.contains("enable_syslog") && !warned.contains("this server is up"), "{warned}");

    systemd.write("/etc/ordu/ordu.hcl", &format!("{CONFIGURATION}log_level = \"DEBUG\"\n{ALONE}"));
    ask(&["systemctl", "reload", server]);
    eventually_now("the reload is told", SETTLE_WITHIN, || {
        let said = ask(&["journalctl", "--unit", server, "--output", "cat"]);
        holds(said.contains("log_level is debug from now on"), || said)
    })
    .await;
    assert_eq!("active", property(&systemd, server, "ActiveState"));

    // A hanging server is killed and started again.
    let hurried = "[Service]\nWatchdogSec=3\n";
    systemd.write("/etc/systemd/system/ordu-server.service.d/hurried.conf", hurried);
    ask(&["systemctl", "daemon-reload"]);
    ask(&["systemctl", "restart", server]);
    ask(&["systemctl", "kill", "--kill-who=main", "--signal=SIGSTOP", server]);
    property_becomes(&systemd, server, "NRestarts", |count| count == "1").await;
    property_becomes(&systemd, server, "StatusText", |text| text == "server: leader").await;

    // A task survives its node agent.
    let of_node = "data_dir = \"/var/lib/ordu-node\"\nbind_addr = \"127.0.0.1\"\n\
                   ports {\n  http = 5646\n  rpc = 5647\n  serf = 5648\n}\n\
                   client {\n  enabled = true\n  servers = [\"127.0.0.1:4647\"]\n}\n\
                   plugin \"raw_exec\" {\n  config {\n    enabled = true\n  }\n}\n";
    systemd.write("/etc/ordu/node.hcl", of_node);
    let other = "[Service]\nExecStart=\nExecStart=/usr/local/bin/ordu agent -config /etc/ordu/node.hcl\n";
    systemd.write("/etc/systemd/system/ordu-node.service.d/beside.conf", other);
    let job = ordu_tests::jobs::job("task", "service", "dc1", "/bin/sleep", &["86399"]);
    systemd.write("/etc/ordu/task.json", &serde_json::json!({"Job": job}).to_string());
    ask(&["systemctl", "daemon-reload"]);
    ask(&["systemctl", "start", node]);
    property_becomes(&systemd, node, "StatusText", |text| text.starts_with("node: registered at ")).await;
    ask(&["ordu", "job", "run", "-detach", "/etc/ordu/task.json"]);
    let task = || systemd.ask(&["pgrep", "--full", "^/bin/sleep 86399"]);
    let running = eventually_now("the task runs", SETTLE_WITHIN, task).await;
    ask(&["systemctl", "stop", node]);
    assert_eq!("inactive", property(&systemd, node, "ActiveState"));
    assert_eq!(Ok(&running), task().as_ref(), "the task ended with its agent");
    ask(&["systemctl", "start", node]);
    property_becomes(&systemd, node, "StatusText", |text| text.starts_with("node: registered at ")).await;
    assert_eq!(Ok(running), task());

    ask(&["systemctl", "stop", server]);
    assert_eq!("success", property(&systemd, server, "Result"));
    assert_eq!("inactive", property(&systemd, server, "ActiveState"));
}
