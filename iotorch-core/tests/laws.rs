//! Laws that hold for every slice and every change of one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up fails")]

mod lab;
#[path = "laws/recipes.rs"]
mod recipes;

use std::collections::BTreeSet;

use iotorch_core::{
    Drivers, ErrorKind, Intent, Orchestrator, RunOptions,
    declared::DeclaredDriver,
    plan::{Condition, Phase, Plan},
    resource::{KindName, Outputs, ResourceId},
    sim::{Fault, SimDriver, World},
    store::{RunState, Store},
};
use lab::{Lab, corpus, in_virtual_time, slice};
use proptest::{prelude::*, sample::Index};
use recipes::{Recipe, change, recipe, redeployment};

fn want(recipe: &Recipe) -> Intent {
    corpus::want(recipe.slice())
}

/// Everything that a plan makes, changes or removes.
fn touched(plan: &Plan) -> BTreeSet<ResourceId> {
    let steps = plan.slices.iter().flat_map(|slice| &slice.steps);
    steps.flat_map(|step| step.takes_along.iter().chain([&step.resource])).cloned().collect()
}

/// A world whose infrastructures change workloads in place, or, given that kind, remove them and make them again.
fn world(replacing: Option<KindName>) -> Lab {
    let world = World::new();
    let name = |name: &str| name.parse().unwrap();
    let infrastructure = |driver: &str| {
        let driver = SimDriver::infrastructure(&world, &name(driver));
        match replacing {
            Some(kind) => driver.replacing(kind),
            None => driver,
        }
    };
    let drivers = Drivers::default()
        .with(infrastructure("kubernetes"))
        .with(infrastructure("local"))
        .with(SimDriver::gateway(&world, &name("edgex")).without(KindName::Credential))
        .with(SimDriver::server(&world, &name("mainflux")))
        .with(SimDriver::application(&world, &name("lite")))
        .with(SimDriver::network(&world, &name("linux-vxlan")))
        .with(DeclaredDriver);
    Lab::with(world, drivers)
}

/// Applies `goal` with one step that fails, and gives the plan; `None` when no step could.
async fn fail(lab: &Lab, goal: &Recipe, which: Index) -> Option<Plan> {
    let plan = lab.engine.plan(&want(goal)).await.unwrap();
    let steps = plan.slices.iter().flat_map(|slice| &slice.steps);
    // What is deleted before it is made again is asked twice, and either may be the one that fails.
    let certain: Vec<_> = steps
        .filter(|step| {
            step.phase == Phase::Build
                && step.condition == Condition::Always
                && step.driver.as_str() != "declared"
        })
        .map(|step| step.resource.to_string())
        .collect();
    if certain.is_empty() {
        return None;
    }
    lab.world.inject(which.get(&certain).as_str(), Fault::Error(ErrorKind::Denied));
    let failed = lab.engine.apply(plan.clone(), RunOptions::default()).await.unwrap_err();
    assert_eq!(failed.report.runs[0].state, RunState::RolledBack, "{:?}", failed.error);
    Some(plan)
}

