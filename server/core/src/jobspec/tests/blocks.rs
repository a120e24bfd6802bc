//! Blocks of every kind and the resulting objects of the API.

use super::assert_holds;
use crate::jobspec::parse;
use serde_json::json;

#[test]
fn a_mesh_has_sidecars_proxies_and_gateways() {
    let text = r#"job "mesh" { group "g" {
      consul { namespace = "north" }
      network { mode = "bridge" hostname = "front" }
      service {
        name = "front" port = "9001" task = "web" id = "s1"
        connect {
          native = false
          sidecar_service {
            tags = ["a"] port = "mesh"
            proxy {
              local_service_address = "127.0.0.2" local_service_port = 9002
              upstreams { destination_name = "back" local_bind_port = 8080 datacenter = "dc2" local_bind_address = "127.0.0.3" }
              upstreams { destination_name = "db" local_bind_port = 8081 }
              expose { path { path = "/metrics" protocol = "http" local_path_port = 9001 listener_port = "metrics" } }
              config { envoy = { a = 1 } }
            }
          }
          sidecar_task {
            name = "proxy" driver = "exec" user = "u" kill_timeout = "9s" shutdown_delay = "1s" kill_signal = "SIGINT"
            config { command = "envoy" } env { A = "b" } meta { c = "d" }
            resources { cpu = 50 } logs { max_files = 2 }
          }
        }
      }
      service {
        name = "gate"
        connect { gateway {
          proxy {
            connect_timeout = "3s" envoy_gateway_no_default_bind = true envoy_gateway_bind_tagged_addresses = true
            envoy_gateway_bind_addresses "default" { address = "10.0.0.1" port = 443 }
            envoy_dns_discovery_type = "STRICT_DNS"
            config { x = 1 }
          }
          ingress {
            tls { enabled = true }
            listener { port = 8080 protocol = "http" service { name = "front" hosts = ["example.test"] } }
          }
          terminating { service { name = "legacy" ca_file = "ca" cert_file = "cert" key_file = "key" sni = "legacy.test" } }
        } }
      }
    } }"#;
    let job = parse(text).unwrap();
    let upstream = |name: &str, port: u16, datacenter: &str, address: &str| json!({"DestinationName": name, "LocalBindPort": port, "Datacenter": datacenter, "LocalBindAddress": address});
    let path =
        json!({"Path": "/metrics", "Protocol": "http", "LocalPathPort": 9001, "ListenerPort": "metrics"});
    let group = &job["TaskGroups"][0];
    assert_holds(
        group,
        &json!({"Consul": {"Namespace": "north"}, "Networks": [{"Hostname": "front"}]}),
        "group",
    );
    assert_holds(
        &group["Services"][0],
        &json!({
            "Id": "s1", "TaskName": "web",
            "Connect": {
                "Native": false, "Gateway": null,
                "SidecarService": {"Tags": ["a"], "Port": "mesh", "Proxy": {
                    "LocalServiceAddress": "127.0.0.2", "LocalServicePort": 9002,
                    "Upstreams": [upstream("back", 8080, "dc2", "127.0.0.3"), upstream("db", 8081, "", "")],
                    "ExposeConfig": {"Path": [path]},
                    "Config": {"envoy": [{"a": 1}]},
                }},
                "SidecarTask": {"Name": "proxy", "Driver": "exec", "User": "u", "KillTimeout": 9_000_000_000_i64,
                    "ShutdownDelay": 1_000_000_000, "KillSignal": "SIGINT", "Config": {"command": "envoy"},
                    "Env": {"A": "b"}, "Meta": {"c": "d"}, "Resources": {"CPU": 50}, "LogConfig": {"MaxFiles": 2}},
            },
        }),
        "service",
    );
    assert_holds(
        &group["Services"][1]["Connect"],
        &json!({"SidecarService": null, "Gateway": {
            "Proxy": {"ConnectTimeout": 3_000_000_000_i64, "EnvoyGatewayNoDefaultBind": true,
                "EnvoyGatewayBindTaggedAddresses": true, "EnvoyDNSDiscoveryType": "STRICT_DNS", "Config": {"x": 1},
                "EnvoyGatewayBindAddresses": {"default": {"Name": "default", "Address": "10.0.0.1", "Port": 443}}},
            "Ingress": {"TLS": {"Enabled": true}, "Listeners": [{"Port": 8080, "Protocol": "http",
                "Services": [{"Name": "front", "Hosts": ["example.test"]}]}]},
            "Terminating": {"Services": [{"Name": "legacy", "CAFile": "ca", "CertFile": "cert", "KeyFile": "key",
                "SNI": "legacy.test"}]},
        }}),
        "connect",
    );
}

