//! The processes themselves: started, reaped, adopted from a supervisor that was killed, signalled.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process::Child;
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{Mutex, broadcast};
use tokio::task::JoinHandle;

use super::launch::{self, LaunchOrder, Launcher};
use super::logs::{self, LogPlace, OpenLogs};
use super::protocol::{Answer, Exit, LogSettings, StartTask, TaskKey, TaskReport};
use super::record::{Record, StateDirectory};
use super::{children, now_ns, process, say};
use crate::limits::{EXIT_QUEUE_MAX, LAUNCH_TIMEOUT, LOG_DRAIN};
use crate::text::cut;

/// How often a launcher that was killed is looked at until it is dead.
const LAUNCHER_DEATH_POLL: Duration = Duration::from_millis(1);
/// What a task writes to.
const OUTPUTS: [&str; 2] = ["stdout", "stderr"];

struct Entry {
    record: Record,
    /// None for a process that an earlier supervisor started.
    child: Option<Child>,
    /// The launcher has not yet become the program.
    launching: bool,
    /// Its end has been said to whoever listens; before that only this supervisor knows.
    announced: bool,
    readers: Vec<JoinHandle<()>>,
}

impl Entry {
    fn is_alive(&self) -> bool {
        self.record.exit.is_none()
    }

    /// The report as the agent may see it: an end only once all output that there was is in the files.
    fn report(&self) -> TaskReport {
        let mut report = self.record.report();
        if !self.announced {
            report.exit = None;
        }
        report
    }
}

/// By allocation and task.
type StartLocks = BTreeMap<(String, String), Rc<Mutex<()>>>;

/// All attempts that the supervisor knows.
pub(crate) struct Tasks {
    directory: StateDirectory,
    launcher: Launcher,
    boot_id: String,
    open_files_max: u64,
    entries: RefCell<BTreeMap<TaskKey, Entry>>,
    /// One start of a task at a time, so that two agents' worth of requests cannot race.
    starting: RefCell<StartLocks>,
    open_logs: Rc<OpenLogs>,
    scratch: Rc<RefCell<Vec<u8>>>,
    exits: broadcast::Sender<(TaskKey, Exit)>,
    /// Connections of agents; kept here because both decide when the supervisor is idle.
    pub(crate) connections: Cell<usize>,
}

impl Tasks {
    /// Reads the records and takes over the processes that still run.
    pub(crate) fn open(state: &Path, launcher: Launcher) -> io::Result<Rc<Self>> {
        let tasks = Rc::new(Self {
            directory: StateDirectory::open(state)?,
            launcher,
            boot_id: process::boot_id(),
            open_files_max: children::raise_open_files()?,
            entries: RefCell::default(),
            starting: RefCell::default(),
            open_logs: Rc::default(),
            scratch: Rc::default(),
            exits: broadcast::channel(EXIT_QUEUE_MAX).0,
            connections: Cell::new(0),
        });
        for record in tasks.directory.load()? {
            tasks.adopt(record);
        }
        Ok(tasks)
    }

    /// Whatever is wrong with a task's files, it is taken over: else no task could be started or stopped.
    fn adopt(&self, mut record: Record) {
        let key = record.key.clone();
        let same_boot = record.boot_id == self.boot_id;
        let mut readers = Vec::new();
        if record.exit.is_none() {
            let is_alive = same_boot && process::is_alive(record.pid, record.start_ticks);
            if !self.was_executed(&record, is_alive) {
                say(&format!("{key} was not executed before its supervisor ended; it may be started again"));
                self.directory.remove(&key);
                return;
            }
            if is_alive {
                say(&format!("{key} is taken over as process {}", record.pid));
                readers = self.read_on(&key, &record.logs);
            } else {
                say(&format!("{key} ended while no supervisor ran"));
                if same_boot {
                    children::kill_leftovers(&record);
                }
                record.exit = Some(Exit::unknown(now_ns()));
                self.save(&record);
            }
        }
        let announced = record.exit.is_some();
        let entry = Entry { record, child: None, launching: false, announced, readers };
        self.entries.borrow_mut().insert(key, entry);
    }

    /// Whether a launcher that another supervisor started has become its program. One that has not may
    /// still be about to: it is killed first, and looked at again.
    fn was_executed(&self, record: &Record, is_alive: bool) -> bool {
        let mark = self.directory.mark_path(&record.key);
        if is_alive && !mark.exists() {
            let _ = kill(Pid::from_raw(record.pid), Signal::SIGKILL);
            while process::is_alive(record.pid, record.start_ticks) {
                std::thread::sleep(LAUNCHER_DEATH_POLL);
            }
        }
        mark.exists()
    }

