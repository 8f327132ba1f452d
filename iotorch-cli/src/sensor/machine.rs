//! What this machine can say of itself.

use iotorch_core::model::{ProfileResource, ValueType};
use serde_json::{Map, Number, Value};
use sysinfo::{Component, Components, System};

/// Words in the labels of sensors that sit on or beside the processor, on Intel, AMD and ARM machines.
const PROCESSOR: [&str; 6] = ["package", "tctl", "core", "cpu", "soc", "k10temp"];

/// This machine's sensors.
#[derive(Debug)]
pub(crate) struct Machine {
    system: Option<System>,
    components: Option<Components>,
}

impl Machine {
    /// Finds the sensors there are.
    pub(crate) fn new() -> Self {
        Self { system: System::new().ok(), components: Components::new().ok() }
    }

    /// The readings of those resources that this machine knows, by their names.
    pub(crate) fn read(&mut self, resources: &[ProfileResource]) -> Map<String, Value> {
        let readings =
            resources.iter().filter(|resource| resource.access.can_read()).filter_map(|resource| {
                let reading = match resource.name.as_str() {
                    "load" => System::load_average().ok()?.one,
                    "memory" => self.memory(resource.unit.as_deref())?,
                    "temperature" => self.temperature()?,
                    "uptime" => as_number(System::uptime().ok()?),
                    _ => return None,
                };
                Some((resource.name.to_string(), value(reading, resource.value_type)?))
            });
        readings.collect()
    }

    fn memory(&mut self, unit: Option<&str>) -> Option<f64> {
        let system = self.system.as_mut()?;
        system.refresh_memory();
        let (used, all) = (as_number(system.used_memory()), as_number(system.total_memory()));
        match unit {
            Some("By" | "B") => Some(used),
            _ if all == 0.0 => None,
            Some("/") => Some(used / all),
            _ => Some(100.0 * used / all),
        }
    }

    /// The processor's temperature; that of anything else where the processor does not tell.
    fn temperature(&mut self) -> Option<f64> {
        let components = self.components.as_mut()?;
        components.refresh(true);
        let measured = |component: &Component| component.temperature().filter(|degrees| degrees.is_finite());
        let rank = |component: &Component| {
            let label = component.label().to_lowercase();
            PROCESSOR.iter().position(|word| label.contains(word)).unwrap_or(PROCESSOR.len())
        };
        components
            .iter()
            .filter_map(|component| Some((rank(component), measured(component)?)))
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, degrees)| f64::from(degrees))
    }
}

#[allow(clippy::cast_precision_loss, reason = "bytes and seconds of a machine are far below 2^53")]
const fn as_number(count: u64) -> f64 {
    count as f64
}

/// A reading as the profile asks for it: to a thousandth, which is finer than any of these sensors.
fn value(reading: f64, value_type: ValueType) -> Option<Value> {
    match value_type {
        ValueType::Float => Number::from_f64((reading * 1000.0).round() / 1000.0).map(Value::Number),
        #[allow(clippy::cast_possible_truncation, reason = "the reading is rounded, and the cast saturates")]
        ValueType::Integer => Some(Value::from(reading.round() as i64)),
        ValueType::Bool | ValueType::String => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str, value_type: ValueType, unit: Option<&str>) -> ProfileResource {
        let mut resource =
            ProfileResource::builder().name(name.parse().unwrap()).value_type(value_type).build();
        resource.unit = unit.map(str::to_owned);
        resource
    }

    #[test]
    fn this_machine_tells_its_load_and_its_memory_in_the_unit_asked_for() {
        let mut machine = Machine::new();
        let read = machine.read(&[
            resource("load", ValueType::Float, None),
            resource("memory", ValueType::Float, Some("%")),
            resource("humidity", ValueType::Float, None),
        ]);
        assert!(read["load"].as_f64().unwrap() >= 0.0);
        assert!((0.0..=100.0).contains(&read["memory"].as_f64().unwrap()));
        assert!(!read.contains_key("humidity"));
        let read = machine.read(&[resource("memory", ValueType::Integer, Some("By"))]);
        assert!(read["memory"].as_i64().unwrap() > 1_000_000);
        let read = machine.read(&[resource("memory", ValueType::Float, Some("/"))]);
        assert!((0.0..=1.0).contains(&read["memory"].as_f64().unwrap()));
    }

    #[test]
    fn a_reading_that_the_profile_types_as_text_is_left_out() {
        assert!(Machine::new().read(&[resource("load", ValueType::String, None)]).is_empty());
    }
}
