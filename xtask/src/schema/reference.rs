//! The page about the documents: every kind and every field, with type, default, range and meaning.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::failure::Failure;

use super::definitions::{Definitions, Sort, fields};
use super::form::{code, form, grammar, link};

/// What is the same whatever the schema says.
const INTRODUCTION: &str = include_str!("introduction.md");

/// A document that shows a kind.
#[derive(Debug)]
pub(super) struct Example {
    pub(super) kind: &'static str,
    /// Its path in the source tree.
    pub(super) file: &'static str,
    pub(super) text: String,
}

/// The uses of each type: its owner and the field there.
type Uses<'a> = BTreeMap<&'a str, Vec<(&'a str, String)>>;

/// The page, from the schema of all kinds and one example of each.
pub(super) fn page(schema: &Value, examples: &[Example]) -> Result<String, Failure> {
    let definitions = Definitions::of(schema)?;
    let kinds = schema["oneOf"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut page = INTRODUCTION.to_owned();
    let mut types = Vec::new();
    for kind in in_order_of(examples, kinds)? {
        page.push_str(&document(&definitions, kind.0, kind.1)?);
        let reached = definitions.reached_from(kind.1)?;
        types.extend(reached.into_iter().filter(|name| !types.contains(name)).collect::<Vec<_>>());
    }
    let uses = definitions.uses();
    page.push_str("\n## Types\n");
    let mut texts = Vec::new();
    for name in types {
        if definitions.sort(name)? == Sort::Text {
            texts.push(name);
        } else {
            page.push_str(&section(&definitions, name, &uses)?);
        }
    }
    texts.sort_unstable();
    page.push_str(&of_texts(&definitions, &texts)?);
    Ok(page)
}

/// Each example with the schema of its kind; a kind without an example is an error.
fn in_order_of<'a>(
    examples: &'a [Example],
    kinds: &'a [Value],
) -> Result<Vec<(&'a Example, &'a Value)>, Failure> {
    let name = |kind: &Value| kind["properties"]["kind"]["const"].as_str().unwrap_or_default().to_owned();
    if let Some(kind) = kinds.iter().find(|kind| examples.iter().all(|example| example.kind != name(kind))) {
        return Err(Failure::new(format!("cannot show the kind \"{}\": it has no example", name(kind)))
            .with_help("name one in xtask/src/schema.rs"));
    }
    let find = |example: &'a Example| {
        let kind = kinds.iter().find(|kind| name(kind) == example.kind);
        kind.map(|kind| (example, kind)).ok_or_else(|| {
            Failure::new(format!("cannot show \"{}\": there is no kind \"{}\"", example.file, example.kind))
        })
    };
    examples.iter().map(find).collect()
}

fn document(definitions: &Definitions<'_>, example: &Example, schema: &Value) -> Result<String, Failure> {
    Ok(format!(
        "\n## {}\n\n{}\n\n{}\nAn example, [`{file}`](../{file}):\n\n```yaml\n{}\n```\n",
        example.kind,
        description(schema),
        field_table(definitions, schema)?,
        example.text.trim_end(),
        file = example.file
    ))
}

fn section(definitions: &Definitions<'_>, name: &str, uses: &Uses<'_>) -> Result<String, Failure> {
    let definition = definitions.get(name)?;
    let body = match definitions.sort(name)? {
        Sort::Object => field_table(definitions, definition)?,
        Sort::Choice => alternatives(&definition["oneOf"], |choice| Ok(code(&choice["const"])))?,
        Sort::Alternatives => alternatives(&definition["anyOf"], |choice| form(definitions, choice))?,
        Sort::Text | Sort::Tuple => format!("{}\n", form(definitions, definition)?),
    };
    let mut section = format!("\n### {name}\n\n");
    for paragraph in [description(definition), used_in(definitions, uses.get(name))?, body] {
        if !paragraph.is_empty() {
            section.push_str(paragraph.trim_end());
            section.push_str("\n\n");
        }
    }
    section.truncate(section.trim_end().len());
    section.push('\n');
    Ok(section)
}

fn used_in(definitions: &Definitions<'_>, uses: Option<&Vec<(&str, String)>>) -> Result<String, Failure> {
    let mut words = Vec::new();
    for (owner, field) in uses.into_iter().flatten() {
        let owner = link(definitions, owner)?;
        words.push(if field.is_empty() { owner } else { format!("`{field}` of {owner}") });
    }
    words.dedup();
    Ok(if words.is_empty() { String::new() } else { format!("Used as {}.", words.join(", ")) })
}

