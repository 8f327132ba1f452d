//! The events of runs, one line each.

use iotorch_core::observer::{Progress, RunEvent};
use jiff::{Timestamp, tz::TimeZone};

use super::time;

/// An event as a line: when, which run, what.
pub(crate) fn event(event: &RunEvent, zone: &TimeZone) -> String {
    format!("{}  {}  {}", clock(event.at, zone), event.run, happened(event, zone))
}

fn clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%H:%M:%S%.3f").to_string()
}

fn happened(event: &RunEvent, zone: &TimeZone) -> String {
    let slice = &event.slice;
    let undone = |undo: bool, done: &'static str, undone: &'static str| if undo { undone } else { done };
    match &event.event {
        Progress::RunStarted { plan } => {
            format!("{slice}: run started, {} steps", plan.steps.len())
        }
        Progress::StepStarted { resource, undo } => {
            format!("{resource}: {}", undone(*undo, "started", "undoing started"))
        }
        Progress::StepRetried { resource, reason, attempt } => {
            format!(
                "{resource}: waiting after attempt {attempt}: {}",
                reason.lines().next().unwrap_or_default()
            )
        }
        Progress::StepHeld { resource, until } => {
            format!("{resource}: held back until {}: an earlier call may still act", clock(*until, zone))
        }
        Progress::StepSucceeded { resource, undo, took } => {
            format!("{resource}: {} in {}", undone(*undo, "done", "undone"), time::short(*took))
        }
        Progress::StepSkipped { resource } => format!("{resource}: not needed"),
        Progress::StepFailed { resource, undo, cause } => {
            format!("{resource}: {}: {cause}", undone(*undo, "failed", "undoing failed"))
        }
        Progress::Committed => format!("{slice}: everything that was to be built is there"),
        Progress::Unwinding => format!("{slice}: undoing"),
        Progress::RunEnded { state } => format!("{slice}: run {state}"),
        // A later version of core may have more to tell than this one has words for.
        other => format!("{slice}: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use iotorch_core::{
        plan::SlicePlan,
        store::{RunId, RunState},
    };

    use super::*;

    #[test]
    fn every_event_is_a_line_that_says_of_what_it_is() {
        let resource: iotorch_core::resource::ResourceId = "greenhouse/edge-1/space/gw".parse().unwrap();
        let error = iotorch_core::Error::new(iotorch_core::ErrorKind::Unavailable, "no answer");
        let plan: SlicePlan =
            serde_json::from_str(r#"{"slice":"greenhouse","onFailure":"rollback","steps":[],"unchanged":3}"#)
                .unwrap();
        let happened = [
            Progress::RunStarted { plan: Arc::new(plan) },
            Progress::StepStarted { resource: resource.clone(), undo: false },
            Progress::StepRetried {
                resource: resource.clone(),
                reason: "starting\nagain".into(),
                attempt: 2,
            },
            Progress::StepHeld {
                resource: resource.clone(),
                until: "2024-06-01T12:35:56.789Z".parse().unwrap(),
            },
            Progress::StepSucceeded {
                resource: resource.clone(),
                undo: false,
                took: Duration::from_millis(1_200),
            },
            Progress::StepFailed { resource: resource.clone(), undo: true, cause: error.to_cause() },
            Progress::StepSkipped { resource },
            Progress::Unwinding,
            Progress::RunEnded { state: RunState::RolledBack },
        ];
        let lines = happened.map(|happened| {
            let told = RunEvent {
                slice: "greenhouse".parse().unwrap(),
                run: RunId(7),
                at: "2024-06-01T12:34:56.789Z".parse().unwrap(),
                event: happened,
            };
            event(&told, &TimeZone::UTC)
        });
        insta::assert_snapshot!(lines.join("\n"));
    }
}
