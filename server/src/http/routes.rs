//! The API's routes as data: the matcher, the refusal of wrong methods, the bounds on bodies and the
//! list of routes all derive from one table.

use axum::http::Method;
use futures::future::BoxFuture;
use ordu_core::limits::{BODY_BYTES_MAX, JOB_BODY_BYTES_MAX};
use rustc_hash::FxHashMap;

use super::Api;
use super::answer::Answer;
use super::blocking::{Find, Keys, Size};
use super::dispatch::Call;
use super::error::HttpError;
use super::handlers::{
    agent, allocations, children, deployments, dry_runs, evaluations, jobs, nodes, operator, registrations,
    system, versions,
};
use super::request::Request;

/// The methods that a route takes. HEAD goes wherever GET does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Methods {
    /// GET.
    Get,
    /// PUT and POST.
    Write,
    /// PUT alone.
    Put,
    /// DELETE.
    Delete,
    /// Whatever comes: a few reads never looked at the method, and clients may rely on it.
    Any,
}

impl Methods {
    /// Whether `method` is among them.
    pub fn take(self, method: &Method) -> bool {
        match self {
            Methods::Get => method == Method::GET || method == Method::HEAD,
            Methods::Write => method == Method::PUT || method == Method::POST,
            Methods::Put => method == Method::PUT,
            Methods::Delete => method == Method::DELETE,
            Methods::Any => true,
        }
    }

    /// Their name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Methods::Get => "GET",
            Methods::Write => "WRITE",
            Methods::Put => "PUT",
            Methods::Delete => "DELETE",
            Methods::Any => "ANY",
        }
    }
}

/// What there is to know of a route without its handler.
#[derive(Clone, Copy, Debug)]
pub struct RouteInfo {
    /// The methods.
    pub methods: Methods,
    /// The path; `:id` stands for one segment, below `/v1/job/` for one or more.
    pub path: &'static str,
    /// Whether it takes `index` and `wait`.
    pub blocks: bool,
    /// The bound on its body, bytes; 0 where a body is not looked at.
    pub body_bytes_max: usize,
    /// The capability that a caller needs; `none` for what anyone may ask.
    pub capability: &'static str,
}

