//! The mean of a figure over several seeds, with its confidence interval.

use crate::stats::Sample;

/// A mean with its 95 % interval, by Student's t.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// The mean over the seeds.
    pub mean: f64,
    /// Half the width of the 95 % interval; `None`: one seed does not show the spread.
    pub half: Option<f64>,
    /// The number of seeds.
    pub runs: usize,
}

/// The 97.5 % points of Student's t with 1, 2, … degrees of freedom.
const T: [f64; 20] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
];
/// The value for more degrees of freedom: that of 20, so the interval is never too narrow.
const T_BEYOND: f64 = 2.086;

impl Confidence {
    /// Computes the interval from one value per seed, without NaN. `None`: there are no values.
    #[must_use]
    pub fn of(values: Vec<f64>) -> Option<Self> {
        let sample = Sample::new(values);
        let runs = sample.values().len();
        let mean = sample.mean()?;
        let half = (runs > 1).then(|| {
            let squares: f64 = sample.values().iter().map(|value| (value - mean).powi(2)).sum();
            // n − 1, because the mean comes from the same values.
            let deviation = (squares / (runs - 1) as f64).sqrt();
            T.get(runs - 2).unwrap_or(&T_BEYOND) * deviation / (runs as f64).sqrt()
        });
        Some(Self { mean, half, runs })
    }

    /// The ends of the interval. For one seed both are the mean.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        let half = self.half.unwrap_or(0.0);
        (self.mean - half, self.mean + half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_students() {
        let three = Confidence::of(vec![9.0, 10.0, 11.0]).unwrap();
        assert_eq!((three.mean, three.runs), (10.0, 3));
        assert!((three.half.unwrap() - 4.303 / 3f64.sqrt()).abs() < 1e-9);
        assert_eq!(Confidence::of(vec![2.0; 40]).unwrap().range(), (2.0, 2.0));
    }

    #[test]
    fn one_value_has_no_interval_and_none_no_mean() {
        assert_eq!(Confidence::of(vec![4.0, f64::NAN]).unwrap().half, None);
        assert_eq!(Confidence::of(Vec::new()), None);
    }
}
