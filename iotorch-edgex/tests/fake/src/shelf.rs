//! Things in the order in which they were made, found by their names.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Something with a name that it keeps.
pub(crate) trait Named {
    fn name(&self) -> &str;
}

#[derive(Clone, Debug)]
pub(crate) struct Shelf<T> {
    next: u64,
    things: BTreeMap<u64, T>,
    places: HashMap<String, u64>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { next: 0, things: BTreeMap::new(), places: HashMap::new() }
    }
}

impl<T: Named> Shelf<T> {
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.things.get(self.places.get(name)?)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        self.things.get_mut(self.places.get(name)?)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// Puts it where the one of its name was, or last.
    pub(crate) fn put(&mut self, thing: T) {
        let place = *self.places.entry(thing.name().to_owned()).or_insert(self.next);
        self.next = self.next.max(place + 1);
        self.things.insert(place, thing);
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<T> {
        self.things.remove(&self.places.remove(name)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.things.values()
    }
}

impl<T: Named> FromIterator<T> for Shelf<T> {
    fn from_iter<I: IntoIterator<Item = T>>(things: I) -> Self {
        let mut shelf = Self::default();
        things.into_iter().for_each(|thing| shelf.put(thing));
        shelf
    }
}

impl<T: Serialize> Serialize for Shelf<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.things.values())
    }
}

impl<'de, T: Deserialize<'de> + Named> Deserialize<'de> for Shelf<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}
