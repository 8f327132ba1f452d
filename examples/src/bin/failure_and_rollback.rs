//! A step fails for good, and everything that the run did is undone.
//!
//! The world is simulated, so that the fault can be placed: the second device is refused.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, sync::Arc};

use iotorch_core::{
    Engine, ErrorKind, Intent, Orchestrator, RunOptions,
    model::FailurePolicy,
    secret::MemorySecretStore,
    sim::{Fault, World, sim_infrastructure, sim_slice},
    store::MemoryStore,
};

const DEVICE: &str = "greenhouse/edge-1/space/gw/app/device/d2";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let world = World::new();
    let engine = Engine::builder()
        .store(Arc::new(MemoryStore::new()))
        .secrets(Arc::new(MemorySecretStore::default()))
        .drivers(world.drivers())
        .build();
    let wanted = Intent {
        infrastructures: vec![sim_infrastructure("edge-1"), sim_infrastructure("cloud-1")],
        slices: vec![sim_slice("greenhouse")],
        ..Intent::default()
    };

    // The policy of a slice is to roll back unless its document says otherwise.
    world.inject(DEVICE, Fault::Error(ErrorKind::Denied));
    let plan = engine.plan(&wanted).await?;
    let Err(failed) = engine.apply(plan, RunOptions::default()).await else {
        return Err("the device was to be refused".into());
    };
    show(&failed);
    let run = &failed.report.runs[0];
    println!("the run is {}, {} steps undone, {} objects left", run.state, run.undone, world.objects().len());

    // The same, but what was made is kept, so that the next run has less to do.
    world.inject(DEVICE, Fault::Error(ErrorKind::Denied));
    let keep = RunOptions { on_failure: Some(FailurePolicy::Keep), ..RunOptions::default() };
    let plan = engine.plan(&wanted).await?;
    if let Err(failed) = engine.apply(plan, keep).await {
        let run = &failed.report.runs[0];
        println!("the run is {}, {} objects left", run.state, world.objects().len());
    }

    // The fault is gone: a plan has what is missing, and nothing else.
    let plan = engine.plan(&wanted).await?;
    for step in plan.slices.iter().flat_map(|slice| &slice.steps) {
        println!("next: {} ({})", step.resource, step.reason);
    }
    let report = engine.apply(plan, RunOptions::default()).await?;
    println!("the run is {}", report.runs[0].state);
    Ok(())
}

/// An error with its causes; none of them says what another has said.
fn show(error: &dyn Error) {
    println!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        println!("  cause: {error}");
        cause = error.source();
    }
}
