//! Fingerprints this node: collects its machine, network and driver attributes under the names that job constraints
//! use.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Once;

use nix::sys::statvfs::statvfs;
use nix::sys::utsname::uname;
use ordu_proto::state::{DriverInfo, NetworkResource, Node, NodeResources};

use crate::identity::Identity;
use crate::network;
use crate::options::AgentOptions;
use crate::supervisor::now_ns;

/// The driver that this agent supports.
pub(crate) const RAW_EXEC: &str = "raw_exec";
/// Assumed frequency if neither kernel nor processor reports one, as in some virtual machines.
const CORE_MHZ_UNKNOWN: i64 = 1000;
const BYTES_FREE: &str = "unique.storage.bytesfree";
/// The signals that tasks may be sent; an attribute for constraints.
const SIGNALS: &str = "SIGABRT,SIGALRM,SIGBUS,SIGCHLD,SIGCONT,SIGFPE,SIGHUP,SIGILL,SIGINT,SIGIO,SIGKILL,SIGPIPE,\
                       SIGPROF,SIGQUIT,SIGSEGV,SIGSTOP,SIGSYS,SIGTERM,SIGTRAP,SIGTSTP,SIGTTIN,SIGTTOU,SIGURG,\
                       SIGUSR1,SIGUSR2,SIGWINCH,SIGXCPU,SIGXFSZ";

/// Returns the node as it registers: without status, indexes and fields that servers derive.
pub(crate) fn node(options: &AgentOptions, identity: &Identity, alloc_dir: &Path) -> Node {
    let mut attributes = BTreeMap::new();
    let hostname =
        nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let cpu_mhz = cpu(&mut attributes, options.cpu_total_compute_mhz);
    let memory_mb = memory(&mut attributes, options.memory_total_mb);
    let disk_mb = storage(&mut attributes, alloc_dir, options.disk_free_mb);
    let networks = network_attributes(&mut attributes, options.network_interface.as_deref());
    system(&mut attributes);
    attributes.insert("unique.hostname".into(), hostname.clone());
    attributes.insert("nomad.version".into(), options.version.clone());
    attributes.insert("nomad.revision".into(), options.revision.clone());
    attributes.insert("ordu.version".into(), options.revision.clone());
    attributes.insert("os.signals".into(), SIGNALS.into());
    if options.raw_exec_enabled {
        attributes.insert("driver.raw_exec".into(), "1".into());
    }
    Node {
        id: identity.id.as_bytes().to_vec(),
        name: options.name.clone().unwrap_or(hostname),
        datacenter: options.datacenter.clone(),
        node_class: options.node_class.clone(),
        http_addr: options.http_addr.clone(),
        attributes,
        meta: options.meta.clone(),
        resources: Some(NodeResources { cpu_mhz, memory_mb, disk_mb, networks }),
        reserved: Some(options.reserved.clone()),
        drivers: BTreeMap::from([(RAW_EXEC.to_owned(), raw_exec(options.raw_exec_enabled))]),
        ..Node::default()
    }
}

/// Returns whether the node must register again. Ignores values that change all the time: free disk space, times, and
/// the processor's current frequency.
pub(crate) fn is_news(before: &Node, now: &Node) -> bool {
    let lasting = |node: &Node| {
        let mut node = node.clone();
        node.attributes
            .retain(|name, _| ![BYTES_FREE, "cpu.frequency", "cpu.totalcompute"].contains(&name.as_str()));
        node.resources.iter_mut().for_each(|resources| (resources.disk_mb, resources.cpu_mhz) = (0, 0));
        node.drivers.values_mut().for_each(|driver| driver.update_time_ns = 0);
        node
    };
    lasting(before) != lasting(now)
}

fn raw_exec(enabled: bool) -> DriverInfo {
    let attributes = enabled.then(|| ("driver.raw_exec".to_owned(), "true".to_owned()));
    DriverInfo {
        attributes: attributes.into_iter().collect(),
        detected: enabled,
        healthy: enabled,
        health_description: if enabled { "Healthy" } else { "disabled" }.into(),
        update_time_ns: now_ns(),
    }
}

