//! Builds the environment of a task and resolves `${…}` in its strings.

use std::collections::BTreeMap;

use ordu_proto::state::{Allocation, NetworkResource, Node};

use crate::alloc::directory::TaskDirectories;
use crate::interpolate::interpolate;
use crate::spec::{GroupSpec, JobSpec, TaskSpec};

/// Variables of the agent's own environment that tasks do not inherit: they hold the operator's secrets.
const SECRET_VARIABLES: [&str; 7] = [
    "CONSUL_TOKEN",
    "CONSUL_HTTP_TOKEN",
    "VAULT_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "GOOGLE_APPLICATION_CREDENTIALS",
];
/// Variables for communication between the service manager and the agent; not passed to tasks.
const MANAGER_VARIABLES: [&str; 5] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM", "INVOCATION_ID"];
/// Variables with these prefixes configure the agent; not passed to tasks.
const OWN_PREFIXES: [&str; 2] = ["NOMAD_", "ORDU_"];
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Facts about the node that a task may use.
#[derive(Clone, Debug)]
pub(crate) struct NodeFacts {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) datacenter: String,
    pub(crate) class: String,
    pub(crate) region: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) meta: BTreeMap<String, String>,
    /// The part of the agent's environment that tasks inherit.
    pub(crate) inherited: BTreeMap<String, String>,
}

impl NodeFacts {
    /// Collects the facts of a fingerprinted node and of this process.
    pub(crate) fn new(node: &Node, id: String, region: &str) -> Self {
        Self {
            id,
            name: node.name.clone(),
            datacenter: node.datacenter.clone(),
            class: node.node_class.clone(),
            region: region.to_owned(),
            attributes: node.attributes.clone(),
            meta: node.meta.clone(),
            inherited: inherited(std::env::vars_os().filter_map(|(name, value)| {
                // Variables that are not UTF-8 cannot be sent to the supervisor and are dropped.
                Some((name.into_string().ok()?, value.into_string().ok()?))
            })),
        }
    }

    fn value_of(&self, key: &str) -> Option<String> {
        match key {
            "node.unique.id" => Some(self.id.clone()),
            "node.unique.name" => Some(self.name.clone()),
            "node.datacenter" => Some(self.datacenter.clone()),
            "node.class" => Some(self.class.clone()),
            "node.region" => Some(self.region.clone()),
            _ => match key.split_once('.')? {
                ("attr", name) => self.attributes.get(name).cloned(),
                ("meta", name) => self.meta.get(name).cloned(),
                _ => None,
            },
        }
    }
}

fn inherited(variables: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let is_own = |name: &str| {
        MANAGER_VARIABLES.contains(&name) || OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut kept: BTreeMap<String, String> =
        variables.filter(|(name, _)| !SECRET_VARIABLES.contains(&name.as_str()) && !is_own(name)).collect();
    kept.entry("PATH".into()).or_insert_with(|| DEFAULT_PATH.into());
    kept
}

/// A task's environment.
pub(crate) struct TaskEnvironment<'a> {
    node: &'a NodeFacts,
    /// The variables as the task gets them.
    pub(crate) variables: BTreeMap<String, String>,
}

/// The inputs of a task's environment.
pub(crate) struct EnvironmentSource<'n, 'a> {
    pub(crate) node: &'n NodeFacts,
    pub(crate) alloc: &'a Allocation,
    pub(crate) alloc_id: &'a str,
    pub(crate) job: &'a JobSpec,
    pub(crate) group: &'a GroupSpec,
    pub(crate) task: &'a TaskSpec,
    pub(crate) directories: &'a TaskDirectories,
}

impl<'n> TaskEnvironment<'n> {
    /// Builds the environment. The job's variables override Nomad's, which override the inherited ones.
    pub(crate) fn build(source: &EnvironmentSource<'n, '_>) -> Self {
        let mut environment = Self { node: source.node, variables: BTreeMap::new() };
        environment.set_identity(source);
        environment.set_ports(source);
        environment.set_meta(source);
        // The job's values may refer to Nomad's variables, so set those first.
        let own = |(name, value): (&String, &String)| (clean(name), environment.interpolate(value));
        let own: Vec<_> = source.task.env.iter().map(own).collect();
        environment.variables.extend(own);
        for (name, value) in &source.node.inherited {
            environment.variables.entry(name.clone()).or_insert_with(|| value.clone());
        }
        environment
    }

    /// Replaces references to the node's facts and to this environment's variables.
    pub(crate) fn interpolate(&self, text: &str) -> String {
        interpolate(text, |key| {
            let variable = key.strip_prefix("env.").unwrap_or(key);
            // Leave other variables to the task's shell unless the reference starts with `env.`.
            let is_ours = variable.starts_with("NOMAD_") || key.starts_with("env.");
            is_ours
                .then(|| self.variables.get(variable).cloned())
                .flatten()
                .or_else(|| self.node.value_of(key))
        })
    }

