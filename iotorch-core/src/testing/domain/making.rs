//! Making, changing and removing.

use std::sync::Arc;

use super::{
    Sample,
    stage::{Party, Stage},
};
use crate::{
    domain::Observed,
    resource::{Change, Outputs, Ownership, ResourceId},
    testing::{Failure, Outcome, ensure},
};

impl Stage {
    /// The samples that others live in, outermost last.
    pub(super) fn hosts(&self) -> Vec<Sample> {
        let is_host = |sample: &&Sample| {
            !sample.stays_with_host && self.samples.iter().any(|other| sample.id.contains(&other.id))
        };
        self.samples.iter().rev().filter(is_host).cloned().collect()
    }

    /// What uses a host or something that lives in it, directly or not, and does not live in it itself.
    pub(super) fn users(&self, host: &ResourceId) -> Vec<Sample> {
        let mut doomed = vec![host.clone()];
        let mut users = Vec::new();
        // Samples come after what they use, so one pass finds all.
        for sample in self.samples.iter().filter(|sample| sample.id != *host) {
            let lives_in = doomed.iter().any(|id| id.contains(&sample.id));
            let uses = sample.uses.iter().any(|used| doomed.contains(used));
            if lives_in || uses {
                doomed.push(sample.id.clone());
                if !host.contains(&sample.id) {
                    users.push(sample.clone());
                }
            }
        }
        users.reverse();
        users
    }

    /// Goes over everything whose inputs are not those that it was made with, as core does after a change.
    async fn follow(&mut self) -> Outcome {
        for sample in &*Arc::clone(&self.samples) {
            let Some(made) = self.made.get(&sample.id).cloned() else { continue };
            let inputs = self.inputs(sample, &made.spec)?;
            if inputs == made.inputs {
                continue;
            }
            let change = Change::Update { before: made.spec.clone(), after: made.spec.clone() };
            let outputs =
                self.done(Party::Us, Self::work(sample, change, inputs.clone(), Ownership::Ours)?).await?;
            self.keep(sample, &made.spec, inputs, &outputs)?;
        }
        Ok(())
    }
}

pub(super) async fn what_is_created_is_observed_as_asked(stage: &mut Stage) -> Outcome {
    for sample in &*Arc::clone(&stage.samples) {
        stage.create(sample).await?;
        let seen = stage.look_at(Party::Us, &sample.id).await?;
        let seen =
            seen.ok_or_else(|| Failure::new(format!("\"{}\" was made and cannot be asked", sample.id)))?;
        let told = stage.made.get(&sample.id).map(|made| made.outputs.clone());
        stage.expect_present(&sample.id, &seen, &sample.spec, told.as_ref())?;
    }
    stage.expect_as_made().await
}

pub(super) async fn a_create_that_is_repeated_gives_the_same_outputs(stage: &mut Stage) -> Outcome {
    stage.create_all().await?;
    for reconnected in [false, true] {
        for sample in &*Arc::clone(&stage.samples) {
            let before = stage.made.get(&sample.id).map(|made| made.outputs.clone());
            let again = stage.create(sample).await?;
            ensure!(
                before.as_ref() == Some(&again),
                "\"{}\" told {before:?}; repeated, it tells {again:?}",
                sample.id
            );
        }
        stage.expect_as_made().await?;
        if !reconnected {
            stage.reconnect()?;
        }
    }
    Ok(())
}

pub(super) async fn an_update_in_place_is_observed(stage: &mut Stage) -> Outcome {
    stage.create_all().await?;
    for sample in &*Arc::clone(&stage.samples) {
        let Some(updated) = &sample.updated else { continue };
        let inputs = stage.inputs(sample, updated)?;
        let change = Change::Update { before: sample.spec.clone(), after: updated.clone() };
        let work = Stage::work(sample, change, inputs.clone(), Ownership::Ours)?;
        let outputs = stage.done(Party::Us, work.clone()).await?;
        let again = stage.done(Party::Us, work).await?;
        ensure!(
            outputs == again,
            "updated, \"{}\" told {outputs:?}; repeated, the update tells {again:?}",
            sample.id
        );
        stage.keep(sample, updated, inputs, &outputs)?;
        stage.follow().await?;
    }
    stage.expect_as_made().await
}

pub(super) async fn a_step_converges_from_another_state_of_the_object(stage: &mut Stage) -> Outcome {
    stage.create_all().await?;
    for sample in &*Arc::clone(&stage.samples) {
        let Some(updated) = &sample.updated else { continue };
        // A create of what is there in another form, as after a crash between two changes; then an update whose beginning is not
        // what is there, as when an undo is repeated.
        let creation = Change::Create { after: updated.clone() };
        let stale = Change::Update { before: sample.spec.clone(), after: sample.spec.clone() };
        for (change, after) in [(creation, updated), (stale, &sample.spec)] {
            let inputs = stage.inputs(sample, after)?;
            let work = Stage::work(sample, change, inputs.clone(), Ownership::Ours)?;
            let outputs = stage.done(Party::Us, work).await?;
            stage.keep(sample, after, inputs, &outputs)?;
            stage.follow().await?;
            stage.expect_as_made().await?;
        }
    }
    Ok(())
}

pub(super) async fn what_is_deleted_is_absent(stage: &mut Stage) -> Outcome {
    stage.create_all().await?;
    for sample in Arc::clone(&stage.samples).iter().rev() {
        stage.delete(sample).await?;
        stage.expect_as_made().await?;
    }
    Ok(())
}

pub(super) async fn deleting_again_succeeds(stage: &mut Stage) -> Outcome {
    stage.create_all().await?;
    for sample in Arc::clone(&stage.samples).iter().rev() {
        let work = stage.deletion(sample)?;
        stage.delete(sample).await?;
        let again = stage.done(Party::Us, work).await?;
        ensure!(
            matches!(again, Outputs::Removed { .. }),
            "deleting \"{}\" again gives outputs: {again:?}",
            sample.id
        );
    }
    stage.expect_as_made().await
}

pub(super) async fn what_was_deleted_can_be_made_again(stage: &mut Stage) -> Outcome {
    stage.create_all().await?;
    for sample in Arc::clone(&stage.samples).iter().rev() {
        stage.delete(sample).await?;
    }
    stage.create_all().await?;
    stage.expect_as_made().await
}

pub(super) async fn a_host_takes_its_contents_along(stage: &mut Stage) -> Outcome {
    for host in stage.hosts() {
        stage.create_all().await?;
        for user in stage.users(&host.id) {
            stage.delete(&user).await?;
        }
        let before = stage.look(Party::Us, &host.id.scope()).await?.unwrap_or_default();
        stage.delete(&host).await?;
        let after = stage.look(Party::Us, &host.id.scope()).await?.unwrap_or_default();
        for inside in before.keys().filter(|id| host.id.contains(id)) {
            let observed = after.get(inside);
            ensure!(
                matches!(observed, None | Some(Observed::Absent)),
                "\"{}\" was deleted, and in it is seen \"{inside}\": {observed:?}",
                host.id
            );
        }
    }
    stage.create_all().await?;
    stage.expect_as_made().await
}
