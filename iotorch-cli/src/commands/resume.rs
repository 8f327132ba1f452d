//! `iotorch resume`

use clap::Args;
use iotorch_core::{
    Direction, Report, RunOptions,
    orchestrator::{RunFilter, RunReport, RunSummary},
    store::{RunId, RunState},
};

use super::apply::{Policy, STOPPING, report};
use crate::{
    cli::Setting,
    exit::Exit,
    failure::{Failure, Result},
    follow::Follower,
    installation::{self, Purpose, Session},
    interrupt::Interrupt,
};

/// End open runs
///
/// Without a direction each run ends as the policy of its slice says; without a number all open runs are resumed. A run is open when
/// its process died, when a person stopped it, when it waits for a place or a decision, or when something could not be undone.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch resume                       end every open run as its policy says
  iotorch resume r42 --continue        try the rest of the steps
  iotorch resume r42 --rollback        undo what it did
  iotorch resume r42 --abandon         close it, keep what it made, and mark what failed")]
pub(crate) struct ResumeArgs {
    /// The runs, as iotorch runs --open lists them
    #[arg(value_name = "RUN", required_if_eq_any = [("continue", "true"), ("rollback", "true"), ("abandon", "true")])]
    runs: Vec<RunId>,
    #[command(flatten)]
    direction: Way,
    #[command(flatten)]
    policy: Policy,
}

#[derive(Clone, Copy, Debug, Args)]
#[group(multiple = false)]
struct Way {
    /// Try the rest of the steps
    #[arg(long)]
    r#continue: bool,
    /// Undo what the run did
    #[arg(long)]
    rollback: bool,
    /// Close the run, keep what it made, and mark what failed
    #[arg(long)]
    abandon: bool,
}

impl From<Way> for Direction {
    fn from(way: Way) -> Self {
        match way {
            Way { r#continue: true, .. } => Self::Continue,
            Way { rollback: true, .. } => Self::Rollback,
            Way { abandon: true, .. } => Self::Abandon,
            Way { .. } => Self::Policy,
        }
    }
}

pub(crate) async fn exec(args: ResumeArgs, setting: &Setting) -> Result<Exit> {
    installation::with(setting, Purpose::End, async |session| {
        let runs = if args.runs.is_empty() { open_runs(session).await? } else { args.runs };
        if runs.is_empty() {
            setting.screen.note("no run is open");
        }
        let interrupt = Interrupt::watch(&setting.screen, STOPPING)?;
        let options = RunOptions { cancelled: interrupt.token().clone(), ..args.policy.options() };
        let follower = Follower::start(&setting.screen, session.events());
        let result = resume(session, runs, args.direction.into(), &options).await;
        follower.finish().await;
        report(setting, &result?, None)
    })
    .await
}

/// The numbers of all open runs.
pub(crate) async fn open_runs(session: &Session) -> Result<Vec<RunId>> {
    let filter = RunFilter { open: true, ..RunFilter::default() };
    let runs: Vec<RunSummary> = session.orchestrator().runs(&filter).await?;
    Ok(runs.into_iter().map(|run| run.id).collect())
}

/// Resumes runs side by side. When one fails the others go on; the reports of all are in the failure.
pub(crate) async fn resume(
    session: &Session,
    runs: Vec<RunId>,
    direction: Direction,
    options: &RunOptions,
) -> Result<Report> {
    let orchestrator = session.orchestrator();
    let ends = runs.into_iter().map(|run| orchestrator.resume(run, direction, options.clone()));
    let mut done = Report::default();
    let mut failed = None;
    let mut broken = false;
    for end in futures::future::join_all(ends).await {
        match end {
            Ok(report) => done.runs.extend(report.runs),
            Err(mut failure) => {
                broken |= failure.report.runs.is_empty();
                done.runs.append(&mut failure.report.runs);
                failed.get_or_insert(failure);
            }
        }
    }
    match failed {
        Some(mut failure) if broken || !done.runs.iter().all(|run| is_as_asked(run, direction)) => {
            failure.report = done;
            Err(Failure::resuming(failure))
        }
        _ => Ok(done),
    }
}

/// Whether a run ended as a person asked for: undoing is a failure of an apply, but not of `--rollback`.
fn is_as_asked(run: &RunReport, direction: Direction) -> bool {
    match direction {
        _ if run.state == RunState::Succeeded => true,
        Direction::Rollback => run.state == RunState::RolledBack && run.residue.is_empty(),
        Direction::Abandon => run.state == RunState::Kept,
        Direction::Policy | Direction::Continue => false,
    }
}