    fn set(&mut self, name: &str, value: impl ToString) {
        self.variables.insert(name.to_owned(), value.to_string());
    }

    fn set_identity(&mut self, source: &EnvironmentSource<'_, '_>) {
        let EnvironmentSource { node, alloc, job, task, directories, .. } = source;
        let granted = alloc.resources.as_ref().and_then(|resources| resources.tasks.get(&task.name));
        let cpu = granted.map_or(task.resources.cpu, |granted| granted.cpu_mhz);
        let memory = granted.map_or(task.resources.memory_mb, |granted| granted.memory_mb);
        self.set("NOMAD_ALLOC_ID", source.alloc_id);
        self.set("NOMAD_ALLOC_NAME", format!("{}.{}[{}]", alloc.job_id, alloc.task_group, alloc.name_index));
        self.set("NOMAD_ALLOC_INDEX", alloc.name_index);
        self.set("NOMAD_TASK_NAME", &task.name);
        self.set("NOMAD_GROUP_NAME", &alloc.task_group);
        self.set("NOMAD_JOB_ID", &alloc.job_id);
        self.set("NOMAD_JOB_NAME", if job.name.is_empty() { &alloc.job_id } else { &job.name });
        if !job.parent_id.is_empty() {
            self.set("NOMAD_JOB_PARENT_ID", &job.parent_id);
        }
        self.set("NOMAD_NAMESPACE", &alloc.namespace);
        self.set("NOMAD_DC", &node.datacenter);
        self.set("NOMAD_REGION", &node.region);
        self.set("NOMAD_CPU_LIMIT", cpu);
        self.set("NOMAD_MEMORY_LIMIT", memory);
        self.set("NOMAD_ALLOC_DIR", directories.shared.display());
        self.set("NOMAD_TASK_DIR", directories.local.display());
        self.set("NOMAD_SECRETS_DIR", directories.secrets.display());
    }

    fn set_ports(&mut self, source: &EnvironmentSource<'_, '_>) {
        let Some(resources) = &source.alloc.resources else { return };
        for network in &resources.networks {
            self.set_network(network, "");
        }
        for (name, granted) in &resources.tasks {
            for network in &granted.networks {
                if *name == source.task.name {
                    self.set_network(network, "");
                } else {
                    self.set_network(network, &format!("{}_", clean(name)));
                }
            }
        }
    }

    /// Sets the port variables: by label for the task's own ports, by task name and label for another task's.
    fn set_network(&mut self, network: &NetworkResource, of_task: &str) {
        for port in network.reserved_ports.iter().chain(&network.dynamic_ports) {
            let label = clean(&port.label);
            let host_address = match network.ip.contains(':') {
                true => format!("[{}]:{}", network.ip, port.value),
                false => format!("{}:{}", network.ip, port.value),
            };
            self.set(&format!("NOMAD_IP_{of_task}{label}"), &network.ip);
            self.set(&format!("NOMAD_PORT_{of_task}{label}"), port.value);
            self.set(&format!("NOMAD_ADDR_{of_task}{label}"), host_address);
            if of_task.is_empty() {
                self.set(&format!("NOMAD_HOST_PORT_{label}"), port.value);
            }
        }
    }

    /// Sets the meta variables, as written and in capitals. The task's meta overrides the group's, which overrides
    /// the job's.
    fn set_meta(&mut self, source: &EnvironmentSource<'_, '_>) {
        let mut combined = source.job.meta.clone();
        combined.extend(source.group.meta.clone());
        combined.extend(source.task.meta.clone());
        for (key, value) in combined {
            let value = self.interpolate(&value);
            self.set(&format!("NOMAD_META_{}", clean(&key)), &value);
            self.set(&format!("NOMAD_META_{}", clean(&key).to_uppercase()), &value);
        }
    }
}

