//! A service manager that only listens: what an agent tells it by systemd's protocol.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most that one message may have, bytes.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Where an agent's messages go.
pub struct ServiceManager {
    path: PathBuf,
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl ServiceManager {
    /// One that listens in `folder`.
    pub fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(format!("{name}.notify"));
        let socket = UnixDatagram::bind(&path).expect("the test's folder can have a socket");
        socket.set_nonblocking(true).expect("a socket may not wait");
        Self { path, socket, heard: Vec::new() }
    }

    /// What an agent is started with that this one manages, and that has to show itself within `watchdog`.
    pub fn environment(&self, watchdog: Duration) -> Vec<(String, String)> {
        vec![
            ("NOTIFY_SOCKET".to_owned(), self.path.display().to_string()),
            ("WATCHDOG_USEC".to_owned(), watchdog.as_micros().to_string()),
        ]
    }

    /// All that was told since this was last emptied, line by line.
    pub fn heard(&mut self) -> &mut Vec<String> {
        let mut message = [0; MESSAGE_BYTES_MAX];
        while let Ok(length) = self.socket.recv(&mut message) {
            let text = String::from_utf8_lossy(&message[..length]);
            self.heard.extend(text.lines().map(str::to_owned));
        }
        &mut self.heard
    }

    /// How often that line is among them.
    pub fn count(&mut self, line: &str) -> usize {
        self.heard().iter().filter(|heard| *heard == line).count()
    }
}
