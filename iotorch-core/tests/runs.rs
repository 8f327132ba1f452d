//! Runs: how they succeed, fail, stop, wait, and go on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up fails")]

mod lab;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use iotorch_core::{
    Direction, Engine, ErrorKind, Intent, Orchestrator, RunOptions,
    model::{FailurePolicy, Offline, OnOffline, TimeSpan},
    observer::{Observer, Progress, RunEvent},
    resource::{KindName, Spec},
    secret::{SecretStore, SecretValue},
    sim::{Fault, sim_infrastructure, sim_slice},
    store::{RunId, RunState, Store},
};
use lab::{Lab, corpus, id, in_virtual_time, slice};
use tokio_util::sync::CancellationToken;

const DEVICE: &str = "greenhouse/here/space/gw/app/device/bench-2";
const EXPORT: &str = "greenhouse/here/space/gw/app/export/hub";

fn goal(policy: FailurePolicy) -> Intent {
    let mut slice = corpus::in_one_process();
    slice.spec.on_failure = policy;
    corpus::want(slice)
}

#[test]
fn a_plan_after_an_apply_is_empty_and_applying_it_does_nothing() {
    in_virtual_time(async {
        let lab = Lab::new();
        let report = lab.plan_and_apply(&goal(FailurePolicy::Rollback)).await.unwrap();
        assert_eq!(report.runs[0].done.create, 20);
        let plan = lab.engine.plan(&goal(FailurePolicy::Rollback)).await.unwrap();
        assert!(plan.is_empty());
        assert_eq!(plan.slices[0].unchanged, 20);
        let calls = lab.world.calls();
        let report = lab.engine.apply(plan, RunOptions::default()).await.unwrap();
        assert!(report.runs.is_empty());
        assert_eq!(lab.world.calls(), calls);
        assert_eq!(lab.store.runs().await.unwrap().len(), 1);
    });
}

#[test]
fn a_failed_create_is_unwound_before_the_run_ends() {
    in_virtual_time(async {
        let lab = Lab::new();
        lab.world.inject(EXPORT, Fault::Error(ErrorKind::Denied));
        let failed = lab.plan_and_apply(&goal(FailurePolicy::Rollback)).await.unwrap_err();
        assert_eq!(failed.error.kind(), ErrorKind::Denied);
        let run = &failed.report.runs[0];
        assert_eq!(run.state, RunState::RolledBack);
        let failure = run.failure.as_ref().unwrap();
        assert_eq!(failure.step, Some(id(EXPORT)));
        assert_eq!(failure.cause.message, format!("cannot create export \"{EXPORT}\""));
        assert_eq!(failure.cause.root(), "simulated: denied");
        assert!(lab.world.objects().is_empty());
        lab.check_nothing_is_orphaned().await;
    });
}

#[test]
fn under_pause_the_run_stays_open_until_a_person_decides() {
    in_virtual_time(async {
        let lab = Lab::new();
        lab.world.inject(EXPORT, Fault::Error(ErrorKind::Denied));
        let failed = lab.plan_and_apply(&goal(FailurePolicy::Pause)).await.unwrap_err();
        let run = failed.report.runs[0].run;
        assert_eq!(failed.report.runs[0].state, RunState::Paused);
        let plan = lab.engine.plan(&goal(FailurePolicy::Pause)).await.expect("planning works");
        let refused = lab.engine.apply(plan, RunOptions::default()).await.unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::Conflict);
        let undecided = lab.engine.resume(run, Direction::Policy, RunOptions::default()).await.unwrap_err();
        assert_eq!(undecided.error.kind(), ErrorKind::Conflict);
        let report = lab.engine.resume(run, Direction::Continue, RunOptions::default()).await.unwrap();
        assert_eq!(report.runs[0].state, RunState::Succeeded);
        assert!(lab.engine.plan(&goal(FailurePolicy::Pause)).await.unwrap().is_empty());
    });
}

