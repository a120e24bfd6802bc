//! `ordu node status`: the nodes, or one of them.

use super::{CommandError, DONE, yes_or_no};
use crate::arguments::ApiArgs;
use crate::output::{Screen, ago};
use crate::resolve;
use clap::Args;
use ordu_client::{Client, Node, NodeStub, Query};
use serde_json::Value as Json;

/// The arguments of `ordu node status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The beginning of the node's id; all nodes unless given
    node: Option<String>,
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    /// Print ids in full, and all attributes
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) async fn execute(arguments: &StatusArgs) -> Result<u8, CommandError> {
    run(arguments, &mut Screen::terminal(arguments.verbose)).await
}

async fn run(arguments: &StatusArgs, screen: &mut Screen) -> Result<u8, CommandError> {
    let client = arguments.api.client()?;
    let Some(typed) = &arguments.node else {
        list(arguments, &client, screen).await?;
        return Ok(DONE);
    };
    let id = resolve::id(&client, "/v1/nodes", "node", typed).await?;
    if arguments.json {
        screen.json(&client.get::<Json>(&format!("/v1/node/{id}"), &Query::default()).await?.value);
        return Ok(DONE);
    }
    let node = client.node(&id, &Query::default()).await?.value;
    facts(screen, &node);
    events(screen, &node);
    allocations(&client, screen, &node.id).await?;
    for (title, map) in [("Attributes", &node.attributes), ("Meta", &node.meta)] {
        if arguments.verbose && !map.is_empty() {
            screen.title(title);
            screen.facts(map.iter().map(|(key, value)| (key.as_str(), value.clone())));
        }
    }
    Ok(DONE)
}

async fn list(arguments: &StatusArgs, client: &Client, screen: &mut Screen) -> Result<(), CommandError> {
    if arguments.json {
        screen.json(&client.get::<Json>("/v1/nodes", &Query::default()).await?.value);
        return Ok(());
    }
    let nodes = client.nodes(&Query::default()).await?.value;
    if nodes.is_empty() {
        screen.line("No nodes registered");
        return Ok(());
    }
    let row = |node: NodeStub| {
        let class = if node.node_class.is_empty() { "<none>".to_owned() } else { node.node_class };
        let id = screen.id(&node.id);
        [
            id,
            node.datacenter,
            node.name,
            class,
            yes_or_no(node.drain),
            node.scheduling_eligibility,
            node.status,
        ]
    };
    let rows: Vec<[String; 7]> = nodes.into_iter().map(row).collect();
    screen.table(["ID", "DC", "Name", "Class", "Drain", "Eligibility", "Status"], rows);
    Ok(())
}

fn facts(screen: &mut Screen, node: &Node) {
    let healthy = node.drivers.iter().filter(|(_, driver)| driver.detected && driver.healthy);
    let drivers: Vec<&str> = healthy.map(|(name, _)| name.as_str()).collect();
    let resources = node.node_resources.clone().unwrap_or_default();
    let mut facts = vec![
        ("ID", screen.id(&node.id)),
        ("Name", node.name.clone()),
        ("Class", node.node_class.clone()),
        ("DC", node.datacenter.clone()),
        ("Drain", yes_or_no(node.drain)),
        ("Eligibility", node.scheduling_eligibility.clone()),
        ("Status", node.status.clone()),
        ("Drivers", drivers.join(",")),
        ("CPU", format!("{} MHz", resources.cpu_mhz())),
        ("Memory", format!("{} MiB", resources.memory_mb())),
        ("Disk", format!("{} MiB", resources.disk_mb())),
    ];
    facts.extend(supervisor(node).map(|text| ("Supervisor", text)));
    screen.facts(facts);
}

/// Describes the supervisor of the node's tasks, if the node reports it. After an upgrade it may be another
/// program than the agent.
fn supervisor(node: &Node) -> Option<String> {
    let version = node.attributes.get("ordu.supervisor.version")?;
    let is_current = node.attributes.get("ordu.supervisor.current").is_none_or(|current| current == "true");
    Some(match is_current {
        true => version.clone(),
        false => format!("{version} (another program than the agent: started before an upgrade)"),
    })
}

