//! `iotorch apply`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use iotorch_core::{
    Error, ErrorKind, Intent, Report, RunOptions,
    model::{FailurePolicy, SliceName},
    plan::Plan,
    resource::{Location, ResourceId},
};

use super::LOCAL;
use crate::{
    cli::Setting,
    exit::Exit,
    failure::{Failure, Result, cannot},
    follow::Follower,
    input::{self, Files},
    installation::{self, Purpose, Session},
    interrupt::Interrupt,
    render,
    screen::Format,
};

/// Apply documents or a saved plan
///
/// Makes the world as the documents say, each slice as one transaction: when a step fails, the slice's policy decides what
/// happens to the steps before it. Slices that no document names are left alone.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch apply -f greenhouse.yaml
  iotorch apply -f greenhouse.yaml --on-failure pause
  iotorch apply --plan greenhouse.plan                     what iotorch plan --out has saved
  iotorch apply greenhouse                                 mend what was changed outside of iotorch")]
pub(crate) struct ApplyArgs {
    /// Slices to make as their documents said when they were applied last
    #[arg(value_name = "SLICE", conflicts_with = "plan")]
    slices: Vec<SliceName>,
    #[command(flatten)]
    files: Files,
    /// A plan that `iotorch plan --out` has saved; refused when what it was computed from has moved
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "allow_replace"])]
    plan: Option<PathBuf>,
    /// Remove and make again what cannot be changed in place
    #[arg(long)]
    allow_replace: bool,
    #[command(flatten)]
    policy: Policy,
}

/// What happens when something goes wrong.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Policy {
    /// What to do when a step fails, in place of each slice's own policy
    #[arg(long, value_name = "POLICY")]
    on_failure: Option<OnFailure>,
    /// What to do on Ctrl-C
    #[arg(long, value_name = "POLICY", default_value = "pause")]
    on_interrupt: OnInterrupt,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnFailure {
    /// Undo what the run did
    Rollback,
    /// Stay open and wait for `iotorch resume`
    Pause,
    /// Close, keep what was made, and mark what failed
    Keep,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum OnInterrupt {
    /// Stay open and wait for `iotorch resume`
    #[default]
    Pause,
    /// Undo what the run did
    Rollback,
}

impl Policy {
    /// The options of a run, but for the token that cancels it.
    pub(crate) fn options(self) -> RunOptions {
        RunOptions {
            on_failure: self.on_failure.map(|policy| match policy {
                OnFailure::Rollback => FailurePolicy::Rollback,
                OnFailure::Pause => FailurePolicy::Pause,
                OnFailure::Keep => FailurePolicy::Keep,
            }),
            rollback_on_interrupt: matches!(self.on_interrupt, OnInterrupt::Rollback),
            ..RunOptions::default()
        }
    }
}

pub(crate) async fn exec(args: ApplyArgs, setting: &Setting) -> Result<Exit> {
    if let Some(path) = &args.plan {
        let plan = read_plan(path)?;
        let again = format!("iotorch apply --plan {}", path.display());
        return installation::with(setting, Purpose::Work, async |session| {
            apply(session, setting, plan, args.policy, Some(again)).await
        })
        .await;
    }
    if args.slices.is_empty() {
        args.files.require()?;
    }
    let documents = args.files.read()?;
    let slices: String = args.slices.iter().map(|slice| format!(" {slice}")).collect();
    let again = format!("iotorch apply{slices}{}", args.files.typed());
    installation::with(setting, Purpose::Work, async |session| {
        session.check(&documents).await?;
        let wish = input::wish(documents);
        let intent = Intent { reconcile: args.slices, allow_replace: args.allow_replace, ..wish };
        let plan = session.orchestrator().plan(&intent).await?;
        apply(session, setting, plan, args.policy, Some(again)).await
    })
    .await
}

/// Applies a plan, shows it happen, and tells what came of it.
pub(crate) async fn apply(
    session: &Session,
    setting: &Setting,
    plan: Plan,
    policy: Policy,
    again: Option<String>,
) -> Result<Exit> {
    if let Some(stranded) = stranded(&plan).filter(|_| !session.is_hosted()) {
        return Err(unhosted(&plan, stranded, again.as_deref()).into());
    }
    if plan.is_empty() {
        return report(setting, &Report::default(), Some(&plan));
    }
    let interrupt = Interrupt::watch(&setting.screen, STOPPING)?;
    let follower = Follower::start(&setting.screen, session.events());
    let options = RunOptions { cancelled: interrupt.token().clone(), ..policy.options() };
    let result = session.orchestrator().apply(plan.clone(), options).await;
    follower.finish().await;
    match result {
        Ok(done) => report(setting, &done, Some(&plan)),
        Err(error) => Err(Failure::applying(error, &plan, again)),
    }
}

/// What a person reads after the first Ctrl-C.
pub(crate) const STOPPING: &str = "stopping: what is under way is finished first; Ctrl-C again ends at once";

/// Tells what was done.
pub(crate) fn report(setting: &Setting, done: &Report, plan: Option<&Plan>) -> Result<Exit> {
    let screen = &setting.screen;
    match screen.format() {
        Format::Json | Format::Yaml => screen.data(done)?,
        Format::Table if screen.quiet => {}
        Format::Table => screen.result(render::report::report(done, plan, screen.out))?,
    }
    Ok(Exit::Done)
}

/// A step that makes something on an infrastructure that lives in the process of `iotorch run`.
fn stranded(plan: &Plan) -> Option<&ResourceId> {
    let steps = plan.slices.iter().flat_map(|slice| &slice.steps);
    let made = steps.filter(|step| !step.change.is_delete());
    made.map(|step| &step.resource).find(|id| match id.location() {
        Location::Infrastructure(name) => {
            plan.places.get(&name).is_some_and(|place| place.driver.as_str() == LOCAL)
        }
        _ => false,
    })
}

fn unhosted(plan: &Plan, stranded: &ResourceId, again: Option<&str>) -> Error {
    let files = again.and_then(|again| again.split_once(" -f ")).map(|(_, files)| files);
    let slices: Vec<&str> = plan.slices.iter().map(|slice| slice.slice.as_str()).collect();
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "cannot apply {}: \"{}\" is in the process of iotorch run, and none is running",
            if slices.len() == 1 { format!("slice \"{}\"", slices[0]) } else { format!("{} slices", slices.len()) },
            stranded.place(),
        ),
    )
    .with_help(match files {
        Some(files) => format!(
            "start it, and leave it running:  iotorch run -f {files}\nit applies these documents by itself; further ones go through it with iotorch apply"
        ),
        None => "start it, and leave it running:  iotorch run\nthen type this command again in another terminal".into(),
    })
}

fn read_plan(path: &std::path::Path) -> Result<Plan> {
    let text = std::fs::read(path).map_err(|error| cannot(format!("read \"{}\"", path.display()), error))?;
    let plan: Plan = serde_json::from_slice(&text).map_err(|error| {
        Error::new(ErrorKind::Invalid, format!("cannot read \"{}\" as a plan", path.display()))
            .with_help("a plan is saved with iotorch plan --out FILE")
            .with_source(error)
    })?;
    Ok(plan)
}
