//! The scope of a request: region, namespace, token, required consistency, and what it waits for. It is
//! resolved once, before the handler runs. The region and namespace that a body names are settled here too.

use std::time::Duration;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ordu_core::job::{self, RegisterRequest};
use ordu_core::limits::BLOCKING_WAIT_MS_MAX;
use ordu_proto::api::job::{DEFAULT_NAMESPACE, DEFAULT_REGION};

use super::dispatch::Call;
use super::duration;
use super::error::HttpError;
use super::request::{Params, parse_bool, take};
use crate::error::ReadError;
use crate::read_index::ReadIndex;

/// The namespace by which a list asks for the rows of all namespaces.
const ALL_NAMESPACES: &str = "*";

const TOKEN: HeaderName = HeaderName::from_static("x-nomad-token");

/// The scope of a request.
#[derive(Debug)]
pub(super) struct Scope {
    /// The region named in the query.
    region: Option<String>,
    /// The namespace named in the query.
    namespace: Option<String>,
    /// The caller's token.
    pub(super) token: Option<Token>,
    /// The caller accepts stale state: the read is not confirmed with the leader.
    pub(super) stale: bool,
    /// What a blocking query waits for; `None` for a request that is answered at once.
    pub(super) wait: Option<Wait>,
}

/// What a blocking query waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// The index must become greater than this one.
    pub(super) index: u64,
    /// How long to wait.
    pub(super) at_most: Duration,
}

impl Scope {
    /// Resolves the scope from the query and the headers; removes its parameters from `params`.
    pub(super) fn resolve(params: &mut Params, headers: &HeaderMap) -> Result<Self, HttpError> {
        let mut given = |name| take(params, name).filter(|value| !value.is_empty());
        let mut at_most = Duration::from_millis(BLOCKING_WAIT_MS_MAX);
        if let Some(wait) = given("wait") {
            let ns = duration::parse_ns(&wait).ok_or_else(|| HttpError::bad_request("Invalid wait time"))?;
            if let Some(ns) = u64::try_from(ns).ok().filter(|ns| *ns > 0) {
                at_most = at_most.min(Duration::from_nanos(ns));
            }
        }
        let index: u64 = match given("index") {
            Some(index) => index.parse().map_err(|_| HttpError::bad_request("Invalid index"))?,
            None => 0,
        };
        let (region, namespace) = (given("region"), given("namespace"));
        // These two also count without a value.
        let stale = take(params, "stale").is_some_and(|value| parse_bool(&value) != Some(false));
        let consistent = take(params, "consistent").is_some();
        Ok(Self {
            region,
            namespace,
            token: Token::of(headers),
            stale: stale && !consistent,
            wait: (index > 0).then_some(Wait { index, at_most }),
        })
    }

    /// Returns the requested namespace.
    pub(super) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE)
    }

    /// Returns the namespace that a list is limited to; `None` for all namespaces.
    pub(super) fn list_namespace(&self) -> Option<&str> {
        Some(self.namespace()).filter(|namespace| *namespace != ALL_NAMESPACES)
    }

    /// Takes the region and the namespace that a body names; the query's namespace goes first.
    ///
    /// # Errors
    /// 400 when the body is for another region.
    pub(super) fn settle_body(
        &mut self,
        region: &str,
        ours: &str,
        namespace: String,
    ) -> Result<(), HttpError> {
        check_region(region, ours)?;
        if self.namespace.is_none() && !namespace.is_empty() {
            self.namespace = Some(namespace);
        }
        Ok(())
    }

    /// Refuses a request that names another region than this one.
    ///
    /// # Errors
    /// 400.
    pub(super) fn check_region(&self, ours: &str) -> Result<(), HttpError> {
        check_region(self.region.as_deref().unwrap_or_default(), ours)
    }

    /// Waits until this server's state is current, unless the caller accepts a stale one.
    ///
    /// # Errors
    /// When no leader confirms it in time.
    pub(super) async fn confirm(&self, reads: &ReadIndex) -> Result<(), ReadError> {
        if self.stale { Ok(()) } else { reads.confirm().await }
    }
}

/// The secret that identifies a caller.
#[derive(Clone, Debug)]
pub(super) struct Token {
    header: HeaderValue,
    /// Whether it follows the word `Bearer`.
    is_bearer: bool,
}

