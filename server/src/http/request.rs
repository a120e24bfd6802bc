//! What a request asks for beside its path: the query's options, read once.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_ENCODING;
use ordu_core::limits::BLOCKING_WAIT_MS_MAX;

use super::duration;
use super::error::HttpError;

/// The namespace of a request that names none.
pub(super) const DEFAULT_NAMESPACE: &str = "default";

/// A request as handlers see it.
#[derive(Debug)]
pub(super) struct Request {
    /// What stands for `:id` in the route's path, decoded; empty where the path has none.
    pub(super) id: String,
    /// Lays the answer out for people.
    pub(super) pretty: bool,
    /// The caller takes gzip.
    pub(super) gzip: bool,
    /// Answer once the index is greater; 0 answers at once.
    pub(super) index: u64,
    /// How long to wait for that.
    pub(super) wait: Duration,
    /// Any state will do: no one is asked whether it is current.
    pub(super) stale: bool,
    params: Vec<(String, String)>,
}

impl Request {
    /// Reads the query and the headers.
    pub(super) fn read(id: String, query: &str, headers: &HeaderMap) -> Result<Self, HttpError> {
        let params = parse_query(query);
        let mut request = Self {
            id,
            pretty: false,
            gzip: headers.get(ACCEPT_ENCODING).is_some_and(|accepted| takes_gzip(accepted.as_bytes())),
            index: 0,
            wait: Duration::from_millis(BLOCKING_WAIT_MS_MAX),
            stale: false,
            params,
        };
        if request.params.is_empty() {
            return Ok(request);
        }
        if request.params.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
            return Err(HttpError::bad_request("A query parameter contains a null character"));
        }
        request.pretty = request.param("pretty").is_some_and(|value| value != "0");
        request.stale = request.param("stale").is_some_and(|value| parse_bool(value) != Some(false))
            && request.param("consistent").is_none();
        if let Some(wait) = request.given("wait") {
            let ns = duration::parse_ns(wait).ok_or_else(|| HttpError::bad_request("Invalid wait time"))?;
            let most = request.wait;
            request.wait =
                u64::try_from(ns).ok().filter(|ns| *ns > 0).map_or(most, Duration::from_nanos).min(most);
        }
        if let Some(index) = request.given("index") {
            request.index = index.parse().map_err(|_| HttpError::bad_request("Invalid index"))?;
        }
        Ok(request)
    }

    /// The first value of a parameter; empty where it stands without one.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(param, _)| param == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a parameter, unless it is empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.param(name).filter(|value| !value.is_empty())
    }

    /// A parameter that is true or false; false where it is not given.
    pub(super) fn flag(&self, name: &str) -> Result<bool, HttpError> {
        let Some(value) = self.given(name) else { return Ok(false) };
        parse_bool(value).ok_or_else(|| {
            HttpError::bad_request(format!(
                "Failed to parse value of {name:?} ({value}) as a bool: strconv.ParseBool: parsing {value:?}: \
                 invalid syntax"
            ))
        })
    }

    /// A text that is equal for requests to `path` that have one answer: everything but how long to wait
    /// for what.
    pub(super) fn share_key(&self, path: &str) -> String {
        let mut key = format!("{path}\0{}\0{}", self.id, self.gzip);
        for (name, value) in self.params.iter().filter(|(name, _)| name != "index" && name != "wait") {
            // No name and no value has a null character, and any may have whatever else would part them.
            for part in [name, value] {
                key.push('\0');
                key.push_str(part);
            }
        }
        key
    }

    /// The namespace asked for.
    pub(super) fn namespace(&self) -> &str {
        self.given("namespace").unwrap_or(DEFAULT_NAMESPACE)
    }

    /// The namespace that a list is bound to; none for `*`.
    pub(super) fn list_namespace(&self) -> Option<&str> {
        Some(self.namespace()).filter(|namespace| *namespace != "*")
    }

    /// The beginning of the ids asked for.
    pub(super) fn prefix(&self) -> &str {
        self.given("prefix").unwrap_or_default()
    }

    /// Refuses a request for another region than this one.
    pub(super) fn check_region(&self, ours: &str) -> Result<(), HttpError> {
        match self.given("region") {
            Some(region) if region != ours => Err(no_path_to_region()),
            _ => Ok(()),
        }
    }
}

/// The refusal of a request for a region that is not known here.
pub(super) fn no_path_to_region() -> HttpError {
    HttpError::bad_request("No path to region")
}

