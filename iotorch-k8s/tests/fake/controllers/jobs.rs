//! Jobs.

use serde_json::{Value, json};

use super::{is_going, kinds, make_pod, owned, set_condition, tell};
use crate::fake::state::State;

/// A pod, and another one each time that it fails, until it is through or has failed too often.
pub fn jobs(state: &mut State) {
    for (key, job) in state.store.copies(&kinds::JOB, None) {
        if is_going(&job) || job["status"]["conditions"].is_array() {
            continue;
        }
        let limit = job["spec"]["backoffLimit"].as_u64().unwrap_or(6);
        let pods = owned(state, &kinds::POD, &key, &job);
        let in_phase = |phase: &str| pods.iter().filter(|(_, pod)| pod["status"]["phase"] == phase).count();
        let (succeeded, failed) = (in_phase("Succeeded"), in_phase("Failed"));
        let active = pods.len() - succeeded - failed;
        let is_through = succeeded > 0;
        let has_failed = failed as u64 > limit;
        if active == 0 && !is_through && !has_failed {
            let called = json!({ "name": Value::Null, "generateName": format!("{}-", key.name) });
            if let Err(refusal) = make_pod(state, &key, &job, called, &[]) {
                let message = format!("Error creating: {}", refusal.message);
                tell(state, &key, &job, true, "FailedCreate", &message);
            }
        }
        let now = state.now();
        state.modify(&key, |job| {
            let number = |count: usize| if count == 0 { Value::Null } else { count.into() };
            job["status"]["active"] = number(active);
            job["status"]["succeeded"] = number(succeeded);
            job["status"]["failed"] = number(failed);
            let (kind, reason, message) = match (is_through, has_failed) {
                (true, _) => ("Complete", "CompletionsReached", "Reached expected number of succeeded pods"),
                (_, true) => {
                    ("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
                }
                _ => return,
            };
            let condition = json!({ "type": kind, "status": "True", "reason": reason, "message": message,
                "lastTransitionTime": now, "lastProbeTime": now });
            set_condition(job, condition);
        });
    }
}