#[test]
fn a_job_of_several_regions_names_them() {
    let text = r#"job "x" { multiregion {
      strategy { max_parallel = 1 on_failure = "fail_all" }
      region "west" { count = 2 datacenters = ["w1"] meta { a = "b" } }
      region "east" {}
    } }"#;
    assert_eq!(
        parse(text).unwrap()["Multiregion"],
        json!({
            "Strategy": {"MaxParallel": 1, "OnFailure": "fail_all"},
            "Regions": [
                {"Name": "west", "Count": 2, "Datacenters": ["w1"], "Meta": {"a": "b"}},
                {"Name": "east", "Count": null, "Datacenters": null, "Meta": null},
            ],
        })
    );
}

#[test]
fn scaling_is_of_a_groups_count_and_of_a_tasks_resources() {
    let text = r#"job "x" { group "g" {
      scaling { min = 1 max = 5 enabled = false policy { cooldown = "1m" check "load" { query = "q" } } }
      task "t" {
        scaling "cpu" { min = 100 max = 500 policy { x = 1 } }
        scaling "mem" { max = 1024 }
      }
    } }"#;
    let job = parse(text).unwrap();
    let group = &job["TaskGroups"][0];
    assert_eq!(
        group["Scaling"],
        json!({"ID": "", "Namespace": "", "Type": "horizontal", "Target": null, "Min": 1, "Max": 5, "Enabled": false,
            "Policy": {"cooldown": "1m", "check": [{"load": [{"query": "q"}]}]}, "CreateIndex": 0, "ModifyIndex": 0})
    );
    assert_holds(
        &group["Tasks"][0]["ScalingPolicies"],
        &json!([
            {"Type": "vertical_cpu", "Min": 100, "Max": 500, "Policy": {"x": 1}},
            {"Type": "vertical_mem", "Min": null, "Max": 1024, "Policy": null},
        ]),
        "policies",
    );
}

#[test]
fn volumes_are_mounted_and_plugins_named() {
    let text = r#"job "x" { group "g" {
      volume "data" { type = "csi" source = "s" read_only = true mount_options { fs_type = "ext4" mount_flags = ["noatime"] } }
      stop_after_client_disconnect = "1m"
      task "t" {
        csi_plugin { id = "p" type = "monolith" mount_dir = "/csi" }
        volume_mount { volume = "data" destination = "/d" read_only = true propagation_mode = "private" }
        artifact { source = "s" headers { X = "y" } }
        kind = "connect-proxy:x"
      }
    } }"#;
    let job = parse(text).unwrap();
    assert_holds(
        &job["TaskGroups"][0],
        &json!({
            "StopAfterClientDisconnect": 60_000_000_000_i64,
            "Volumes": {"data": {"Name": "data", "Type": "csi", "Source": "s", "ReadOnly": true,
                "MountOptions": {"FSType": "ext4", "MountFlags": ["noatime"]}}},
            "Tasks": [{
                "CSIPluginConfig": {"ID": "p", "Type": "monolith", "MountDir": "/csi"},
                "VolumeMounts": [{"Volume": "data", "Destination": "/d", "ReadOnly": true, "PropagationMode": "private"}],
                "Artifacts": [{"GetterHeaders": {"X": "y"}}],
                "Kind": "connect-proxy:x",
            }],
        }),
        "group",
    );
}
