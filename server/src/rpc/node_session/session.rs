//! A session with one node agent, from its introduction to its end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use ordu_core::state::rows::Nodes;
use ordu_core::state::{Table, read};
use ordu_proto::node::{
    AllocUpdates, AllocUpdatesAck, FromNode, HeartbeatAck, Hello, Refused, ToNode, Welcome, from_node,
    to_node,
};
use ordu_proto::state::NodeStatus;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Code, Status};

use super::admission::Admission;
use super::assignments::Assignments;
use super::hello::{self, Introduction};
use super::live::LiveSession;
use super::{Shared, WRITE_RETRY_PAUSE};
use crate::batching::NotWritten;
use crate::read_index::ReadIndex;
use crate::watch::{Key, Watch};

/// Time limit for the introduction after the stream is opened.
const HELLO_WAIT_MAX: Duration = Duration::from_secs(10);
/// Maximum number of unwritten reports; above it, the server stops reading from the agent.
const REPORTS_IN_HAND_MAX: usize = 16;
/// Maximum number of updates in a report.
const UPDATES_PER_REPORT_MAX: usize = 4096;
/// Minimum time between two reads of the node's allocations. The first change after an idle period is read at
/// once.
const SYNC_SPACING: Duration = Duration::from_millis(50);

/// After a full set, an agent has sent its differing reports within this time.
const REPORTED_AFTER: Duration = Duration::from_secs(1);

/// Why a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// The agent has disconnected or does not read.
    Gone,
    /// The node opened another session, or the server shuts down.
    Over,
    /// The server refuses the node; the text is sent to the agent.
    Refused(String),
    /// The stream cannot continue.
    Broken(Status),
}

/// A stream that an agent has opened.
pub(super) struct Session<S> {
    pub(super) shared: Arc<Shared>,
    inbound: S,
    pub(super) outbound: mpsc::Sender<Result<ToNode, Status>>,
    from: String,
}

type Ack = Pin<Box<dyn Future<Output = (u64, Result<(), NotWritten>)> + Send>>;
type Confirmed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A session whose node was admitted.
struct Welcomed {
    introduction: Introduction,
    live: LiveSession,
    watch: Watch,
    changed: Pin<Box<dyn Future<Output = ()> + Send>>,
    assignments: Assignments,
    /// Reports that are being written.
    acks: FuturesUnordered<Ack>,
    heard_at: Instant,
    /// Whether the node's status in the state contradicts its admission, although the node is heard from.
    is_down: bool,
    admission: Admission,
    /// Whether the node was held before, and allocations that it stopped earlier must still be replaced once
    /// it has reported them.
    was_held: bool,
    /// When to read the node's allocations next, if at all.
    sync_at: Option<Instant>,
    synced_at: Option<Instant>,
    /// Contains one future while a quorum confirms this server's state before a full set.
    confirming: FuturesUnordered<Confirmed>,
}