#[test]
fn under_keep_what_failed_is_tainted_and_the_next_plan_repairs_it() {
    in_virtual_time(async {
        let lab = Lab::new();
        lab.world.inject(EXPORT, Fault::Error(ErrorKind::Denied));
        let failed = lab.plan_and_apply(&goal(FailurePolicy::Keep)).await.unwrap_err();
        assert_eq!(failed.report.runs[0].state, RunState::Kept);
        let state = lab.store.slice(&slice("greenhouse")).await.unwrap();
        assert!(state.records[&id(EXPORT)].tainted.is_some());
        let plan = lab
            .engine
            .plan(&Intent { reconcile: vec![slice("greenhouse")], ..Intent::default() })
            .await
            .unwrap();
        assert!(plan.slices[0].steps.iter().any(|step| step.resource == id(EXPORT)));
        lab.engine.apply(plan, RunOptions::default()).await.unwrap();
        assert!(lab.engine.plan(&goal(FailurePolicy::Keep)).await.unwrap().is_empty());
    });
}

#[test]
fn an_undo_that_fails_leaves_the_run_stuck_with_what_is_left_named() {
    in_virtual_time(async {
        let mut lab = Lab::new();
        lab.plan_and_apply(&goal(FailurePolicy::Rollback)).await.unwrap();
        let start = lab.specs();
        let mut changed = goal(FailurePolicy::Rollback);
        let mut device = changed.slices[0].spec.devices[0].clone();
        device.name = iotorch_core::model::PartName::new("bench-3").unwrap();
        changed.slices[0].spec.devices.push(device);
        let new = "greenhouse/here/space/gw/app/device/bench-3";
        lab.world.inject(format!("{new}/credential"), Fault::Error(ErrorKind::Denied));
        let plan = lab.engine.plan(&changed).await.unwrap();
        lab.world.inject(new, Fault::Delay(Duration::from_millis(1)));
        lab.world.inject(new, Fault::Error(ErrorKind::Denied));
        let failed = lab.engine.apply(plan, RunOptions::default()).await.unwrap_err();
        let run = failed.report.runs[0].clone();
        assert_eq!(run.state, RunState::Stuck);
        assert!(run.residue.contains(&new.to_owned()), "{:?}", run.residue);
        lab.reopen();
        lab.check_nothing_is_orphaned().await;
        let ended = lab.engine.resume(run.run, Direction::Policy, RunOptions::default()).await.unwrap_err();
        assert_eq!(ended.report.runs[0].state, RunState::RolledBack);
        assert_eq!(lab.specs(), start);
    });
}

#[test]
fn a_plan_whose_base_moved_is_refused_and_says_what_moved() {
    in_virtual_time(async {
        let lab = Lab::new();
        lab.plan_and_apply(&goal(FailurePolicy::Rollback)).await.unwrap();
        let mut changed = goal(FailurePolicy::Rollback);
        changed.slices[0].spec.devices.pop();
        let plan = lab.engine.plan(&changed).await.unwrap();
        let saved = serde_json::to_string(&plan).unwrap();
        lab.world.remove(&id("greenhouse/here/space/gw/app/device/bench-1"));
        let refused =
            lab.engine.apply(serde_json::from_str(&saved).unwrap(), RunOptions::default()).await.unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::Moved);
        assert!(refused.error.to_string().contains("device/bench-1 has changed"), "{}", refused.error);
        assert!(refused.report.runs.is_empty());
    });
}

#[test]
fn a_rotation_makes_the_next_generation_switches_its_users_and_deletes_the_old_one() {
    in_virtual_time(async {
        let lab = Lab::new();
        lab.plan_and_apply(&goal(FailurePolicy::Rollback)).await.unwrap();
        let attachment = "greenhouse/here/space/hub/app/tenant/attachment/gw";
        let rotate = Intent { rotate: [id(attachment)].into(), ..Intent::default() };
        let report = lab.plan_and_apply(&rotate).await.unwrap();
        let done = report.runs[0].done;
        assert_eq!(
            (done.create, done.change, done.delete),
            (1, 1, 1),
            "the credential, its user, the old credential"
        );
        let state = lab.store.slice(&slice("greenhouse")).await.unwrap();
        assert!(state.records.contains_key(&id(&format!("{attachment}/credential/2"))));
        let names: Vec<_> = state.records[&id(EXPORT)].uses.iter().map(ToString::to_string).collect();
        assert!(names.contains(&format!("{attachment}/credential/2")));
        lab.check_nothing_is_orphaned().await;
        assert!(lab.engine.plan(&goal(FailurePolicy::Rollback)).await.unwrap().is_empty());
    });
}

