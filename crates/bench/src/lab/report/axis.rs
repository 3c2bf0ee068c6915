//! Axes: the position of values, and the ticks.

/// One axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) label: String,
    pub(super) low: f64,
    pub(super) high: f64,
    /// Whether the axis is logarithmic. `low` is above 0 then.
    pub(super) log: bool,
}

impl Axis {
    /// An axis from 0 to a little above the largest of `values`.
    pub(super) fn from_zero(label: &str, values: impl Iterator<Item = f64>) -> Self {
        let most = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let high = if most > 0.0 { most * 1.05 } else { 1.0 };
        Self { label: label.to_owned(), low: 0.0, high, log: false }
    }

    /// An axis from 0 to 100 %.
    pub(super) fn percent(label: &str) -> Self {
        Self { label: label.to_owned(), low: 0.0, high: 100.0, log: false }
    }

    /// An axis from the smallest to the largest of `values`.
    pub(super) fn range(label: &str, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let (low, high) = if low < high { (low, high) } else { (low.min(0.0), low.max(0.0) + 1.0) };
        Self { label: label.to_owned(), low, high, log: false }
    }

    /// A logarithmic axis from the smallest to the largest of `values`, rounded to 1, 2 or 5 times a power of ten.
    pub(super) fn log(label: &str, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|&value| value > 0.0)
            .fold((f64::MAX, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if high > 0.0 { (low, high) } else { (1.0, 10.0) };
        let below = round_ticks(low / 10.0, low).last().copied().unwrap_or(low);
        let above = round_ticks(high, high * 10.0).first().copied().unwrap_or(high);
        let high = if above > below { above } else { below * 10.0 };
        Self { label: label.to_owned(), low: below, high, log: true }
    }

    /// The position of a value: 0 at the low end, 1 at the high end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        share.clamp(0.0, 1.0)
    }

    /// The values with a tick, about six.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.log {
            let ticks = round_ticks(self.low, self.high);
            let crowded = ticks.len() > 9;
            let decade = |tick: &f64| (tick.log10() - tick.log10().round()).abs() < 1e-9;
            return ticks.into_iter().filter(|tick| !crowded || decade(tick)).collect();
        }
        let step = step((self.high - self.low) / 6.0);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|count| count as f64 * step).collect()
    }
}

/// The values 1, 2 and 5 times powers of ten from `low` to `high`.
fn round_ticks(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let decades = (first..=last).flat_map(|decade| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(decade)));
    decades.filter(|tick| (low * 0.999..=high * 1.001).contains(tick)).collect()
}

/// The next value of the form 1, 2 or 5 times a power of ten.
fn step(least: f64) -> f64 {
    round_ticks(least, least * 10.0).first().copied().unwrap_or(1.0)
}

/// The value of a tick without needless digits.
pub(super) fn show(tick: f64) -> String {
    let text = format!("{tick:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let Some(thousands) = text.parse::<i64>().ok().filter(|whole| whole.abs() >= 1_000) else {
        return text.to_owned();
    };
    format!("{},{:03}", thousands / 1_000, thousands.abs() % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(Axis::percent("").ticks(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        let log = Axis::log("", [37.0, 4_200.0].into_iter());
        assert_eq!((log.low, log.high), (20.0, 5_000.0));
        assert_eq!(log.ticks(), [20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0]);
        let wide = Axis::log("", [1.0, 100_000.0].into_iter());
        assert_eq!(wide.ticks().len(), 6, "{:?}", wide.ticks());
    }

    #[test]
    fn places_are_between_the_ends() {
        let log = Axis::log("", [10.0, 1_000.0].into_iter());
        assert!((log.place(100.0) - 0.5).abs() < 1e-9);
        assert_eq!((log.place(0.0), log.place(1e9)), (0.0, 1.0));
        assert_eq!(Axis::from_zero("", std::iter::empty()).place(0.5), 0.5);
    }

    #[test]
    fn one_value_alone_still_has_an_axis() {
        for axis in [Axis::range("", [4.0].into_iter()), Axis::log("", [5.0].into_iter())] {
            assert!(axis.low < axis.high && axis.place(4.5).is_finite(), "{axis:?}");
        }
    }

    #[test]
    fn ticks_are_shown_without_needless_digits() {
        assert_eq!([0.5, 20.0, 0.0, 5_000.0].map(show), ["0.5", "20", "0", "5,000"]);
    }
}
