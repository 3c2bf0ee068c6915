//! A request at its end, and the record that is kept of it.

use std::sync::Arc;
use std::time::Duration;

use qoe_core::flight::timings::{Outcome, Timings};
use qoe_core::phase::Phase;
use qoe_core::plan::forecast::Forecast;

use crate::observe::record::{Record, unix_ms};
use crate::ticket::planned::PlanRecord;
use crate::ticket::routed_request::RoutedRequest;

/// How a request ended.
pub(super) struct HowEnded {
    pub(super) outcome: Outcome,
    /// A short name of what went wrong.
    pub(super) failure: Option<&'static str>,
    /// The phase in which it went wrong.
    pub(super) phase: Option<Phase>,
}

/// A request at its end.
pub(super) struct EndedRequest<'a> {
    pub(super) route: &'a Arc<str>,
    pub(super) asked: &'a RoutedRequest,
    pub(super) planned: &'a PlanRecord,
    pub(super) forecast: Option<Forecast>,
    /// Time in the route's queue.
    pub(super) queued: Duration,
    /// The HTTP status that the client was sent.
    pub(super) status: Option<u16>,
    pub(super) timings: Timings,
    pub(super) end: HowEnded,
}

impl EndedRequest<'_> {
    /// The record of the request, with the current time.
    pub(super) fn record(self) -> Record {
        let RoutedRequest { request_id, api, prompt_tokens, analysis, .. } = self.asked;
        let PlanRecord { plan, reason, prefill, decoding, attempts } = self.planned;
        let HowEnded { outcome, failure, phase } = self.end;
        let mut timings = self.timings;
        if self.asked.generates && matches!(outcome, Outcome::Failure | Outcome::Rejected) {
            // Tokens that came in time do not make up for those that never came.
            timings.sla_met = Some(false);
        }
        Record {
            ended_at_ms: unix_ms(),
            request_id: String::from_utf8_lossy(request_id.as_bytes()).into(),
            route: Arc::clone(self.route),
            api,
            model: analysis.model.as_deref().map(Into::into),
            session: analysis.session.as_deref().map(Into::into),
            phase: analysis.phase,
            priority: analysis.priority.as_str(),
            stream: analysis.stream,
            prompt_tokens: *prompt_tokens,
            plan: *plan,
            reason: *reason,
            prefill: prefill.clone(),
            decoding: decoding.as_ref().map(|endpoint| Arc::clone(&endpoint.name)),
            attempts: *attempts,
            queued: self.queued.as_secs_f64(),
            forecast_ttft: self.forecast.map(|forecast| forecast.ttft),
            forecast_itl: self.forecast.map(|forecast| forecast.itl),
            outcome,
            status: self.status,
            failure,
            failed_phase: phase,
            timings,
        }
    }
}
