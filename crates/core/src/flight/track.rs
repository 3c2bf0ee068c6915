//! The moments of one request: when each phase began and ended, and when its tokens arrived.
//!
//! Moments are durations since the process's epoch; the timings at the end are seconds.

use std::time::Duration;

use crate::flight::qoe::Qoe;
use crate::flight::timings::Timings;
use crate::phase::Phase;
use crate::target::Target;

/// The moments of one request, from its arrival to its end.
#[derive(Clone, Copy, Debug)]
pub struct Track {
    target: Target,
    began: Duration,
    prefill_sent: Option<Duration>,
    prefill_done: Option<Duration>,
    sent: Option<Duration>,
    first: Option<Duration>,
    last: Option<Duration>,
    streamed: bool,
    tokens: u64,
    qoe: Qoe,
}

impl Track {
    /// A request that arrives with these targets.
    #[must_use]
    pub const fn new(target: Target, now: Duration) -> Self {
        Self {
            target,
            began: now,
            prefill_sent: None,
            prefill_done: None,
            sent: None,
            first: None,
            last: None,
            streamed: false,
            tokens: 0,
            qoe: Qoe::new(target),
        }
    }

    /// When the request arrived.
    #[must_use]
    pub const fn began(&self) -> Duration {
        self.began
    }

    /// The request's targets.
    #[must_use]
    pub const fn target(&self) -> Target {
        self.target
    }

    /// Notes that the prefill leg is sent. A second attempt starts its time anew.
    pub const fn prefill_sent(&mut self, now: Duration) {
        self.prefill_sent = Some(now);
        self.prefill_done = None;
    }

    /// Notes that the prefill leg was answered. Returns its duration in seconds.
    pub fn prefill_done(&mut self, now: Duration) -> f64 {
        self.prefill_done = Some(now);
        between(self.prefill_sent, Some(now)).unwrap_or_default()
    }

    /// Notes that the answering leg is sent.
    pub const fn sent(&mut self, now: Duration) {
        self.sent = Some(now);
    }

    /// The phase of the request: decoding once the answering leg is sent.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        if self.sent.is_some() || self.prefill_sent.is_none() {
            Phase::Decoding
        } else {
            Phase::Prefill
        }
    }

    /// Notes that `count` tokens of a stream arrived. Returns the ITL: the seconds since the tokens before, divided by
    /// `count`; `None` for the first ones.
    pub fn streamed(&mut self, count: u32, now: Duration) -> Option<f64> {
        if count == 0 {
            return None;
        }
        self.streamed = true;
        self.tokens += u64::from(count);
        self.qoe.arrived(u64::from(count), now.saturating_sub(self.began));
        let gap = between(self.last, Some(now)).map(|gap| gap / f64::from(count));
        self.first.get_or_insert(now);
        self.last = Some(now);
        gap
    }

    /// Replaces the counted tokens by those of the endpoint's usage.
    pub const fn counted(&mut self, tokens: u64) {
        self.tokens = tokens;
    }

    /// When the last token so far arrived.
    #[must_use]
    pub const fn last(&self) -> Option<Duration> {
        self.last
    }

    /// Seconds from sending the answering leg to the first token.
    #[must_use]
    pub fn first_token_after(&self) -> Option<f64> {
        between(self.sent, self.first)
    }

    /// The timings of the request, if it ends `now`.
    #[must_use]
    pub fn timings(&self, now: Duration) -> Timings {
        let ttft = between(Some(self.began), self.first);
        let decoding = between(self.first, self.last);
        #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
        let itl =
            decoding.filter(|_| self.tokens > 1).map(|seconds| seconds / (self.tokens - 1) as f64);
        let total = now.saturating_sub(self.began).as_secs_f64();
        Timings {
            prefill: between(self.prefill_sent, self.prefill_done),
            transfer_and_queue: self.first_token_after(),
            ttft,
            itl,
            decoding,
            total,
            tokens: self.tokens,
            qoe: self.streamed.then(|| self.qoe.value()).flatten(),
            sla_met: self.sla_met(ttft, itl, total),
        }
    }

    fn sla_met(&self, ttft: Option<f64>, itl: Option<f64>, total: f64) -> Option<bool> {
        let Target { ttft: ttft_target, itl: itl_target } = self.target;
        if self.streamed {
            let itl_met = itl.is_none_or(|itl| itl <= itl_target.as_secs_f64());
            return ttft.map(|ttft| ttft <= ttft_target.as_secs_f64() && itl_met);
        }
        let more = u32::try_from(self.tokens.checked_sub(1)?).unwrap_or(u32::MAX);
        let promised = ttft_target.saturating_add(itl_target.saturating_mul(more));
        Some(total <= promised.as_secs_f64())
    }
}

pub(crate) fn between(from: Option<Duration>, to: Option<Duration>) -> Option<f64> {
    Some(to?.saturating_sub(from?).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(10_000 + ms)
    }

    fn close(a: Option<f64>, b: f64) -> bool {
        a.is_some_and(|a| (a - b).abs() < 1e-9)
    }

    #[test]
    fn a_handed_over_stream_tells_each_part() {
        let mut track = Track::new(Target::default(), ms(0));
        track.prefill_sent(ms(5));
        assert_eq!(track.phase(), Phase::Prefill);
        assert!((track.prefill_done(ms(105)) - 0.1).abs() < 1e-9);
        track.sent(ms(106));
        assert_eq!(track.phase(), Phase::Decoding);
        assert_eq!(track.streamed(1, ms(156)), None);
        assert!(close(track.streamed(2, ms(196)), 0.02), "two tokens in 40 ms");
        let timings = track.timings(ms(200));
        assert!(close(timings.prefill, 0.1) && close(timings.transfer_and_queue, 0.05));
        assert!(close(timings.ttft, 0.156) && close(timings.itl, 0.02));
        assert!(close(timings.decoding, 0.04) && close(Some(timings.total), 0.2));
        assert_eq!((timings.tokens, timings.sla_met), (3, Some(true)));
        assert!(close(timings.qoe, 1.0));
    }

    #[test]
    fn a_slow_stream_breaks_its_promise_by_ttft_or_by_itl() {
        let run = |first: u64, gap: u64| {
            let mut track = Track::new(Target::default(), ms(0));
            track.sent(ms(0));
            for i in 0..10 {
                track.streamed(1, ms(first + i * gap));
            }
            track.timings(ms(5000)).sla_met
        };
        assert_eq!(run(500, 50), Some(true));
        assert_eq!(run(501, 50), Some(false));
        assert_eq!(run(500, 51), Some(false));
    }

    #[test]
    fn an_answer_in_one_piece_is_judged_by_what_its_stream_would_have_taken() {
        let mut track = Track::new(Target::default(), ms(0));
        assert_eq!(track.timings(ms(100)).sla_met, None, "no tokens, no judgement");
        track.counted(11);
        assert_eq!(track.timings(ms(1000)).sla_met, Some(true));
        assert_eq!(track.timings(ms(1001)).sla_met, Some(false));
        assert_eq!(track.timings(ms(1000)).qoe, None);
    }
}
