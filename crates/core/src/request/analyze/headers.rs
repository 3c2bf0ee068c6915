//! Reads a request's headers. A bad value is ignored and counted, never an error: the header may be meant for somebody
//! else.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

/// A request's priority. The order of the variants is that of serving; they index arrays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Is served first.
    High,
    /// Is served after `High`.
    #[default]
    Medium,
    /// Is served last, and shed first.
    Low,
}

impl Priority {
    /// The priority's name in headers, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// The names of the headers that the router reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRules {
    /// The request's priority: 1 is high, 2 medium, 3 low.
    pub priority: HeaderName,
    /// Output tokens that the client expects.
    pub expected_output: HeaderName,
    /// TTFT target in milliseconds.
    pub sla_target: HeaderName,
    /// llm-d's name for [`Self::sla_target`], read where that is absent or bad.
    pub sla_target_alias: HeaderName,
    /// ITL target in milliseconds.
    pub itl_target: HeaderName,
    /// The name of the session that the request belongs to.
    pub session: HeaderName,
}

impl Default for HeaderRules {
    fn default() -> Self {
        Self {
            priority: HeaderName::from_static("x-request-priority"),
            expected_output: HeaderName::from_static("x-expected-output-tokens"),
            sla_target: HeaderName::from_static("x-sla-target-ms"),
            sla_target_alias: HeaderName::from_static("x-llm-d-slo-ttft-ms"),
            itl_target: HeaderName::from_static("x-llm-d-slo-tpot-ms"),
            session: HeaderName::from_static("x-session-id"),
        }
    }
}

/// vLLM's own header for the data-parallel rank that must serve the request.
const DATA_PARALLEL_RANK: &str = "x-data-parallel-rank";

/// The largest target, in milliseconds. A larger one is taken for a mistake: no request runs for an hour.
const MAX_MILLISECONDS: f64 = 3_600_000.0;
/// The most expected output tokens. A larger number is taken for a mistake: no model has such a context.
const MAX_TOKENS: u32 = 1_000_000;
/// The longest session name, in bytes: it is kept for each request in flight. A UUID takes 36.
const MAX_SESSION_BYTES: usize = 256;

/// Whether the request names the data-parallel rank that must serve it.
pub(super) fn pins_a_rank(headers: &HeaderMap) -> bool {
    headers.contains_key(DATA_PARALLEL_RANK)
}

/// What a request's headers ask for.
#[derive(Default)]
pub(super) struct HeaderFacts {
    pub(super) priority: Priority,
    pub(super) expected_output_tokens: Option<u32>,
    pub(super) ttft_target: Option<Duration>,
    pub(super) itl_target: Option<Duration>,
    pub(super) session: Option<String>,
    /// How many headers had values that were ignored.
    pub(super) ignored: u32,
}

impl HeaderRules {
    pub(super) fn read(&self, headers: &HeaderMap) -> HeaderFacts {
        let mut facts = HeaderFacts::default();
        let ignored = &mut facts.ignored;
        facts.priority = read(headers, &self.priority, ignored, priority).unwrap_or_default();
        facts.expected_output_tokens = read(headers, &self.expected_output, ignored, tokens);
        let named = read(headers, &self.sla_target, ignored, milliseconds);
        let alias = read(headers, &self.sla_target_alias, ignored, milliseconds);
        facts.ttft_target = named.or(alias);
        facts.itl_target = read(headers, &self.itl_target, ignored, milliseconds);
        facts.session = read(headers, &self.session, ignored, session);
        facts
    }
}

/// Reads the first value of a header; one that `parse` does not take counts as ignored.
fn read<T>(
    headers: &HeaderMap,
    name: &HeaderName,
    ignored: &mut u32,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let value = headers.get(name)?;
    let parsed = value.to_str().ok().and_then(|text| parse(text.trim()));
    *ignored += u32::from(parsed.is_none());
    parsed
}

fn priority(text: &str) -> Option<Priority> {
    match text {
        "1" => Some(Priority::High),
        "2" => Some(Priority::Medium),
        "3" => Some(Priority::Low),
        _ => None,
    }
}

fn tokens(text: &str) -> Option<u32> {
    text.parse().ok().filter(|tokens| (1..=MAX_TOKENS).contains(tokens))
}

/// Reads whole or decimal milliseconds, above 0 and at most [`MAX_MILLISECONDS`].
fn milliseconds(text: &str) -> Option<Duration> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let milliseconds: f64 = plain.then(|| text.parse().ok())??;
    let sane = milliseconds > 0.0 && milliseconds <= MAX_MILLISECONDS;
    sane.then(|| Duration::from_secs_f64(milliseconds / 1000.0)).filter(|target| !target.is_zero())
}

fn session(text: &str) -> Option<String> {
    (1..=MAX_SESSION_BYTES).contains(&text.len()).then(|| text.to_owned())
}