#[test]
fn what_a_slice_does_not_have_is_neither_rotated_nor_adopted() {
    in_virtual_time(async {
        let lab = Lab::new();
        lab.plan_and_apply(&goal(FailurePolicy::Rollback)).await.unwrap();
        let unknown = id("greenhouse/here/space/gw/app/device/bench-9");
        let without_secret = id("greenhouse/here/space/gw/app/profile/climate");
        for (rotate, adopt) in [
            ([unknown.clone()].into(), [].into()),
            ([without_secret].into(), [].into()),
            ([].into(), [unknown].into()),
        ] {
            let intent = Intent { rotate, adopt, ..Intent::default() };
            let error = lab.engine.plan(&intent).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        }
    });
}

#[test]
fn a_rotated_tenant_takes_the_value_that_the_secret_store_holds_for_it() {
    in_virtual_time(async {
        let lab = Lab::new();
        lab.plan_and_apply(&goal(FailurePolicy::Rollback)).await.unwrap();
        let tenant = id("greenhouse/here/space/hub/app/tenant");
        let (old, new) = ("greenhouse/hub/tenant#1", "greenhouse/hub/tenant#2");
        let chosen = SecretValue::new("chosen by a person".into());
        lab.secrets.put(&new.parse().unwrap(), chosen.clone()).await.unwrap();

        let rotate = Intent { rotate: [tenant.clone()].into(), ..Intent::default() };
        let plan = lab.engine.plan(&rotate).await.unwrap();
        assert!(plan.slices[0].secrets.contains(&new.parse().unwrap()));
        lab.engine.apply(plan, RunOptions::default()).await.unwrap();

        let state = lab.store.slice(&slice("greenhouse")).await.unwrap();
        let Spec::Tenant(spec) = &*state.records[&tenant].spec else { panic!("a tenant") };
        assert_eq!(spec.secret.to_string(), new);
        assert_eq!(lab.secrets.fetch(&new.parse().unwrap()).await.unwrap(), chosen);
        let gone = lab.secrets.fetch(&old.parse().unwrap()).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
        assert!(lab.engine.plan(&goal(FailurePolicy::Rollback)).await.unwrap().is_empty());
    });
}

#[test]
fn a_step_whose_inputs_turn_out_equal_is_skipped() {
    in_virtual_time(async {
        let lab = Lab::new();
        lab.plan_and_apply(&goal(FailurePolicy::Rollback)).await.unwrap();
        let mut changed = goal(FailurePolicy::Rollback);
        changed.slices[0].spec.servers[0].settings.insert("retention".into(), "7d".into());
        let plan = lab.engine.plan(&changed).await.unwrap();
        assert_eq!(plan.summary().conditional, 5);
        let report = lab.engine.apply(plan, RunOptions::default()).await.unwrap();
        let done = report.runs[0].done;
        assert_eq!((done.create, done.change, done.delete), (0, 2, 0), "the workload and its application");
    });
}

