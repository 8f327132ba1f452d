//! Resources and steps in words.

use crate::{
    model::{AccessTechnology, SinkKind},
    plan::{Reason, Step},
    resource::{ExportTarget, KindName, Layer, Location, ResourceId, SegmentSpec, Spec, WorkloadSpec},
};

/// `1 resource`, `2 resources`.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// A number with a comma before every three digits.
pub(super) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What a person calls a resource among those that live in the same host, such as `device bench-1` or `application`.
#[must_use]
pub fn label(id: &ResourceId) -> String {
    match id.kind() {
        KindName::Space | KindName::Tenant => id.kind().to_string(),
        KindName::Application => match id.host() {
            Some(_) => id.kind().to_string(),
            None => id.part().unwrap_or_default().to_owned(),
        },
        KindName::Workload => id.name().to_owned(),
        KindName::Segment => match id.as_str().rsplit('/').nth(1) {
            Some("transport") => format!("transport {}", id.name()),
            _ => id.name().to_owned(),
        },
        kind => format!("{kind} {}", id.name()),
    }
}

/// What a resource is called anywhere in the slice.
fn full_label(id: &ResourceId) -> String {
    let within = match id.kind() {
        KindName::Credential | KindName::Port => id.host().as_ref().map(full_label),
        KindName::Space => Some(id.place().to_owned()),
        _ => match id.location() {
            Location::Network => None,
            _ => id.part().map(str::to_owned),
        },
    };
    match within {
        Some(within) if within != label(id) => format!("{within}/{}", label(id)),
        _ => label(id),
    }
}

/// The first `limit` resources by name, and how many more there are.
pub(super) fn list(ids: &[&ResourceId], limit: usize) -> String {
    let mut text = ids.iter().take(limit).map(|id| full_label(id)).collect::<Vec<_>>().join(", ");
    if ids.len() > limit {
        text.push_str(&format!(" and {} more", ids.len() - limit));
    }
    text
}

/// Why a step is in the plan, with resources by their short names.
pub(super) fn reason(reason: &Reason) -> String {
    match reason {
        Reason::MayBeAffected { by } => {
            let by: Vec<&ResourceId> = by.iter().collect();
            format!("if {} changes it", list(&by, 3))
        }
        Reason::HostReplaced { host } => format!("its host {} is replaced", full_label(host)),
        other => other.to_string(),
    }
}

/// What the resource of a step is, in a few words.
pub(super) fn detail(step: &Step) -> String {
    let what = step.change.after().or_else(|| step.change.before()).map(|spec| spec_in_words(spec, step));
    let mut what = what.unwrap_or_default();
    if !step.takes_along.is_empty() {
        let along = counted(step.takes_along.len(), "other goes", "others go");
        what.push_str(&format!("{}{along} with it", if what.is_empty() { "" } else { ", " }));
    }
    what
}

fn spec_in_words(spec: &Spec, step: &Step) -> String {
    match spec {
        Spec::Space(space) if step.driver.as_str() == "local" => format!("directory {}", space.name),
        Spec::Space(space) => format!("namespace {}", space.name),
        Spec::Segment(segment) => segment_in_words(segment, step.driver.as_str()),
        Spec::Workload(workload) => workload_in_words(workload),
        Spec::Port(port) => {
            let binding = port.binding.as_ref().map(|binding| match &binding.sgi {
                Some(exit) => format!("serves {} through {exit}", binding.dnn),
                None => format!("serves {}", binding.dnn),
            });
            binding.unwrap_or_else(|| format!("joins {}", port.part))
        }
        Spec::Application(application) => match &application.external {
            Some(external) => {
                let at: Vec<String> = external.endpoints.values().map(ToString::to_string).collect();
                format!("{} {} at {}", application.application, application.role, at.join(", "))
            }
            None => format!("{} {}", application.application, application.role),
        },
        Spec::Tenant(tenant) => format!("account {}", tenant.name),
        Spec::Attachment(attachment) => format!("identity and channel of {}", attachment.name),
        Spec::Credential(_) => String::new(),
        Spec::Profile(profile) => counted(profile.resources.len(), "resource", "resources"),
        Spec::Device(device) => format!("{}, profile {}", device.protocol, device.profile),
        Spec::Export(export) => match &export.target {
            ExportTarget::Server => format!("to server {}", export.name),
            ExportTarget::Sink(sink) => {
                let kind = match sink.kind {
                    SinkKind::Mqtt => "MQTT broker",
                    SinkKind::Influxdb => "InfluxDB",
                };
                format!("to {kind} {}, {}", sink.endpoint, sink.target)
            }
        },
    }
}

fn workload_in_words(workload: &WorkloadSpec) -> String {
    if let Some(physical) = &workload.physical {
        return format!("{} at {}", workload.role, physical.address);
    }
    let Some(chart) = &workload.chart else {
        let software = workload.application.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
        return format!("{software}{}", workload.role);
    };
    let version = chart.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    // Twelve characters of a digest tell charts apart; the JSON form has all of it.
    let digest = chart.digest.as_ref().map(|digest| {
        let short: String = digest.chars().take("sha256:".len() + 12).collect();
        format!(" (chart {short}…)")
    });
    format!("release of {}{version}{}", chart.source, digest.unwrap_or_default())
}

fn segment_in_words(segment: &SegmentSpec, driver: &str) -> String {
    let mut parts = Vec::new();
    if let Layer::Access(technology) = segment.layer {
        parts.push(
            match technology {
                AccessTechnology::NbIot => "NB-IoT",
                AccessTechnology::LteM => "LTE-M",
                AccessTechnology::Lte => "LTE",
                AccessTechnology::Nr => "5G NR",
                AccessTechnology::Lorawan => "LoRaWAN",
                AccessTechnology::Wifi => "Wi-Fi",
                AccessTechnology::Ethernet => "Ethernet",
            }
            .to_owned(),
        );
    }
    parts.extend(segment.wanted().into_iter().map(|(objective, value)| format!("{objective} {value}")));
    parts.push(match driver {
        crate::declared::DECLARED => "declared: nothing enforces it".into(),
        driver => format!("by {driver}"),
    });
    parts.join(" · ")
}
