//! Measuring again and again.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::Result;

/// Figures of one and the same thing, in the unit of whoever measured them.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds one.
    pub fn add(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// The one in the middle; of an even number the mean of the two there. Not a number when there are none.
    #[must_use]
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match (sorted.get(middle.wrapping_sub(1)), sorted.get(middle)) {
            (Some(below), Some(above)) if sorted.len().is_multiple_of(2) => f64::midpoint(*below, *above),
            (_, Some(middle)) => *middle,
            _ => f64::NAN,
        }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(samples: I) -> Self {
        Self(samples.into_iter().collect())
    }
}

/// How many there are and how far they spread.
impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted = self.sorted();
        let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
            return f.write_str("no samples");
        };
        write!(f, "median {:.4}, {least:.4} to {most:.4} in {} samples", self.median(), sorted.len())
    }
}

/// Measures for `span`, at least `least` times.
///
/// # Errors
/// The first that `measure` gives.
pub async fn repeat(
    least: usize,
    span: Duration,
    mut measure: impl AsyncFnMut() -> Result<f64>,
) -> Result<Samples> {
    let begun = Instant::now();
    let mut samples = Samples::default();
    while samples.0.len() < least || begun.elapsed() < span {
        samples.add(measure().await?);
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        values.iter().copied().collect()
    }

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(samples(&[3.0, 1.0, 100.0]).median(), 3.0);
        assert_eq!(samples(&[4.0, 1.0, 2.0, 100.0]).median(), 3.0);
        assert_eq!(samples(&[7.0]).median(), 7.0);
        assert!(samples(&[]).median().is_nan());
    }

    #[test]
    fn samples_are_shown_with_their_spread() {
        assert_eq!(samples(&[3.0, 1.0, 2.5]).to_string(), "median 2.5000, 1.0000 to 3.0000 in 3 samples");
    }
}