fn field_table(definitions: &Definitions<'_>, object: &Value) -> Result<String, Failure> {
    let mut table = table(["field", "type", "default", "meaning"]);
    for field in fields(object) {
        let default = match field.schema.get("default") {
            _ if field.is_required => "required".to_owned(),
            Some(value) => code(value),
            None => String::new(),
        };
        let name = format!("`{}`", field.name);
        row(&mut table, [&name, &form(definitions, field.schema)?, &default, &description(field.schema)]);
    }
    Ok(table)
}

fn alternatives(
    choices: &Value,
    written: impl Fn(&Value) -> Result<String, Failure>,
) -> Result<String, Failure> {
    let mut table = table(["written", "meaning"]);
    for choice in choices.as_array().into_iter().flatten() {
        row(&mut table, [&written(choice)?, &description(choice)]);
    }
    Ok(table)
}

fn of_texts(definitions: &Definitions<'_>, names: &[&str]) -> Result<String, Failure> {
    let mut table = table(["type", "form", "as in"]);
    for name in names {
        let text = definitions.get(name)?;
        let example = text["examples"].as_array().and_then(|examples| examples.first());
        row(&mut table, [&(*name).to_owned(), &grammar(text), &example.map(code).unwrap_or_default()]);
    }
    Ok(format!("\n### Texts\n\nTexts with a grammar. A quantity without its unit is refused.\n\n{table}"))
}

fn description(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().to_owned()
}

fn table<const N: usize>(columns: [&str; N]) -> String {
    let mut table = String::new();
    row(&mut table, columns.map(str::to_owned).each_ref());
    table.push_str(&format!("|{}\n", "---|".repeat(N)));
    table
}

fn row<const N: usize>(table: &mut String, cells: [&String; N]) {
    table.push('|');
    for cell in cells {
        // Also inside of code, as GitHub reads tables (GitHub Flavored Markdown 4.10).
        let _ = write!(table, " {} |", cell.replace('|', "\\|"));
    }
    table.push('\n');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "oneOf": [{
                "description": "One slice.",
                "type": "object",
                "required": ["kind", "spec"],
                "properties": {
                    "kind": { "const": "Slice", "description": "The kind." },
                    "spec": { "$ref": "#/$defs/SliceSpec", "description": "What it has." },
                },
            }],
            "$defs": {
                "SliceSpec": {
                    "description": "What a slice has.",
                    "type": "object",
                    "required": ["latency"],
                    "properties": {
                        "latency": { "$ref": "#/$defs/TimeSpan", "description": "The longest|best." },
                        "onFailure": { "$ref": "#/$defs/Policy", "default": "rollback", "description": "What then." },
                    },
                },
                "Policy": { "oneOf": [{ "const": "rollback", "description": "Undo." }] },
                "TimeSpan": { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s*(ms|s)$", "examples": ["50ms"] },
            },
        })
    }

    #[test]
    fn a_page_has_kinds_types_and_texts_with_links_between_them() {
        let example = Example { kind: "Slice", file: "a.yaml", text: "kind: Slice\n".to_owned() };
        let page = page(&schema(), &[example]).unwrap();
        let expected = "
## Slice

One slice.

| field | type | default | meaning |
|---|---|---|---|
| `kind` | `Slice` | required | The kind. |
| `spec` | [SliceSpec](#slicespec) | required | What it has. |

An example, [`a.yaml`](../a.yaml):

```yaml
kind: Slice
```

## Types

### SliceSpec

What a slice has.

| field | type | default | meaning |
|---|---|---|---|
| `latency` | [TimeSpan](#texts) | required | The longest\\|best. |
| `onFailure` | [Policy](#policy) | `rollback` | What then. |

### Policy

Used as `onFailure` of [SliceSpec](#slicespec).

| written | meaning |
|---|---|
| `rollback` | Undo. |

### Texts

Texts with a grammar. A quantity without its unit is refused.

| type | form | as in |
|---|---|---|
| TimeSpan | a number with its unit, `ms`, `s` | `50ms` |
";
        assert_eq!(page.strip_prefix(INTRODUCTION).unwrap(), expected);
    }

    #[test]
    fn a_kind_without_an_example_is_refused() {
        let failure = page(&schema(), &[]).unwrap_err();
        assert_eq!(failure.to_string(), "cannot show the kind \"Slice\": it has no example");
    }
}
