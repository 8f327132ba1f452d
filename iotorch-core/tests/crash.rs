//! The process dies at every journal position of every plan of the corpus, under each failure policy.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up fails")]

mod lab;

use std::{collections::BTreeMap, time::Duration};

use iotorch_core::{
    Direction, ErrorKind, Intent, Orchestrator, RunOptions,
    model::FailurePolicy,
    resource::{ResourceId, Spec},
    sim::Fault,
    store::RunState,
};
use lab::{
    Cut, Lab,
    corpus::{self, Case},
    in_virtual_time,
};

type Specs = BTreeMap<ResourceId, Spec>;

const POLICIES: [FailurePolicy; 3] = [FailurePolicy::Rollback, FailurePolicy::Pause, FailurePolicy::Keep];

/// A lab in which the start of `case` is applied.
async fn at_start(case: &Case) -> Lab {
    let lab = Lab::new();
    if let Some(start) = &case.start {
        lab.plan_and_apply(&corpus::want(start.clone())).await.expect("the start of the case is reached");
    }
    lab
}

/// What the world is like when the goal of `case` is reached, and the step on which a fault can be placed.
async fn reference(case: &Case) -> (Specs, String) {
    let lab = at_start(case).await;
    let plan = lab.engine.plan(&case.goal).await.expect("the case can be planned");
    let last = plan.slices[0].steps.last().expect("the case has steps").resource.to_string();
    lab.engine.apply(plan, RunOptions::default()).await.expect("the goal is reached without faults");
    let mut again = case.goal.clone();
    again.delete.clear();
    again.rotate.clear();
    assert!(
        lab.engine.plan(&again).await.unwrap().is_empty(),
        "{}: a plan after the apply is not empty",
        case.name
    );
    (lab.specs(), last)
}

/// Brings what is open to its end, and checks that the end is one that the policy allows.
async fn recover(case: &Case, lab: &mut Lab, target: &Specs, start: &Specs) {
    lab.reopen();
    lab.check_nothing_is_orphaned().await;
    // A fault can hit the resumed run too; then it is resumed once more, without one.
    for _ in 0..2 {
        for run in lab.open_runs().await {
            let direction =
                if run.state == RunState::Paused { Direction::Rollback } else { Direction::Policy };
            let ended = lab.engine.resume(run.id, direction, RunOptions::default()).await;
            let report = ended.unwrap_or_else(|failed| failed.report);
            match report.runs[0].state {
                RunState::Succeeded => assert_eq!(lab.specs(), *target, "{}", case.name),
                RunState::RolledBack => assert_eq!(lab.specs(), *start, "{}", case.name),
                RunState::Kept | RunState::Paused | RunState::Stuck => {}
                other => panic!("{}: the run is {other}", case.name),
            }
            lab.check_nothing_is_orphaned().await;
        }
        lab.world.heal();
    }
    assert!(lab.open_runs().await.is_empty(), "{}: {:?}", case.name, lab.open_runs().await);
    // From wherever the run ended, plan and apply reach the target, and deleting leaves nothing.
    let mut goal = case.goal.clone();
    let known = lab.engine.slices().await.unwrap();
    goal.delete.retain(|slice| known.contains(slice));
    lab.plan_and_apply(&goal).await.unwrap_or_else(|failed| panic!("{}: {:?}", case.name, failed.error));
    if goal.rotate.is_empty() {
        assert_eq!(lab.specs(), *target, "{}", case.name);
    }
    let delete = lab.engine.slices().await.unwrap();
    lab.plan_and_apply(&Intent { delete, ..Intent::default() }).await.unwrap();
    assert!(lab.world.objects().is_empty(), "{}: {:?}", case.name, lab.specs().keys());
    lab.check_nothing_is_orphaned().await;
}

/// Dies at every commit, before and after it is durable, with `prepare` done to the world first.
fn die_everywhere(case: &Case, prepare: &dyn Fn(&Lab, &str)) -> usize {
    let (target, last) = in_virtual_time(reference(case));
    let mut positions = 0;
    for commits in 0.. {
        let mut finished = false;
        for cut in [Cut::Before, Cut::After] {
            in_virtual_time(async {
                let mut lab = at_start(case).await;
                let start = lab.specs();
                prepare(&lab, &last);
                finished = lab.apply_and_die(&case.goal, commits, cut).await;
                recover(case, &mut lab, &target, &start).await;
            });
            positions += 1;
        }
        if finished {
            return positions;
        }
    }
    positions
}

#[test]
fn a_process_that_dies_at_any_journal_position_leaves_target_or_start() {
    for policy in POLICIES {
        for case in corpus::cases(policy) {
            let positions = die_everywhere(&case, &|_, _| {});
            assert!(positions > 10, "{}: {positions} positions", case.name);
        }
    }
}

#[test]
fn a_process_that_dies_while_it_deals_with_a_failed_step_still_follows_the_policy() {
    for policy in POLICIES {
        for case in corpus::cases(policy) {
            die_everywhere(&case, &|lab, last| lab.world.inject(last, Fault::Error(ErrorKind::Denied)));
        }
    }
}

#[test]
fn a_call_of_the_dead_process_that_arrives_late_does_no_harm() {
    for case in corpus::cases(FailurePolicy::Rollback) {
        die_everywhere(&case, &|lab, last| {
            lab.world.inject(last, Fault::LateArrival(Duration::from_secs(20)));
        });
    }
}