#[test]
fn two_runs_on_one_slice_exclude_each_other_and_a_hundred_slices_run_side_by_side() {
    in_virtual_time(async {
        let lab = Lab::with_sim();
        let infrastructures = vec![sim_infrastructure("edge-1"), sim_infrastructure("cloud-1")];
        let slices: Vec<_> = (0..100).map(|number| sim_slice(&format!("s-{number}"))).collect();
        let intent = Intent { infrastructures, slices, ..Intent::default() };
        for name in 0..100 {
            lab.world.inject(format!("s-{name}/edge-1/space/gw/app"), Fault::Delay(Duration::from_secs(10)));
        }
        let plan = lab.engine.plan(&intent).await.unwrap();
        let begun = tokio::time::Instant::now();
        let (first, second) = tokio::join!(
            lab.engine.apply(plan.clone(), RunOptions::default()),
            lab.engine.apply(plan, RunOptions::default())
        );
        assert_eq!(first.unwrap().runs.len(), 100);
        assert_eq!(second.unwrap_err().error.kind(), ErrorKind::Conflict);
        assert!(begun.elapsed() < Duration::from_secs(60), "side by side: {:?}", begun.elapsed());
    });
}

#[test]
fn a_person_who_stops_a_run_finds_it_interrupted_and_can_go_on_or_back() {
    in_virtual_time(async {
        for direction in [Direction::Continue, Direction::Rollback] {
            let lab = Lab::new();
            lab.world.inject(DEVICE, Fault::Delay(Duration::from_secs(5)));
            let plan = lab.engine.plan(&goal(FailurePolicy::Rollback)).await.unwrap();
            let options = RunOptions::default();
            let stop = options.cancelled.clone();
            let (ended, ()) = tokio::join!(lab.engine.apply(plan, options), async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                stop.cancel();
            });
            let run = ended.unwrap_err().report.runs[0].clone();
            assert_eq!(run.state, RunState::Interrupted);
            assert!(lab.world.objects().contains_key(&id(DEVICE)), "a mutation under way is finished");
            let ended = lab.engine.resume(run.run, direction, RunOptions::default()).await;
            if direction == Direction::Continue {
                assert_eq!(ended.unwrap().runs[0].state, RunState::Succeeded);
            } else {
                assert_eq!(ended.unwrap_err().report.runs[0].state, RunState::RolledBack);
                assert!(lab.world.objects().is_empty());
            }
        }
    });
}

#[test]
fn a_stop_can_undo_at_once() {
    in_virtual_time(async {
        let lab = Lab::new();
        for _ in 0..1000 {
            lab.world.inject(EXPORT, Fault::NotReady);
        }
        let plan = lab.engine.plan(&goal(FailurePolicy::Rollback)).await.unwrap();
        let cancelled = CancellationToken::new();
        let options =
            RunOptions { cancelled: cancelled.clone(), rollback_on_interrupt: true, ..RunOptions::default() };
        let (ended, ()) = tokio::join!(lab.engine.apply(plan, options), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            lab.world.heal();
            lab.world.inject(EXPORT, Fault::NotReady);
            cancelled.cancel();
        });
        assert_eq!(ended.unwrap_err().report.runs[0].state, RunState::RolledBack);
        assert!(lab.world.objects().is_empty());
    });
}

#[test]
fn a_step_that_fails_ends_the_waits_of_the_others_when_all_is_undone() {
    in_virtual_time(async {
        let fail = async |policy| {
            let lab = Lab::new();
            for _ in 0..1000 {
                lab.world.inject(EXPORT, Fault::NotReady);
            }
            for fault in [Fault::NotReady, Fault::NotReady, Fault::Error(ErrorKind::Denied)] {
                lab.world.inject(DEVICE, fault);
            }
            let begun = tokio::time::Instant::now();
            let failed = lab.plan_and_apply(&goal(policy)).await.unwrap_err();
            let run = failed.report.runs[0].clone();
            assert_eq!(run.failure.unwrap().step, Some(id(DEVICE)));
            (run.state, begun.elapsed(), lab.world.objects().len())
        };
        let (state, took, left) = fail(FailurePolicy::Rollback).await;
        assert_eq!((state, left), (RunState::RolledBack, 0));
        assert!(took < Duration::from_secs(10), "{took:?}");
        let (state, took, _) = fail(FailurePolicy::Keep).await;
        assert_eq!(state, RunState::Kept);
        assert!(took >= Duration::from_secs(60), "what is kept is waited for: {took:?}");
    });
}

