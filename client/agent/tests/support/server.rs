//! The scripted test server.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use futures::Stream;
use ordu_proto::command::AllocClientState;
use ordu_proto::node::node_server::{Node, NodeServer};
use ordu_proto::node::{
    AllocSync, AllocUpdates, AllocUpdatesAck, FromNode, HeartbeatAck, Hello, Refused, ToNode, Welcome,
    from_node, to_node,
};
use ordu_proto::state::{ClientStatus, DesiredStatus, TaskState};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::eventually;
use super::jobs::Assigned;

type Outbound = mpsc::Sender<Result<ToNode, Status>>;

/// The server's configuration and records, which tests change and read.
pub(crate) struct State {
    pub(crate) heartbeat_ttl_ms: u32,
    pub(crate) servers: Vec<String>,
    pub(crate) refuses: Option<String>,
    pub(crate) acknowledges_updates: bool,
    pub(crate) acknowledges_heartbeats: bool,
    pub(crate) state_index: u64,
    /// Whether a node that has acted on a newer state is told so and gets no allocations.
    pub(crate) holds_nodes: bool,
    pub(crate) hellos: Vec<Hello>,
    /// When each Hello arrived.
    pub(crate) hellos_at: Vec<Instant>,
    pub(crate) heartbeats: usize,
    pub(crate) updates: Vec<AllocUpdates>,
    /// Allocations that have ended and are still in the servers' state.
    pub(crate) over: Vec<Vec<u8>>,
    /// Allocations in the servers' state that the servers cannot decode.
    pub(crate) kept: Vec<Vec<u8>>,
    /// Most allocations in one message of a full set.
    pub(crate) allocs_per_message: usize,
    assigned: Vec<Assigned>,
    latest: BTreeMap<Vec<u8>, AllocClientState>,
    sessions: Vec<Outbound>,
}

