//! The API's routes as one table. The matcher, the refusal of wrong methods, the bounds on bodies, the list of
//! routes and the OpenAPI description are derived from it.

use axum::http::Method;
use futures::future::BoxFuture;
use ordu_core::autopilot::AutopilotConfigRequest;
use ordu_core::job::{
    DeploymentDocument, JobDispatchRequest, JobEvaluateRequest, JobPlanRequest, JobRegisterRequest,
    JobRevertRequest, JobStabilityRequest, JobStub, JobValidateRequest, SummaryDocument, ValidationDocument,
};
use ordu_core::jobspec::ParseRequest;
use ordu_core::limits::{BODY_BYTES_MAX, JOB_BODY_BYTES_MAX};
use ordu_core::search::SearchRequest;
use ordu_proto::api::job::Job;
use serde_json::{Map, Value};

use super::Api;
use super::access::{Access, Capability, Level, NamespaceOf, RowsOf};
use super::answer::Answer;
use super::blocking::{Find, Keys, Size};
use super::description::{
    ALL, ALLOC_MEMBERS, BLOCKING, Body, CAS, CONSISTENCY, Contents, DIFFS, Description, EVAL_PRIORITY, FORCE,
    HEALTH_OF, IDEMPOTENCY_TOKEN, LAYOUT, METRICS_FORMAT, NAMESPACE, OF_EVALUATIONS, PAGES, PEER, PREFIX,
    PURGE, Param, REGION, RESOURCES, SchemaOf, of,
};
use super::dispatch::Call;
use super::documents::agent::{
    AgentSelf, Health, LeadershipTransfer, Members, RaftConfiguration, StateHash, TimeResetAnswer,
};
use super::documents::alloc::{self, AllocStub};
use super::documents::autopilot::{AutopilotConfiguration, AutopilotHealth};
use super::documents::eval::EvalDocument;
use super::documents::feature_level::{FeatureLevels, RaisedLevel};
use super::documents::job::{Deregistered, Dispatched, Forced, Registered, Stability};
use super::documents::metrics::MetricsDocument;
use super::documents::node::{NodeDocument, NodeStub};
use super::documents::plan::PlanAnswer;
use super::documents::search::SearchResult;
use super::error::HttpError;
use super::handlers::{
    agent, allocations, autopilot, children, deployments, dry_runs, evaluations, feature_level, jobs, nodes,
    operator, registrations, search, system, versions,
};
use super::openapi;
use super::request::Request;

/// The methods that a route accepts. HEAD is accepted wherever GET is.
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
    /// Any method: Nomad ignores the method of a few reads, and clients may rely on that.
    Any,
}

impl Methods {
    /// Whether `method` is accepted.
    pub fn take(self, method: &Method) -> bool {
        match self {
            Methods::Get => method == Method::GET || method == Method::HEAD,
            Methods::Write => method == Method::PUT || method == Method::POST,
            Methods::Put => method == Method::PUT,
            Methods::Delete => method == Method::DELETE,
            Methods::Any => true,
        }
    }

    /// Returns the accepted methods, without the HEAD that comes with GET.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Methods::Get => &["GET"],
            Methods::Write => &["PUT", "POST"],
            Methods::Put => &["PUT"],
            Methods::Delete => &["DELETE"],
            Methods::Any => &["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"],
        }
    }

    /// Returns the name of these methods in metrics.
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

/// Everything about a route except its handler.
#[derive(Clone, Copy, Debug)]
pub struct RouteInfo {
    /// The accepted methods.
    pub methods: Methods,
    /// The path; `:id` stands for one segment, below `/v1/job/` for one or more.
    pub path: &'static str,
    /// Whether it supports blocking queries (`index` and `wait`).
    pub blocks: bool,
    /// Maximum size of its body, bytes; 0 if it reads no body.
    pub body_bytes_max: usize,
    /// The right that a caller needs.
    pub access: Access,
    /// Whether it refuses requests that name another region.
    pub regional: bool,
    /// Its part of the OpenAPI description.
    pub description: Description,
}