#[test]
fn not_ready_is_asked_again_until_the_deadline_and_then_says_what_was_missing() {
    in_virtual_time(async {
        let lab = Lab::new();
        for _ in 0..20 {
            lab.world.inject(EXPORT, Fault::NotReady);
        }
        lab.plan_and_apply(&goal(FailurePolicy::Rollback)).await.expect("ready in the end");
        let lab = Lab::new();
        for _ in 0..1000 {
            lab.world.inject(EXPORT, Fault::NotReady);
        }
        let failed = lab.plan_and_apply(&goal(FailurePolicy::Rollback)).await.unwrap_err();
        let failure = failed.report.runs[0].failure.clone().unwrap();
        assert_eq!(failure.cause.message, format!("export \"{EXPORT}\" did not become ready in time"));
        assert_eq!(failure.cause.root(), "simulated: still starting");
        assert!(failure.after >= Duration::from_secs(60));
    });
}

#[test]
fn a_place_that_is_away_is_waited_for_by_policy_and_holds_up_no_other_slice() {
    in_virtual_time(async {
        let lab = Lab::new();
        let mut waiting = corpus::across_clusters();
        waiting.spec.offline =
            Offline { policy: OnOffline::Wait, limit: Some(TimeSpan::from_millis(3_600_000)) };
        let mut other = corpus::in_one_process();
        other.name = slice("orchard");
        let mut intent = corpus::want(waiting);
        intent.slices.push(other);
        let plan = lab.engine.plan(&intent).await.unwrap();
        lab.world.cut_off("cloud-1");
        let watch = async {
            tokio::time::sleep(Duration::from_secs(120)).await;
            let runs = lab.store.runs().await.unwrap();
            let state = |name: &str| {
                runs.iter().find(|row| row.run.plan.slice.as_str() == name).unwrap().status.state
            };
            assert_eq!(state("greenhouse"), RunState::Waiting);
            assert_eq!(state("orchard"), RunState::Succeeded);
            let row = runs.iter().find(|row| row.run.plan.slice.as_str() == "greenhouse").unwrap();
            let journal = lab.store.journal(row.run.id).await.unwrap();
            assert!(journal.len() < 100, "{} events of a run that waits for two minutes", journal.len());
            lab.world.heal();
        };
        let (report, ()) = tokio::join!(lab.engine.apply(plan, RunOptions::default()), watch);
        assert!(report.unwrap().runs.iter().all(|run| run.state == RunState::Succeeded));
    });
}

#[test]
fn a_run_whose_place_stays_away_says_how_long_it_has_waited_or_how_it_could() {
    in_virtual_time(async {
        for (offline, told) in [
            (
                Offline { policy: OnOffline::Wait, limit: Some(TimeSpan::from_millis(30_000)) },
                "its place could not be reached for 30s, which is as long as the slice waits",
            ),
            (Offline::default(), "offline: { policy: wait }"),
        ] {
            let lab = Lab::new();
            let mut slice = corpus::across_clusters();
            slice.spec.offline = offline;
            let plan = lab.engine.plan(&corpus::want(slice)).await.unwrap();
            lab.world.cut_off("cloud-1");
            let failed = lab.engine.apply(plan, RunOptions::default()).await.unwrap_err();
            let run = &failed.report.runs[0];
            assert!(run.took < Duration::from_secs(120), "{:?}", run.took);
            let cause = serde_json::to_string(&run.failure.as_ref().unwrap().cause).unwrap();
            assert!(cause.contains(told) && cause.contains("cannot reach \\\"cloud-1\\\""), "{cause}");
        }
    });
}

