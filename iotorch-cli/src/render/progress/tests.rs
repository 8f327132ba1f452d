use std::collections::BTreeMap as Map;

use iotorch_core::{
    Error, ErrorKind,
    model::{FailurePolicy, Offline},
    plan::{Basis, Condition, Phase, Reason, StepId},
    resource::{Ownership, Spec},
};

use super::*;

fn id(text: &str) -> ResourceId {
    text.parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_717_245_000 + seconds).unwrap()
}

fn step(resource: &str, after: &[u32]) -> Step {
    let device = serde_json::json!({ "device": { "name": "d", "protocol": "mqtt", "profile": "p" } });
    let spec: Spec = serde_json::from_value(device).unwrap();
    Step {
        resource: id(resource),
        driver: "lite".parse().unwrap(),
        phase: Phase::Build,
        change: Change::Create { after: Arc::new(spec) },
        condition: Condition::Always,
        ownership: Ownership::Ours,
        uses: Vec::new(),
        after: after.iter().copied().map(StepId).collect(),
        reason: Reason::New,
        basis: Basis::Observed,
        takes_along: Vec::new(),
    }
}

fn plan(slice: &str) -> Arc<SlicePlan> {
    let space = format!("{slice}/edge-1/space");
    Arc::new(SlicePlan {
        slice: slice.parse().unwrap(),
        document: None,
        document_changed: true,
        on_failure: FailurePolicy::Rollback,
        offline: Offline::default(),
        placements: Vec::new(),
        steps: vec![
            step(&space, &[]),
            step(&format!("{slice}/network/transport/gw-hub"), &[]),
            step(&format!("{space}/gw"), &[0, 1]),
            step(&format!("{space}/gw/app"), &[2]),
            step(&format!("{space}/gw/app/device/d1"), &[3]),
            step(&format!("{space}/gw/app/device/d2"), &[3]),
        ],
        base: Map::new(),
        claims: Map::new(),
        held: Map::new(),
        secrets: Vec::new(),
        warnings: Vec::new(),
        unchanged: 0,
    })
}

fn event(slice: &str, seconds: i64, event: Progress) -> RunEvent {
    RunEvent { slice: slice.parse().unwrap(), run: RunId(7), at: at(seconds), event }
}

fn started(resource: &str, undo: bool) -> Progress {
    Progress::StepStarted { resource: id(resource), undo }
}

fn succeeded(resource: &str, undo: bool) -> Progress {
    Progress::StepSucceeded { resource: id(resource), undo, took: Duration::from_millis(120) }
}

fn waits(resource: &str, reason: &str, attempt: u32) -> Progress {
    Progress::StepRetried { resource: id(resource), reason: reason.into(), attempt }
}

/// A run that makes two steps, waits twice for the third, fails there, and is rolled back.
fn story(slice: &str) -> Vec<RunEvent> {
    let space = format!("{slice}/edge-1/space");
    let gw = format!("{space}/gw");
    let refused = Error::new(ErrorKind::Timeout, "gateway \"gw\" did not become ready")
        .with_source("exits with code 1");
    [
        (0, Progress::RunStarted { plan: plan(slice) }),
        (0, started(&space, false)),
        (0, started(&format!("{slice}/network/transport/gw-hub"), false)),
        (0, succeeded(&space, false)),
        (0, succeeded(&format!("{slice}/network/transport/gw-hub"), false)),
        (1, started(&gw, false)),
        (2, waits(&gw, "container starting", 1)),
        (4, waits(&gw, "container starting", 2)),
        (6, waits(&gw, "database not yet answering", 3)),
        (9, Progress::StepFailed { resource: id(&gw), undo: false, cause: refused.to_cause() }),
        (9, Progress::Unwinding),
        (9, started(&space, true)),
        (9, succeeded(&space, true)),
        (10, Progress::RunEnded { state: RunState::RolledBack }),
    ]
    .into_iter()
    .map(|(seconds, progress)| event(slice, seconds, progress))
    .collect()
}

#[test]
fn off_a_terminal_each_change_of_state_is_one_plain_line() {
    let mut board = Board::default();
    let lines: Vec<String> = story("greenhouse")
        .iter()
        .filter_map(|event| board.take(event))
        .map(|told| Board::plain_line(&told))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn on_a_terminal_finished_steps_stay_and_waiting_is_told_in_words() {
    let mut board = Board::default();
    let mut shown = Vec::new();
    for event in story("greenhouse") {
        if let Some(told) = board.take(&event).filter(|told| !told.is_passing()) {
            shown.push(board.live_line(&told, Ink::Plain));
        }
        if matches!(&event.event, Progress::StepRetried { attempt: 3, .. }) {
            shown.push("── foot ──".into());
            shown.extend(board.foot(at(8), 2, Ink::Plain));
            shown.push("──────────".into());
        }
    }
    assert!(board.foot(at(10), 0, Ink::Plain).is_empty());
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn what_still_waits_when_another_step_fails_is_not_shown_any_more() {
    let mut board = Board::default();
    let space = "greenhouse/edge-1/space";
    board.take(&event("greenhouse", 0, Progress::RunStarted { plan: plan("greenhouse") }));
    board.take(&event("greenhouse", 0, started(space, false)));
    let shown =
        |board: &Board| board.foot(at(2), 0, Ink::Plain).iter().any(|line| line.starts_with(SPINNER[0]));
    assert!(shown(&board));
    board.take(&event("greenhouse", 1, Progress::Unwinding));
    assert!(!shown(&board));
}

#[test]
fn a_step_that_is_held_back_says_why_and_for_how_long() {
    let mut board = Board::default();
    let step = "greenhouse/edge-1/space";
    board.take(&event("greenhouse", 0, Progress::RunStarted { plan: plan("greenhouse") }));
    let held = event("greenhouse", 1, Progress::StepHeld { resource: id(step), until: at(43) });
    let told = board.take(&held).map(|told| Board::plain_line(&told));
    assert_eq!(
        told.as_deref(),
        Some("greenhouse/edge-1/space: waits: an earlier call may still act for 42s")
    );
    assert_eq!(board.take(&held), None, "once is enough");
}

#[test]
fn with_several_slices_every_line_names_its_own() {
    let mut board = Board::default();
    for slice in ["greenhouse", "orchard"] {
        board.take(&RunEvent {
            run: RunId(slice.len() as u64),
            ..event(slice, 0, Progress::RunStarted { plan: plan(slice) })
        });
    }
    let step = started("orchard/edge-1/space", false);
    board.take(&RunEvent { run: RunId(7), ..event("orchard", 0, step) });
    let foot = board.foot(at(1), 0, Ink::Plain);
    assert!(foot[0].contains("orchard/edge-1"), "{foot:?}");
    assert!(foot.last().unwrap().contains("more steps to come"), "{foot:?}");
}
