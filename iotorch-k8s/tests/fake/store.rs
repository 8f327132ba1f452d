//! Objects by their names, and everything that happened to them since the store was compacted.

use std::collections::BTreeMap;

use serde_json::Value;

use super::kinds::Kind;

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub kind: &'static Kind,
    /// Empty where the kind has none.
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(kind: &'static Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

/// A change of one object.
#[derive(Clone, Debug)]
pub struct Change {
    pub version: u64,
    pub key: Key,
    pub before: Option<Value>,
    /// The last state where the object is gone.
    pub after: Value,
    pub is_gone: bool,
}

/// All objects.
#[derive(Debug, Default)]
pub struct Store {
    objects: BTreeMap<Key, Value>,
    version: u64,
    compacted: u64,
    history: Vec<Change>,
}

impl Store {
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The version up to which changes are forgotten.
    pub const fn compacted(&self) -> u64 {
        self.compacted
    }

    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    /// The objects of a kind, in one namespace or in all, by their names.
    pub fn all(&self, kind: &'static Kind, namespace: Option<&str>) -> Vec<(&Key, &Value)> {
        let is_there = |key: &Key| key.kind == kind && namespace.is_none_or(|it| it == key.namespace);
        self.objects.iter().filter(|(key, _)| is_there(key)).collect()
    }

    /// Copies of them, for whoever changes others meanwhile.
    pub fn copies(&self, kind: &'static Kind, namespace: Option<&str>) -> Vec<(Key, Value)> {
        self.all(kind, namespace).into_iter().map(|(key, object)| (key.clone(), object.clone())).collect()
    }

    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.objects.keys()
    }

    pub fn objects(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.objects.iter()
    }

    /// Keeps an object under a new version.
    pub fn put(&mut self, key: &Key, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let before = self.objects.insert(key.clone(), object.clone());
        self.note(key, before, object.clone(), false);
        object
    }

    pub fn remove(&mut self, key: &Key) -> Option<Value> {
        let before = self.objects.remove(key)?;
        self.version += 1;
        let mut after = before.clone();
        after["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.note(key, Some(before), after.clone(), true);
        Some(after)
    }

    fn note(&mut self, key: &Key, before: Option<Value>, after: Value, is_gone: bool) {
        let version = self.version;
        self.history.push(Change { version, key: key.clone(), before, after, is_gone });
    }

    /// What happened after a version; none where that is forgotten in part.
    pub fn since(&self, version: u64) -> Option<&[Change]> {
        if version < self.compacted {
            return None;
        }
        let first = self.history.partition_point(|change| change.version <= version);
        Some(&self.history[first..])
    }

    /// Forgets what happened until now.
    pub fn compact(&mut self) {
        // A version of its own, so that whoever has seen everything until now has seen too little.
        self.version += 1;
        self.compacted = self.version;
        self.history.clear();
    }
}
