//! Running the `ordu` command as a person would, with a bound on its time.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::ordu_binary;

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Printed {
    /// Its exit code; none if a signal or the bound on its time ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Printed {
    /// Both outputs, for messages.
    pub fn all(&self) -> String {
        format!("exit code {:?}\n{}{}", self.code, self.stdout, self.stderr)
    }
}

/// Runs `ordu` with these arguments and environment. One that does not end within `bound` is killed.
pub fn ordu(arguments: &[&str], environment: &[(&str, &str)], bound: Duration) -> Printed {
    run("", &[], arguments, environment, bound)
}

/// The same where something is typed.
pub fn ordu_told(typed: &str, arguments: &[&str], environment: &[(&str, &str)], bound: Duration) -> Printed {
    run(typed, &[], arguments, environment, bound)
}

/// The same, started by another command that becomes it.
pub fn ordu_under(
    starter: &[&str],
    arguments: &[&str],
    environment: &[(&str, &str)],
    bound: Duration,
) -> Printed {
    run("", starter, arguments, environment, bound)
}

fn run(
    typed: &str,
    starter: &[&str],
    arguments: &[&str],
    environment: &[(&str, &str)],
    bound: Duration,
) -> Printed {
    let binary = ordu_binary().display().to_string();
    let line = [starter, &[&binary], arguments].concat();
    let mut child = Command::new(line[0])
        .args(&line[1..])
        .env_remove("NOMAD_ADDR")
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", line[0]));
    if let Some(mut stdin) = child.stdin.take() {
        // Whoever asks for nothing may have ended; its end is told by closing.
        let _ = stdin.write_all(typed.as_bytes());
    }
    let stdout = child.stdout.take().map(read_all);
    let stderr = child.stderr.take().map(read_all);
    let deadline = Instant::now() + bound;
    let code = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status.code();
        }
        if Instant::now() >= deadline {
            // It may have ended in this very moment.
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    };
    let text = |reader: Option<std::thread::JoinHandle<String>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };
    Printed { code, stdout: text(stdout), stderr: text(stderr) }
}

fn read_all(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
