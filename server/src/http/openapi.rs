//! `/v1/openapi.json`: the OpenAPI description, generated from the table of routes and the types of the bodies.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use schemars::generate::{Contract, SchemaSettings};
use schemars::transform::RecursiveTransform;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::Api;
use super::answer::{Answer, Encoded, encode};
use super::description::{Body, Contents, ParamKind};
use super::error::HttpError;
use super::request::Request;
use super::routes::{RouteInfo, routes};

const INTRODUCTION: &str = "The HTTP API of Nomad, as far as Ordu serves it. HEAD goes wherever GET does. \
     Bodies are JSON whatever their content type says; the names of their members are read in any case, \
     members that are not known are skipped, and null is read as nothing said. A refusal that Nomad \
     tells with status 500 has its text and a status of 4xx here: 5xx is a fault of the servers. \
     x-ordu-access tells the right that an operation needs, in the words of Nomad's policies; access is not \
     controlled yet, so that everyone has all of them.";

/// Error responses: status, name, meaning.
const REFUSALS: [(&str, &str, &str); 11] = [
    ("400", "BadRequest", "The request cannot be read, or is refused; the text says why."),
    ("403", "Forbidden", "A browser asks under a foreign name, or for a page of another origin."),
    ("404", "NotFound", "Nothing has this id."),
    ("408", "RequestTimeout", "The body did not arrive in time."),
    ("409", "Conflict", "It cannot be done as things stand; the text says why, and what to do before."),
    ("413", "ContentTooLarge", "The body is longer than the bound that the text tells."),
    ("414", "UriTooLong", "The path and the query are too long."),
    (
        "429",
        "TooManyRequests",
        "The server holds as many blocking queries as it will, or as much for this client.",
    ),
    ("500", "Fault", "A fault of the servers, or there is no leader; the text says which."),
    (
        "503",
        "Unavailable",
        "The server has too much in hand, is shutting down, or the leader has just changed.",
    ),
    ("507", "InsufficientStorage", "There is too little room on the servers' disks for new work."),
];

static DOCUMENT: LazyLock<Vec<u8>> = LazyLock::new(|| encode(&document()));

/// `GET /v1/openapi.json`.
pub(super) fn answer(_: &Api, request: &Request) -> Result<Answer, HttpError> {
    Ok(Answer::plain(Encoded::json(request, None, DOCUMENT.clone())))
}

fn generator(contract: Contract) -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.contract = contract;
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    // A missing member means the same as null; what the code uses for it is no part of the API.
    let without_defaults = RecursiveTransform(|schema: &mut Schema| {
        schema.remove("default");
    });
    settings.with_transform(without_defaults).into_generator()
}

/// Generates the schemas of answers and requests. A type used in both gets two schemas: members that are always
/// written may be missing in requests.
struct Describer {
    written: SchemaGenerator,
    read: SchemaGenerator,
}

fn document() -> Value {
    let mut describer =
        Describer { written: generator(Contract::Serialize), read: generator(Contract::Deserialize) };
    let mut paths = Map::new();
    let mut parameters = Map::new();
    for route in routes() {
        let path = paths.entry(route.path.replace(":id", "{id}")).or_insert_with(|| json!({}));
        for method in route.methods.names() {
            path[method.to_lowercase()] = describer.operation(&route, method);
        }
        for param in route.params() {
            parameters.insert(param.name.to_owned(), parameter(&param));
        }
    }
    let (mut schemas, mut read) =
        (describer.written.take_definitions(true), describer.read.take_definitions(true));
    let both: BTreeSet<String> = read.keys().filter(|name| schemas.contains_key(*name)).cloned().collect();
    for schema in read.values_mut() {
        rename(schema, &both);
    }
    for operation in paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        if let Some(body) = operation.get_mut("requestBody") {
            rename(body, &both);
        }
    }
    schemas.extend(read.into_iter().map(|(name, schema)| (input_name(&name, &both), schema)));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ordu",
            "description": INTRODUCTION,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "parameters": parameters,
            "headers": headers(),
            "responses": refusals(),
            "schemas": schemas,
        },
    })
}

