//! Counts tests from what test programs print.
//!
//! The lines are those of libtest's default format, which `libtest-mimic` prints too: `running N tests` first and
//! `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.02s` last.

use std::fmt;

/// The count so far, while test programs print.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// Test programs that began and never gave their result: a crash, or an exit in the middle of a test.
    broken_off: u64,
    is_running: bool,
}

impl Tally {
    pub(crate) fn read(&mut self, line: &str) {
        let line = line.trim_end();
        if let Some(result) = line.strip_prefix("test result: ") {
            self.is_running = false;
            self.passed += count(result, "passed");
            self.failed += count(result, "failed");
            self.skipped += count(result, "ignored");
        } else if is_start(line) {
            self.break_off();
            self.is_running = true;
        }
    }

    fn break_off(&mut self) {
        self.broken_off += u64::from(self.is_running);
        self.is_running = false;
    }

    /// The count over all, given whether cargo exited with zero. A failure that no test reported counts as a failed
    /// test, so that the summary never looks better than the run was.
    pub(crate) fn finish(mut self, succeeded: bool) -> Summary {
        self.break_off();
        let mut problems = Vec::new();
        let mut failed = self.failed + self.broken_off;
        if self.broken_off > 0 {
            problems.push(format!(
                "{} test program(s) ended before their result, each counted as one failed test",
                self.broken_off
            ));
        }
        if !succeeded && failed == 0 {
            failed = 1;
            problems.push("cargo failed though no test did, counted as one failed test".to_owned());
        }
        Summary { passed: self.passed, failed, skipped: self.skipped, problems }
    }
}

fn is_start(line: &str) -> bool {
    let count = line
        .strip_prefix("running ")
        .and_then(|rest| rest.strip_suffix(" tests").or_else(|| rest.strip_suffix(" test")));
    count.is_some_and(|count| count.parse::<u64>().is_ok())
}

/// The number that stands before a word: `5` for `passed` in `ok. 5 passed; 0 failed`.
fn count(result: &str, word: &str) -> u64 {
    let words: Vec<&str> = result.split([' ', ';']).collect();
    words.windows(2).find(|pair| pair[1] == word).and_then(|pair| pair[0].parse().ok()).unwrap_or_default()
}

/// The count of all tests; shown as `N passed, N failed, N skipped`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// What the numbers alone do not tell.
    pub(crate) problems: Vec<String>,
}

impl Summary {
    pub(crate) fn has_failed(&self) -> bool {
        self.failed > 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSED: &str = "
running 3 tests
test plan::tests::an_empty_plan_has_no_steps ... ok
test store::live ... ignored, no server at hand
test saga::tests::running 4 tests ... ok

test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.02s
";
    const FAILED: &str = "
running 12 tests
test a ... FAILED

failures:
    a

test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s
";
    const CRASHED: &str = "\nrunning 1 test\n";

    fn summary(outputs: &[&str], succeeded: bool) -> Summary {
        let mut tally = Tally::default();
        for line in outputs.iter().flat_map(|output| output.lines()) {
            tally.read(&format!("{line}\n"));
        }
        tally.finish(succeeded)
    }

    #[test]
    fn results_of_all_test_programs_are_added_up() {
        let summary = summary(&[PASSED, PASSED], true);
        assert_eq!(summary.to_string(), "4 passed, 0 failed, 2 skipped");
        assert!(!summary.has_failed());
        assert!(summary.problems.is_empty());
    }

    #[test]
    fn failed_tests_are_counted() {
        let summary = summary(&[PASSED, FAILED, PASSED], false);
        assert_eq!(summary.to_string(), "14 passed, 2 failed, 2 skipped");
        assert!(summary.has_failed());
        assert!(summary.problems.is_empty());
    }

    #[test]
    fn a_test_program_that_crashes_counts_as_a_failed_test() {
        for outputs in [[PASSED, CRASHED], [CRASHED, PASSED]] {
            let summary = summary(&outputs, false);
            assert_eq!(summary.to_string(), "2 passed, 1 failed, 1 skipped");
            assert_eq!(summary.problems.len(), 1);
        }
    }

    #[test]
    fn a_test_that_exits_with_zero_before_the_result_is_a_failure_still() {
        assert!(summary(&[CRASHED], true).has_failed());
    }

    #[test]
    fn a_build_that_fails_is_not_a_run_without_failures() {
        let summary = summary(&[], false);
        assert_eq!(summary.to_string(), "0 passed, 1 failed, 0 skipped");
        assert_eq!(summary.problems.len(), 1);
    }
}
