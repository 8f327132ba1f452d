//! The world as it is: status, drift, foreign objects, places that are gone, and what slices share.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up fails")]

mod lab;

use iotorch_core::{
    ErrorKind, Health, Intent, Orchestrator, RunOptions,
    model::{ByteSize, Capacity, Places, Slice, SliceSpec},
    plan::{Reason, Summary},
    resource::{Change, Outputs, Ownership, Spec},
    secret::SecretRef,
    sim::{Fault, Object},
    status::Condition,
    store::{RunState, Store},
};
use lab::{Lab, corpus, id, in_virtual_time, slice};

const DEVICE: &str = "greenhouse/here/space/gw/app/device/bench-1";
const SPACE: &str = "greenhouse/here/space";

async fn applied() -> Lab {
    let lab = Lab::new();
    lab.plan_and_apply(&corpus::want(corpus::in_one_process())).await.unwrap();
    lab
}

fn reconcile() -> Intent {
    Intent { reconcile: vec![slice("greenhouse")], ..Intent::default() }
}

#[test]
fn a_slice_that_works_is_ready_and_says_when_it_changed() {
    in_virtual_time(async {
        let lab = applied().await;
        let status = lab.engine.status(&slice("greenhouse")).await.unwrap();
        assert_eq!(status.condition, Condition::Ready);
        assert_eq!((status.gateways, status.servers, status.devices), ((1, 1), (1, 1), (2, 2)));
        assert!(status.last_change.is_some());
        assert_eq!(status.resources.len(), 20);
    });
}

#[test]
fn what_was_removed_outside_is_seen_planned_and_repaired() {
    in_virtual_time(async {
        let lab = applied().await;
        lab.world.remove(&id(DEVICE));
        let status = lab.engine.status(&slice("greenhouse")).await.unwrap();
        assert_eq!(status.condition, Condition::Failed { reason: "device bench-1 removed outside".into() });
        let plan = lab.engine.plan(&reconcile()).await.unwrap();
        let reasons: Vec<_> = plan.slices[0].steps.iter().map(|step| step.reason.clone()).collect();
        assert_eq!(reasons, [Reason::Vanished, Reason::Vanished], "the device and its credential");
        lab.engine.apply(plan, RunOptions::default()).await.unwrap();
        assert_eq!(lab.engine.status(&slice("greenhouse")).await.unwrap().condition, Condition::Ready);
    });
}

#[test]
fn what_was_changed_outside_is_shown_with_the_field_and_put_right() {
    in_virtual_time(async {
        let lab = applied().await;
        lab.world.change(&id("greenhouse/here/space/hub"), |object| {
            if let Spec::Workload(workload) = &mut object.spec {
                workload.settings.insert("replicas".into(), 3.into());
            }
        });
        let plan = lab.engine.plan(&reconcile()).await.unwrap();
        assert_eq!(plan.slices[0].steps[0].reason, Reason::Drifted { fields: vec!["/settings".into()] });
        lab.engine.apply(plan, RunOptions::default()).await.unwrap();
        assert!(lab.engine.plan(&reconcile()).await.unwrap().is_empty());
    });
}

/// What it says there is what the steps that undo a change are made from.
#[test]
fn a_server_that_names_the_secret_of_another_is_not_believed() {
    in_virtual_time(async {
        let lab = applied().await;
        let other = SecretRef::new("vineyard/hub/tenant", 1).unwrap();
        lab.world.change(&id("greenhouse/here/space/hub/app/tenant"), |object| {
            if let (Spec::Tenant(spec), Outputs::Tenant(outputs)) = (&mut object.spec, &mut object.outputs) {
                (spec.secret, outputs.secret) = (other.clone(), other.clone());
            }
        });
        assert!(lab.engine.plan(&reconcile()).await.unwrap().is_empty());
        lab.world.change(&id("greenhouse/here/space/hub"), |object| {
            if let Spec::Workload(workload) = &mut object.spec {
                workload.settings.insert("replicas".into(), 3.into());
                workload.admin = Some(other.clone());
            }
        });
        let plan = lab.engine.plan(&reconcile()).await.unwrap();
        let step = &plan.slices[0].steps[0];
        assert_eq!(step.reason, Reason::Drifted { fields: vec!["/settings".into()] });
        let Some(Spec::Workload(before)) = step.change.before().map(AsRef::as_ref) else {
            panic!("the workload is changed: {step:?}")
        };
        assert_eq!(before.admin.as_ref().unwrap().name(), "greenhouse/hub/admin");
    });
}

