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
/// How often everything on the disk is measured, one after the other, so that a disk that is now faster and now slower
/// is so for all figures.
const ROUNDS: usize = 10;
/// How many slices run side by side, and how often in each round, so that each has some hundred steps.
const SIDE_BY_SIDE: [(usize, usize); 3] = [(1, 8), (8, 2), (64, 1)];

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

/// What is measured on the disk.
#[derive(Default)]
struct OnDisk {
    flush: Samples,
    /// Steps a second, for each of [`SIDE_BY_SIDE`].
    redb: [Samples; SIDE_BY_SIDE.len()],
    /// Steps a second with a flush for each event.
    lines: Samples,
}

fn on_disk() -> Result<()> {
    // Beside the programs that cargo builds: the folder for temporary files is often no disk.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(target)?;
    let folder = tempfile::tempdir_in(target)?;
    note(&format!("saga: the disk is that of {}", folder.path().display()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let measured = runtime.block_on(measure_disk(folder.path()))?;
    note(&format!("saga: flush: seconds {}", measured.flush));
    BENCH.figure("flush of the disk, 4 KiB", measured.flush.median() * 1e6, "µs", None)?;
    for ((count, _), samples) in SIDE_BY_SIDE.iter().zip(&measured.redb) {
        let slices = if *count == 1 { "slice" } else { "slices" };
        let metric = format!("redb, {count} {slices}");
        note(&format!("saga: {metric}: steps/s {samples}"));
        BENCH.figure(&metric, samples.median(), "steps/s", None)?;
    }
    note(&format!("saga: a flush for each event: steps/s {}", measured.lines));
    BENCH.figure("a flush for each event, no iotorch", measured.lines.median(), "steps/s", None)?;
    let [one, _, many] = measured.redb.map(|samples| samples.median());
    BENCH.figure("redb, 64 slices to 1", many / one, "x", Some(Goal::AtLeast(8.0)))?;
    BENCH.figure("redb, 1 slice to a flush for each event", one / measured.lines.median(), "x", None)?;
    BENCH.figure("redb, 64 slices to a flush for each event", many / measured.lines.median(), "x", None)
}

async fn measure_disk(folder: &Path) -> Result<OnDisk> {
    let (steps, events) = journalled().await?;
    let engine =
        engine(Arc::new(RedbStore::open(folder.join("store.redb"))?), Batches::Lite, Limits::default())?;
    let mut flushes = Flushes::new(folder)?;
    let mut lines = Lines::new(folder)?;
    let mut measured = OnDisk::default();
    for _ in 0..ROUNDS {
        for _ in 0..100 {
            measured.flush.add(flushes.once()?);
        }
        for ((count, times), samples) in SIDE_BY_SIDE.iter().zip(&mut measured.redb) {
            let slices = documents::slices(*count)?;
            for _ in 0..*times {
                samples.add(make(&engine, &slices).await?.rate());
                remove(&engine, &slices).await?;
            }
        }
        for _ in 0..4 {
            let begun = Instant::now();
            events.iter().try_for_each(|event| lines.append(event))?;
            measured.lines.add(rate(steps, begun.elapsed()));
        }
    }
    Ok(measured)
}

/// The events of making one slice, with the number of its steps.
async fn journalled() -> Result<(usize, Vec<Entry>)> {
    let store = Arc::new(MemoryStore::new());
    let engine = engine(Arc::clone(&store) as _, Batches::Lite, Limits::default())?;
    let made = make(&engine, &documents::slices(1)?).await?;
    let run = made.report.runs.first().ok_or("cannot journal: there was no run")?;
    Ok((made.steps, store.journal(run.run).await?))
}