    /// Ends of tasks, from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<(TaskKey, Exit)> {
        self.exits.subscribe()
    }

    /// Whether any task lives.
    pub(crate) fn any_alive(&self) -> bool {
        self.entries.borrow().values().any(Entry::is_alive)
    }

    /// What is known of one attempt.
    pub(crate) fn status(&self, key: &TaskKey) -> Option<TaskReport> {
        self.entries.borrow().get(key).filter(|entry| !entry.launching).map(Entry::report)
    }

    /// What is known of all attempts.
    pub(crate) fn list(&self) -> Vec<TaskReport> {
        self.entries.borrow().values().filter(|entry| !entry.launching).map(Entry::report).collect()
    }

    /// Drops what is known of an ended attempt.
    pub(crate) fn forget(&self, key: &TaskKey) -> Answer {
        let mut entries = self.entries.borrow_mut();
        match entries.get(key) {
            Some(entry) if entry.is_alive() => Answer::Refused { text: format!("{key} still runs") },
            Some(_) => {
                entries.remove(key);
                self.directory.remove(key);
                Answer::Done
            }
            None => Answer::Done,
        }
    }

    /// Starts the attempt, unless it was started before or another one of the task lives.
    pub(crate) async fn start(self: &Rc<Self>, task: StartTask) -> Answer {
        if !task.key.is_safe() || !plain_name(&task.logs.prefix) {
            return Answer::StartFailed { text: "the task's name cannot be a file's name".into() };
        }
        let name = (task.key.alloc.clone(), task.key.task.clone());
        let lock = Rc::clone(self.starting.borrow_mut().entry(name.clone()).or_default());
        let held = lock.lock().await;
        let answer = match self.running_attempt(&task.key) {
            Some(report) if report.key == task.key => Answer::Started(report),
            Some(report) => Answer::Busy(report),
            None => match self.launch(&task).await {
                Ok(report) => Answer::Started(report),
                // It may quote the command, and has to fit into a frame.
                Err(error) => Answer::StartFailed { text: cut(&error.to_string()).into_owned() },
            },
        };
        drop(held);
        let mut starting = self.starting.borrow_mut();
        // Two: this one and the map's. More wait for it.
        if Rc::strong_count(&lock) <= 2 {
            starting.remove(&name);
        }
        answer
    }

    /// This very attempt, living or ended, or a living one of the same task.
    fn running_attempt(&self, key: &TaskKey) -> Option<TaskReport> {
        let entries = self.entries.borrow();
        let other = || entries.values().find(|entry| entry.record.key.same_task(key) && entry.is_alive());
        entries.get(key).or_else(other).map(Entry::report)
    }

    async fn launch(self: &Rc<Self>, task: &StartTask) -> io::Result<TaskReport> {
        let key = &task.key;
        match self.launch_process(task).await {
            Ok(()) => self.launched(key),
            Err(error) => {
                let mut entries = self.entries.borrow_mut();
                if let Some(mut entry) = entries.remove(key)
                    && let Some(child) = &mut entry.child
                    && entry.record.exit.is_none()
                {
                    // It has no program to become; only a launcher that hangs is still there.
                    child.kill()?;
                    child.wait()?;
                }
                self.directory.remove(key);
                Err(error)
            }
        }
    }

    /// The launcher has become the program.
    fn launched(self: &Rc<Self>, key: &TaskKey) -> io::Result<TaskReport> {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.get_mut(key).ok_or_else(|| io::Error::other("the task was forgotten"))?;
        entry.launching = false;
        if !entry.is_alive() {
            // It has ended already. Who saw that left it alone, since it might have been the launcher.
            self.save(&entry.record);
            self.announce_later(key.clone());
        }
        Ok(entry.report())
    }

    async fn launch_process(self: &Rc<Self>, task: &StartTask) -> io::Result<()> {
        let key = &task.key;
        let (stdout, stderr) = (self.make_pipe(key, "stdout")?, self.make_pipe(key, "stderr")?);
        let readers = self.read_output(key, &task.logs)?;
        self.directory.clear_mark(key)?;
        let (child, stream) = self.launcher.spawn(stdout, stderr)?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let stat =
            process::stat(pid).ok_or_else(|| io::Error::other("the launcher has no entry in /proc"))?;
        let record = Record {
            key: key.clone(),
            pid,
            start_ticks: stat.start_ticks,
            boot_id: self.boot_id.clone(),
            started_at_ns: now_ns(),
            logs: task.logs.clone(),
            exit: None,
        };
        // The record comes first: from here on the program may run, and must be found.
        self.directory.save(&record)?;
        let entry = Entry { record, child: Some(child), launching: true, announced: false, readers };
        self.entries.borrow_mut().insert(key.clone(), entry);
        let order = LaunchOrder {
            program: task.program.clone(),
            mark: self.directory.mark_path(key),
            open_files_max: self.open_files_max,
        };
        stream.set_nonblocking(true)?;
        let mut stream = tokio::net::UnixStream::from_std(stream)?;
        let conversation = async {
            stream.write_all(&launch::encode(&order)?).await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            if text.is_empty() { Ok(()) } else { Err(io::Error::other(text)) }
        };
        match tokio::time::timeout(LAUNCH_TIMEOUT, conversation).await {
            Ok(result) => result,
            Err(_) => Err(io::Error::other("the program was not executed in time")),
        }
    }

    /// A pipe whose writing end the task holds open for reading too, so that it neither ends nor fails
    /// while no supervisor reads.
    fn make_pipe(&self, key: &TaskKey, output: &str) -> io::Result<std::fs::File> {
        let path = self.directory.pipe_path(key, output);
        match mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        OpenOptions::new().read(true).write(true).open(path)
    }

    /// Reads what a task writes from its start on; that its logs can be written is part of its start.
    fn read_output(&self, key: &TaskKey, settings: &LogSettings) -> io::Result<Vec<JoinHandle<()>>> {
        let mut readers = Vec::new();
        let mut open = Vec::new();
        for output in OUTPUTS {
            open.push(self.log_place(settings, output).open()?);
            readers.push(self.reader(key, settings, output)?);
        }
        Ok(readers)
    }

    /// Reads on what a task writes that was taken over.
    fn read_on(&self, key: &TaskKey, settings: &LogSettings) -> Vec<JoinHandle<()>> {
        let mut readers = Vec::new();
        for output in OUTPUTS {
            match self.reader(key, settings, output) {
                Ok(reader) => readers.push(reader),
                Err(error) => say(&format!("{output} of {key} cannot be read any more: {error}")),
            }
        }
        readers
    }

    fn reader(&self, key: &TaskKey, settings: &LogSettings, output: &str) -> io::Result<JoinHandle<()>> {
        let pipe = pipe::OpenOptions::new().open_receiver(self.directory.pipe_path(key, output))?;
        let copy = logs::copy(pipe, self.log_place(settings, output), Rc::clone(&self.scratch));
        Ok(tokio::task::spawn_local(copy))
    }

    fn log_place(&self, settings: &LogSettings, output: &str) -> LogPlace {
        LogPlace {
            logs: Rc::clone(&self.open_logs),
            directory: settings.directory.clone(),
            prefix: format!("{}.{output}", settings.prefix),
            files_max: settings.files_max,
            file_bytes_max: settings.file_bytes_max,
        }
    }

    /// Looks at every child that has ended. The rest of its process group is killed before it is
    /// reaped, since until then nothing else can have its number.
    pub(crate) fn reap(self: &Rc<Self>) {
        let mut ended = Vec::new();
        for (key, entry) in self.entries.borrow_mut().iter_mut() {
            let Some(child) = &mut entry.child else { continue };
            if entry.record.exit.is_some() || !children::has_ended(entry.record.pid) {
                continue;
            }
            let _ = killpg(Pid::from_raw(entry.record.pid), Signal::SIGKILL);
            let exit = match child.try_wait() {
                Ok(Some(status)) => children::exit_of(status),
                Ok(None) => continue,
                Err(_) => Exit::unknown(now_ns()),
            };
            entry.record.exit = Some(exit);
            ended.push((key.clone(), entry.record.clone(), entry.launching));
        }
        for (key, record, launching) in ended {
            if !launching {
                self.save(&record);
                self.announce_later(key);
            }
        }
        let entries = self.entries.borrow();
        children::reap_orphans(|pid| {
            let is_it = |entry: &Entry| entry.child.is_some() && entry.is_alive() && entry.record.pid == pid;
            entries.values().any(is_it)
        });
    }

    /// Looks at the processes that are not children of this one.
    pub(crate) fn poll_adopted(self: &Rc<Self>) {
        let mut ended = Vec::new();
        for (key, entry) in self.entries.borrow_mut().iter_mut() {
            if entry.child.is_some() || entry.record.exit.is_some() {
                continue;
            }
            if !process::is_alive(entry.record.pid, entry.record.start_ticks) {
                children::kill_leftovers(&entry.record);
                entry.record.exit = Some(Exit::unknown(now_ns()));
                ended.push((key.clone(), entry.record.clone()));
            }
        }
        for (key, record) in ended {
            self.save(&record);
            self.announce_later(key);
        }
    }

    fn save(&self, record: &Record) {
        if let Err(error) = self.directory.save(record) {
            say(&format!("the end of {} cannot be written down: {error}", record.key));
        }
    }

    /// Says that a task has ended once its output is in the files, or after a moment: a process that
    /// left the group may hold the pipe for ever.
    fn announce_later(self: &Rc<Self>, key: TaskKey) {
        let tasks = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let readers = match tasks.entries.borrow_mut().get_mut(&key) {
                Some(entry) => std::mem::take(&mut entry.readers),
                None => return,
            };
            let _ = tokio::time::timeout(LOG_DRAIN, futures::future::join_all(readers)).await;
            let mut entries = tasks.entries.borrow_mut();
            let Some(entry) = entries.get_mut(&key) else { return };
            entry.announced = true;
            if let Some(exit) = entry.record.exit.clone() {
                // No connection is no failure: the agent asks when it comes back.
                let _ = tasks.exits.send((key, exit));
            }
        });
    }

    /// Signals the first process of a task, or its whole group.
    pub(crate) fn signal(&self, key: &TaskKey, signal: i32, whole_group: bool) -> Answer {
        let Ok(signal) = Signal::try_from(signal) else {
            return Answer::Refused { text: format!("there is no signal {signal}") };
        };
        let entries = self.entries.borrow();
        let Some(entry) = entries.get(key) else {
            return Answer::Refused { text: format!("{key} is not known") };
        };
        match send(entry, signal, whole_group) {
            // It has ended meanwhile, which the agent is about to hear.
            Ok(()) | Err(Errno::ESRCH) => Answer::Done,
            Err(error) => Answer::Refused { text: format!("{key} cannot be signalled: {error}") },
        }
    }

    /// SIGKILL for every living task.
    pub(crate) fn kill_all(&self) {
        for entry in self.entries.borrow().values() {
            if let Err(error) = send(entry, Signal::SIGKILL, true)
                && error != Errno::ESRCH
            {
                say(&format!("{} cannot be killed: {error}", entry.record.key));
            }
        }
    }
}

