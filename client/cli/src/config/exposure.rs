//! Who may reach the agent: protection that a configuration asks for and this release does not have, addresses that
//! other machines reach, hosts under which browsers are served, and connections per client.

use super::address::HostPort;
use super::apply::{Layer, Outcome, attribute, flag, integer, place};
use super::draft::Draft;
use super::settings::Listeners;
use super::{ConfigError, keys};
use ordu_core::hcl::{self, Body, Entry};
use std::net::{IpAddr, SocketAddr};

impl Layer<'_> {
    /// Reads `acl { … }`.
    pub(super) fn acl(&mut self, body: &Body) -> Outcome {
        for entry in &body.entries {
            match entry.key() {
                "enabled" => self.promise(
                    "acl.enabled",
                    entry,
                    "asks for access control, which this release does not have: whoever reaches the HTTP port may do \
                     everything. Set it to false, and let only those reach the port who may do everything",
                )?,
                _ => self.without_effect("acl", keys::ACL, &[], entry)?,
            }
        }
        Ok(())
    }

    /// Reads `tls { … }`.
    pub(super) fn tls(&mut self, body: &Body) -> Outcome {
        for entry in &body.entries {
            let key = match entry.key() {
                "http" => "tls.http",
                "rpc" => "tls.rpc",
                _ => {
                    self.without_effect("tls", keys::TLS, &[], entry)?;
                    continue;
                }
            };
            self.promise(
                key,
                entry,
                "asks for TLS, which this release does not have: all would be sent as plain text. Set it to false, \
                 and let no one on the way read or change what is sent",
            )?;
        }
        Ok(())
    }

    /// Notes that a file asks for protection that this release does not have, or, in a later file, that it does not.
    fn promise(&mut self, key: &'static str, entry: &Entry, asks: &str) -> Outcome {
        if !flag(entry)? {
            self.draft.unkept.remove(key);
            return Ok(());
        }
        let error = hcl::Error::at(entry.position(), format!("`{key} = true` {asks}"));
        self.draft.unkept.insert(key, place(self.path, error));
        Ok(())
    }

    /// Reads `limits { … }`.
    pub(super) fn limits(&mut self, body: &Body) -> Outcome {
        for entry in &body.entries {
            match entry.key() {
                "http_max_conns_per_client" => {
                    self.draft.http_conns_per_client_max = integer(entry, 0, i64::from(u32::MAX))? as usize;
                }
                _ => self.without_effect("limits", keys::LIMITS, &[], entry)?,
            }
        }
        Ok(())
    }
}

/// Reads the host names under which browsers are served.
pub(super) fn allowed_hosts(entry: &Entry) -> Result<Vec<String>, hcl::Error> {
    let value = &attribute(entry)?.value;
    let hosts = value.to_texts(entry.key())?;
    for host in &hosts {
        let is_host = HostPort::parse(host, 1).is_ok_and(|parsed| parsed.host == *host);
        if host != "*" && !is_host {
            let text = format!(
                "`{}`: {host:?} is no name of a host without a port, nor \"*\" for any name",
                entry.key()
            );
            return Err(hcl::Error::at(value.position, text));
        }
    }
    Ok(hosts)
}

