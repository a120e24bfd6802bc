//! Search by prefix: the contexts that can be searched, and decoding of the request.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::job::{BodyError, read_body};

/// Name that stands for all contexts.
const ALL: &str = "all";

/// What is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Allocations, by id.
    Allocs,
    /// Jobs, by id.
    Jobs,
    /// Nodes, by id.
    Nodes,
    /// Evaluations, by id.
    Evals,
    /// Deployments, by id.
    Deployments,
    /// CSI plugins; there are none.
    Plugins,
    /// CSI volumes; there are none.
    Volumes,
    /// Scaling policies; there are none.
    ScalingPolicies,
    /// Namespaces, by name.
    Namespaces,
}

impl Context {
    /// All contexts, in the order in which Nomad lists them.
    pub const ALL: [Context; 9] = [
        Context::Allocs,
        Context::Jobs,
        Context::Nodes,
        Context::Evals,
        Context::Deployments,
        Context::Plugins,
        Context::Volumes,
        Context::ScalingPolicies,
        Context::Namespaces,
    ];

    /// Returns its name in requests and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Context::Allocs => "allocs",
            Context::Jobs => "jobs",
            Context::Nodes => "nodes",
            Context::Evals => "evals",
            Context::Deployments => "deployment",
            Context::Plugins => "plugins",
            Context::Volumes => "volumes",
            Context::ScalingPolicies => "scaling_policy",
            Context::Namespaces => "namespaces",
        }
    }

    /// Returns the contexts that a request names: one, or all of them.
    ///
    /// # Errors
    /// Fails with Nomad's text if there is no such context.
    pub fn named(name: &str) -> Result<Vec<Context>, String> {
        if name == ALL {
            return Ok(Context::ALL.to_vec());
        }
        let context = Context::ALL.into_iter().find(|context| context.name() == name);
        context.map(|context| vec![context]).ok_or_else(|| {
            let known = Context::ALL.map(Context::name).join(" ");
            format!("context must be one of [{known}] or 'all' for all contexts; got {name:?}")
        })
    }
}

/// Body of a search.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct SearchRequest {
    /// Beginning of the ids that are searched for; empty for all ids.
    pub prefix: String,
    /// Name of a context, or `all`.
    pub context: String,
    /// Target region; empty for the local region.
    pub region: String,
    /// Namespace, unless the query names one.
    pub namespace: String,
}

/// Decodes a search. [`Context::named`] checks the context.
///
/// # Errors
/// Fails if the body is empty or cannot be read.
pub fn decode_search(body: &[u8]) -> Result<SearchRequest, BodyError> {
    read_body(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_read_whatever_the_case_of_its_members() {
        let expected =
            SearchRequest { prefix: "a".into(), context: "jobs".into(), ..SearchRequest::default() };
        for body in [
            r#"{"Prefix": "a", "Context": "jobs"}"#,
            r#"{"prefix": "a", "CONTEXT": "jobs", "Namespace": null, "AllowStale": true}"#,
        ] {
            assert_eq!(Ok(&expected), decode_search(body.as_bytes()).as_ref(), "{body}");
        }
        for (body, words) in
            [("", "Request body is empty"), ("[]", "cannot unmarshal"), ("{", "unexpected EOF")]
        {
            let refused = decode_search(body.as_bytes()).expect_err("it is no search");
            assert!(refused.status == 400 && refused.text.contains(words), "{body}: {refused}");
        }
    }

    #[test]
    fn a_context_is_named_alone_or_with_all_others() {
        for context in Context::ALL {
            assert_eq!(Ok(vec![context]), Context::named(context.name()));
        }
        assert_eq!(Ok(Context::ALL.to_vec()), Context::named("all"));
        for unknown in ["planets", "", "Jobs"] {
            let expected = format!(
                "context must be one of [allocs jobs nodes evals deployment plugins volumes scaling_policy \
                 namespaces] or 'all' for all contexts; got {unknown:?}"
            );
            assert_eq!(Err(expected), Context::named(unknown));
        }
    }
}
