//! JSON Schemas as the reader of documents looks at them.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use super::{
    leaf::{self, Reader},
    suggest::{a, listed},
    tree::{Node, Value},
};

/// References followed before a schema is taken to go round in a circle.
const HOPS: usize = 16;

/// A schema with its references followed.
pub(super) struct Shape<'a> {
    pub(super) keywords: &'a Map<String, Json>,
    /// What such a value is called.
    pub(super) noun: Cow<'a, str>,
    /// How its text is read.
    pub(super) reader: Option<Reader>,
}

impl<'a> Shape<'a> {
    /// The shape of what stands in `field`, with references into `root` followed; `None` for a schema that allows anything.
    pub(super) fn of(root: &'a Json, schema: &'a Json, field: &str) -> Option<Self> {
        let mut shape =
            Self { keywords: schema.as_object()?, noun: Cow::Owned(field.to_owned()), reader: None };
        for _ in 0..HOPS {
            if let Some(title) = shape.text("title") {
                shape.noun = Cow::Borrowed(title);
            }
            // An optional value is "this or null".
            let optional = match shape.list("anyOf") {
                [some, null] if null["type"] == "null" => some.as_object(),
                _ => None,
            };
            let Some(target) = optional.or_else(|| shape.referred(root)) else { break };
            shape.keywords = target;
        }
        shape.reader = shape.reader.or_else(|| leaf::format_reader(shape.text("format")?));
        Some(shape)
    }

    fn referred(&mut self, root: &'a Json) -> Option<&'a Map<String, Json>> {
        let pointer = self.text("$ref")?.strip_prefix('#')?;
        let name = pointer.rsplit('/').next()?;
        let target = root.pointer(pointer)?.as_object()?;
        self.noun = Cow::Owned(in_words(name));
        self.reader = leaf::reader(name);
        Some(target)
    }

    /// The schemas a value may choose from, constants aside.
    pub(super) fn alternatives(&self) -> Vec<&'a Json> {
        let all = self.list("anyOf").iter().chain(self.list("oneOf"));
        all.filter(|choice| choice.get("const").is_none()).collect()
    }

    /// A number that a keyword bounds the value by.
    pub(super) fn bound(&self, keyword: &str) -> Option<f64> {
        self.keywords.get(keyword)?.as_f64()
    }

    /// Whether fields without a property are refused.
    pub(super) fn is_closed(&self) -> bool {
        self.keywords.get("additionalProperties") == Some(&Json::Bool(false))
            || self.bound("maxProperties") == Some(0.0)
    }

    /// Whether a value of `node`'s type can be right.
    pub(super) fn allows(&self, node: &Node) -> bool {
        let types = self.types();
        types.is_empty() || types.iter().any(|name| is(node, name))
    }

    /// An example of a text, as help.
    pub(super) fn example(&self) -> Option<String> {
        self.list("examples").first()?.as_str().map(|example| format!("as in {example}"))
    }

    pub(super) fn list(&self, keyword: &str) -> &'a [Json] {
        self.keywords.get(keyword).and_then(Json::as_array).map_or(&[], Vec::as_slice)
    }

    pub(super) fn text(&self, keyword: &str) -> Option<&'a str> {
        self.keywords.get(keyword)?.as_str()
    }

    pub(super) fn properties(&self) -> Option<&'a Map<String, Json>> {
        self.keywords.get("properties")?.as_object()
    }

    fn requires(&self, name: &str) -> bool {
        self.list("required").iter().any(|required| required == name)
    }

    /// The names of the fields, those that must be there first.
    pub(super) fn fields(&self) -> Vec<&'a str> {
        let required = self.list("required").iter().filter_map(Json::as_str);
        let optional = self.properties().into_iter().flat_map(|all| all.keys().map(String::as_str));
        required.chain(optional.filter(|name| !self.requires(name))).collect()
    }

    pub(super) fn has(&self) -> String {
        format!("{} has: {}", a(&self.noun), listed(self.fields()))
    }

    /// The words that are allowed, if only certain ones are.
    pub(super) fn choices(&self) -> Vec<&'a str> {
        let constants = self.list("oneOf").iter().map(|choice| &choice["const"]);
        constants.chain(self.list("enum")).filter_map(Json::as_str).collect()
    }

    /// The types that are allowed, `null` aside, which stands for a field that is not there; empty means any.
    pub(super) fn types(&self) -> Vec<&'a str> {
        match self.keywords.get("type") {
            Some(Json::String(one)) => vec![one],
            Some(Json::Array(several)) => {
                several.iter().filter_map(Json::as_str).filter(|name| *name != "null").collect()
            }
            _ if !self.choices().is_empty() => vec!["string"],
            _ if self.properties().is_some() => vec!["object"],
            _ => Vec::new(),
        }
    }

    /// What is asked for, in words.
    pub(super) fn described(&self) -> String {
        let kind = |name: &&str| match *name {
            "array" => "a list".to_owned(),
            "string" if self.reader.is_some() || !self.choices().is_empty() => a(&self.noun),
            "string" => "text".to_owned(),
            "integer" => "a whole number".to_owned(),
            "number" => "a number".to_owned(),
            "boolean" => "true or false".to_owned(),
            _ if self.properties().is_some() => format!("{} with its fields", a(&self.noun)),
            _ => "fields".to_owned(),
        };
        self.types().iter().map(kind).collect::<Vec<_>>().join(" or ")
    }
}

/// `ProfileResource` as a person says it.
fn in_words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

/// Whether a node is of a type of JSON Schema.
fn is(node: &Node, name: &str) -> bool {
    match (&node.value, name) {
        (Value::Null, "null")
        | (Value::Bool(_), "boolean")
        | (Value::Number(_), "number")
        | (Value::Text(_), "string")
        | (Value::List(_), "array")
        | (Value::Map(_), "object") => true,
        (Value::Number(number), "integer") => number.is_i64() || number.is_u64(),
        _ => false,
    }
}