#[test]
fn what_somebody_has_done_to_an_attachment_is_told_by_what_is_wrong_with_it_and_put_right() {
    in_virtual_time(async {
        let lab = applied().await;
        let reason = "no rule stores what is sent to its channel";
        lab.world.change(&id("greenhouse/here/space/hub/app/tenant/attachment/gw"), |object| {
            if let Spec::Attachment(attachment) = &mut object.spec {
                attachment.changed_outside = Some(reason.into());
            }
            object.health = Health::Degraded { reason: reason.into() };
        });
        let status = lab.engine.status(&slice("greenhouse")).await.unwrap();
        assert_eq!(status.condition, Condition::Degraded { reason: format!("attachment gw {reason}") });
        let plan = lab.engine.plan(&reconcile()).await.unwrap();
        let drifted = Reason::Drifted { fields: vec!["/changedOutside".into()] };
        assert_eq!(plan.slices[0].steps[0].reason, drifted);
        lab.engine.apply(plan, RunOptions::default()).await.unwrap();
        assert_eq!(lab.engine.status(&slice("greenhouse")).await.unwrap().condition, Condition::Ready);
        assert!(lab.engine.plan(&reconcile()).await.unwrap().is_empty());
    });
}

#[test]
fn a_marked_object_that_no_record_knows_is_removed() {
    in_virtual_time(async {
        let lab = applied().await;
        let stray = id("greenhouse/here/space/gw/app/device/stray");
        let mut object = lab.world.objects()[&id(DEVICE)].clone();
        object.owner = format!("lab/{stray}");
        lab.world.place(stray.clone(), object);
        let plan = lab.engine.plan(&reconcile()).await.unwrap();
        assert_eq!(plan.slices[0].steps.len(), 1);
        assert_eq!(plan.slices[0].steps[0].reason, Reason::Orphaned);
        lab.engine.apply(plan, RunOptions::default()).await.unwrap();
        assert!(!lab.world.objects().contains_key(&stray));
    });
}

#[test]
fn a_place_that_is_away_is_unknown_since_it_was_missed_first() {
    in_virtual_time(async {
        let lab = applied().await;
        lab.world.cut_off("here");
        let first = lab.engine.status(&slice("greenhouse")).await.unwrap();
        let Condition::Unknown { since, .. } = first.condition else { panic!("{:?}", first.condition) };
        tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
        let later = lab.engine.status(&slice("greenhouse")).await.unwrap();
        assert_eq!(later.condition, Condition::Unknown { since, reason: "here".into() });
        let segment =
            later.resources.iter().find(|resource| resource.id == id("greenhouse/network/core")).unwrap();
        assert_eq!(segment.condition, Condition::Ready, "what lives elsewhere is not affected");
        lab.world.heal();
        assert!(lab.engine.status(&slice("greenhouse")).await.unwrap().condition.is_ready());
    });
}

#[test]
fn an_open_run_is_part_of_the_status() {
    in_virtual_time(async {
        let lab = Lab::new();
        let mut paused: Slice = corpus::in_one_process();
        paused.spec.on_failure = iotorch_core::model::FailurePolicy::Pause;
        lab.world.inject(DEVICE, Fault::Error(ErrorKind::Denied));
        lab.plan_and_apply(&corpus::want(paused)).await.unwrap_err();
        let status = lab.engine.status(&slice("greenhouse")).await.unwrap();
        let Condition::Failed { reason } = &status.condition else { panic!("{:?}", status.condition) };
        assert!(reason.contains("simulated: denied"), "{reason}");
        assert!(status.open_run.is_some());
        assert!(status.devices.0 < status.devices.1);
    });
}

#[test]
fn what_an_open_run_removes_was_not_removed_outside() {
    in_virtual_time(async {
        let lab = applied().await;
        lab.world.inject(SPACE, Fault::Error(ErrorKind::Denied));
        let intent = Intent { delete: vec![slice("greenhouse")], ..Intent::default() };
        let plan = lab.engine.plan(&intent).await.unwrap();
        lab.engine.apply(plan, RunOptions::default()).await.unwrap_err();
        lab.world.remove(&id(DEVICE));
        let status = lab.engine.status(&slice("greenhouse")).await.unwrap();
        assert!(status.open_run.is_some(), "{status:?}");
        let device = status.resources.iter().find(|resource| resource.id == id(DEVICE)).unwrap();
        assert_eq!(device.condition, Condition::Pending { reason: "being removed".into() });
    });
}

