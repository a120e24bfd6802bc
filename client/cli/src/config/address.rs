//! Addresses: `host[:port]`, Nomad's templates for an interface's address, and what to advertise.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl HostPort {
    /// Reads `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
    ///
    /// # Errors
    /// A sentence about what it is instead.
    pub fn parse(text: &str, default_port: u16) -> Result<HostPort, String> {
        let text = text.trim();
        if text.starts_with("provider=") {
            return Err(
                "finding servers through a cloud provider is not supported; name their addresses".to_owned()
            );
        }
        let port_of = |port: &str| match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(format!("{port:?} is not a port")),
        };
        if text.parse::<Ipv6Addr>().is_ok() {
            return Ok(HostPort { host: text.to_owned(), port: default_port });
        }
        if let Some((host, after)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let host = host.parse::<Ipv6Addr>().map_err(|_| format!("{host:?} is not an IPv6 address"))?;
            let port = match after.strip_prefix(':') {
                Some(port) => port_of(port)?,
                None if after.is_empty() => default_port,
                None => return Err(format!("{text:?} is not an address")),
            };
            return Ok(HostPort { host: host.to_string(), port });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port_of(port)?),
            None => (text, default_port),
        };
        let of_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if host.is_empty() || !host.chars().all(of_host) {
            return Err(format!("{text:?} is not a host with or without a port"));
        }
        Ok(HostPort { host: host.to_owned(), port })
    }
}

/// Why a template has no address.
pub(super) enum TemplateFault {
    /// It is none.
    Text(String),
    /// The machine has none, or not yet.
    NoAddress(String),
}

/// Replaces `{{ GetPrivateIP }}` and `{{ GetInterfaceIP "eth0" }}` by the address they stand for.
pub(super) fn expand_template(text: &str) -> Result<String, TemplateFault> {
    let Some((before, rest)) = text.split_once("{{") else { return Ok(text.to_owned()) };
    let Some((inside, after)) = rest.split_once("}}") else {
        return Err(TemplateFault::Text(format!("the template {text:?} is never closed")));
    };
    let address = match inside.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["GetPrivateIP"] => {
            let missing = || TemplateFault::NoAddress("this machine has no private address".to_owned());
            private_address().ok_or_else(missing)?
        }
        ["GetInterfaceIP", quoted] => {
            let interface = quoted.trim_matches('"');
            let found =
                interfaces().into_iter().find(|(name, address)| name == interface && address.is_ipv4());
            let missing = || TemplateFault::NoAddress(format!("the interface {interface:?} has no address"));
            found.map(|(_, address)| address).ok_or_else(missing)?
        }
        _ => {
            let text = format!("the template {{{{{inside}}}}} is not known; write the address itself");
            return Err(TemplateFault::Text(text));
        }
    };
    Ok(format!("{before}{address}{after}"))
}

/// The address that others are likely to reach this machine at: a private one, else any but loopback.
pub(super) fn private_address() -> Option<IpAddr> {
    let private = |address: &IpAddr| matches!(address, IpAddr::V4(v4) if v4.is_private());
    let addresses: Vec<IpAddr> = interfaces().into_iter().map(|(_, address)| address).collect();
    addresses.iter().find(|address| private(address)).or_else(|| addresses.first()).copied()
}

/// Names and addresses of the interfaces, without loopback and link-local ones.
fn interfaces() -> Vec<(String, IpAddr)> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let address_of = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => IpAddr::V4(v4.ip()),
            (None, Some(v6)) => IpAddr::V6(v6.ip()),
            (None, None) => return None,
        };
        let link_local = match ip {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        (!ip.is_loopback() && !link_local).then_some((interface.interface_name, ip))
    };
    all.filter_map(address_of).collect()
}
