//! Random packet loss.

use std::io::Write;
use std::process::{Command, Stdio};

/// Drops some of the packets to and from certain local ports, until this value is dropped.
pub struct Loss {
    table: String,
}

impl Loss {
    /// Starts to drop this percentage of the packets.
    ///
    /// # Errors
    /// A message, if this process lacks the permission.
    pub fn of(percent: u32, ports: &[u16]) -> Result<Self, String> {
        let table = format!("ordu_test_{}", std::process::id());
        let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let rules = format!(
            "table inet {table} {{
  chain in {{
    type filter hook input priority 0;
    tcp dport {{ {ports} }} numgen random mod 100 < {percent} drop
    tcp sport {{ {ports} }} numgen random mod 100 < {percent} drop
  }}
}}
"
        );
        nft(&["-f", "-"], &rules)?;
        Ok(Self { table })
    }
}

impl Drop for Loss {
    fn drop(&mut self) {
        if let Err(error) = nft(&["delete", "table", "inet", &self.table], "") {
            eprintln!("packets are still dropped: {error}");
        }
    }
}

fn nft(arguments: &[&str], input: &str) -> Result<(), String> {
    let started = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut nft = started.map_err(|error| format!("nft: {error}"))?;
    let mut stdin = nft.stdin.take().expect("it is piped");
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let done = nft.wait_with_output().map_err(|error| format!("nft: {error}"))?;
    match (written, done.status.success()) {
        (Ok(()), true) => Ok(()),
        _ => Err(format!("nft: {}", String::from_utf8_lossy(&done.stderr).trim())),
    }
}
