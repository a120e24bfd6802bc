//! A separate network for a member: a network namespace in which addresses can be added and removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::ordu_binary;
use super::small_disk::run;
use super::wait::eventually_blocking;

/// Timeout for a process to enter its namespace.
const MADE_WITHIN: Duration = Duration::from_secs(10);

/// A network namespace that exists as long as this value.
pub struct Network {
    /// A process in the namespace, which keeps the namespace alive.
    holder: Child,
}

impl Network {
    /// Creates a namespace that has loopback only. Its process can be recognised by `folder`, the test's directory.
    ///
    /// # Errors
    /// A message, if this process may not create a namespace, or if there is no `ip` command.
    pub fn new(folder: &Path) -> Result<Self, String> {
        run("ip", &["-Version"])?;
        let holder = Command::new("unshare")
            .args(["--net", "sleep", "infinity"])
            .env("ORDU_TEST_ROOT", folder)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut network = Self { holder };
        let own = fs::read_link("/proc/self/ns/net").map_err(|error| error.to_string())?;
        let place = network.place();
        // Until the process has entered its namespace, commands would run in the default network.
        let is_apart = || fs::read_link(&place).is_ok_and(|place| place != own);
        let mut has_ended = || network.holder.try_wait().is_ok_and(|status| status.is_some());
        if !eventually_blocking(MADE_WITHIN, || is_apart() || has_ended()) || has_ended() {
            return Err("this process may not make a network namespace".to_owned());
        }
        network.ip(&["link", "set", "lo", "up"])?;
        Ok(network)
    }

    fn place(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.holder.id()).into()
    }

    /// Returns the command prefix that runs a command in the namespace.
    pub(super) fn prefix(&self) -> [String; 2] {
        ["nsenter".to_owned(), format!("--net={}", self.place().display())]
    }

    /// Runs `ip` in the namespace.
    ///
    /// # Errors
    /// The command's error output.
    pub fn ip(&self, arguments: &[&str]) -> Result<(), String> {
        let [program, namespace] = self.prefix();
        run(&program, &[&[namespace.as_str(), "ip"], arguments].concat())
    }

    /// Runs an `ordu` command in the namespace and returns its output.
    ///
    /// # Errors
    /// The command's error output.
    pub fn ordu(&self, arguments: &[&str]) -> Result<String, String> {
        let [program, namespace] = self.prefix();
        let done = Command::new(program).arg(namespace).arg(ordu_binary()).args(arguments).output();
        let done = done.map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The process has ended already if no namespace could be created.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
