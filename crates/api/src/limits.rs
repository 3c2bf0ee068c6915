//! Request headers, timeouts, and limits of a route.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{BODY_BYTES, CONNECT_MILLISECONDS, IN_FLIGHT, QUEUED, TIMEOUT_SECONDS, cel};

/// Names of the request headers that the router reads. Case does not matter.
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
        => "a header name is reserved by HTTP or by the router: choose another name, such as \
            x-request-priority",
)))]
pub struct Headers {
    /// Header with the priority: 1 high, 2 medium, 3 low.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    pub priority: String,
    /// Header with the number of output tokens that the client expects.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    pub expected_output_tokens: String,
    /// Header with the TTFT target of the request, in milliseconds.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    pub sla_target: String,
    /// Header with an identifier of the conversation. `/debug/requests` shows it; routing does not use it.
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

/// How long the router waits for an endpoint before it tries another one or fails the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// Time to connect to an endpoint, in milliseconds.
    #[schemars(range(min = CONNECT_MILLISECONDS.min, max = CONNECT_MILLISECONDS.max))]
    pub connect_milliseconds: u32,
    /// Time from sending a streamed request to its first token, in seconds.
    #[schemars(range(min = TIMEOUT_SECONDS.min, max = TIMEOUT_SECONDS.max))]
    pub first_token_seconds: u32,
    /// Time for the prefill of a handoff, in seconds. When it expires, the router falls back to another plan.
    #[schemars(range(min = TIMEOUT_SECONDS.min, max = TIMEOUT_SECONDS.max))]
    pub prefill_seconds: u32,
    /// Time without any byte in the middle of an answer, or in either direction of a WebSocket, in seconds.
    #[schemars(range(min = TIMEOUT_SECONDS.min, max = TIMEOUT_SECONDS.max))]
    pub idle_seconds: u32,
    /// Time for an answer that is not streamed, in seconds.
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

/// How much the route accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// The largest request body, in bytes. Larger ones are answered 413.
    #[schemars(range(min = BODY_BYTES.min, max = BODY_BYTES.max))]
    pub max_body_bytes: u64,
    /// The maximum number of requests in flight at endpoints, per router. Further requests wait in the router's
    /// queue. 0 means no limit.
    #[schemars(range(min = IN_FLIGHT.min, max = IN_FLIGHT.max))]
    pub max_in_flight: u32,
    /// The maximum number of requests that wait for an endpoint, per router. When the queue is full, the least urgent
    /// request is answered 429. Requests wait with the policy `Predictive` and wherever `maxInFlight` is set. 0
    /// disables waiting.
    #[schemars(range(min = QUEUED.min, max = QUEUED.max))]
    pub max_queued: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_body_bytes: 32 << 20, max_in_flight: 0, max_queued: 1024 }
    }
}
