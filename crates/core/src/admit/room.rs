//! Whether the endpoints of a plan have room for a request now.

use crate::plan::forecast::Forecast;
use crate::request::analyze::Priority;
use crate::target::Target;

/// What a route does with a request whose TTFT target cannot be met any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnattainable {
    /// It is served, behind those that can be in time.
    #[default]
    BestEffort,
    /// It is refused at once, with a `Retry-After`.
    Reject,
}

/// The longest wait before an endpoint at which a request is sent there, as a share of its TTFT target, for high, medium
/// and low priority. Lower priorities get less, so that there is room when a more urgent request comes; none gets 0, so
/// that endpoints have the next prompt at hand.
const LONGEST_WAIT: [f64; 3] = [1.0, 0.3, 0.15];

/// The same while more urgent requests arrive, which the room is left for.
const LONGEST_WAIT_BEHIND: [f64; 3] = [1.0, 0.1, 0.05];

/// An endpoint takes no more streams once its ITL is forecast to be this many times the target.
const HIGHEST_ITL: f64 = 2.0;

/// The same while more urgent requests arrive.
const HIGHEST_ITL_BEHIND: f64 = 1.1;

/// Whether the endpoints of a plan have room for a request; `behind`: more urgent requests arrive.
#[must_use]
pub fn has_room(forecast: &Forecast, target: Target, priority: Priority, behind: bool) -> bool {
    let (waits, itl) = match behind {
        true => (LONGEST_WAIT_BEHIND, HIGHEST_ITL_BEHIND),
        false => (LONGEST_WAIT, HIGHEST_ITL),
    };
    let wait = waits[priority as usize] * target.ttft.as_secs_f64();
    forecast.wait <= wait && forecast.itl <= itl * target.itl.as_secs_f64()
}

#[cfg(test)]
mod tests;