impl Draft {
    /// Refuses addresses that other machines reach unless plain text is allowed, and warns of them if it is. Also warns
    /// of a server that the servers it is to join cannot reach.
    pub(super) fn check_exposure(&mut self, listeners: &Listeners) -> Result<(), ConfigError> {
        let ports = [(&self.http, listeners.http), (&self.rpc, listeners.rpc), (&self.serf, listeners.serf)];
        let mut exposed: Vec<&str> = Vec::new();
        for (listener, bound) in ports {
            let configured = self.configured(listener).filter(|_| !is_loopback(bound));
            exposed.extend(configured.filter(|address| !exposed.contains(address)));
        }
        let exposed = exposed.join(" and ");
        let follows = "there is no TLS: what is sent can be read and changed on the way, and whoever reaches the \
                       agent's ports may do everything";
        if !exposed.is_empty() && !self.allow_plaintext {
            return Err(ConfigError::Whole(format!(
                "other machines reach {exposed}, which the agent is to listen on, and {follows}. Listen on loopback \
                 (`bind_addr = \"127.0.0.1\"`), or, if only machines that you trust reach the agent, set \
                 `allow_plaintext = true` (or give -allow-plaintext)"
            )));
        }
        if !exposed.is_empty() {
            self.warnings.push(format!(
                "PLAIN TEXT: `allow_plaintext` is set, other machines reach {exposed}, and {follows}. Let only machines \
                 that you trust reach them"
            ));
        }
        let far = self.server_join.iter().find(|host| !is_here(host));
        if let Some(far) = far.filter(|_| self.server_enabled && is_loopback(listeners.rpc))
            && self.rpc.advertise.is_none()
        {
            self.warnings.push(format!(
                "the server listens on {} only, where {far} and other machines do not reach it: set `bind_addr`, and \
                 `allow_plaintext = true`",
                listeners.rpc
            ));
        }
        Ok(())
    }
}

fn is_loopback(bound: SocketAddr) -> bool {
    bound.ip().to_canonical().is_loopback()
}

