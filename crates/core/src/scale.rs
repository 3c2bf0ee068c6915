//! How many replicas each phase needs, from what all routers see together.
//!
//! Prefill: the seconds of work that wait, Σ unread prompt tokens ÷ (tokens one endpoint reads in a second), must fit
//! into the TTFT target less the prefill of one prompt itself. Decoding: the KV in use must fit into [`KV_FULL`] of the
//! endpoints' KV. Both are guarded by what users feel: TTFT and ITL above their targets ask for one more.
//!
//! A hint goes up at once, and down only after [`SETTLED_FOR`] in which fewer, with [`SPARE`], would always have done.
//! What is not known holds the hint: a router that is gone, or an engine that tells nothing, scales nobody away.

use std::time::Duration;

use serde::Serialize;

/// The KV use at which a decoding endpoint counts as full. Above it, a burst leads to preemptions; half of it asks for
/// twice the endpoints.
pub const KV_FULL: f64 = 0.8;
/// How long fewer replicas must have sufficed before the hint goes down. Kubernetes' autoscaler waits as long.
pub const SETTLED_FOR: Duration = Duration::from_secs(300);
/// The factor by which fewer replicas must have exceeded the need: it is what a load may grow before the hint goes up
/// again. No sensitivity measured.
pub const SPARE: f64 = 1.15;
/// The time constant of the smoothed need: a single burst is left to the queue, as pods take longer to start.
const SMOOTHED_OVER: Duration = Duration::from_secs(15);
/// The least share of the TTFT target that is left for waiting, however long the prefill of a prompt takes. Without it
/// the hint would be infinite.
const LEAST_WAIT: f64 = 0.1;

/// The load of prefill, over all routers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PrefillSeen {
    /// Prompt tokens sent or queued, not expected in a cache, and not read yet.
    pub unread_tokens: f64,
    /// Tokens one endpoint reads in a second.
    pub tokens_per_second: Option<f64>,
    /// Mean tokens of a prompt.
    pub prompt_tokens: Option<f64>,
    /// Mean TTFT, in seconds.
    pub ttft: Option<f64>,
}

/// The load of decoding, over all routers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DecodingSeen {
    /// Mean KV use of an endpoint, 0 to 1.
    pub kv_use: Option<f64>,
    /// Mean ITL, in seconds.
    pub itl: Option<f64>,
}

/// The endpoints that can serve the phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Endpoints that serve.
    pub ready: u32,
    /// Endpoints that are starting. They count against a further step up, and are never a reason to go down.
    pub pending: u32,
}

/// The target, and the bounds of the recommendation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// The TTFT target for prefill, the ITL target for decoding.
    pub target: Duration,
    /// Fewest replicas.
    pub min: u32,
    /// Most replicas.
    pub max: u32,
}

/// Why this number of replicas is recommended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum ScaleReason {
    /// The load fits.
    Steady,
    /// Prompts wait longer than the TTFT target allows.
    PromptBacklog,
    /// The KV caches fill up.
    KvPressure,
    /// First tokens come later than promised.
    TtftAboveTarget,
    /// Tokens come slower than promised.
    ItlAboveTarget,
    /// Fewer have sufficed for a while.
    Underused,
    /// Fewer would do, but not for long enough yet.
    CoolingDown,
    /// Not enough is known: the last hint stays.
    NoData,
    /// More would be needed than the bounds allow.
    AtMaximum,
}

impl ScaleReason {
    /// The reason's name in the status and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "Steady",
            Self::PromptBacklog => "PromptBacklog",
            Self::KvPressure => "KvPressure",
            Self::TtftAboveTarget => "TtftAboveTarget",
            Self::ItlAboveTarget => "ItlAboveTarget",
            Self::Underused => "Underused",
            Self::CoolingDown => "CoolingDown",
            Self::NoData => "NoData",
            Self::AtMaximum => "AtMaximum",
        }
    }
}

/// A recommendation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// How many replicas the phase should have.
    pub desired: u32,
    /// Why this number.
    pub reason: ScaleReason,
}

/// The recommendations for one phase of one route, with their memory.
#[derive(Clone, Debug, Default)]
pub struct Scaler {
    desired: Option<u32>,
    need: Option<(f64, Duration)>,
    /// Since when fewer replicas would suffice, and the most that were needed since then.
    lower: Option<(Duration, u32)>,
}

/// What the load asks for: a number of replicas that need not be whole, and why that many, were it more than there are.
struct Need {
    replicas: f64,
    because: ScaleReason,
    /// Why the target is missed now, if it is.
    broken: Option<ScaleReason>,
}

impl Scaler {
    /// Continues from what another process recommended.
    #[must_use]
    pub fn resumed(desired: Option<u32>) -> Self {
        Self { desired, ..Self::default() }
    }

