//! Ten thousand seeds of faults: errors, delays, lost replies, late arrivals, partitions and crashes, in random plans and policies.
//!
//! A failing seed prints the command that replays it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up fails")]
#![allow(clippy::print_stderr, reason = "a test of random faults tells how many there were")]

mod lab;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use iotorch_core::{
    Direction, Intent, Orchestrator, RunOptions,
    model::{FailurePolicy, Offline, OnOffline, TimeSpan},
    sim::Faults,
    store::RunState,
};
use lab::{Cut, Lab, corpus, in_virtual_time};
use rand::{RngExt, SeedableRng, rngs::StdRng};

const SEEDS: u64 = 10_000;

#[derive(Debug, Default)]
struct Met {
    crashes: u64,
    rolled_back: u64,
    stuck: u64,
    succeeded: u64,
}

/// One life of a lab: a case of the corpus under faults, perhaps with a crash, until it is at rest.
async fn live(seed: u64) -> Met {
    let mut random = StdRng::seed_from_u64(seed);
    let mut met = Met::default();
    let policy =
        [FailurePolicy::Rollback, FailurePolicy::Pause, FailurePolicy::Keep][random.random_range(0..3)];
    let mut cases = corpus::cases(policy);
    let mut case = cases.swap_remove(random.random_range(0..cases.len()));
    if random.random_bool(0.3) {
        let limit = TimeSpan::from_millis(random.random_range(1_000..100_000));
        for slice in &mut case.goal.slices {
            slice.spec.offline = Offline { policy: OnOffline::Wait, limit: Some(limit) };
        }
    }
    let mut lab = Lab::new();
    if let Some(start) = &case.start {
        lab.plan_and_apply(&corpus::want(start.clone())).await.expect("the start is reached without faults");
    }
    let start = lab.specs();
    let rate = [20, 100, 300][random.random_range(0..3)];
    // The plan is made in peace; what happens then is the seed's.
    let plan = lab.engine.plan(&case.goal).await.expect("the case can be planned");
    lab.world.set_faults(Faults::seeded(seed, rate));
    if random.random_bool(0.5) {
        let cut = if random.random_bool(0.5) { Cut::Before } else { Cut::After };
        let commits = random.random_range(0..60);
        if !lab.die_while_applying(plan, commits, cut).await {
            met.crashes += 1;
        }
    } else {
        let _ = lab.engine.apply(plan, RunOptions::default()).await;
    }
    for attempt in 0.. {
        lab.reopen();
        lab.check_nothing_is_orphaned().await;
        let Some(run) = lab.open_runs().await.into_iter().next() else { break };
        assert!(attempt < 20, "the run does not come to an end: {run:?}");
        if attempt > 3 {
            lab.world.heal();
        }
        let direction = match run.state {
            RunState::Paused => {
                [Direction::Continue, Direction::Rollback, Direction::Abandon][random.random_range(0..3)]
            }
            _ => Direction::Policy,
        };
        let ended = lab.engine.resume(run.id, direction, RunOptions::default()).await;
        for run in ended.unwrap_or_else(|failed| failed.report).runs {
            match run.state {
                RunState::RolledBack => {
                    met.rolled_back += 1;
                    lab.outwait_late_calls().await;
                    assert_eq!(lab.specs(), start, "rolled back to something else");
                }
                RunState::Stuck => met.stuck += 1,
                RunState::Succeeded => met.succeeded += 1,
                _ => {}
            }
        }
    }
    lab.world.heal();
    lab.outwait_late_calls().await;
    lab.check_nothing_is_orphaned().await;
    let mut goal = case.goal.clone();
    let known = lab.engine.slices().await.unwrap();
    goal.delete.retain(|slice| known.contains(slice));
    goal.rotate.clear();
    lab.plan_and_apply(&goal)
        .await
        .unwrap_or_else(|failed| panic!("the goal is not reached: {:?}", failed.error));
    let mut again = goal.clone();
    again.delete.clear();
    assert!(lab.engine.plan(&again).await.unwrap().is_empty(), "the plan after an apply is not empty");
    let delete = lab.engine.slices().await.unwrap();
    lab.plan_and_apply(&Intent { delete, ..Intent::default() }).await.unwrap();
    assert!(lab.world.objects().is_empty(), "left over: {:?}", lab.specs().keys());
    lab.check_nothing_is_orphaned().await;
    met
}

#[test]
fn ten_thousand_seeds_of_faults_and_crashes_leave_nothing_orphaned() {
    let only = option_env!("IOTORCH_SEED").and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..SEEDS, |seed| seed..seed + 1);
    let next = AtomicU64::new(seeds.start);
    let totals = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut total = Met::default();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds.end {
                            return total;
                        }
                        let met = catch_unwind(AssertUnwindSafe(|| in_virtual_time(live(seed)))).unwrap_or_else(|panic| {
                            let why = panic.downcast_ref::<String>().map_or("", String::as_str);
                            panic!(
                                "seed {seed}: {why}\nreplay with: IOTORCH_SEED={seed} cargo test -p iotorch-core --test faults"
                            )
                        });
                        total.crashes += met.crashes;
                        total.rolled_back += met.rolled_back;
                        total.stuck += met.stuck;
                        total.succeeded += met.succeeded;
                    }
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    let sum = |of: fn(&Met) -> u64| totals.iter().map(of).sum::<u64>();
    let (crashes, rolled_back, stuck, succeeded) =
        (sum(|met| met.crashes), sum(|met| met.rolled_back), sum(|met| met.stuck), sum(|met| met.succeeded));
    eprintln!(
        "{crashes} crashes; resumed to: {succeeded} succeeded, {rolled_back} rolled back, {stuck} stuck for a while"
    );
    // The seeds must reach what they are for.
    if only.is_none() {
        assert!(crashes > 1_000 && rolled_back > 100 && stuck > 10 && succeeded > 100);
    }
}

impl Lab {
    /// Lets all time pass that a call, whose answer never came, could take to arrive.
    async fn outwait_late_calls(&self) {
        while self.world.has_late_calls() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