/// What answers a route.
pub(super) enum Handler {
    /// A read of the tables.
    Read(Keys, Find, Size),
    /// What this server knows without its tables.
    Local(fn(&Api, &Request) -> Result<Answer, HttpError>),
    /// Anything else.
    Act(fn(Call) -> BoxFuture<'static, Result<Answer, HttpError>>),
}

/// A route.
pub(super) struct Route {
    pub(super) info: RouteInfo,
    pub(super) handler: Handler,
}

const fn read(path: &'static str, capability: &'static str, keys: Keys, find: Find, size: Size) -> Route {
    let info = RouteInfo { methods: Methods::Get, path, blocks: true, body_bytes_max: 0, capability };
    Route { info, handler: Handler::Read(keys, find, size) }
}

const fn local(
    path: &'static str,
    capability: &'static str,
    answer: fn(&Api, &Request) -> Result<Answer, HttpError>,
) -> Route {
    let info = RouteInfo { methods: Methods::Get, path, blocks: false, body_bytes_max: 0, capability };
    Route { info, handler: Handler::Local(answer) }
}

const fn act(
    methods: Methods,
    path: &'static str,
    body_bytes_max: usize,
    capability: &'static str,
    act: fn(Call) -> BoxFuture<'static, Result<Answer, HttpError>>,
) -> Route {
    let info = RouteInfo { methods, path, blocks: false, body_bytes_max, capability };
    Route { info, handler: Handler::Act(act) }
}

/// A read that answers whatever the method.
const fn of_any_method(mut route: Route) -> Route {
    route.info.methods = Methods::Any;
    route
}

const LIST_JOBS: &str = "list-jobs";
const READ_JOB: &str = "read-job";
const SUBMIT_JOB: &str = "submit-job";
const NODE_READ: &str = "node:read";
const AGENT_READ: &str = "agent:read";
const DISPATCH_JOB: &str = "dispatch-job";
const OPERATOR_READ: &str = "operator:read";
const OPERATOR_WRITE: &str = "operator:write";
const NONE: &str = "none";

use Methods::{Delete, Get, Put, Write};
use Size::{List, Point};

#[rustfmt::skip]
pub(super) static ROUTES: [Route; 40] = [
    read("/v1/jobs", LIST_JOBS, jobs::list_keys, jobs::list, List),
    act(Write, "/v1/jobs", JOB_BODY_BYTES_MAX, SUBMIT_JOB, registrations::register),
    read("/v1/job/:id", READ_JOB, jobs::job_keys, jobs::job, Point),
    act(Write, "/v1/job/:id", JOB_BODY_BYTES_MAX, SUBMIT_JOB, registrations::update),
    act(Delete, "/v1/job/:id", 0, SUBMIT_JOB, registrations::deregister),
    of_any_method(read("/v1/job/:id/summary", READ_JOB, jobs::summary_keys, jobs::summary, Point)),
    of_any_method(read("/v1/job/:id/versions", READ_JOB, jobs::job_keys, versions::list, Point)),
    read("/v1/job/:id/allocations", READ_JOB, allocations::of_job_keys, allocations::of_job, List),
    read("/v1/job/:id/evaluations", READ_JOB, evaluations::of_job_keys, evaluations::of_job, List),
    read("/v1/job/:id/deployments", READ_JOB, deployments::of_job_keys, deployments::of_job, List),
    read("/v1/job/:id/deployment", READ_JOB, deployments::of_job_keys, deployments::latest_of_job, Point),
    act(Write, "/v1/job/:id/dispatch", BODY_BYTES_MAX, DISPATCH_JOB, children::dispatch),
    act(Write, "/v1/job/:id/periodic/force", 0, SUBMIT_JOB, children::force),
    act(Write, "/v1/job/:id/revert", BODY_BYTES_MAX, SUBMIT_JOB, versions::revert),
    act(Write, "/v1/job/:id/stable", BODY_BYTES_MAX, SUBMIT_JOB, versions::stable),
    act(Write, "/v1/job/:id/plan", JOB_BODY_BYTES_MAX, SUBMIT_JOB, dry_runs::plan),
    act(Write, "/v1/jobs/parse", JOB_BODY_BYTES_MAX, NONE, dry_runs::parse),
    act(Write, "/v1/validate/job", JOB_BODY_BYTES_MAX, READ_JOB, dry_runs::validate),
    act(Write, "/v1/job/:id/evaluate", BODY_BYTES_MAX, READ_JOB, registrations::evaluate),
    read("/v1/allocations", READ_JOB, allocations::list_keys, allocations::list, List),
    read("/v1/allocation/:id", READ_JOB, allocations::one_keys, allocations::one, Point),
    read("/v1/evaluations", READ_JOB, evaluations::list_keys, evaluations::list, List),
    read("/v1/evaluation/:id", READ_JOB, evaluations::one_keys, evaluations::one, Point),
    read("/v1/evaluation/:id/allocations", READ_JOB, allocations::list_keys, allocations::of_evaluation, List),
    read("/v1/deployments", READ_JOB, deployments::list_keys, deployments::list, List),
    read("/v1/deployment/:id", READ_JOB, deployments::one_keys, deployments::one, Point),
    read("/v1/nodes", NODE_READ, nodes::list_keys, nodes::list, List),
    read("/v1/node/:id", NODE_READ, nodes::one_keys, nodes::one, Point),
    read("/v1/node/:id/allocations", NODE_READ, allocations::of_node_keys, allocations::of_node, List),
    local("/v1/status/leader", NONE, agent::leader),
    local("/v1/status/peers", NONE, agent::peers),
    local("/v1/regions", NONE, agent::regions),
    local("/v1/agent/self", AGENT_READ, agent::itself),
    local("/v1/agent/members", NODE_READ, agent::members),
    local("/v1/agent/servers", AGENT_READ, agent::servers),
    local("/v1/agent/health", NONE, agent::health),
    local("/v1/metrics", AGENT_READ, operator::metrics),
    act(Put, "/v1/system/reconcile/summaries", 0, OPERATOR_WRITE, system::reconcile_summaries),
    act(Get, "/v1/operator/raft/configuration", 0, OPERATOR_READ, operator::raft_configuration),
    act(Get, "/v1/operator/ordu/state-hash", 0, OPERATOR_READ, operator::state_hash_handler),
];

/// All routes.
pub fn routes() -> impl Iterator<Item = RouteInfo> {
    ROUTES.iter().map(|route| route.info)
}

/// What a method and a path lead to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Matched<'p> {
    /// The route of this number, and what stands for `:id`, still encoded.
    Route(usize, &'p str),
    /// The path is known, the method is not one of its.
    WrongMethod,
    /// No path of the API.
    Unknown,
}

/// The routes of a path that ends alike, by numbers.
type Ending = (&'static str, Vec<usize>);

/// Finds routes: whole paths by hash, the others by what stands before and after `:id`.
pub(super) struct Matcher {
    whole: FxHashMap<&'static str, Vec<usize>>,
    with_id: Vec<(&'static str, Vec<Ending>)>,
}

/// Below this path ids may hold slashes.
const SLASHES_BELOW: &str = "/v1/job/";

impl Matcher {
    pub(super) fn new() -> Self {
        let mut matcher = Self { whole: FxHashMap::default(), with_id: Vec::new() };
        for (number, route) in ROUTES.iter().enumerate() {
            match route.info.path.split_once(":id") {
                None => matcher.whole.entry(route.info.path).or_default().push(number),
                Some((before, after)) => {
                    let endings = entry(&mut matcher.with_id, before);
                    entry(endings, after).push(number);
                }
            }
        }
        // The longest ending first, so that the empty one comes last.
        for (_, endings) in &mut matcher.with_id {
            endings.sort_by_key(|(ending, _)| std::cmp::Reverse(ending.len()));
        }
        matcher
    }

    /// The route of a request.
    pub(super) fn find<'p>(&self, method: &Method, path: &'p str) -> Matched<'p> {
        if let Some(numbers) = self.whole.get(path) {
            return choose(numbers, method, "");
        }
        for (before, endings) in &self.with_id {
            let Some(rest) = path.strip_prefix(before) else { continue };
            for (ending, numbers) in endings {
                let Some(id) = rest.strip_suffix(ending) else { continue };
                if *before == SLASHES_BELOW || !id.contains('/') {
                    return choose(numbers, method, id);
                }
            }
        }
        Matched::Unknown
    }
}

fn entry<'l, T: Default>(list: &'l mut Vec<(&'static str, T)>, name: &'static str) -> &'l mut T {
    let place = list.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
        list.push((name, T::default()));
        list.len() - 1
    });
    &mut list[place].1
}

