//! What the headers ask for. A bad value is ignored and counted, never an error.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

/// How urgent a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Served first.
    High,
    /// In between.
    #[default]
    Medium,
    /// Served last, and shed first.
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

/// The names of the headers that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRules {
    /// 1 high, 2 medium, 3 low.
    pub priority: HeaderName,
    /// Tokens the client expects to get.
    pub expected_output: HeaderName,
    /// TTFT target in milliseconds.
    pub sla_target: HeaderName,
    /// Another name of [`Self::sla_target`], read where that is absent or bad.
    pub sla_target_alias: HeaderName,
    /// ITL target in milliseconds.
    pub itl_target: HeaderName,
    /// Names a session; its requests belong together.
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

/// vLLM's own header: the rank that must serve the request.
const DATA_PARALLEL_RANK: &str = "x-data-parallel-rank";

const MOST_MILLISECONDS: f64 = 3_600_000.0;
const MOST_TOKENS: u32 = 1_000_000;
const LONGEST_SESSION: usize = 256;

/// What the headers said.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) priority: Priority,
    pub(super) expected_output_tokens: Option<u32>,
    pub(super) ttft_target: Option<Duration>,
    pub(super) itl_target: Option<Duration>,
    pub(super) session: Option<String>,
    pub(super) pinned: bool,
    pub(super) ignored: u32,
}

impl HeaderRules {
    pub(super) fn read(&self, headers: &HeaderMap) -> Asked {
        let mut asked =
            Asked { pinned: headers.contains_key(DATA_PARALLEL_RANK), ..Asked::default() };
        let ignored = &mut asked.ignored;
        asked.priority = read(headers, &self.priority, ignored, priority).unwrap_or_default();
        asked.expected_output_tokens = read(headers, &self.expected_output, ignored, tokens);
        let named = read(headers, &self.sla_target, ignored, milliseconds);
        let alias = read(headers, &self.sla_target_alias, ignored, milliseconds);
        asked.ttft_target = named.or(alias);
        asked.itl_target = read(headers, &self.itl_target, ignored, milliseconds);
        asked.session = read(headers, &self.session, ignored, session);
        asked
    }
}

/// The first value of the header; one that `parse` does not take counts as ignored.
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
    text.parse().ok().filter(|tokens| (1..=MOST_TOKENS).contains(tokens))
}

/// Whole or decimal milliseconds; above nothing, and at most an hour.
fn milliseconds(text: &str) -> Option<Duration> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let milliseconds: f64 = plain.then(|| text.parse().ok())??;
    let sane = milliseconds > 0.0 && milliseconds <= MOST_MILLISECONDS;
    sane.then(|| Duration::from_secs_f64(milliseconds / 1000.0)).filter(|target| !target.is_zero())
}

fn session(text: &str) -> Option<String> {
    (1..=LONGEST_SESSION).contains(&text.len()).then(|| text.to_owned())
}
