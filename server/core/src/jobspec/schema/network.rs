//! Schema of networks, their ports and their DNS settings.

use super::super::read::Object;
use super::{Absent, Schema, block, integer, many, one, text, texts};
use crate::hcl::{Error, Position};
use serde_json::Value as Json;

pub(super) static NETWORK: Schema = Schema {
    what: "network block",
    label: None,
    fields: &[
        text("mode", "Mode").or(Absent::Empty),
        text("device", "Device").or(Absent::Empty),
        text("cidr", "CIDR").or(Absent::Empty),
        text("ip", "IP").or(Absent::Empty),
        text("hostname", "Hostname").or(Absent::Omitted),
        integer("mbits", "MBits"),
        one("dns", "DNS", &DNS),
        many("port", "DynamicPorts", &PORT),
    ],
    constants: &[super::constant("ReservedPorts", Absent::Null, Absent::Omitted)],
    finish: Some(part_ports),
};

static DNS: Schema = block(
    "dns block",
    &[texts("servers", "Servers"), texts("searches", "Searches"), texts("options", "Options")],
);

static PORT: Schema = Schema {
    what: "port",
    label: Some("Label"),
    fields: &[
        integer("static", "Value").or(Absent::Zero),
        integer("to", "To").or(Absent::Zero),
        text("host_network", "HostNetwork").or(Absent::Empty),
    ],
    constants: &[],
    finish: None,
};

/// Splits the ports: those with a number above zero are reserved, the others dynamic.
fn part_ports(network: &mut Object, _: Position) -> Result<(), Error> {
    let Some(Json::Array(ports)) = network.remove("DynamicPorts") else {
        network.insert("DynamicPorts".to_owned(), Json::Null);
        return Ok(());
    };
    let (reserved, dynamic): (Vec<Json>, Vec<Json>) =
        ports.into_iter().partition(|port| port["Value"].as_i64() > Some(0));
    let list = |ports: Vec<Json>| if ports.is_empty() { Json::Null } else { Json::Array(ports) };
    network.insert("ReservedPorts".to_owned(), list(reserved));
    network.insert("DynamicPorts".to_owned(), list(dynamic));
    Ok(())
}