impl<S> Session<S>
where
    S: Stream<Item = Result<FromNode, Status>> + Unpin + Send,
{
    pub(super) fn new(
        shared: Arc<Shared>,
        inbound: S,
        outbound: mpsc::Sender<Result<ToNode, Status>>,
        from: String,
    ) -> Self {
        Self { shared, inbound, outbound, from }
    }

    /// Runs the session until either side ends it.
    pub(super) async fn run(mut self) {
        let end = match self.welcome().await {
            Ok(mut welcomed) => {
                tracing::info!("{} has a session from {}", welcomed.introduction, self.from);
                let end = self.speak(&mut welcomed).await.err().unwrap_or(End::Gone);
                tracing::info!("the session of {} from {} has ended", welcomed.introduction, self.from);
                end
            }
            Err(end) => end,
        };
        match end {
            End::Gone | End::Over => {}
            End::Refused(text) => {
                tracing::warn!("a session from {} is refused: {text}", self.from);
                // If the agent does not read this either, it sees the closed stream.
                let _ = self.send(to_node::Message::Refused(Refused { text })).await;
            }
            End::Broken(status) => {
                tracing::warn!("a session from {} cannot go on: {}", self.from, status.message());
                let _ = self.outbound.try_send(Err(status));
            }
        }
    }

    /// Handles the introduction.
    async fn welcome(&mut self) -> Result<Welcomed, End> {
        let first =
            timeout(HELLO_WAIT_MAX, next_message(&mut self.inbound)).await.map_err(|_| End::Gone)??;
        let from_node::Message::Hello(hello) = first else {
            return Err(End::Broken(Status::invalid_argument(
                "a session begins with the node's introduction",
            )));
        };
        let introduction = hello::check(hello).map_err(End::Refused)?;
        let admission = self.admit(&introduction).await?;
        let id = introduction.id;
        let context = &self.shared.context;
        let watch =
            context.watches.watch(vec![Key::of_owner(Table::AllocsByNode, id), Key::row::<Nodes>(&id)]);
        let mut welcomed = Welcomed {
            changed: Box::pin(watch.armed().changed()),
            live: self.shared.live.open(id),
            watch,
            assignments: Assignments::new(id),
            acks: FuturesUnordered::new(),
            heard_at: Instant::now(),
            is_down: false,
            admission,
            was_held: false,
            sync_at: Some(Instant::now()),
            synced_at: None,
            confirming: FuturesUnordered::new(),
            introduction,
        };
        self.send_welcome(None).await?;
        self.look_at_node(&mut welcomed)?;
        Ok(welcomed)
    }

    async fn speak(&mut self, welcomed: &mut Welcomed) -> Result<(), End> {
        let closed = self.outbound.clone();
        loop {
            let silent_at = welcomed.heard_at + self.heartbeat_ttl() * 2;
            let sync_at = welcomed.sync_at.unwrap_or(silent_at);
            let is_held = matches!(welcomed.admission, Admission::Held { .. });
            let syncs = welcomed.sync_at.is_some() && welcomed.confirming.is_empty() && !is_held;
            let listens = welcomed.acks.len() < REPORTS_IN_HAND_MAX;
            tokio::select! {
                message = next_message(&mut self.inbound), if listens => self.receive(welcomed, message?).await?,
                Some((sequence, written)) = welcomed.acks.next(), if !welcomed.acks.is_empty() => {
                    // An unwritten report is not acknowledged, so the agent sends it again.
                    if written.is_ok() {
                        self.send(to_node::Message::AllocUpdatesAck(AllocUpdatesAck { sequence })).await?;
                    }
                }
                () = &mut welcomed.changed => self.note_change(welcomed).await?,
                () = sleep_until(sync_at), if syncs => self.sync(welcomed).await?,
                Some(()) = welcomed.confirming.next(), if !welcomed.confirming.is_empty() => {
                    self.tell(welcomed).await?;
                }
                () = sleep_until(silent_at) => {
                    if listens {
                        return Err(End::Gone);
                    }
                    // The server was not reading, so the silence does not count.
                    welcomed.heard_at = Instant::now();
                }
                () = closed.closed() => return Err(End::Gone),
                () = welcomed.live.ended() => return Err(End::Over),
            }
        }
    }

    async fn receive(&mut self, welcomed: &mut Welcomed, message: from_node::Message) -> Result<(), End> {
        welcomed.heard_at = Instant::now();
        welcomed.live.heard();
        match message {
            from_node::Message::Hello(hello) => self.introduce_again(welcomed, hello).await?,
            // A server without a leader does not answer heartbeats. It cannot report the node to the leader,
            // so the agent must find another server before the node is marked down.
            from_node::Message::Heartbeat(_) if !self.shared.context.cluster.known_leader() => {}
            from_node::Message::Heartbeat(_) => {
                let ack = HeartbeatAck { heartbeat_ttl_ms: self.heartbeat_ttl_ms(), servers: self.servers() };
                self.send(to_node::Message::HeartbeatAck(ack)).await?;
                let has_reported = welcomed.acks.is_empty()
                    && welcomed.synced_at.is_some_and(|told_at| told_at.elapsed() > REPORTED_AFTER);
                if welcomed.was_held && has_reported {
                    welcomed.was_held = false;
                    self.replace_what_has_ended(&welcomed.introduction).await?;
                }
            }
            from_node::Message::AllocUpdates(updates) => self.take_report(welcomed, updates)?,
        }
        self.bring_back(welcomed).await
    }

    async fn introduce_again(&mut self, welcomed: &mut Welcomed, hello: Hello) -> Result<(), End> {
        let introduction = hello::check(hello).map_err(End::Refused)?;
        if introduction.id != welcomed.introduction.id {
            return Err(End::Refused("a node keeps its id for as long as its session lasts".to_owned()));
        }
        let admission = self.admit(&introduction).await?;
        if admission == Admission::Undecided {
            // It is decided before the next full set.
            welcomed.assignments = Assignments::new(introduction.id);
            welcomed.sync_at.get_or_insert_with(Instant::now);
        }
        let is_held = matches!(welcomed.admission, Admission::Held { .. });
        welcomed.was_held |= is_held && admission == Admission::Registered;
        welcomed.admission = admission;
        welcomed.introduction = introduction;
        self.send_welcome(None).await?;
        self.look_at_node(welcomed)
    }

    async fn send_welcome(&self, older_state_index: Option<u64>) -> Result<(), End> {
        let welcome = Welcome {
            heartbeat_ttl_ms: self.heartbeat_ttl_ms(),
            servers: self.servers(),
            older_state_index: older_state_index.unwrap_or_default(),
        };
        self.send(to_node::Message::Welcome(welcome)).await
    }

    fn take_report(&self, welcomed: &Welcomed, report: AllocUpdates) -> Result<(), End> {
        let AllocUpdates { sequence, mut updates } = report;
        if updates.len() > UPDATES_PER_REPORT_MAX {
            let text =
                format!("a report holds {} updates, {UPDATES_PER_REPORT_MAX} are allowed", updates.len());
            return Err(End::Broken(Status::invalid_argument(text)));
        }
        if updates.iter().any(|update| update.alloc_id.len() != 16) {
            let text = "a report on something that is no allocation: their ids have sixteen bytes";
            return Err(End::Broken(Status::invalid_argument(text)));
        }
        for update in &mut updates {
            update.node_id = welcomed.introduction.id.to_vec();
        }
        let reports = self.shared.reports.clone();
        welcomed.acks.push(Box::pin(async move { (sequence, reports.submit(updates).await) }));
        Ok(())
    }

    /// Handles a change of the node or its allocations.
    async fn note_change(&mut self, welcomed: &mut Welcomed) -> Result<(), End> {
        // Arm before reading, so that no later change is missed.
        welcomed.changed = Box::pin(welcomed.watch.armed().changed());
        self.look_at_node(welcomed)?;
        let rested = welcomed.synced_at.map_or_else(Instant::now, |synced_at| synced_at + SYNC_SPACING);
        welcomed.sync_at.get_or_insert(rested);
        self.bring_back(welcomed).await
    }

    fn look_at_node(&self, welcomed: &mut Welcomed) -> Result<(), End> {
        let node = self.shared.context.state.read(|reader| read::node(reader, &welcomed.introduction.id));
        let node = node.map_err(|corrupt| End::Broken(Status::internal(corrupt.to_string())))?;
        let expected = match welcomed.admission {
            Admission::Registered => Some(NodeStatus::Ready),
            Admission::Undecided => None,
            Admission::Held { .. } => Some(NodeStatus::Initializing),
        };
        welcomed.is_down = expected.is_some_and(|expected| node.is_none_or(|node| node.status() != expected));
        Ok(())
    }

    /// If the state says that the node is down although it is heard from, registers it again.
    async fn bring_back(&mut self, welcomed: &mut Welcomed) -> Result<(), End> {
        if welcomed.is_down && welcomed.heard_at.elapsed() < self.heartbeat_ttl() {
            tracing::info!("{} was down and speaks again", welcomed.introduction);
            match welcomed.admission {
                Admission::Held { state_index } => self.hold(&welcomed.introduction, state_index).await?,
                _ => self.register(&welcomed.introduction).await?,
            }
            welcomed.is_down = false;
        }
        Ok(())
    }

    /// Sends assignments that the agent does not have yet.
    ///
    /// The agent stops and forgets whatever a full set omits. A server that is cut off may lack recent
    /// assignments, so before a full set it confirms its state with a quorum, and sends nothing until then.
    async fn sync(&mut self, welcomed: &mut Welcomed) -> Result<(), End> {
        if !welcomed.assignments.begins_anew() {
            return self.tell(welcomed).await;
        }
        welcomed
            .confirming
            .push(Box::pin(confirm(self.shared.context.reads.clone(), welcomed.introduction.to_string())));
        Ok(())
    }

    /// Sends what the agent was not told yet.
    async fn tell(&mut self, welcomed: &mut Welcomed) -> Result<(), End> {
        welcomed.sync_at = None;
        if welcomed.admission == Admission::Undecided {
            welcomed.admission = self.decide(&welcomed.introduction).await?;
            self.look_at_node(welcomed)?;
        }
        if let Admission::Held { state_index } = welcomed.admission {
            return self.send_welcome(Some(state_index)).await;
        }
        welcomed.synced_at = Some(Instant::now());
        let assignments = &mut welcomed.assignments;
        let messages = self.shared.context.state.read(|reader| assignments.next(reader));
        let messages = messages.map_err(|corrupt| End::Broken(Status::internal(corrupt.to_string())))?;
        for message in messages {
            self.send(to_node::Message::AllocSync(message)).await?;
        }
        Ok(())
    }

    /// Sends a message. An agent that does not read it within a TTL counts as gone.
    async fn send(&self, message: to_node::Message) -> Result<(), End> {
        let message = Ok(ToNode { message: Some(message) });
        self.outbound.send_timeout(message, self.heartbeat_ttl()).await.map_err(|_| End::Gone)
    }

    fn heartbeat_ttl(&self) -> Duration {
        self.shared.context.options.heartbeat_ttl
    }

    fn heartbeat_ttl_ms(&self) -> u32 {
        u32::try_from(self.heartbeat_ttl().as_millis()).unwrap_or(u32::MAX)
    }

    fn servers(&self) -> Vec<String> {
        self.shared.context.cluster.members().into_iter().map(|member| member.server.rpc_addr).collect()
    }
}