/// Returns the total compute in MHz: cores times frequency, unless the operator overrides it.
fn cpu(attributes: &mut BTreeMap<String, String>, total_override: Option<i64>) -> i64 {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = all_values(&cpuinfo, "processor").count().max(1);
    let mhz =
        core_mhz(&cpuinfo).unwrap_or_else(|| {
            static SAID: Once = Once::new();
            SAID.call_once(|| tracing::warn!(
            "this machine does not tell its processors' frequency: {CORE_MHZ_UNKNOWN} MHz are assumed; \
             set cpu_total_compute if that is wrong"
        ));
            CORE_MHZ_UNKNOWN
        });
    let total = i64::try_from(cores).ok().and_then(|cores| cores.checked_mul(mhz)).unwrap_or(i64::MAX);
    let total = total_override.unwrap_or(total);
    attributes.insert("cpu.arch".into(), arch().into());
    attributes.insert("cpu.numcores".into(), cores.to_string());
    attributes.insert("cpu.frequency".into(), mhz.to_string());
    attributes.insert("cpu.totalcompute".into(), total.to_string());
    if let Some(model) = all_values(&cpuinfo, "model name").next() {
        attributes.insert("cpu.modelname".into(), model.to_owned());
    }
    total
}

/// Returns the maximum frequency of a core, which is the same at every start; else its current frequency.
fn core_mhz(cpuinfo: &str) -> Option<i64> {
    let highest = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq").ok();
    let highest_mhz = highest.and_then(|khz| khz.trim().parse::<i64>().ok()).map(|khz| khz / 1000);
    let present = || all_values(cpuinfo, "cpu MHz").next()?.parse::<f64>().ok().map(|mhz| mhz as i64);
    highest_mhz.or_else(present).filter(|mhz| *mhz > 0)
}

/// Returns the values of all `name : value` lines with this name.
fn all_values<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.filter(move |(found, _)| found.trim() == name).map(|(_, value)| value.trim())
}

/// Returns the architecture under Nomad's name.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// Returns the total memory in MB, unless the operator overrides it.
fn memory(attributes: &mut BTreeMap<String, String>, total_override: Option<i64>) -> i64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = all_values(&meminfo, "MemTotal").next().unwrap_or_default();
    let total_kib: i64 = total.trim_end_matches(" kB").parse().unwrap_or(0);
    let total_kib = total_override.map_or(total_kib, |total_mb| total_mb.saturating_mul(1024));
    attributes.insert("memory.totalbytes".into(), total_kib.saturating_mul(1024).to_string());
    total_kib / 1024
}

/// Returns the free space below the allocations' directory in MB, unless the operator overrides it.
fn storage(attributes: &mut BTreeMap<String, String>, alloc_dir: &Path, free_override: Option<i64>) -> i64 {
    let Ok(space) = statvfs(alloc_dir) else { return free_override.unwrap_or(0) };
    let total_bytes = space.blocks() * space.fragment_size();
    let free_bytes = match free_override.and_then(|free_mb| u64::try_from(free_mb).ok()) {
        Some(free_mb) => free_mb.saturating_mul(1024 * 1024),
        None => space.blocks_available() * space.fragment_size(),
    };
    attributes.insert("unique.storage.bytestotal".into(), total_bytes.to_string());
    attributes.insert(BYTES_FREE.into(), free_bytes.to_string());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    if let Some(volume) = volume_of(&mounts, alloc_dir) {
        attributes.insert("unique.storage.volume".into(), volume);
    }
    i64::try_from(free_bytes / 1024 / 1024).unwrap_or(i64::MAX)
}

/// Returns the device of the mount that holds a path: the longest matching mount point; of equal ones, the last.
fn volume_of(mounts: &str, path: &Path) -> Option<String> {
    let above = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (device, point) = (fields.next()?, fields.next()?.replace("\\040", " "));
        path.starts_with(&point).then(|| (point.len(), device.to_owned()))
    });
    above.max_by_key(|(length, _)| *length).map(|(_, device)| device)
}

fn network_attributes(
    attributes: &mut BTreeMap<String, String>,
    interface: Option<&str>,
) -> Vec<NetworkResource> {
    let Some(address) = network::advertised(interface) else {
        static SAID: Once = Once::new();
        SAID.call_once(|| tracing::warn!("this node has no network address that tasks could use"));
        return Vec::new();
    };
    attributes.insert("unique.network.ip-address".into(), address.ip.to_string());
    vec![NetworkResource {
        mode: "host".into(),
        device: address.device,
        cidr: format!("{}/{}", address.ip, if address.ip.is_ipv4() { 32 } else { 128 }),
        ip: address.ip.to_string(),
        mbits: network::MBITS,
        ..NetworkResource::default()
    }]
}

