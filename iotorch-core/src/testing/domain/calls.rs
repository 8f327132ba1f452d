//! Calls: batches, calls at the same time, calls that are stopped, and calls that cannot succeed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::join_all;

use super::{
    Sample,
    judging::expect_kind,
    stage::{Party, Stage},
};
use crate::{
    error::{ErrorKind, Result},
    resource::{Change, KindName, Outputs, Ownership, ResourceId, Work},
    testing::{Failure, Outcome, ensure},
};

/// What counts as at once: long enough for a slow machine, and much shorter than any wait for a system.
const AT_ONCE: Duration = Duration::from_secs(10);

impl Stage {
    /// The samples that one call could do together: two or more of one kind in one scope.
    pub(super) fn groups(&self) -> Vec<Vec<ResourceId>> {
        let mut groups: BTreeMap<(ResourceId, KindName), Vec<ResourceId>> = BTreeMap::new();
        for sample in self.samples.iter().filter(|sample| !sample.stays_with_host) {
            groups.entry((sample.id.scope(), sample.id.kind())).or_default().push(sample.id.clone());
        }
        groups.into_values().filter(|group| group.len() > 1).collect()
    }

    /// Makes everything but a group, what lives in it, and what uses it.
    async fn create_all_but(&mut self, group: &[ResourceId]) -> Result<Vec<Sample>, Failure> {
        self.create_all().await?;
        for id in group.iter().rev() {
            for user in self.users(id) {
                if self.made.contains_key(&user.id) {
                    self.delete(&user).await?;
                }
            }
            // It can be gone already, as a user of another of the group.
            if self.made.contains_key(id) {
                let sample = self.sample(id)?.clone();
                self.delete(&sample).await?;
            }
        }
        group.iter().map(|id| self.sample(id).cloned()).collect()
    }

    /// Keeps the records of steps that had to succeed, and goes over each again: a result that belongs to another step differs.
    async fn expect_each(
        &mut self,
        samples: &[Sample],
        works: &[Work],
        results: Vec<Result<Outputs>>,
    ) -> Outcome {
        for ((sample, work), result) in samples.iter().zip(works).zip(results) {
            let failed = |error: crate::Error| {
                Failure::new(format!("the step on \"{}\" failed: {}", sample.id, error.to_cause()))
            };
            let outputs = result.map_err(failed)?;
            self.keep(sample, &sample.spec, work.inputs(), &outputs)?;
            let again = self.done(Party::Us, work.clone()).await?;
            ensure!(
                outputs == again,
                "\"{}\" told {outputs:?}; repeated by itself, it tells {again:?}",
                sample.id
            );
        }
        self.expect_as_made().await
    }

    fn creations(&self, samples: &[Sample]) -> Result<Vec<Work>, Failure> {
        samples.iter().map(|sample| self.creation(sample, &sample.spec)).collect()
    }

    /// The groups whose kind takes more than one step in a call, each cut to that limit.
    fn batches(&self) -> Vec<Vec<ResourceId>> {
        let info = self.driver.info();
        let mut groups = self.groups();
        for group in &mut groups {
            let limit = group.first().map_or(1, |id| info.batch_limit(id.kind()));
            group.truncate(limit);
        }
        groups.retain(|group| group.len() > 1);
        groups
    }
}

pub(super) async fn a_batch_gives_one_result_each_in_order(stage: &mut Stage) -> Outcome {
    for group in stage.batches() {
        let samples = stage.create_all_but(&group).await?;
        let works = stage.creations(&samples)?;
        let cx = stage.context(Party::Us);
        let results = stage.call(&cx, works.clone()).await?;
        stage.expect_each(&samples, &works, results).await?;
        let works = samples.iter().map(|sample| stage.deletion(sample)).collect::<Result<Vec<_>, _>>()?;
        let cx = stage.context(Party::Us);
        for (sample, result) in samples.iter().zip(stage.call(&cx, works).await?) {
            ensure!(
                matches!(result, Ok(Outputs::Removed { .. })),
                "deleted in a batch, \"{}\" gives {result:?}",
                sample.id
            );
            stage.made.remove(&sample.id);
        }
        stage.expect_as_made().await?;
    }
    Ok(())
}