/// Each application is where its workload listens, by the records and in the world.
async fn check_addresses(lab: &Lab) {
    let snapshot = lab.store.snapshot().await.unwrap();
    let objects = lab.world.objects();
    let records = snapshot.slices.values().flat_map(|state| state.records.values());
    for record in records.clone() {
        let (Outputs::Application(application), Some(host)) = (&record.outputs, record.id.host()) else {
            continue;
        };
        let Some(Outputs::Workload(workload)) =
            records.clone().find(|record| record.id == host).map(|record| &record.outputs)
        else {
            panic!("{} is recorded without its workload", record.id);
        };
        assert_eq!(application.endpoints, workload.endpoints, "{} by the records", record.id);
        assert_eq!(objects[&record.id].outputs, record.outputs, "{} in the world", record.id);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_after_an_apply_is_empty((start, goal) in change()) {
        in_virtual_time(async {
            let lab = world(None);
            for recipe in [&start, &goal, &start] {
                lab.plan_and_apply(&want(recipe)).await.unwrap();
                let plan = lab.engine.plan(&want(recipe)).await.unwrap();
                assert!(plan.is_empty(), "left to do: {:?}", touched(&plan));
                lab.check_nothing_is_orphaned().await;
            }
        });
    }

    #[test]
    fn what_was_applied_and_deleted_leaves_an_empty_world((start, goal) in change()) {
        in_virtual_time(async {
            let lab = world(None);
            lab.plan_and_apply(&want(&start)).await.unwrap();
            lab.plan_and_apply(&want(&goal)).await.unwrap();
            let delete = Intent { delete: vec![slice("greenhouse")], ..Intent::default() };
            lab.plan_and_apply(&delete).await.unwrap();
            assert!(lab.specs().is_empty(), "left over: {:?}", lab.specs().keys());
            let snapshot = lab.store.snapshot().await.unwrap();
            assert!(snapshot.slices.values().all(|state| state.is_empty()));
            assert!(snapshot.reservations.is_empty());
            lab.check_nothing_is_orphaned().await;
        });
    }

    #[test]
    fn a_change_that_fails_is_undone_to_the_world_before((start, goal) in change(), which in any::<Index>()) {
        in_virtual_time(async {
            let lab = world(None);
            lab.plan_and_apply(&want(&start)).await.unwrap();
            let before = lab.things();
            let Some(plan) = fail(&lab, &goal, which).await else { return };
            let after = lab.things();
            let specs = |things: &std::collections::BTreeMap<_, (_, _, String)>| -> Vec<_> {
                things.iter().map(|(id, (spec, _, owner))| (ResourceId::clone(id), iotorch_core::resource::Spec::clone(spec), owner.clone())).collect()
            };
            assert_eq!(specs(&after), specs(&before));
            let touched = touched(&plan);
            for (id, thing) in before.iter().filter(|(id, _)| !touched.contains(*id)) {
                assert_eq!(&after[id], thing, "{id} was not touched");
            }
            lab.check_nothing_is_orphaned().await;
            let again = lab.engine.plan(&want(&start)).await.unwrap();
            assert!(again.is_empty(), "left to do: {:?}", crate::touched(&again));
            lab.plan_and_apply(&want(&goal)).await.expect("what failed once can be done later");
        });
    }

    #[test]
    fn applications_are_where_their_workloads_listen_also_when_these_are_made_again(
        (start, goal) in redeployment(),
    ) {
        in_virtual_time(async {
            let lab = world(Some(KindName::Workload));
            lab.plan_and_apply(&want(&start)).await.unwrap();
            check_addresses(&lab).await;
            lab.plan_and_apply(&want(&goal)).await.unwrap();
            check_addresses(&lab).await;
        });
    }

    #[test]
    fn a_plan_that_was_saved_is_read_as_itself((start, goal) in change()) {
        in_virtual_time(async {
            let lab = world(None);
            lab.plan_and_apply(&want(&start)).await.unwrap();
            let plan = lab.engine.plan(&want(&goal)).await.unwrap();
            let saved = serde_json::to_string_pretty(&plan).unwrap();
            let read: Plan = serde_json::from_str(&saved).unwrap();
            assert_eq!(read, plan);
            assert_eq!(serde_json::to_string_pretty(&read).unwrap(), saved);
            if !read.is_empty() {
                lab.engine.apply(read, RunOptions::default()).await.unwrap();
                assert!(lab.engine.plan(&want(&goal)).await.unwrap().is_empty());
            }
        });
    }

    #[test]
    fn what_is_planned_depends_on_nothing_but_what_is_there_and_wanted((start, goal) in change()) {
        let plans = [(); 2].map(|()| in_virtual_time(async {
            let lab = world(None);
            lab.plan_and_apply(&want(&start)).await.unwrap();
            let plans = [lab.engine.plan(&want(&goal)).await.unwrap(), lab.engine.plan(&want(&goal)).await.unwrap()];
            plans.map(|plan| serde_json::to_string(&plan).unwrap())
        }));
        prop_assert_eq!(&plans[0][0], &plans[0][1]);
        prop_assert_eq!(&plans[0], &plans[1]);
    }

    #[test]
    fn steps_come_after_those_that_they_rest_on(recipe in recipe()) {
        in_virtual_time(async {
            let plan = world(None).engine.plan(&want(&recipe)).await.unwrap();
            for slice in &plan.slices {
                for (id, step) in slice.numbered() {
                    assert!(step.after.iter().all(|before| before < &id));
                    for needed in step.resource.host().iter().chain(&step.uses) {
                        let made = step.after.iter().any(|before| slice.step(*before).resource == *needed);
                        assert!(made, "{} does not wait for {needed}", step.resource);
                    }
                }
            }
        });
    }
}
