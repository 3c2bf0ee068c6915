//! Whether the endpoints of a plan have room for a request now.

use crate::plan::forecast::Forecast;
use crate::request::analyze::Priority;
use crate::target::Target;

/// What a route does with a request that cannot be given what it was promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnattainable {
    /// It is served all the same, behind those that can.
    #[default]
    BestEffort,
    /// It is refused at once, with the time after which to try again.
    Reject,
}

/// Shares of the TTFT target that the line before an endpoint may have, by priority: short for low, longer for high, so
/// that there is always room left for who is more urgent, and endpoints still have work at hand …
const LINE: [f64; 3] = [1.0, 0.3, 0.15];

/// … and before who leaves room for others, that are more urgent.
const LINE_BEHIND: [f64; 3] = [1.0, 0.1, 0.05];

/// Times the ITL target that the time between tokens may come to be before an endpoint takes no more streams …
const ITL_TIMES: f64 = 2.0;

/// … of who leaves room for others, that are more urgent.
const ITL_TIMES_BEHIND: f64 = 1.1;

/// Whether the endpoints of a plan have room for it; `behind`: others come that are more urgent.
#[must_use]
pub fn has_room(forecast: &Forecast, target: Target, priority: Priority, behind: bool) -> bool {
    let (lines, times) = match behind {
        true => (LINE_BEHIND, ITL_TIMES_BEHIND),
        false => (LINE, ITL_TIMES),
    };
    let line = lines[priority as usize] * target.ttft.as_secs_f64();
    forecast.wait <= line && forecast.itl <= times * target.itl.as_secs_f64()
}

#[cfg(test)]
mod tests;
