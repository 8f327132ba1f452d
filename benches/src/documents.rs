//! The documents that benchmarks plan and apply.

use iotorch_core::model::{Infrastructure, Slice};
use serde_json::{Value, json};

use crate::Result;

/// The one place of all benchmarks.
const PLACE: &str = "here";

/// The infrastructure that every slice is on: `local`.
///
/// # Errors
/// None while the document below fits the model.
pub fn infrastructure() -> Result<Infrastructure> {
    Ok(serde_json::from_value(json!({ "name": PLACE, "spec": { "driver": "local", "tier": "edge" } }))?)
}

/// A slice with a gateway and a server, both `lite` and on the same place, and `devices` devices of one profile, each with a
/// credential of its own: ten resources and two for each device.
///
/// # Errors
/// When `name` is not the name of a slice.
pub fn slice(name: &str, devices: usize) -> Result<Slice> {
    let device =
        |number| json!({ "name": format!("device-{number}"), "gateway": "gw", "profile": "climate" });
    let devices: Vec<Value> = (1..=devices).map(device).collect();
    Ok(serde_json::from_value(json!({
        "name": name,
        "spec": {
            "service": { "type": "miot", "devices": devices.len(), "latency": "250ms" },
            "gateways": [{
                "name": "gw",
                "placement": { "infrastructure": PLACE },
                "servers": [{ "name": "hub", "latency": "100ms" }],
            }],
            "servers": [{ "name": "hub", "placement": { "infrastructure": PLACE } }],
            "profiles": [{ "name": "climate", "resources": [
                { "name": "temperature", "type": "float", "unit": "Cel", "range": [-40, 85] },
                { "name": "vent", "type": "bool", "access": "write" },
            ] }],
            "devices": devices,
        },
    }))?)
}

/// `count` slices of two devices, named by their numbers.
///
/// # Errors
/// As [`slice()`].
pub fn slices(count: usize) -> Result<Vec<Slice>> {
    (0..count).map(|number| slice(&format!("slice-{number:05}"), 2)).collect()
}