/// Go's reading of a truth value.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Whether a list of accepted encodings takes gzip.
fn takes_gzip(accepted: &[u8]) -> bool {
    let Ok(accepted) = str::from_utf8(accepted) else { return false };
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        let refused = parts
            .filter_map(|part| part.strip_prefix("q="))
            .any(|quality| quality.parse::<f32>().is_ok_and(|quality| quality <= 0.0));
        named && !refused
    })
}

fn parse_query(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_form(name), decode_form(value))
        })
        .collect()
}

fn decode_form(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode(&spaced).unwrap_or(spaced)
}

/// Replaces `%XX` by the byte; none where that makes no text.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, after @ ..] = rest else { return None };
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        bytes.push((digit(high)? << 4 | digit(low)?) as u8);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Request, HttpError> {
        Request::read(String::new(), query, &HeaderMap::new())
    }

    #[test]
    fn a_request_without_a_query_is_a_current_read_of_the_default_namespace() {
        let request = read("").unwrap();
        assert_eq!((0, false, false, false), (request.index, request.stale, request.pretty, request.gzip));
        assert_eq!(("default", ""), (request.namespace(), request.prefix()));
        assert_eq!(Duration::from_secs(300), request.wait);
    }

    #[test]
    fn waits_are_bounded_and_a_wait_of_nothing_is_the_longest() {
        for (query, ms) in [
            ("wait=2s", 2_000),
            ("wait=300ms&index=7", 300),
            ("wait=10m", 300_000),
            ("wait=0s", 300_000),
            ("wait=-5s", 300_000),
            ("wait=", 300_000),
        ] {
            assert_eq!(Duration::from_millis(ms), read(query).unwrap().wait, "{query}");
        }
        assert_eq!(7, read("wait=300ms&index=7").unwrap().index);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_known_texts() {
        for (query, text) in [
            ("index=abc", "Invalid index"),
            ("index=-1", "Invalid index"),
            ("index=99999999999999999999", "Invalid index"),
            ("wait=abc", "Invalid wait time"),
            ("wait=5", "Invalid wait time"),
            ("index=abc&wait=abc", "Invalid wait time"),
        ] {
            assert_eq!(HttpError::bad_request(text), read(query).unwrap_err(), "{query}");
        }
        let refused = read("purge=maybe").unwrap().flag("purge").unwrap_err();
        assert!(
            refused.text.starts_with("Failed to parse value of \"purge\" (maybe) as a bool: "),
            "{refused:?}"
        );
        assert_eq!(400, refused.status.as_u16());
        assert!(read("namespace=a%00b").is_err());
    }

    #[test]
    fn stale_is_a_flag_without_a_value_too_and_consistent_overrules_it() {
        for (query, stale) in [
            ("stale", true),
            ("stale=", true),
            ("stale=1", true),
            ("stale=false", false),
            ("stale&consistent", false),
        ] {
            assert_eq!(stale, read(query).unwrap().stale, "{query}");
        }
        assert!(read("pretty").unwrap().pretty && !read("pretty=0").unwrap().pretty);
    }

    #[test]
    fn parameters_are_decoded_and_the_first_of_a_name_counts() {
        let request = read("prefix=a%2Fb+c&prefix=other&namespace=*&region=global").unwrap();
        assert_eq!("a/b c", request.prefix());
        assert_eq!(None, request.list_namespace());
        assert_eq!(Ok(()), request.check_region("global"));
        assert_eq!(Err(no_path_to_region()), request.check_region("elsewhere"));
    }

    #[test]
    fn requests_that_differ_in_what_they_wait_for_share_their_answer() {
        let key = |query| read(query).unwrap().share_key("/v1/job/:id");
        assert_eq!(key("index=1&wait=5s"), key("wait=6s&index=2"));
        assert_ne!(key("index=1&pretty"), key("index=1"));
        assert_ne!(key("namespace=a"), key("namespace=b"));
        // A name that holds what a name and a value would be together, and another split of one text.
        assert_ne!(key("filter=Status%20=a"), key("filter%3DStatus%20=a"));
        assert_ne!(key("filter=ID%3D%3D%22a%22"), key("filter%3DID%3D=%22a%22"));
        assert_ne!(key("a=b&c"), key("a&b=c"));
    }

    #[test]
    fn percent_signs_that_say_nothing_are_none() {
        assert_eq!(Some("a/b".to_owned()), percent_decode("a%2fb"));
        for text in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(None, percent_decode(text), "{text}");
        }
    }

    #[test]
    fn gzip_is_taken_where_it_is_named_and_not_refused() {
        for (accepted, taken) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(taken, takes_gzip(accepted.as_bytes()), "{accepted}");
        }
    }
}
