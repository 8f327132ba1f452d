//! One slice in full.

use std::collections::BTreeMap;

use iotorch_core::{
    orchestrator::RunSummary,
    plan::label,
    resource::{Endpoint, KindName, Location, Outputs, ResourceId, Spec},
    status::{Condition, ResourceStatus, SliceStatus},
};
use jiff::{Timestamp, tz::TimeZone};

use super::{refusals, runs::runs, time};
use crate::{bridge::Bridge, management::Refusal, screen::Ink};

/// What `describe` shows.
#[derive(Debug)]
pub(crate) struct Description<'a> {
    /// How the slice is.
    pub(crate) status: &'a SliceStatus,
    /// The last readings, as a table, and why there are no more.
    pub(crate) readings: &'a str,
    /// What carries the readings of its EdgeX gateways.
    pub(crate) bridges: &'a [Bridge],
    /// What its gateways and servers have refused.
    pub(crate) refused: &'a [Refusal],
    /// The last runs, newest first.
    pub(crate) runs: &'a [RunSummary],
}

/// The slice as a tree of its resources, then its readings and its runs.
pub(crate) fn describe(shown: &Description<'_>, now: Timestamp, zone: &TimeZone, ink: Ink) -> String {
    let Description { status, readings, bridges, refused, runs: last } = shown;
    let whole = in_full(&status.condition, now, zone);
    let mut text = format!("{}  {}\n", ink.bold(&status.slice), mark(&status.condition, &whole, ink));
    if let Some(then) = status.last_change {
        text.push_str(&format!("last change {}\n", time::ago(now, then)));
    }
    if let Some(run) = status.open_run {
        text.push_str(&format!("run {run} is open: iotorch resume {run}\n"));
    }
    let rows = rows(&status.resources, now, zone);
    let width = rows.iter().map(|row| row.depth * 2 + row.label.chars().count()).max().unwrap_or(0);
    let states = rows.iter().map(|row| row.state.chars().count()).max().unwrap_or(0).min(STATE_COLUMN);
    let mut place = "";
    for row in &rows {
        if row.place != place {
            place = row.place;
            text.push_str(&format!("\n{}\n", ink.bold(heading(place))));
        }
        let label = format!("{:indent$}{}", "", row.label, indent = row.depth * 2);
        let state = format!("{:<states$}", row.state);
        let line = format!("  {label:<width$}  {}  {}", mark(row.condition, &state, ink), row.facts);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str(&format!("\n{}\n{readings}\n", ink.bold("Readings")));
    if !bridges.is_empty() {
        text.push_str(&format!("\n{}\n{}\n", ink.bold("Bridges"), super::bridges::bridges(bridges)));
    }
    if !refused.is_empty() {
        text.push_str(&format!("\n{}\n{}\n", ink.bold("Refused"), refusals::refusals(refused)));
    }
    text.push_str(&format!("\n{}\n{}", ink.bold("Runs"), runs(last, now)));
    text
}

/// The widest that the column of states gets.
const STATE_COLUMN: usize = 40;

struct Row<'a> {
    place: &'a str,
    depth: usize,
    label: String,
    state: String,
    condition: &'a Condition,
    facts: String,
}

/// The resources as a tree: hosts before what lives in them, in each host by kind and name.
fn rows<'a>(resources: &'a [ResourceStatus], now: Timestamp, zone: &TimeZone) -> Vec<Row<'a>> {
    type Sorted<'a> = BTreeMap<(KindName, &'a ResourceId), &'a ResourceStatus>;
    let mut below: BTreeMap<Option<ResourceId>, Sorted<'a>> = BTreeMap::new();
    for resource in resources {
        let known = |id: &ResourceId| resources.iter().any(|other| other.id == *id);
        let host = resource.id.hosts().find(known);
        below.entry(host).or_default().insert((resource.id.kind(), &resource.id), resource);
    }
    let mut roots: Vec<&ResourceStatus> =
        below.get(&None).into_iter().flat_map(BTreeMap::values).copied().collect();
    roots.sort_by_key(|root| (root.id.location() == Location::Network, root.id.place().to_owned()));
    let mut rows = Vec::new();
    let mut stack: Vec<(usize, &ResourceStatus)> = roots.into_iter().rev().map(|root| (0, root)).collect();
    while let Some((depth, resource)) = stack.pop() {
        rows.push(Row {
            place: resource.id.place(),
            depth,
            label: label(&resource.id),
            state: in_full(&resource.condition, now, zone),
            condition: &resource.condition,
            facts: facts(resource),
        });
        let children = below.get(&Some(resource.id.clone())).into_iter().flat_map(BTreeMap::values);
        stack.extend(children.rev().map(|child| (depth + 1, *child)));
    }
    rows
}