impl RouteInfo {
    /// Returns all query parameters that it reads.
    pub fn params(&self) -> impl Iterator<Item = Param> {
        let Description { own_params, answer, .. } = self.description;
        let layout = if matches!(answer, Contents::Nothing) { &[] } else { LAYOUT };
        let region = if self.regional { REGION } else { &[] };
        let namespace = if self.access.reads_namespace_of_query() { NAMESPACE } else { &[] };
        let read = if self.blocks { [BLOCKING, CONSISTENCY] } else { [&[][..]; 2] };
        let sets = own_params.iter().copied().chain(read).chain([layout, region, namespace]);
        sets.flatten().copied()
    }
}

/// What answers a route.
pub(super) enum Handler {
    /// A read of the tables.
    Read(Keys, Find, Size),
    /// A read of the tables whose parameters are in a body; the first function takes them into the request.
    Query(fn(&Api, &mut Request, &[u8]) -> Result<(), HttpError>, Keys, Find, Size),
    /// Reports what this server knows without reading its tables.
    Local(fn(&Api, &Request) -> Result<Answer, HttpError>),
    /// Anything else, such as a write.
    Act(fn(Call) -> BoxFuture<'static, Result<Answer, HttpError>>),
}

/// A route.
pub(super) struct Route {
    pub(super) info: RouteInfo,
    pub(super) handler: Handler,
}

const fn read(path: &'static str, access: Access, keys: Keys, find: Find, size: Size) -> Route {
    let description = Description { indexed: true, ..Description::NONE };
    let info = RouteInfo {
        methods: Methods::Get,
        path,
        blocks: true,
        body_bytes_max: 0,
        access,
        regional: true,
        description,
    };
    Route { info, handler: Handler::Read(keys, find, size) }
}

const fn query(
    path: &'static str,
    access: Access,
    take: fn(&Api, &mut Request, &[u8]) -> Result<(), HttpError>,
    keys: Keys,
    find: Find,
) -> Route {
    let info = RouteInfo {
        methods: Methods::Write,
        body_bytes_max: BODY_BYTES_MAX,
        ..read(path, access, keys, find, Size::List).info
    };
    Route { info, handler: Handler::Query(take, keys, find, Size::List) }
}

const fn local(
    path: &'static str,
    access: Access,
    answer: fn(&Api, &Request) -> Result<Answer, HttpError>,
) -> Route {
    let info = RouteInfo {
        methods: Methods::Get,
        path,
        blocks: false,
        body_bytes_max: 0,
        access,
        regional: false,
        description: Description::NONE,
    };
    Route { info, handler: Handler::Local(answer) }
}

const fn act(
    methods: Methods,
    path: &'static str,
    body_bytes_max: usize,
    access: Access,
    act: fn(Call) -> BoxFuture<'static, Result<Answer, HttpError>>,
) -> Route {
    let info = RouteInfo {
        methods,
        path,
        blocks: false,
        body_bytes_max,
        access,
        regional: true,
        description: Description::NONE,
    };
    Route { info, handler: Handler::Act(act) }
}

/// Makes a read accept any method.
const fn of_any_method(mut route: Route) -> Route {
    route.info.methods = Methods::Any;
    route
}

impl Route {
    /// Sets the summary, and the document of a successful answer.
    const fn answers(mut self, summary: &'static str, document: SchemaOf) -> Self {
        self.info.description.summary = summary;
        self.info.description.answer = Contents::Json(document);
        self
    }

    /// Sets the parameters that only this route has.
    const fn takes(mut self, params: &'static [&'static [Param]]) -> Self {
        self.info.description.own_params = params;
        self
    }

    /// Sets the schema of a required body.
    const fn reads(mut self, schema: SchemaOf) -> Self {
        self.info.description.body = Some(Body { schema, required: true });
        self
    }

