//! The plan that a ticket carries out.

use std::sync::Arc;
use std::time::Duration;

use qoe_core::endpoint::state::EndpointState;
use qoe_core::plan::forecast::Forecast;
use qoe_core::plan::reason::Reason;

/// The last plan of a request, and how many there were.
#[derive(Default)]
pub(crate) struct PlanRecord {
    /// `local` or `handoff`.
    pub(crate) plan: Option<&'static str>,
    pub(crate) reason: Option<Reason>,
    /// Name of the endpoint that prefills, in a handoff.
    pub(crate) prefill: Option<Arc<str>>,
    pub(crate) decoding: Option<Arc<EndpointState>>,
    pub(crate) attempts: u32,
}

impl PlanRecord {
    /// Another plan is carried out.
    pub(super) fn next(
        &mut self,
        reason: Reason,
        prefill: Option<&Arc<EndpointState>>,
        decoding: &Arc<EndpointState>,
    ) {
        *self = Self {
            plan: Some(if prefill.is_some() { "handoff" } else { "local" }),
            reason: Some(reason),
            prefill: prefill.map(|endpoint| Arc::clone(&endpoint.name)),
            decoding: Some(Arc::clone(decoding)),
            attempts: self.attempts + 1,
        };
    }

    /// The headers that explain it: name and value of each; times in milliseconds.
    pub(super) fn headers(
        &self,
        route: &str,
        queued: Duration,
        forecast: Option<Forecast>,
    ) -> [(&'static str, Option<String>); 9] {
        let Self { plan, reason, prefill, decoding, attempts } = self;
        let ms = |seconds: f64| format!("{:.1}", seconds * 1e3);
        [
            ("x-qoe-route", Some(route.to_owned())),
            ("x-qoe-plan", plan.map(str::to_owned)),
            ("x-qoe-reason", reason.map(|reason| reason.as_str().to_owned())),
            ("x-qoe-prefill", prefill.as_ref().map(ToString::to_string)),
            ("x-qoe-decoding", decoding.as_ref().map(|endpoint| endpoint.name.to_string())),
            ("x-qoe-attempts", Some(attempts.to_string())),
            ("x-qoe-queued-ms", Some(ms(queued.as_secs_f64()))),
            ("x-qoe-forecast-ttft-ms", forecast.map(|forecast| ms(forecast.ttft))),
            ("x-qoe-forecast-itl-ms", forecast.map(|forecast| ms(forecast.itl))),
        ]
    }
}