fn heading(place: &str) -> &str {
    match place {
        "external" => "external applications",
        "physical" => "physical functions",
        place => place,
    }
}

fn in_full(condition: &Condition, now: Timestamp, zone: &TimeZone) -> String {
    match condition {
        Condition::Unknown { since, reason } => {
            format!("Unknown since {}: {reason}", time::clock(now, *since, zone))
        }
        other => other.to_string(),
    }
}

fn mark(condition: &Condition, text: &str, ink: Ink) -> String {
    match condition {
        Condition::Ready => ink.green(text),
        Condition::Failed { .. } => ink.red(text),
        _ => ink.yellow(text),
    }
}

/// What a resource tells, in a few words.
fn facts(resource: &ResourceStatus) -> String {
    let told = resource.outputs.as_ref().map(told).unwrap_or_default();
    match &resource.spec {
        Some(Spec::Device(device)) => format!("{} {told}", device.protocol).trim_end().to_owned(),
        _ => told,
    }
}

fn told(outputs: &Outputs) -> String {
    match outputs {
        Outputs::Space(space) => space.namespace.clone(),
        Outputs::Segment(segment) => {
            let assured = segment.assurances.iter().map(|(objective, how)| format!("{objective} {how}"));
            assured.collect::<Vec<_>>().join(", ")
        }
        Outputs::Workload(workload) => workload.release.clone(),
        Outputs::Port(port) => port.address.map(|address| address.to_string()).unwrap_or_default(),
        Outputs::Application(application) => {
            format!("{}  {}", application.version, endpoints(&application.endpoints)).trim().to_owned()
        }
        Outputs::Tenant(tenant) => tenant.id.clone(),
        Outputs::Attachment(attachment) => format!("channel {}", attachment.channel),
        Outputs::Credential(credential) => format!("user {}", credential.user_name),
        Outputs::Device(device) => {
            let at = device.endpoint.as_ref().map(ToString::to_string);
            at.into_iter().chain(device.path.clone()).collect::<Vec<_>>().join(" ")
        }
        Outputs::Export(export) => export.destination.clone(),
        _ => String::new(),
    }
}

fn endpoints(endpoints: &BTreeMap<String, Endpoint>) -> String {
    endpoints.iter().map(|(name, endpoint)| format!("{name} {endpoint}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use iotorch_core::{
        plan::Summary,
        resource::{ApplicationOutputs, DeviceOutputs},
        store::{RunId, RunState},
    };

    use super::{
        super::status::tests::{now, resource, slice},
        *,
    };
    use crate::bridge::tests::bridge;

    #[test]
    fn a_slice_is_a_tree_of_what_it_consists_of() {
        let mut status =
            slice("greenhouse", Condition::Degraded { reason: "device bench-2 rejected".into() });
        let endpoints = BTreeMap::from([
            ("management".to_owned(), Endpoint::net("127.0.0.1", 4100)),
            ("mqtt".to_owned(), Endpoint::net("127.0.0.1", 4101)),
        ]);
        let admin = "greenhouse/gw/admin".parse().unwrap();
        let mut app = resource("greenhouse/edge-1/space/gw/app", Condition::Ready);
        app.outputs = Some(ApplicationOutputs { version: "lite 0.1.0".into(), endpoints, admin }.into());
        let mut device = resource("greenhouse/edge-1/space/gw/app/device/bench-1", Condition::Ready);
        device.outputs = Some(
            DeviceOutputs {
                name: "bench-1".into(),
                endpoint: Some(Endpoint::net("127.0.0.1", 4101)),
                path: Some("devices/bench-1".into()),
                commands: None,
            }
            .into(),
        );
        status.resources = vec![
            resource("greenhouse/edge-1/space", Condition::Ready),
            resource("greenhouse/edge-1/space/gw", Condition::Ready),
            app,
            device,
            resource(
                "greenhouse/edge-1/space/gw/app/device/bench-2",
                Condition::Failed { reason: "rejected: unit K".into() },
            ),
            resource("greenhouse/edge-1/space/gw/app/profile/climate", Condition::Ready),
            resource("greenhouse/network/access", Condition::Ready),
        ];
        status.open_run = Some(RunId(8));
        let run = RunSummary {
            id: RunId(8),
            slice: "greenhouse".parse().unwrap(),
            state: RunState::Paused,
            planned: Summary { create: 2, ..Summary::default() },
            started_at: now(),
            since: now(),
            cause: None,
            residue: Vec::new(),
        };
        let bridges = [bridge()];
        let shown = Description {
            status: &status,
            readings: "none yet",
            bridges: &bridges,
            refused: &[],
            runs: &[run],
        };
        insta::assert_snapshot!(describe(&shown, now(), &TimeZone::UTC, Ink::Plain));
    }
}
