//! The task processes: starts, reaps, signals, and adopts those of a supervisor that was killed.

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
use tokio::sync::{Mutex, Semaphore, broadcast};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::launch::{self, LaunchOrder, Launcher};
use super::logs::{self, LogPlace, OpenLogs};
use super::protocol::{Answer, Exit, LogSettings, StartTask, TaskKey, TaskReport};
use super::record::{Record, StateDirectory};
use super::{children, now_ns, process, say};
use crate::limits::{
    EXIT_QUEUE_MAX, LAUNCH_TIMEOUT, LAUNCHES_MAX, LOG_DRAIN, SHORTAGE_PATIENCE, SHORTAGE_POLL,
};
use crate::text::cut;

/// Poll interval while waiting for a killed launcher to die.
const LAUNCHER_DEATH_POLL: Duration = Duration::from_millis(1);
/// The output streams of a task.
const OUTPUTS: [&str; 2] = ["stdout", "stderr"];

struct Entry {
    record: Record,
    /// None for a process started by an earlier supervisor.
    child: Option<Child>,
    /// Whether the launcher has yet to execute the program.
    launching: bool,
    /// Whether the exit was announced. Until then it is not shown in reports.
    announced: bool,
    readers: Vec<JoinHandle<()>>,
}

impl Entry {
    fn is_alive(&self) -> bool {
        self.record.exit.is_none()
    }

    /// Returns the report for the agent. Hides the exit until all output is in the log files.
    fn report(&self) -> TaskReport {
        let mut report = self.record.report();
        if !self.announced {
            report.exit = None;
        }
        report
    }
}

/// Locks by allocation and task.
type StartLocks = BTreeMap<(String, String), Rc<Mutex<()>>>;

/// All attempts known to the supervisor.
pub(crate) struct Tasks {
    directory: StateDirectory,
    launcher: Launcher,
    boot_id: String,
    open_files_max: u64,
    entries: RefCell<BTreeMap<TaskKey, Entry>>,
    /// The attempts whose processes are children of this process and not reaped yet, by pid.
    children: RefCell<BTreeMap<i32, TaskKey>>,
    /// Bounds the launches under way.
    launches: Semaphore,
    /// Whether nothing is started any more.
    is_closed: Cell<bool>,
    /// Serialises starts per task, so that requests from two agents cannot race.
    starting: RefCell<StartLocks>,
    open_logs: Rc<OpenLogs>,
    scratch: Rc<RefCell<Vec<u8>>>,
    exits: broadcast::Sender<(TaskKey, Exit)>,
    /// Number of agent connections; kept here because tasks and connections together decide whether the supervisor
    /// is idle.
    pub(crate) connections: Cell<usize>,
}

impl Tasks {
    /// Reads the records and adopts the processes that are still running.
    pub(crate) fn open(state: &Path, launcher: Launcher) -> io::Result<Rc<Self>> {
        let tasks = Rc::new(Self {
            directory: StateDirectory::open(state)?,
            launcher,
            boot_id: process::boot_id(),
            open_files_max: children::raise_open_files()?,
            entries: RefCell::default(),
            children: RefCell::default(),
            launches: Semaphore::new(LAUNCHES_MAX),
            is_closed: Cell::new(false),
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

    /// Adopts one recorded attempt. Errors with its files are only logged: failing here would block all other tasks.
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

    /// Returns whether a launcher started by an earlier supervisor has executed its program. A living launcher without
    /// a mark could still execute it, so it is killed before the mark is checked again.
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

    /// Subscribes to the exits of tasks from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<(TaskKey, Exit)> {
        self.exits.subscribe()
    }

    /// Returns whether any task is alive.
    pub(crate) fn any_alive(&self) -> bool {
        self.entries.borrow().values().any(Entry::is_alive)
    }

    /// Returns the report of one attempt.
    pub(crate) fn status(&self, key: &TaskKey) -> Option<TaskReport> {
        self.entries.borrow().get(key).filter(|entry| !entry.launching).map(Entry::report)
    }

    /// Returns the reports of all attempts.
    pub(crate) fn list(&self) -> Vec<TaskReport> {
        self.entries.borrow().values().filter(|entry| !entry.launching).map(Entry::report).collect()
    }

    /// Drops the record of an ended attempt.
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

    /// Starts the attempt, unless it was started before or another attempt of the task is alive.
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
            None => match self.launch_when_possible(&task).await {
                Ok(report) => Answer::Started(report),
                // The error may quote the command; shorten it to fit into a frame.
                Err(error) => Answer::StartFailed { text: cut(&error.to_string()).into_owned() },
            },
        };
        drop(held);
        let mut starting = self.starting.borrow_mut();
        // Two references are this one and the map's. More mean that other starts wait for the lock.
        if Rc::strong_count(&lock) <= 2 {
            starting.remove(&name);
        }
        answer
    }

