//! What is kept of a request after its end: for `/debug/requests` and its log line. No prompt text.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use qoe_core::flight::track::{Outcome, Timings};
use qoe_core::phase::Phase;
use qoe_core::plan::Reason;
use serde::Serialize;

/// Requests that are kept.
const KEPT: usize = 1000;

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

/// The last requests.
#[derive(Default)]
pub(crate) struct Ring(Mutex<VecDeque<Record>>);

impl Ring {
    /// Keeps a request; the oldest goes.
    pub(crate) fn push(&self, record: Record) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = if ring.len() >= KEPT { ring.pop_front() } else { None };
        ring.push_back(record);
        drop(ring);
        drop(oldest); // freed outside the lock
    }

    /// The last `most` requests, newest first.
    pub(crate) fn last(&self, most: usize) -> Vec<Record> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.iter().rev().take(most).cloned().collect()
    }
}
