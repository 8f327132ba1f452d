//! The JSON Schemas of the documents (draft 2020-12), for editors and for the reader itself.

use std::sync::LazyLock;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use super::{API_VERSION, InfrastructureName, InfrastructureSpec, SliceName, SliceSpec};

/// The schema of a document of kind `Slice`.
#[must_use]
pub fn slice() -> Value {
    SLICE.clone()
}

/// The schema of a document of kind `Infrastructure`.
#[must_use]
pub fn infrastructure() -> Value {
    INFRASTRUCTURE.clone()
}

pub(super) static SLICE: LazyLock<Value> = LazyLock::new(|| {
    document::<SliceName, SliceSpec>(
        "Slice",
        "One IoT slice: devices, gateways, servers and the network between them.",
    )
});

pub(super) static INFRASTRUCTURE: LazyLock<Value> = LazyLock::new(|| {
    document::<InfrastructureName, InfrastructureSpec>(
        "Infrastructure",
        "A place workloads can run: a Kubernetes cluster, or this process.",
    )
});

fn document<Name: JsonSchema, Spec: JsonSchema>(kind: &str, description: &str) -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let name = generator.subschema_for::<Name>();
    let spec = generator.subschema_for::<Spec>();
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("https://{API_VERSION}/{}.json", kind.to_lowercase()).replace("dev/", "dev/schema/"),
        "title": format!("{kind} document"),
        "description": description,
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": { "description": "The version of the document format.", "type": "string", "const": API_VERSION },
            "kind": { "description": "The kind of document.", "type": "string", "const": kind },
            "metadata": {
                "title": "metadata block",
                "description": "What the document is called.",
                "type": "object",
                "required": ["name"],
                "additionalProperties": false,
                "properties": {
                    "name": described(name.to_value(), "Its name, unique in the installation."),
                    "labels": texts("Free labels, for other tools; iotorch passes over them."),
                    "annotations": texts("Free notes, for other tools; iotorch passes over them."),
                },
            },
            "spec": described(spec.to_value(), "What it consists of."),
        },
        "$defs": definitions(&mut generator),
    });
    plain_descriptions(&mut schema);
    schema
}

fn definitions(generator: &mut SchemaGenerator) -> Value {
    Value::Object(generator.take_definitions(true))
}

fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}

fn texts(description: &str) -> Value {
    json!({ "description": description, "type": "object", "additionalProperties": { "type": "string" } })
}

/// Turns the links of Rust documentation into plain words.
fn plain_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "description" => {
                        *text =
                            text.replace("[`", "`").replace("`]", "`").replace("`", "\"").replace('\n', " ");
                    }
                    value => plain_descriptions(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain_descriptions),
        _ => {}
    }
}
