//! The stage of a trial: calls a domain as core does, and keeps records of what was made.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Ability, Sample, Subject,
    judging::{expect_kind, outputs_fit},
};
use crate::{
    domain::{Context, Domain, Observed, Scope},
    driver::Driver,
    error::{Error, ErrorKind, Result},
    resource::{
        ApplicationOutputs, Change, Inputs, KindName, Outputs, Ownership, ResourceId, Spec, Work,
        resolve_inputs,
    },
    secret::SecretValue,
    testing::{Failure, Outcome, ensure},
};

/// How long a call may take, with all repeats while it is not ready.
const DEADLINE: Duration = Duration::from_secs(60);

/// The pause before something that is not ready is asked again.
const NOT_READY_PAUSE: Duration = Duration::from_millis(20);

/// The shortest secret value that is looked for: a shorter one occurs by chance.
const SHORTEST_SECRET: usize = 6;

/// Whose calls they are: two installations of iotorch that share a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    Us,
    Them,
}

impl Party {
    /// The identity of the installation, of the form that stores give out.
    pub(super) const fn installation(self) -> &'static str {
        match self {
            Self::Us => "00000000000000a1",
            Self::Them => "00000000000000b2",
        }
    }
}

/// What was made of a sample.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) spec: Spec,
    pub(super) inputs: Inputs,
    pub(super) outputs: Outputs,
}

pub(super) type Sights = BTreeMap<ResourceId, Observed>;

pub(super) struct Stage {
    subject: Box<dyn Subject>,
    lacks: BTreeSet<Ability>,
    pub(super) driver: Arc<dyn Driver>,
    domain: Arc<dyn Domain>,
    pub(super) samples: Arc<[Sample]>,
    surroundings: BTreeMap<ResourceId, Outputs>,
    pub(super) made: BTreeMap<ResourceId, Made>,
    /// Every secret value that was ever there.
    pub(super) planted: Vec<SecretValue>,
}

impl Stage {
    pub(super) async fn open(subject: Box<dyn Subject>, lacks: BTreeSet<Ability>) -> Result<Self> {
        let driver = subject.driver();
        let domain = driver.connect(&subject.target())?;
        let (samples, surroundings) = (subject.samples().into(), subject.surroundings());
        let (made, planted) = (BTreeMap::new(), Vec::new());
        let mut stage = Self { subject, lacks, driver, domain, samples, surroundings, made, planted };
        stage.note_secrets().await?;
        Ok(stage)
    }

    pub(super) async fn close(self) {
        self.subject.end().await;
    }

    pub(super) fn lacks(&self, ability: Ability) -> bool {
        self.lacks.contains(&ability)
    }

    pub(super) fn subject(&self) -> &dyn Subject {
        &*self.subject
    }

    /// The connected domain, for calls beside each other.
    pub(super) fn domain(&self) -> Arc<dyn Domain> {
        Arc::clone(&self.domain)
    }

    /// Connects again, as the next process does.
    pub(super) fn reconnect(&mut self) -> Result<()> {
        self.driver = self.subject.driver();
        self.domain = self.driver.connect(&self.subject.target())?;
        Ok(())
    }

    /// Takes in the secrets there are; domains may add some.
    async fn note_secrets(&mut self) -> Result<()> {
        let secrets = self.subject.secrets();
        for name in secrets.list("").await? {
            let value = secrets.fetch(&name).await?;
            if value.expose().len() >= SHORTEST_SECRET && !self.planted.contains(&value) {
                self.planted.push(value);
            }
        }
        Ok(())
    }

    pub(super) fn context(&self, party: Party) -> Context {
        Context {
            installation: party.installation().into(),
            deadline: Instant::now() + DEADLINE,
            cancelled: CancellationToken::new(),
            secrets: self.subject.secrets(),
            places: self.subject.places(),
        }
    }

    pub(super) fn sample(&self, id: &ResourceId) -> Result<&Sample, Failure> {
        let found = self.samples.iter().find(|sample| sample.id == *id);
        found.ok_or_else(|| Failure::new(format!("there is no sample \"{id}\"")))
    }

    fn outputs_of(&self, id: &ResourceId) -> Option<Outputs> {
        let made = self.made.get(id).map(|made| &made.outputs);
        made.or_else(|| self.surroundings.get(id)).cloned()
    }

    pub(super) fn inputs(&self, sample: &Sample, spec: &Spec) -> Result<Inputs> {
        resolve_inputs(&sample.id, spec, &sample.uses, &|id: &ResourceId| self.outputs_of(id))
    }