fn events(screen: &mut Screen, node: &Node) {
    screen.title("Node Events");
    let row = |event: &ordu_client::NodeEvent| {
        [event.timestamp.clone(), event.subsystem.clone(), event.message.clone()]
    };
    screen.table(["Time", "Subsystem", "Message"], node.events.iter().rev().map(row));
}

async fn allocations(client: &Client, screen: &mut Screen, node_id: &str) -> Result<(), CommandError> {
    let allocations = client.allocations(&Query::default()).await?.value;
    let rows: Vec<[String; 8]> = allocations
        .into_iter()
        .filter(|allocation| allocation.node_id == node_id)
        .map(|one| {
            [
                screen.id(&one.id),
                one.job_id,
                one.task_group,
                one.job_version.to_string(),
                one.desired_status,
                one.client_status,
                ago(one.create_time),
                ago(one.modify_time),
            ]
        })
        .collect();
    screen.title("Allocations");
    if rows.is_empty() {
        screen.line("No allocations placed");
        return Ok(());
    }
    screen.table(["ID", "Job ID", "Task Group", "Version", "Desired", "Status", "Created", "Modified"], rows);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, NodeCommand, parse};
    use crate::testing::{Answers, serve};
    use serde_json::json;

    async fn shown(line: &str) -> Result<String, String> {
        let id = "abcd1234-0000-0000-0000-000000000001";
        let answers = Answers::new()
            .on("GET /v1/nodes", [json!([{"ID": id, "Datacenter": "dc1", "Name": "n1", "Status": "ready", "SchedulingEligibility": "eligible"}])])
            .on(
                &format!("GET /v1/node/{id}"),
                [json!({"ID": id, "Name": "n1", "Status": "ready", "NodeResources": {"Cpu": {"CpuShares": 4000}, "Memory": {"MemoryMB": 2048}},
                    "Drivers": {"raw_exec": {"Detected": true, "Healthy": true}, "docker": {"Detected": false}},
                    "Attributes": {"kernel.name": "linux", "ordu.supervisor.version": "0.1.0", "ordu.supervisor.current": "false"}, "Events": [{"Message": "Node registered", "Subsystem": "Cluster", "Timestamp": "t"}]})],
            )
            .on("GET /v1/allocations", [json!([{"ID": "aaaaaaaa-1", "NodeID": id, "JobID": "j"}, {"ID": "bbbbbbbb-1", "NodeID": "x"}])]);
        let (address, _) = serve(answers).await;
        let line = format!("ordu node status -address={address} {line}");
        let cli = parse(line.split_whitespace().map(Into::into)).unwrap();
        let Command::Node(NodeCommand::Status(arguments)) = cli.command else { panic!("{line}") };
        let mut screen = Screen::captured(arguments.verbose);
        match run(&arguments, &mut screen).await {
            Ok(_) => Ok(screen.text().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[tokio::test]
    async fn nodes_are_listed_in_columns() {
        assert_eq!(
            shown("").await.unwrap(),
            "ID        DC   Name  Class   Drain  Eligibility  Status\nabcd1234  dc1  n1    <none>  false  eligible     ready\n"
        );
    }

    #[tokio::test]
    async fn a_node_is_found_by_the_beginning_of_its_id() {
        let text = shown("-verbose abcd1").await.unwrap();
        for wanted in [
            "Drivers     = raw_exec\n",
            "CPU         = 4000 MHz\n",
            "Node registered",
            "aaaaaaaa-1",
            "kernel.name             = linux",
            "Supervisor  = 0.1.0 (another program than the agent: started before an upgrade)\n",
        ] {
            assert!(text.contains(wanted), "{wanted:?} is missing in:\n{text}");
        }
        assert!(!text.contains("bbbbbbbb"), "{text}");
        assert_eq!(shown("ffff").await.unwrap_err(), "No node with an id that begins with \"ffff\"");
        assert!(shown("x").await.unwrap_err().contains("is not the beginning of the id of node"));
    }
}
