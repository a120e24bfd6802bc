//! A passive service manager that records the agent's messages in systemd's notification protocol.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Largest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Receives the messages of one agent.
pub struct ServiceManager {
    path: PathBuf,
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl ServiceManager {
    /// Creates a service manager that listens on a socket in `folder`.
    pub fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(format!("{name}.notify"));
        let socket = UnixDatagram::bind(&path).expect("the test's folder can have a socket");
        socket.set_nonblocking(true).expect("a socket may not wait");
        Self { path, socket, heard: Vec::new() }
    }

    /// Returns the environment of an agent managed by this service manager, with this watchdog timeout.
    pub fn environment(&self, watchdog: Duration) -> Vec<(String, String)> {
        vec![
            ("NOTIFY_SOCKET".to_owned(), self.path.display().to_string()),
            ("WATCHDOG_USEC".to_owned(), watchdog.as_micros().to_string()),
        ]
    }

    /// Returns all lines received since the returned list was last emptied.
    pub fn heard(&mut self) -> &mut Vec<String> {
        let mut message = [0; MESSAGE_BYTES_MAX];
        while let Ok(length) = self.socket.recv(&mut message) {
            let text = String::from_utf8_lossy(&message[..length]);
            self.heard.extend(text.lines().map(str::to_owned));
        }
        &mut self.heard
    }

    /// Returns how often a line was received.
    pub fn count(&mut self, line: &str) -> usize {
        self.heard().iter().filter(|heard| *heard == line).count()
    }
}