fn input_name(name: &str, both: &BTreeSet<String>) -> String {
    if both.contains(name) { format!("{name}Input") } else { name.to_owned() }
}

/// Redirects references to schemas of `both` to their variants for requests.
fn rename(schema: &mut Value, both: &BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(target)) = members.get_mut("$ref")
                && let Some((place, name)) = target.rsplit_once('/')
            {
                *target = format!("{place}/{}", input_name(name, both));
            }
            members.values_mut().for_each(|member| rename(member, both));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, both)),
        _ => {}
    }
}

fn parameter(param: &super::description::Param) -> Value {
    let mut parameter = json!({
        "name": param.name,
        "in": "query",
        "description": param.meaning,
        "schema": param.kind.schema(),
    });
    if param.kind == ParamKind::Switch {
        parameter["allowEmptyValue"] = true.into();
    }
    parameter
}

fn headers() -> Value {
    json!({
        "Index": {
            "description": "The index of what was read or written.",
            "schema": { "type": "integer", "format": "uint64", "minimum": 0 },
        },
        "KnownLeader": {
            "description": "Whether the server knows a leader.",
            "schema": { "type": "string", "enum": ["true", "false"] },
            "required": true,
        },
        "LastContact": {
            "description": "How old what was read may be, in milliseconds.",
            "schema": { "type": "integer", "format": "uint64", "minimum": 0 },
            "required": true,
        },
        "NextToken": {
            "description": "What the next page is asked for by; not there on the last one.",
            "schema": { "type": "string" },
        },
    })
}

fn refusals() -> Map<String, Value> {
    let refusal = |(_, name, meaning): (&str, &str, &str)| {
        let content = json!({ "text/plain": { "schema": { "type": "string" } } });
        (name.to_owned(), json!({ "description": meaning, "content": content }))
    };
    REFUSALS.into_iter().map(refusal).collect()
}

impl Describer {
    fn operation(&mut self, route: &RouteInfo, method: &str) -> Value {
        let mut parameters: Vec<Value> =
            route.params().map(|param| reference("parameters", param.name)).collect();
        if route.path.contains(":id") {
            parameters.insert(0, path_id(route));
        }
        let mut operation = json!({
            "operationId": operation_id(method, route.path),
            "tags": [route.path.split('/').nth(2).unwrap_or_default()],
            "summary": route.description.summary,
            "parameters": parameters,
            "responses": self.responses(route),
            "x-ordu-access": route.access.to_string(),
        });
        if let Some(Body { schema, required }) = route.description.body {
            let schema = schema(&mut self.read);
            operation["requestBody"] =
                json!({ "required": required, "content": { "application/json": { "schema": schema } } });
        }
        operation
    }

    fn responses(&mut self, route: &RouteInfo) -> Value {
        let description = &route.description;
        let applies = |status: &str| match status {
            "404" => description.misses || route.path.contains(":id"),
            "409" => description.conflicts,
            "507" => description.indexed,
            "408" | "413" => route.body_bytes_max > 0,
            _ => true,
        };
        let mut responses: Map<String, Value> = REFUSALS
            .iter()
            .filter(|(status, _, _)| applies(status))
            .map(|(status, name, _)| ((*status).to_owned(), reference("responses", name)))
            .collect();
        let (content, unwell) = self.contents(description.answer);
        let mut answered = json!({ "description": description.summary, "headers": headers_of(route) });
        if let Some(content) = content {
            answered["content"] = content;
        }
        responses.insert("200".to_owned(), answered);
        if let Some((status, content)) = unwell {
            let meaning = "Something is not well, or was refused.";
            responses.insert(status.to_owned(), json!({ "description": meaning, "content": content }));
        }
        responses.into()
    }