    /// Sets the schema of an optional body.
    const fn may_read(mut self, schema: SchemaOf) -> Self {
        self.info.description.body = Some(Body { schema, required: false });
        self
    }

    /// Adds status 404, for an id that does not exist.
    const fn or_404(mut self) -> Self {
        self.info.description.misses = true;
        self
    }

    /// Adds status 409, for a request that the current state does not permit.
    const fn or_409(mut self) -> Self {
        self.info.description.conflicts = true;
        self
    }

    /// Sets the summary of a route whose answer has no body.
    const fn does(mut self, summary: &'static str) -> Self {
        self.info.description.summary = summary;
        self
    }

    /// Permits a text as the answer, if the request asks for it.
    const fn or_text(mut self) -> Self {
        if let Contents::Json(document) = self.info.description.answer {
            self.info.description.answer = Contents::JsonOrText(document);
        }
        self
    }

    /// Answers the same document with `status` if something is unhealthy.
    const fn or_unwell(mut self, status: &'static str) -> Self {
        if let Contents::Json(document) = self.info.description.answer {
            self.info.description.answer = Contents::Health(document, status);
        }
        self
    }

    /// Marks a write whose answer carries its index in a header.
    const fn indexed(mut self) -> Self {
        self.info.description.indexed = true;
        self
    }
}

use Access::{Agent, Management, Namespace, Node, Operator, Public, Rows};
use Capability::{DispatchJob, ListJobs, ParseJob, ReadJob, SubmitJob};

// Access to jobs:
const LIST_JOBS: Access = Rows(&[ListJobs], RowsOf::Query);
const READ_JOB: Access = Namespace(&[ReadJob], NamespaceOf::Query);
const SUBMIT_JOB: Access = Namespace(&[SubmitJob], NamespaceOf::Job);
const VALIDATE_JOB: Access = Namespace(&[ReadJob], NamespaceOf::Job);
const CHANGE_JOB: Access = Namespace(&[SubmitJob], NamespaceOf::Body);
const EVALUATE_JOB: Access = Namespace(&[ReadJob], NamespaceOf::Body);
const DISPATCH_JOB: Access = Namespace(&[DispatchJob], NamespaceOf::Body);
const FORCE_PERIODIC: Access = Namespace(&[DispatchJob, SubmitJob], NamespaceOf::Query);
const STOP_JOB: Access = Namespace(&[SubmitJob], NamespaceOf::Query);
const PARSE_JOB: Access = Namespace(&[ParseJob, SubmitJob], NamespaceOf::Query);
// Access to what belongs to jobs: allocations, evaluations, deployments.
const LIST_ROWS: Access = Rows(&[ReadJob], RowsOf::Query);
const READ_ROW: Access = Namespace(&[ReadJob], NamespaceOf::Row);
const ROWS_OF_EVALUATION: Access = Rows(&[ReadJob], RowsOf::Evaluation);
const ROWS_OF_NODE: Access = Rows(&[ReadJob], RowsOf::Node);
const SEARCH: Access = Rows(&[ReadJob], RowsOf::Search);

use Methods::{Delete, Get, Put, Write};
use Size::{List, Point};