/// Returns a variable name for shells: replaces every character but ASCII letters, digits and underscores by an
/// underscore. Dots stay, because some programs are configured through variables with dots.
fn clean(name: &str) -> String {
    let plain =
        |letter: char| if letter.is_ascii_alphanumeric() || "_.".contains(letter) { letter } else { '_' };
    name.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ordu_proto::state::{AllocatedResources, AllocatedTaskResources, Port};

    use super::*;

    fn facts() -> NodeFacts {
        NodeFacts {
            id: "node-id".into(),
            name: "n1".into(),
            datacenter: "dc1".into(),
            class: "big".into(),
            region: "global".into(),
            attributes: BTreeMap::from([("kernel.name".into(), "linux".into())]),
            meta: BTreeMap::from([("rack".into(), "r1".into())]),
            inherited: BTreeMap::from([("PATH".into(), "/bin".into()), ("HOME".into(), "/root".into())]),
        }
    }

    fn network(label: &str, value: i32) -> NetworkResource {
        let port = Port { label: label.into(), value, ..Port::default() };
        NetworkResource { ip: "10.0.0.1".into(), dynamic_ports: vec![port], ..NetworkResource::default() }
    }

    fn allocation() -> Allocation {
        let task = |label, value| AllocatedTaskResources {
            cpu_mhz: 20,
            memory_mb: 10,
            networks: vec![network(label, value)],
        };
        let tasks =
            BTreeMap::from([("t".into(), task("http", 20001)), ("side-car".into(), task("db", 20002))]);
        Allocation {
            namespace: "default".into(),
            job_id: "around".into(),
            task_group: "g".into(),
            name_index: 3,
            resources: Some(AllocatedResources { tasks, ..AllocatedResources::default() }),
            ..Allocation::default()
        }
    }

    fn with_environment(check: impl FnOnce(&TaskEnvironment<'_>)) {
        let job = JobSpec::parse(
            br#"{"ID":"around","Name":"round","ParentID":"up","Meta":{"a":"job","b-c":"${node.class}"},
            "TaskGroups":[{"Name":"g","Meta":{"a":"group"},"Tasks":[{"Name":"t","Env":{
            "MINE":"${NOMAD_JOB_NAME}-${node.datacenter}","PATH":"/mine","KEEP":"${HOME}",
            "FROM_META":"${NOMAD_META_a}"}}]}]}"#,
        )
        .unwrap();
        let group = &job.task_groups[0];
        let facts = facts();
        let directories = TaskDirectories::new(Path::new("/data/alloc/id"), "t");
        check(&TaskEnvironment::build(&EnvironmentSource {
            node: &facts,
            alloc: &allocation(),
            alloc_id: "id",
            job: &job,
            group,
            task: &group.tasks[0],
            directories: &directories,
        }));
    }

    #[test]
    fn a_task_finds_the_variables_that_nomad_gives() {
        let expected = [
            ("FROM_META", "group"),
            ("HOME", "/root"),
            ("KEEP", "${HOME}"),
            ("MINE", "round-dc1"),
            ("NOMAD_ADDR_http", "10.0.0.1:20001"),
            ("NOMAD_ADDR_side_car_db", "10.0.0.1:20002"),
            ("NOMAD_ALLOC_DIR", "/data/alloc/id/alloc"),
            ("NOMAD_ALLOC_ID", "id"),
            ("NOMAD_ALLOC_INDEX", "3"),
            ("NOMAD_ALLOC_NAME", "around.g[3]"),
            ("NOMAD_CPU_LIMIT", "20"),
            ("NOMAD_DC", "dc1"),
            ("NOMAD_GROUP_NAME", "g"),
            ("NOMAD_HOST_PORT_http", "20001"),
            ("NOMAD_IP_http", "10.0.0.1"),
            ("NOMAD_IP_side_car_db", "10.0.0.1"),
            ("NOMAD_JOB_ID", "around"),
            ("NOMAD_JOB_NAME", "round"),
            ("NOMAD_JOB_PARENT_ID", "up"),
            ("NOMAD_MEMORY_LIMIT", "10"),
            ("NOMAD_META_A", "group"),
            ("NOMAD_META_B_C", "big"),
            ("NOMAD_META_a", "group"),
            ("NOMAD_META_b_c", "big"),
            ("NOMAD_NAMESPACE", "default"),
            ("NOMAD_PORT_http", "20001"),
            ("NOMAD_PORT_side_car_db", "20002"),
            ("NOMAD_REGION", "global"),
            ("NOMAD_SECRETS_DIR", "/data/alloc/id/t/secrets"),
            ("NOMAD_TASK_DIR", "/data/alloc/id/t/local"),
            ("NOMAD_TASK_NAME", "t"),
            ("PATH", "/mine"),
        ];
        with_environment(|environment| {
            let found: Vec<_> =
                environment.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(found, expected);
        });
    }

    #[test]
    fn strings_may_name_the_node_and_the_environment() {
        let cases = [
            ("${node.unique.id} ${node.unique.name} ${node.class} ${node.region}", "node-id n1 big global"),
            ("${attr.kernel.name} ${meta.rack}", "linux r1"),
            ("${NOMAD_TASK_DIR}/x", "/data/alloc/id/t/local/x"),
            ("${env.MINE} ${env[\"MINE\"]}", "round-dc1 round-dc1"),
            ("${MINE} ${attr.none} ${node.none}", "${MINE} ${attr.none} ${node.none}"),
        ];
        with_environment(|environment| {
            for (text, expected) in cases {
                assert_eq!(environment.interpolate(text), expected, "{text}");
            }
        });
    }

    #[test]
    fn the_operators_secrets_are_not_inherited() {
        let own = ["VAULT_TOKEN", "NOMAD_TOKEN", "ORDU_ANY", "AWS_SECRET_ACCESS_KEY", "LANG"];
        let kept = inherited(own.into_iter().map(|name| (name.to_owned(), "x".to_owned())));
        assert_eq!(kept.keys().map(String::as_str).collect::<Vec<_>>(), ["LANG", "PATH"]);
    }
}