/// Does a batch of which the step on `odd` fails with `kind`, whatever it is given.
async fn with_one_that_fails(
    stage: &mut Stage,
    samples: &[Sample],
    odd: &Sample,
    step: Work,
    kind: ErrorKind,
) -> Outcome {
    let mut works = stage.creations(samples)?;
    let mut others = samples.to_vec();
    let position = samples.iter().position(|sample| sample.id == odd.id).unwrap_or_default();
    works[position] = step;
    let cx = stage.context(Party::Us);
    let mut results = stage.call(&cx, works.clone()).await?;
    expect_kind(results.remove(position), kind, &format!("the step on \"{}\" in a batch", odd.id))?;
    works.remove(position);
    others.remove(position);
    for ((sample, work), result) in others.iter().zip(&works).zip(&results) {
        let Ok(outputs) = result else {
            return Err(Failure::new(format!(
                "the step on \"{}\" failed with the one on \"{}\": {result:?}",
                sample.id, odd.id
            )));
        };
        stage.keep(sample, &sample.spec, work.inputs(), outputs)?;
    }
    Ok(())
}

pub(super) async fn a_foreign_object_in_a_batch_leaves_the_others_alone(stage: &mut Stage) -> Outcome {
    for group in stage.batches() {
        let samples = stage.create_all_but(&group).await?;
        let Some(odd) = samples.iter().find(|sample| sample.marked) else { continue };
        stage.make_foreign(odd, &odd.spec).await?;
        let step = stage.creation(odd, &odd.spec)?;
        with_one_that_fails(stage, &samples, odd, step, ErrorKind::Conflict).await?;
        stage.remove_foreign(odd, &odd.spec).await?;
        stage.expect_as_made().await?;
    }
    Ok(())
}

pub(super) async fn wrong_input_in_a_batch_leaves_the_others_alone(stage: &mut Stage) -> Outcome {
    for group in stage.batches() {
        let samples = stage.create_all_but(&group).await?;
        let Some((odd, wrong)) = samples.iter().find_map(|sample| Some((sample, sample.wrong.clone()?)))
        else {
            continue;
        };
        let step = stage.creation(odd, &wrong)?;
        with_one_that_fails(stage, &samples, odd, step, ErrorKind::Invalid).await?;
        stage.expect_as_made().await?;
    }
    Ok(())
}

pub(super) async fn calls_at_the_same_time_leave_each_other_alone(stage: &mut Stage) -> Outcome {
    for group in stage.groups() {
        let samples = stage.create_all_but(&group).await?;
        let works = stage.creations(&samples)?;
        let results = stage.call_at_once(works.clone()).await?;
        stage.expect_each(&samples, &works, results).await?;
    }
    Ok(())
}

impl Stage {
    /// One call for each step, all at the same time; those that are not ready are called again one by one.
    async fn call_at_once(&mut self, works: Vec<Work>) -> Result<Vec<Result<Outputs>>, Failure> {
        let cx = self.context(Party::Us);
        let domain = self.domain();
        let calls = works.iter().map(|work| domain.apply(&cx, vec![work.clone()]));
        let mut results = Vec::with_capacity(works.len());
        for (answers, work) in join_all(calls).await.into_iter().zip(works) {
            let id = work.id().clone();
            let mut answers = answers.into_iter();
            let (Some(answer), None) = (answers.next(), answers.next()) else {
                return Err(Failure::new(format!("one step on \"{id}\" gave not one result")));
            };
            results.push(match answer {
                Err(error) if error.kind() == ErrorKind::NotReady => self.step(Party::Us, work).await?,
                answer => answer,
            });
        }
        Ok(results)
    }
}

