//! One `ordu agent` process, which tests can start, stop in several ways, and restart with its data.

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

/// How long an agent may take to stop before the test fails.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Returns the binary under test: `ORDU_BIN`, or else `ordu` in the directory that contains the test binaries.
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

/// Returns a binary of the same sources with one more feature level, if there is one: `ORDU_NEXT_BIN`.
pub fn next_binary() -> Option<PathBuf> {
    std::env::var_os("ORDU_NEXT_BIN").map(PathBuf::from)
}

/// An `ordu agent` process with its own name, addresses and log.
pub struct Agent {
    /// The name in its configuration.
    pub name: String,
    /// Its HTTP address.
    pub http: SocketAddr,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// Command line in front of the binary: a program that executes the agent under the same process id.
    prefix: Vec<String>,
    program: Option<PathBuf>,
    folder: PathBuf,
    log: PathBuf,
    process: Option<Child>,
}

impl Agent {
    /// Creates an agent without starting it. Its processes can be recognised by `folder`, the test's directory.
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

    /// Creates an agent on loopback that is not part of a cluster, with ports for HTTP, RPC and gossip. `more` is
    /// written to a second configuration file, named after the agent, which overrides name, directory and ports.
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

    /// Returns the arguments after `ordu agent`.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// Creates a server that no other server knows of, without starting it; also returns its RPC port. It listens on
    /// `bind_addr`. `server_block` is added to its `server` block.
    pub fn lone_server(root: &Root, name: &str, bind_addr: &str, server_block: &str) -> (Self, u16) {
        let ports @ [http, rpc, _] = [free_port(), free_port(), free_port()];
        let data_dir = root.path().join(name);
        let text = config::lone_server(name, &data_dir, bind_addr, ports, server_block);
        let file = root.write(&format!("{name}.hcl"), &text).display().to_string();
        let http = SocketAddr::from(([127, 0, 0, 1], http));
        let arguments = vec!["-config".to_owned(), file];
        (Self::new(name, http, arguments, root.path(), root.log(name)), rpc)
    }

    /// Sets its limit of open files from its next start on; by default that of the test process.
    pub fn set_open_files(&mut self, open_files: Option<u32>) {
        let limited = |count| vec!["prlimit".to_owned(), format!("--nofile={count}")];
        self.prefix = open_files.map(limited).unwrap_or_default();
    }

    /// Sets its umask from its next start on; by default that of the test process.
    pub fn set_umask(&mut self, umask: u32) {
        let script = format!("umask {umask:o} && exec \"$0\" \"$@\"");
        self.prefix = vec!["sh".to_owned(), "-c".to_owned(), script];
    }

    /// Sets its network namespace from its next start on.
    pub fn set_network(&mut self, network: &Network) {
        self.prefix = network.prefix().into();
    }

    /// Sets the binary that it runs from its next start on, instead of the binary under test.
    pub fn set_program(&mut self, program: PathBuf) {
        self.program = Some(program);
    }

    /// Replaces its additional environment variables from its next start on.
    pub fn set_environment(&mut self, environment: Vec<(String, String)>) {
        self.environment = environment;
    }

    /// Starts it with the data that it may have from earlier runs. Appends its output to its log.
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
            // Inherited by all processes that the agent starts, so that they can be found when the test ends.
            .env("ORDU_TEST_ROOT", &self.folder)
            .env("TMPDIR", &self.folder)
            .env_remove("NOMAD_ADDR")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file has a second handle"))
            .stderr(log)
            // Signals from the test's terminal must not reach the agent.
            .process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        self.process = Some(child);
    }

    /// Returns the pid, unless the process is known to have ended.
    pub fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(|child| child.id() as i32)
    }

    /// Returns whether it was started, and not ended by `kill` or `stop`.
    pub fn is_started(&self) -> bool {
        self.process.is_some()
    }

    /// Kills it with SIGKILL, so that it cannot write anything any more, as in a power failure.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            processes::signal(child.id() as i32, Signal::SIGKILL);
            child.wait().expect("a killed process ends");
        }
    }

    /// Sends SIGTERM and waits until it has ended.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.process.take() {
            processes::signal(child.id() as i32, Signal::SIGTERM);
            let has_ended = || child.try_wait().expect("a child can be waited for").is_some();
            let ended = eventually_blocking(STOP_WITHIN, has_ended);
            assert!(ended, "{} does not end when it is asked to", self.name);
        }
    }

    /// Suspends it with SIGSTOP: it keeps its connections open but does not answer.
    pub fn pause(&self) {
        processes::signal(self.pid().expect("only a started agent is paused"), Signal::SIGSTOP);
    }

    /// Resumes it after `pause`.
    pub fn resume(&self) {
        processes::signal(self.pid().expect("only a started agent goes on"), Signal::SIGCONT);
    }

    /// Returns a client of this agent.
    pub fn client(&self) -> Client {
        Client::new(self.http)
    }

    /// Returns its log so far.
    pub fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns an error with the last log lines if it has ended by itself.
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
