//! Test nodes: an agent in the test's process, or in its own process that can be killed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ordu_agent::{AgentOptions, Error, SupervisorProgram};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::jobs::Assigned;
use super::{eventually, is_alive, kill_all_with};

const HARNESS: &str = env!("CARGO_BIN_EXE_ordu-agent-harness");

/// A data directory and the agent, supervisor and tasks that use it. Dropping it ends all of them.
pub(crate) struct TestNode {
    /// Deleted on drop.
    _directory: TempDir,
    path: PathBuf,
    running: Option<(CancellationToken, JoinHandle<Result<(), Error>>)>,
    process: Option<Child>,
}

impl TestNode {
    pub(crate) fn new() -> Self {
        Self::below("")
    }

    /// Creates a node whose data directory has this name and is below a temporary directory.
    pub(crate) fn below(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        Self { _directory: directory, path, running: None, process: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn options(&self, servers: &[&str]) -> AgentOptions {
        AgentOptions {
            servers: servers.iter().map(|server| (*server).to_owned()).collect(),
            raw_exec_enabled: true,
            supervisor_program: SupervisorProgram {
                program: PathBuf::from(HARNESS),
                args: vec![OsString::from("node-supervisor")],
            },
            ..AgentOptions::new(self.path())
        }
    }

    /// Runs an agent in this process.
    pub(crate) fn run(&mut self, servers: &[&str]) {
        self.run_with(self.options(servers));
    }

    pub(crate) fn run_with(&mut self, options: AgentOptions) {
        let token = CancellationToken::new();
        let running = tokio::spawn(ordu_agent::run(options, token.clone()));
        self.running = Some((token, running));
    }

    /// Shuts down the agent in this process.
    pub(crate) async fn shut_down(&mut self) {
        let (token, running) = self.running.take().expect("an agent runs");
        token.cancel();
        running.await.unwrap().unwrap();
    }

    /// Starts an agent in its own process.
    pub(crate) fn spawn(&mut self, servers: &[&str]) {
        let child = Command::new(HARNESS)
            .arg("agent")
            .arg(self.path())
            .args(servers)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(child);
    }

    /// Kills the agent's process with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.process.take().expect("an agent runs as a process");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.path().join("client/supervisor/socket")
    }

    /// Waits for a supervisor with a pid other than `not`; returns its pid.
    pub(crate) async fn supervisor_pid(&self, not: Option<i32>) -> i32 {
        let log = self.path().join("client/supervisor/log");
        eventually("a supervisor", || {
            let text = std::fs::read_to_string(&log).ok()?;
            let line = text.lines().rev().find(|line| line.contains("supervises with"))?;
            let pid = line.split("process ").nth(1)?.split(' ').next()?.parse().ok()?;
            (Some(pid) != not && is_alive(pid)).then_some(pid)
        })
        .await
    }

    /// Returns the path of a file below the allocation's directory.
    pub(crate) fn file(&self, assigned: &Assigned, path: &str) -> PathBuf {
        self.path().join("alloc").join(assigned.uuid().to_string()).join(path)
    }

    /// Waits until a file's contents satisfy `is_it`; returns the contents.
    pub(crate) async fn text(&self, assigned: &Assigned, path: &str, is_it: impl Fn(&str) -> bool) -> String {
        let file = self.file(assigned, path);
        eventually(&format!("{} with what is wanted", file.display()), || {
            std::fs::read_to_string(&file).ok().filter(|text| is_it(text))
        })
        .await
    }

    /// Returns the pid that a task's script wrote (`echo $$ > …/pid`).
    pub(crate) async fn pid(&self, assigned: &Assigned, task: &str) -> i32 {
        let text = self.text(assigned, &format!("{task}/local/pid"), |text| text.ends_with('\n')).await;
        text.trim().parse().unwrap()
    }

    /// Returns the agent's stored task states as lossy text.
    pub(crate) fn task_states(&self, assigned: &Assigned) -> String {
        let states = std::fs::read(self.task_states_path(assigned)).unwrap_or_default();
        String::from_utf8_lossy(&states).into_owned()
    }

    /// Kills the agent and removes the stored task states, so that the next agent knows only the assignment.
    pub(crate) async fn kill_and_forget(&mut self, assigned: &Assigned) {
        let states = self.task_states_path(assigned);
        // A report may be sent before the state is written.
        eventually("the tasks' states, written down", || states.is_file().then_some(())).await;
        self.kill();
        std::fs::remove_file(states).unwrap();
    }

    fn task_states_path(&self, assigned: &Assigned) -> PathBuf {
        self.path().join("client/allocs").join(format!("{}.tasks", assigned.uuid()))
    }

    /// Returns the supervisor's records.
    pub(crate) fn supervisor_records(&self) -> Vec<Value> {
        let of = |path: &PathBuf| serde_json::from_slice(&std::fs::read(path).ok()?).ok();
        self.record_paths().iter().filter_map(of).collect()
    }

    /// Replaces the supervisor's only record.
    pub(crate) fn replace_supervisor_record(&self, record: &Value) {
        let paths = self.record_paths();
        assert_eq!(paths.len(), 1);
        std::fs::write(&paths[0], serde_json::to_vec(record).unwrap()).unwrap();
    }

    fn record_paths(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.path().join("client/supervisor/tasks")) else {
            return Vec::new();
        };
        let is_record = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
        entries.flatten().map(|entry| entry.path()).filter(is_record).collect()
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if let Some((token, running)) = self.running.take() {
            token.cancel();
            running.abort();
        }
        if self.process.is_some() {
            self.kill();
        }
        let mut end = Command::new(HARNESS);
        end.arg("node-supervisor").arg("--socket").arg(self.socket()).arg("--end").stdin(Stdio::null());
        // A failure here must not hide the test's own result.
        let _ = end.status();
        // Also kill tasks whose supervisor was killed at the end of the test.
        kill_all_with(&format!("NOMAD_ALLOC_DIR={}", self.path().display()));
    }
}