/// A child of ours keeps its number until it is reaped; another's process is looked at first.
fn send(entry: &Entry, signal: Signal, whole_group: bool) -> Result<(), Errno> {
    let record = &entry.record;
    let ours = entry.child.is_some() || process::is_alive(record.pid, record.start_ticks);
    if record.exit.is_some() || !ours {
        return Err(Errno::ESRCH);
    }
    let pid = Pid::from_raw(record.pid);
    match whole_group {
        // A launcher has no group of its own yet.
        true => killpg(pid, signal).or_else(|_| kill(pid, signal)),
        false => kill(pid, signal),
    }
}

fn plain_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launching(directory: &Path, exit: Option<Exit>) -> Entry {
        let record = Record {
            key: TaskKey { alloc: "a".into(), task: "t".into(), attempt: 0 },
            pid: i32::MAX,
            start_ticks: 0,
            boot_id: process::boot_id(),
            started_at_ns: 1,
            logs: LogSettings {
                directory: directory.to_owned(),
                prefix: "t".into(),
                files_max: 1,
                file_bytes_max: 1,
            },
            exit,
        };
        Entry { record, child: None, launching: true, announced: false, readers: Vec::new() }
    }

    #[tokio::test]
    async fn the_end_of_a_task_that_ends_while_it_is_launched_is_written_down() {
        let root = tempfile::tempdir().unwrap();
        let local = tokio::task::LocalSet::new();
        let work = async {
            let tasks = Tasks::open(root.path(), Launcher { prefix: Vec::new() }).unwrap();
            let exit = Exit { code: Some(7), signal: 0, at_ns: 2 };
            let entry = launching(root.path(), Some(exit.clone()));
            let key = entry.record.key.clone();
            tasks.directory.save(&Record { exit: None, ..entry.record.clone() }).unwrap();
            tasks.entries.borrow_mut().insert(key.clone(), entry);
            tasks.launched(&key).unwrap();
            assert_eq!(tasks.directory.load().unwrap()[0].exit, Some(exit));
        };
        local.run_until(work).await;
    }
}
