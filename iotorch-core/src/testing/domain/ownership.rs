//! What belongs to somebody else.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Sample,
    stage::{Party, Stage},
};
use crate::{
    domain::Observed,
    driver::Verdict,
    error::ErrorKind,
    resource::{Change, KindName, Outputs, Ownership, Spec},
    testing::{Failure, Outcome, ensure},
};

impl Stage {
    /// Has the other installation make a sample, and gives the step that did and what it told.
    pub(super) async fn make_foreign(&mut self, sample: &Sample, spec: &Spec) -> Result<Outputs, Failure> {
        let work = self.creation(sample, spec)?;
        self.done(Party::Them, work).await
    }

    /// Has the other installation remove what it made of a sample.
    pub(super) async fn remove_foreign(&mut self, sample: &Sample, spec: &Spec) -> Outcome {
        let change = Change::Delete { before: spec.clone() };
        let work = Self::work(sample, change, self.inputs(sample, spec)?, Ownership::Ours)?;
        self.done(Party::Them, work).await.map(drop)
    }

    /// What can be looked at before it is recorded: core never asks in an application that it did not make.
    fn is_seen_unrecorded(sample: &Sample) -> bool {
        sample.id.kind() != KindName::Application
    }

    /// Whether a party sees what the sample lives in. It does not where the name of the host follows from the installation: then it sees
    /// nothing in it either, though it can be told to work there.
    async fn sees_host(&self, party: Party, sample: &Sample) -> Result<bool, Failure> {
        let Some(host) = sample.id.host().filter(|host| self.samples.iter().any(|other| other.id == *host))
        else {
            return Ok(true);
        };
        Ok(self.look_at(party, &host).await? != Some(Observed::Absent))
    }

    /// What is seen of a foreign object, as its owner and, where that can be told, what it is like.
    async fn look_at_foreign(&self, sample: &Sample) -> Result<(String, Option<Spec>), Failure> {
        match self.look_at(Party::Us, &sample.id).await? {
            Some(Observed::Foreign { owner, spec }) => Ok((owner, spec)),
            other => {
                Err(Failure::new(format!("\"{}\" is somebody else's and is seen as {other:?}", sample.id)))
            }
        }
    }
}

pub(super) async fn a_foreign_object_is_observed_as_foreign_and_refused_with_conflict(
    stage: &mut Stage,
) -> Outcome {
    let them = Party::Them.installation();
    for sample in &*Arc::clone(&stage.samples) {
        if !sample.marked {
            stage.create(sample).await?;
            continue;
        }
        let (id, spec) = (&sample.id, &sample.spec);
        let theirs = stage.make_foreign(sample, spec).await?;
        if Stage::is_seen_unrecorded(sample) {
            let (owner, _) = stage.look_at_foreign(sample).await?;
            ensure!(
                owner.contains(them),
                "\"{id}\" is said to belong to {owner:?}, and its mark is of {them}"
            );
            let nothing = BTreeSet::new();
            let seen = stage.look_knowing(Party::Us, &id.scope(), nothing.clone(), &nothing).await?;
            let seen = seen.and_then(|mut seen| seen.remove(id));
            ensure!(
                !matches!(seen, Some(Observed::Present { .. })),
                "\"{id}\" is somebody else's and is taken for ours where nobody knows it"
            );
        }
        let changed = sample.updated.clone().unwrap_or_else(|| spec.clone());
        let changes = [
            ("creating", Change::Create { after: spec.clone() }),
            ("changing", Change::Update { before: spec.clone(), after: changed }),
            ("deleting", Change::Delete { before: spec.clone() }),
        ];
        for (what, change) in changes {
            let what = format!("{what} \"{id}\", which is somebody else's,");
            let work = Stage::work(sample, change, stage.inputs(sample, spec)?, Ownership::Ours)?;
            let error = stage.refused(Party::Us, work, ErrorKind::Conflict, &what).await?;
            let told = format!("{} {:?}", error.to_cause(), error.to_cause().context);
            ensure!(told.contains(them), "the refusal does not name the owner of \"{id}\": {told}");
        }
        if Stage::is_seen_unrecorded(sample) && stage.sees_host(Party::Them, sample).await? {
            let seen = stage.look_at(Party::Them, id).await?;
            let seen = seen.ok_or_else(|| Failure::new(format!("\"{id}\" cannot be asked")))?;
            stage.expect_present(id, &seen, spec, Some(&theirs))?;
        }
        stage.remove_foreign(sample, spec).await?;
        stage.create(sample).await?;
    }
    stage.expect_as_made().await
}

pub(super) async fn an_object_is_adopted_and_given_back_as_it_was(stage: &mut Stage) -> Outcome {
    for sample in &*Arc::clone(&stage.samples) {
        if !sample.marked || !Stage::is_seen_unrecorded(sample) {
            stage.create(sample).await?;
            continue;
        }
        let (id, wanted) = (&sample.id, &sample.spec);
        let theirs = sample.updated.clone().unwrap_or_else(|| wanted.clone());
        stage.make_foreign(sample, &theirs).await?;
        let (_, found) = stage.look_at_foreign(sample).await?;
        let unread = || Failure::new(format!("what \"{id}\" is like is not told, so it cannot be adopted"));
        let found = found.ok_or_else(unread)?;
        let verdict = stage.driver.compare(&found, &theirs);
        ensure!(verdict == Verdict::Same, "\"{id}\" is found as {found:?}; it was made as {theirs:?}");

        let adoption = Change::Update { before: found.clone(), after: wanted.clone() };
        let inputs = stage.inputs(sample, wanted)?;
        let adopt = Stage::work(sample, adoption.clone(), inputs.clone(), Ownership::Adopt)?;
        let outputs = stage.done(Party::Us, adopt.clone()).await?;
        let again = stage.done(Party::Us, adopt.clone()).await?;
        ensure!(outputs == again, "adopted, \"{id}\" told {outputs:?}; repeated, it tells {again:?}");
        stage.keep(sample, wanted, inputs.clone(), &outputs)?;
        stage.expect_as_made().await?;

        stage.made.remove(id);
        let release = Stage::work(sample, adoption.inverse(), inputs.clone(), Ownership::Release)?;
        for _ in 0..2 {
            stage.done(Party::Us, release.clone()).await?;
            let (_, back) = stage.look_at_foreign(sample).await?;
            let is_same =
                back.as_ref().is_some_and(|back| stage.driver.compare(back, &found) == Verdict::Same);
            ensure!(is_same, "\"{id}\" was given back as {back:?}; it was found as {found:?}");
        }

        let outputs = stage.done(Party::Us, adopt).await?;
        stage.keep(sample, wanted, inputs, &outputs)?;
        stage.expect_as_made().await?;
    }
    // What was adopted is ours to delete.
    for sample in Arc::clone(&stage.samples).iter().rev() {
        stage.delete(sample).await?;
    }
    stage.expect_as_made().await
}
