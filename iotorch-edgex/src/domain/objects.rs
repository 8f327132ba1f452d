//! Profiles and devices: many in one request, each with a result of its own.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, future::try_join_all, stream};
use iotorch_core::{
    Error, ErrorKind, Mark, Result,
    resource::{Change, Outputs, Ownership, ResourceId, Spec, Work},
};

use super::{
    credentials,
    kept::Kept,
    session::{Session, endpoint_of},
};
use crate::{
    client::{self, metadata::Metadata},
    convert::{Marked, kept, name_of, within},
    error::{Failure, Why},
};

/// How many objects are asked for one by one rather than in a list.
const FEW: usize = 4;

/// Requests under way at once, where each is about one object. More would not be quicker: they all go to one database.
const AT_ONCE: usize = 8;

/// Objects by their names.
pub(super) type Found<T> = BTreeMap<String, T>;

/// Everything of ours in an application, and of `names` also what is not ours.
///
/// Few are asked for one by one. Of many that are not among what bears our label, it takes the list of everything to tell.
pub(super) async fn look<T: Kept>(
    metadata: &Metadata,
    label: &str,
    names: &[&str],
) -> client::Result<Found<T>> {
    let by_name = |objects: Vec<T>| objects.into_iter().map(|object| (object.name().to_owned(), object));
    let mut found: Found<T> = by_name(T::list(metadata, Some(label)).await?).collect();
    let missing: Vec<_> = names.iter().copied().filter(|name| !found.contains_key(*name)).collect();
    if missing.len() <= FEW {
        found.extend(one_by_one(metadata, &missing).await?);
    } else {
        found.extend(by_name(T::list(metadata, None).await?));
    }
    Ok(found)
}

async fn one_by_one<T: Kept>(metadata: &Metadata, names: &[&str]) -> client::Result<Found<T>> {
    let found = try_join_all(names.iter().map(|name| T::find(metadata, name))).await?;
    Ok(found.into_iter().flatten().map(|object| (object.name().to_owned(), object)).collect())
}

/// A step, and what came of it so far.
struct Step<'a> {
    id: &'a ResourceId,
    name: String,
    mark: Mark,
    change: Change<Spec>,
    ownership: Ownership,
    result: Option<Result<Outputs>>,
}

impl Step<'_> {
    /// The start of every sentence about it.
    fn what(&self) -> String {
        let verb = match (self.ownership, self.change.is_delete()) {
            (Ownership::Release, _) => "give back",
            (_, true) => "remove",
            _ => "set up",
        };
        format!("{verb} {} \"{}\"", self.id.kind(), self.name)
    }

    /// Whether it is made without looking at what is there: it says so if something is.
    fn is_new(&self) -> bool {
        matches!((&self.change, self.ownership), (Change::Create { .. }, Ownership::Ours))
    }
}

/// What has to be done about the object of a step.
enum Move<T> {
    Add(T),
    Change(T),
    Remove,
}

pub(super) async fn apply<T: Kept>(session: &Session<'_>, works: &[Work]) -> Vec<Result<Outputs>> {
    let steps = works.iter().map(|work| Step {
        id: work.id(),
        name: name_of(work.id()),
        mark: session.cx.mark(work.id()),
        change: work.change(),
        ownership: work.ownership(),
        result: None,
    });
    let mut steps: Vec<_> = steps.collect();
    match session.metadata().await {
        Ok(metadata) => Applying { session, metadata: &metadata, steps: &mut steps }.run::<T>().await,
        Err(error) => fail_rest(&mut steps, |_| Error::from(error.to_cause())),
    }
    let unanswered = || Err(Error::new(ErrorKind::Unexpected, "cannot tell what came of this step"));
    steps.into_iter().map(|step| step.result.unwrap_or_else(unanswered)).collect()
}

fn fail_rest(steps: &mut [Step<'_>], error: impl Fn(&Step<'_>) -> Error) {
    for step in steps.iter_mut().filter(|step| step.result.is_none()) {
        step.result = Some(Err(error(step)));
    }
}

struct Applying<'s, 'a, 'w> {
    session: &'s Session<'a>,
    metadata: &'s Metadata,
    steps: &'s mut [Step<'w>],
}

