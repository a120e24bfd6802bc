//! Process information from /proc. Pids are reused, so a process is identified by its pid and its start
//! time, which together are unique within one boot.

use std::fs;

/// Fields of /proc/PID/stat that identify a process and its place among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    pub(crate) pid: i32,
    pub(crate) zombie: bool,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
    /// Start time in clock ticks since boot.
    pub(crate) start_ticks: u64,
}

/// Reads /proc/PID/stat; returns none if there is no such process.
pub(crate) fn stat(pid: i32) -> Option<ProcessStat> {
    parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Parses a line of /proc/PID/stat. The process name is in parentheses and may itself contain spaces and
/// parentheses, so fields are counted from the last closing parenthesis.
fn parse_stat(pid: i32, line: &str) -> Option<ProcessStat> {
    let fields: Vec<&str> = line.get(line.rfind(')')? + 1..)?.split_whitespace().collect();
    Some(ProcessStat {
        pid,
        zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

/// Returns whether the process with this pid and start time is still running.
pub(crate) fn is_alive(pid: i32, start_ticks: u64) -> bool {
    stat(pid).is_some_and(|stat| stat.start_ticks == start_ticks && !stat.zombie)
}

/// Returns all living processes of a process group.
pub(crate) fn group_members(group: i32) -> Vec<ProcessStat> {
    all().filter(|stat| stat.group == group && !stat.zombie).collect()
}

/// Returns the children of this process that have ended and are not reaped yet.
pub(crate) fn ended_children() -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    all().filter(|stat| stat.parent == own && stat.zombie).map(|stat| stat.pid).collect()
}

/// Returns all processes in /proc.
fn all() -> impl Iterator<Item = ProcessStat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(stat)
}

/// Returns whether the process was started with this environment entry (`NAME=value`).
pub(crate) fn has_environment_entry(pid: i32, entry: &str) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|found| found == entry.as_bytes()))
}

/// Returns the random id of this boot. Pids and start times are meaningless in any other boot.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let line = "7 (a) b (c) S 1 70 71 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1";
        let expected =
            ProcessStat { pid: 7, zombie: false, parent: 1, group: 70, session: 71, start_ticks: 4242 };
        assert_eq!(parse_stat(7, line), Some(expected));
    }

    #[test]
    fn lines_that_are_cut_short_are_no_process() {
        for line in ["", "7 (a", "7 (a) S 1 2"] {
            assert_eq!(parse_stat(7, line), None, "{line}");
        }
    }

    #[test]
    fn this_process_is_alive_and_its_number_with_another_start_time_is_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let own = stat(pid).unwrap();
        assert!(is_alive(pid, own.start_ticks));
        assert!(!is_alive(pid, own.start_ticks + 1));
        assert!(!boot_id().is_empty());
    }
}