fn foreign(lab: &Lab) -> Object {
    let mut object = lab.world.objects()[&id(SPACE)].clone();
    object.owner = "somebody else".into();
    object
}

/// A lab with an object that is not ours where the space is to be.
async fn with_foreign_space() -> Lab {
    let template = applied().await;
    let lab = Lab::new();
    lab.world.place(id(SPACE), foreign(&template));
    lab
}

#[test]
fn a_foreign_object_is_a_conflict_that_names_its_owner() {
    in_virtual_time(async {
        let lab = with_foreign_space().await;
        let refused = lab.engine.plan(&corpus::want(corpus::in_one_process())).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(refused.to_string().contains("somebody else"), "{refused}");
        assert_eq!(
            refused.help(),
            Some("rename one of the two, or take the object over: iotorch adopt greenhouse/here/space")
        );
    });
}

#[test]
fn what_cannot_be_read_is_not_offered_for_taking_over() {
    in_virtual_time(async {
        let lab = applied().await;
        lab.world.change(&id("greenhouse/here/space/hub/app/tenant"), |object| {
            object.owner = "b2/greenhouse".into();
            if let Spec::Tenant(tenant) = &mut object.spec {
                tenant.secret = SecretRef::new("vineyard/hub/tenant", 1).unwrap();
            }
        });
        let refused = lab.engine.plan(&reconcile()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        let help = "rename one of the two, or remove what is there: it cannot be taken over";
        assert_eq!(refused.help(), Some(help));
    });
}

#[test]
fn adopting_takes_over_and_undoing_it_gives_back_what_was_found() {
    in_virtual_time(async {
        let lab = with_foreign_space().await;
        let found = lab.world.objects()[&id(SPACE)].clone();
        let mut intent = corpus::want(corpus::in_one_process());
        intent.adopt.insert(id(SPACE));
        let plan = lab.engine.plan(&intent).await.unwrap();
        let step = plan.slices[0].steps.iter().find(|step| step.resource == id(SPACE)).unwrap();
        assert_eq!(step.ownership, Ownership::Adopt);
        assert!(matches!(step.change, Change::Update { .. }));
        lab.world.inject(DEVICE, Fault::Error(ErrorKind::Denied));
        lab.engine.apply(plan, RunOptions::default()).await.unwrap_err();
        let objects = lab.world.objects();
        assert_eq!(objects.keys().collect::<Vec<_>>(), [&id(SPACE)], "never deleted");
        assert_eq!((&objects[&id(SPACE)].spec, objects[&id(SPACE)].owner.as_str()), (&found.spec, "nobody"));
        let plan = lab.engine.plan(&intent).await.unwrap();
        lab.engine.apply(plan, RunOptions::default()).await.unwrap();
        assert!(lab.engine.status(&slice("greenhouse")).await.unwrap().condition.is_ready());
    });
}

#[test]
fn forgetting_a_place_drops_its_records_and_names_what_may_be_left_there() {
    in_virtual_time(async {
        let lab = Lab::new();
        lab.plan_and_apply(&corpus::want(corpus::across_clusters())).await.unwrap();
        lab.world.cut_off("edge-1");
        let left = lab.engine.forget(&"edge-1".parse().unwrap()).await.unwrap();
        assert!(left.contains(&id("greenhouse/edge-1/space/gw/app/device/bench-1")));
        assert_eq!(left.len(), 8);
        let state = lab.store.slice(&slice("greenhouse")).await.unwrap();
        assert!(state.records.keys().all(|id| id.place() != "edge-1"));
        assert!(
            lab.engine.infrastructures().await.unwrap().iter().all(|place| place.name.as_str() != "edge-1")
        );
        lab.world.remove(&id("greenhouse/edge-1/space"));
        lab.plan_and_apply(&Intent { delete: vec![slice("greenhouse")], ..Intent::default() }).await.unwrap();
        assert!(lab.world.objects().is_empty());
        lab.check_nothing_is_orphaned().await;
    });
}

const FOREIGN_PROFILE: &str = "field/external/gw/app/profile/climate";

/// A slice on a gateway that runs outside of iotorch, where others have objects too.
fn on_an_external_gateway() -> Slice {
    let mut slice = corpus::in_one_process();
    let gateway = r#"{ "name": "gw", "external": {
        "endpoints": { "management": { "host": "192.0.2.9", "port": 8080 } }, "credentials": "field-gateway" } }"#;
    slice.name = lab::slice("field");
    slice.spec = SliceSpec {
        gateways: vec![serde_json::from_str(gateway).unwrap()],
        profiles: slice.spec.profiles,
        devices: slice.spec.devices,
        ..SliceSpec::default()
    };
    slice
}

