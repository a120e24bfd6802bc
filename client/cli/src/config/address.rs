//! Addresses: `host[:port]`, Nomad's templates for interface addresses, and the address to advertise.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ordu_server::addresses;

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
    /// Parses `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
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

/// The address that a template stands for.
enum Asked<'a> {
    /// `{{ GetPrivateIP }}`: the address at which others most likely reach this machine.
    Private,
    /// `{{ GetInterfaceIP "eth0" }}`: the IPv4 address of an interface.
    OfInterface(&'a str),
}

/// Splits a text into its template and the parts before and after it.
fn template(text: &str) -> Result<Option<(&str, Asked<'_>, &str)>, String> {
    let Some((before, rest)) = text.split_once("{{") else { return Ok(None) };
    let Some((inside, after)) = rest.split_once("}}") else {
        return Err(format!("the template {text:?} is never closed"));
    };
    let asked = match inside.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["GetPrivateIP"] => Asked::Private,
        ["GetInterfaceIP", quoted] => Asked::OfInterface(quoted.trim_matches('"')),
        _ => return Err(format!("the template {{{{{inside}}}}} is not known; write the address itself")),
    };
    Ok(Some((before, asked, after)))
}

/// Returns the text with an example address in place of its template, so that it can be checked before the
/// address exists.
pub(super) fn example(text: &str) -> Result<String, String> {
    Ok(match template(text)? {
        Some((before, _, after)) => format!("{before}192.0.2.1{after}"),
        None => text.to_owned(),
    })
}

/// Whether the text is an IP address or a template for one.
pub(super) fn is_address(text: &str) -> Result<bool, String> {
    Ok(example(text)?.parse::<IpAddr>().is_ok())
}

/// The addresses of this machine's interfaces at one moment, from which addresses that are not configured are taken.
#[derive(Debug)]
pub(super) struct Interfaces {
    addresses: Vec<(String, IpAddr)>,
    /// The first address that was needed and does not exist yet, as a sentence.
    pub(super) missing: Option<String>,
}

impl Interfaces {
    /// Reads the machine's interfaces.
    pub(super) fn look() -> Self {
        Self::with(addresses::of_machine().unwrap_or_default())
    }

    fn with(addresses: Vec<(String, IpAddr)>) -> Self {
        Self { addresses, missing: None }
    }

    /// Replaces a text's template by its address, and also returns the address. Records a missing address.
    pub(super) fn expand(&mut self, text: &str) -> Result<(String, Option<IpAddr>), String> {
        let Some((before, asked, after)) = template(text)? else { return Ok((text.to_owned(), None)) };
        let found = match asked {
            Asked::Private => self.likely(|_| true).ok_or_else(|| {
                format!("{text:?} stands for an address that others reach this machine at, and no interface has one")
            }),
            Asked::OfInterface(wanted) => {
                let of_it = |(name, address): &&(String, IpAddr)| name == wanted && address.is_ipv4();
                let found = self.addresses.iter().find(of_it).map(|(_, address)| *address);
                found.ok_or_else(|| format!("the interface {wanted:?} has no address"))
            }
        };
        let address = self.or_note(found);
        Ok((format!("{before}{address}{after}"), Some(address)))
    }

    /// Returns the address at which others most likely reach a server that listens on `everything`.
    pub(super) fn reached_at(&mut self, everything: IpAddr) -> IpAddr {
        let found = self.likely(|address| everything.is_ipv6() || address.is_ipv4()).ok_or_else(|| {
            let kind = if everything.is_ipv4() { "IPv4 " } else { "" };
            format!(
                "this server listens on {everything}, and no interface has an {kind}address that others reach it at \
                 (loopback and link-local ones are none); `advertise` may name one"
            )
        });
        self.or_note(found)
    }

    /// Returns the address at which others most likely reach this machine; private ones are preferred.
    pub(super) fn likely(&self, is_of_use: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
        let private = |address: &&IpAddr| matches!(address, IpAddr::V4(v4) if v4.is_private());
        let of_use =
            || self.addresses.iter().map(|(_, address)| address).filter(|address| is_of_use(address));
        of_use().find(private).or_else(|| of_use().next()).copied()
    }

    /// Records a missing address and returns an unreachable one in its place.
    fn or_note(&mut self, found: Result<IpAddr, String>) -> IpAddr {
        found.unwrap_or_else(|missing| {
            self.missing.get_or_insert(missing);
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY_V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    const ANY_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

    fn having(addresses: &[&str]) -> Interfaces {
        let named = |address: &&str| ("eth0".to_owned(), address.parse().unwrap());
        Interfaces::with(addresses.iter().map(named).collect())
    }

    #[test]
    fn others_are_told_an_address_that_they_may_reach_and_never_none() {
        for (addresses, everything, wanted) in [
            (&["203.0.113.1", "10.0.0.1"] as &[_], ANY_V4, Some("10.0.0.1")),
            (&["2001:db8::1", "203.0.113.1"], ANY_V4, Some("203.0.113.1")),
            (&["2001:db8::1"], ANY_V6, Some("2001:db8::1")),
            (&["2001:db8::1"], ANY_V4, None),
            (&[], ANY_V4, None),
            (&[], ANY_V6, None),
        ] {
            let mut interfaces = having(addresses);
            let found = interfaces.reached_at(everything);
            assert_eq!(wanted.is_none(), interfaces.missing.is_some(), "{addresses:?}");
            assert_eq!(wanted.unwrap_or("0.0.0.0"), found.to_string(), "{addresses:?}");
            assert!(interfaces.missing.is_none_or(|missing| missing.contains("`advertise` may name one")));
        }
    }

    #[test]
    fn a_template_stands_for_an_address_or_says_what_is_missing() {
        for (text, wanted, missing) in [
            ("10.9.9.9:1", Some("10.9.9.9:1"), None),
            ("{{ GetPrivateIP }}:1", Some("10.0.0.1:1"), None),
            (r#"{{ GetInterfaceIP "eth0" }}"#, Some("10.0.0.1"), None),
            (r#"{{ GetInterfaceIP "eth1" }}"#, None, Some(r#"the interface "eth1" has no address"#)),
        ] {
            let mut interfaces = having(&["10.0.0.1"]);
            let (expanded, _) = interfaces.expand(text).unwrap();
            assert_eq!(missing, interfaces.missing.as_deref());
            assert!(wanted.is_none_or(|wanted| wanted == expanded), "{text}: {expanded}");
        }
        let mut none = having(&[]);
        none.expand("{{ GetPrivateIP }}").unwrap();
        assert!(none.missing.is_some_and(|missing| missing.contains("no interface has one")));
    }
}
