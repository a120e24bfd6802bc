//! Jobspecs with variables, locals, loops and expressions.

use super::assert_holds;
use crate::jobspec::{Variables, parse, parse_document};
use serde_json::json;

const FLEET: &str = r#"
variable "image" {
  type        = string
  description = "what runs"
}

variable "ports" {
  type    = map(number)
  default = { http = 8080, admin = 0 }
}

variable "tiers" {
  type = list(object({ name = string, count = optional(number) }))
  default = [{ name = "front", count = 2 }, { name = "back" }]
}

locals {
  tags = [for name, port in var.ports : "${name}-${port}" if port > 0]
  team = upper("ops")
}

job "fleet" {
  datacenters = [for zone in ["a", "b"] : "dc-${zone}"]
  meta        = { team = local.team, nothing = null }

  dynamic "group" {
    for_each = var.tiers
    iterator = tier
    labels   = [tier.value.name]

    content {
      count = tier.value.count

      network {
        dynamic "port" {
          for_each = var.ports
          labels   = [port.key]
          content {
            static = port.value
          }
        }
      }

      task "server" {
        driver = "docker"

        config {
          image = var.image
          args  = ["-port", "${NOMAD_PORT_http}", "-tier", tier.value.name]
          ports = keys(var.ports)
        }

        env = merge({ TIER = tier.value.name }, { NODE = "${node.unique.name}", MEMORY = 32 * 1024 })

        template {
          destination = "local/server.conf"
          data        = <<-EOT
            %{ for tag in local.tags ~}
            tag ${tag}
            %{ endfor ~}
            class {{ env "node.class" }} ${meta.rack}
          EOT
        }

        service {
          name = "${tier.value.name}-http"
          tags = local.tags
          port = "http"
        }

        resources {
          cpu    = max(100, 250 / 2)
          memory = tier.key == 0 ? 256 : 128
        }
      }
    }
  }
}
"#;

#[test]
fn a_fleet_is_made_from_its_variables() {
    let variables = Variables::from_iter([("image", "web:1")]);
    let job = parse_document(FLEET, &variables, false).unwrap();
    let port = |label: &str, value: u16| json!({"Label": label, "Value": value, "To": 0, "HostNetwork": ""});
    let group = |name: &str, count: serde_json::Value, memory: u16| {
        json!({
            "Name": name,
            "Count": count,
            "Networks": [{"DynamicPorts": [port("admin", 0)], "ReservedPorts": [port("http", 8080)]}],
            "Tasks": [{
                "Name": "server",
                "Config": {"image": "web:1", "ports": ["admin", "http"], "args": ["-port", "${NOMAD_PORT_http}", "-tier", name]},
                "Env": {"TIER": name, "NODE": "${node.unique.name}", "MEMORY": "32768"},
                "Templates": [{"EmbeddedTmpl": "tag http-8080\nclass {{ env \"node.class\" }} ${meta.rack}\n"}],
                "Services": [{"Name": format!("{name}-http"), "Tags": ["http-8080"]}],
                "Resources": {"CPU": 125, "MemoryMB": memory},
            }],
        })
    };
    assert_holds(
        &job,
        &json!({
            "ID": "fleet",
            "Datacenters": ["dc-a", "dc-b"],
            "Meta": {"team": "OPS"},
            "TaskGroups": [group("front", json!(2), 256), group("back", json!(null), 128)],
        }),
        "job",
    );
    assert_eq!(job["Meta"].as_object().map(serde_json::Map::len), Some(1));
}

#[test]
fn what_a_document_wants_is_told_by_its_line() {
    let error = parse(FLEET).unwrap_err();
    assert_eq!((error.line, error.column), (2, 1));
    assert_eq!(error.text, "the variable `image` has no default, and no value is given for it");
    let variables = Variables::from_iter([("image", "x"), ("prots", "{}")]);
    let error = parse_document(FLEET, &variables, false).unwrap_err();
    assert!(error.text.ends_with("`prots`, which is not declared; is `ports` meant?"), "{error}");
}

#[test]
fn a_key_that_is_null_is_not_written() {
    let text =
        "job \"x\" {\n  type = null\n  priority = true ? null : 1\n  meta { a = null }\n  update = null\n}";
    let job = parse(text).unwrap();
    assert_holds(&job, &json!({"Type": null, "Priority": null, "Meta": {}, "Update": null}), "job");
}

#[test]
fn a_value_of_the_wrong_type_is_told_at_its_place() {
    let text = "locals {\n  many = [1]\n}\njob \"x\" {\n  priority = local.many\n}";
    let error = parse(text).unwrap_err();
    assert_eq!((error.line, error.column), (5, 14));
    assert_eq!(error.text, "`priority` has to be a whole number, and is a list");
}