    pub(super) fn work(
        sample: &Sample,
        change: Change<Spec>,
        inputs: Inputs,
        ownership: Ownership,
    ) -> Result<Work, Failure> {
        Work::new(sample.id.clone(), change, inputs, ownership)
            .ok_or_else(|| Failure::new(format!("the specification of \"{}\" is of another kind", sample.id)))
    }

    /// The step that makes a sample.
    pub(super) fn creation(&self, sample: &Sample, spec: &Spec) -> Result<Work, Failure> {
        let inputs = self.inputs(sample, spec)?;
        Self::work(sample, Change::Create { after: spec.clone() }, inputs, Ownership::Ours)
    }

    /// The step that removes what was made.
    pub(super) fn deletion(&self, sample: &Sample) -> Result<Work, Failure> {
        let missing = || Failure::new(format!("\"{}\" was not made", sample.id));
        let Made { spec, inputs, .. } = self.made.get(&sample.id).cloned().ok_or_else(missing)?;
        Self::work(sample, Change::Delete { before: spec }, inputs, Ownership::Ours)
    }

    /// One call.
    pub(super) async fn call_once(
        &mut self,
        cx: &Context,
        works: Vec<Work>,
    ) -> Result<Vec<Result<Outputs>>, Failure> {
        let ids: Vec<_> = works.iter().map(|work| work.id().clone()).collect();
        let what = ids.iter().map(ResourceId::as_str).collect::<Vec<_>>().join(", ");
        let results = tokio::time::timeout_at(cx.deadline, self.domain.apply(cx, works)).await;
        let late = |_| Failure::new(format!("the call on {what} gave no answer before its deadline"));
        let results = results.map_err(late)?;
        ensure!(results.len() == ids.len(), "{} steps on {what} gave {} results", ids.len(), results.len());
        self.note_secrets().await?;
        for (id, result) in ids.iter().zip(&results) {
            match result {
                Ok(outputs) => {
                    self.expect_no_secret(outputs, &format!("the outputs of \"{id}\""))?;
                }
                Err(error) => self.expect_well_said(error, &format!("the step on \"{id}\""))?,
            }
        }
        Ok(results)
    }

    /// A call that is made again while something is not ready.
    pub(super) async fn call(
        &mut self,
        cx: &Context,
        works: Vec<Work>,
    ) -> Result<Vec<Result<Outputs>>, Failure> {
        let mut results = self.call_once(cx, works.clone()).await?;
        loop {
            let is_unready = |result: &Result<Outputs>| matches!(result, Err(error) if error.kind() == ErrorKind::NotReady);
            let unready: Vec<_> = (0..results.len()).filter(|index| is_unready(&results[*index])).collect();
            if unready.is_empty() || Instant::now() >= cx.deadline {
                return Ok(results);
            }
            tokio::time::sleep(NOT_READY_PAUSE).await;
            let again = unready.iter().map(|index| works[*index].clone()).collect();
            for (index, result) in unready.into_iter().zip(self.call_once(cx, again).await?) {
                results[index] = result;
            }
        }
    }

    /// A call of a single step.
    pub(super) async fn step(&mut self, party: Party, work: Work) -> Result<Result<Outputs>, Failure> {
        let cx = self.context(party);
        let mut results = self.call(&cx, vec![work]).await?;
        Ok(results.remove(0))
    }

    /// A single step that has to succeed.
    pub(super) async fn done(&mut self, party: Party, work: Work) -> Result<Outputs, Failure> {
        let id = work.id().clone();
        match self.step(party, work).await? {
            Ok(outputs) => Ok(outputs),
            Err(error) => Err(Failure::new(format!("the step on \"{id}\" failed: {}", error.to_cause()))),
        }
    }

    /// A single step that has to fail with `kind`.
    pub(super) async fn refused(
        &mut self,
        party: Party,
        work: Work,
        kind: ErrorKind,
        what: &str,
    ) -> Result<Error, Failure> {
        let result = self.step(party, work).await?;
        expect_kind(result, kind, what)
    }

    /// Makes a sample, and keeps the record of it.
    pub(super) async fn create(&mut self, sample: &Sample) -> Result<Outputs, Failure> {
        let work = self.creation(sample, &sample.spec)?;
        let outputs = self.done(Party::Us, work.clone()).await?;
        self.keep(sample, &sample.spec, work.inputs(), &outputs)?;
        Ok(outputs)
    }

