//! How requests are read, and how long and how large they may be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{BODY_BYTES, CONNECT_MILLISECONDS, IN_FLIGHT, QUEUED, TIMEOUT_SECONDS, cel};

/// Names of the request headers the router reads. Upper and lower case are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = cel!(
    "[self.priority, self.expectedOutputTokens, self.slaTarget, self.session].all(a, \
     [self.priority, self.expectedOutputTokens, self.slaTarget, self.session]\
     .exists_one(b, a.lowerAscii() == b.lowerAscii()))"
        => "two of the headers have the same name: give each its own",
    "[self.priority, self.expectedOutputTokens, self.slaTarget, self.session].all(name, \
     !(name.lowerAscii() in ['authorization', 'connection', 'host', 'keep-alive', \
     'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', \
     'transfer-encoding', 'upgrade', 'x-request-id']) \
     && !name.lowerAscii().startsWith('content-'))"
        => "a header has another meaning in HTTP already: take a name of your own, such as \
            x-request-priority",
)))]
pub struct Headers {
    /// 1 high, 2 medium, 3 low.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    pub priority: String,
    /// How many tokens the client expects in the answer.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    pub expected_output_tokens: String,
    /// The request's own TTFT target, in milliseconds.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    pub sla_target: String,
    /// What the requests of one conversation have in common. It is shown with each request; endpoints are not chosen
    /// by it.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    pub session: String,
}

impl Default for Headers {
    fn default() -> Self {
        Self {
            priority: "x-request-priority".to_owned(),
            expected_output_tokens: "x-expected-output-tokens".to_owned(),
            sla_target: "x-sla-target-ms".to_owned(),
            session: "x-session-id".to_owned(),
        }
    }
}

/// How long the router waits for an endpoint before it goes to another one or gives up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// To connect, in milliseconds.
    #[schemars(range(min = CONNECT_MILLISECONDS.min, max = CONNECT_MILLISECONDS.max))]
    pub connect_milliseconds: u32,
    /// From the request to the first token of the answer, in seconds.
    #[schemars(range(min = TIMEOUT_SECONDS.min, max = TIMEOUT_SECONDS.max))]
    pub first_token_seconds: u32,
    /// For the prefill of a handoff, in seconds; then another way is taken.
    #[schemars(range(min = TIMEOUT_SECONDS.min, max = TIMEOUT_SECONDS.max))]
    pub prefill_seconds: u32,
    /// Without a byte in the middle of an answer, in seconds.
    #[schemars(range(min = TIMEOUT_SECONDS.min, max = TIMEOUT_SECONDS.max))]
    pub idle_seconds: u32,
    /// For a whole answer that is not streamed, in seconds.
    #[schemars(range(min = TIMEOUT_SECONDS.min, max = TIMEOUT_SECONDS.max))]
    pub answer_seconds: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_milliseconds: 1_000,
            first_token_seconds: 120,
            prefill_seconds: 60,
            idle_seconds: 120,
            answer_seconds: 600,
        }
    }
}

/// How much the route takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// The largest request body, in bytes; a larger one is answered 413.
    #[schemars(range(min = BODY_BYTES.min, max = BODY_BYTES.max))]
    pub max_body_bytes: u64,
    /// The most requests in flight at endpoints, in each router; others wait in its queue. 0 means no limit.
    #[schemars(range(min = IN_FLIGHT.min, max = IN_FLIGHT.max))]
    pub max_in_flight: u32,
    /// The most requests that wait, in each router, for an endpoint that has room; then the least urgent is answered
    /// 429. Requests wait with the policy `Predictive`, and wherever `maxInFlight` is set. 0 means none waits.
    #[schemars(range(min = QUEUED.min, max = QUEUED.max))]
    pub max_queued: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_body_bytes: 32 << 20, max_in_flight: 0, max_queued: 1024 }
    }
}
