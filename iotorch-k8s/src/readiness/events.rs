//! What is told of an object in Events, which say why where a status does not.

use serde_json::Value;

use super::{
    contents::Contents,
    kinds::Kind,
    object::{Object, text},
};

/// What was told of an object, the oldest first.
pub(super) struct Events<'a>(Vec<&'a Value>);

impl<'a> Events<'a> {
    pub(super) fn about(object: &Object, contents: &'a Contents) -> Self {
        let uid = object.metadata().uid.as_deref();
        let events = contents.all(Kind::Event).map(Object::fields);
        let is_about = |event: &&Value| uid.is_some() && event["involvedObject"]["uid"].as_str() == uid;
        let mut events: Vec<_> = events.filter(is_about).collect();
        // Times in RFC 3339 and UTC, which are ordered as texts are; an event has the one or the other.
        events.sort_by_key(|event| text(&event["lastTimestamp"]).max(text(&event["eventTime"])));
        Self(events)
    }

    /// The newest with this reason.
    pub(super) fn newest(&self, reason: &str) -> Option<&'a str> {
        self.last(|event| text(&event["reason"]) == reason)
    }

    /// The newest warning.
    pub(super) fn warning(&self) -> Option<&'a str> {
        self.last(|event| text(&event["type"]) == "Warning")
    }

    /// Why a volume cannot be mounted, if that was told last.
    pub(super) fn unmounted(&self) -> Option<&'a str> {
        let last = self.0.iter().rfind(|event| text(&event["type"]) == "Warning")?;
        (text(&last["reason"]) == "FailedMount").then(|| text(&last["message"]).trim())
    }

    /// Why the last try of a controller to make a pod failed.
    pub(super) fn failed_create(&self) -> Option<&'a str> {
        let tries = ["FailedCreate", "SuccessfulCreate"];
        let last = self.0.iter().rfind(|event| tries.contains(&text(&event["reason"])))?;
        (text(&last["reason"]) == "FailedCreate").then(|| text(&last["message"]))
    }

    /// Why the last try to pull an image failed.
    pub(super) fn pull(&self) -> Option<&'a str> {
        let is_it = |event: &Value| {
            text(&event["reason"]) == "Failed" && text(&event["message"]).starts_with("Failed to pull")
        };
        let told = self.last(is_it)?;
        Some(told.split_once("\": ").map_or(told, |(_, why)| why))
    }

    /// What the newest probe said that failed.
    pub(super) fn unhealthy(&self, container: &str) -> Option<&'a str> {
        self.last(|event| is_unhealthy(event, container))
    }

    /// What the probe said after which the kubelet stopped a container.
    pub(super) fn failed_probe(&self, container: &str) -> Option<&'a str> {
        let stop = self.last(|event| {
            text(&event["reason"]) == "Killing" && text(&event["message"]).starts_with("Container ")
        })?;
        // "Container gw failed liveness probe, will be restarted"
        let kind = stop.strip_prefix(&format!("Container {container} failed "))?.split(' ').next()?;
        self.last(|event| {
            is_unhealthy(event, container) && text(&event["message"]).to_lowercase().starts_with(kind)
        })
    }

    fn last(&self, is_it: impl Fn(&Value) -> bool) -> Option<&'a str> {
        self.0.iter().rfind(|event| is_it(event)).map(|event| text(&event["message"]).trim())
    }
}

fn is_unhealthy(event: &Value, container: &str) -> bool {
    let path = text(&event["involvedObject"]["fieldPath"]);
    let is_its = path.is_empty() || path.ends_with(&format!("{{{container}}}"));
    is_its && ["Unhealthy", "ProbeWarning"].contains(&text(&event["reason"]))
}