pub(super) async fn wrong_input_is_invalid_and_changes_nothing(stage: &mut Stage) -> Outcome {
    for sample in &*Arc::clone(&stage.samples) {
        let Some(wrong) = &sample.wrong else {
            stage.create(sample).await?;
            continue;
        };
        let what = format!("making \"{}\" from wrong input", sample.id);
        let creation = stage.creation(sample, wrong)?;
        stage.refused(Party::Us, creation, ErrorKind::Invalid, &what).await?;
        stage.expect_as_made().await?;
        stage.create(sample).await?;
        let what = format!("changing \"{}\" to wrong input", sample.id);
        let change = Change::Update { before: sample.spec.clone(), after: wrong.clone() };
        let update = Stage::work(sample, change, stage.inputs(sample, wrong)?, Ownership::Ours)?;
        stage.refused(Party::Us, update, ErrorKind::Invalid, &what).await?;
        stage.expect_as_made().await?;
    }
    Ok(())
}

pub(super) async fn a_system_out_of_reach_is_unavailable_and_is_found_as_it_was(
    stage: &mut Stage,
) -> Outcome {
    stage.create_all().await?;
    stage.subject().cut_off().await?;
    // To connect is no call: it succeeds whether the system is there or not.
    stage.reconnect()?;
    for root in stage.roots() {
        stage.look_fails(&root, ErrorKind::Unavailable).await?;
    }
    for sample in Arc::clone(&stage.samples).iter().rev() {
        let mut works = vec![stage.creation(sample, &sample.spec)?];
        if !sample.stays_with_host {
            works.push(stage.deletion(sample)?);
        }
        for work in works {
            let cx = stage.context(Party::Us);
            let result = stage.call_once(&cx, vec![work]).await?.remove(0);
            // Software that does not answer may be starting.
            let is_starting = sample.id.kind() == KindName::Application
                && matches!(&result, Err(error) if error.kind() == ErrorKind::NotReady);
            if !is_starting {
                expect_kind(
                    result,
                    ErrorKind::Unavailable,
                    &format!("a step on \"{}\" out of reach", sample.id),
                )?;
            }
        }
    }
    stage.subject().bring_back().await?;
    stage.reconnect()?;
    stage.expect_as_made().await
}

pub(super) async fn a_stop_ends_waits_at_once_and_lets_mutations_finish(stage: &mut Stage) -> Outcome {
    for sample in &*Arc::clone(&stage.samples) {
        let work = stage.creation(sample, &sample.spec)?;
        stage.stopped(work).await?;
        stage.create(sample).await?;
    }
    stage.expect_as_made().await?;
    for sample in Arc::clone(&stage.samples).iter().rev() {
        let work = stage.deletion(sample)?;
        stage.stopped(work).await?;
        stage.delete(sample).await?;
    }
    stage.expect_as_made().await
}

impl Stage {
    /// A call that the person asks to stop once it has begun.
    async fn stopped(&mut self, work: Work) -> Outcome {
        let id = work.id().clone();
        let cx = self.context(Party::Us);
        let cancelled = cx.cancelled.clone();
        let call = async {
            let result = tokio::time::timeout(AT_ONCE, self.call_once(&cx, vec![work])).await;
            result.map_err(|_| Failure::new(format!("the step on \"{id}\" goes on after it was stopped")))
        };
        let (result, ()) = futures::join!(call, async { cancelled.cancel() });
        match result??.remove(0) {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::NotReady | ErrorKind::Cancelled) => Ok(()),
            Err(error) => Err(Failure::new(format!(
                "the step on \"{id}\" failed because it was stopped: {}",
                error.to_cause()
            ))),
        }
    }
}

pub(super) async fn a_missing_secret_is_told_without_showing_others(stage: &mut Stage) -> Outcome {
    let secrets = stage.subject().secrets();
    let mut kept = Vec::new();
    for name in secrets.list("").await? {
        kept.push((name.clone(), secrets.fetch(&name).await?));
    }
    for sample in &*Arc::clone(&stage.samples) {
        let work = stage.creation(sample, &sample.spec)?;
        for (name, _) in &kept {
            secrets.remove(name).await?;
        }
        // It may do without a secret, or fail for want of one; the text is what is judged, with every call.
        let cx = stage.context(Party::Us);
        stage.call_once(&cx, vec![work]).await?;
        for (name, value) in &kept {
            secrets.put(name, value.clone()).await?;
        }
        stage.create(sample).await?;
    }
    stage.expect_as_made().await
}
