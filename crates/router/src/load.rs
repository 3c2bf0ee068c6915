//! What controllers are told of a route's load: of this router's own requests, and of the endpoints as it sees them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use qoe_core::endpoint::Endpoint;
use qoe_core::phase::{Phase, Role};
use qoe_discovery::proto::{DecodingLoad, PrefillLoad, RouteLoad};

use crate::snapshot::Route;

/// Sums since the last report. A lost race between a report and an addition moves one sample to the next report.
#[derive(Debug, Default)]
pub(crate) struct LoadSums {
    first_tokens: AtomicU64,
    ttft_micros: AtomicU64,
    prompt_tokens: AtomicU64,
    gaps: AtomicU64,
    gap_micros: AtomicU64,
}

impl LoadSums {
    /// The first token of a stream came.
    pub(crate) fn first_token(&self, ttft: Duration, prompt_tokens: u64) {
        self.first_tokens.fetch_add(1, Ordering::Relaxed);
        self.ttft_micros.fetch_add(micros(ttft.as_secs_f64()), Ordering::Relaxed);
        self.prompt_tokens.fetch_add(prompt_tokens, Ordering::Relaxed);
    }

    /// So many tokens came, each so many seconds after the one before.
    pub(crate) fn tokens(&self, count: u32, gap: f64) {
        self.gaps.fetch_add(u64::from(count), Ordering::Relaxed);
        self.gap_micros.fetch_add(micros(gap * f64::from(count)), Ordering::Relaxed);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and far below 2^64"
)]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}

/// The report on one route. It empties the sums.
#[expect(clippy::cast_precision_loss, reason = "sums of one second are far below 2^52")]
pub(crate) fn report(route: &Route, now: Duration) -> RouteLoad {
    let sums = &route.state.load;
    let take = |sum: &AtomicU64| sum.swap(0, Ordering::Relaxed);
    let seconds = |micros: u64| micros as f64 / 1e6;
    let readers: Vec<&Endpoint> = those_for(route, Role::Decoding);
    let decoders: Vec<&Endpoint> = those_for(route, Role::Prefill);
    let speeds: Vec<f64> = readers
        .iter()
        .filter_map(|e| e.state.signals.prefill_speed.get(now))
        .map(|speed| speed.value)
        .collect();
    let kv: Vec<f64> = decoders
        .iter()
        .filter_map(|e| e.state.signals.kv_use.get(now))
        .filter(|kv| kv.weight > KNOWN)
        .map(|kv| kv.value)
        .collect();
    RouteLoad {
        route: route.name.to_string(),
        prefill: Some(PrefillLoad {
            unread_tokens: readers.iter().map(|e| e.state.unread() as f64).sum(),
            tokens_per_second: if speeds.is_empty() {
                0.0
            } else {
                speeds.iter().sum::<f64>() / speeds.len() as f64
            },
            first_tokens: take(&sums.first_tokens),
            ttft_seconds: seconds(take(&sums.ttft_micros)),
            prompt_tokens: take(&sums.prompt_tokens) as f64,
        }),
        decoding: Some(DecodingLoad {
            streams: decoders.iter().map(|e| e.state.in_flight(Phase::Decoding)).sum(),
            kv_use: kv.iter().sum(),
            kv_endpoints: u32::try_from(kv.len()).unwrap_or(u32::MAX),
            gaps: take(&sums.gaps),
            gap_seconds: seconds(take(&sums.gap_micros)),
        }),
    }
}

/// A scraped value that weighs less is too old to scale by.
const KNOWN: f64 = 0.3;

/// The endpoints that are not only for the `other` phase; all of them, where all are only for that.
fn those_for(route: &Route, other: Role) -> Vec<&Endpoint> {
    let able: Vec<_> = route.pool.iter().filter(|endpoint| endpoint.role != other).collect();
    if able.is_empty() { route.pool.iter().collect() } else { able }
}
