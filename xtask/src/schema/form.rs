//! How a value is written, in words.

use serde_json::Value;

use crate::failure::Failure;

use super::definitions::{Definitions, Sort, referred};

/// What a value of this schema looks like, as Markdown with links to the types.
pub(super) fn form(definitions: &Definitions<'_>, schema: &Value) -> Result<String, Failure> {
    if let Some(name) = referred(schema) {
        return link(definitions, name);
    }
    if let Some(constant) = schema.get("const") {
        return Ok(code(constant));
    }
    if let Some(alternatives) = schema["anyOf"].as_array() {
        // To leave a field out and to write null are the same, so that null goes without saying.
        let alternatives = alternatives.iter().filter(|alternative| alternative["type"] != "null");
        let forms: Vec<String> =
            alternatives.map(|alternative| form(definitions, alternative)).collect::<Result<_, _>>()?;
        return Ok(forms.join(" or "));
    }
    match type_of(schema) {
        Some("string") => Ok(if schema["format"] == "ip" { "IP address" } else { "text" }.to_owned()),
        Some("boolean") => Ok("true or false".to_owned()),
        Some(number @ ("integer" | "number")) => Ok(format!("{number}{}", bounds(schema))),
        Some("array") => list(definitions, schema),
        Some("object") => map(definitions, schema),
        _ => Err(Failure::new(format!("cannot tell what fits this schema: {schema}"))
            .with_help("teach it to xtask/src/schema/form.rs")),
    }
}

/// A link to a type's section; texts share one.
pub(super) fn link(definitions: &Definitions<'_>, name: &str) -> Result<String, Failure> {
    let section = match definitions.sort(name)? {
        Sort::Text => "texts".to_owned(),
        _ => name.to_lowercase(),
    };
    Ok(format!("[{name}](#{section})"))
}

/// A value as it is written in a document.
pub(super) fn code(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        value => format!("`{value}`"),
    }
}

/// What a text with a grammar looks like.
pub(super) fn grammar(text: &Value) -> String {
    let pattern = text["pattern"].as_str().unwrap_or_default();
    if let Some(units) = units(pattern) {
        let units: Vec<String> = units.iter().map(|unit| format!("`{unit}`")).collect();
        return format!("a number with its unit, {}", units.join(", "));
    }
    let length = match (text["minLength"].as_u64(), text["maxLength"].as_u64()) {
        (Some(least), Some(most)) => format!("{least} to {most} characters: "),
        _ => String::new(),
    };
    format!("{length}`{pattern}`")
}

/// The units of a quantity, if the pattern is that of a quantity.
fn units(pattern: &str) -> Option<Vec<String>> {
    let units = pattern.strip_prefix(r"^[0-9]+(\.[0-9]+)?\s*(")?.strip_suffix(")$")?;
    Some(units.split('|').map(|unit| unit.replace(r"\/", "/")).collect())
}

fn type_of(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::String(name) => Some(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    }
}

fn bounds(schema: &Value) -> String {
    // Formats of unsigned numbers (OpenAPI Format Registry) bound them, too.
    let most = match schema["format"].as_str() {
        Some("uint8") => Some(Value::from(u8::MAX)),
        Some("uint16") => Some(Value::from(u16::MAX)),
        Some("uint32") => Some(Value::from(u32::MAX)),
        _ => None,
    };
    match (schema.get("minimum"), schema.get("maximum").or(most.as_ref())) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", {least} or more"),
        (None, Some(most)) => format!(", {most} or less"),
        (None, None) => String::new(),
    }
}

fn list(definitions: &Definitions<'_>, schema: &Value) -> Result<String, Failure> {
    if let Some(items) = schema["prefixItems"].as_array() {
        let forms: Vec<String> =
            items.iter().map(|item| form(definitions, item)).collect::<Result<_, _>>()?;
        return Ok(format!("\\[{}\\]", forms.join(", ")));
    }
    let count = match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
        (Some(least), Some(most)) if least == most => format!("{least} "),
        (Some(least), Some(most)) => format!("{least} to {most} "),
        (Some(least), None) => format!("{least} or more "),
        (None, Some(most)) => format!("at most {most} "),
        (None, None) => String::new(),
    };
    Ok(format!("list of {count}{}", form(definitions, &schema["items"])?))
}

fn map(definitions: &Definitions<'_>, schema: &Value) -> Result<String, Failure> {
    match &schema["additionalProperties"] {
        Value::Bool(true) => Ok("map".to_owned()),
        values => Ok(format!("map of {}", form(definitions, values)?)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(schema: Value) -> String {
        let defined = json!({ "$defs": {
            "Gateway": { "type": "object", "properties": {} },
            "TimeSpan": { "type": "string", "pattern": "" },
        } });
        form(&Definitions::of(&defined).unwrap(), &schema).unwrap()
    }

    #[test]
    fn types_are_links_and_null_goes_without_saying() {
        assert_eq!(told(json!({ "$ref": "#/$defs/Gateway" })), "[Gateway](#gateway)");
        let optional = json!({ "anyOf": [{ "$ref": "#/$defs/TimeSpan" }, { "type": "null" }] });
        assert_eq!(told(optional), "[TimeSpan](#texts)");
    }

    #[test]
    fn numbers_have_their_bounds_also_those_of_their_format() {
        assert_eq!(told(json!({ "type": "integer", "minimum": 1, "maximum": 65535 })), "integer, 1 to 65535");
        assert_eq!(
            told(json!({ "type": ["integer", "null"], "format": "uint32", "minimum": 0 })),
            "integer, 0 to 4294967295"
        );
        assert_eq!(told(json!({ "type": "number", "maximum": 90 })), "number, 90 or less");
    }

    #[test]
    fn lists_and_maps_say_what_is_in_them_and_how_many() {
        let text = json!({ "type": "string" });
        assert_eq!(told(json!({ "type": "array", "items": text, "minItems": 1 })), "list of 1 or more text");
        assert_eq!(told(json!({ "type": "array", "prefixItems": [text, text] })), "\\[text, text\\]");
        assert_eq!(told(json!({ "type": "object", "additionalProperties": text })), "map of text");
        assert_eq!(told(json!({ "type": "object", "additionalProperties": true })), "map");
    }

    #[test]
    fn a_quantity_shows_its_units_and_another_text_its_pattern() {
        let rate = json!({ "pattern": r"^[0-9]+(\.[0-9]+)?\s*(bit\/s|kbit\/s)$" });
        assert_eq!(grammar(&rate), "a number with its unit, `bit/s`, `kbit/s`");
        let name = json!({ "pattern": "^[a-z]+$", "minLength": 1, "maxLength": 63 });
        assert_eq!(grammar(&name), "1 to 63 characters: `^[a-z]+$`");
    }

    #[test]
    fn a_schema_that_is_not_known_is_refused() {
        let defined = json!({ "$defs": {} });
        let definitions = Definitions::of(&defined).unwrap();
        let failure = form(&definitions, &json!({ "not": {} })).unwrap_err();
        assert_eq!(failure.to_string(), r#"cannot tell what fits this schema: {"not":{}}"#);
    }
}
