//! The record of a request that ended, for `/debug/requests` and its log line. It holds no prompt text.

use std::sync::Arc;

use qoe_core::flight::timings::{Outcome, Timings};
use qoe_core::phase::Phase;
use qoe_core::plan::reason::Reason;
use serde::Serialize;

/// A request that ended.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    /// Milliseconds since the Unix epoch, at its end.
    pub(crate) ended_at_ms: u64,
    pub(crate) request_id: Box<str>,
    pub(crate) route: Arc<str>,
    pub(crate) api: &'static str,
    pub(crate) model: Option<Box<str>>,
    /// The conversation it belongs to, by the client's name for it.
    pub(crate) session: Option<Box<str>>,
    /// The phase that the request began with.
    pub(crate) phase: Phase,
    pub(crate) priority: &'static str,
    pub(crate) stream: bool,
    pub(crate) prompt_tokens: u64,
    /// `local` or `handoff`: the last plan, if there was one.
    pub(crate) plan: Option<&'static str>,
    pub(crate) reason: Option<Reason>,
    pub(crate) prefill: Option<Arc<str>>,
    pub(crate) decoding: Option<Arc<str>>,
    /// The number of plans that were tried.
    pub(crate) attempts: u32,
    /// Seconds in the route's queue.
    pub(crate) queued: f64,
    /// The forecast seconds from the last plan to the first token, if its policy forecasts.
    pub(crate) forecast_ttft: Option<f64>,
    /// The forecast seconds between tokens, if its policy forecasts.
    pub(crate) forecast_itl: Option<f64>,
    pub(crate) outcome: Outcome,
    /// The HTTP status that the client got, if it got one.
    pub(crate) status: Option<u16>,
    /// The kind of failure, if the request failed.
    pub(crate) failure: Option<&'static str>,
    /// The phase that failed, if the request failed at an endpoint.
    pub(crate) failed_phase: Option<Phase>,
    /// The measured times, in seconds, and what follows from them.
    #[serde(flatten)]
    pub(crate) timings: Timings,
}

/// Logs one line per request, at `warn` where the router or an endpoint failed it.
pub(crate) fn log(record: &Record) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                request_id = %record.request_id,
                route = %record.route,
                api = record.api,
                plan = record.plan,
                reason = record.reason.map(Reason::as_str),
                prefill = record.prefill.as_deref(),
                decoding = record.decoding.as_deref(),
                attempts = record.attempts,
                queued = record.queued,
                outcome = record.outcome.as_str(),
                status = record.status,
                failure = record.failure,
                ttft = record.timings.ttft,
                itl = record.timings.itl,
                total = record.timings.total,
                tokens = record.timings.tokens,
                qoe = record.timings.qoe,
                sla_met = record.timings.sla_met,
                "request"
            )
        };
    }
    match record.outcome {
        Outcome::Failure => line!(warn),
        _ => line!(debug),
    }
}

pub(crate) fn unix_ms() -> u64 {
    u64::try_from(qoe_runtime::telemetry::unix_time().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A request of route `llm/a` that was handed over and answered.
    pub(crate) fn record() -> Record {
        Record {
            ended_at_ms: 0,
            request_id: "r".into(),
            route: "llm/a".into(),
            api: "chat",
            model: None,
            session: None,
            phase: Phase::Prefill,
            priority: "low",
            stream: true,
            prompt_tokens: 900,
            plan: Some("handoff"),
            reason: Some(Reason::StreamsSpared),
            prefill: Some("p".into()),
            decoding: Some("d".into()),
            attempts: 3,
            queued: 0.0,
            forecast_ttft: None,
            forecast_itl: None,
            outcome: Outcome::Success,
            status: Some(200),
            failure: None,
            failed_phase: None,
            timings: Timings {
                prefill: Some(0.05),
                transfer_and_queue: Some(0.011),
                ttft: Some(0.0625),
                itl: Some(0.01),
                decoding: Some(0.5),
                total: 75.0,
                tokens: 50,
                qoe: Some(1.0),
                sla_met: Some(true),
            },
        }
    }
}
