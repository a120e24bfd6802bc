//! Protects the API from pages in operators' browsers. A request that shows a browser's marks is served only under a
//! name of this server, since a foreign name may be made to lead here (DNS rebinding), and changes nothing on behalf
//! of a page of another origin. Requests of other clients are not looked at.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::header::{HOST, ORIGIN, REFERER, USER_AGENT};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::error::HttpError;
use crate::options::ServerOptions;

/// The prefix of headers that only browsers send.
const FETCH_METADATA: &str = "sec-fetch-";
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The entry of `http_allowed_hosts` that stands for any name.
const ANY: &str = "*";
/// Characters of a name or origin that a refusal repeats.
const TOLD_CHARS_MAX: usize = 256;

/// The names under which browsers may use this server, besides addresses and `localhost`.
#[derive(Debug)]
pub(super) struct Names {
    names: Vec<String>,
    is_any: bool,
}

impl Names {
    /// Returns the advertised name and the names that the configuration adds.
    pub(super) fn of(options: &ServerOptions) -> Self {
        let advertised = options.http_advertise.parse().ok().map(|advertised| host_of(&advertised));
        let allowed = &options.http_allowed_hosts;
        Self {
            names: allowed.iter().map(|name| plain(name)).chain(advertised).collect(),
            is_any: allowed.iter().any(|name| name == ANY),
        }
    }

    /// Refuses a browser's request that a page of another site may have caused.
    ///
    /// # Errors
    /// 403.
    pub(super) fn check(&self, request: &Parts) -> Result<(), HttpError> {
        if !is_of_browser(&request.headers) {
            return Ok(());
        }
        let asked: Vec<Option<Authority>> = asked_hosts(request);
        let unknown = |asked: &&Option<Authority>| !asked.as_ref().is_some_and(|asked| self.know(asked));
        if !self.is_any && (asked.is_empty() || asked.iter().any(|asked| unknown(&asked))) {
            let name = asked.iter().find(unknown).and_then(Option::as_ref);
            return Err(foreign_host(name.map_or("", Authority::as_str)));
        }
        if matches!(request.method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        match foreign_origin(&request.headers, asked.first().and_then(Option::as_ref)) {
            Some(origin) => Err(HttpError::new(
                StatusCode::FORBIDDEN,
                format!(
                    "nothing is changed: a browser sends this request for {}, which is not the page of this server \
                     that it asks. Command-line clients are not restricted in this way",
                    told(&origin)
                ),
            )),
            None => Ok(()),
        }
    }

    fn know(&self, asked: &Authority) -> bool {
        let host = host_of(asked);
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let is_address = literal.parse::<Ipv6Addr>().is_ok() || host.parse::<Ipv4Addr>().is_ok();
        is_address || host == "localhost" || self.names.contains(&host)
    }
}

fn foreign_host(name: &str) -> HttpError {
    HttpError::new(
        StatusCode::FORBIDDEN,
        format!(
            "a browser asks for the host {}, which is no name of this server: a page of another site may be behind it. \
             Use the server's address, or, if the name is right, add it to `http_allowed_hosts` in the configuration",
            told(name)
        ),
    )
}

fn told(text: &str) -> String {
    format!("{:?}", text.chars().take(TOLD_CHARS_MAX).collect::<String>())
}

fn is_of_browser(headers: &HeaderMap) -> bool {
    let mozilla = |agent: &HeaderValue| agent.as_bytes().windows(7).any(|part| part == b"Mozilla");
    headers.contains_key(ORIGIN)
        || headers.contains_key(REFERER)
        || headers.get_all(USER_AGENT).iter().any(mozilla)
        || headers.keys().any(|name| name.as_str().starts_with(FETCH_METADATA))
}

/// Returns the hosts that a request asks for; `None` in place of one that is malformed.
fn asked_hosts(request: &Parts) -> Vec<Option<Authority>> {
    let in_headers = request.headers.get_all(HOST).iter();
    let in_headers = in_headers.map(|host| Authority::try_from(host.as_bytes()).ok());
    let without_user = |host: &Authority| !host.as_str().contains('@');
    let in_target = request.uri.authority().cloned().map(Some);
    in_target.into_iter().chain(in_headers).map(|host| host.filter(without_user)).collect()
}

/// Returns the origin of the page that causes a request, if it differs from the `asked` host. Old browsers tell only
/// the page that refers to this one.
fn foreign_origin(headers: &HeaderMap, asked: Option<&Authority>) -> Option<String> {
    let is_own = |origin: &str| {
        let (scheme, rest) = origin.split_once("://")?;
        let default_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return None,
        };
        let rest = rest.split(['/', '?', '#']).next()?;
        let without_port = |host: &str| host.strip_suffix(default_port).unwrap_or(host).to_ascii_lowercase();
        (without_port(rest) == without_port(asked?.as_str())).then_some(())
    };
    let name = if headers.contains_key(ORIGIN) { ORIGIN } else { REFERER };
    let origins = headers.get_all(name).iter().map(|origin| String::from_utf8_lossy(origin.as_bytes()));
    let foreign = origins.into_iter().find(|origin| is_own(origin).is_none());
    let is_far = |site: &HeaderValue| matches!(site.as_bytes(), b"cross-site" | b"same-site");
    let far = || headers.get_all(FETCH_SITE).iter().any(is_far).then(|| "another site".to_owned());
    foreign.map(std::borrow::Cow::into_owned).or_else(far)
}

/// Returns an authority's host in the form in which hosts are compared.
fn host_of(authority: &Authority) -> String {
    plain(authority.host())
}

