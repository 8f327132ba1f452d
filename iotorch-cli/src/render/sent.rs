//! What became of messages of a device.

use iotorch_core::model::{ProfileResource, Range};

use super::time;
use crate::{
    commands::send::{Said, Sent},
    device::{Device, Software},
};

/// One line for a message, and one for each reason against it; with its number if it is one of many.
pub(crate) fn sent(sent: &Sent, device: &Device, is_one_of_many: bool) -> String {
    let number = if is_one_of_many { format!("{}  ", sent.message) } else { String::new() };
    let took = time::short(std::time::Duration::from_secs_f64(sent.seconds));
    let gateway = format!("gateway \"{}\"", device.gateway);
    let protocol = device.protocol;
    let first = match (sent.answer, sent.accepted) {
        (Said::Sent, _) => format!("sent over {protocol}; at QoS 0 nothing more is known"),
        (Said::Acknowledged, _) => {
            let known = match device.software {
                Software::Lite => "",
                Software::Edgex => "; EdgeX does not say whether it takes it",
            };
            format!("acknowledged by {gateway} over {protocol} in {took}{known}")
        }
        (Said::Accepted, _) => format!("accepted by {gateway} over {protocol} in {took}"),
        (Said::Rejected, Some(0) | None) => format!("rejected by {gateway} over {protocol}"),
        (Said::Rejected, Some(accepted)) => {
            format!("accepted in part by {gateway} over {protocol}: {accepted}; rejected:")
        }
    };
    let reasons = sent.rejected.iter().map(|reason| format!("\n  {reason}"));
    format!("{number}{first}{}", reasons.collect::<String>())
}

/// What a device can measure, in a sentence.
pub(crate) fn profile(device: &Device) -> String {
    let measured: Vec<String> =
        device.resources.iter().filter(|known| known.access.can_read()).map(resource).collect();
    match measured.is_empty() {
        true => format!("device \"{}\" measures nothing", device.name),
        false => format!("device \"{}\" measures: {}", device.name, measured.join(", ")),
    }
}

/// A resource with its type, unit and range.
pub(crate) fn resource(resource: &ProfileResource) -> String {
    let kind = format!("{:?}", resource.value_type).to_lowercase();
    let unit = resource.unit.as_ref().map(|unit| format!(", {unit}")).unwrap_or_default();
    let range = resource.range.map(|Range(low, high)| format!(", {low} to {high}")).unwrap_or_default();
    format!("{} ({kind}{unit}{range})", resource.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    fn each_message_says_what_was_made_of_it() {
        let of = |answer, accepted, rejected: &[&str]| Sent {
            message: 1,
            answer,
            accepted,
            rejected: rejected.iter().map(ToString::to_string).collect(),
            seconds: 0.0125,
        };
        let device = device::tests::bench();
        let why = "temperature: 900 is above 85";
        let mut told = vec![
            sent(&of(Said::Sent, None, &[]), &device, false),
            sent(&of(Said::Acknowledged, None, &[]), &device, false),
            sent(&of(Said::Accepted, None, &[]), &device, true),
            sent(&of(Said::Rejected, Some(0), &[why]), &device, false),
            sent(&of(Said::Rejected, Some(1), &[why]), &device, true),
        ];
        told.push(profile(&device));
        let edgex = device::Device { software: Software::Edgex, ..device };
        told.push(sent(&of(Said::Acknowledged, None, &[]), &edgex, false));
        insta::assert_snapshot!(told.join("\n"));
    }
}