impl Token {
    /// Reads `X-Nomad-Token`, else the bearer token of `Authorization`; other schemes are ignored.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let in_header = |name, is_bearer| {
            let header = headers.get(name)?.clone();
            Some(Self { header, is_bearer }).filter(|token| !token.secret().is_empty())
        };
        in_header(TOKEN, false).or_else(|| in_header(AUTHORIZATION, true))
    }

    /// Returns the secret itself.
    pub(super) fn secret(&self) -> &[u8] {
        let header = self.header.as_bytes().trim_ascii();
        if !self.is_bearer {
            return header;
        }
        let mut words = header.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let is_bearer = words.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"));
        words.next().filter(|_| is_bearer).unwrap_or_default()
    }
}

impl Call {
    /// Returns the namespace of a write without a body: the query's.
    ///
    /// # Errors
    /// 400 when the namespace's name is invalid.
    pub(super) fn namespace(&self) -> Result<String, HttpError> {
        let namespace = self.request.scope.namespace();
        job::check_namespace(namespace)?;
        Ok(namespace.to_owned())
    }

    /// Returns the namespace of a request with a body: the query's, else the body's, else the default.
    ///
    /// # Errors
    /// 400 when the body is for another region or the namespace's name is invalid; 403 when the caller lacks
    /// the right in the namespace.
    pub(super) fn namespace_of_body(&self, region: &str, namespace: String) -> Result<String, HttpError> {
        check_region(region, self.region())?;
        let in_body = Some(namespace).filter(|namespace| !namespace.is_empty());
        let namespace = self.request.scope.namespace.clone().or(in_body);
        let namespace = namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
        job::check_namespace(&namespace)?;
        self.grant.in_namespace(&namespace)?;
        Ok(namespace)
    }

    /// Settles the region and the namespace of a registration's job.
    ///
    /// # Errors
    /// 400 for another region; 403 when the caller lacks the right in the namespace.
    pub(super) fn settle(&self, registration: &mut RegisterRequest) -> Result<(), HttpError> {
        settle_region(registration, self.region())?;
        settle_namespace(registration, &self.request.scope);
        self.grant.in_namespace(registration.job.namespace())
    }

    /// Waits until this server's state is as current as the caller requires.
    ///
    /// # Errors
    /// When no leader confirms it in time.
    pub(super) async fn confirm(&self) -> Result<(), HttpError> {
        Ok(self.request.scope.confirm(&self.api.context.reads).await?)
    }

    /// Returns this server's region.
    fn region(&self) -> &str {
        &self.api.context.options.region
    }
}

/// Refuses a region other than this one; an empty name means this one.
fn check_region(named: &str, ours: &str) -> Result<(), HttpError> {
    if named.is_empty() || named == ours { Ok(()) } else { Err(HttpError::bad_request("No path to region")) }
}

/// Sets the job's region to this one unless it names another, which is refused.
fn settle_region(registration: &mut RegisterRequest, ours: &str) -> Result<(), HttpError> {
    check_region(&registration.region, ours)?;
    match registration.job.region.as_deref() {
        None | Some("" | DEFAULT_REGION) => registration.job.region = Some(ours.to_owned()),
        Some(region) => check_region(region, ours)?,
    }
    Ok(())
}

