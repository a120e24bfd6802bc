//! The scheduler's form of a job, and which changes make an update destructive.

use ordu_proto::api::job::{
    Affinity, Constraint, EphemeralDisk, NetworkResource, Port, Resources, RestartPolicy, Service, Task,
    Template,
};

use super::*;

fn spec() -> JobSpec {
    let task = Task {
        name: "web".into(),
        driver: "raw_exec".into(),
        config: [("command".into(), "/bin/sleep".into())].into(),
        resources: Some(Resources { cpu: Some(200), memory_mb: Some(64), ..Default::default() }),
        ..Default::default()
    };
    let side = Task { name: "side".into(), driver: "docker".into(), ..Default::default() };
    let group = TaskGroup { name: "g".into(), count: Some(3), tasks: vec![task, side], ..Default::default() };
    JobSpec {
        id: "j".into(),
        datacenters: vec!["dc1".into()],
        task_groups: vec![group],
        ..Default::default()
    }
}

fn read(spec: &JobSpec) -> ScheduledJob {
    ScheduledJob::from_spec(&Job { id: "j".into(), r#type: "service".into(), ..Default::default() }, spec)
}

#[test]
fn a_group_asks_for_the_sum_of_its_tasks_and_its_disk() {
    let job = read(&spec());
    let group = &job.groups[0];
    assert_eq!(
        group.ask,
        Capacity { cpu_mhz: 300, memory_mb: 364, disk_mb: 300 },
        "defaults where nothing is said"
    );
    assert_eq!(group.drivers, ["docker", "raw_exec"]);
    assert_eq!(group.count, 3);
    assert!(group.ports.is_none());
}

#[test]
fn constraints_on_other_allocations_are_kept_apart() {
    let constraint = |left: &str, operand: &str, right: &str| Constraint {
        left: left.into(),
        operand: operand.into(),
        right: right.into(),
    };
    let mut spec = spec();
    spec.constraints = vec![constraint("", "distinct_hosts", "true"), constraint("${attr.a}", "=", "b")];
    spec.task_groups[0].tasks[0].constraints = vec![
        constraint("${meta.rack}", "distinct_property", ""),
        constraint("${meta.rack}", "distinct_property", "2"),
        constraint("${meta.rack}", "distinct_property", "many"),
        constraint("", "distinct_hosts", "false"),
    ];
    let job = read(&spec);
    assert!(job.exclusions.distinct_hosts && !job.groups[0].exclusions.distinct_hosts);
    assert_eq!((job.constraints.of_classes.len(), job.constraints.of_nodes.len()), (1, 0));
    let limits: Vec<u64> = job.groups[0].exclusions.distinct_properties.iter().map(|it| it.limit).collect();
    assert_eq!(limits, [1, 2, 0]);
}

#[test]
fn port_needs_are_those_of_the_group_and_its_tasks() {
    let port = |value| Port { value, ..Default::default() };
    let mut spec = spec();
    let reserved_ports = vec![port(80), port(70_000)];
    spec.task_groups[0].networks = vec![NetworkResource { reserved_ports, ..Default::default() }];
    let network = NetworkResource {
        reserved_ports: vec![port(80)],
        dynamic_ports: vec![port(0)],
        ..Default::default()
    };
    spec.task_groups[0].tasks[0].resources.as_mut().unwrap().networks = vec![network];
    let needs = read(&spec).groups[0].ports.clone().unwrap();
    let numbers: Vec<Option<u16>> = needs.fixed.iter().map(|port| port.number).collect();
    assert_eq!((numbers, needs.dynamic), (vec![Some(80), None, None], 1));
}

#[test]
fn a_negative_count_or_quantity_is_none() {
    let mut spec = spec();
    spec.task_groups[0].count = Some(-5);
    spec.task_groups[0].tasks[0].resources =
        Some(Resources { cpu: Some(i64::MAX), memory_mb: Some(-1), ..Default::default() });
    spec.task_groups[0].tasks[1].resources =
        Some(Resources { cpu: Some(i64::MAX), memory_mb: Some(i64::MIN), ..Default::default() });
    let job = read(&spec);
    assert_eq!(job.groups[0].count, 0);
    assert_eq!(job.groups[0].ask.memory_mb, 0);
    assert!(job.groups[0].ask.cpu_mhz > 0, "a sum that is too great is cut, not wrapped");
}

type Change = fn(&mut JobSpec);

fn task(spec: &mut JobSpec) -> &mut Task {
    &mut spec.task_groups[0].tasks[0]
}

#[test]
fn what_a_running_allocation_cannot_change_makes_an_update_destructive() {
    let changes: [(&str, Change); 15] = [
        ("task added", |spec| {
            spec.task_groups[0].tasks.push(Task { name: "new".into(), ..Default::default() })
        }),
        ("task renamed", |spec| task(spec).name = "other".into()),
        ("driver", |spec| task(spec).driver = "docker".into()),
        ("user", |spec| task(spec).user = "nobody".into()),
        ("config", |spec| drop(task(spec).config.insert("args".into(), vec!["1"].into()))),
        ("environment", |spec| drop(task(spec).env.insert("K".into(), "v".into()))),
        ("template", |spec| task(spec).templates.push(Template::default())),
        ("job meta", |spec| drop(spec.meta.insert("a".into(), "1".into()))),
        ("group meta", |spec| drop(spec.task_groups[0].meta.insert("a".into(), "1".into()))),
        ("task meta", |spec| drop(task(spec).meta.insert("a".into(), "1".into()))),
        ("cpu", |spec| task(spec).resources.as_mut().unwrap().cpu = Some(201)),
        ("memory", |spec| task(spec).resources.as_mut().unwrap().memory_mb = Some(65)),
        ("task ports", |spec| {
            let network = NetworkResource { dynamic_ports: vec![Port::default()], ..Default::default() };
            task(spec).resources.as_mut().unwrap().networks.push(network);
        }),
        ("group network", |spec| spec.task_groups[0].networks.push(NetworkResource::default())),
        ("disk", |spec| {
            spec.task_groups[0].ephemeral_disk =
                Some(EphemeralDisk { size_mb: Some(1), ..Default::default() });
        }),
    ];
    let before = read(&spec()).groups[0].shape;
    for (name, change) in changes {
        let mut changed = spec();
        change(&mut changed);
        assert_ne!(read(&changed).groups[0].shape, before, "{name}");
    }
}

#[test]
fn everything_else_is_taken_in_place() {
    let changes: [(&str, Change); 9] = [
        ("count", |spec| spec.task_groups[0].count = Some(9)),
        ("priority", |spec| spec.priority = Some(90)),
        ("datacenters", |spec| spec.datacenters.push("dc2".into())),
        ("constraint", |spec| spec.constraints.push(Constraint::default())),
        ("affinity", |spec| spec.affinities.push(Affinity::default())),
        ("services", |spec| task(spec).services.push(Service::default())),
        ("kill time-out", |spec| task(spec).kill_timeout = Some(1)),
        ("restart policy", |spec| spec.task_groups[0].restart_policy = Some(RestartPolicy::default())),
        ("order of tasks", |spec| spec.task_groups[0].tasks.reverse()),
    ];
    let before = read(&spec()).groups[0].shape;
    for (name, change) in changes {
        let mut changed = spec();
        change(&mut changed);
        assert_eq!(read(&changed).groups[0].shape, before, "{name}");
    }
}
