//! What was seen by watches.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use iotorch_core::{Error, ErrorKind};
use kube::{Api, core::DynamicObject, runtime::watcher};
use tokio::time::Instant;

use super::{
    kinds::{Kind, Part, Watch},
    object::Object,
};

/// How long a watch may be broken off before those who wait end with the reason: an API server that was started again is back by then.
const OUTAGE: Duration = Duration::from_secs(15);

/// The objects of a namespace, and those of the cluster that matter to it, as they were seen last.
#[derive(Debug, Default)]
pub(crate) struct Contents(BTreeMap<Watch, Watched>);

/// What a watch has seen.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Where they are.
    pub(super) api: Option<Api<DynamicObject>>,
    objects: BTreeMap<String, Object>,
    /// What is being listed, until it is complete.
    coming: BTreeMap<String, Object>,
    is_listed: bool,
    /// The API server has objects of this kind, and does not tell how they change.
    pub(super) is_mute: bool,
    trouble: Option<Trouble>,
}

/// Why something cannot be watched now.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    error: Arc<Error>,
    pub(super) since: Instant,
}

impl Trouble {
    pub(super) fn to_error(&self) -> Error {
        self.error.to_cause().into()
    }

    /// Until when those who wait bear it: not at all if a right is missing, which does not pass by itself.
    pub(super) fn bearable_until(&self) -> Instant {
        if self.is_denied() { self.since } else { self.since + OUTAGE }
    }

    fn is_denied(&self) -> bool {
        self.error.kind() == ErrorKind::Denied
    }
}

impl Contents {
    /// Takes note that something is going to be watched. Whether that is new.
    pub(super) fn expect(&mut self, watch: &Watch) -> bool {
        let is_new = !self.0.contains_key(watch);
        self.0.entry(watch.clone()).or_default();
        is_new
    }

    pub(super) fn of_watch(&mut self, watch: &Watch) -> Option<&mut Watched> {
        self.0.get_mut(watch)
    }

    pub(crate) fn get(&self, kind: &Kind, name: &str) -> Option<&Object> {
        self.watched(kind, name)?.objects.get(name)
    }

    pub(super) fn all(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.0.get(&Watch::all(kind)).into_iter().flat_map(|watched| watched.objects.values())
    }

    /// Where those of some parts are that count their changes.
    pub(super) fn places(&self, parts: &[Part]) -> Vec<(Part, Api<DynamicObject>)> {
        let parts = parts.iter().filter(|part| part.kind.has_generation());
        let place = |part: &Part| Some((part.clone(), self.watched(&part.kind, &part.name)?.api.clone()?));
        parts.filter_map(place).collect()
    }

    /// Whether nothing is told of objects of this kind.
    pub(super) fn is_mute(&self, kind: &Kind) -> bool {
        self.0.get(&Watch::all(kind.clone())).is_some_and(|watched| watched.is_mute)
    }

    /// The worst that is in the way of these watches.
    pub(super) fn trouble_with<'a>(&self, watches: impl IntoIterator<Item = &'a Watch>) -> Option<&Trouble> {
        let troubles = watches.into_iter().filter_map(|watch| self.0.get(watch)?.trouble.as_ref());
        troubles.min_by_key(|trouble| (!trouble.is_denied(), trouble.since))
    }

    /// Whether a right was missing.
    pub(super) fn is_denied(&self) -> bool {
        self.0.values().any(|watched| watched.trouble.as_ref().is_some_and(Trouble::is_denied))
    }

    fn watched(&self, kind: &Kind, name: &str) -> Option<&Watched> {
        let one = || self.0.get(&Watch { kind: kind.clone(), name: Some(name.to_owned()) });
        self.0.get(&Watch::all(kind.clone())).or_else(one)
    }

    pub(super) fn has_listed(&self, watch: &Watch) -> bool {
        self.0.get(watch).is_some_and(|watched| watched.is_listed)
    }

    pub(super) fn has_tried(&self, watch: &Watch) -> bool {
        self.0.get(watch).is_some_and(|watched| watched.is_listed || watched.trouble.is_some())
    }
}

impl Watched {
    /// Takes in what a watch tells. Whether that changes anything for those who look.
    pub(super) fn take(&mut self, event: watcher::Event<DynamicObject>) -> bool {
        let named = |object: DynamicObject| {
            let object = Object::new(object);
            (object.name().to_owned(), object)
        };
        match event {
            watcher::Event::Init => self.coming.clear(),
            watcher::Event::InitApply(object) => self.coming.extend([named(object)]),
            watcher::Event::InitDone => {
                let objects = std::mem::take(&mut self.coming);
                return self.has_been_listed(objects);
            }
            watcher::Event::Apply(object) => {
                self.objects.extend([named(object)]);
                return true;
            }
            watcher::Event::Delete(object) => {
                self.objects.remove(&named(object).0);
                return true;
            }
        }
        false
    }

    /// There are no such objects, or none that can be watched.
    pub(super) fn has_nothing(&mut self) -> bool {
        self.has_been_listed(BTreeMap::new())
    }

    /// Keeps when it began, if it is in trouble already.
    pub(super) fn is_in_trouble(&mut self, error: Error) -> bool {
        let since = self.trouble.as_ref().map_or_else(Instant::now, |trouble| trouble.since);
        self.trouble = Some(Trouble { error: Arc::new(error), since });
        true
    }

    fn has_been_listed(&mut self, objects: BTreeMap<String, Object>) -> bool {
        self.objects = objects;
        self.is_listed = true;
        self.trouble = None;
        true
    }
}

#[cfg(test)]
impl Contents {
    /// A namespace with these objects, by their `apiVersion` (`v1` if they have none) and `kind`.
    pub(super) fn of(objects: impl IntoIterator<Item = serde_json::Value>) -> Self {
        let mut contents = Self::default();
        for object in objects {
            let api_version = object["apiVersion"].as_str().unwrap_or("v1");
            let kind = match object["kind"].as_str().unwrap() {
                "Event" => Kind::Event,
                "IngressClass" => Kind::IngressClass,
                kind => Kind::new(api_version, kind),
            };
            let object = Object::new(serde_json::from_value(object).unwrap());
            let watched = contents.0.entry(Watch::all(kind)).or_default();
            watched.is_listed = true;
            watched.objects.insert(object.name().to_owned(), object);
        }
        contents
    }
}
