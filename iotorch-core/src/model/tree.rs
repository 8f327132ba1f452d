//! A document as it was written: every value with its place in the source.

use serde_json::{Map, Number};

/// A range of bytes in a source.
pub(super) type Span = std::ops::Range<usize>;

/// A value and where a finger points to show it: a scalar as a whole, a collection at its beginning.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Span,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something already complained about; nothing more is said of it.
    Broken,
}

/// A field of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) node: Node,
}

impl Entry {
    /// Whether what stands in the place of its name was none, and has been complained about.
    pub(super) const fn is_nameless(&self) -> bool {
        self.key.is_empty() && matches!(self.node.value, Value::Broken)
    }
}

impl Node {
    /// The field `key`, unless it is missing or null.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let entry = self.entries().iter().find(|entry| entry.key == key)?;
        (!matches!(entry.node.value, Value::Null)).then_some(&entry.node)
    }

    /// The field `key`, or this node when there is none: the place to point at either way.
    pub(super) fn at(&self, key: &str) -> &Self {
        self.get(key).unwrap_or(self)
    }

    /// The fields of a mapping, in the order of the source.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of the list in the field `key`; none when there is no such list.
    pub(super) fn items(&self, key: &str) -> &[Self] {
        match self.get(key).map(|node| &node.value) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// The text in the field `key`.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_number(&self) -> Option<f64> {
        match &self.value {
            Value::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    /// The place of what a JSON pointer (RFC 6901) names, or of the longest part of it that was written. A collection is shown
    /// by its key.
    pub(super) fn locate(&self, pointer: &str) -> Span {
        let mut node = self;
        let mut span = self.span.clone();
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &node.value {
                Value::Map(entries) => entries.iter().find(|entry| entry.key == step).map(|entry| {
                    let whole = matches!(entry.node.value, Value::List(_) | Value::Map(_));
                    (&entry.node, if whole { &entry.key_span } else { &entry.node.span })
                }),
                Value::List(items) => {
                    step.parse().ok().and_then(|index: usize| items.get(index)).map(|item| (item, &item.span))
                }
                _ => None,
            };
            let Some((found, place)) = next else { break };
            node = found;
            span = place.clone();
        }
        span
    }

    /// Whether something in it has been complained about while it was parsed.
    pub(super) fn is_broken(&self) -> bool {
        match &self.value {
            Value::Broken => true,
            Value::List(items) => items.iter().any(Self::is_broken),
            Value::Map(entries) => entries.iter().any(|entry| entry.node.is_broken()),
            _ => false,
        }
    }

    /// The value as JSON, without places.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null | Value::Broken => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => number.clone().into(),
            Value::Text(text) => text.clone().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => serde_json::Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// How much of the budget for values the node takes: roughly its bytes in memory.
    pub(super) fn cost(&self) -> usize {
        /// A node, its share of a vector, and a key's header.
        const NODE: usize = 64;
        NODE + match &self.value {
            Value::Text(text) => text.len(),
            Value::List(items) => items.iter().map(Self::cost).sum(),
            Value::Map(entries) => entries.iter().map(|entry| entry.key.len() + entry.node.cost()).sum(),
            _ => 0,
        }
    }

    /// How many collections lie in each other here.
    pub(super) fn depth(&self) -> usize {
        match &self.value {
            Value::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Value::Map(entries) => 1 + entries.iter().map(|entry| entry.node.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }
}
