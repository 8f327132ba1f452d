//! One schema for every kind of document, for files and folders that hold more than one.

use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// The schema that a document fits if it fits that of its kind.
///
/// Everything lies in this one schema: an editor need not find a second file, and `$id`s need not lead anywhere.
pub(super) fn combine(kinds: &[Value]) -> Result<Value, Failure> {
    let mut definitions = Map::new();
    let mut alternatives = Vec::with_capacity(kinds.len());
    for kind in kinds {
        let mut alternative = kind.as_object().cloned().unwrap_or_default();
        alternative.remove("$schema");
        alternative.remove("$id");
        if let Some(Value::Object(own)) = alternative.remove("$defs") {
            add(&mut definitions, own)?;
        }
        alternatives.push(Value::Object(alternative));
    }
    Ok(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "iotorch document",
        "description": "A document of any kind that iotorch reads.",
        "oneOf": alternatives,
        "$defs": definitions,
    }))
}

/// Adds definitions; kinds may share one of a name, but not mean different things by it.
fn add(definitions: &mut Map<String, Value>, own: Map<String, Value>) -> Result<(), Failure> {
    for (name, definition) in own {
        if definitions.get(&name).is_some_and(|known| *known != definition) {
            return Err(Failure::new(format!(
                "cannot combine the schemas: they define \"{name}\" in different ways"
            )));
        }
        definitions.insert(name, definition);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str, tier: &str) -> Value {
        json!({ "$schema": "s", "$id": name, "title": name, "$defs": { "Tier": { "const": tier } } })
    }

    #[test]
    fn kinds_become_alternatives_that_share_their_definitions() {
        let combined = combine(&[kind("Slice", "edge"), kind("Infrastructure", "edge")]).unwrap();
        assert_eq!(combined["oneOf"], json!([{ "title": "Slice" }, { "title": "Infrastructure" }]));
        assert_eq!(combined["$defs"], json!({ "Tier": { "const": "edge" } }));
    }

    #[test]
    fn a_name_with_two_meanings_is_refused() {
        let failure = combine(&[kind("Slice", "edge"), kind("Infrastructure", "cloud")]).unwrap_err();
        assert_eq!(failure.to_string(), "cannot combine the schemas: they define \"Tier\" in different ways");
    }
}
