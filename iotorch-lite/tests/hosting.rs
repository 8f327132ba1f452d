//! Spaces and workloads of the driver `local`, and the processes that host them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{eventually, world::*};
use iotorch_core::{
    ErrorKind, Health, Observed,
    resource::{Change, Endpoint, Job, Outputs, Ownership, Role, Work, Workload},
};
use std::{net::TcpListener, path::Path};

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[tokio::test]
async fn a_space_takes_along_what_lives_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.build().await;
    for place in ["edge-1", "cloud"] {
        world.delete(&space(place)).await.unwrap();
    }
    assert!(is_empty(dir.path()));
    for app in [gateway(), server()] {
        TcpListener::bind(world.url(&app, "management")).unwrap();
        assert_eq!(world.look(&app, &[]).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn the_next_process_hosts_everything_again_on_the_same_ports() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.build().await;
    let world = world.reopen(dir.path()).await;
    let not_yet = world.health(&space("edge-1").workload(&name("gw"))).await;
    assert_eq!(not_yet, Health::Failed { reason: "no process hosts it".to_owned() });
    let resumed = world.host.resume_hosting().await.unwrap();
    assert!(resumed.values().all(Result::is_ok), "{resumed:?}");
    let names: Vec<_> = resumed.keys().collect();
    assert_eq!(names, ["cloud/greenhouse/hub", "edge-1/greenhouse/gw"]);
    assert!(world.host.resume_hosting().await.unwrap().is_empty(), "all runs already");
    assert_eq!(world.differences().await, [""; 0]);
    a_reading_arrives(&world, 3.0, 1).await;
    world.host.stop().await;
}

#[tokio::test]
async fn a_host_that_is_dropped_gives_everything_free_soon_after() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.build().await;
    let secrets = std::sync::Arc::clone(&world.secrets);
    let made = std::mem::take(&mut world.made);
    drop(world);
    let world = eventually("the ports", async || {
        let next = World::with(dir.path(), std::sync::Arc::clone(&secrets));
        let resumed = next.host.resume_hosting().await.unwrap();
        let all = resumed.values().all(Result::is_ok);
        if !all {
            next.host.stop().await;
        }
        all.then_some(next)
    });
    let world = World { made, ..world.await };
    assert_eq!(world.differences().await, [""; 0]);
    world.host.stop().await;
}

#[tokio::test]
async fn one_broken_directory_keeps_nothing_else_from_running() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.build().await;
    world.host.stop().await;
    std::fs::write(dir.path().join("edge-1.greenhouse/gw/instance.json"), "{").unwrap();
    std::fs::create_dir_all(dir.path().join("edge-1.greenhouse/.new-gw2/deep")).unwrap();
    std::fs::create_dir_all(dir.path().join(".gone-edge-2.greenhouse/deep")).unwrap();
    let world = world.reopen(dir.path()).await;
    let resumed = world.host.resume_hosting().await.unwrap();
    assert_eq!(resumed.len(), 2);
    assert!(resumed["cloud/greenhouse/hub"].is_ok() && resumed["edge-1/greenhouse/gw"].is_err());
    assert_eq!(
        world.differences().await,
        ["greenhouse/edge-1/space: unexpected", "greenhouse/edge-1/space/gw/app: unavailable"]
    );
    let names = |dir: &Path| std::fs::read_dir(dir).unwrap().count();
    assert_eq!((names(dir.path()), names(&dir.path().join("edge-1.greenhouse"))), (2, 2), "and all is swept");
    world.host.stop().await;
}

#[tokio::test]
async fn what_cannot_start_says_why_and_is_repaired_by_the_next_apply() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.build().await;
    let taken = world.url(&server(), "mqtt");
    world.host.stop().await;
    let squatter = TcpListener::bind(&taken).unwrap();
    let world = world.reopen(dir.path()).await;
    let resumed = world.host.resume_hosting().await.unwrap();
    let why = resumed["cloud/greenhouse/hub"].as_ref().unwrap_err();
    assert_eq!(
        (why.kind(), why.to_string()),
        (ErrorKind::Conflict, "cannot start server \"hub\"".to_owned())
    );
    assert!(resumed["edge-1/greenhouse/gw"].is_ok());

    let hub = space("cloud").workload(&name("hub"));
    let Health::Failed { reason } = world.health(&hub).await else { panic!() };
    assert!(reason.contains(&format!(": cannot listen on {taken}: ")), "{reason}");
    let help = why.help().unwrap_or_default();
    assert!(help.ends_with(": end it, or set another port with mqttPort"), "{help}");
    assert_eq!(
        world.differences().await,
        ["greenhouse/cloud/space/hub: outputs", "greenhouse/cloud/space/hub/app: unavailable"],
        "so the next plan has a step for it"
    );
    let made = world.made.iter().find(|made| *made.work.id() == hub).unwrap();
    assert_eq!(world.apply(made.work.clone()).await.unwrap_err().kind(), ErrorKind::Conflict);
    drop(squatter);
    assert_eq!(world.apply(made.work.clone()).await.unwrap(), made.outputs);
    assert_eq!(world.differences().await, [""; 0]);
    a_reading_arrives(&world, 4.0, 1).await;
    world.host.stop().await;
}