    /// Returns the contents of a successful answer, and those of an unhealthy one with its status.
    fn contents(&mut self, answer: Contents) -> (Option<Value>, Option<(&'static str, Value)>) {
        let text = json!({ "schema": { "type": "string" } });
        let json = |schema: Schema| json!({ "application/json": { "schema": schema } });
        match answer {
            Contents::Nothing => (None, None),
            Contents::Json(schema) => (Some(json(schema(&mut self.written))), None),
            Contents::JsonOrText(schema) => {
                let mut content = json(schema(&mut self.written));
                content["text/plain"] = text;
                (Some(content), None)
            }
            Contents::Health(schema, status) => {
                let content = json(schema(&mut self.written));
                let mut unwell = content.clone();
                unwell["text/plain"] = text;
                (Some(content), Some((status, unwell)))
            }
        }
    }
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

fn headers_of(route: &RouteInfo) -> Map<String, Value> {
    let pages = route.params().any(|param| param.name == "next_token");
    [
        ("X-Nomad-Index", "Index", route.description.indexed),
        ("X-Nomad-KnownLeader", "KnownLeader", route.blocks),
        ("X-Nomad-LastContact", "LastContact", route.blocks),
        ("X-Nomad-NextToken", "NextToken", pages),
    ]
    .into_iter()
    .filter(|(_, _, told)| *told)
    .map(|(header, name, _)| (header.to_owned(), reference("headers", name)))
    .collect()
}

/// Describes the path's id.
fn path_id(route: &RouteInfo) -> Value {
    let (meaning, schema) = if route.path.starts_with(super::routes::SLASHES_BELOW) {
        (
            "The job's id; slashes in it may be written as they are.",
            json!({ "type": "string", "minLength": 1 }),
        )
    } else {
        ("The whole UUID.", json!({ "type": "string", "format": "uuid" }))
    };
    json!({ "name": "id", "in": "path", "required": true, "description": meaning, "schema": schema })
}

/// Builds the operation's id from the method and the words of the path.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.trim_start_matches("/v1/").split(|separator: char| !separator.is_ascii_alphanumeric());
    let mut name = method.to_lowercase();
    for word in words.filter(|word| !word.is_empty()) {
        let (first, rest) = word.split_at(1);
        name.push_str(&first.to_ascii_uppercase());
        name.push_str(rest);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Collects all values of members called `name`, at any depth.
    fn values_of<'v>(name: &str, value: &'v Value, found: &mut Vec<&'v Value>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get(name));
                members.values().for_each(|member| values_of(name, member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| values_of(name, item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_route_and_method_of_the_table_is_described_once_and_nothing_else() {
        let document = document();
        let mut told: Vec<(String, String)> = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            let methods = operations.as_object().unwrap().keys();
            told.extend(methods.map(|method| (path.replace("{id}", ":id"), method.to_uppercase())));
        }
        let names = |route: RouteInfo| {
            route.methods.names().iter().map(move |method| (route.path.to_owned(), (*method).to_owned()))
        };
        let mut table: Vec<(String, String)> = routes().flat_map(names).collect();
        told.sort();
        table.sort();
        assert_eq!(table, told);
        let mut ids = Vec::new();
        values_of("operationId", &document, &mut ids);
        let distinct: BTreeSet<&str> = ids.iter().map(|id| id.as_str().unwrap()).collect();
        assert_eq!((table.len(), table.len()), (ids.len(), distinct.len()));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut references = Vec::new();
        values_of("$ref", &document, &mut references);
        assert!(references.len() > 100, "{}", references.len());
        for reference in references {
            let reference = reference.as_str().unwrap();
            let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads away"));
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }

    #[test]
    fn every_route_says_what_it_is_for_and_a_parameter_means_the_same_everywhere() {
        let mut known: Vec<super::super::description::Param> = Vec::new();
        for route in routes() {
            assert!(!route.description.summary.is_empty(), "{route:?}");
            assert_eq!(route.body_bytes_max > 0, route.description.body.is_some(), "{route:?}");
            let mut own = BTreeSet::new();
            for param in route.params() {
                assert!(own.insert(param.name), "{} has {} twice", route.path, param.name);
                match known.iter().find(|other| other.name == param.name) {
                    Some(other) => assert_eq!(*other, param, "{}", route.path),
                    None => known.push(param),
                }
            }
        }
    }

    #[test]
    fn types_have_names_of_their_own() {
        // Two types with one name get numbers in the order of the table, on which clients cannot rely.
        for name in document()["components"]["schemas"].as_object().unwrap().keys() {
            assert!(!name.ends_with(|last: char| last.is_ascii_digit()), "{name}");
        }
    }
}
