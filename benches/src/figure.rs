//! What a benchmark prints.

use std::{
    fmt,
    io::{self, Write as _},
};

use serde_json::json;

use crate::Result;

/// What a figure should be, in the figure's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

impl Goal {
    /// Whether `value` reaches it.
    #[must_use]
    pub fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
        }
    }
}

/// A benchmark, by its name.
#[derive(Clone, Copy, Debug)]
pub struct Bench(pub &'static str);

impl Bench {
    /// Prints a figure; one without a goal is only watched.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn figure(self, metric: &str, value: f64, unit: &str, goal: Option<Goal>) -> Result<()> {
        // Judged as it was measured, not as it is shown.
        let line = json!({
            "bench": self.0,
            "metric": metric,
            "value": rounded(value),
            "unit": unit,
            "goal": goal.map(|goal| goal.to_string()),
            "met": goal.map(|goal| goal.is_met_by(value)),
        });
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}")?;
        // A figure can take minutes, and whoever watches wants to see it when it is there.
        Ok(stdout.flush()?)
    }
}

/// Four significant digits: what is measured here varies by more than that.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_at_its_bound() {
        assert!(Goal::AtMost(20.0).is_met_by(20.0));
        assert!(!Goal::AtMost(20.0).is_met_by(20.01));
        assert!(Goal::AtLeast(8.0).is_met_by(8.0));
        assert!(!Goal::AtLeast(8.0).is_met_by(7.99));
    }

    #[test]
    fn a_goal_is_shown_with_its_direction() {
        assert_eq!(Goal::AtMost(20.0).to_string(), "≤ 20");
        assert_eq!(Goal::AtLeast(0.5).to_string(), "≥ 0.5");
    }

    #[test]
    fn values_have_four_significant_digits() {
        assert_eq!(
            [0.0, 0.000_123_456, 12.345_67, 123_456.0].map(rounded),
            [0.0, 0.000_123_5, 12.35, 123_500.0]
        );
    }
}