/// Waits until this server's state contains everything acknowledged before the call. `node` is for the log.
async fn confirm(reads: ReadIndex, node: String) {
    while let Err(error) = reads.confirm().await {
        tracing::debug!("{node} is not told yet what to run: {error}");
        tokio::time::sleep(WRITE_RETRY_PAUSE).await;
    }
}

/// Returns the next message of a kind known to this release.
async fn next_message(
    inbound: &mut (impl Stream<Item = Result<FromNode, Status>> + Unpin),
) -> Result<from_node::Message, End> {
    loop {
        match inbound.next().await {
            Some(Ok(FromNode { message: Some(message) })) => return Ok(message),
            // A message kind of a later release.
            Some(Ok(FromNode { message: None })) => {}
            // The message cannot be decoded or is too large. It would fail again, so both sides must log it.
            Some(Err(status)) if matches!(status.code(), Code::OutOfRange | Code::Internal) => {
                return Err(End::Broken(status));
            }
            Some(Err(status)) => {
                tracing::debug!("a node agent's stream broke off: {}", status.message());
                return Err(End::Gone);
            }
            None => return Err(End::Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use ordu_core::state::Write;
    use ordu_proto::command::AllocClientState;
    use ordu_proto::node::Heartbeat;
    use ordu_proto::state::Node;
    use ordu_store::log::MemoryLog;
    use ordu_store::tables::{MemoryDb, TablesDb};
    use prost::Message;
    use tokio::task::JoinSet;

    use super::*;
    use crate::server::Server;

    #[tokio::test]
    async fn what_cannot_be_read_is_told_and_a_stream_that_broke_off_is_only_gone() {
        for (status, is_told) in [
            (Status::out_of_range("decoded message length too large"), true),
            (Status::internal("failed to decode Protobuf message"), true),
            (Status::cancelled("the connection was reset"), false),
        ] {
            let mut inbound = futures::stream::iter([Err(status.clone())]);
            match next_message(&mut inbound).await {
                Err(End::Broken(told)) => assert!(is_told && told.message() == status.message(), "{told:?}"),
                other => assert!(!is_told && matches!(other, Err(End::Gone)), "{other:?}"),
            }
        }
    }

    fn introduction() -> Hello {
        let node =
            Node { id: vec![1; 16], name: "n".to_owned(), datacenter: "dc1".to_owned(), ..Node::default() };
        Hello { node: Some(node), secret_id: "secret".to_owned(), acted_on_index: 0 }
    }

    /// Starts a server that finds no other servers, and knows the node from an earlier time.
    async fn cut_off() -> Server {
        let mut row = hello::check(introduction()).unwrap().node;
        row.set_status(NodeStatus::Ready);
        let tables = MemoryDb::default();
        let write = Write { table: Table::Nodes, key: row.id.clone(), value: Some(row.encode_to_vec()) };
        tables.commit(vec![write]).unwrap();
        crate::testing::start(3, Arc::new(MemoryLog::default()), tables).await
    }

    /// Runs a session with an agent that sends these messages; returns what the server sends.
    fn session(
        server: &Server,
        messages: impl Stream<Item = from_node::Message> + Unpin + Send + Sync + 'static,
    ) -> mpsc::Receiver<Result<ToNode, Status>> {
        let context = server.context().clone();
        let reports = super::super::reports::start(context.writer.clone(), &mut JoinSet::new());
        let shared = Arc::new(Shared { context, live: Arc::default(), reports });
        let inbound = messages.map(|message| Ok(FromNode { message: Some(message) }));
        let (outbound, told) = mpsc::channel(64);
        tokio::spawn(Session::new(shared, inbound, outbound, "a test".to_owned()).run());
        told
    }

    async fn told_by(server: &Server, messages: Vec<from_node::Message>) -> Vec<Result<ToNode, Status>> {
        let mut told = session(server, futures::stream::iter(messages).chain(futures::stream::pending()));
        let mut all = Vec::new();
        while let Some(message) = timeout(Duration::from_secs(20), told.recv()).await.expect("it goes on") {
            let is_full = matches!(&message, Ok(ToNode { message: Some(to_node::Message::AllocSync(sync)) }) if sync.full);
            all.push(message);
            if is_full {
                break;
            }
        }
        all
    }

    #[tokio::test]
    async fn a_server_that_cannot_confirm_its_state_listens_and_tells_a_node_nothing_of_it() {
        let server = cut_off().await;
        // The last message is refused, which ends the session; all earlier ones were read.
        let bad = AllocUpdates {
            sequence: 1,
            updates: vec![AllocClientState { alloc_id: vec![1; 3], ..AllocClientState::default() }],
        };
        let messages = vec![
            from_node::Message::Hello(introduction()),
            from_node::Message::Heartbeat(Heartbeat {}),
            from_node::Message::AllocUpdates(bad),
        ];
        let told = told_by(&server, messages).await;
        let [Ok(ToNode { message: Some(to_node::Message::Welcome(_)) }), Err(status)] = told.as_slice()
        else {
            panic!("{told:?}");
        };
        assert!(status.message().contains("no allocation"), "{status}");
    }

    #[tokio::test]
    async fn a_server_of_a_quorum_tells_a_full_set() {
        let server = crate::testing::one_server().await;
        let told = told_by(&server, vec![from_node::Message::Hello(introduction())]).await;
        let kinds: Vec<bool> = told
            .iter()
            .map(|message| {
                matches!(message, Ok(ToNode { message: Some(to_node::Message::AllocSync(sync)) }) if sync.full)
            })
            .collect();
        assert_eq!([false, true].as_slice(), kinds, "{told:?}");
    }

    #[tokio::test]
    async fn a_node_that_knows_a_newer_state_is_not_ready_and_told_nothing_until_it_takes_the_older_one() {
        let server = crate::testing::one_server().await;
        told_by(&server, vec![from_node::Message::Hello(introduction())]).await;
        let status = || {
            let row = server.context().state.read(|reader| read::node(reader, &[1; 16])).unwrap().unwrap();
            row.status()
        };
        assert_eq!(status(), NodeStatus::Ready);
        let (says, said) = mpsc::channel(8);
        let mut told = session(&server, tokio_stream::wrappers::ReceiverStream::new(said));
        let mut next_index = async || match told.recv().await {
            Some(Ok(ToNode { message: Some(to_node::Message::Welcome(welcome)) })) => {
                Some(welcome.older_state_index)
            }
            Some(Ok(ToNode { message: Some(to_node::Message::AllocSync(sync)) })) if sync.full => None,
            other => panic!("{other:?}"),
        };
        let newer = Hello { acted_on_index: 1_000_000, ..introduction() };
        says.send(from_node::Message::Hello(newer)).await.unwrap();
        assert_eq!(next_index().await, Some(0));
        let index = next_index().await.unwrap();
        assert!((1..1_000_000).contains(&index), "{index}");
        assert_eq!(status(), NodeStatus::Initializing);
        says.send(from_node::Message::Hello(introduction())).await.unwrap();
        assert_eq!((next_index().await, next_index().await), (Some(0), None));
        assert_eq!(status(), NodeStatus::Ready);
    }

    #[tokio::test]
    async fn a_node_that_knows_a_newer_state_and_not_its_secret_is_refused() {
        let server = crate::testing::one_server().await;
        told_by(&server, vec![from_node::Message::Hello(introduction())]).await;
        let stranger = Hello { acted_on_index: 1_000_000, secret_id: "another".to_owned(), ..introduction() };
        let told = told_by(&server, vec![from_node::Message::Hello(stranger)]).await;
        assert!(
            matches!(told.as_slice(), [Ok(ToNode { message: Some(to_node::Message::Refused(_)) })]),
            "{told:?}"
        );
    }
}
