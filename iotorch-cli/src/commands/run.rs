//! `iotorch run`

use clap::Args;
use iotorch_core::{Direction, Intent, RunOptions, model::Documents, plan::Plan};
use tokio_util::sync::CancellationToken;

use super::{
    apply::Policy,
    resume::{open_runs, resume},
};
use crate::{
    cli::Setting,
    dashboard::Dashboard,
    exit::Exit,
    failure::{Failure, Result},
    follow::Follower,
    input::{self, Files},
    installation::{Purpose, Session},
    interrupt::Interrupt,
    open_files, render,
};

/// Apply documents, and stay to host what runs in this process
///
/// Hosts the `local` infrastructure, ends runs that were left open, applies the documents, and shows slices, rates and last values until
/// Ctrl-C. Started again it comes back with the same credentials and data. While it runs, other commands work through it.
///
/// A device with the label iotorch.dev/sensor: host is fed with this machine's own readings: those of load, memory, temperature
/// and uptime that its profile has, over the device's own protocol and with its own credential.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch run -f examples/slices
  iotorch run                                  host again what was applied before
  iotorch run -f greenhouse.yaml 2> run.log")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    policy: Policy,
    /// Remove and make again what cannot be changed in place
    #[arg(long)]
    allow_replace: bool,
}

const STOPPING: &str = "stopping; Ctrl-C again ends at once";

pub(crate) async fn exec(args: RunArgs, setting: &Setting) -> Result<Exit> {
    open_files::raise_limit();
    let documents = args.files.read()?;
    let interrupt = Interrupt::watch(&setting.screen, STOPPING)?;
    let session = Session::open(setting, Purpose::Host).await?;
    let follower = Follower::start(&setting.screen, session.events());
    let stop = interrupt.token();
    let result = work(&args, documents, &session, setting, &follower, stop).await;
    session.interrupt();
    follower.finish().await;
    session.close().await;
    result
}

async fn work(
    args: &RunArgs,
    documents: Documents,
    session: &Session,
    setting: &Setting,
    follower: &Follower,
    stop: &CancellationToken,
) -> Result<Exit> {
    session.check(&documents).await?;
    let options = RunOptions { cancelled: stop.clone(), ..args.policy.options() };
    end_open_runs(session, setting, &options).await?;
    let wish = input::wish(documents);
    let intent = Intent { allow_replace: args.allow_replace, ..wish };
    let applied = apply(args, &intent, session, options).await;
    if stop.is_cancelled() {
        return applied.map(|_| Exit::Interrupted);
    }
    let mut exit = Exit::Done;
    if let Err(failure) = applied {
        if session.orchestrator().slices().await?.is_empty() {
            return Err(failure);
        }
        // What is there goes on being hosted, and what is open can be resumed from elsewhere.
        setting.screen.complain(render::failure::failure(&failure, setting.screen.err));
        exit = failure.exit();
    }
    Dashboard::new(session, setting, follower).show(stop).await?;
    Ok(exit)
}

/// Ends what an earlier process left in the middle. What cannot be ended is told, and keeps nobody else from being hosted.
async fn end_open_runs(session: &Session, setting: &Setting, options: &RunOptions) -> Result<()> {
    let open = open_runs(session).await?;
    if let Err(failure) = resume(session, open, Direction::Policy, options).await {
        setting.screen.complain(render::failure::failure(&failure, setting.screen.err));
    }
    Ok(())
}

async fn apply(args: &RunArgs, intent: &Intent, session: &Session, options: RunOptions) -> Result<()> {
    let plan: Plan = session.orchestrator().plan(intent).await?;
    if plan.is_empty() {
        return Ok(());
    }
    let again = Some(format!("iotorch run{}", args.files.typed()));
    let applied = session.orchestrator().apply(plan.clone(), options).await;
    applied.map(|_| ()).map_err(|error| Failure::applying(error, &plan, again))
}
