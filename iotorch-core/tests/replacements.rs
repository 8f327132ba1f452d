//! Replacements: what cannot be changed in place is removed and made again, and undone when something fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up fails")]

mod lab;

use iotorch_core::{
    Drivers, ErrorKind, Intent, Orchestrator, RunOptions,
    declared::DeclaredDriver,
    model::Slice,
    resource::{KindName, Outputs},
    sim::{Fault, SimDriver, World},
    store::Store,
};
use lab::{Lab, corpus, id, in_virtual_time, slice};

fn with_replaced_workloads() -> Lab {
    let world = World::new();
    let name = |name: &str| name.parse().unwrap();
    let drivers = Drivers::default()
        .with(SimDriver::infrastructure(&world, &name("local")).replacing(KindName::Workload))
        .with(SimDriver::infrastructure(&world, &name("kubernetes")).replacing(KindName::Workload))
        .with(SimDriver::application(&world, &name("lite")))
        .with(SimDriver::network(&world, &name("linux-vxlan")))
        .with(DeclaredDriver);
    Lab::with(world, drivers)
}

fn edited(edit: impl Fn(&mut Slice)) -> Intent {
    let mut slice = corpus::in_one_process();
    edit(&mut slice);
    corpus::want(slice)
}

#[test]
fn a_segment_that_changes_its_driver_is_removed_by_the_old_one_and_made_by_the_new_one() {
    in_virtual_time(async {
        let lab = Lab::new();
        let enforced = edited(|slice| {
            slice.spec.network.as_mut().unwrap().transport[0].driver = "linux-vxlan".parse().unwrap();
        });
        lab.plan_and_apply(&enforced).await.unwrap();
        let segment = id("greenhouse/network/transport/gw-hub");
        assert!(lab.world.objects().contains_key(&segment));
        lab.plan_and_apply(&edited(|_| {})).await.unwrap();
        assert!(!lab.world.objects().contains_key(&segment), "nobody knows it any more");
    });
}

#[test]
fn a_profile_can_be_replaced_while_one_of_its_devices_is_removed() {
    in_virtual_time(async {
        let lab = Lab::new();
        lab.plan_and_apply(&edited(|_| {})).await.unwrap();
        let goal = edited(|slice| {
            slice.spec.profiles[0].resources.pop();
            slice.spec.devices.pop();
        });
        lab.plan_and_apply(&goal).await.unwrap();
    });
}

#[test]
fn what_is_made_again_by_an_undo_gets_the_addresses_that_are_true_now() {
    in_virtual_time(async {
        let lab = with_replaced_workloads();
        lab.plan_and_apply(&edited(|_| {})).await.unwrap();
        let goal = edited(|slice| {
            slice.spec.gateways[0].settings.insert("retention".into(), "7d".into());
        });
        lab.world.inject("greenhouse/here/space/gw/app/export/hub", Fault::Error(ErrorKind::Denied));
        lab.plan_and_apply(&goal).await.unwrap_err();
        let state = lab.store.slice(&slice("greenhouse")).await.unwrap();
        let outputs = |text: &str| state.records[&id(text)].outputs.clone();
        let Outputs::Workload(workload) = outputs("greenhouse/here/space/gw") else { panic!() };
        let Outputs::Application(application) = outputs("greenhouse/here/space/gw/app") else { panic!() };
        assert_eq!(application.endpoints, workload.endpoints);
    });
}

#[test]
fn the_devices_can_be_removed_while_their_gateway_is_replaced() {
    in_virtual_time(async {
        let lab = with_replaced_workloads();
        lab.plan_and_apply(&edited(|_| {})).await.unwrap();
        let goal = edited(|slice| {
            slice.spec.gateways[0].settings.insert("retention".into(), "7d".into());
            slice.spec.devices.clear();
        });
        let plan = lab.engine.plan(&goal).await.unwrap();
        lab.engine.apply(plan, RunOptions::default()).await.unwrap();
        lab.check_nothing_is_orphaned().await;
    });
}
