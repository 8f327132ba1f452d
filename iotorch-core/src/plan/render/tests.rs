use std::sync::Arc;

use super::*;
use crate::{
    model::{FailurePolicy, Infrastructure, InfrastructureSpec, Offline, Slice, SliceSpec, Tier},
    plan::{Candidate, PLAN_FORMAT, Phase, PlaceSummary, StepId, Warning},
    resource::{Ownership, Spec},
};

fn id(text: &str) -> ResourceId {
    text.parse().unwrap()
}

/// A specification from its JSON form, which is what a saved plan holds.
fn spec(kind: &str, value: serde_json::Value) -> Arc<Spec> {
    Arc::new(serde_json::from_value(serde_json::json!({ kind: value })).unwrap())
}

fn step(resource: &str, driver: &str, change: Change<Arc<Spec>>, reason: Reason) -> Step {
    Step {
        resource: id(resource),
        driver: driver.parse().unwrap(),
        phase: if change.is_delete() { Phase::Reap } else { Phase::Build },
        change,
        condition: Condition::Always,
        ownership: Ownership::Ours,
        uses: Vec::new(),
        after: Vec::new(),
        reason,
        basis: Basis::Observed,
        takes_along: Vec::new(),
    }
}

fn new(resource: &str, driver: &str, kind: &str, value: serde_json::Value) -> Step {
    step(resource, driver, Change::Create { after: spec(kind, value) }, Reason::New)
}

fn slice(name: &str, steps: Vec<Step>) -> SlicePlan {
    let name: crate::model::SliceName = name.parse().unwrap();
    SlicePlan {
        document: Some(Arc::new(Slice { name: name.clone(), spec: SliceSpec::default() })),
        slice: name,
        document_changed: true,
        on_failure: FailurePolicy::Rollback,
        offline: Offline::default(),
        placements: Vec::new(),
        steps,
        base: BTreeMap::new(),
        claims: BTreeMap::new(),
        held: BTreeMap::new(),
        secrets: Vec::new(),
        warnings: Vec::new(),
        unchanged: 0,
    }
}

fn plan(slices: Vec<SlicePlan>) -> Plan {
    let place = |name: &str, driver: &str, tier| {
        (name.parse().unwrap(), PlaceSummary { driver: driver.parse().unwrap(), tier })
    };
    Plan {
        format: PLAN_FORMAT,
        infrastructures: Vec::new(),
        removed_infrastructures: Vec::new(),
        unusable: std::collections::BTreeMap::new(),
        places: BTreeMap::from([
            place("edge-1", "kubernetes", Tier::Edge),
            place("cloud-1", "local", Tier::Cloud),
        ]),
        slices,
    }
}