/// A server on its own port.
pub(crate) struct TestServer {
    pub(crate) address: String,
    pub(crate) state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State {
            // Long enough for a machine that is busy with other tests.
            heartbeat_ttl_ms: 3000,
            servers: Vec::new(),
            refuses: None,
            acknowledges_updates: true,
            acknowledges_heartbeats: true,
            state_index: 100,
            holds_nodes: false,
            hellos: Vec::new(),
            hellos_at: Vec::new(),
            heartbeats: 0,
            updates: Vec::new(),
            over: Vec::new(),
            kept: Vec::new(),
            allocs_per_message: usize::MAX,
            assigned: Vec::new(),
            latest: BTreeMap::new(),
            sessions: Vec::new(),
        }));
        let service = NodeServer::new(Service { state: Arc::clone(&state) });
        let incoming = TcpListenerStream::new(listener);
        let serving = tokio::spawn(async move {
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        Self { address, state, serving }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Stops listening and ends all connections.
    pub(crate) fn die(&self) {
        self.serving.abort();
        self.state().sessions.clear();
    }

    /// Ends all sessions; agents may reconnect.
    pub(crate) fn end_sessions(&self) {
        self.state().sessions.clear();
    }

    /// Assigns an allocation to connected agents and to agents that connect later.
    pub(crate) fn assign(&self, assigned: &Assigned) {
        let mut state = self.state();
        state.assigned.push(assigned.clone());
        state.push_change(assigned, true);
    }

    /// Changes an assigned allocation under a newer index, as the servers do.
    pub(crate) fn change(&self, assigned: &mut Assigned, change: impl FnOnce(&mut Assigned)) {
        let mut state = self.state();
        change(assigned);
        state.state_index += 1;
        assigned.allocation.alloc_modify_index = state.state_index;
        let known = state.assigned.iter_mut().find(|known| known.id() == assigned.id());
        *known.expect("it was assigned") = assigned.clone();
        state.push_change(assigned, true);
    }

    /// Orders an allocation to stop.
    pub(crate) fn stop(&self, assigned: &mut Assigned) {
        self.change(assigned, |assigned| assigned.allocation.desired_status = DesiredStatus::Stop.into());
    }

    /// Removes the allocation from the state. `tell` says whether connected agents are notified.
    pub(crate) fn remove(&self, assigned: &Assigned, tell: bool) {
        let mut state = self.state();
        state.assigned.retain(|known| known.id() != assigned.id());
        if tell {
            state.push(AllocSync { removed: vec![assigned.id()], ..AllocSync::default() });
        }
    }

    /// Marks the allocation as ended, and notifies the agents.
    pub(crate) fn finish(&self, assigned: &Assigned) {
        let mut state = self.state();
        state.assigned.retain(|known| known.id() != assigned.id());
        state.over.push(assigned.id());
        state.push(AllocSync { over: vec![assigned.id()], ..AllocSync::default() });
    }

    /// Resets the allocation to this older state, in which nothing was reported of it.
    pub(crate) fn go_back(&self, assigned: &Assigned) {
        let mut state = self.state();
        state.over.retain(|known| *known != assigned.id());
        state.latest.remove(&assigned.id());
        state.assigned.retain(|known| known.id() != assigned.id());
        state.assigned.push(assigned.clone());
    }

    /// Returns the latest report on an allocation.
    pub(crate) fn latest(&self, assigned: &Assigned) -> Option<AllocClientState> {
        self.state().latest.get(&assigned.id()).cloned()
    }

    /// Waits until the agent must have resent anything it considers unacknowledged: it checks with each heartbeat, and
    /// resends after half a TTL, which is less than two heartbeats.
    pub(crate) async fn let_it_send_again(&self) {
        let before = self.state().heartbeats;
        eventually("four more heartbeats", || (self.state().heartbeats >= before + 4).then_some(())).await;
    }

    /// Waits until an allocation has this status; returns its latest report.
    pub(crate) async fn reported(&self, assigned: &Assigned, status: ClientStatus) -> AllocClientState {
        let what = format!("{status:?} of {}", assigned.uuid());
        eventually(&what, || self.latest(assigned).filter(|state| state.client_status() == status)).await
    }

    /// Waits until a task's latest state satisfies `is_it`.
    pub(crate) async fn task(
        &self,
        assigned: &Assigned,
        name: &str,
        is_it: impl Fn(&TaskState) -> bool,
    ) -> TaskState {
        eventually(&format!("a state of task {name}"), || {
            self.latest(assigned)?.task_states.get(name).filter(|state| is_it(state)).cloned()
        })
        .await
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl State {
    /// Drops all allocations from the state; notifies no agent.
    pub(crate) fn forget_all(&mut self) {
        self.assigned.clear();
    }

    fn push_change(&mut self, assigned: &Assigned, with_spec: bool) {
        let specs = if with_spec { vec![assigned.spec_of_job()] } else { Vec::new() };
        let allocs = vec![assigned.allocation.clone()];
        self.push(AllocSync { allocs, specs, state_index: self.state_index, ..AllocSync::default() });
    }

    fn push(&mut self, sync: AllocSync) {
        let message = ToNode { message: Some(to_node::Message::AllocSync(sync)) };
        self.sessions.retain(|session| session.try_send(Ok(message.clone())).is_ok());
    }

    /// Returns the full set, with rows that contain the node's reports as committed.
    fn full(&self) -> Vec<to_node::Message> {
        let row = |assigned: &Assigned| {
            let mut row = assigned.allocation.clone();
            if let Some(reported) = self.latest.get(&row.id) {
                row.client_status = reported.client_status;
                row.client_stamp = reported.stamp;
                row.client_description = reported.client_description.clone();
                row.task_states = reported.task_states.clone();
            }
            row
        };
        let mut parts: Vec<AllocSync> = self
            .assigned
            .chunks(self.allocs_per_message)
            .map(|assigned| AllocSync {
                allocs: assigned.iter().map(row).collect(),
                specs: assigned.iter().map(Assigned::spec_of_job).collect(),
                state_index: self.state_index,
                more: true,
                ..AllocSync::default()
            })
            .collect();
        let (over, kept, state_index) = (self.over.clone(), self.kept.clone(), self.state_index);
        parts.push(AllocSync { over, kept, state_index, ..AllocSync::default() });
        parts[0].full = true;
        parts.into_iter().map(to_node::Message::AllocSync).collect()
    }
}

struct Service {
    state: Arc<Mutex<State>>,
}

#[tonic::async_trait]
impl Node for Service {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<ToNode, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<FromNode>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (outbound, queued) = mpsc::channel(256);
        let weak = outbound.downgrade();
        self.state.lock().unwrap().sessions.push(outbound);
        let state = Arc::clone(&self.state);
        let mut inbound = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(FromNode { message: Some(message) })) = inbound.message().await {
                let Some(outbound) = weak.upgrade() else { return };
                let answers = answer(&mut state.lock().unwrap(), message);
                for message in answers {
                    let _ = outbound.send(Ok(ToNode { message: Some(message) })).await;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(queued))))
    }
}

fn answer(state: &mut State, message: from_node::Message) -> Vec<to_node::Message> {
    match message {
        from_node::Message::Hello(hello) => {
            state.hellos.push(hello);
            state.hellos_at.push(Instant::now());
            if let Some(text) = &state.refuses {
                return vec![to_node::Message::Refused(Refused { text: text.clone() })];
            }
            let is_held = state.holds_nodes
                && state.hellos.last().is_some_and(|hello| hello.acted_on_index > state.state_index);
            let welcome = Welcome {
                heartbeat_ttl_ms: state.heartbeat_ttl_ms,
                servers: state.servers.clone(),
                older_state_index: if is_held { state.state_index } else { 0 },
            };
            let full = if is_held { Vec::new() } else { state.full() };
            [vec![to_node::Message::Welcome(welcome)], full].concat()
        }
        from_node::Message::Heartbeat(_) => {
            state.heartbeats += 1;
            let ack =
                HeartbeatAck { heartbeat_ttl_ms: state.heartbeat_ttl_ms, servers: state.servers.clone() };
            let answers = state.acknowledges_heartbeats.then_some(to_node::Message::HeartbeatAck(ack));
            answers.into_iter().collect()
        }
        from_node::Message::AllocUpdates(updates) => {
            state.updates.push(updates.clone());
            if !state.acknowledges_updates {
                return Vec::new();
            }
            for update in updates.updates {
                let is_older = |known: &AllocClientState| update.stamp < known.stamp;
                if !state.latest.get(&update.alloc_id).is_some_and(is_older) {
                    state.latest.insert(update.alloc_id.clone(), update);
                }
            }
            vec![to_node::Message::AllocUpdatesAck(AllocUpdatesAck { sequence: updates.sequence })]
        }
    }
}
