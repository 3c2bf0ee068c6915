//! Quality of experience of one token stream, by Andes' definition (arXiv 2404.16283, section 3).
//!
//! The ideal user gets the first token after the expected TTFT and reads on at the expected pace. QoE compares
//! the area under the actual delivery curve with the area under the ideal one, up to the end of the stream:
//! `1 − (delay area ÷ whole area)`. Tokens that arrive early are digested no faster than the pace, so a burst
//! earns nothing over a smooth stream. 1 is perfect, 0 is nothing delivered in time. State is O(1) per stream.

use std::time::Duration;

use crate::target::Target;

/// The QoE of one stream.
///
/// Digestion: token `i` is read at `d_i = max(arrival_i, d_{i−1} + itl)`, and never before `ttft` was due, so the
/// actual curve is never above the ideal one. The delay area is `Σ (d_i − ideal_i)` and the whole area, up to the
/// moment the last token is digested, is `Σ (d_n + itl − ideal_i)`, in token-seconds.
#[derive(Clone, Copy, Debug)]
pub struct Qoe {
    target: Target,
    tokens: u64,
    last_digested: f64,
    delay: f64,
    sum_ideal: f64,
}

impl Qoe {
    /// A stream without tokens, requested at time zero.
    #[must_use]
    pub const fn new(target: Target) -> Self {
        Self { target, tokens: 0, last_digested: 0.0, delay: 0.0, sum_ideal: 0.0 }
    }

    /// Notes that `count` tokens arrived `since_request` after the request.
    pub fn arrived(&mut self, count: u64, since_request: Duration) {
        let at = since_request.as_secs_f64();
        let itl = self.target.itl.as_secs_f64();
        let ttft = self.target.ttft.as_secs_f64();
        for _ in 0..count {
            #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
            let ideal = ttft + self.tokens as f64 * itl;
            let digested =
                at.max(ideal).max(if self.tokens == 0 { 0.0 } else { self.last_digested + itl });
            self.delay += digested - ideal;
            self.sum_ideal += ideal;
            self.last_digested = digested;
            self.tokens += 1;
        }
    }

    /// The QoE so far, in 0..=1. A stream without tokens has none: `None`.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        if self.tokens == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
        let tokens = self.tokens as f64;
        let end = self.last_digested + self.target.itl.as_secs_f64();
        let whole = tokens * end - self.sum_ideal;
        if whole <= 0.0 {
            return Some(1.0);
        }
        Some((1.0 - self.delay / whole).clamp(0.0, 1.0))
    }

    /// The number of tokens so far.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target =
        Target { ttft: Duration::from_millis(500), itl: Duration::from_millis(50) };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn stream(first: u64, gap: u64, tokens: u64) -> f64 {
        let mut qoe = Qoe::new(TARGET);
        for i in 0..tokens {
            qoe.arrived(1, ms(first + i * gap));
        }
        qoe.value().expect("tokens arrived")
    }

    #[test]
    fn as_promised_is_one() {
        assert!((stream(500, 50, 100) - 1.0).abs() < 1e-9);
        assert!((stream(100, 5, 100) - 1.0).abs() < 1e-9, "faster earns no more");
    }

    #[test]
    fn late_starts_and_slow_streams_cost_by_how_much() {
        let late = stream(1500, 50, 100);
        let later = stream(5500, 50, 100);
        assert!(late < 1.0 && later < late, "{late} {later}");
        let slow = stream(500, 100, 100);
        assert!((0.6..0.7).contains(&slow), "half the pace loses a third of the area: {slow}");
    }

    #[test]
    fn a_burst_equals_single_tokens_at_one_time() {
        let mut burst = Qoe::new(TARGET);
        burst.arrived(10, ms(700));
        let mut single = Qoe::new(TARGET);
        (0..10).for_each(|_| single.arrived(1, ms(700)));
        assert_eq!(burst.value(), single.value());
    }

    #[test]
    fn a_pause_in_the_middle_counts_only_past_the_buffer() {
        // 20 tokens at once at the start are read for a second; a pause shorter than that goes unnoticed.
        let mut qoe = Qoe::new(TARGET);
        qoe.arrived(20, ms(400));
        qoe.arrived(10, ms(1400));
        assert!(qoe.value().expect("tokens") > 1.0 - 1e-9);
        qoe.arrived(1, ms(9000));
        assert!(qoe.value().expect("tokens") < 0.98);
    }

    #[test]
    fn nothing_delivered_has_no_value() {
        assert_eq!(Qoe::new(TARGET).value(), None);
    }
}