fn greenhouse() -> SlicePlan {
    let mut steps = vec![
        new("greenhouse/edge-1/space", "kubernetes", "space", serde_json::json!({ "name": "greenhouse" })),
        new(
            "greenhouse/network/transport/gw-hub",
            "declared",
            "segment",
            serde_json::json!({
                "layer": "transport", "endpoints": [],
                "bandwidth": { "guaranteed": "2Mbit/s", "max": "5Mbit/s" },
            }),
        ),
        new(
            "greenhouse/edge-1/space/gw",
            "kubernetes",
            "workload",
            serde_json::json!({
                "name": "gw", "role": "gateway", "application": "edgex",
                "chart": { "source": "oci://charts/edgex", "version": "0.4.1", "digest": format!("sha256:{}", "41c9".repeat(16)) },
            }),
        ),
        new(
            "greenhouse/edge-1/space/gw/app",
            "edgex",
            "application",
            serde_json::json!({ "name": "gw", "role": "gateway", "application": "edgex", "admin": "a" }),
        ),
        new(
            "greenhouse/edge-1/space/gw/app/profile/climate",
            "edgex",
            "profile",
            serde_json::json!({ "name": "climate", "resources": [{ "name": "t", "type": "float" }] }),
        ),
        new(
            "greenhouse/edge-1/space/gw/app/device/bench-1",
            "edgex",
            "device",
            serde_json::json!({ "name": "bench-1", "protocol": "mqtt", "profile": "climate" }),
        ),
        new(
            "greenhouse/edge-1/space/gw/app/device/bench-1/credential/1",
            "edgex",
            "credential",
            serde_json::json!({ "generation": 1, "secret": "s" }),
        ),
        new("greenhouse/cloud-1/space", "local", "space", serde_json::json!({ "name": "greenhouse" })),
        new(
            "greenhouse/cloud-1/space/hub",
            "local",
            "workload",
            serde_json::json!({ "name": "hub", "role": "server", "application": "lite" }),
        ),
        new(
            "greenhouse/cloud-1/space/hub/app",
            "lite",
            "application",
            serde_json::json!({ "name": "hub", "role": "server", "application": "lite", "admin": "a" }),
        ),
        new(
            "greenhouse/cloud-1/space/hub/app/tenant",
            "lite",
            "tenant",
            serde_json::json!({ "name": "greenhouse", "secret": "t" }),
        ),
        new(
            "greenhouse/cloud-1/space/hub/app/tenant/attachment/gw",
            "lite",
            "attachment",
            serde_json::json!({ "name": "gw" }),
        ),
        new(
            "greenhouse/cloud-1/space/hub/app/tenant/attachment/gw/credential/1",
            "lite",
            "credential",
            serde_json::json!({ "generation": 1, "secret": "k" }),
        ),
        new(
            "greenhouse/edge-1/space/gw/app/export/hub",
            "edgex",
            "export",
            serde_json::json!({ "name": "hub", "target": "server" }),
        ),
        new(
            "greenhouse/network/access",
            "declared",
            "segment",
            serde_json::json!({ "layer": { "access": "nb-iot" }, "endpoints": [] }),
        ),
        new(
            "greenhouse/network/transport/gw-hub/port/gw",
            "declared",
            "port",
            serde_json::json!({ "part": "gw" }),
        ),
    ];
    let after = |steps: &mut Vec<Step>, step: usize, before: &[u32]| {
        steps[step].after = before.iter().copied().map(StepId).collect();
    };
    after(&mut steps, 2, &[0, 1]);
    after(&mut steps, 13, &[3, 11, 12, 15]);
    after(&mut steps, 15, &[1, 2]);
    let mut slice = slice("greenhouse", steps);
    slice.placements = vec![
        PlacementChoice {
            part: "gw".parse().unwrap(),
            infrastructure: "edge-1".parse().unwrap(),
            reason: "tier edge, site north".into(),
            rejected: vec![Candidate {
                infrastructure: "edge-2".parse().unwrap(),
                reason: "site south".into(),
            }],
        },
        PlacementChoice {
            part: "hub".parse().unwrap(),
            infrastructure: "cloud-1".parse().unwrap(),
            reason: "named".into(),
            rejected: Vec::new(),
        },
    ];
    slice.warnings = vec![Warning::Unenforced {
        segment: id("greenhouse/network/transport/gw-hub"),
        objective: "bandwidth guaranteed 2Mbit/s".into(),
    }];
    slice
}

#[test]
fn a_new_slice_shows_as_a_tree_of_its_places() {
    insta::assert_snapshot!(plan(vec![greenhouse()]));
}

