//! A network that a member has for itself: a namespace of the kernel's, in which addresses come and go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::ordu_binary;
use super::small_disk::run;
use super::wait::eventually_blocking;

/// A process is in its namespace within this time.
const MADE_WITHIN: Duration = Duration::from_secs(10);

/// A namespace, for as long as this lives.
pub struct Network {
    /// Is in it, so that it stays.
    holder: Child,
}

impl Network {
    /// One with loopback and nothing else. Its process can be told by `folder`, the test's.
    ///
    /// # Errors
    /// In words, where this process may not make one or has no `ip` to change it with.
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
        // Before that, a command would run in the network of all.
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

    /// What stands before a command that is to run in it.
    pub(super) fn prefix(&self) -> [String; 2] {
        ["nsenter".to_owned(), format!("--net={}", self.place().display())]
    }

    /// Runs `ip` in it.
    ///
    /// # Errors
    /// What it says.
    pub fn ip(&self, arguments: &[&str]) -> Result<(), String> {
        let [program, namespace] = self.prefix();
        run(&program, &[&[namespace.as_str(), "ip"], arguments].concat())
    }

    /// Runs an `ordu` command in it and gives what it prints.
    ///
    /// # Errors
    /// What it says.
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
        // It has ended by itself where no namespace could be made.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
