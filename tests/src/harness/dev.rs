//! `ordu agent -dev`: server and node in one process, without persistent data.

use std::net::SocketAddr;

use tokio::sync::MutexGuard;

use super::agent::Agent;
use super::cluster::{ONE_AT_A_TIME, SETTLE_WITHIN};
use super::ports::free_port;
use super::root::Root;
use super::wait::{eventually, holds};
use crate::http::Client;

/// A running development agent. Dropping it ends the agent and its tasks.
pub struct DevAgent {
    agent: Agent,
    root: Root,
    _turn: MutexGuard<'static, ()>,
}

impl DevAgent {
    /// Starts an agent on free ports and waits until its node is ready.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts an agent on free ports with additional configuration.
    pub async fn start_with(configuration: &str) -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let root = Root::new();
        let [http, rpc, serf] = [free_port(), free_port(), free_port()];
        let ports = format!("ports {{\n  http = {http}\n  rpc = {rpc}\n  serf = {serf}\n}}\n");
        let file = root.write("dev.hcl", &format!("{ports}{configuration}")).display().to_string();
        Self::launch(root, turn, http, vec!["-config".to_owned(), file]).await
    }

    /// Starts an agent without any configuration, on the default ports.
    pub async fn start_plain() -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        Self::launch(Root::new(), turn, 4646, Vec::new()).await
    }

    async fn launch(root: Root, turn: MutexGuard<'static, ()>, http: u16, more: Vec<String>) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], http));
        let arguments = [vec!["-dev".to_owned()], more].concat();
        let mut agent = Agent::new("dev", address, arguments, root.path(), root.log("dev"));
        agent.start();
        let mut dev = Self { agent, root, _turn: turn };
        dev.wait_until_ready().await;
        dev
    }

    async fn wait_until_ready(&mut self) {
        let client = self.client();
        let agent = &mut self.agent;
        let mut check = || agent.ended_by_itself().unwrap_or_else(|end| panic!("{end}"));
        eventually("the development agent is ready", SETTLE_WITHIN, move || {
            check();
            async move {
                let nodes = client.json("/v1/nodes").await.map_err(|error| error.to_string())?;
                holds(nodes[0]["Status"] == "ready", || format!("the nodes are {nodes}"))
            }
        })
        .await;
    }

    /// Returns a client of the agent.
    pub fn client(&self) -> Client {
        self.agent.client()
    }

    /// Returns the agent's process.
    pub fn process(&self) -> &Agent {
        &self.agent
    }

    /// Returns the agent's log so far.
    pub fn log_text(&self) -> String {
        self.agent.log_text()
    }

    /// Returns the directory of its files and logs.
    pub fn root(&self) -> &Root {
        &self.root
    }
}