/// Whether a host with or without a port is surely this machine.
fn is_here(host: &str) -> bool {
    HostPort::parse(host, 1).is_ok_and(|parsed| {
        parsed.host == "localhost" || parsed.host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::load_text;
    use super::*;

    fn server(more: &str) -> String {
        format!("data_dir = \"/x\"\nserver {{\n  enabled = true\n  bootstrap_expect = 1\n}}\n{more}")
    }

    #[test]
    fn protection_that_this_release_does_not_have_is_refused_by_line_and_its_absence_is_taken() {
        for (more, wanted) in [
            ("acl { enabled = true }", "a.hcl:6:7: `acl.enabled = true` asks for access control"),
            ("acl {\n  enabled = \"true\"\n}", "a.hcl:7:3: `acl.enabled = true` asks for access control"),
            ("tls { http = true }", "a.hcl:6:7: `tls.http = true` asks for TLS"),
            ("tls { rpc = true\n ca_file = \"x\" }", "a.hcl:6:7: `tls.rpc = true` asks for TLS"),
            ("tls { rpc = false }\ntls { rpc = true }", "a.hcl:7:7: `tls.rpc = true` asks for TLS"),
        ] {
            let error = load_text("a.hcl", &server(more)).unwrap_err().to_string();
            assert!(error.contains(wanted), "{more}: {error}");
        }
        for more in [
            "acl {}",
            "acl { enabled = false }",
            "tls {}",
            "tls { http = false\n rpc = false }",
            "acl { enabled = true }\nacl { enabled = false }",
        ] {
            let config = load_text("a.hcl", &server(more)).unwrap_or_else(|error| panic!("{more}: {error}"));
            assert_eq!(Vec::<String>::new(), config.warnings, "{more}");
        }
        let told = load_text("a.hcl", &server("tls { ca_file = \"ca.pem\" }")).unwrap().warnings;
        assert!(told[0].contains("`tls.ca_file` is a key of Nomad's that has no effect"), "{told:?}");
        assert!(load_text("a.hcl", &server("acl { enabld = true }")).is_err());
    }

    #[test]
    fn addresses_that_other_machines_reach_need_a_word_and_are_warned_of() {
        let node = "data_dir = \"/x\"\nclient {\n  enabled = true\n  servers = [\"a\"]\n}\n";
        let exposed = [
            server("bind_addr = \"0.0.0.0\""),
            server("bind_addr = \"::\""),
            server("bind_addr = \"192.0.2.1\""),
            server("addresses { http = \"192.0.2.1\" }"),
            server("bind_addr = \"192.0.2.1\"\naddresses {\n http = \"127.0.0.1\"\n rpc = \"127.0.0.1\"\n}"),
            format!("{node}bind_addr = \"192.0.2.1\""),
        ];
        for text in exposed {
            let error = load_text("a.hcl", &text).unwrap_err().to_string();
            assert!(
                error.starts_with("other machines reach ") && error.contains("allow_plaintext"),
                "{error}"
            );
            let allowed = load_text("a.hcl", &format!("{text}\nallow_plaintext = true")).unwrap();
            let told = allowed.warnings.iter().filter(|told| told.starts_with("PLAIN TEXT: ")).count();
            assert_eq!(1, told, "{text}: {:?}", allowed.warnings);
        }
        let own = [
            server(""),
            server("bind_addr = \"127.0.0.9\""),
            server("bind_addr = \"::1\""),
            server(
                "bind_addr = \"192.0.2.1\"\naddresses {\n http = \"::1\"\n rpc = \"::1\"\n serf = \"::1\"\n}",
            ),
            server("allow_plaintext = true"),
            node.to_owned(),
        ];
        for text in own {
            let config = load_text("a.hcl", &text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(Vec::<String>::new(), config.warnings, "{text}");
        }
    }

    #[test]
    fn a_server_listens_on_loopback_unless_it_is_told_otherwise_and_says_who_does_not_reach_it() {
        let config = load_text("a.hcl", &server("")).unwrap();
        assert!(
            [config.listeners.http, config.listeners.rpc, config.listeners.serf].into_iter().all(is_loopback)
        );
        assert_eq!("127.0.0.1:4646", config.advertised.http.to_string());
        let joins = |host: &str, more: &str| {
            let text = format!(
                "data_dir = \"/x\"\nserver {{\n enabled = true\n retry_join = [\"{host}\"]\n}}\n{more}"
            );
            load_text("a.hcl", &text).unwrap().warnings
        };
        let told = joins("10.0.0.2", "");
        assert!(told[0].contains("where 10.0.0.2 and other machines do not reach it"), "{told:?}");
        for (host, more) in [
            ("127.0.0.1:5647", ""),
            ("[::1]:5647", ""),
            ("localhost", ""),
            ("10.0.0.2", "advertise { rpc = \"10.0.0.1\" }"),
        ] {
            assert_eq!(Vec::<String>::new(), joins(host, more), "{host} {more}");
        }
    }

    #[test]
    fn hosts_for_browsers_are_names_and_connections_per_client_are_nomads() {
        let config = load_text("a.hcl", &server("")).unwrap();
        assert_eq!((0, 100), (config.http_allowed_hosts.len(), config.http_conns_per_client_max));
        let more = "http_allowed_hosts = [\"ordu.example\", \"*\"]\nlimits { http_max_conns_per_client = 0 }";
        let config = load_text("a.hcl", &server(more)).unwrap();
        assert_eq!((vec!["ordu.example".to_owned(), "*".to_owned()], 0), {
            (config.http_allowed_hosts, config.http_conns_per_client_max)
        });
        assert_eq!(
            1,
            load_text("a.hcl", &server("http_allowed_hosts = \"*\"")).unwrap().http_allowed_hosts.len()
        );
        for host in ["", "a:80", "http://a", "*.a"] {
            let error =
                load_text("a.hcl", &server(&format!("http_allowed_hosts = [\"{host}\"]"))).unwrap_err();
            assert!(error.to_string().contains("is no name of a host"), "{host}: {error}");
        }
        for (more, wanted) in [
            ("limits { http_max_conns_per_client = -1 }", "has to be between 0 and"),
            ("limits { http_max_conns_per_clent = 1 }", "is `http_max_conns_per_client` meant?"),
        ] {
            let error = load_text("a.hcl", &server(more)).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let told = load_text("a.hcl", &server("limits { rpc_max_conns_per_client = 7 }")).unwrap().warnings;
        assert!(told[0].contains("no effect"), "{told:?}");
    }
}
