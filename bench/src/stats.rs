//! Medians, percentiles and spread of a handful of samples. Pure arithmetic.

use serde::{Deserialize, Serialize};

/// The samples of one figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Samples(pub Vec<f64>);

impl Samples {
    /// The middle value, or the mean of the two in the middle; `None` without samples.
    pub fn median(&self) -> Option<f64> {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        if sorted.len() % 2 == 1 {
            return Some(upper);
        }
        let lower = *sorted.get(middle.checked_sub(1)?)?;
        Some(f64::midpoint(lower, upper))
    }

    /// The smallest and the largest.
    pub fn range(&self) -> Option<(f64, f64)> {
        let sorted = self.sorted();
        Some((*sorted.first()?, *sorted.last()?))
    }

    /// Half the distance from the smallest to the largest, relative to the median: `0.05` is "within 5 %".
    pub fn spread(&self) -> Option<f64> {
        let (least, most) = self.range()?;
        let median = self.median()?;
        (median != 0.0).then(|| (most - least) / 2.0 / median.abs())
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// The value below which `share` (0 to 1) of all lie, by the nearest-rank method; `None` without values.
pub fn percentile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Samples(vec![]).median(), None);
        assert_eq!(Samples(vec![3.0]).median(), Some(3.0));
        assert_eq!(Samples(vec![9.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(Samples(vec![4.0, 1.0, 2.0, 10.0]).median(), Some(3.0));
    }

    #[test]
    fn spread_is_relative() {
        assert_eq!(Samples(vec![]).spread(), None);
        assert_eq!(Samples(vec![5.0]).spread(), Some(0.0));
        assert_eq!(Samples(vec![90.0, 100.0, 110.0]).spread(), Some(0.1));
        assert_eq!(Samples(vec![0.0, 0.0]).spread(), None);
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&mut values, 0.5), Some(50.0));
        assert_eq!(percentile(&mut values, 0.99), Some(99.0));
        assert_eq!(percentile(&mut values, 1.0), Some(100.0));
        assert_eq!(percentile(&mut values, 0.0), Some(1.0));
        assert_eq!(percentile(&mut [], 0.5), None);
    }
}
