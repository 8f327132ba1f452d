//! How slices are, one line each.

use iotorch_core::{
    resource::KindName,
    status::{Condition, SliceStatus},
};
use jiff::{Timestamp, tz::TimeZone};

use super::{table::table, time};

/// The longest reason that a table shows; `describe` has all of it.
const LONGEST_REASON: usize = 60;

/// The slices as a table, in the order given.
pub(crate) fn statuses(all: &[SliceStatus], now: Timestamp, zone: &TimeZone) -> String {
    if all.is_empty() {
        return "no slices".into();
    }
    table(
        ["SLICE", "STATUS", "GATEWAYS", "SERVERS", "DEVICES", "LAST CHANGE"],
        all.iter().map(|slice| {
            [
                slice.slice.to_string(),
                condition(&slice.condition, now, zone),
                share(slice.gateways),
                share(slice.servers),
                devices(slice),
                slice.last_change.map_or_else(|| "-".into(), |then| time::ago(now, then)),
            ]
        }),
    )
}

/// A condition in the width of a table.
pub(crate) fn condition(condition: &Condition, now: Timestamp, zone: &TimeZone) -> String {
    match condition {
        Condition::Unknown { since, reason } => {
            format!("Unknown since {} ({})", time::clock(now, *since, zone), shortened(reason))
        }
        other => shortened(&other.to_string()),
    }
}

fn share((ready, all): (usize, usize)) -> String {
    format!("{ready}/{all}")
}

/// How many devices are ready; `?` when none can be asked, which is not the same as 0.
fn devices(slice: &SliceStatus) -> String {
    let mut devices =
        slice.resources.iter().filter(|resource| resource.id.kind() == KindName::Device).peekable();
    let unknown = devices.peek().is_some()
        && devices.all(|device| matches!(device.condition, Condition::Unknown { .. }));
    if unknown { format!("?/{}", slice.devices.1) } else { share(slice.devices) }
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= LONGEST_REASON {
        return line.into();
    }
    line.chars().take(LONGEST_REASON - 1).chain(['…']).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use iotorch_core::{resource::ResourceId, status::ResourceStatus, store::RunId};

    use super::*;

    pub(crate) fn now() -> Timestamp {
        "2024-06-01T14:30:00Z".parse().unwrap()
    }

    pub(crate) fn resource(id: &str, condition: Condition) -> ResourceStatus {
        let id: ResourceId = id.parse().unwrap();
        ResourceStatus {
            id,
            condition,
            outputs: None,
            spec: None,
            changed_at: None,
            run: Some(RunId(7)),
            cause: None,
        }
    }

    pub(crate) fn slice(name: &str, condition: Condition) -> SliceStatus {
        SliceStatus {
            slice: name.parse().unwrap(),
            condition,
            gateways: (1, 1),
            servers: (1, 1),
            devices: (200, 200),
            last_change: Some("2024-06-01T12:29:00Z".parse().unwrap()),
            open_run: None,
            resources: Vec::new(),
        }
    }

    #[test]
    fn each_slice_is_one_line_that_says_why() {
        let unknown =
            || Condition::Unknown { since: "2024-06-01T14:02:00Z".parse().unwrap(), reason: "edge-2".into() };
        let mut carpark = slice("carpark", unknown());
        carpark.gateways = (0, 1);
        carpark.devices = (0, 40);
        carpark.resources = vec![resource("carpark/edge-2/space/gw/app/device/d1", unknown())];
        let mut orchard = slice("orchard", Condition::Degraded { reason: "3 devices rejected".into() });
        orchard.devices = (37, 40);
        let mut fresh = slice(
            "fresh",
            Condition::Failed { reason: format!("the chart {} cannot be pulled", "x".repeat(80)) },
        );
        fresh.last_change = None;
        let all = [slice("greenhouse", Condition::Ready), carpark, orchard, fresh];
        insta::assert_snapshot!(statuses(&all, now(), &TimeZone::UTC));
    }
}
