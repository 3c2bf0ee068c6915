//! The tuned numbers of `Predictive`, with their units and origins.
//!
//! A cost of 1 is one target missed, the TTFT target or the mean ITL target of one request. All numbers were tuned
//! together in the lab, which replays traces in virtual time. Where a comment names no effect of half and double,
//! nobody has measured it.

/// The share of a target up to which a forecast carries no risk. Unit: targets. Tuned in the lab, no sensitivity
/// measured.
pub(super) const SAFE_UNTIL: f64 = 0.25;

/// The share of a target at which it counts as missed. It is above 1 because forecasts err to both sides. Unit:
/// targets. Tuned in the lab, no sensitivity measured.
pub(super) const MISSED_AT: f64 = 1.1;

/// What one whole TTFT target of waiting costs besides the risk: an earlier first token is better also within the
/// target. Unit: targets missed per TTFT target. Tuned in the lab, no sensitivity measured.
pub(super) const SOONER_COST: f64 = 0.25;

/// What one whole ITL target between tokens costs besides the risk. It is small because nobody reads faster than the
/// target. Unit: targets missed per ITL target. Tuned in the lab, no sensitivity measured.
pub(super) const FASTER_COST: f64 = 0.018;

/// The length at which a pause between two tokens counts as missed. Unit: ITL targets. The lab calls a stream smooth
/// while no pause is longer than 3; this is below, so that a pause costs before it is one. No sensitivity measured.
pub(super) const PAUSE_LIMIT: f64 = 2.5;

/// What one such pause costs a stream. Unit: targets missed. *Why it is counted at all*: a mean ITL hides that a stream
/// stands still while another request's prompt is read. A step with a short prompt is hardly longer than one without,
/// so short prompts are read beside streams, and long ones where there are few. Tuned in the lab, no sensitivity
/// measured.
pub(super) const PAUSE_COST: f64 = 0.1;

/// How many times as much as lately a prefill endpoint may come to read: prompts are what it is for, and a stream that
/// is put there meanwhile slows. No unit. Tuned in the lab, no sensitivity measured.
pub(super) const MORE_PREFILL: f64 = 10.0;

/// The most prompts that one prompt is taken to delay. It bounds the cost where the rate of arrivals is a burst. Unit:
/// prompts. Tuned in the lab, no sensitivity measured.
pub(super) const MAX_BEHIND: f64 = 100.0;

/// How far ahead the prompts behind a prompt are counted. The rate of arrivals is known over a time as long, and later
/// requests can be sent elsewhere. Unit: seconds. Tuned in the lab, no sensitivity measured.
pub(super) const HORIZON: f64 = 5.0;

/// What a KV cache costs that is half full; a fuller one costs `share / (1 - share)` times as much. Unit: targets
/// missed. Tuned in the lab, no sensitivity measured.
pub(super) const FULL_KV_COST: f64 = 0.007;

/// The share of its KV cache above which an engine is likely to preempt streams, which costs one more target missed. No
/// unit, 0 to 1. Tuned in the lab, no sensitivity measured.
pub(super) const KV_LIMIT: f64 = 0.95;

/// The fewest tokens that a running stream is taken to have still to come: a pause is spread over them. Unit: tokens.
/// Tuned in the lab, no sensitivity measured.
pub(super) const MIN_STREAM_LEFT: f64 = 8.0;