fn choose<'p>(numbers: &[usize], method: &Method, id: &'p str) -> Matched<'p> {
    let taking = numbers.iter().find(|number| ROUTES[**number].info.methods.take(method));
    taking.map_or(Matched::WrongMethod, |number| Matched::Route(*number, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &Method, path: &'static str) -> Option<(&'static str, Methods, &'static str)> {
        match Matcher::new().find(method, path) {
            Matched::Route(number, id) => Some((ROUTES[number].info.path, ROUTES[number].info.methods, id)),
            _ => None,
        }
    }

    #[test]
    fn job_ids_may_hold_slashes_and_be_words_of_the_api() {
        for (path, pattern, id) in [
            ("/v1/job/a", "/v1/job/:id", "a"),
            ("/v1/job/a/b", "/v1/job/:id", "a/b"),
            ("/v1/job/a/b/summary", "/v1/job/:id/summary", "a/b"),
            ("/v1/job/p/periodic-17/allocations", "/v1/job/:id/allocations", "p/periodic-17"),
            ("/v1/job/summary", "/v1/job/:id", "summary"),
            ("/v1/job/summary/summary", "/v1/job/:id/summary", "summary"),
            ("/v1/job/versions/evaluations", "/v1/job/:id/evaluations", "versions"),
            ("/v1/job/deployment/deployments", "/v1/job/:id/deployments", "deployment"),
            ("/v1/job/a%2Fsummary", "/v1/job/:id", "a%2Fsummary"),
            ("/v1/job/jobs", "/v1/job/:id", "jobs"),
            ("/v1/job/a/unknown", "/v1/job/:id", "a/unknown"),
        ] {
            let (found, _, found_id) =
                find(&Method::GET, path).unwrap_or_else(|| panic!("{path} is not found"));
            assert_eq!((pattern, id), (found, found_id), "{path}");
        }
    }

    #[test]
    fn the_method_chooses_among_the_routes_of_a_path() {
        for (method, path, methods) in [
            (Method::GET, "/v1/jobs", Get),
            (Method::HEAD, "/v1/jobs", Get),
            (Method::POST, "/v1/jobs", Write),
            (Method::PUT, "/v1/job/a/b", Write),
            (Method::DELETE, "/v1/job/a", Delete),
            (Method::POST, "/v1/job/a/summary", Methods::Any),
            (Method::PATCH, "/v1/job/a/versions", Methods::Any),
        ] {
            assert_eq!(Some(methods), find(&method, path).map(|found| found.1), "{method} {path}");
        }
    }

    #[test]
    fn wrong_methods_and_unknown_paths_are_told_apart() {
        let matcher = Matcher::new();
        for (method, path) in [
            (Method::PATCH, "/v1/jobs"),
            (Method::DELETE, "/v1/jobs"),
            (Method::POST, "/v1/job/a/allocations"),
            (Method::DELETE, "/v1/job/a/evaluate"),
            (Method::GET, "/v1/job/a/evaluate"),
            (Method::POST, "/v1/nodes"),
            (Method::OPTIONS, "/v1/status/leader"),
        ] {
            assert_eq!(Matched::WrongMethod, matcher.find(&method, path), "{method} {path}");
        }
        for path in
            ["/", "", "/v1", "/v1/", "/v1/nonsense", "/v1/job", "/v1/jobs/", "/v1/node/a/b", "/v2/jobs"]
        {
            assert_eq!(Matched::Unknown, matcher.find(&Method::GET, path), "{path}");
        }
    }

    #[test]
    fn the_table_names_every_path_and_method_once_and_bounds_every_body() {
        for (number, route) in ROUTES.iter().enumerate() {
            let info = route.info;
            let same = |other: &&Route| other.info.path == info.path && other.info.methods == info.methods;
            assert_eq!(1, ROUTES.iter().filter(same).count(), "{info:?}");
            assert!(info.path.starts_with("/v1/") && !info.capability.is_empty(), "{info:?}");
            assert!(info.body_bytes_max <= JOB_BODY_BYTES_MAX, "{info:?}");
            let path: &'static str = info.path.replace(":id", "x").leak();
            let method = match info.methods {
                Get | Methods::Any => Method::GET,
                Write => Method::POST,
                Put => Method::PUT,
                Delete => Method::DELETE,
            };
            let id = if info.path.contains(":id") { "x" } else { "" };
            assert_eq!(Matched::Route(number, id), Matcher::new().find(&method, path), "{info:?}");
        }
        assert_eq!(ROUTES.len(), routes().count());
    }
}
