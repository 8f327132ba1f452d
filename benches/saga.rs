//! What a step costs: the engine alone on the store in memory, and many slices side by side on the store in a file.

use std::{
    fs,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use iotorch_benches::{
    Bench, Goal, Result, Samples,
    disk::{Flushes, Lines},
    documents, engine, note,
    null::Batches,
    repeat, run,
};
use iotorch_core::{
    Engine, Intent, Limits, Orchestrator as _, Report, RunOptions,
    model::Slice,
    store::{Entry, MemoryStore, RedbStore, Store},
};

const BENCH: Bench = Bench("saga");
/// How long each figure on the store in memory is measured.
const SPAN: Duration = Duration::from_secs(3);
/// How often everything on the disk is measured, one after the other: a disk that is now faster and now slower is so for all
/// figures of a round, which alone are compared.
const ROUNDS: usize = 40;
/// How many slices run side by side, and how often in each round.
const SIDE_BY_SIDE: [(usize, usize); 3] = [(1, 3), (8, 1), (64, 1)];

fn main() -> ExitCode {
    run(|| {
        in_memory()?;
        on_disk()
    })
}

fn in_memory() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    for (devices, words) in [(2, "small slice"), (1_000, "1000 devices")] {
        for (batches, how) in [(Batches::Single, "one a call"), (Batches::Lite, "batches as lite")] {
            let metric = format!("step, memory, {words}, {how}");
            let samples = runtime.block_on(step_in_memory(devices, batches))?;
            note(&format!("saga: {metric}: µs {samples}"));
            BENCH.figure(&metric, samples.median(), "µs", Some(Goal::AtMost(20.0)))?;
        }
    }
    Ok(())
}

/// The µs that a step takes, of a slice that is made, removed and made again.
async fn step_in_memory(devices: usize, batches: Batches) -> Result<Samples> {
    let engine = engine(Arc::new(MemoryStore::new()), batches, Limits::default())?;
    let slices = [documents::slice("slice-00000", devices)?];
    repeat(5, SPAN, async || {
        let rate = make(&engine, &slices).await?.rate();
        remove(&engine, &slices).await?;
        Ok(1e6 / rate)
    })
    .await
}

/// Slices that were made.
struct Made {
    steps: usize,
    took: Duration,
    report: Report,
}

impl Made {
    /// Steps a second.
    fn rate(&self) -> f64 {
        rate(self.steps, self.took)
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 steps")]
fn rate(steps: usize, took: Duration) -> f64 {
    steps as f64 / took.as_secs_f64()
}

/// Makes slices that are not there, and measures from the plan to the end of all runs.
async fn make(engine: &Engine, slices: &[Slice]) -> Result<Made> {
    let infrastructures = vec![documents::infrastructure()?];
    let plan = engine.plan(&Intent { infrastructures, slices: slices.to_vec(), ..Intent::default() }).await?;
    let steps: usize = plan.slices.iter().map(|slice| slice.steps.len()).sum();
    let begun = Instant::now();
    let report = engine.apply(plan, RunOptions::default()).await?;
    let took = begun.elapsed();
    let done: usize = report.runs.iter().map(|run| run.done.create).sum();
    if steps == 0 || done != steps {
        return Err(format!("cannot measure steps: {done} of {steps} were done").into());
    }
    Ok(Made { steps, took, report })
}

async fn remove(engine: &Engine, slices: &[Slice]) -> Result<()> {
    let delete = slices.iter().map(|slice| slice.name.clone()).collect();
    let plan = engine.plan(&Intent { delete, ..Intent::default() }).await?;
    engine.apply(plan, RunOptions::default()).await?;
    Ok(())
}

/// What was measured on the disk at about one time: medians.
struct Round {
    /// Seconds.
    flush: f64,
    /// Steps a second, for each of [`SIDE_BY_SIDE`].
    redb: [f64; SIDE_BY_SIDE.len()],
    /// Steps a second with a flush for each event.
    lines: f64,
}

fn on_disk() -> Result<()> {
    // Beside the programs that cargo builds: the folder for temporary files is often no disk.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(target)?;
    let folder = tempfile::tempdir_in(target)?;
    note(&format!("saga: the disk is that of {}", folder.path().display()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let rounds = runtime.block_on(measure_disk(folder.path()))?;
    let show = |metric: &str, unit, goal, value: &dyn Fn(&Round) -> f64| {
        let samples: Samples = rounds.iter().map(value).collect();
        note(&format!("saga: {metric}: {unit} {samples}"));
        BENCH.figure(metric, samples.median(), unit, goal)
    };
    show("flush of the disk, 4 KiB", "µs", None, &|round| round.flush * 1e6)?;
    show("a flush for each event, no iotorch", "steps/s", None, &|round| round.lines)?;
    show("redb, 1 slice", "steps/s", None, &|round| round.redb[0])?;
    show("redb, 8 slices", "steps/s", None, &|round| round.redb[1])?;
    show("redb, 64 slices", "steps/s", None, &|round| round.redb[2])?;
    show("redb, 64 slices to 1", "x", Some(Goal::AtLeast(8.0)), &|round| round.redb[2] / round.redb[0])?;
    show("redb, 1 slice to a flush for each event", "x", None, &|round| round.redb[0] / round.lines)?;
    show("redb, 64 slices to a flush for each event", "x", None, &|round| round.redb[2] / round.lines)
}

async fn measure_disk(folder: &Path) -> Result<Vec<Round>> {
    let (steps, events) = journalled().await?;
    let engine =
        engine(Arc::new(RedbStore::open(folder.join("store.redb"))?), Batches::Lite, Limits::default())?;
    let mut flushes = Flushes::new(folder)?;
    let mut lines = Lines::new(folder)?;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let flush = (0..25).map(|_| flushes.once()).collect::<Result<Samples>>()?;
        let mut redb = [f64::NAN; SIDE_BY_SIDE.len()];
        for ((count, times), median) in SIDE_BY_SIDE.into_iter().zip(&mut redb) {
            let slices = documents::slices(count)?;
            let mut samples = Samples::default();
            for _ in 0..times {
                samples.add(make(&engine, &slices).await?.rate());
                remove(&engine, &slices).await?;
            }
            *median = samples.median();
        }
        let line_by_line = |_| {
            let begun = Instant::now();
            events.iter().try_for_each(|event| lines.append(event))?;
            Ok(rate(steps, begun.elapsed()))
        };
        let lines = (0..3).map(line_by_line).collect::<Result<Samples>>()?;
        rounds.push(Round { flush: flush.median(), redb, lines: lines.median() });
    }
    Ok(rounds)
}

/// The events of making one slice, with the number of its steps.
async fn journalled() -> Result<(usize, Vec<Entry>)> {
    let store = Arc::new(MemoryStore::new());
    let engine = engine(Arc::clone(&store) as _, Batches::Lite, Limits::default())?;
    let made = make(&engine, &documents::slices(1)?).await?;
    let run = made.report.runs.first().ok_or("cannot journal: there was no run")?;
    Ok((made.steps, store.journal(run.run).await?))
}