#[test]
fn every_sort_of_change_has_its_sign_and_its_reason() {
    let device = |profile: &str| {
        spec("device", serde_json::json!({ "name": "d", "protocol": "mqtt", "profile": profile }))
    };
    let export = || spec("export", serde_json::json!({ "name": "hub", "target": "server" }));
    let app = "s/edge-1/space/gw/app";
    let mut steps = vec![
        step(
            &format!("{app}/device/changed"),
            "lite",
            Change::Update { before: device("a"), after: device("b") },
            Reason::Changed { fields: vec!["/profile".into()] },
        ),
        step(
            &format!("{app}/device/unwanted"),
            "lite",
            Change::Delete { before: device("a") },
            Reason::Unwanted,
        ),
        step(
            &format!("{app}/device/vanished"),
            "lite",
            Change::Create { after: device("a") },
            Reason::Vanished,
        ),
        step(
            &format!("{app}/device/replaced"),
            "lite",
            Change::Delete { before: device("a") },
            Reason::Replaced { because: "the protocol cannot change".into() },
        ),
        step(
            &format!("{app}/device/replaced"),
            "lite",
            Change::Create { after: device("b") },
            Reason::Replaced { because: "the protocol cannot change".into() },
        ),
        step(
            &format!("{app}/export/hub"),
            "lite",
            Change::Update { before: export(), after: export() },
            Reason::MayBeAffected {
                by: vec![id("s/cloud-1/space/hub/app/tenant/attachment/gw/credential/2")],
            },
        ),
        step(
            &format!("{app}/device/adopted"),
            "lite",
            Change::Update { before: device("a"), after: device("a") },
            Reason::Adopted { owner: "nobody".into() },
        ),
    ];
    steps[1].takes_along = vec![id(&format!("{app}/device/unwanted/credential/1"))];
    steps[5].condition = Condition::IfInputsChanged;
    steps[0].basis = Basis::Assumed;
    let mut gone = slice(
        "old",
        vec![step(
            "old/edge-1/space",
            "kubernetes",
            Change::Delete { before: spec("space", serde_json::json!({ "name": "old" })) },
            Reason::Unwanted,
        )],
    );
    gone.document = None;
    gone.steps[0].takes_along = vec![id("old/edge-1/space/gw"), id("old/edge-1/space/gw/app")];
    let mut plan = plan(vec![gone, slice("s", steps)]);
    plan.infrastructures = vec![Arc::new(Infrastructure {
        name: "edge-1".parse().unwrap(),
        spec: InfrastructureSpec::builder().driver("kubernetes".parse().unwrap()).tier(Tier::Edge).build(),
    })];
    plan.removed_infrastructures = vec!["edge-9".parse().unwrap()];
    insta::assert_snapshot!(plan);
}

#[test]
fn a_plan_without_changes_says_how_much_is_as_wanted() {
    let mut same = slice("s", Vec::new());
    same.document_changed = false;
    same.unchanged = 14;
    assert_eq!(plan(vec![same]).to_string(), "No changes: 14 resources are as wanted\n");
}

#[test]
fn what_lives_in_a_deleted_host_counts_as_deleted() {
    let mut space = step(
        "s/edge-1/space",
        "local",
        Change::Delete { before: spec("space", serde_json::json!({ "name": "s" })) },
        Reason::Unwanted,
    );
    space.takes_along = vec![id("s/edge-1/space/gw")];
    assert_eq!(slice("s", vec![space]).summary().to_string(), "0 to create, 0 to change, 2 to delete");
}

/// A gateway with so many devices over MQTT, and half as many over HTTP, one of which has another profile.
fn crowd(devices: usize) -> SlicePlan {
    let app = "s/edge-1/space/gw/app";
    let mut steps = vec![new(
        &format!("{app}/profile/climate"),
        "edgex",
        "profile",
        serde_json::json!({ "name": "climate", "resources": [{ "name": "t", "type": "float" }] }),
    )];
    let device = |name: &str, protocol: &str, profile: &str| {
        let spec = serde_json::json!({ "name": name, "protocol": protocol, "profile": profile });
        new(&format!("{app}/device/{name}"), "edgex", "device", spec)
    };
    for number in 1..=devices {
        let name = format!("bench-{number}");
        steps.push(device(&name, "mqtt", "climate"));
        let secret = serde_json::json!({ "generation": 1, "secret": "s" });
        steps.push(new(&format!("{app}/device/{name}/credential/1"), "edgex", "credential", secret));
        if number % 2 == 0 {
            let profile = if number == 2 { "other" } else { "climate" };
            steps.push(device(&format!("door-{number}"), "http", profile));
        }
    }
    slice("s", steps)
}

#[test]
fn a_thousand_devices_are_a_few_lines() {
    insta::assert_snapshot!(plan(vec![crowd(1_000)]));
}

#[test]
fn a_few_devices_are_shown_one_by_one() {
    let text = plan(vec![crowd(10)]).to_string();
    assert!((1..=10).all(|number| text.contains(&format!("+ device bench-{number} "))), "{text}");
}