#[tokio::test]
async fn what_could_not_start_runs_by_itself_once_its_port_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.build().await;
    let taken = world.url(&server(), "mqtt");
    world.host.stop().await;
    let squatter = TcpListener::bind(&taken).unwrap();
    let world = world.reopen(dir.path()).await;
    let resumed = world.host.resume_hosting().await.unwrap();
    assert!(resumed["cloud/greenhouse/hub"].is_err());
    let hub = space("cloud").workload(&name("hub"));
    assert!(matches!(world.health(&hub).await, Health::Failed { .. }));
    drop(squatter);
    eventually("the server", async || (world.health(&hub).await == Health::Ready).then_some(())).await;
    assert_eq!(world.differences().await, [""; 0], "and no plan has anything to do");
    a_reading_arrives(&world, 5.0, 1).await;
    world.host.stop().await;
}

#[tokio::test]
async fn settings_are_changed_in_place_without_losing_data() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.build().await;
    a_reading_arrives(&world, 1.0, 1).await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let hub = space("cloud").workload(&name("hub"));
    let mut made = world.made.iter().find(|made| *made.work.id() == hub).unwrap().work.clone();
    let Work::Workload(job) = &mut made else { panic!() };
    let before = workload_spec("hub", Role::Server);
    let mut after = before.clone();
    after.settings.insert("mqttPort".to_owned(), free.into());
    job.change = Change::Update { before, after };
    let changed = world.apply(made.clone()).await.unwrap();
    assert_eq!(world.apply(made.clone()).await.unwrap(), changed);
    let Outputs::Workload(outputs) = &changed else { panic!() };
    assert_eq!(outputs.endpoints["mqtt"], Endpoint::net("127.0.0.1", free));
    assert_eq!(outputs.endpoints["management"], world.application(&server()).endpoints["management"]);
    let different = world.differences().await;
    assert_eq!(
        different,
        ["greenhouse/cloud/space/hub: spec", "greenhouse/cloud/space/hub: outputs"],
        "the recorded world is the one before"
    );
    let stats = world.server().await;
    let Outputs::Attachment(attached) = world.outputs(&attachment()) else { panic!() };
    assert_eq!(stats.stats("greenhouse", &attached.channel).await.unwrap().count, 1);
    world.host.stop().await;
}

#[tokio::test]
async fn a_step_that_nobody_waits_for_ends_and_a_repeated_one_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.deploy("edge-1", "gw", Role::Gateway).await;
    let gw = space("edge-1").workload(&name("gw"));
    let made = world.made.iter().find(|made| *made.work.id() == gw).unwrap();
    world.delete(&gw).await.unwrap();

    let cx = world.cx();
    let domain = world.domain(gw.kind());
    let mut dropped = Box::pin(domain.apply(&cx, vec![made.work.clone()]));
    assert!(futures::poll!(&mut dropped).is_pending());
    drop(dropped);
    assert!(domain.is_quiescent(&cx, &gw).await);
    let Observed::Present { health, .. } = world.look_at(&gw).await else { panic!() };
    assert_eq!(health, Health::Ready, "what was begun was finished");
    let outputs = world.apply(made.work.clone()).await.unwrap();
    let Observed::Present { outputs: seen, .. } = world.look_at(&gw).await else { panic!() };
    assert_eq!(outputs, seen);
    world.host.stop().await;
    assert_eq!(world.apply(made.work.clone()).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn directories_of_others_are_left_alone_adopted_and_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    let theirs = dir.path().join("edge-1.greenhouse/gw");
    std::fs::create_dir_all(&theirs).unwrap();
    std::fs::write(theirs.join("notes.txt"), "ours").unwrap();
    let Observed::Foreign { owner, .. } = world.look_at(&space("edge-1")).await else { panic!() };
    assert_eq!(owner, "nobody (no mark)");
    let spec = iotorch_core::resource::SpaceSpec { name: "greenhouse".to_owned(), quota: Default::default() };
    let job = create::<iotorch_core::resource::Space>(
        &space("edge-1"),
        spec.clone(),
        iotorch_core::resource::NoInputs {},
    );
    assert_eq!(world.apply(job.clone().into()).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(world.apply(delete(&job.clone().into())).await.unwrap_err().kind(), ErrorKind::Conflict);
    let change = Change::Update { before: spec.clone(), after: spec };
    let adopt = Job { change, ownership: Ownership::Adopt, ..job };
    world.apply(adopt.clone().into()).await.unwrap();
    let gw = space("edge-1").workload(&name("gw"));
    let inputs = iotorch_core::resource::WorkloadInputs { space: None, segments: Default::default() };
    let start = create::<Workload>(&gw, workload_spec("gw", Role::Gateway), inputs);
    assert_eq!(world.apply(start.clone().into()).await.unwrap_err().kind(), ErrorKind::Conflict);
    let start = Job { ownership: Ownership::Adopt, ..start };
    world.apply(start.clone().into()).await.unwrap();
    assert_eq!(world.health(&gw).await, Health::Ready);

    let give_back = Job { ownership: Ownership::Release, ..start };
    world.apply(give_back.into()).await.unwrap();
    assert!(matches!(world.look_at(&gw).await, Observed::Foreign { spec: None, .. }));
    world.apply(Job { ownership: Ownership::Release, ..adopt }.into()).await.unwrap();
    assert!(matches!(world.look_at(&space("edge-1")).await, Observed::Foreign { .. }));
    assert!(theirs.join("notes.txt").exists());
    world.made.clear();
    world.host.stop().await;
}