    /// Returns this attempt, alive or ended, or else a living attempt of the same task.
    fn running_attempt(&self, key: &TaskKey) -> Option<TaskReport> {
        let entries = self.entries.borrow();
        let other = || entries.values().find(|entry| entry.record.key.same_task(key) && entry.is_alive());
        entries.get(key).or_else(other).map(Entry::report)
    }

    /// Launches the attempt when its turn comes. If the machine lacks processes or open files, waits for some time:
    /// other tasks may end.
    async fn launch_when_possible(self: &Rc<Self>, task: &StartTask) -> io::Result<TaskReport> {
        let _turn = self.launches.acquire().await.map_err(io::Error::other)?;
        let deadline = Instant::now() + SHORTAGE_PATIENCE;
        loop {
            if self.is_closed.get() {
                return Err(io::Error::other("the supervisor ends"));
            }
            match self.launch(task).await {
                Err(error) if is_shortage(&error) && Instant::now() < deadline => {
                    tokio::time::sleep(SHORTAGE_POLL).await;
                }
                launched => return launched,
            }
        }
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
                    // The program was not executed, so at most a hanging launcher is left.
                    child.kill()?;
                    child.wait()?;
                    self.children.borrow_mut().remove(&entry.record.pid);
                }
                self.directory.remove(key);
                Err(error)
            }
        }
    }

    /// Marks the attempt as running after the launcher has executed the program.
    fn launched(self: &Rc<Self>, key: &TaskKey) -> io::Result<TaskReport> {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.get_mut(key).ok_or_else(|| io::Error::other("the task was forgotten"))?;
        entry.launching = false;
        if !entry.is_alive() {
            // The program has ended already. `reap` saved and announced nothing, since the launcher might have failed.
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
        // Save the record before sending the order: once the program runs, the next supervisor must find it.
        self.directory.save(&record)?;
        let entry = Entry { record, child: Some(child), launching: true, announced: false, readers };
        self.children.borrow_mut().insert(pid, key.clone());
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

    /// Creates a named pipe and opens it for writing and reading. The task inherits this descriptor, so its writes
    /// neither fail nor see a closed pipe while no supervisor reads.
    fn make_pipe(&self, key: &TaskKey, output: &str) -> io::Result<std::fs::File> {
        let path = self.directory.pipe_path(key, output);
        match mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        OpenOptions::new().read(true).write(true).open(path)
    }

    /// Starts to read the output of a new task. Fails if its log files cannot be opened, which fails the start.
    fn read_output(&self, key: &TaskKey, settings: &LogSettings) -> io::Result<Vec<JoinHandle<()>>> {
        let mut readers = Vec::new();
        let mut open = Vec::new();
        for output in OUTPUTS {
            open.push(self.log_place(settings, output).open()?);
            readers.push(self.reader(key, settings, output)?);
        }
        Ok(readers)
    }

    /// Continues to read the output of an adopted task.
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

    /// Reaps ended children, and records the exits of those that are tasks.
    pub(crate) fn reap(self: &Rc<Self>) {
        let mut ended = Vec::new();
        children::reap(|pid| {
            let key = self.children.borrow().get(&pid).cloned();
            let Some(key) = key else { return children::reap_orphan(pid) };
            let is_reaped = self.reap_task(&key);
            if is_reaped {
                self.children.borrow_mut().remove(&pid);
                ended.push(key);
            }
            is_reaped
        });
        for key in ended {
            self.record_exit(key);
        }
    }

    /// Reaps a task's first process and notes its exit. Returns false if a thread of the process still runs. Kills the
    /// rest of the process group first, because the kernel cannot reuse the pid until the process is reaped.
    fn reap_task(&self, key: &TaskKey) -> bool {
        let mut entries = self.entries.borrow_mut();
        let Some(Entry { record, child: Some(child), .. }) = entries.get_mut(key) else { return false };
        let _ = killpg(Pid::from_raw(record.pid), Signal::SIGKILL);
        let exit = match child.try_wait() {
            Ok(Some(status)) => children::exit_of(status),
            Ok(None) => return false,
            Err(_) => Exit::unknown(now_ns()),
        };
        record.exit = Some(exit);
        true
    }

    /// Saves and announces a noted exit, unless the launcher may have failed: `launch` decides about that.
    fn record_exit(self: &Rc<Self>, key: TaskKey) {
        let record = match self.entries.borrow().get(&key) {
            Some(entry) if !entry.launching => entry.record.clone(),
            _ => return,
        };
        self.save(&record);
        self.announce_later(key);
    }

    /// Checks the adopted processes, which are not children of this process.
    pub(crate) fn poll_adopted(self: &Rc<Self>) {
        let mut ended = Vec::new();
        for (key, entry) in self.entries.borrow_mut().iter_mut() {
            if entry.child.is_some() || entry.record.exit.is_some() {
                continue;
            }
            if !process::is_alive(entry.record.pid, entry.record.start_ticks) {
                children::kill_leftovers(&entry.record);
                entry.record.exit = Some(Exit::unknown(now_ns()));
                ended.push(key.clone());
            }
        }
        ended.into_iter().for_each(|key| self.record_exit(key));
    }

    fn save(&self, record: &Record) {
        if let Err(error) = self.directory.save(record) {
            say(&format!("the end of {} cannot be written down: {error}", record.key));
        }
    }

    /// Announces the exit once all output is in the log files, but waits at most [`LOG_DRAIN`]: a process that left the
    /// group may hold the pipe open for ever.
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
                // Sending fails if no agent is connected; the agent asks for the status when it reconnects.
                let _ = tasks.exits.send((key, exit));
            }
        });
    }

    /// Signals the first process of a task, or its whole process group.
    pub(crate) fn signal(&self, key: &TaskKey, signal: i32, whole_group: bool) -> Answer {
        let Ok(signal) = Signal::try_from(signal) else {
            return Answer::Refused { text: format!("there is no signal {signal}") };
        };
        let entries = self.entries.borrow();
        let Some(entry) = entries.get(key) else {
            return Answer::Refused { text: format!("{key} is not known") };
        };
        match send(entry, signal, whole_group) {
            // ESRCH: the process has ended in the meantime; the agent is about to learn its exit.
            Ok(()) | Err(Errno::ESRCH) => Answer::Done,
            Err(error) => Answer::Refused { text: format!("{key} cannot be signalled: {error}") },
        }
    }

    /// Signals the process groups of all living tasks.
    pub(crate) fn signal_all(&self, signal: Signal) {
        for entry in self.entries.borrow().values() {
            if let Err(error) = send(entry, signal, true)
                && error != Errno::ESRCH
            {
                say(&format!("{} cannot be sent {signal}: {error}", entry.record.key));
            }
        }
    }

    /// Lets nothing start any more.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
    }
}

/// Sends a signal. A child's pid cannot be reused before it is reaped; an adopted process is checked first.
fn send(entry: &Entry, signal: Signal, whole_group: bool) -> Result<(), Errno> {
    let record = &entry.record;
    let ours = entry.child.is_some() || process::is_alive(record.pid, record.start_ticks);
    if record.exit.is_some() || !ours {
        return Err(Errno::ESRCH);
    }
    let pid = Pid::from_raw(record.pid);
    match whole_group {
        // A launcher does not have its own group yet.
        true => killpg(pid, signal).or_else(|_| kill(pid, signal)),
        false => kill(pid, signal),
    }
}

/// Returns whether an error says that the machine or this process has too much of something at present.
fn is_shortage(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EAGAIN | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM))
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
