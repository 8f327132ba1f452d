//! The full graphs of two slices as plans: across clusters with EdgeX and Mainflux, and the same in one process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up fails")]

mod lab;

use std::fmt::Write;

use iotorch_core::{
    Orchestrator,
    model::{Capacity, Quota},
    plan::Plan,
    resource::Spec,
};
use lab::{Lab, corpus, in_virtual_time};

/// Every step on a line with its reason, what it comes after, and what it is made from.
fn steps(plan: &Plan) -> String {
    let mut text = String::new();
    for slice in &plan.slices {
        for choice in &slice.placements {
            let _ = writeln!(text, "{} on {}: {}", choice.part, choice.infrastructure, choice.reason);
        }
        for (number, step) in slice.numbered() {
            let after: Vec<_> = step.after.iter().map(ToString::to_string).collect();
            let _ = writeln!(text, "{number:>2} {} [{}] {}", step.resource, step.driver, step.reason);
            let _ = writeln!(
                text,
                "   after {}",
                if after.is_empty() { "nothing".into() } else { after.join(", ") }
            );
            for used in &step.uses {
                let _ = writeln!(text, "   uses {used}");
            }
            if let Some(spec) = step.change.after() {
                let _ = writeln!(text, "   {}", serde_json::to_string(spec).unwrap());
            }
        }
        let _ = writeln!(text, "secrets {:?}", slice.secrets);
        for warning in &slice.warnings {
            let _ = writeln!(text, "warning {warning}");
        }
    }
    text
}

fn plan_of(slice: iotorch_core::model::Slice) -> Plan {
    in_virtual_time(async { Lab::new().engine.plan(&corpus::want(slice)).await.unwrap() })
}

#[test]
fn edgex_at_the_edge_and_mainflux_in_the_cloud() {
    insta::assert_snapshot!(steps(&plan_of(corpus::across_clusters())));
}

#[test]
fn lite_in_one_process_with_a_physical_function() {
    insta::assert_snapshot!(steps(&plan_of(corpus::in_one_process())));
}

#[test]
fn a_plan_survives_being_saved() {
    let plan = plan_of(corpus::across_clusters());
    let saved = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&saved).unwrap(), plan);
}

#[test]
fn a_space_has_the_quota_of_the_tier_that_it_is_on() {
    let mut slice = corpus::across_clusters();
    let edge = Capacity { memory: Some("512MiB".parse().unwrap()), ..Capacity::default() };
    slice.spec.quota = Quota { edge, cloud: Capacity::default() };
    let plan = plan_of(slice);
    let steps = plan.slices[0].numbered();
    let quotas: Vec<_> = steps
        .filter_map(|(_, step)| match step.change.after().map(AsRef::as_ref) {
            Some(Spec::Space(space)) => Some((step.resource.place().to_owned(), space.quota)),
            _ => None,
        })
        .collect();
    assert_eq!(quotas, [("cloud-1".to_owned(), Capacity::default()), ("edge-1".to_owned(), edge)]);
}