/// Returns a name in lower case, without the dot of a full name.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn names(allowed: &[&str]) -> Names {
        let names = allowed.iter().map(|name| plain(name)).chain(["server-1.example".to_owned()]);
        Names { names: names.collect(), is_any: allowed.contains(&ANY) }
    }

    fn request(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/v1/jobs");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    /// Returns the text of the refusal; `None` if the request is served.
    fn refusal(names: &Names, method: &str, headers: &[(&str, &str)]) -> Option<String> {
        let refused = names.check(&request(method, headers)).err()?;
        assert_eq!(StatusCode::FORBIDDEN, refused.status);
        Some(refused.text)
    }

    const MARKS: [(&str, &str); 4] = [
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("origin", "http://evil.example"),
        ("referer", "http://evil.example/page"),
        ("sec-fetch-mode", "no-cors"),
    ];

    #[test]
    fn a_browser_is_served_under_this_server_s_names_only() {
        let names = names(&["ordu.example"]);
        for (host, is_served) in [
            ("127.0.0.1:4646", true),
            ("10.0.0.1", true),
            ("[::1]:4646", true),
            ("[2001:db8::1]", true),
            ("localhost:4646", true),
            ("LOCALHOST", true),
            ("server-1.example:4646", true),
            ("ordu.example", true),
            ("Ordu.Example.:80", true),
            ("evil.example:4646", false),
            ("server-1.example.evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("127.1", false),
            ("user@127.0.0.1", false),
            ("[::1", false),
            ("", false),
        ] {
            for mark in MARKS {
                let told = refusal(&names, "GET", &[("host", host), mark]);
                assert_eq!(is_served, told.is_none(), "{host:?} {mark:?}: {told:?}");
                assert!(told.is_none_or(|told| told.contains("no name of this server")));
            }
        }
    }

    #[test]
    fn a_browser_that_names_no_host_or_two_is_refused_and_any_name_is_taken_only_where_all_are() {
        let mozilla = MARKS[0];
        assert!(refusal(&names(&[]), "GET", &[mozilla]).is_some());
        let two = [("host", "localhost"), ("host", "evil.example"), mozilla];
        assert!(refusal(&names(&[]), "GET", &two).is_some());
        let evil = [("host", "evil.example"), mozilla];
        assert!(refusal(&names(&["other.example"]), "GET", &evil).is_some());
        assert_eq!(None, refusal(&names(&["*"]), "GET", &evil));
        let target = Request::get("http://evil.example/v1/jobs").header("host", "localhost");
        let target = target.header("user-agent", "Mozilla/5.0").body(()).unwrap().into_parts().0;
        assert!(names(&[]).check(&target).is_err());
    }

    #[test]
    fn a_page_of_another_origin_changes_nothing_whatever_the_names() {
        let host = ("host", "localhost:4646");
        for names in [names(&[]), names(&["*"])] {
            for (name, value, is_own) in [
                ("origin", "http://localhost:4646", true),
                ("origin", "https://LOCALHOST:4646", true),
                ("origin", "http://localhost:8080", false),
                ("origin", "http://localhost", false),
                ("origin", "http://evil.example", false),
                ("origin", "http://localhost:4646.evil.example", false),
                ("origin", "ftp://localhost:4646", false),
                ("origin", "null", false),
                ("origin", "", false),
                ("referer", "http://localhost:4646/ui/jobs?a=b", true),
                ("referer", "http://evil.example/localhost:4646", false),
                ("sec-fetch-site", "same-origin", true),
                ("sec-fetch-site", "none", true),
                ("sec-fetch-site", "cross-site", false),
                ("sec-fetch-site", "same-site", false),
                ("user-agent", "Mozilla/5.0", true),
            ] {
                for method in ["POST", "PUT", "DELETE", "PATCH"] {
                    let told = refusal(&names, method, &[host, (name, value)]);
                    assert_eq!(is_own, told.is_none(), "{method} {name}: {value}: {told:?}");
                    assert!(told.is_none_or(|told| told.starts_with("nothing is changed: ")));
                }
                assert_eq!(None, refusal(&names, "GET", &[host, (name, value)]), "{name}: {value}");
            }
        }
        let default_ports = [("host", "ordu.example:443"), ("origin", "https://ordu.example")];
        assert_eq!(None, refusal(&names(&["ordu.example"]), "PUT", &default_ports));
        let both = [host, ("origin", "http://localhost:4646"), ("origin", "http://evil.example")];
        assert!(refusal(&names(&[]), "PUT", &both).is_some());
        let first_party = [host, ("origin", "http://localhost:4646"), ("referer", "http://evil.example/")];
        assert_eq!(None, refusal(&names(&[]), "PUT", &first_party));
    }

    #[test]
    fn clients_that_are_no_browsers_are_not_restricted() {
        let names = names(&[]);
        for agent in [None, Some("Go-http-client/1.1"), Some("curl/8.5.0"), Some("python-requests/2.31")] {
            for host in ["evil.example", "ordu", ""] {
                let mut headers = vec![("host", host)];
                headers.extend(agent.map(|agent| ("user-agent", agent)));
                assert_eq!(None, refusal(&names, "PUT", &headers), "{headers:?}");
            }
        }
        assert_eq!(None, refusal(&names, "PUT", &[]));
    }

    #[test]
    fn a_refusal_repeats_little_of_what_is_said_and_escapes_it() {
        let long = format!("{}.example", "a".repeat(4_000));
        let told = refusal(&names(&[]), "GET", &[("host", &long), MARKS[0]]).unwrap();
        assert!(told.len() < 1_000, "{}", told.len());
        assert_eq!(r#""\u{1b}[31m""#, super::told("\u{1b}[31m"));
    }
}