    /// The recommendation for prefill. `seen` is `None` if no router has reported.
    pub fn prefill(
        &mut self,
        seen: Option<&PrefillSeen>,
        capacity: Capacity,
        goal: Goal,
        now: Duration,
    ) -> Hint {
        let need = seen.and_then(|seen| prefill_need(seen, goal.target));
        self.hint(need, capacity, goal, now)
    }

    /// The recommendation for decoding. `seen` is `None` if no router has reported.
    pub fn decoding(
        &mut self,
        seen: Option<&DecodingSeen>,
        capacity: Capacity,
        goal: Goal,
        now: Duration,
    ) -> Hint {
        let need = seen.and_then(|seen| decoding_need(seen, capacity.ready, goal.target));
        self.hint(need, capacity, goal, now)
    }

    fn hint(&mut self, need: Option<Need>, capacity: Capacity, goal: Goal, now: Duration) -> Hint {
        let there = capacity.ready + capacity.pending;
        let last = self.desired.unwrap_or(there).clamp(goal.min, goal.max);
        let Some(need) = need else {
            // Silence is no evidence that fewer would do; nor does it fix a first number, while pods still come.
            self.lower = None;
            return Hint { desired: last, reason: ScaleReason::NoData };
        };
        let hint = self.weigh(&need, last, capacity, goal, now);
        self.desired = Some(hint.desired);
        hint
    }

    fn weigh(
        &mut self,
        need: &Need,
        last: u32,
        capacity: Capacity,
        goal: Goal,
        now: Duration,
    ) -> Hint {
        let smoothed = self.smooth(need.replicas, now);
        let mut wanted = whole(smoothed);
        let mut because = need.because;
        // One more than serve now. An endpoint that is starting already is that one.
        let one_more = capacity.ready + capacity.pending.max(1);
        if let Some(broken) = need.broken
            && wanted < one_more
        {
            (wanted, because) = (one_more, broken);
        }
        if wanted > goal.max {
            self.lower = None;
            return Hint { desired: goal.max, reason: ScaleReason::AtMaximum };
        }
        let wanted = wanted.max(goal.min);
        if wanted > last {
            self.lower = None;
            return Hint { desired: wanted, reason: because };
        }
        let sparing = whole(smoothed * SPARE).clamp(wanted, goal.max.max(wanted));
        if sparing >= last {
            self.lower = None;
            return Hint { desired: last, reason: ScaleReason::Steady };
        }
        let (since, most) = self.lower.unwrap_or((now, sparing));
        let most = most.max(sparing);
        if now.saturating_sub(since) < SETTLED_FOR {
            self.lower = Some((since, most));
            return Hint { desired: last, reason: ScaleReason::CoolingDown };
        }
        self.lower = None;
        Hint { desired: most, reason: ScaleReason::Underused }
    }

    fn smooth(&mut self, need: f64, now: Duration) -> f64 {
        let smoothed = match self.need {
            None => need,
            Some((old, at)) => {
                let elapsed = now.saturating_sub(at).as_secs_f64();
                let gain = 1.0 - (-elapsed / SMOOTHED_OVER.as_secs_f64()).exp();
                old + gain * (need - old)
            }
        };
        self.need = Some((smoothed, now));
        smoothed
    }
}

fn prefill_need(seen: &PrefillSeen, target: Duration) -> Option<Need> {
    let target = target.as_secs_f64();
    let late = seen.ttft.is_some_and(|ttft| ttft > target);
    let replicas = if seen.unread_tokens <= 0.0 {
        0.0
    } else {
        let speed = seen.tokens_per_second.filter(|speed| *speed > 0.0)?;
        let own = seen.prompt_tokens.unwrap_or(0.0) / speed;
        let wait = (target - own).max(LEAST_WAIT * target);
        seen.unread_tokens / speed / wait
    };
    let broken = late.then_some(ScaleReason::TtftAboveTarget);
    Some(Need { replicas, because: ScaleReason::PromptBacklog, broken })
}

fn decoding_need(seen: &DecodingSeen, ready: u32, target: Duration) -> Option<Need> {
    let replicas = seen.kv_use? * f64::from(ready) / KV_FULL;
    let slow = seen.itl.is_some_and(|itl| itl > target.as_secs_f64());
    let broken = slow.then_some(ScaleReason::ItlAboveTarget);
    Some(Need { replicas, because: ScaleReason::KvPressure, broken })
}

/// Rounds up to whole replicas. A rounding error above a whole number does not ask for one more.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
fn whole(replicas: f64) -> u32 {
    (replicas - 1e-6).ceil().clamp(0.0, 1e6) as u32
}

#[cfg(test)]
mod tests;
