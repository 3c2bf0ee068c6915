//! The rate of arrivals over time.

use crate::lab::draw::Draw;
use crate::lab::workload::draft::WorkloadError;

/// The sigma of the lognormal rates of [`RateCurve::Spiky`]. The busiest second of an hour has about 25 times the mean,
/// as in Azure's code trace.
const SPIKY: f64 = 1.2;

/// The rate over time, in multiples of the workload's rate. Arrivals are Poisson at that rate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum RateCurve {
    /// Constant.
    #[default]
    Constant,
    /// Linear from one multiple to another. The mean is the middle of both.
    Ramp {
        /// Multiple at the start.
        from: f64,
        /// Multiple at the end.
        to: f64,
    },
    /// Bursts with a lower rate between them, such that the mean is 1. Needs `peak · on ≤ period`.
    Bursts {
        /// Seconds from burst to burst.
        period: f64,
        /// Seconds of one burst.
        on: f64,
        /// Multiple during a burst.
        peak: f64,
    },
    /// Every second has its own rate, lognormal with mean 1.
    Spiky {
        /// The largest multiple of any second.
        peak: f64,
    },
}

impl RateCurve {
    /// Validates the parameters.
    ///
    /// # Errors
    /// A multiple is negative, nothing ever arrives, or bursts leave no time or no requests between them.
    pub fn checked(self) -> Result<Self, WorkloadError> {
        let good = match self {
            Self::Constant => true,
            Self::Ramp { from, to } => {
                from >= 0.0 && to >= 0.0 && (from + to).is_finite() && from + to > 0.0
            }
            Self::Bursts { period, on, peak } => {
                0.0 < on && on < period && peak >= 1.0 && peak * on <= period
            }
            Self::Spiky { peak } => peak >= 1.0,
        };
        let what = format!(
            "{self:?} cannot be; expected multiples from 0, not all 0, and bursts with 0 < on < period and 1 ≤ peak ≤ \
             period ÷ on"
        );
        good.then_some(self).ok_or(WorkloadError::Figure { name: "course", what })
    }

    /// The times of arrival from `from` to `to` seconds, ascending. Before 0 the rate is that of time 0.
    pub(super) fn times(self, (from, to): (f64, f64), rate: f64, draw: &mut Draw) -> Vec<f64> {
        let seconds = self.seconds(from, to, draw);
        let peak = seconds.iter().copied().fold(self.peak(), f64::max);
        let mut times = Vec::new();
        let mut at = from;
        if !(rate > 0.0 && peak > 0.0) {
            return times;
        }
        // Thinning gives Poisson arrivals at a varying rate: draw them at the peak rate, and keep each with the
        // probability rate ÷ peak of its time.
        loop {
            at += draw.gap(rate * peak);
            if at >= to {
                return times;
            }
            let factor = seconds.get((at - from) as usize).copied();
            if draw.share() * peak < factor.unwrap_or_else(|| self.factor(at, to)) {
                times.push(at);
            }
        }
    }

    /// The multiples of all seconds, if each second has its own.
    fn seconds(self, from: f64, to: f64, draw: &mut Draw) -> Vec<f64> {
        let Self::Spiky { peak } = self else { return Vec::new() };
        let count = (to - from).ceil().max(0.0) as usize;
        // Subtracting σ²/2 gives the lognormal distribution the mean 1.
        let one = |_| (SPIKY * draw.normal() - SPIKY * SPIKY / 2.0).exp().min(peak);
        (0..count).map(one).collect()
    }

    fn factor(self, at: f64, end: f64) -> f64 {
        match self {
            Self::Constant | Self::Spiky { .. } => 1.0,
            Self::Ramp { from, to } => from + (to - from) * (at / end).clamp(0.0, 1.0),
            Self::Bursts { period, on, peak } => {
                let burst = at.rem_euclid(period) < on;
                // What bursts leave of a mean of 1 is spread over the time between them.
                if burst { peak } else { ((period - peak * on) / (period - on)).max(0.0) }
            }
        }
    }

    fn peak(self) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Ramp { from, to } => from.max(to),
            Self::Bursts { peak, .. } => peak.max(1.0),
            // `times` takes the peak from the drawn seconds.
            Self::Spiky { .. } => 0.0,
        }
    }

    /// A description for reports.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Constant => "Poisson arrivals".to_owned(),
            Self::Ramp { from, to } => format!("Poisson arrivals, from {from}× to {to}× the rate"),
            Self::Bursts { period, on, peak } => {
                format!("Poisson arrivals, {peak}× the rate in {on} of every {period} s")
            }
            Self::Spiky { peak } => format!("bursts of single seconds, up to {peak}× the rate"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: f64 = 3_600.0;

    fn times(course: RateCurve) -> Vec<f64> {
        course.times((0.0, HOUR), 3.0, &mut Draw::new(5, 1))
    }

    fn between(times: &[f64], from: f64, to: f64) -> f64 {
        times.iter().filter(|&&at| (from..to).contains(&at)).count() as f64
    }

    #[test]
    fn the_mean_is_the_rate() {
        let bursts = RateCurve::Bursts { period: 60.0, on: 10.0, peak: 4.0 };
        for course in [RateCurve::Constant, bursts, RateCurve::Ramp { from: 0.5, to: 1.5 }] {
            let times = times(course);
            assert!(times.is_sorted());
            let rate = times.len() as f64 / HOUR;
            assert!((rate / 3.0 - 1.0).abs() < 0.05, "{course:?}: {rate}");
        }
    }

    #[test]
    fn ramps_rise_and_bursts_come_and_go() {
        let ramp = times(RateCurve::Ramp { from: 0.0, to: 2.0 });
        let halves = (between(&ramp, 0.0, HOUR / 2.0), between(&ramp, HOUR / 2.0, HOUR));
        assert!((halves.1 / halves.0 - 3.0).abs() < 0.4, "{halves:?}");
        let bursts = times(RateCurve::Bursts { period: 60.0, on: 20.0, peak: 3.0 });
        assert!(bursts.iter().all(|at| at % 60.0 < 20.0), "nothing is left between these");
    }

    #[test]
    fn spikes_reach_many_times_the_mean() {
        let times = times(RateCurve::Spiky { peak: 25.0 });
        let mut seconds = vec![0u32; 3_600];
        times.iter().for_each(|&at| seconds[at as usize] += 1);
        let peak = f64::from(*seconds.iter().max().unwrap());
        let mean = times.len() as f64 / HOUR;
        assert!((2.4..3.6).contains(&mean), "{mean}");
        assert!((10.0..40.0).contains(&(peak / mean)), "{peak} against {mean}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let bursts = |on, peak| RateCurve::Bursts { period: 60.0, on, peak };
        for bad in [
            bursts(60.0, 1.0),
            bursts(0.0, 2.0),
            bursts(20.0, 4.0),
            RateCurve::Ramp { from: 0.0, to: 0.0 },
        ] {
            assert!(bad.checked().is_err(), "{bad:?}");
        }
        assert_eq!(bursts(20.0, 3.0).checked(), Ok(bursts(20.0, 3.0)));
        assert!(RateCurve::Spiky { peak: f64::NAN }.checked().is_err());
    }

    #[test]
    fn no_rate_no_arrivals() {
        assert!(RateCurve::Constant.times((0.0, 60.0), 0.0, &mut Draw::new(1, 1)).is_empty());
    }
}
