//! How long it takes, and how much memory, to plan many slices, and slices of many devices.

use std::{
    env,
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use iotorch_benches::{Bench, Goal, Result, documents, engine, note, null::Batches, repeat, resident, run};
use iotorch_core::{
    Engine, Intent, Limits, Orchestrator as _, RunOptions,
    model::{DeviceProtocol, Slice},
    plan::{Plan, SlicePlan},
    store::MemoryStore,
};
use serde::{Deserialize, Serialize};

const BENCH: Bench = Bench("plan");
const COUNTS: [usize; 4] = [1, 100, 1_000, 10_000];
/// The count that has goals, and for which memory is shown.
const MANY: usize = 10_000;
/// The devices of a slice where nothing else is said.
const FEW_DEVICES: usize = 2;

/// How what is wanted differs from what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Case {
    Unchanged,
    /// As [`Self::Unchanged`], of slices that say what they need of their place.
    Demanding,
    OneChanged,
    AllNew,
}

impl Case {
    const ALL: [Self; 4] = [Self::Unchanged, Self::Demanding, Self::OneChanged, Self::AllNew];

    const fn words(self) -> &'static str {
        match self {
            Self::Unchanged => "nothing changed",
            Self::Demanding => "with needs, nothing changed",
            Self::OneChanged => "one changed",
            Self::AllNew => "all new",
        }
    }
}

/// What a process measures, as its command line says it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Task {
    case: Case,
    count: usize,
    /// Of each slice.
    devices: usize,
}

/// What it prints.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Outcome {
    seconds: f64,
    /// Resident bytes with the state and the documents there, and nothing planned.
    before: u64,
    /// The most resident bytes from then on.
    peak: u64,
}

fn main() -> ExitCode {
    run(|| {
        // Cargo passes --bench.
        match env::args().skip(1).find(|argument| argument != "--bench") {
            Some(task) => perform(serde_json::from_str(&task)?),
            None => measure(),
        }
    })
}

fn measure() -> Result<()> {
    for case in Case::ALL {
        for count in COUNTS {
            let outcome = in_own_process(Task { case, count, devices: FEW_DEVICES })?;
            let slices = if count == 1 { "slice" } else { "slices" };
            let metric = format!("{count} {slices}, {}", case.words());
            let has_goals = count == MANY && matches!(case, Case::Unchanged | Case::Demanding);
            let goal = |bound| has_goals.then_some(Goal::AtMost(bound));
            BENCH.figure(&metric, outcome.seconds, "s", goal(1.0))?;
            if count == MANY {
                let (before, peak) = (megabytes(outcome.before), megabytes(outcome.peak));
                BENCH.figure(&format!("{metric}: peak memory"), peak, "MB", goal(500.0))?;
                BENCH.figure(&format!("{metric}: memory before planning"), before, "MB", None)?;
            }
        }
    }
    for (devices, goal) in [(1_000, None), (MANY, Some(Goal::AtMost(2.0)))] {
        for case in [Case::AllNew, Case::Unchanged, Case::OneChanged] {
            let outcome = in_own_process(Task { case, count: 1, devices })?;
            let metric = format!("1 slice of {devices} devices, {}", case.words());
            BENCH.figure(&metric, outcome.seconds, "s", goal)?;
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Has a new process of this program perform `task`, so that nothing an earlier one left behind is counted.
fn in_own_process(task: Task) -> Result<Outcome> {
    let program = env::current_exe()?;
    let output =
        Command::new(program).arg(serde_json::to_string(&task)?).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!(
            "cannot measure {} slices of {} devices, {}: {}",
            task.count,
            task.devices,
            task.case.words(),
            output.status
        )
        .into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn perform(task: Task) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let outcome = runtime.block_on(plan(task))?;
    let mut stdout = std::io::stdout().lock();
    Ok(serde_json::to_writer(&mut stdout, &outcome)?)
}

async fn plan(task: Task) -> Result<Outcome> {
    // Finished runs are not kept, as a store in a file does not keep them in memory either.
    let limits = Limits { history: 0, ..Limits::default() };
    let engine = engine(Arc::new(MemoryStore::new()), Batches::Lite, limits)?;
    let mut intent = Intent {
        infrastructures: vec![documents::infrastructure()?],
        slices: slices(task)?,
        ..Intent::default()
    };
    if task.case == Case::Demanding {
        intent
            .infrastructures
            .iter_mut()
            .try_for_each(|place| documents::demand(&mut intent.slices, place))?;
    }
    if task.case != Case::AllNew {
        make(&engine, &intent).await?;
    }
    if task.case == Case::OneChanged
        && let Some(device) =
            intent.slices.get_mut(task.count / 2).and_then(|slice| slice.spec.devices.first_mut())
    {
        device.protocol = DeviceProtocol::Http;
    }
    resident::forget_peak()?;
    let before = resident::read()?.now;
    let samples = repeat(3, Duration::from_secs(2), async || {
        let begun = Instant::now();
        let plan = engine.plan(&intent).await?;
        if task.devices > FEW_DEVICES {
            // A person waits for what is printed, which has so many devices in a line.
            std::hint::black_box(plan.to_lines());
        }
        let seconds = begun.elapsed().as_secs_f64();
        check(task, &plan)?;
        Ok(seconds)
    })
    .await?;
    let Task { case, count, devices } = task;
    note(&format!("plan: {count} slices of {devices} devices, {}: seconds {samples}", case.words()));
    Ok(Outcome { seconds: samples.median(), before, peak: resident::read()?.peak })
}

fn slices(task: Task) -> Result<Vec<Slice>> {
    (0..task.count).map(|number| documents::slice(&format!("slice-{number:05}"), task.devices)).collect()
}

/// Makes the slices of `intent`.
async fn make(engine: &Engine, intent: &Intent) -> Result<()> {
    // So few at once that what a run leaves in the allocator is small beside the state.
    for slices in intent.slices.chunks(100) {
        let part = Intent {
            infrastructures: intent.infrastructures.clone(),
            slices: slices.to_vec(),
            ..Intent::default()
        };
        let plan = engine.plan(&part).await?;
        engine.apply(plan, RunOptions::default()).await?;
    }
    Ok(())
}

/// Makes sure that what is measured is what the figure says.
fn check(task: Task, plan: &Plan) -> Result<()> {
    let changed = plan.slices.iter().filter(|slice| !slice.is_empty()).count();
    let expected = match task.case {
        Case::Unchanged | Case::Demanding => 0,
        Case::OneChanged => 1,
        Case::AllNew => task.count,
    };
    let unplanned =
        task.case == Case::AllNew && plan.slices.iter().any(|slice: &SlicePlan| slice.steps.is_empty());
    if plan.slices.len() != task.count || changed != expected || unplanned {
        let (count, case) = (task.count, task.case.words());
        return Err(format!("cannot measure {count} slices, {case}: the plan changes {changed}").into());
    }
    Ok(())
}
