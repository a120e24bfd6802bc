//! Schema of service mesh blocks: sidecars, their proxies and upstreams, and gateways.

use super::task::{LOGS, RESOURCES};
use super::{Absent, Kind, Schema, block, duration, field, flag, integer, many, meta, one, text, texts};

pub(super) static CONNECT: Schema = block(
    "connect block",
    &[
        flag("native", "Native").or(Absent::False),
        one("sidecar_service", "SidecarService", &SIDECAR_SERVICE),
        one("sidecar_task", "SidecarTask", &SIDECAR_TASK),
        one("gateway", "Gateway", &GATEWAY),
    ],
);

static SIDECAR_SERVICE: Schema = block(
    "sidecar_service block",
    &[texts("tags", "Tags"), text("port", "Port").or(Absent::Empty), one("proxy", "Proxy", &PROXY)],
);

static PROXY: Schema = block(
    "proxy block",
    &[
        text("local_service_address", "LocalServiceAddress").or(Absent::Empty),
        integer("local_service_port", "LocalServicePort").or(Absent::Zero),
        many("upstreams", "Upstreams", &UPSTREAM),
        one("expose", "ExposeConfig", &EXPOSE),
        field("config", "Config", Kind::Free),
    ],
);

static UPSTREAM: Schema = block(
    "upstreams block",
    &[
        text("destination_name", "DestinationName").or(Absent::Empty),
        integer("local_bind_port", "LocalBindPort").or(Absent::Zero),
        text("datacenter", "Datacenter").or(Absent::Empty),
        text("local_bind_address", "LocalBindAddress").or(Absent::Empty),
    ],
);

static EXPOSE: Schema = block("expose block", &[many("path", "Path", &EXPOSED_PATH)]);

static EXPOSED_PATH: Schema = block(
    "path block",
    &[
        text("path", "Path").or(Absent::Empty),
        text("protocol", "Protocol").or(Absent::Empty),
        integer("local_path_port", "LocalPathPort").or(Absent::Zero),
        text("listener_port", "ListenerPort").or(Absent::Empty),
    ],
);

static SIDECAR_TASK: Schema = block(
    "sidecar_task block",
    &[
        text("name", "Name").or(Absent::Empty),
        text("driver", "Driver").or(Absent::Empty),
        text("user", "User").or(Absent::Empty),
        field("config", "Config", Kind::Free),
        field("env", "Env", Kind::TextMap),
        one("resources", "Resources", &RESOURCES).filled(Absent::Object),
        meta(),
        duration("kill_timeout", "KillTimeout").filled(Absent::Integer(super::task::KILL_TIMEOUT_NS)),
        one("logs", "LogConfig", &LOGS).filled(Absent::Object),
        duration("shutdown_delay", "ShutdownDelay").filled(Absent::Zero),
        text("kill_signal", "KillSignal").or(Absent::Empty),
    ],
);

static GATEWAY: Schema = block(
    "gateway block",
    &[
        one("proxy", "Proxy", &GATEWAY_PROXY),
        one("ingress", "Ingress", &INGRESS),
        one("terminating", "Terminating", &TERMINATING),
    ],
);

/// Default connection timeout of a gateway's proxy, nanoseconds.
const CONNECT_TIMEOUT_NS: i64 = 5_000_000_000;

static GATEWAY_PROXY: Schema = block(
    "proxy block",
    &[
        duration("connect_timeout", "ConnectTimeout").filled(Absent::Integer(CONNECT_TIMEOUT_NS)),
        flag("envoy_gateway_bind_tagged_addresses", "EnvoyGatewayBindTaggedAddresses").or(Absent::False),
        field("envoy_gateway_bind_addresses", "EnvoyGatewayBindAddresses", Kind::ByName(&BIND_ADDRESS)),
        flag("envoy_gateway_no_default_bind", "EnvoyGatewayNoDefaultBind").or(Absent::False),
        text("envoy_dns_discovery_type", "EnvoyDNSDiscoveryType").or(Absent::Empty),
        field("config", "Config", Kind::Free),
    ],
);

static BIND_ADDRESS: Schema = Schema {
    what: "envoy_gateway_bind_addresses",
    label: Some("Name"),
    fields: &[text("address", "Address").or(Absent::Empty), integer("port", "Port").or(Absent::Zero)],
    constants: &[],
    finish: None,
};

static INGRESS: Schema =
    block("ingress block", &[one("tls", "TLS", &TLS), many("listener", "Listeners", &LISTENER)]);

static TLS: Schema = block("tls block", &[flag("enabled", "Enabled").or(Absent::False)]);

static LISTENER: Schema = block(
    "listener block",
    &[
        integer("port", "Port").or(Absent::Zero),
        text("protocol", "Protocol").or(Absent::Empty).filled(Absent::Text("tcp")),
        many("service", "Services", &INGRESS_SERVICE),
    ],
);

static INGRESS_SERVICE: Schema =
    block("service block", &[text("name", "Name").or(Absent::Empty), texts("hosts", "Hosts")]);

static TERMINATING: Schema = block("terminating block", &[many("service", "Services", &LINKED_SERVICE)]);

static LINKED_SERVICE: Schema = block(
    "service block",
    &[
        text("name", "Name").or(Absent::Empty),
        text("ca_file", "CAFile").or(Absent::Empty),
        text("cert_file", "CertFile").or(Absent::Empty),
        text("key_file", "KeyFile").or(Absent::Empty),
        text("sni", "SNI").or(Absent::Empty),
    ],
);
