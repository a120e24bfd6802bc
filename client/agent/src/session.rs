//! A session with one server: registers the node, sends heartbeats and updates, receives assignments.

use std::sync::Arc;
use std::time::Duration;

use ordu_proto::node::node_client::NodeClient;
use ordu_proto::node::{AllocSync, AllocUpdates, FromNode, Heartbeat, Hello, ToNode, from_node, to_node};
use ordu_proto::state::Node;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

use crate::alloc::table::TableHandle;
use crate::fingerprint;
use crate::limits::{
    CONNECT_TIMEOUT, FINGERPRINT_INTERVAL, HEARTBEAT_TTL_MIN, LAGGING_SERVER_PATIENCE, OUTBOUND_QUEUE_MAX,
    RESTORED_SERVERS_PATIENCE, SERVER_MESSAGE_BYTES_MAX, UPDATE_LEAD, UPDATE_WINDOW, UPDATES_BYTES_MAX,
    UPDATES_PER_MESSAGE_MAX, WELCOME_TIMEOUT,
};
use crate::reports::Reports;
use crate::servers::ServerList;
use crate::standing::Standing;
use crate::stats::NodeStats;
use crate::supervisor::standing::SupervisorStanding;

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The server is unreachable, silent or not usable, for the given reason.
    Lost(String),
    /// The server refuses this node.
    Refused(String),
}

/// The state that outlives a session.
pub(crate) struct SessionContext {
    pub(crate) hello: Hello,
    /// Repeats the fingerprint. Reads kernel files only, so it does not block for long.
    pub(crate) fingerprint: Box<dyn Fn() -> Node + Send + Sync>,
    /// What is known about the supervisor, which the node's description contains.
    pub(crate) supervisor: watch::Receiver<SupervisorStanding>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) table: TableHandle,
    pub(crate) servers: ServerList,
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) stats: watch::Sender<NodeStats>,
    /// Set while the servers' state is older than the state this node has acted on.
    pub(crate) lagging: Option<Lagging>,
}

impl SessionContext {
    /// Returns the message that introduces the node.
    fn introduction(&self) -> from_node::Message {
        let takes_any = self.lagging.as_ref().is_some_and(Lagging::is_believed);
        let acted_on_index = if takes_any { 0 } else { self.table.acted_on() };
        from_node::Message::Hello(Hello { acted_on_index, ..self.hello.clone() })
    }
}

/// Servers whose state is older than the state this node has acted on: a single server may lag behind the others, or
/// all were restored from an older snapshot. After a timeout the node accepts the older state.
#[derive(Debug)]
pub(crate) struct Lagging {
    since: Instant,
    /// Whether a server reported that a quorum has confirmed its state, so no server has a newer one.
    is_confirmed: bool,
}

impl Lagging {
    fn begins() -> Self {
        Self { since: Instant::now(), is_confirmed: false }
    }

    fn believed_at(&self) -> Instant {
        let patience = if self.is_confirmed { RESTORED_SERVERS_PATIENCE } else { LAGGING_SERVER_PATIENCE };
        self.since + patience
    }

    fn is_believed(&self) -> bool {
        Instant::now() >= self.believed_at()
    }
}

/// Runs a session with a server until one side ends it. Cancel-safe.
pub(crate) async fn speak(context: &mut SessionContext, server: &str) -> End {
    // Acknowledgements of updates sent in earlier sessions do not arrive in this one.
    context.reports.give_up(Duration::ZERO);
    let (outbound, queued) = mpsc::channel(OUTBOUND_QUEUE_MAX);
    if outbound.try_send(FromNode { message: Some(context.introduction()) }).is_err() {
        return End::Lost("the session cannot begin".into());
    }
    let welcomed = timeout(WELCOME_TIMEOUT, open(server, queued)).await;
    let inbound = match welcomed {
        Ok(Ok(inbound)) => inbound,
        Ok(Err(text)) => return End::Lost(text),
        Err(_) => return End::Lost("it does not answer".into()),
    };
    let mut session = Session {
        context,
        server,
        outbound,
        ttl: WELCOME_TIMEOUT * 2,
        is_welcome: false,
        believes_at: None,
        acknowledged_at: Instant::now(),
        sequence: 0,
        sent_at: None,
        send_at: None,
    };
    match session.run(inbound).await {
        Ok(never) => match never {},
        Err(end) => end,
    }
}

