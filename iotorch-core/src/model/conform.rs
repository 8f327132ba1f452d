//! Whether a tree has the shape that a JSON Schema asks for.
//!
//! It knows the part of JSON Schema that `schemars` writes for the model and that drivers need for their settings: types,
//! properties, required and additional ones, enumerations, bounds, references. Other keywords are passed over. Unlike a
//! general validator it speaks of devices and gateways, and goes on after a fault.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::{
    MAX_NAME,
    problem::{Fault, Findings},
    shape::Shape,
    suggest::{a, listed, nearest, quoted},
    tree::{Entry, Node, Value},
};

/// Fields that are looked at for being a misspelt other one.
const MEANT: usize = 50;

/// Checks trees against one schema.
pub(super) struct Conform<'a> {
    /// The whole schema, for references into it.
    root: &'a Json,
    findings: &'a mut Findings,
}

impl<'a> Conform<'a> {
    pub(super) const fn new(root: &'a Json, findings: &'a mut Findings) -> Self {
        Self { root, findings }
    }

    /// Checks a whole document, or a part that the root schema is about. Gives the value, without fields that are null where
    /// a missing one means the same; what was wrong is null in it.
    pub(super) fn check(&mut self, node: &Node, noun: &str) -> Json {
        self.value(node, self.root, noun)
    }

    fn value(&mut self, node: &Node, schema: &'a Json, field: &str) -> Json {
        let Some(shape) = Shape::of(self.root, schema, field) else { return node.to_json() };
        if matches!(node.value, Value::Broken) {
            return Json::Null;
        }
        let shapes =
            shape.alternatives().into_iter().filter_map(|schema| Shape::of(self.root, schema, field));
        let mut shapes = shapes.collect::<Vec<_>>();
        if shapes.is_empty() {
            return self.shaped(node, &shape, field, schema);
        }
        if let Some(shape) = shapes.iter().find(|shape| shape.allows(node)) {
            return self.shaped(node, shape, field, schema);
        }
        let wanted = shapes.iter().map(Shape::described).collect::<Vec<_>>().join(" or ");
        let text =
            shapes.iter().position(|shape| shape.reader.is_some()).map(|index| shapes.swap_remove(index));
        self.wrong_type(node, &wanted, &text.unwrap_or(shape), field, schema);
        Json::Null
    }

    fn shaped(&mut self, node: &Node, shape: &Shape<'a>, field: &str, schema: &Json) -> Json {
        if !shape.allows(node) {
            self.wrong_type(node, &shape.described(), shape, field, schema);
            return Json::Null;
        }
        match &node.value {
            Value::Map(entries) => return self.object(node, entries, shape),
            Value::List(items) => return self.array(node, items, shape, schema),
            Value::Text(text) => self.text(node, text, shape),
            Value::Number(number) => self.number(node, number.as_f64().unwrap_or(f64::NAN), shape, schema),
            _ => {}
        }
        node.to_json()
    }

    fn object(&mut self, node: &Node, entries: &[Entry], shape: &Shape<'a>) -> Json {
        let properties = shape.properties();
        let others = shape.keywords.get("additionalProperties");
        let closed = shape.is_closed();
        let mut object = Map::new();
        for Entry { key, key_span, node } in entries.iter().filter(|entry| !entry.is_nameless()) {
            let property = properties.and_then(|all| all.get(key));
            if property.is_some() && matches!(node.value, Value::Null) {
                continue;
            }
            if property.is_none() && closed {
                self.findings.add(key_span.clone(), || unknown_field(key, shape));
                continue;
            }
            let Some(schema) = property.or(others) else {
                object.insert(key.clone(), node.to_json());
                continue;
            };
            let name = if property.is_some() { key } else { shape.noun.as_ref() };
            object.insert(key.clone(), self.value(node, schema, name));
        }
        self.required(node, entries, shape);
        Json::Object(object)
    }

    /// Complains about fields that must be there, unless one that was written is likely meant for them.
    fn required(&mut self, node: &Node, entries: &[Entry], shape: &Shape<'a>) {
        let missing =
            shape.list("required").iter().filter_map(Json::as_str).filter(|name| node.get(name).is_none());
        for name in missing {
            let meant = |entry: &Entry| {
                let is_unknown = shape.properties().is_some_and(|all| !all.contains_key(&entry.key));
                entry.is_nameless() || is_unknown && nearest(&entry.key, shape.fields()) == Some(name)
            };
            if entries.iter().take(MEANT).any(meant) {
                continue;
            }
            let empty = entries.iter().find(|entry| entry.key == name);
            let place = empty.map_or(&node.span, |entry| &entry.key_span);
            self.findings.add(place.clone(), || missing_field(name, empty.is_some(), shape));
        }
    }

    fn array(&mut self, node: &Node, items: &[Node], shape: &Shape<'a>, schema: &Json) -> Json {
        let length = items.len() as f64;
        if shape.bound("minItems").is_some_and(|least| length < least)
            || shape.bound("maxItems").is_some_and(|most| length > most)
        {
            self.findings.add(node.span.clone(), || wrong_length(items.len(), shape, schema));
        }
        let first = shape.list("prefixItems");
        let rest = shape.keywords.get("items");
        let noun = singular(&shape.noun);
        let item = |(index, item): (usize, &Node)| match first.get(index).or(rest) {
            Some(schema) => self.value(item, schema, noun),
            None => item.to_json(),
        };
        items.iter().enumerate().map(item).collect()
    }