#[test]
fn what_was_planned_from_records_is_looked_at_before_the_first_step_there() {
    in_virtual_time(async {
        let lab = Lab::new();
        let mut across = corpus::across_clusters();
        across.spec.offline = Offline { policy: OnOffline::Wait, limit: None };
        lab.plan_and_apply(&corpus::want(across.clone())).await.unwrap();
        across.spec.devices.pop();
        across.spec.profiles[0].resources.pop();
        lab.world.cut_off("edge-1");
        let plan = lab.engine.plan(&corpus::want(across)).await.unwrap();
        assert!(!plan.slices[0].warnings.is_empty(), "the plan says what it assumes");
        lab.world.heal();
        lab.world.change(&id("greenhouse/edge-1/space/gw/app/profile/climate"), |object| {
            if let iotorch_core::resource::Spec::Profile(profile) = &mut object.spec {
                profile.resources.clear();
            }
        });
        let failed = lab.engine.apply(plan, RunOptions::default()).await.unwrap_err();
        assert_eq!(failed.error.kind(), ErrorKind::Moved, "{:?}", failed.error);
    });
}

#[derive(Default)]
struct Recorder(Mutex<Vec<RunEvent>>);

impl Observer for Recorder {
    fn event(&self, event: &RunEvent) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// An engine beside the lab's own, and what it tells.
fn observed(lab: &Lab) -> (Engine, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let engine = Engine::builder()
        .store(Arc::clone(&lab.store) as _)
        .secrets(Arc::clone(&lab.secrets) as _)
        .drivers(lab.drivers.clone())
        .clock(lab.clock)
        .observer(Arc::clone(&recorder) as _)
        .build();
    (engine, recorder)
}

/// A lab whose process died in the middle of making [`DEVICE`], in run 1.
async fn died_at_the_device() -> Lab {
    let lab = Lab::new();
    lab.world.inject(DEVICE, Fault::Delay(Duration::from_secs(5)));
    let plan = lab.engine.plan(&goal(FailurePolicy::Rollback)).await.unwrap();
    let died =
        tokio::time::timeout(Duration::from_secs(1), lab.engine.apply(plan, RunOptions::default())).await;
    assert!(died.is_err());
    lab
}

/// The first step that is held back, and for how long.
fn first_held(recorder: &Recorder) -> Option<(KindName, Duration)> {
    let events = recorder.0.lock().unwrap();
    events.iter().find_map(|RunEvent { at, event, .. }| match event {
        Progress::StepHeld { resource, until } => {
            Some((resource.kind(), Duration::try_from(until.duration_since(*at)).unwrap()))
        }
        _ => None,
    })
}

#[test]
fn a_step_that_an_earlier_call_holds_back_says_until_when() {
    in_virtual_time(async {
        let lab = died_at_the_device().await;
        let (engine, recorder) = observed(&lab);
        let resumed_at = tokio::time::Instant::now();
        let report = engine.resume(RunId(1), Direction::Rollback, RunOptions::default()).await;
        assert_eq!(report.unwrap_err().report.runs[0].state, RunState::RolledBack);
        let (kind, held) = first_held(&recorder).unwrap();
        assert_eq!(kind, KindName::Device);
        assert!(held > Duration::from_secs(50) && resumed_at.elapsed() >= held, "held for {held:?}");
        assert!(lab.world.objects().is_empty());
    });
}

#[test]
fn what_was_cut_off_is_made_again_at_once_and_only_another_call_waits() {
    in_virtual_time(async {
        let lab = died_at_the_device().await;
        let (engine, recorder) = observed(&lab);
        let resumed_at = tokio::time::Instant::now();
        engine.resume(RunId(1), Direction::Policy, RunOptions::default()).await.unwrap();
        assert!(resumed_at.elapsed() < Duration::from_secs(1), "{:?}", resumed_at.elapsed());
        assert_eq!(first_held(&recorder), None);

        let mut without = goal(FailurePolicy::Rollback);
        without.slices[0].spec.devices.retain(|device| device.name.as_str() != "bench-2");
        let plan = engine.plan(&without).await.unwrap();
        engine.apply(plan, RunOptions::default()).await.unwrap();
        let (kind, held) = first_held(&recorder).expect("the call that was cut off may still come");
        assert_eq!(kind, KindName::Device);
        assert!(held > Duration::from_secs(50) && resumed_at.elapsed() >= held, "held for {held:?}");
    });
}

#[test]
fn an_observer_hears_of_every_start_retry_and_end_in_order() {
    in_virtual_time(async {
        let lab = Lab::new();
        let (engine, recorder) = observed(&lab);
        lab.world.inject(EXPORT, Fault::NotReady);
        let plan = engine.plan(&goal(FailurePolicy::Rollback)).await.unwrap();
        engine.apply(plan, RunOptions::default()).await.unwrap();
        let events = recorder.0.lock().unwrap();
        let of_export: Vec<_> = events
            .iter()
            .filter_map(|event| match &event.event {
                Progress::StepStarted { resource, .. } if *resource == id(EXPORT) => Some("start"),
                Progress::StepRetried { resource, .. } if *resource == id(EXPORT) => Some("retry"),
                Progress::StepSucceeded { resource, .. } if *resource == id(EXPORT) => Some("end"),
                _ => None,
            })
            .collect();
        assert_eq!(of_export, ["start", "retry", "end"]);
        assert!(matches!(events.first().unwrap().event, Progress::RunStarted { .. }));
        assert!(matches!(events.last().unwrap().event, Progress::RunEnded { state: RunState::Succeeded }));
        assert_eq!(
            events.iter().filter(|event| matches!(event.event, Progress::StepStarted { .. })).count(),
            20
        );
    });
}

#[test]
fn finished_runs_stay_readable_up_to_a_number() {
    in_virtual_time(async {
        let lab = Lab::new();
        lab.plan_and_apply(&goal(FailurePolicy::Rollback)).await.unwrap();
        for days in 1..10 {
            let mut changed = goal(FailurePolicy::Rollback);
            changed.slices[0].spec.servers[0].settings.insert("retention".into(), format!("{days}d").into());
            lab.plan_and_apply(&changed).await.unwrap();
        }
        let runs = lab.store.runs().await.unwrap();
        assert_eq!(runs.len(), 5);
        assert_eq!(runs[0].run.id.to_string(), "r10");
    });
}

#[test]
fn a_place_that_does_not_let_us_in_ends_an_apply_before_anything_is_changed() {
    in_virtual_time(async {
        let lab = Lab::new();
        let intent = corpus::want(corpus::across_clusters());
        let plan = lab.engine.plan(&intent).await.unwrap();
        lab.world.lock("cloud-1");
        let refused = lab.engine.apply(plan, RunOptions::default()).await.unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::Denied);
        let told = refused.error.to_cause().to_string();
        assert_eq!(told, "cannot apply the plan: infrastructure \"cloud-1\" refuses: \"cloud-1\" is locked");
        assert!(lab.world.objects().is_empty() && lab.open_runs().await.is_empty());
    });
}