/// A lab with an object of somebody else's on the external gateway, where a profile is to be.
async fn with_foreign_profile() -> Lab {
    let template = Lab::new();
    template.plan_and_apply(&corpus::want(on_an_external_gateway())).await.unwrap();
    let mut object = template.world.objects()[&id(FOREIGN_PROFILE)].clone();
    object.owner = "somebody else".into();
    let lab = Lab::new();
    lab.world.place(id(FOREIGN_PROFILE), object);
    lab
}

#[test]
fn a_plan_looks_into_an_external_application_before_the_first_run_on_it() {
    in_virtual_time(async {
        let lab = with_foreign_profile().await;
        let mut intent = corpus::want(on_an_external_gateway());
        let refused = lab.engine.plan(&intent).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(refused.to_string().contains("belongs to somebody else"), "{refused}");
        intent.adopt.insert(id(FOREIGN_PROFILE));
        lab.plan_and_apply(&intent).await.unwrap();
        assert!(lab.engine.plan(&intent).await.unwrap().is_empty());
        lab.check_nothing_is_orphaned().await;
    });
}

#[test]
fn an_external_application_that_changes_between_plan_and_run_is_a_moved_base() {
    in_virtual_time(async {
        let other = with_foreign_profile().await;
        let lab = Lab::new();
        let plan = lab.engine.plan(&corpus::want(on_an_external_gateway())).await.unwrap();
        lab.world.place(id(FOREIGN_PROFILE), other.world.objects()[&id(FOREIGN_PROFILE)].clone());
        let refused = lab.engine.apply(plan, RunOptions::default()).await.unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::Moved);
        assert_eq!(lab.world.objects().len(), 1, "nothing was begun");
    });
}

#[test]
fn a_create_that_meets_a_foreign_object_has_made_nothing_and_is_rolled_back() {
    in_virtual_time(async {
        let lab = with_foreign_profile().await;
        let before = lab.things();
        lab.world.cut_off("external");
        let plan = lab.engine.plan(&corpus::want(on_an_external_gateway())).await.unwrap();
        assert!(!plan.slices[0].warnings.is_empty(), "it says that it could not look");
        lab.world.heal();
        let failed = lab.engine.apply(plan, RunOptions::default()).await.unwrap_err();
        assert_eq!(failed.report.runs[0].state, RunState::RolledBack, "{:?}", failed.report);
        assert_eq!(failed.error.kind(), ErrorKind::Conflict);
        assert_eq!(lab.things(), before, "the foreign object is as it was");
        assert!(lab.open_runs().await.is_empty());
        lab.check_nothing_is_orphaned().await;
    });
}

#[test]
fn a_plan_without_changes_says_where_it_could_not_look() {
    in_virtual_time(async {
        let lab = Lab::new();
        let intent = corpus::want(on_an_external_gateway());
        lab.plan_and_apply(&intent).await.unwrap();
        assert!(lab.engine.plan(&intent).await.unwrap().to_string().ends_with("as wanted\n"));
        lab.world.cut_off("external");
        let plan = lab.engine.plan(&intent).await.unwrap();
        assert!(plan.is_empty());
        insta::assert_snapshot!(plan);
    });
}

fn with_memory(name: &str, mebibytes: u64) -> Slice {
    let mut slice = corpus::in_one_process();
    slice.name = lab::slice(name);
    let memory = Some(ByteSize::from_bytes(mebibytes << 20));
    slice.spec.gateways[0].placement.needs = Capacity { memory, ..Capacity::default() };
    slice
}

