//! The two kinds of documents, and the rules of a single document.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::API_VERSION;
use crate::path::{FieldPath, Segment};
use crate::route::QoERouteSpec;
use crate::standalone::error::LoadError;
use crate::standalone::model::{EndpointSpec, NamedRoute, Scheduling};
use crate::standalone::strict;
use crate::standalone::yaml::{Document, Node, Tree};

/// The content of a document.
pub(super) enum Parsed {
    /// A `QoERoute` document.
    Route(Box<NamedRoute>),
    /// An `EndpointList` document: endpoints, each with its path in the document.
    Endpoints(Vec<(EndpointSpec, FieldPath)>),
}

/// The fields of a `QoERoute` document. `kind` has already checked `apiVersion` and `kind`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RouteDocument {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    // A cluster adds fields to metadata, so any field is accepted here.
    #[schemars(with = "Value")]
    metadata: Metadata,
    #[serde(default)]
    spec: QoERouteSpec,
    // Documents that were copied from a cluster have a status. It is ignored.
    #[serde(rename = "status", default)]
    _status: Value,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: Option<String>,
}

/// The fields of an `EndpointList` document.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EndpointListDocument {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(rename = "metadata", default)]
    _metadata: Value,
    endpoints: Vec<EndpointEntry>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "an endpoint with name and url")]
struct EndpointEntry {
    name: String,
    url: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    scheduling: Scheduling,
}

/// Reads one document, or returns every error in it.
pub(super) fn parse(document: &Document) -> Result<Parsed, Vec<LoadError>> {
    match kind(document).map_err(|error| vec![error])? {
        Kind::Route => typed::<RouteDocument>(document).and_then(|read| route(read, document)),
        Kind::EndpointList => {
            typed::<EndpointListDocument>(document).and_then(|read| endpoints(read, document))
        }
    }
}

enum Kind {
    Route,
    EndpointList,
}

fn kind(document: &Document) -> Result<Kind, LoadError> {
    let refuse = |field: &str, message: String| {
        let path = if field.is_empty() { FieldPath::default() } else { FieldPath::of(field) };
        Err(document.site(path).error(message))
    };
    if !matches!(document.root.tree, Tree::Map(_)) {
        return refuse(
            "",
            "not a document: write a mapping with apiVersion, kind and spec".to_owned(),
        );
    }
    let text = |field| document.root.get(field).and_then(Node::as_str);
    let kind = match text("kind") {
        Some("QoERoute") => Kind::Route,
        Some("EndpointList") => Kind::EndpointList,
        Some(other) => {
            let message = format!("unknown kind `{other}`, expected QoERoute or EndpointList");
            return refuse("kind", message);
        }
        None => return refuse("kind", "missing: write QoERoute or EndpointList".to_owned()),
    };
    match text("apiVersion") {
        Some(API_VERSION) => Ok(kind),
        Some(other) => {
            let message = format!("unknown version `{other}`, expected {API_VERSION}");
            refuse("apiVersion", message)
        }
        None => refuse("apiVersion", format!("missing: write {API_VERSION}")),
    }
}

/// Deserializes the document. Unknown fields and the first field of a wrong type are errors.
fn typed<T: DeserializeOwned + JsonSchema>(document: &Document) -> Result<T, Vec<LoadError>> {
    let mut errors = strict::unknown_fields::<T>(document);
    match serde_path_to_error::deserialize::<_, T>(document.root.to_json()) {
        Ok(read) if errors.is_empty() => return Ok(read),
        Ok(_) => {}
        Err(error) => {
            let path = field_path(error.path());
            errors.push(document.site(path).error(in_plain_words(error.inner())));
        }
    }
    Err(errors)
}

/// The error message, with Rust's number types replaced by words that users know.
fn in_plain_words(error: &serde_json::Error) -> String {
    let message = error.to_string();
    [("u32", "a whole number"), ("u64", "a whole number"), ("f64", "a number")]
        .into_iter()
        .find_map(|(kind, words)| Some(format!("{}{words}", message.strip_suffix(kind)?)))
        .unwrap_or(message)
}

fn field_path(path: &serde_path_to_error::Path) -> FieldPath {
    use serde_path_to_error::Segment as Step;
    path.iter()
        .filter_map(|step| match step {
            Step::Seq { index } => Some(Segment::Index(*index)),
            Step::Map { key } => Some(Segment::Key(key.clone())),
            Step::Enum { variant } => Some(Segment::Key(variant.clone())),
            Step::Unknown => None,
        })
        .collect()
}

fn route(read: RouteDocument, document: &Document) -> Result<Parsed, Vec<LoadError>> {
    let metadata = read.metadata;
    let names = [("name", Some(&metadata.name)), ("namespace", metadata.namespace.as_ref())];
    let bad_names = names.into_iter().filter(|(_, name)| name.is_some_and(|n| !is_object_name(n)));
    let mut errors: Vec<_> = bad_names
        .map(|(field, _)| {
            let site = document.site(FieldPath::of("metadata").key(field));
            site.error("invalid name: use up to 253 lower-case letters, digits, `-` and `.`")
        })
        .collect();
    errors.extend(read.spec.validate().into_iter().map(|violation| {
        document.site(FieldPath::of("spec").join(&violation.path)).error(violation.message)
    }));
    if !errors.is_empty() {
        return Err(errors);
    }
    let (name, namespace) = (metadata.name, metadata.namespace);
    Ok(Parsed::Route(Box::new(NamedRoute { name, namespace, spec: read.spec })))
}

fn endpoints(read: EndpointListDocument, document: &Document) -> Result<Parsed, Vec<LoadError>> {
    let mut errors = Vec::new();
    let mut listed = Vec::new();
    for (i, entry) in read.endpoints.into_iter().enumerate() {
        let path = FieldPath::of("endpoints").index(i);
        let site = document.site(path.clone());
        if !is_endpoint_name(&entry.name) {
            let message = "invalid name: use up to 253 letters, digits, `-`, `.` and `_`";
            errors.push(site.key("name").error(message));
        }
        for (model, name) in entry.models.iter().enumerate() {
            if name.is_empty() {
                let site = document.site(path.key("models").index(model));
                errors.push(site.error("empty name: remove it or fill it in"));
            }
        }
        match entry.url.parse() {
            Err(error) => errors.push(site.key("url").error(format!("`{}`: {error}", entry.url))),
            Ok(url) => {
                let EndpointEntry { name, labels, tags, models, scheduling, .. } = entry;
                let endpoint = EndpointSpec { name, url, labels, tags, models, scheduling };
                listed.push((endpoint, path));
            }
        }
    }
    if errors.is_empty() { Ok(Parsed::Endpoints(listed)) } else { Err(errors) }
}

/// Whether Kubernetes would accept the name (a DNS subdomain), so that the document can move to a cluster.
fn is_object_name(name: &str) -> bool {
    let is_edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_label = |label: &str| {
        label.bytes().all(|b| is_edge(b) || b == b'-')
            && label.bytes().next().is_some_and(is_edge)
            && label.bytes().next_back().is_some_and(is_edge)
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Whether the name can be used unescaped in a header, a metric label, and a log line.
fn is_endpoint_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (1..=253).contains(&name.len()) && name.bytes().all(is_plain)
}
