//! The documents that benchmarks plan and apply.

use iotorch_core::model::{Capacity, Infrastructure, Slice};
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

/// Has both workloads of every slice need a part of what `place` then has, which is enough for all of them.
///
/// # Errors
/// None while the quantities below fit the model.
pub fn demand(slices: &mut [Slice], place: &mut Infrastructure) -> Result<()> {
    place.spec.capacity = Some(serde_json::from_value(json!({ "cpu": "1000cpu", "memory": "1000GiB" }))?);
    let needs: Capacity = serde_json::from_value(json!({ "cpu": "10mcpu", "memory": "10MiB" }))?;
    for spec in slices.iter_mut().map(|slice| &mut slice.spec) {
        let gateways = spec.gateways.iter_mut().map(|gateway| &mut gateway.placement);
        let servers = spec.servers.iter_mut().map(|server| &mut server.placement);
        gateways.chain(servers).for_each(|placement| placement.needs = needs);
    }
    Ok(())
}

/// `count` slices of two devices, named by their numbers.
///
/// # Errors
/// As [`slice()`].
pub fn slices(count: usize) -> Result<Vec<Slice>> {
    (0..count).map(|number| slice(&format!("slice-{number:05}"), 2)).collect()
}