#[test]
fn parts_whose_only_places_do_not_let_us_in_are_told_together() {
    in_virtual_time(async {
        let lab = Lab::new();
        lab.world.lock("edge-1");
        lab.world.lock("cloud-1");
        let refused = lab.engine.plan(&corpus::want(corpus::across_clusters())).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Denied);
        assert_eq!(
            refused.to_string(),
            "cannot place gateway \"gw\", server \"hub\" and network function \"upf\" of slice \"greenhouse\""
        );
        let places: Vec<_> = refused.context().map(|(place, _)| place).collect();
        assert_eq!(places, ["cloud-1", "edge-1"]);
    });
}

#[test]
fn an_infrastructure_that_nothing_is_on_is_stored_and_the_plan_says_that_it_cannot_be_used() {
    in_virtual_time(async {
        let lab = Lab::new();
        lab.world.lock("edge-1");
        let infrastructures = corpus::want(corpus::across_clusters()).infrastructures;
        let plan = lab.engine.plan(&Intent { infrastructures, ..Intent::default() }).await.unwrap();
        let lines: Vec<_> = plan.to_lines().into_iter().map(|line| line.text).collect();
        let warning = "  warning: infrastructure edge-1 refuses: \"edge-1\" is locked";
        assert!(lines.iter().any(|line| line == warning), "{lines:?}");
        lab.engine.apply(plan, RunOptions::default()).await.unwrap();
        assert!(!lab.engine.infrastructures().await.unwrap().is_empty());
    });
}