#[test]
fn what_slices_share_is_admitted_until_it_is_used_up_and_free_again_after_a_delete() {
    in_virtual_time(async {
        let lab = Lab::new();
        let mut intent = corpus::want(with_memory("first", 600));
        for place in &mut intent.infrastructures {
            place.spec.capacity =
                Some(Capacity { memory: Some(ByteSize::from_bytes(1 << 30)), ..Capacity::default() });
        }
        lab.plan_and_apply(&intent).await.unwrap();
        let second = Intent { slices: vec![with_memory("second", 600)], ..Intent::default() };
        let refused = lab.engine.plan(&second).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Infeasible);
        assert!(refused.to_string().contains("memory: 600MiB needed, 424MiB left"), "{refused}");
        lab.plan_and_apply(&Intent { delete: vec![slice("first")], ..Intent::default() }).await.unwrap();
        lab.plan_and_apply(&second).await.unwrap();
        lab.check_nothing_is_orphaned().await;
    });
}

#[test]
fn a_part_stays_where_it_is_although_others_have_taken_what_was_left_there() {
    in_virtual_time(async {
        let lab = Lab::new();
        let sized = |mebibytes: u64| {
            let mut intent = corpus::want(with_memory("first", 600));
            let memory = Some(ByteSize::from_bytes(mebibytes << 20));
            for place in &mut intent.infrastructures {
                place.spec.capacity = Some(Capacity { memory, ..Capacity::default() });
            }
            intent
        };
        lab.plan_and_apply(&sized(1024)).await.unwrap();
        let mut shrunk = sized(100);
        shrunk.slices[0].spec.devices.pop();
        let plan = lab.engine.plan(&shrunk).await.unwrap();
        assert_eq!((plan.summary().create, plan.summary().delete > 0), (0, true), "it only loses a device");
        lab.engine.apply(plan, RunOptions::default()).await.unwrap();
        let second = Intent { slices: vec![with_memory("second", 600)], ..Intent::default() };
        assert_eq!(lab.engine.plan(&second).await.unwrap_err().kind(), ErrorKind::Infeasible);
    });
}

#[test]
fn two_plans_that_fit_alone_but_not_together_are_told_apart_when_they_begin() {
    in_virtual_time(async {
        let lab = Lab::new();
        let mut first = corpus::want(with_memory("first", 600));
        for place in &mut first.infrastructures {
            place.spec.capacity =
                Some(Capacity { memory: Some(ByteSize::from_bytes(1 << 30)), ..Capacity::default() });
        }
        let mut second = first.clone();
        second.slices = vec![with_memory("second", 600)];
        let (first, second) =
            (lab.engine.plan(&first).await.unwrap(), lab.engine.plan(&second).await.unwrap());
        lab.engine.apply(first, RunOptions::default()).await.unwrap();
        let refused = lab.engine.apply(second, RunOptions::default()).await.unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::Infeasible, "{:?}", refused.error);
        assert!(lab.specs().keys().all(|id| id.slice() == "first"), "nothing of the second was begun");
        lab.check_nothing_is_orphaned().await;
    });
}

#[test]
fn an_infrastructure_that_a_slice_without_parts_names_cannot_be_removed() {
    in_virtual_time(async {
        let lab = Lab::new();
        let mut goal = corpus::want(corpus::in_one_process());
        goal.slices[0].spec = SliceSpec {
            places: Places { edge: Some("here".parse().unwrap()), cloud: None },
            ..SliceSpec::default()
        };
        let report = lab.plan_and_apply(&goal).await.unwrap();
        assert_eq!(report.runs[0].done, Summary::default(), "only the document is kept");
        let remove = Intent { delete_infrastructures: vec!["here".parse().unwrap()], ..Intent::default() };
        let refused = lab.engine.plan(&remove).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(refused.to_string().contains("greenhouse"), "{refused}");
        lab.plan_and_apply(&Intent { delete: vec![slice("greenhouse")], ..remove }).await.unwrap();
        assert!(lab.engine.slices().await.unwrap().is_empty());
    });
}

#[test]
fn an_infrastructure_that_a_slice_is_on_cannot_be_removed() {
    in_virtual_time(async {
        let lab = applied().await;
        let remove = Intent { delete_infrastructures: vec!["here".parse().unwrap()], ..Intent::default() };
        assert_eq!(lab.engine.plan(&remove).await.unwrap_err().kind(), ErrorKind::Conflict);
        let with_slice = Intent { delete: vec![slice("greenhouse")], ..remove };
        lab.plan_and_apply(&with_slice).await.unwrap();
        assert!(
            lab.engine.infrastructures().await.unwrap().iter().all(|place| place.name.as_str() != "here")
        );
    });
}
