//! The uncertainty of a model's coefficients.
//!
//! The covariance of recursive least squares as `U·D·Uᵀ`, `U` with ones on its diagonal and zeros below, `D` diagonal
//! (Bierman 1977). *Why not the matrix itself*: with forgetting, rounding errors grow until it is not a covariance any
//! more, after some thousand samples, and the coefficients run away. `U·D·Uᵀ` is a covariance as long as no entry of
//! `D` is negative, and no step makes one negative.

/// The least entry of `D`, so that an almost certain coefficient can still change.
const LEAST: f64 = 1e-9;

/// The covariance of `N` coefficients.
#[derive(Clone, Debug)]
pub(super) struct Uncertainty<const N: usize> {
    u: [[f64; N]; N],
    d: [f64; N],
    most: f64,
}

impl<const N: usize> Uncertainty<N> {
    /// Coefficients of this variance, which is also the largest that forgetting brings back.
    pub(super) fn new(variance: f64) -> Self {
        let mut u = [[0.0; N]; N];
        for (i, row) in u.iter_mut().enumerate() {
            row[i] = 1.0;
        }
        Self { u, d: [variance; N], most: variance }
    }

    /// Learns a sample with the features `x`, after which older ones count `keep` times as much. Returns by how much
    /// each coefficient moves per unit of the sample's error.
    pub(super) fn learn(&mut self, x: &[f64; N], keep: f64) -> [f64; N] {
        let mut gain = [0.0; N];
        let mut alpha = keep;
        for j in 0..N {
            let f = x[j] + (0..j).map(|i| self.u[i][j] * x[i]).sum::<f64>();
            let g = self.d[j] * f;
            let before = alpha;
            alpha += f * g;
            // A coefficient whose feature stays 0 learns nothing, so its variance would grow without end.
            self.d[j] = (self.d[j] * before / (alpha * keep)).clamp(LEAST, self.most);
            for (row, gain) in self.u.iter_mut().zip(&mut gain).take(j) {
                let u = row[j];
                row[j] = u - f * *gain / before;
                *gain += u * g;
            }
            gain[j] = g;
        }
        gain.map(|gain| gain / alpha)
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    impl<const N: usize> Uncertainty<N> {
        fn covariance(&self) -> [[f64; N]; N] {
            let at = |i: usize, j: usize, k: usize| self.u[i][k] * self.d[k] * self.u[j][k];
            let entry = |i, j| (0..N).map(|k| at(i, j, k)).sum();
            std::array::from_fn(|i| std::array::from_fn(|j| entry(i, j)))
        }
    }

    #[test]
    fn it_is_the_covariance_of_recursive_least_squares() {
        let keep = 0.98;
        let mut p = [[0.0; 3]; 3];
        (0..3).for_each(|i| p[i][i] = 5.0);
        let mut uncertainty = Uncertainty { most: f64::INFINITY, ..Uncertainty::<3>::new(5.0) };
        let mut rng = SmallRng::seed_from_u64(5);
        for _ in 0..50 {
            let x = [1.0, rng.random_range(0.0..2.0), rng.random_range(0.0..3.0)];
            let px: [f64; 3] = std::array::from_fn(|i| (0..3).map(|j| p[i][j] * x[j]).sum());
            let xpx: f64 = (0..3).map(|i| x[i] * px[i]).sum();
            let gain = uncertainty.learn(&x, keep);
            for i in 0..3 {
                assert!((gain[i] - px[i] / (keep + xpx)).abs() < 1e-9);
                (0..3).for_each(|j| p[i][j] = (p[i][j] - px[i] * px[j] / (keep + xpx)) / keep);
            }
        }
        let ours = uncertainty.covariance();
        assert!((0..9).all(|i| (ours[i / 3][i % 3] - p[i / 3][i % 3]).abs() < 1e-6), "{ours:?}");
    }

    #[test]
    fn it_stays_one_however_alike_the_samples_are_and_however_many() {
        let mut uncertainty = Uncertainty::<4>::new(30.0);
        let mut rng = SmallRng::seed_from_u64(6);
        for _ in 0..200_000 {
            let tokens = rng.random_range(0.9..1.1);
            let gain = uncertainty.learn(&[0.2, tokens, 0.03 * tokens, 0.0], 0.98);
            assert!(gain.iter().all(|gain| gain.is_finite()));
        }
        assert!(uncertainty.d.iter().all(|d| (LEAST..=30.0).contains(d)));
        let gain = uncertainty.learn(&[0.2, 1.0, 0.03, 0.5], 0.98);
        assert!(gain.iter().all(|gain| gain.abs() < 30.0), "{gain:?}");
    }
}