/// All routes. A new route needs an entry here and a handler; everything else about routes is derived from this table.
#[rustfmt::skip]
pub(super) static ROUTES: &[Route] = &[
    read("/v1/jobs", LIST_JOBS, jobs::list_keys, jobs::list, List)
        .answers("Jobs, in the order of their namespaces and ids", of::<Vec<JobStub<'_>>>)
        .takes(&[PREFIX, PAGES]),
    act(Write, "/v1/jobs", JOB_BODY_BYTES_MAX, SUBMIT_JOB, registrations::register)
        .answers("Register a job, or a new version of it", of::<Registered<'_>>)
        .reads(of::<JobRegisterRequest>).indexed(),
    read("/v1/job/:id", READ_JOB, jobs::job_keys, jobs::job, Point)
        .answers("A job, in its newest version", of::<Job>).or_404(),
    act(Write, "/v1/job/:id", JOB_BODY_BYTES_MAX, SUBMIT_JOB, registrations::update)
        .answers("Register a job, or a new version of it", of::<Registered<'_>>)
        .reads(of::<JobRegisterRequest>).indexed().or_404(),
    act(Delete, "/v1/job/:id", 0, STOP_JOB, registrations::deregister)
        .answers("Stop a job", of::<Deregistered<'_>>).takes(&[PURGE, EVAL_PRIORITY]).indexed().or_404(),
    of_any_method(read("/v1/job/:id/summary", READ_JOB, jobs::summary_keys, jobs::summary, Point))
        .answers("How many allocations a job has in which state", of::<SummaryDocument<'_>>).or_404(),
    of_any_method(read("/v1/job/:id/versions", READ_JOB, jobs::job_keys, versions::list, List))
        .answers("The versions of a job, the newest first", versions::described)
        .takes(&[DIFFS]).or_404(),
    read("/v1/job/:id/allocations", READ_JOB, allocations::of_job_keys, allocations::of_job, List)
        .answers("The allocations of a job", of::<Vec<AllocStub<'_>>>)
        .takes(&[ALL, PAGES, ALLOC_MEMBERS]),
    read("/v1/job/:id/evaluations", READ_JOB, evaluations::of_job_keys, evaluations::of_job, List)
        .answers("The evaluations of a job", of::<Vec<EvalDocument<'_>>>).takes(&[PAGES]),
    read("/v1/job/:id/deployments", READ_JOB, deployments::of_job_keys, deployments::of_job, List)
        .answers("The deployments of a job", of::<Vec<DeploymentDocument<'_>>>).takes(&[ALL, PAGES]),
    read("/v1/job/:id/deployment", READ_JOB, deployments::of_job_keys, deployments::latest_of_job, List)
        .answers("The latest deployment of a job, or null", of::<Option<DeploymentDocument<'_>>>),
    act(Write, "/v1/job/:id/dispatch", BODY_BYTES_MAX, DISPATCH_JOB, children::dispatch)
        .answers("Launch a child of a parameterized job", of::<Dispatched<'_>>)
        .reads(of::<JobDispatchRequest>).takes(&[IDEMPOTENCY_TOKEN]).indexed(),
    act(Write, "/v1/job/:id/periodic/force", 0, FORCE_PERIODIC, children::force)
        .answers("Launch a child of a periodic job before its time", of::<Forced<'_>>).indexed(),
    act(Write, "/v1/job/:id/revert", BODY_BYTES_MAX, CHANGE_JOB, versions::revert)
        .answers("Register an earlier version of a job anew", of::<Registered<'_>>)
        .reads(of::<JobRevertRequest>).indexed(),
    act(Write, "/v1/job/:id/stable", BODY_BYTES_MAX, CHANGE_JOB, versions::stable)
        .answers("Mark a version of a job as stable, or as not", of::<Stability>)
        .reads(of::<JobStabilityRequest>).indexed(),
    act(Write, "/v1/job/:id/plan", JOB_BODY_BYTES_MAX, SUBMIT_JOB, dry_runs::plan)
        .answers("What the registration of a job would do", of::<PlanAnswer<'_>>)
        .reads(of::<JobPlanRequest>).indexed(),
    act(Write, "/v1/jobs/parse", JOB_BODY_BYTES_MAX, PARSE_JOB, dry_runs::parse)
        .answers("A jobspec as the job that it describes", of::<Map<String, Value>>)
        .reads(of::<ParseRequest>),
    act(Write, "/v1/validate/job", JOB_BODY_BYTES_MAX, VALIDATE_JOB, dry_runs::validate)
        .answers("Whether a job would be accepted", of::<ValidationDocument<'_>>)
        .reads(of::<JobValidateRequest>),
    act(Write, "/v1/job/:id/evaluate", BODY_BYTES_MAX, EVALUATE_JOB, registrations::evaluate)
        .answers("Evaluate a job anew", of::<Registered<'_>>)
        .may_read(of::<JobEvaluateRequest>).indexed(),
    read("/v1/allocations", LIST_ROWS, allocations::list_keys, allocations::list, List)
        .answers("Allocations, in the order of their ids", of::<Vec<AllocStub<'_>>>)
        .takes(&[PREFIX, PAGES, ALLOC_MEMBERS]),
    read("/v1/allocation/:id", READ_ROW, allocations::one_keys, allocations::one, Point)
        .answers("An allocation with its job", alloc::described).or_404(),
    read("/v1/evaluations", LIST_ROWS, evaluations::list_keys, evaluations::list, List)
        .answers("Evaluations, in the order of their ids", of::<Vec<EvalDocument<'_>>>)
        .takes(&[PREFIX, PAGES, OF_EVALUATIONS]),
    read("/v1/evaluation/:id", READ_ROW, evaluations::one_keys, evaluations::one, Point)
        .answers("An evaluation", of::<EvalDocument<'_>>).or_404(),
    read("/v1/evaluation/:id/allocations", ROWS_OF_EVALUATION, allocations::list_keys,
        allocations::of_evaluation, List)
        .answers("The allocations that an evaluation made", of::<Vec<AllocStub<'_>>>)
        .takes(&[PAGES, ALLOC_MEMBERS]),
    read("/v1/deployments", LIST_ROWS, deployments::list_keys, deployments::list, List)
        .answers("Deployments, in the order of their ids", of::<Vec<DeploymentDocument<'_>>>)
        .takes(&[PREFIX, PAGES]),
    read("/v1/deployment/:id", READ_ROW, deployments::one_keys, deployments::one, Point)
        .answers("A deployment", of::<DeploymentDocument<'_>>).or_404(),
    read("/v1/nodes", Node(Level::Read), nodes::list_keys, nodes::list, List)
        .answers("Nodes, in the order of their ids", of::<Vec<NodeStub<'_>>>).takes(&[PREFIX, PAGES, RESOURCES]),
    read("/v1/node/:id", Node(Level::Read), nodes::one_keys, nodes::one, Point)
        .answers("A node", of::<NodeDocument<'_>>).or_404(),
    read("/v1/node/:id/allocations", ROWS_OF_NODE, allocations::of_node_keys, allocations::of_node, List)
        .answers("The allocations of a node with their jobs", alloc::list_described).takes(&[PAGES]),
    query("/v1/search", SEARCH, search::take, search::keys, search::find)
        .answers("Ids of one context, or of all, that begin with a prefix", of::<SearchResult>)
        .reads(of::<SearchRequest>),
    local("/v1/openapi.json", Public, openapi::answer)
        .answers("This description", of::<Map<String, Value>>),
    local("/v1/status/leader", Public, agent::leader)
        .answers("The address of the leader; empty where there is none", of::<String>),
    local("/v1/status/peers", Public, agent::peers)
        .answers("The addresses of the servers that vote", of::<Vec<String>>),
    local("/v1/regions", Public, agent::regions)
        .answers("The regions", of::<Vec<String>>),
    local("/v1/agent/self", Agent(Level::Read), agent::itself)
        .answers("The agent that answers: its configuration and its figures", of::<AgentSelf>),
    local("/v1/agent/members", Node(Level::Read), agent::members)
        .answers("The servers that this one knows", of::<Members>),
    local("/v1/agent/servers", Agent(Level::Read), agent::servers)
        .answers("The servers that a node may turn to", of::<Vec<String>>),
    local("/v1/agent/health", Public, agent::health)
        .answers("Whether the agent's parts do their work", of::<Health>).takes(&[HEALTH_OF]).or_unwell("500"),
    local("/v1/metrics", Public, operator::metrics)
        .answers("Figures of the agent that answers", of::<MetricsDocument>)
        .takes(&[METRICS_FORMAT]).or_text(),
    act(Put, "/v1/system/reconcile/summaries", 0, Management, system::reconcile_summaries)
        .does("Count the jobs' allocations anew").indexed(),
    act(Get, "/v1/operator/raft/configuration", 0, Management, operator::raft_configuration)
        .answers("Who has a voice in raft", of::<RaftConfiguration>).takes(&[CONSISTENCY]),
    act(Delete, "/v1/operator/raft/peer", 0, Management, operator::remove_peer)
        .does("Remove a server that has failed, or another one by force").takes(&[PEER, FORCE])
        .or_404().or_409(),
    act(Write, "/v1/operator/raft/transfer-leadership", 0, Management, operator::transfer_leadership)
        .answers("Hand leadership to another voter", of::<LeadershipTransfer>).takes(&[PEER])
        .or_404().or_409(),
    act(Get, "/v1/operator/autopilot/configuration", 0, Operator(Level::Read), autopilot::configuration)
        .answers("How the leader looks after the servers", of::<AutopilotConfiguration>).takes(&[CONSISTENCY]),
    act(Write, "/v1/operator/autopilot/configuration", BODY_BYTES_MAX, Operator(Level::Write), autopilot::configure)
        .answers("Set how the leader looks after the servers; true where that was done", of::<bool>)
        .reads(of::<AutopilotConfigRequest>).takes(&[CAS]).indexed(),
    act(Get, "/v1/operator/autopilot/health", 0, Operator(Level::Read), autopilot::health)
        .answers("How the servers are, by the leader's word", of::<AutopilotHealth>).or_unwell("429"),
    act(Get, "/v1/operator/ordu/state-hash", 0, Operator(Level::Read), operator::state_hash_handler)
        .answers("A hash that is equal on servers that have applied the same", of::<StateHash>)
        .takes(&[CONSISTENCY]),
    act(Get, "/v1/operator/ordu/feature-level", 0, Operator(Level::Read), feature_level::levels)
        .answers("The cluster's feature level, and what each server knows, by the leader's word", of::<FeatureLevels>),
    act(Put, "/v1/operator/ordu/feature-level/raise", 0, Operator(Level::Write), feature_level::raise)
        .answers("Raise the feature level to the highest that every server knows", of::<RaisedLevel>).or_409(),
    #[cfg(feature = "next-level")]
    act(Put, "/v1/operator/ordu/note", 0, Operator(Level::Write), super::handlers::notes::put)
        .does("Store a note, of the feature level that no release has").indexed().or_409(),
    act(Put, "/v1/operator/ordu/time/reset", 0, Operator(Level::Write), operator::reset_time)
        .answers("Mend what a wrong clock wrote: time and periodic launches go on from now", of::<TimeResetAnswer>)
        .indexed().or_409(),
];

/// Formats the methods of these routes for an Allow header.
pub(super) fn allowed(numbers: &[usize]) -> String {
    let taken = |method: &&str| {
        let method = Method::try_from(*method);
        numbers
            .iter()
            .any(|number| method.as_ref().is_ok_and(|method| ROUTES[*number].info.methods.take(method)))
    };
    let methods = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"];
    methods.into_iter().filter(|method| taken(method)).collect::<Vec<&str>>().join(", ")
}

/// Returns all routes.
pub fn routes() -> impl Iterator<Item = RouteInfo> {
    ROUTES.iter().map(|route| route.info)
}

/// Ids below this path may contain slashes.
pub(super) const SLASHES_BELOW: &str = "/v1/job/";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::matcher::{Matched, Matcher};

    #[test]
    fn the_table_names_every_path_and_method_once_and_bounds_every_body() {
        for (number, route) in ROUTES.iter().enumerate() {
            let info = route.info;
            let same = |other: &&Route| other.info.path == info.path && other.info.methods == info.methods;
            assert_eq!(1, ROUTES.iter().filter(same).count(), "{info:?}");
            assert!(info.path.starts_with("/v1/"), "{info:?}");
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