fn system(attributes: &mut BTreeMap<String, String>) {
    if let Ok(names) = uname() {
        attributes.insert("kernel.name".into(), names.sysname().to_string_lossy().to_lowercase());
        attributes.insert("kernel.version".into(), names.release().to_string_lossy().into_owned());
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|value| value.trim().trim_matches('"').to_owned()).unwrap_or_default()
    };
    let name = field("ID");
    attributes.insert("os.name".into(), if name.is_empty() { "linux".into() } else { name });
    // Rolling distributions do not have a version, but constraints may refer to the attribute.
    attributes.insert("os.version".into(), field("VERSION_ID"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTRIBUTES: [&str; 19] = [
        "cpu.arch",
        "cpu.frequency",
        "cpu.numcores",
        "cpu.totalcompute",
        "driver.raw_exec",
        "kernel.name",
        "kernel.version",
        "memory.totalbytes",
        "nomad.revision",
        "nomad.version",
        "ordu.version",
        "os.name",
        "os.signals",
        "os.version",
        "unique.hostname",
        "unique.network.ip-address",
        "unique.storage.bytesfree",
        "unique.storage.bytestotal",
        "unique.storage.volume",
    ];

    fn identity() -> Identity {
        Identity { id: uuid::Uuid::from_u128(7), secret: uuid::Uuid::from_u128(8) }
    }

    #[test]
    fn a_linux_node_has_every_attribute_and_resource_that_constraints_ask_for() {
        let directory = tempfile::tempdir().unwrap();
        let options = AgentOptions { raw_exec_enabled: true, ..AgentOptions::new(directory.path()) };
        let node = node(&options, &identity(), directory.path());
        for name in ATTRIBUTES {
            assert!(node.attributes.contains_key(name), "{name}");
        }
        let resources = node.resources.unwrap();
        assert!(resources.cpu_mhz > 100 && resources.memory_mb > 100 && resources.disk_mb > 0);
        assert_eq!(resources.networks[0].mbits, 1000);
        assert!(node.drivers[RAW_EXEC].detected && node.drivers[RAW_EXEC].healthy);
        assert!(!node.name.is_empty());
        let text = format!("{:?}", node.attributes);
        assert!(!text.contains(&identity().secret.to_string()));
    }

    #[test]
    fn a_driver_that_is_off_is_not_detected_and_has_no_attribute() {
        let directory = tempfile::tempdir().unwrap();
        let options = AgentOptions {
            cpu_total_compute_mhz: Some(4321),
            memory_total_mb: Some(1234),
            disk_free_mb: Some(567),
            ..AgentOptions::new(directory.path())
        };
        let node = node(&options, &identity(), directory.path());
        assert!(!node.attributes.contains_key("driver.raw_exec"));
        assert!(!node.drivers[RAW_EXEC].detected);
        assert_eq!(node.attributes["cpu.totalcompute"], "4321");
        let resources = node.resources.unwrap();
        assert_eq!((resources.cpu_mhz, resources.memory_mb, resources.disk_mb), (4321, 1234, 567));
    }

    #[test]
    fn free_space_is_no_news_and_another_address_is() {
        let directory = tempfile::tempdir().unwrap();
        let options = AgentOptions { raw_exec_enabled: true, ..AgentOptions::new(directory.path()) };
        let before = node(&options, &identity(), directory.path());
        let mut now = before.clone();
        now.attributes.insert(BYTES_FREE.into(), "1".into());
        now.resources.as_mut().unwrap().disk_mb = 1;
        now.drivers.get_mut(RAW_EXEC).unwrap().update_time_ns = 1;
        assert!(!is_news(&before, &now));
        now.attributes.insert("unique.network.ip-address".into(), "192.0.2.1".into());
        assert!(is_news(&before, &now));
    }

    #[test]
    fn the_volume_is_that_of_the_nearest_mount() {
        let mounts = "/dev/a / ext4 rw 0 0\n/dev/b /srv ext4 rw 0 0\n/dev/c /srv/da\\040ta ext4 rw 0 0\n";
        for (path, device) in [("/home/x", "/dev/a"), ("/srv/y", "/dev/b"), ("/srv/da ta/alloc", "/dev/c")] {
            assert_eq!(volume_of(mounts, Path::new(path)).as_deref(), Some(device), "{path}");
        }
    }
}
