//! Sums of many numbers, and means of them, without the errors of adding doubles one by one.

use serde::{Deserialize, Serialize};

/// Numbers are kept divided by this, so that no sum of fewer than 2^32 of them is out of range. As it is a power of two, no digit is
/// lost, except of numbers below 1e-298.
const SCALE: f64 = 4_294_967_296.0;

/// A sum that keeps what each addition loses to rounding, so that it is about as good as with twice the digits of a double:
/// A. Neumaier, Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen, ZAMM 54 (1974).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sum {
    high: f64,
    /// What `high` has lost.
    low: f64,
}

impl Sum {
    pub(super) fn add(&mut self, number: f64) {
        let number = number / SCALE;
        let high = self.high + number;
        let (larger, smaller) =
            if self.high.abs() >= number.abs() { (self.high, number) } else { (number, self.high) };
        self.low += (larger - high) + smaller;
        self.high = high;
    }

    /// The sum, or the largest number of its sign if it is out of range.
    pub(super) fn total(self) -> f64 {
        in_range((self.high + self.low) * SCALE)
    }

    /// The mean of the numbers, which were so many.
    pub(super) fn mean(self, count: u64) -> f64 {
        let count = count as f64;
        let quotient = self.high / count;
        // Without rounding in between, this is exactly what the division has left.
        let left = (-quotient).mul_add(count, self.high);
        in_range((quotient + (left + self.low) / count) * SCALE)
    }
}

const fn in_range(number: f64) -> f64 {
    number.clamp(f64::MIN, f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(numbers: impl IntoIterator<Item = f64>) -> Sum {
        let mut sum = Sum::default();
        numbers.into_iter().for_each(|number| sum.add(number));
        sum
    }

    #[test]
    fn means_that_can_be_written_are_exact() {
        for (numbers, mean) in [
            (vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 4.5),
            (vec![0.1, 0.2, 0.3], 0.2),
            (vec![0.1; 10], 0.1),
            (vec![21.4, 21.5, 21.6], 21.5),
            (vec![1e16, 1.0, -1e16, 1.0], 0.5),
            (vec![-0.7, 0.7], 0.0),
            (vec![f64::MAX; 3], f64::MAX),
            (vec![f64::MAX, f64::MIN], 0.0),
        ] {
            assert_eq!(sum(numbers.iter().copied()).mean(numbers.len() as u64), mean, "{numbers:?}");
        }
    }

    #[test]
    fn a_sum_out_of_range_is_the_largest_number_and_what_follows_counts() {
        let mut most = sum([f64::MAX, f64::MAX]);
        assert_eq!(most.total(), f64::MAX);
        most.add(f64::MIN);
        assert_eq!(most.total(), f64::MAX);
        most.add(f64::MIN);
        assert_eq!(most.total(), 0.0);
        assert_eq!(sum([f64::MIN, f64::MIN]).total(), f64::MIN);
    }

    proptest! {
        #[test]
        fn the_mean_of_whole_numbers_is_the_nearest_double(
            numbers in prop::collection::vec(-1_000_000_000_000_i64..1_000_000_000_000, 1..200)
        ) {
            let exact = numbers.iter().sum::<i64>() as f64 / numbers.len() as f64;
            let sum = sum(numbers.iter().map(|number| *number as f64));
            prop_assert_eq!(sum.mean(numbers.len() as u64), exact);
        }
    }
}
