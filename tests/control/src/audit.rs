//! What the API server wrote down about who asked for what.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// One request to the API server, as it was answered. A watch is there twice: when it began and when it ended.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it came, by the wall clock.
    pub at: Timestamp,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: String,
    /// `group/resource/subresource`, without what is empty.
    pub resource: String,
    /// Its namespace; empty for all, or none.
    pub namespace: String,
    /// The HTTP status of the answer.
    pub code: u16,
}

impl Call {
    /// Whether it changed something.
    #[must_use]
    pub fn wrote(&self) -> bool {
        self.code < 300 && !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// The audit log.
#[derive(Debug)]
pub struct Audit(pub(crate) PathBuf);

impl Audit {
    /// What a user asked for so far, in the order it was answered.
    ///
    /// # Panics
    /// There is no log.
    #[must_use]
    pub fn of(&self, user: &str) -> Vec<Call> {
        let text = std::fs::read_to_string(&self.0).expect("an audit log");
        // The last line may still be being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let named = format!("\"username\":\"{user}\"");
        whole.lines().filter(|line| line.contains(&named)).filter_map(call).collect()
    }

    /// What a user wrote to statuses of routes so far.
    #[must_use]
    pub fn status_writes(&self, user: &str) -> usize {
        let writes = |call: &&Call| call.wrote() && call.resource.ends_with("qoeroutes/status");
        self.of(user).iter().filter(writes).count()
    }

    /// The kinds of requests of a user: verb and resource.
    #[must_use]
    pub fn kinds(&self, user: &str) -> BTreeSet<(String, String)> {
        self.of(user).into_iter().map(|call| (call.verb, call.resource)).collect()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    verb: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: Value,
    request_received_timestamp: Timestamp,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    resource: String,
    namespace: String,
    api_group: String,
    subresource: String,
}

fn call(line: &str) -> Option<Call> {
    let line: Line = serde_json::from_str(line).ok()?;
    let ObjectRef { resource, namespace, api_group, subresource } = line.object_ref;
    let parts = [api_group, resource, subresource];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Some(Call {
        at: line.request_received_timestamp,
        verb: line.verb,
        resource: parts.join("/"),
        namespace,
        code: line.response_status["code"].as_u64().and_then(|c| u16::try_from(c).ok())?,
    })
}