    fn text(&mut self, node: &Node, text: &str, shape: &Shape<'a>) {
        let choices = shape.choices();
        if !choices.is_empty() && !choices.contains(&text) {
            self.findings.add(node.span.clone(), || {
                let meant =
                    nearest(text, choices.iter().copied()).map(|near| format!("did you mean {near:?}? "));
                Fault::new(format!("unknown value {}", quoted(text)))
                    .label(format!("not {}", a(&shape.noun)))
                    .help(format!(
                        "{}{} is one of: {}",
                        meant.unwrap_or_default(),
                        a(&shape.noun),
                        listed(choices)
                    ))
            });
        }
        if let Some(Err(fault)) = shape.reader.map(|read| read(text)) {
            self.findings.add(node.span.clone(), || fault.or_help(|| shape.example()));
        }
        if let Some(constant) = shape.text("const")
            && constant != text
        {
            self.findings.add(node.span.clone(), || {
                Fault::new(format!("expected {constant:?}, found {}", quoted(text)))
                    .label(format!("not {constant:?}"))
                    .help(format!("write {constant}"))
            });
        }
    }

    fn number(&mut self, node: &Node, number: f64, shape: &Shape<'a>, schema: &Json) {
        let (least, greatest) = match shape.text("format") {
            Some("uint32") => (Some(0.0), Some(f64::from(u32::MAX))),
            Some("int32") => (Some(f64::from(i32::MIN)), Some(f64::from(i32::MAX))),
            _ => (None, None),
        };
        let (least, greatest) = (shape.bound("minimum").or(least), shape.bound("maximum").or(greatest));
        if least.is_some_and(|least| number < least) || greatest.is_some_and(|greatest| number > greatest) {
            self.findings.add(node.span.clone(), || {
                let range = between(least, greatest);
                Fault::new(format!("{number} is out of range"))
                    .label(format!("{} is {range}", shape.noun))
                    .or_help(|| explained(&shape.noun, schema))
            });
        }
    }

    fn wrong_type(&mut self, node: &Node, wanted: &str, shape: &Shape<'a>, field: &str, schema: &Json) {
        let source = Arc::clone(self.findings.source());
        let written = source.text().get(node.span.clone()).unwrap_or_default();
        let scalar = matches!(node.value, Value::Number(_) | Value::Bool(_));
        self.findings.add(node.span.clone(), || {
            // A quantity without its unit looks like a number; its reader says so best.
            if scalar && let Some(Err(fault)) = shape.reader.map(|read| read(written)) {
                return fault.or_help(|| shape.example());
            }
            let fault = Fault::new(format!("expected {wanted}, found {}", found(node)))
                .label(format!("not {wanted}"));
            let is_named = shape.list("required") == ["name"];
            match &node.value {
                Value::Number(_) | Value::Bool(_) if shape.types() == ["string"] => {
                    fault.help(format!("write it in quotes: {}", quoted(written)))
                }
                Value::Text(text) if is_named && text.len() <= MAX_NAME => {
                    fault.help(format!("write {{ name: {text} }}; {}", shape.has()))
                }
                Value::Map(_) if shape.types() == ["array"] => {
                    fault.help("begin each element of a list with \"- \"")
                }
                _ if shape.properties().is_some() => fault.help(shape.has()),
                _ => fault.or_help(|| explained(field, schema)).or_help(|| Some(format!("write {wanted}"))),
            }
        });
    }
}

fn unknown_field(key: &str, shape: &Shape<'_>) -> Fault {
    let fields = shape.fields();
    let fault =
        Fault::new(format!("unknown field {}", quoted(key))).label(format!("not part of {}", a(&shape.noun)));
    if fields.is_empty() {
        return fault.help(format!("{} has no fields", a(&shape.noun)));
    }
    let meant = nearest(key, fields).map(|near| format!("did you mean {near:?}? ")).unwrap_or_default();
    fault.help(format!("{meant}{}", shape.has()))
}

fn missing_field(name: &str, is_empty: bool, shape: &Shape<'_>) -> Fault {
    let fault = if is_empty {
        Fault::new(format!("field {name:?} has no value")).label("nothing follows")
    } else {
        Fault::new(format!("field {name:?} is missing")).label(format!("this {} has no {name}", shape.noun))
    };
    let explained = || explained(name, shape.properties()?.get(name)?);
    fault.or_help(explained).or_help(|| Some(shape.has()))
}

fn wrong_length(length: usize, shape: &Shape<'_>, schema: &Json) -> Fault {
    let wanted = between(shape.bound("minItems"), shape.bound("maxItems"));
    let found = if length == 0 { "none".to_owned() } else { length.to_string() };
    Fault::new(format!("expected {wanted} in this list, found {found}"))
        .label(format!("{} takes {wanted}", shape.noun))
        .or_help(|| explained(&shape.noun, schema))
}

/// A field and what its documentation says of it.
fn explained(name: &str, schema: &Json) -> Option<String> {
    let description = schema.get("description")?.as_str()?;
    let first = description.split(". ").next().unwrap_or(description).trim_end_matches('.');
    let mut rest = first.chars();
    let initial = rest.next()?.to_lowercase();
    Some(format!("{name}: {initial}{}", rest.as_str()))
}

fn between(least: Option<f64>, greatest: Option<f64>) -> String {
    match (least, greatest) {
        (Some(least), Some(greatest)) if least == greatest => format!("{least}"),
        (Some(least), Some(greatest)) => format!("{least} to {greatest}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(greatest)) => format!("at most {greatest}"),
        (None, None) => "anything".to_owned(),
    }
}

fn singular(noun: &str) -> &str {
    noun.strip_suffix('s').unwrap_or(noun)
}

fn found(node: &Node) -> String {
    match &node.value {
        Value::Null | Value::Broken => "nothing".to_owned(),
        Value::Bool(value) => format!("{value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::Text(text) => format!("text {}", quoted(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "fields".to_owned(),
    }
}