/// Overrides the job's namespace with the query's, else the body's, unless those name none or the default.
fn settle_namespace(registration: &mut RegisterRequest, scope: &Scope) {
    let named = [scope.namespace.as_deref().unwrap_or_default(), registration.namespace.as_str()];
    let chosen = named.into_iter().find(|namespace| !namespace.is_empty() && *namespace != DEFAULT_NAMESPACE);
    if let Some(namespace) = chosen {
        registration.job.namespace = Some(namespace.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::asked;

    fn resolve(query: &str) -> Result<Scope, HttpError> {
        asked(query).map(|request| request.scope)
    }

    #[test]
    fn a_request_without_a_query_is_a_current_read_of_the_default_namespace_by_nobody() {
        let scope = resolve("").unwrap();
        assert_eq!(("default", false, None), (scope.namespace(), scope.stale, scope.wait));
        assert!(scope.token.is_none() && scope.check_region("anywhere").is_ok());
    }

    #[test]
    fn only_a_query_with_an_index_waits_and_no_longer_than_it_may() {
        for (query, wait_ms) in [
            ("wait=2s", None),
            ("wait=2s&index=0", None),
            ("wait=300ms&index=7", Some(300)),
            ("index=7&wait=10m", Some(300_000)),
            ("index=7&wait=0s", Some(300_000)),
            ("index=7&wait=-5s", Some(300_000)),
            ("index=7&wait=", Some(300_000)),
            ("index=7&index=abc", Some(300_000)),
            ("index=&index=7", None),
        ] {
            let wait = wait_ms.map(|ms| Wait { index: 7, at_most: Duration::from_millis(ms) });
            assert_eq!(wait, resolve(query).unwrap().wait, "{query}");
        }
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
            assert_eq!(HttpError::bad_request(text), resolve(query).unwrap_err(), "{query}");
        }
    }

    #[test]
    fn stale_is_a_flag_without_a_value_too_and_consistent_overrules_it() {
        for (query, stale) in [
            ("stale", true),
            ("stale=", true),
            ("stale=1", true),
            ("stale=false", false),
            ("stale&consistent", false),
            ("consistent=false&stale", false),
        ] {
            assert_eq!(stale, resolve(query).unwrap().stale, "{query}");
        }
    }

    #[test]
    fn a_namespace_and_a_region_are_the_first_that_is_named_unless_it_is_empty() {
        for (query, namespace, of_list, in_region) in [
            ("namespace=a&namespace=b&region=north", "a", Some("a"), true),
            ("namespace=&region=", "default", Some("default"), true),
            ("namespace=*&region=south", "*", None, false),
            ("region=south&region=north", "default", Some("default"), false),
        ] {
            let scope = resolve(query).unwrap();
            assert_eq!((namespace, of_list), (scope.namespace(), scope.list_namespace()), "{query}");
            let refused = HttpError::bad_request("No path to region");
            assert_eq!(if in_region { Ok(()) } else { Err(refused) }, scope.check_region("north"), "{query}");
        }
    }

    #[test]
    fn a_token_is_told_by_nomad_s_header_or_as_a_bearer_s() {
        for (headers, secret) in [
            (&[][..], None),
            (&[("x-nomad-token", " secret ")], Some("secret")),
            (&[("authorization", "Bearer secret")], Some("secret")),
            (&[("authorization", "bearer   secret more")], Some("secret")),
            (&[("x-nomad-token", "first"), ("authorization", "Bearer second")], Some("first")),
            (&[("x-nomad-token", ""), ("authorization", "Bearer second")], Some("second")),
            (&[("authorization", "Basic secret")], None),
            (&[("authorization", "Bearer")], None),
            (&[("authorization", "")], None),
        ] {
            let told: HeaderMap = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            let token = Token::of(&told);
            let found = token.as_ref().map(|token| str::from_utf8(token.secret()).unwrap());
            assert_eq!(secret, found, "{headers:?}");
        }
    }

    fn registration(body: &str) -> RegisterRequest {
        job::decode_register(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_job_is_for_the_region_that_is_asked_unless_it_names_another() {
        for (body, region) in [
            (r#"{"Job":{"ID":"a"}}"#, Ok("north")),
            (r#"{"Job":{"ID":"a","Region":"global"}}"#, Ok("north")),
            (r#"{"Job":{"ID":"a","Region":"north"},"Region":"north"}"#, Ok("north")),
            (r#"{"Job":{"ID":"a","Region":"south"}}"#, Err(())),
            (r#"{"Job":{"ID":"a"},"Region":"south"}"#, Err(())),
        ] {
            let mut registration = registration(body);
            let settled = settle_region(&mut registration, "north");
            assert_eq!(region.is_ok(), settled.is_ok(), "{body}");
            if let Ok(region) = region {
                assert_eq!(Some(region), registration.job.region.as_deref(), "{body}");
            }
        }
    }

    #[test]
    fn the_query_s_namespace_counts_before_the_body_s_and_the_job_s() {
        let job = r#"{"Job":{"ID":"a","Namespace":"of-job"}}"#;
        let both = r#"{"Job":{"ID":"a","Namespace":"of-job"},"Namespace":"of-body"}"#;
        for (body, query, namespace) in [
            (job, "", Some("of-job")),
            (job, "namespace=default", Some("of-job")),
            (job, "namespace=of-query", Some("of-query")),
            (both, "", Some("of-body")),
            (both, "namespace=of-query", Some("of-query")),
            (r#"{"Job":{"ID":"a"}}"#, "", None),
        ] {
            let mut registration = registration(body);
            settle_namespace(&mut registration, &resolve(query).unwrap());
            assert_eq!(namespace, registration.job.namespace.as_deref(), "{body} {query}");
        }
    }
}
