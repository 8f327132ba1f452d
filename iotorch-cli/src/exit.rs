//! Exit codes: documented, distinct, and chosen in this one place.

use std::process::ExitCode;

use iotorch_core::{ApplyError, ErrorKind, store::RunState};

/// What `iotorch --help` says about exit codes.
pub(crate) const HELP: &str = "\
Exit codes:
    0  done, or nothing to do
    1  internal error
    2  changes are pending (plan --exit-code)
    3  invalid input, or a wish that cannot be met
    4  conflict: another owner, another run, or the base of a plan has moved
    5  a run failed and was rolled back; nothing of it is left
    6  a run failed and something is left; the message says what
    7  another system is unavailable or refuses
  130  interrupted";

/// How the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or nothing to do.
    Done,
    /// A defect or a broken file.
    Internal,
    /// `plan --exit-code` found changes.
    Changes,
    /// The input is wrong or cannot be met.
    Invalid,
    /// Somebody else holds it, or the base of a plan moved.
    Conflict,
    /// A run failed, and nothing of it is left.
    RolledBack,
    /// A run failed, and something is left.
    Left,
    /// Another system cannot be reached or refuses.
    Unavailable,
    /// A person stopped it.
    Interrupted,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Internal => 1,
            Self::Changes => 2,
            Self::Invalid => 3,
            Self::Conflict => 4,
            Self::RolledBack => 5,
            Self::Left => 6,
            Self::Unavailable => 7,
            Self::Interrupted => 130,
        }
    }

    /// The code for an error that no run caused.
    pub(crate) const fn of_kind(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Unsupported | ErrorKind::Infeasible => {
                Self::Invalid
            }
            ErrorKind::Conflict | ErrorKind::Moved => Self::Conflict,
            ErrorKind::Denied
            | ErrorKind::Unavailable
            | ErrorKind::NotReady
            | ErrorKind::Timeout
            | ErrorKind::RateLimited => Self::Unavailable,
            ErrorKind::Cancelled => Self::Interrupted,
            _ => Self::Internal,
        }
    }

    /// The code for a plan that was not, or not wholly, applied: of several runs the one that leaves the most to do.
    pub(crate) fn of_apply(error: &ApplyError) -> Self {
        let mut states = error.failed().peekable();
        if error.error.kind() == ErrorKind::Cancelled || states.peek().is_none() {
            return Self::of_kind(error.error.kind());
        }
        let rank = |exit: &Self| match exit {
            Self::Interrupted => 3,
            Self::Left => 2,
            Self::Unavailable => 1,
            _ => 0,
        };
        states
            .map(|run| match run.state {
                RunState::Interrupted => Self::Interrupted,
                RunState::Waiting => Self::Unavailable,
                RunState::RolledBack if run.residue.is_empty() => Self::RolledBack,
                _ => Self::Left,
            })
            .max_by_key(rank)
            .unwrap_or(Self::Internal)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use iotorch_core::{Error, Report, orchestrator::RunReport, plan::Summary, store::RunId};

    use super::*;

    fn failed(states: &[RunState]) -> ApplyError {
        let run = |state: &RunState| RunReport {
            slice: "s".parse().unwrap(),
            run: RunId(1),
            state: *state,
            done: Summary::default(),
            undone: 0,
            took: Duration::ZERO,
            failure: None,
            residue: Vec::new(),
        };
        ApplyError {
            error: Error::new(ErrorKind::Unavailable, "cannot apply slice \"s\""),
            report: Report { runs: states.iter().map(run).collect() },
        }
    }

    #[test]
    fn the_run_that_leaves_the_most_to_do_decides_the_code() {
        use RunState::{Interrupted, Kept, Paused, RolledBack, Stuck, Succeeded, Waiting};
        let cases: [(&[RunState], Exit); 8] = [
            (&[RolledBack], Exit::RolledBack),
            (&[Succeeded, RolledBack], Exit::RolledBack),
            (&[RolledBack, Stuck], Exit::Left),
            (&[Paused], Exit::Left),
            (&[Kept], Exit::Left),
            (&[Waiting, RolledBack], Exit::Unavailable),
            (&[Stuck, Interrupted], Exit::Interrupted),
            (&[], Exit::Unavailable),
        ];
        for (states, exit) in cases {
            assert_eq!(Exit::of_apply(&failed(states)), exit, "{states:?}");
        }
    }

    #[test]
    fn something_left_after_a_rollback_is_not_a_clean_rollback() {
        let mut error = failed(&[RunState::RolledBack]);
        error.report.runs[0].residue.push("user greenhouse on mainflux".into());
        assert_eq!(Exit::of_apply(&error), Exit::Left);
    }

    #[test]
    fn every_code_is_in_the_help_text() {
        for exit in [
            Exit::Done,
            Exit::Internal,
            Exit::Changes,
            Exit::Invalid,
            Exit::Conflict,
            Exit::RolledBack,
            Exit::Left,
            Exit::Unavailable,
            Exit::Interrupted,
        ] {
            assert!(HELP.lines().any(|line| line.trim_start().starts_with(&format!("{}  ", exit.code()))));
        }
    }
}
