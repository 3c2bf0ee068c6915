//! Percentiles, means and spreads of measured values.

/// Measured values, sorted. Percentiles are by nearest rank, so each of them is a measured value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// Sorts `values` and drops NaN.
    #[must_use]
    pub fn new(mut values: Vec<f64>) -> Self {
        values.retain(|value| !value.is_nan());
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The smallest value that at least `percent` (0–100) of the values do not exceed. `None`: there are no values.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil().max(1.0) as usize;
        self.0.get(rank.min(self.0.len()).checked_sub(1)?).copied()
    }

    /// The median: the middle value, or the mean of the two middle values.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        let upper = *self.0.get(self.0.len() / 2)?;
        let lower = self.0[(self.0.len() - 1) / 2];
        Some(f64::midpoint(lower, upper))
    }

    /// The arithmetic mean.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.iter().sum::<f64>() / self.0.len() as f64)
    }

    /// The smallest and the largest value.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        Some((*self.0.first()?, *self.0.last()?))
    }

    /// The values, ascending.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let sample = Sample::new((1..=200).rev().map(f64::from).collect());
        for (percent, expected) in
            [(0.0, 1.0), (10.0, 20.0), (50.0, 100.0), (99.0, 198.0), (100.0, 200.0)]
        {
            assert_eq!(sample.percentile(percent), Some(expected), "p{percent}");
        }
        assert_eq!((sample.mean(), sample.median()), (Some(100.5), Some(100.5)));
        assert_eq!(Sample::new(vec![9.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(sample.range(), Some((1.0, 200.0)));
        assert_eq!(Sample::new(vec![3.0]).percentile(99.0), Some(3.0));
    }

    #[test]
    fn nothing_measured_has_no_figures() {
        let sample = Sample::new(vec![f64::NAN]);
        assert_eq!((sample.median(), sample.mean(), sample.range()), (None, None, None));
    }
}
