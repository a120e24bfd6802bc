//! Finds the address under which this node's tasks are reached.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};

use nix::ifaddrs::getifaddrs;

/// Reported link speed; Nomad's default for links of unknown speed.
pub(crate) const MBITS: i32 = 1000;

/// A network interface and an address on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) device: String,
    pub(crate) ip: IpAddr,
}

/// Returns the address of the named interface; else of the default route's interface; else of the
/// loopback interface, so that a machine without a network can still run jobs for itself.
pub(crate) fn advertised(interface: Option<&str>) -> Option<Address> {
    let addresses = all_addresses();
    if let Some(name) = interface {
        let found = choose(&addresses, name);
        if found.is_none() {
            tracing::warn!("the network interface {name} has no address here");
        }
        return found;
    }
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    default_route(&routes).and_then(|name| choose(&addresses, name)).or_else(|| choose(&addresses, "lo"))
}

/// Returns an interface's first IPv4 address, else its first IPv6 address. Link-local addresses were filtered out.
fn choose(addresses: &[Address], device: &str) -> Option<Address> {
    let mut on_device = addresses.iter().filter(|address| address.device == device);
    on_device.clone().find(|address| address.ip.is_ipv4()).or_else(|| on_device.next()).cloned()
}

fn all_addresses() -> Vec<Address> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    let of = |interface: nix::ifaddrs::InterfaceAddress| {
        let storage = interface.address?;
        let ipv4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let ipv6 = || storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
        Some(Address { device: interface.interface_name, ip: ipv4.or_else(ipv6)? })
    };
    interfaces.filter_map(of).filter(|address| !is_link_local(address.ip)).collect()
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if Ipv6Addr::is_unicast_link_local(&ip))
}

/// Returns the interface of the default route with the lowest metric.
fn default_route(routes: &str) -> Option<&str> {
    let of = |line| {
        let fields: Vec<&str> = str::split_whitespace(line).collect();
        let is_default = *fields.get(1)? == "00000000" && *fields.get(7)? == "00000000";
        is_default.then_some((fields.get(6)?.parse::<u32>().ok()?, *fields.first()?))
    };
    routes.lines().filter_map(of).min_by_key(|(metric, _)| *metric).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_lowest_metric_wins() {
        let head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";
        let cases = [
            ("", None),
            ("eth0 000200C0 0 1 0 0 0 00FFFFFF 0 0 0\n", None),
            (
                "eth0 00000000 0 3 0 0 5 00000000 0 0 0\neth1 00000000 0 3 0 0 1 00000000 0 0 0\n",
                Some("eth1"),
            ),
            (
                "eth0 000200C0 0 1 0 0 0 00FFFFFF 0 0 0\nwlan0 00000000 0 3 0 0 9 00000000 0 0 0\n",
                Some("wlan0"),
            ),
        ];
        for (routes, expected) in cases {
            assert_eq!(default_route(&format!("{head}{routes}")), expected, "{routes}");
        }
    }

    #[test]
    fn ipv4_is_preferred_and_other_interfaces_are_not_looked_at() {
        let address = |device: &str, ip: &str| Address { device: device.into(), ip: ip.parse().unwrap() };
        let all = [address("a", "::1"), address("a", "10.0.0.1"), address("b", "fd00::1")];
        assert_eq!(choose(&all, "a"), Some(address("a", "10.0.0.1")));
        assert_eq!(choose(&all, "b"), Some(address("b", "fd00::1")));
        assert_eq!(choose(&all, "c"), None);
    }

    #[test]
    fn the_loopback_interface_can_be_asked_for() {
        assert_eq!(advertised(Some("lo")).map(|address| address.ip), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(advertised(Some("no such")), None);
    }
}