    /// Keeps the record of what was made.
    pub(super) fn keep(
        &mut self,
        sample: &Sample,
        spec: &Spec,
        inputs: Inputs,
        outputs: &Outputs,
    ) -> Outcome {
        ensure!(
            outputs_fit(sample.id.kind(), outputs),
            "\"{}\" tells what another kind would tell: {outputs:?}",
            sample.id
        );
        let made = Made { spec: spec.clone(), inputs, outputs: outputs.clone() };
        self.made.insert(sample.id.clone(), made);
        Ok(())
    }

    /// Makes all samples, in order; what is there already is gone over again.
    pub(super) async fn create_all(&mut self) -> Outcome {
        for sample in &*Arc::clone(&self.samples) {
            self.create(sample).await?;
        }
        Ok(())
    }

    /// Removes what was made of a sample, and drops the records of it and of what lives in it.
    pub(super) async fn delete(&mut self, sample: &Sample) -> Outcome {
        let work = self.deletion(sample)?;
        let gone = self.done(Party::Us, work).await?;
        let Outputs::Removed { residue } = gone else {
            return Err(Failure::new(format!("deleting \"{}\" gives outputs: {gone:?}", sample.id)));
        };
        self.made.retain(|id, _| *id != sample.id && !sample.id.contains(id));
        if !sample.stays_with_host {
            self.expect_gone(&sample.id, &residue).await?;
        }
        Ok(())
    }

    /// Looks at a scope as `party`; `None` where core would not ask, since the application was never made.
    pub(super) async fn look(&self, party: Party, root: &ResourceId) -> Result<Option<Sights>, Failure> {
        let inside = |id: &&ResourceId| id.scope() == *root;
        let recorded: BTreeSet<_> = self.made.keys().filter(inside).cloned().collect();
        let known = self.samples.iter().map(|sample| &sample.id).filter(inside).cloned().collect();
        self.look_knowing(party, root, known, &recorded).await
    }

    /// Looks at a scope of which only `known` is known and only `recorded` was recorded.
    pub(super) async fn look_knowing(
        &self,
        party: Party,
        root: &ResourceId,
        mut known: BTreeSet<ResourceId>,
        recorded: &BTreeSet<ResourceId>,
    ) -> Result<Option<Sights>, Failure> {
        known.insert(root.clone());
        let application = self.application(root);
        if root.kind() == KindName::Application && application.is_none() {
            return Ok(None);
        }
        let spec_of = |id: &ResourceId| Some((id.clone(), Arc::new(self.made.get(id)?.spec.clone())));
        let recorded = recorded.iter().filter_map(spec_of).collect();
        let scope = Scope { root: root.clone(), known, recorded, application };
        let cx = self.context(party);
        let seen = tokio::time::timeout_at(cx.deadline, self.domain.observe(&cx, &scope)).await;
        let seen = seen.map_err(|_| Failure::new(format!("observing \"{root}\" gives no answer")))?;
        if let Err(error) = &seen {
            self.expect_well_said(error, &format!("observing \"{root}\""))?;
        }
        self.sights(&scope, seen?).map(Some)
    }

    /// The error that looking at a scope comes to.
    pub(super) async fn look_fails(&self, root: &ResourceId, kind: ErrorKind) -> Outcome {
        let known = BTreeSet::from([root.clone()]);
        let recorded = self.made.iter().filter(|(id, _)| id.scope() == *root);
        let recorded = recorded.map(|(id, made)| (id.clone(), Arc::new(made.spec.clone()))).collect();
        let scope = Scope { root: root.clone(), known, recorded, application: self.application(root) };
        let seen = self.domain.observe(&self.context(Party::Us), &scope).await;
        let error = expect_kind(seen, kind, &format!("observing \"{root}\""))?;
        self.expect_well_said(&error, &format!("observing \"{root}\""))
    }

    fn application(&self, root: &ResourceId) -> Option<ApplicationOutputs> {
        match self.outputs_of(root) {
            Some(Outputs::Application(outputs)) => Some(outputs),
            _ => None,
        }
    }

    /// What is seen of one resource; `None` where core would not ask.
    pub(super) async fn look_at(&self, party: Party, id: &ResourceId) -> Result<Option<Observed>, Failure> {
        Ok(self.look(party, &id.scope()).await?.and_then(|mut seen| seen.remove(id)))
    }

    /// The scopes of all samples.
    pub(super) fn roots(&self) -> BTreeSet<ResourceId> {
        self.samples.iter().map(|sample| sample.id.scope()).collect()
    }
}
