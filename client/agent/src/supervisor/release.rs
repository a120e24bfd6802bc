//! Identifies the supervisor's program. A supervisor outlives agents, so it may be older than the agent.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use tokio::net::UnixStream;

/// Environment variable of the supervisor with the version of the agent that started it.
pub(crate) const VERSION_VARIABLE: &str = "ORDU_SUPERVISOR_VERSION";

/// The program of the connected supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) pid: i32,
    /// None if the supervisor's environment does not contain it.
    version: Option<String>,
    /// Whether it runs the same file as this process. A file replaced by an upgrade counts as a different one.
    pub(crate) is_current: bool,
}

impl Release {
    /// Returns the release of the process at the other end; none if the system does not provide the information.
    pub(crate) fn of(stream: &UnixStream) -> Option<Self> {
        let pid = stream.peer_cred().ok()?.pid()?;
        let file = |pid: &str| fs::metadata(format!("/proc/{pid}/exe")).map(|file| (file.dev(), file.ino()));
        let own = file("self").ok()?;
        Some(Self {
            pid,
            version: version_in(&fs::read(format!("/proc/{pid}/environ")).ok()?),
            is_current: file(&pid.to_string()).ok()? == own,
        })
    }

    /// Returns the version for display.
    pub(crate) fn version(&self) -> &str {
        self.version.as_deref().unwrap_or("unknown")
    }

    /// Adds the node attributes that describe the supervisor.
    pub(crate) fn describe(&self, attributes: &mut BTreeMap<String, String>) {
        attributes.insert("ordu.supervisor.version".into(), self.version().to_owned());
        attributes.insert("ordu.supervisor.current".into(), self.is_current.to_string());
    }
}

/// Finds the version in the contents of /proc/PID/environ.
fn version_in(environment: &[u8]) -> Option<String> {
    let mut entries = environment.split(|byte| *byte == 0);
    let value =
        entries.find_map(|entry| entry.strip_prefix(VERSION_VARIABLE.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(value.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_an_environment_and_nothing_else_is_taken_for_it() {
        for (environment, expected) in [
            (&b"PATH=/bin\0ORDU_SUPERVISOR_VERSION=0.2.0\0HOME=/"[..], Some("0.2.0")),
            (b"ORDU_SUPERVISOR_VERSION_OLD=1\0", None),
            (b"X=ORDU_SUPERVISOR_VERSION=1\0", None),
            (b"", None),
        ] {
            assert_eq!(version_in(environment).as_deref(), expected);
        }
    }

    #[tokio::test]
    async fn a_supervisor_of_the_same_file_is_current() {
        let (stream, _other) = UnixStream::pair().unwrap();
        let release = Release::of(&stream).unwrap();
        assert!(release.is_current && release.pid == i32::try_from(std::process::id()).unwrap());
        let mut attributes = BTreeMap::new();
        release.describe(&mut attributes);
        assert_eq!(attributes["ordu.supervisor.version"], "unknown");
        assert_eq!(attributes["ordu.supervisor.current"], "true");
    }
}
