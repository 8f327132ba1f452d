//! The process dies in the middle of a run; the next one brings the run to its end.
//!
//! What survives a process does so here: a store and secrets on disk, and a world outside, which is simulated. The crash is a
//! runtime that ends with the run half-way, and takes the engine and all of its tasks along.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use iotorch_core::{
    Direction, Engine, Intent, Limits, Orchestrator, RunOptions,
    observer::{Observer, Progress, RunEvent},
    orchestrator::RunFilter,
    secret::FileSecretStore,
    sim::{World, sim_infrastructure, sim_slice},
    store::RedbStore,
};
use tokio::sync::Semaphore;

/// Counts the steps that are done.
struct Steps(Arc<Semaphore>);

impl Observer for Steps {
    fn event(&self, event: &RunEvent) {
        if matches!(event.event, Progress::StepSucceeded { .. }) {
            self.0.add_permits(1);
        }
    }
}

/// How long a call may act: as long a resumed run holds back from what a call of the process that died may still change.
const DEADLINE: Duration = Duration::from_secs(1);

/// What a process does when it starts.
fn start(directory: &Path, world: &World, done: &Arc<Semaphore>) -> Result<Engine, Box<dyn Error>> {
    Ok(Engine::builder()
        .store(Arc::new(RedbStore::open(directory.join("store.redb"))?))
        .secrets(Arc::new(FileSecretStore::open(directory.join("secrets"))?))
        .drivers(world.drivers())
        .limits(Limits { ready_deadline: DEADLINE, step_deadline: DEADLINE, ..Limits::default() })
        .observer(Arc::new(Steps(Arc::clone(done))))
        .build())
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let world = World::new();
    let done = Arc::new(Semaphore::new(0));
    let wanted = Intent {
        infrastructures: vec![sim_infrastructure("edge-1"), sim_infrastructure("cloud-1")],
        slices: vec![sim_slice("greenhouse")],
        ..Intent::default()
    };

    in_a_process(async {
        let engine = start(directory.path(), &world, &done)?;
        let plan = engine.plan(&wanted).await?;
        println!("planned: {} to create", plan.summary().create);
        tokio::select! {
            _ = engine.apply(plan, RunOptions::default()) => Err("it was to die before the end".into()),
            steps = done.acquire_many(5) => steps.map(drop).map_err(Into::into),
        }
    })?;
    println!("died in the middle: {}", !world.objects().is_empty());

    in_a_process(async {
        let engine = start(directory.path(), &world, &done)?;
        for run in engine.runs(&RunFilter { open: true, ..RunFilter::default() }).await? {
            println!("found: run {} of slice {}, {}", run.id, run.slice, run.state);
            let report = engine.resume(run.id, Direction::Policy, RunOptions::default()).await?;
            println!("resumed: {}", report.runs[0].state);
        }
        println!("in the world: {} objects", world.objects().len());
        println!("left to do: {}", engine.plan(&wanted).await?.summary().create);
        Ok(())
    })
}

/// Runs something, and ends all that it has begun at once, as the end of a process does.
fn in_a_process(work: impl Future<Output = Result<(), Box<dyn Error>>>) -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(work)
}