impl Applying<'_, '_, '_> {
    async fn run<T: Kept>(&mut self) {
        let pace = self.session.pace();
        if !pace.is_uncertain {
            self.add_new::<T>(pace.size).await;
        }
        let rest: Vec<usize> = self.open();
        if rest.is_empty() {
            return;
        }
        let names: Vec<_> = rest.iter().map(|index| self.steps[*index].name.as_str()).collect();
        let looked = if names.len() <= FEW {
            one_by_one::<T>(self.metadata, &names).await
        } else {
            look::<T>(self.metadata, &within(&self.steps[rest[0]].mark), &names).await
        };
        let found = match looked {
            Ok(found) => found,
            Err(failure) => return fail_rest(self.steps, |step| failure.to(step.what())),
        };
        let (mut added, mut changed, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for index in rest {
            match self.decide::<T>(index, found.get(&self.steps[index].name)) {
                Ok(Some(Move::Add(object))) => added.push((index, object)),
                Ok(Some(Move::Change(object))) => changed.push((index, object)),
                Ok(Some(Move::Remove)) => removed.push(index),
                Ok(None) => self.done::<T>(index),
                Err(error) => self.steps[index].result = Some(Err(error)),
            }
        }
        self.send::<T>(added, pace.size, Sending::Add { expected: true }).await;
        self.send::<T>(changed, pace.size, Sending::Change).await;
        self.remove::<T>(removed).await;
        let stopped = Failure::new(self.metadata.service().name(), Why::GaveUp);
        fail_rest(self.steps, |step| stopped.to(step.what()));
    }

    fn open(&self) -> Vec<usize> {
        (0..self.steps.len()).filter(|index| self.steps[*index].result.is_none()).collect()
    }

    fn done<T: Kept>(&mut self, index: usize) {
        let step = &mut self.steps[index];
        step.result = Some(match step.change.after() {
            Some(after) => T::outputs(after, &self.session.application)
                .ok_or_else(|| Error::new(ErrorKind::Unexpected, format!("cannot {}", step.what()))),
            None => Ok(Outputs::Removed { residue: Vec::new() }),
        });
    }

    /// Makes what is to be made, as if nothing of it were there. What is there is left for a look.
    async fn add_new<T: Kept>(&mut self, size: usize) {
        let mut objects = Vec::new();
        for (index, step) in self.steps.iter().enumerate().filter(|(_, step)| step.is_new()) {
            let Some(after) = step.change.after() else { continue };
            let labels = Marked::ours(&step.mark, None, T::labels_of(after));
            objects.extend(T::build(after, labels).map(|object| (index, object)));
        }
        self.send::<T>(objects, size, Sending::Add { expected: false }).await;
    }

    /// What a step asks for, with what is there.
    fn decide<T: Kept>(&self, index: usize, found: Option<&T>) -> Result<Option<Move<T>>> {
        let step = &self.steps[index];
        let marked = found.map(|found| Marked::read(found.labels()));
        let is_ours = marked.as_ref().is_some_and(|marked| marked.is_of(&step.mark));
        let conflict = |marked: &Marked| {
            Error::new(ErrorKind::Conflict, format!("cannot {}", step.what())).with_source(format!(
                "{} \"{}\" belongs to {}",
                T::WORD,
                step.name,
                marked.owner()
            ))
        };
        let wrong = || Error::new(ErrorKind::Unexpected, format!("cannot {}", step.what()));
        let (Some(found), Some(marked)) = (found, marked) else {
            return match (step.change.after(), step.ownership) {
                // What is gone may have left something behind: a user of the broker, or with version 1 its addressable.
                (None, Ownership::Ours) => Ok(Some(Move::Remove)),
                (None, _) | (_, Ownership::Release) => Ok(None),
                (Some(after), _) => {
                    let labels = Marked::ours(&step.mark, None, T::labels_of(after));
                    Ok(Some(Move::Add(T::build(after, labels).ok_or_else(wrong)?)))
                }
            };
        };
        match (step.ownership, step.change.after()) {
            (Ownership::Release, _) if !is_ours => Ok(None),
            (Ownership::Release, after) => {
                let before = marked.before::<T>();
                let plain = || T::build(after?, T::labels_of(after?));
                Ok(Some(Move::Change(before.or_else(plain).ok_or_else(wrong)?)))
            }
            (Ownership::Ours, _) if !is_ours => Err(conflict(&marked)),
            (_, None) => Ok(Some(Move::Remove)),
            (_, Some(after)) => {
                let before = if is_ours { marked.into_before() } else { kept(found) };
                let labels = Marked::ours(&step.mark, before, T::labels_of(after));
                let wanted = T::build(after, labels).ok_or_else(wrong)?;
                let is_same = wanted.labels() == found.labels() && wanted.spec() == found.spec();
                Ok((!is_same).then_some(Move::Change(wanted)))
            }
        }
    }

    /// Sends objects, and takes in what came of each.
    async fn send<T: Kept>(&mut self, objects: Vec<(usize, T)>, size: usize, sending: Sending) {
        if objects.is_empty() {
            return;
        }
        let (indexes, objects): (Vec<_>, Vec<_>) = objects.into_iter().unzip();
        let items = match sending {
            Sending::Add { .. } => T::add(self.metadata, &objects, size).await,
            Sending::Change => T::change(self.metadata, &objects, size).await,
        };
        let gave_up = items.iter().flat_map(|item| item.as_ref().err()).any(is_late);
        let silent = if gave_up { silent_service(self.session, &objects).await } else { None };
        let too_many = (gave_up && silent.is_none()).then_some(objects.len().min(size));
        self.session.note_pace(gave_up, too_many);
        for (index, item) in indexes.into_iter().zip(items) {
            let failure = match item {
                Ok(()) => {
                    self.done::<T>(index);
                    continue;
                }
                Err(failure) => failure,
            };
            let step = &mut self.steps[index];
            let what = step.what();
            step.result = match (failure.status(), &sending, &silent) {
                (Some(409), Sending::Add { expected: false }, _) => None,
                // Something came in between, such as what an earlier call had begun.
                (Some(409), Sending::Add { .. }, _) | (Some(404), Sending::Change, _) => {
                    Some(Err(Error::new(
                        ErrorKind::NotReady,
                        format!("{} \"{}\" has just changed", T::WORD, step.name),
                    )
                    .with_source(failure)))
                }
                (_, _, Some(silent)) if is_late(&failure) => {
                    Some(Err(silent.to(what).with_source(failure_of(silent, &failure))))
                }
                _ => Some(Err(failure.to(what))),
            };
        }
    }

    async fn remove<T: Kept>(&mut self, indexes: Vec<usize>) {
        if T::HAS_USERS {
            let ids: Vec<_> = indexes.iter().map(|index| self.steps[*index].id).collect();
            if let Err(error) = credentials::remove_of(self.session, &ids).await {
                for index in indexes {
                    self.steps[index].result = Some(Err(Error::from(error.to_cause())));
                }
                return;
            }
        }
        let metadata = self.metadata;
        let names: Vec<_> = indexes.iter().map(|index| (*index, self.steps[*index].name.clone())).collect();
        let removals =
            names.iter().map(|(index, name)| async move { (*index, T::remove(metadata, name).await) });
        let removals: Vec<_> = removals.collect();
        let results: Vec<_> = stream::iter(removals).buffered(AT_ONCE).collect().await;
        for (index, result) in results {
            match result {
                Ok(()) => self.done::<T>(index),
                Err(failure) => {
                    let what = self.steps[index].what();
                    self.steps[index].result = Some(Err(failure.to(what)));
                }
            }
        }
    }
}

/// What is done with objects.
enum Sending {
    /// They are made; `expected` says whether they were looked for before.
    Add {
        expected: bool,
    },
    Change,
}

fn is_late(failure: &Failure) -> bool {
    matches!(failure.why(), Why::GaveUp | Why::NoAnswer | Why::Mixed)
}

fn failure_of(silent: &Failure, late: &Failure) -> Error {
    Error::new(silent.kind(), silent.to_string()).with_source(late.clone())
}

/// A device service of these devices that does not answer, which explains why core-metadata waited in vain.
async fn silent_service<T: Kept>(session: &Session<'_>, objects: &[T]) -> Option<Failure> {
    let api = session.dialect().await.ok()?.api();
    let services: BTreeSet<_> = objects.iter().filter_map(T::service).collect();
    for name in services.into_iter().filter_map(endpoint_of).filter(|name| session.has(name)) {
        let service = session.service(name).await.ok()?;
        if let Err(failure) = service.ping(api).await {
            return Some(failure);
        }
    }
    None
}
