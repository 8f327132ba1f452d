//! Device profiles.

use iotorch_core::{
    Issue,
    model::{Access, ProfileResource, Range, ResourceName, ValueType},
    resource::ProfileSpec,
};
use serde_json::Number;

use super::device::fault_of_name;
use crate::client::object::{ProfileObject, Properties, ResourceObject};

/// What EdgeX calls the values of a resource.
const fn type_of(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Float => "Float64",
        ValueType::Integer => "Int64",
        ValueType::Bool => "Bool",
        ValueType::String => "String",
    }
}

fn type_from(name: &str) -> ValueType {
    match name.to_ascii_lowercase().as_str() {
        "float32" | "float64" => ValueType::Float,
        "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32" | "uint64" => ValueType::Integer,
        "bool" => ValueType::Bool,
        _ => ValueType::String,
    }
}

const fn access_of(access: Access) -> &'static str {
    match access {
        Access::Read => "R",
        Access::Write => "W",
        Access::ReadWrite => "RW",
    }
}

fn access_from(name: &str) -> Access {
    match (name.contains('R'), name.contains('W')) {
        (true, true) => Access::ReadWrite,
        (false, true) => Access::Write,
        _ => Access::Read,
    }
}

/// A bound: without a fraction where it has none, as a resource of whole numbers must have it.
fn bound_of(value: f64) -> Option<Number> {
    let whole = value as i64;
    // Beyond 2^53 not every whole number is a float.
    if whole as f64 == value && whole.unsigned_abs() < 1 << 53 {
        Some(whole.into())
    } else {
        Number::from_f64(value)
    }
}

/// What is wrong with a profile.
pub(crate) fn check(profile: &ProfileSpec) -> Vec<Issue> {
    let mut issues = Vec::new();
    issues.extend(fault_of_name(&profile.name).map(|fault| Issue::new("/name", fault)));
    for (at, resource) in profile.resources.iter().enumerate() {
        let earlier = &profile.resources[..at];
        if earlier.iter().any(|other| other.name == resource.name) {
            let message = format!("resource \"{}\" is there twice", resource.name);
            issues.push(Issue::new(format!("/resources/{at}/name"), message));
        }
        let Some(Range(low, high)) = resource.range else { continue };
        let wrong = if !low.is_finite() || !high.is_finite() {
            "a range has two numbers"
        } else if low > high {
            "the lowest value of a range is not above the highest"
        } else if !matches!(resource.value_type, ValueType::Float | ValueType::Integer) {
            "only numbers have a range"
        } else if resource.value_type == ValueType::Integer && (low.fract() != 0.0 || high.fract() != 0.0) {
            "whole numbers have a range of whole numbers"
        } else {
            continue;
        };
        issues.push(Issue::new(format!("/resources/{at}/range"), wrong));
    }
    issues
}

/// A profile as EdgeX has it, with the labels that it is to have.
pub(crate) fn object_of(profile: &ProfileSpec, labels: Vec<String>) -> ProfileObject {
    let resource = |resource: &ProfileResource| ResourceObject {
        name: resource.name.to_string(),
        is_hidden: false,
        properties: Properties {
            value_type: type_of(resource.value_type).to_owned(),
            read_write: access_of(resource.access).to_owned(),
            units: resource.unit.clone().unwrap_or_default(),
            minimum: resource.range.and_then(|range| bound_of(range.0)),
            maximum: resource.range.and_then(|range| bound_of(range.1)),
            ..Properties::default()
        },
        ..ResourceObject::default()
    };
    ProfileObject {
        name: profile.name.clone(),
        labels,
        device_resources: profile.resources.iter().map(resource).collect(),
        ..ProfileObject::default()
    }
}

/// What a profile is like in the words of iotorch; `None` for one that it has no words for.
pub(crate) fn spec_of(object: &ProfileObject) -> Option<ProfileSpec> {
    let resource = |resource: &ResourceObject| {
        let Properties { value_type, read_write, units, minimum, maximum, .. } = &resource.properties;
        let bound = |bound: &Option<Number>| bound.as_ref().and_then(Number::as_f64);
        let range = match (bound(minimum), bound(maximum)) {
            (None, None) => None,
            (low, high) => Some(Range(low.unwrap_or(f64::MIN), high.unwrap_or(f64::MAX))),
        };
        Some(ProfileResource {
            name: ResourceName::new(&resource.name).ok()?,
            value_type: type_from(value_type),
            unit: Some(units.clone()).filter(|unit| !unit.is_empty()),
            range,
            access: access_from(read_write),
        })
    };
    let resources = object.device_resources.iter().map(resource).collect::<Option<_>>()?;
    Some(ProfileSpec { name: object.name.clone(), resources })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn profile(resources: &str) -> ProfileSpec {
        ProfileSpec { name: "climate".to_owned(), resources: serde_json::from_str(resources).unwrap() }
    }

    #[test]
    fn a_profile_as_edgex_has_it() {
        let climate = profile(
            r#"[
                { "name": "temperature", "type": "float", "unit": "Cel", "range": [-40, 85.5] },
                { "name": "level", "type": "integer", "range": [0, 100] },
                { "name": "vent", "type": "bool", "access": "write" },
                { "name": "note", "type": "string", "access": "readwrite" }
            ]"#,
        );
        let object = object_of(&climate, vec!["bench=1".to_owned()]);
        insta::assert_yaml_snapshot!(object);
        assert_eq!(spec_of(&object), Some(climate));
    }

    #[test]
    fn what_edgex_would_refuse_a_whole_array_for_is_found_before() {
        let wrong = profile(
            r#"[
                { "name": "a", "type": "float", "range": [2, 1] },
                { "name": "a", "type": "bool" },
                { "name": "b", "type": "integer", "range": [0, 1.5] },
                { "name": "c", "type": "string", "range": [0, 1] }
            ]"#,
        );
        insta::assert_yaml_snapshot!(check(&ProfileSpec { name: "a/b".to_owned(), ..wrong }));
    }

    proptest! {
        #[test]
        fn a_range_is_read_as_it_was_written(low in any::<f64>(), high in any::<f64>()) {
            prop_assume!(low.is_finite() && high.is_finite());
            let mut spec = profile(r#"[{ "name": "a", "type": "float" }]"#);
            spec.resources[0].range = Some(Range(low, high));
            let text = serde_json::to_string(&object_of(&spec, Vec::new())).unwrap();
            prop_assert_eq!(spec_of(&serde_json::from_str(&text).unwrap()), Some(spec));
        }
    }
}
