//! A request without its body: path id, scope and query parameters, parsed once.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_ENCODING;

use super::error::HttpError;
use super::scope::Scope;

/// The parameters of a query, in their order.
pub(super) type Params = Vec<(String, String)>;

/// A request as handlers see it.
#[derive(Debug)]
pub(super) struct Request {
    /// The value of `:id` in the path, decoded; empty if the path has none.
    pub(super) id: String,
    /// Whether `:id` has several segments: it may be meant as a job and an action that does not exist.
    pub(super) has_subpath: bool,
    /// Whether the JSON is to be indented.
    pub(super) pretty: bool,
    /// Whether the client accepts gzip.
    pub(super) gzip: bool,
    /// Region, namespace, token, consistency and wait.
    pub(super) scope: Scope,
    /// All other parameters.
    params: Params,
}

impl Request {
    /// Parses the query and the headers.
    pub(super) fn read(id: String, query: &str, headers: &HeaderMap) -> Result<Self, HttpError> {
        let mut params = parse_query(query);
        if params.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
            return Err(HttpError::bad_request("A query parameter contains a null character"));
        }
        let scope = Scope::resolve(&mut params, headers)?;
        let pretty = take(&mut params, "pretty").is_some_and(|value| value != "0");
        let gzip = headers.get(ACCEPT_ENCODING).is_some_and(|accepted| takes_gzip(accepted.as_bytes()));
        Ok(Self { id, has_subpath: false, pretty, gzip, scope, params })
    }

    /// Returns the first value of a parameter; empty if it is given without one.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(param, _)| param == name).map(|(_, value)| value.as_str())
    }

    /// Sets a parameter that the body gives, in place of the query's.
    ///
    /// # Errors
    /// 400 when the value contains a null character.
    pub(super) fn set(&mut self, name: &str, value: String) -> Result<(), HttpError> {
        if value.contains('\0') {
            return Err(HttpError::bad_request(format!("The {name} in the body contains a null character")));
        }
        take(&mut self.params, name);
        self.params.push((name.to_owned(), value));
        Ok(())
    }

    /// Returns the first value of a parameter, unless it is empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.param(name).filter(|value| !value.is_empty())
    }

    /// Returns a boolean parameter; false if it is not given.
    pub(super) fn flag(&self, name: &str) -> Result<bool, HttpError> {
        let Some(value) = self.given(name) else { return Ok(false) };
        parse_bool(value).ok_or_else(|| {
            HttpError::bad_request(format!(
                "Failed to parse value of {name:?} ({value}) as a bool: strconv.ParseBool: parsing {value:?}: \
                 invalid syntax"
            ))
        })
    }

    /// Returns an integer parameter, if it is given.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, HttpError> {
        let Some(value) = self.given(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|error| {
            HttpError::bad_request(format!("Failed to parse value of {name:?} ({value}) as an int: {error}"))
        })
    }

    /// Cache key of the answer; ignores `index` and `wait`.
    pub(super) fn share_key(&self, path: &str) -> String {
        let Self { id, has_subpath: _, pretty, gzip, scope, params } = self;
        let mut key = format!("{path}\0{id}\0{gzip}\0{pretty}\0{}\0{}", scope.stale, scope.namespace());
        // Callers with different tokens may see different rows.
        let secret = scope.token.as_ref().map(|token| String::from_utf8_lossy(token.secret()));
        let params = params.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        for part in secret.as_deref().into_iter().chain(params) {
            // Names and values contain no null character, but may contain any other separator.
            key.push('\0');
            key.push_str(part);
        }
        key
    }

    /// Returns the requested namespace.
    pub(super) fn namespace(&self) -> &str {
        self.scope.namespace()
    }

    /// Returns the requested prefix of ids.
    pub(super) fn prefix(&self) -> &str {
        self.given("prefix").unwrap_or_default()
    }
}

/// Parses a boolean as Go does.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Whether an Accept-Encoding header permits gzip.
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

/// Removes the parameter and returns its first value; empty if it is given without one.
pub(super) fn take(params: &mut Params, name: &str) -> Option<String> {
    let first = params.iter().position(|(param, _)| param == name)?;
    let (_, value) = params.remove(first);
    params.retain(|(param, _)| param != name);
    Some(value)
}

fn parse_query(query: &str) -> Params {
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

/// Decodes `%XX`; `None` if an escape is malformed or the result is not UTF-8.
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

/// Parses a request with this query.
#[cfg(test)]
pub(super) fn asked(query: &str) -> Result<Request, HttpError> {
    Request::read(String::new(), query, &HeaderMap::new())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_request_without_a_query_asks_for_nothing_of_its_own() {
        let request = asked("").unwrap();
        assert_eq!((false, false, ""), (request.pretty, request.gzip, request.prefix()));
        assert!(asked("pretty").unwrap().pretty && !asked("pretty=0").unwrap().pretty);
    }

    #[test]
    fn a_parameter_that_cannot_be_read_is_refused_with_the_known_text() {
        let refused = asked("purge=maybe").unwrap().flag("purge").unwrap_err();
        assert!(
            refused.text.starts_with("Failed to parse value of \"purge\" (maybe) as a bool: "),
            "{refused:?}"
        );
        assert_eq!(400, refused.status.as_u16());
        assert!(asked("namespace=a%00b").is_err());
    }

    #[test]
    fn parameters_are_decoded_and_the_first_of_a_name_counts() {
        let request = asked("prefix=a%2Fb+c&prefix=other&per_page=").unwrap();
        assert_eq!("a/b c", request.prefix());
        assert_eq!((Some(""), None), (request.param("per_page"), request.given("per_page")));
    }

    #[test]
    fn requests_that_differ_in_what_they_wait_for_share_their_answer() {
        let key = |query| asked(query).unwrap().share_key("/v1/job/:id");
        assert_eq!(key("index=1&wait=5s"), key("wait=6s&index=2"));
        assert_eq!(key("index=1"), key("index=1&namespace=default&region=global"));
        assert_ne!(key("index=1&pretty"), key("index=1"));
        assert_ne!(key("namespace=a"), key("namespace=b"));
        // The same text, split differently into names and values.
        assert_ne!(key("filter=Status%20=a"), key("filter%3DStatus%20=a"));
        assert_ne!(key("filter=ID%3D%3D%22a%22"), key("filter%3DID%3D=%22a%22"));
        assert_ne!(key("a=b&c"), key("a&b=c"));
    }

    #[test]
    fn callers_with_different_tokens_share_no_answer() {
        let key = |headers: &[(&'static str, &'static str)]| {
            let header = |(name, value): &(&'static str, &'static str)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            let headers = headers.iter().map(header).collect();
            Request::read(String::new(), "index=1", &headers).unwrap().share_key("/v1/jobs")
        };
        assert_eq!(key(&[("x-nomad-token", "one")]), key(&[("authorization", "Bearer one")]));
        assert_ne!(key(&[("x-nomad-token", "one")]), key(&[("x-nomad-token", "two")]));
        assert_ne!(key(&[("x-nomad-token", "one")]), key(&[]));
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
