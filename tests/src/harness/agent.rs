//! One `ordu agent` process: started, stopped in any way, and started again on its data.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::config;
use super::network::Network;
use super::ports::free_port;
use super::processes;
use super::root::Root;
use super::wait::eventually_blocking;
use crate::http::Client;

/// An agent is told to stop and has this long before the test calls it stuck.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// The binary under test: `ORDU_BIN`, or `ordu` in the folder that the tests were built into.
pub fn ordu_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("ORDU_BIN") {
        return path.into();
    }
    let own = std::env::current_exe().expect("a process knows its own executable");
    let built = own.ancestors().skip(1).take(2).map(|folder| folder.join("ordu")).find(|path| path.is_file());
    built.unwrap_or_else(|| {
        panic!(
            "there is no `ordu` beside {}: build it with `cargo build --release --workspace`, or name it by ORDU_BIN",
            own.display()
        )
    })
}

/// The binary of the same tree with a feature level more, if there is one: `ORDU_NEXT_BIN`.
pub fn next_binary() -> Option<PathBuf> {
    std::env::var_os("ORDU_NEXT_BIN").map(PathBuf::from)
}

/// A process of `ordu agent` with its own name, addresses and log.
pub struct Agent {
    /// The name in its configuration.
    pub name: String,
    /// Its HTTP address.
    pub http: SocketAddr,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// What stands before the command: programs that become the agent, under one process id.
    prefix: Vec<String>,
    program: Option<PathBuf>,
    folder: PathBuf,
    log: PathBuf,
    process: Option<Child>,
}

impl Agent {
    /// An agent that is not started yet. Its processes can be told by `folder`, the test's.
    pub fn new(name: &str, http: SocketAddr, arguments: Vec<String>, folder: &Path, log: PathBuf) -> Self {
        Self {
            name: name.into(),
            http,
            arguments,
            environment: Vec::new(),
            prefix: Vec::new(),
            program: None,
            folder: folder.into(),
            log,
            process: None,
        }
    }

    /// One alone on loopback, with ports of HTTP, RPC and gossip. What `more` says is a file of its own, named as the
    /// agent is, and comes over name, directory and ports.
    pub fn on_loopback(root: &Root, name: &str, ports: [u16; 3], more: &str) -> Self {
        let [http, rpc, serf] = ports;
        let data = root.path().join(name).display().to_string();
        let text = format!(
            "name = \"{name}\"\ndata_dir = \"{data}\"\nbind_addr = \"127.0.0.1\"\n\
             ports {{\n  http = {http}\n  rpc = {rpc}\n  serf = {serf}\n}}\n"
        );
        let files = [(format!("{name}-place.hcl"), text.as_str()), (format!("{name}.hcl"), more)];
        let arguments = files.map(|(file, text)| format!("-config={}", root.write(&file, text).display()));
        let address = SocketAddr::from(([127, 0, 0, 1], http));
        Self::new(name, address, arguments.to_vec(), root.path(), root.log(name))
    }

    /// What stands behind `ordu agent`.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// A server that no other one is told of, not started yet, and the port of its RPC. It listens on `bind_addr`; its
    /// `server` block has `server_block`.
    pub fn lone_server(root: &Root, name: &str, bind_addr: &str, server_block: &str) -> (Self, u16) {
        let ports @ [http, rpc, _] = [free_port(), free_port(), free_port()];
        let data_dir = root.path().join(name);
        let text = config::lone_server(name, &data_dir, bind_addr, ports, server_block);
        let file = root.write(&format!("{name}.hcl"), &text).display().to_string();
        let http = SocketAddr::from(([127, 0, 0, 1], http));
        let arguments = vec!["-config".to_owned(), file];
        (Self::new(name, http, arguments, root.path(), root.log(name)), rpc)
    }

    /// How many files it may open from its next start on; as many as the test's process unless that is set.
    pub fn set_open_files(&mut self, open_files: Option<u32>) {
        let limited = |count| vec!["prlimit".to_owned(), format!("--nofile={count}")];
        self.prefix = open_files.map(limited).unwrap_or_default();
    }

    /// In which network it is from its next start on.
    pub fn set_network(&mut self, network: &Network) {
        self.prefix = network.prefix().into();
    }

    /// What it runs from its next start on, in the place of the binary under test.
    pub fn set_program(&mut self, program: PathBuf) {
        self.program = Some(program);
    }

    /// What else is to be in its environment from its next start on.
    pub fn set_environment(&mut self, environment: Vec<(String, String)>) {
        self.environment = environment;
    }

    /// Starts it, on the data that it may have from before. Its output is appended to its log.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(&self.log).expect("the log can be written");
        let binary = self.program.clone().unwrap_or_else(ordu_binary);
        let mut words = self.prefix.iter().map(OsStr::new).chain([binary.as_os_str()]);
        let mut command = Command::new(words.next().expect("the binary is one of them"));
        command.args(words);
        command
            .arg("agent")
            .args(&self.arguments)
            // What it starts inherits the name, and so can be found when the test ends.
            .env("ORDU_TEST_ROOT", &self.folder)
            .env("TMPDIR", &self.folder)
            .env_remove("NOMAD_ADDR")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file has a second handle"))
            .stderr(log)
            // A signal to the test's terminal is not one to the agent.
            .process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        self.process = Some(child);
    }

    /// The process's id, while it is not known to have ended.
    pub fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(|child| child.id() as i32)
    }

    /// Whether it was started and not ended by `kill` or `stop`.
    pub fn is_started(&self) -> bool {
        self.process.is_some()
    }

    /// Ends it as a power cut would: no chance to say or write anything.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            processes::signal(child.id() as i32, Signal::SIGKILL);
            child.wait().expect("a killed process ends");
        }
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.process.take() {
            processes::signal(child.id() as i32, Signal::SIGTERM);
            let has_ended = || child.try_wait().expect("a child can be waited for").is_some();
            let ended = eventually_blocking(STOP_WITHIN, has_ended);
            assert!(ended, "{} does not end when it is asked to", self.name);
        }
    }

    /// Stops it in its tracks: it holds its connections and answers nothing.
    pub fn pause(&self) {
        processes::signal(self.pid().expect("only a started agent is paused"), Signal::SIGSTOP);
    }

    /// Lets it go on after `pause`.
    pub fn resume(&self) {
        processes::signal(self.pid().expect("only a started agent goes on"), Signal::SIGCONT);
    }

    /// A client of this agent.
    pub fn client(&self) -> Client {
        Client::new(self.http)
    }

    /// Everything it has written so far.
    pub fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Why it cannot be waited for any more, if it has ended by itself.
    pub fn ended_by_itself(&mut self) -> Result<(), String> {
        let Some(child) = &mut self.process else { return Ok(()) };
        match child.try_wait() {
            Ok(Some(status)) => {
                let log = self.log_text();
                let end: Vec<&str> = log.lines().rev().take(12).collect();
                let end: Vec<&str> = end.into_iter().rev().collect();
                Err(format!("{} ended by itself ({status}); its last lines:\n{}", self.name, end.join("\n")))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}
