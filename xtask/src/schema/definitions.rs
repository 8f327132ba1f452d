//! The parts that a schema is made of, as the page tells them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::failure::Failure;

/// What stands in front of a definition's name in a reference to it.
const PREFIX: &str = "#/$defs/";

/// How a definition is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// A map with these fields.
    Object,
    /// One of these words.
    Choice,
    /// Written in one of these forms.
    Alternatives,
    /// A text with a grammar.
    Text,
    /// A list of a fixed length.
    Tuple,
}

/// A field of an object; one inside of an unnamed object has the path to it as its name.
#[derive(Debug)]
pub(super) struct Field<'a> {
    pub(super) name: String,
    pub(super) schema: &'a Value,
    pub(super) is_required: bool,
}

/// The named definitions of a schema.
#[derive(Debug)]
pub(super) struct Definitions<'a>(&'a Map<String, Value>);

impl<'a> Definitions<'a> {
    pub(super) fn of(schema: &'a Value) -> Result<Self, Failure> {
        let definitions = schema["$defs"].as_object();
        definitions.map(Self).ok_or_else(|| Failure::new("cannot read the schema: it has no definitions"))
    }

    pub(super) fn get(&self, name: &str) -> Result<&'a Value, Failure> {
        self.0.get(name).ok_or_else(|| {
            Failure::new(format!("cannot read the schema: it refers to \"{name}\", which it does not define"))
        })
    }

    pub(super) fn sort(&self, name: &str) -> Result<Sort, Failure> {
        let definition = self.get(name)?;
        let has = |keyword: &str| definition.get(keyword).is_some();
        match definition["type"].as_str() {
            Some("object") if has("properties") => Ok(Sort::Object),
            Some("string") if has("pattern") => Ok(Sort::Text),
            Some("array") if has("prefixItems") => Ok(Sort::Tuple),
            None if has("oneOf") => Ok(Sort::Choice),
            None if has("anyOf") => Ok(Sort::Alternatives),
            _ => Err(Failure::new(format!(
                "cannot tell the type \"{name}\": its schema has a form of its own"
            ))
            .with_help("teach it to xtask/src/schema/definitions.rs")),
        }
    }

    /// The names that can be reached from a schema, each at once followed by what it leads to.
    pub(super) fn reached_from(&self, schema: &'a Value) -> Result<Vec<&'a str>, Failure> {
        let mut reached = Vec::new();
        self.reach(schema, &mut reached)?;
        Ok(reached)
    }

    fn reach(&self, schema: &'a Value, reached: &mut Vec<&'a str>) -> Result<(), Failure> {
        for name in references(schema) {
            if !reached.contains(&name) {
                reached.push(name);
                self.reach(self.get(name)?, reached)?;
            }
        }
        Ok(())
    }

    /// Where each definition is used: the owner's name and the field's, or no field where the owner is no object.
    pub(super) fn uses(&self) -> BTreeMap<&'a str, Vec<(&'a str, String)>> {
        let mut uses: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (owner, definition) in self.0 {
            let fields = fields(definition);
            let of_fields = fields.iter().flat_map(|field| {
                references(field.schema).into_iter().map(|name| (name, field.name.clone()))
            });
            let of_others = references(definition).into_iter().map(|name| (name, String::new()));
            let all: Vec<_> = if fields.is_empty() { of_others.collect() } else { of_fields.collect() };
            for (name, field) in all {
                uses.entry(name).or_default().push((owner.as_str(), field));
            }
        }
        uses
    }
}

/// The name in a reference to a definition.
pub(super) fn referred(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix(PREFIX)
}

/// The fields of an object: those that must be there first, each group by name.
pub(super) fn fields(object: &Value) -> Vec<Field<'_>> {
    let mut all = Vec::new();
    collect(object, "", true, &mut all);
    all.sort_by(|a, b| b.is_required.cmp(&a.is_required).then_with(|| a.name.cmp(&b.name)));
    all
}

fn collect<'a>(object: &'a Value, path: &str, is_required: bool, all: &mut Vec<Field<'a>>) {
    let required = object["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (name, schema) in object["properties"].as_object().into_iter().flatten() {
        let is_required = is_required && required.iter().any(|other| other == name);
        let name = format!("{path}{name}");
        if schema.get("properties").is_some() {
            collect(schema, &format!("{name}."), is_required, all);
        } else {
            all.push(Field { name, schema, is_required });
        }
    }
}

/// The definitions that a schema refers to, in its order.
fn references(schema: &Value) -> Vec<&str> {
    match schema {
        Value::Object(parts) => {
            referred(schema).into_iter().chain(parts.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_must_be_there_come_first_and_those_of_unnamed_objects_by_their_path() {
        let object = json!({
            "required": ["spec", "metadata"],
            "properties": {
                "metadata": { "required": ["name"], "properties": { "name": {}, "labels": {} } },
                "spec": {},
                "comment": { "properties": { "by": {} }, "required": ["by"] },
            },
        });
        let fields = fields(&object);
        let told: Vec<_> = fields.iter().map(|field| (field.name.as_str(), field.is_required)).collect();
        assert_eq!(
            told,
            [("metadata.name", true), ("spec", true), ("comment.by", false), ("metadata.labels", false)]
        );
    }

    #[test]
    fn a_definition_is_reached_once_however_many_lead_to_it() {
        let refer = |name: &str| json!({ "$ref": format!("{PREFIX}{name}") });
        let schema = json!({
            "items": [refer("Gateway"), refer("Name")],
            "$defs": {
                "Gateway": { "properties": { "name": refer("Name"), "next": refer("Gateway") } },
                "Name": {},
            },
        });
        let definitions = Definitions::of(&schema).unwrap();
        assert_eq!(definitions.reached_from(&schema["items"]).unwrap(), ["Gateway", "Name"]);
        let uses = definitions.uses();
        assert_eq!(uses["Name"], [("Gateway", "name".to_owned())]);
    }

    #[test]
    fn a_type_of_a_form_that_is_not_known_is_refused_and_not_left_out() {
        let schema = json!({ "$defs": { "Odd": { "not": {} } } });
        let failure = Definitions::of(&schema).unwrap().sort("Odd").unwrap_err();
        assert_eq!(failure.to_string(), "cannot tell the type \"Odd\": its schema has a form of its own");
    }
}
