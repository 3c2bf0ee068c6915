//! What is kept of a request after its end: for `/debug/requests` and its log line. No prompt text.

use std::sync::Arc;

use qoe_core::flight::timings::{Outcome, Timings};
use qoe_core::phase::Phase;
use qoe_core::plan::reason::Reason;
use serde::Serialize;

/// One ended request.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    /// Milliseconds since the Unix epoch, at its end.
    pub(crate) ended_at_ms: u64,
    pub(crate) request_id: Box<str>,
    pub(crate) route: Arc<str>,
    pub(crate) api: &'static str,
    pub(crate) model: Option<Box<str>>,
    /// What its client calls the conversation it belongs to.
    pub(crate) session: Option<Box<str>>,
    /// The phase it came in.
    pub(crate) phase: Phase,
    pub(crate) priority: &'static str,
    pub(crate) stream: bool,
    pub(crate) prompt_tokens: u64,
    /// `local` or `handoff`: the last plan, if there was one.
    pub(crate) plan: Option<&'static str>,
    pub(crate) reason: Option<Reason>,
    pub(crate) prefill: Option<Arc<str>>,
    pub(crate) decoding: Option<Arc<str>>,
    /// How many plans were tried.
    pub(crate) attempts: u32,
    /// Seconds that it waited for its turn.
    pub(crate) queued: f64,
    /// What was forecast with the last plan, if its policy forecasts: seconds from then to the first token, and
    /// between tokens.
    pub(crate) forecast_ttft: Option<f64>,
    pub(crate) forecast_itl: Option<f64>,
    pub(crate) outcome: Outcome,
    /// The status the client got, if it got one.
    pub(crate) status: Option<u16>,
    /// What went wrong, and in which phase, if something did.
    pub(crate) failure: Option<&'static str>,
    pub(crate) failed_phase: Option<Phase>,
    /// Seconds.
    #[serde(flatten)]
    pub(crate) timings: Timings,
}

/// One line a request; louder where the router or an endpoint failed it.
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
