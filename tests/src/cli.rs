//! Runs the `ordu` command as a user would, with a timeout.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::ordu_binary;

/// The output and exit code of a command.
#[derive(Debug)]
pub struct Printed {
    /// Its exit code; none if a signal or the timeout ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Printed {
    /// Returns exit code and both outputs for error messages.
    pub fn all(&self) -> String {
        format!("exit code {:?}\n{}{}", self.code, self.stdout, self.stderr)
    }
}

/// Runs `ordu` with these arguments and environment. Kills it if it runs longer than `bound`.
pub fn ordu(arguments: &[&str], environment: &[(&str, &str)], bound: Duration) -> Printed {
    run("", &[], arguments, environment, bound)
}

/// Runs `ordu` with `typed` as its standard input.
pub fn ordu_told(typed: &str, arguments: &[&str], environment: &[(&str, &str)], bound: Duration) -> Printed {
    run(typed, &[], arguments, environment, bound)
}

/// Runs `ordu` through `starter`, a command line that executes the command appended to it.
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
        // A command that reads nothing may have ended; dropping the handle closes its input.
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
            // The command may have ended just now.
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
        // Show what was read even if an error follows.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