/// Connects to the server and opens the session's stream.
async fn open(server: &str, queued: mpsc::Receiver<FromNode>) -> Result<Streaming<ToNode>, String> {
    let endpoint = Endpoint::from_shared(format!("http://{server}"))
        .map_err(|error| format!("{server:?} is no address: {error}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true);
    let channel =
        endpoint.connect().await.map_err(|error| format!("it cannot be reached: {}", root_cause(&error)))?;
    let mut client = NodeClient::new(channel).max_decoding_message_size(SERVER_MESSAGE_BYTES_MAX);
    let answer = client.session(ReceiverStream::new(queued)).await;
    answer.map(tonic::Response::into_inner).map_err(|status| status.message().to_owned())
}

/// Returns the innermost error, which is the informative one.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

struct Session<'a> {
    context: &'a mut SessionContext,
    /// The server's address (host:port).
    server: &'a str,
    outbound: mpsc::Sender<FromNode>,
    /// The servers consider the node down after this time without a heartbeat. Until the welcome, twice the welcome
    /// timeout.
    ttl: Duration,
    is_welcome: bool,
    /// When to accept the servers' older state. Until then the node is not ready and gets no allocations.
    believes_at: Option<Instant>,
    /// When the server last showed that it receives this node's messages.
    acknowledged_at: Instant,
    sequence: u64,
    /// When updates were last sent, and when the next ones are due.
    sent_at: Option<Instant>,
    send_at: Option<Instant>,
}

/// An uninhabited type: a session can only end with an error.
enum Never {}

impl Session<'_> {
    async fn run(&mut self, mut inbound: Streaming<ToNode>) -> Result<Never, End> {
        let reports = Arc::clone(&self.context.reports);
        let mut supervisor = self.context.supervisor.clone();
        let mut heartbeat = heartbeats(self.ttl);
        let mut looks = interval_at(Instant::now() + FINGERPRINT_INTERVAL, FINGERPRINT_INTERVAL);
        loop {
            let silent_after = self.acknowledged_at + self.ttl / 2;
            let send_at = self.send_at.unwrap_or(silent_after);
            let believes_at = self.believes_at.unwrap_or(silent_after);
            tokio::select! {
                // After a stall of this process all timers are due at once. Handle received messages before the
                // silence timer, so that the server does not appear silent; handle heartbeats before a flood of
                // messages.
                biased;
                _ = heartbeat.tick(), if self.is_welcome => {
                    self.send(from_node::Message::Heartbeat(Heartbeat {}))?;
                    reports.give_up(self.ttl / 2);
                }
                message = inbound.message() => {
                    let message = match message {
                        Ok(Some(ToNode { message: Some(message) })) => message,
                        // A message type of a later release.
                        Ok(Some(ToNode { message: None })) => continue,
                        Ok(None) => return Err(End::Lost("it ended the session".into())),
                        Err(status) => return Err(End::Lost(status.message().to_owned())),
                    };
                    let ttl = self.ttl;
                    self.receive(message).await?;
                    if ttl != self.ttl {
                        heartbeat = heartbeats(self.ttl);
                    }
                }
                _ = looks.tick(), if self.is_welcome => self.introduce_again()?,
                Ok(()) = supervisor.changed(), if self.is_welcome => self.introduce_again()?,
                () = sleep_until(believes_at), if self.believes_at.is_some() => self.take_older_state()?,
                () = sleep_until(silent_after) => {
                    return Err(End::Lost("it has not answered for half the time to live".into()));
                }
                () = reports.pushed(), if self.is_welcome => self.schedule(),
                () = sleep_until(send_at), if self.is_welcome && self.send_at.is_some() => self.send_updates()?,
            }
        }
    }

    async fn receive(&mut self, message: to_node::Message) -> Result<(), End> {
        match message {
            to_node::Message::Welcome(welcome) => {
                self.is_welcome = true;
                let server = self.server.to_owned();
                self.believes_at = match welcome.older_state_index {
                    0 => None,
                    index => Some(self.doubt(index)),
                };
                self.context.standing.send_replace(match self.believes_at {
                    None => Standing::Registered { server },
                    Some(_) => Standing::Held { server },
                });
                self.learn(welcome.heartbeat_ttl_ms, welcome.servers);
                self.schedule();
            }
            to_node::Message::HeartbeatAck(ack) => self.learn(ack.heartbeat_ttl_ms, ack.servers),
            to_node::Message::AllocUpdatesAck(ack) => {
                self.acknowledged_at = Instant::now();
                self.context.reports.acknowledge(ack.sequence);
            }
            to_node::Message::AllocSync(sync) => {
                self.check_freshness(&sync)?;
                if sync.full || sync.more {
                    // A large set takes long to transfer, and the server acknowledges nothing else in the meantime.
                    self.acknowledged_at = Instant::now();
                }
                self.context.table.sync(sync).await;
            }
            to_node::Message::Refused(refused) => return Err(End::Refused(refused.text)),
        }
        Ok(())
    }

    fn learn(&mut self, heartbeat_ttl_ms: u32, servers: Vec<String>) {
        self.acknowledged_at = Instant::now();
        if heartbeat_ttl_ms > 0 {
            self.ttl = Duration::from_millis(heartbeat_ttl_ms.into()).max(HEARTBEAT_TTL_MIN);
        }
        self.context.servers.learn(servers);
        self.context.stats.send_modify(|stats| {
            stats.last_heartbeat = Some(self.acknowledged_at.into_std());
            stats.heartbeat_ttl = self.ttl;
            stats.known_servers = self.context.servers.all().into_iter().cloned().collect();
        });
    }

    /// Registers the node again if its fingerprint has changed.
    fn introduce_again(&mut self) -> Result<(), End> {
        let now = (self.context.fingerprint)();
        let is_news =
            self.context.hello.node.as_ref().is_none_or(|before| fingerprint::is_news(before, &now));
        if is_news {
            tracing::info!("this node has changed and introduces itself again");
            self.context.hello.node = Some(now);
            self.send(self.context.introduction())?;
        }
        Ok(())
    }

    /// Handles a quorum-confirmed state older than the state this node has acted on. Returns when to accept it.
    fn doubt(&mut self, state_index: u64) -> Instant {
        let lagging = self.context.lagging.get_or_insert_with(Lagging::begins);
        let is_news = !std::mem::replace(&mut lagging.is_confirmed, true);
        let believed_at = lagging.believed_at();
        if is_news {
            tracing::warn!(
                "the servers' state (index {state_index}), which a quorum has confirmed, is older than what this node \
                 has acted on (index {}): they were restored from an older copy. This node is not ready; in {} s it \
                 takes that state, and what the state does not name ends here",
                self.context.table.acted_on(),
                believed_at.saturating_duration_since(Instant::now()).as_millis().div_ceil(1000),
            );
        }
        believed_at
    }

    /// Accepts the servers' older state after its timeout, by introducing the node without a state index.
    fn take_older_state(&mut self) -> Result<(), End> {
        self.believes_at = None;
        self.send(self.context.introduction())
    }

    /// Ends the session if the server lags behind another: its set of allocations may be incomplete, and acting on it
    /// would kill tasks. After a timeout the set is accepted, since the servers may have been restored from an older
    /// snapshot.
    fn check_freshness(&mut self, sync: &AllocSync) -> Result<(), End> {
        let acted_on = self.context.table.acted_on();
        if !sync.full || sync.state_index == 0 || sync.state_index >= acted_on {
            self.context.lagging = None;
            return Ok(());
        }
        let lagging = self.context.lagging.get_or_insert_with(Lagging::begins);
        let text = format!(
            "its state (index {}) is older than what this node has acted on (index {acted_on})",
            sync.state_index
        );
        if !lagging.is_believed() {
            return Err(End::Lost(text));
        }
        tracing::warn!("{text}, and no other server has had a newer one for a while: it is taken");
        self.context.lagging = None;
        Ok(())
    }

    /// Schedules the next update message: soon if a task has started or ended, but never within the window after
    /// the last message.
    fn schedule(&mut self) {
        let reports = &self.context.reports;
        // What is due within the shortest wait cannot be due earlier; so a burst is not searched for each report.
        let is_due = self.send_at.is_some_and(|due| due <= Instant::now() + UPDATE_LEAD);
        if is_due || !reports.any_to_send() {
            return;
        }
        let wait = if reports.any_urgent() { UPDATE_LEAD } else { UPDATE_WINDOW };
        let spaced = self.sent_at.map(|sent_at| sent_at + UPDATE_WINDOW);
        let due = (Instant::now() + wait).max(spaced.unwrap_or_else(Instant::now));
        self.send_at = Some(self.send_at.map_or(due, |earlier| earlier.min(due)));
    }

    fn send_updates(&mut self) -> Result<(), End> {
        self.send_at = None;
        let updates =
            self.context.reports.take(self.sequence + 1, UPDATES_PER_MESSAGE_MAX, UPDATES_BYTES_MAX);
        if !updates.is_empty() {
            self.sequence += 1;
            self.sent_at = Some(Instant::now());
            self.send(from_node::Message::AllocUpdates(AllocUpdates { sequence: self.sequence, updates }))?;
        }
        self.schedule();
        Ok(())
    }

    fn send(&self, message: from_node::Message) -> Result<(), End> {
        let queued = self.outbound.try_send(FromNode { message: Some(message) });
        queued.map_err(|_| End::Lost("it does not take what is sent".into()))
    }
}

fn heartbeats(ttl: Duration) -> tokio::time::Interval {
    let mut heartbeats = interval(ttl / 3);
    heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeats
}
