//! How a run ends or stays open, and what has to be tidied then.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    run::{Ended, Saga},
    tally::StepState,
    unwind::cause_of,
};
use crate::{
    error::{Cause, ErrorKind, Result},
    observer::Progress,
    plan::{Phase, minted},
    resource::Outputs,
    secret::{SecretRef, mint},
    store::{Record, RunState, RunStatus, Write},
};

impl Saga {
    /// Makes sure of the secrets that the steps need, before the first one.
    pub(super) async fn mint(&self) -> Result<()> {
        if self.tally.committed || self.tally.unwinding {
            return Ok(());
        }
        let secrets = &self.caller.shared.secrets;
        for secret in &self.run.plan.secrets {
            match secrets.fetch(secret).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => secrets.put(secret, mint()).await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes the secrets that no record names any more.
    async fn remove_secrets(&self) -> Result<()> {
        let named: BTreeSet<&SecretRef> =
            self.records.values().filter_map(|record| minted(&record.spec)).collect();
        let earlier = self.tally.given.iter().flatten().flat_map(|given| &given.prior);
        let earlier = earlier.filter_map(|record| minted(&record.spec));
        let candidates: BTreeSet<&SecretRef> = self.run.plan.secrets.iter().chain(earlier).collect();
        for secret in candidates.difference(&named) {
            self.caller.shared.secrets.remove(secret).await?;
        }
        Ok(())
    }

    /// Ends the run.
    pub(super) async fn close(mut self, state: RunState) -> Result<Ended> {
        let mut writes = std::mem::take(&mut self.backlog);
        if state == RunState::Kept {
            for record in self.in_doubt() {
                self.records.insert(record.id.clone(), Arc::clone(&record));
                writes.push(Write::PutRecord(record));
            }
            if !self.tally.committed
                && let Some(document) = &self.run.plan.document
            {
                writes.push(Write::PutSlice(Arc::clone(document)));
            }
        }
        self.remove_secrets().await?;
        let (plan, residue) = (Arc::clone(&self.run.plan), self.residue());
        for (holder, wanted) in &plan.claims {
            let held = match state {
                RunState::RolledBack => plan.held.get(holder),
                RunState::Kept if !self.records.contains_key(holder) => None,
                _ => Some(wanted),
            };
            writes.push(match held {
                Some(claims) => Write::Reserve(holder.clone(), claims.clone()),
                None => Write::Release(holder.clone()),
            });
        }
        self.end(state, writes, residue).await
    }

    /// Leaves the run open.
    pub(super) async fn stay(mut self, state: RunState) -> Result<Ended> {
        let writes = std::mem::take(&mut self.backlog);
        if state == RunState::Stuck && self.tally.committed {
            let open = self
                .run
                .plan
                .numbered()
                .filter(|(id, step)| step.phase == Phase::Reap && !self.tally.is_settled(*id));
            self.left_behind = open.map(|(_, step)| step.resource.to_string()).collect();
        }
        let residue = self.residue();
        self.end(state, writes, residue).await
    }

    async fn end(self, state: RunState, mut writes: Vec<Write>, residue: Vec<String>) -> Result<Ended> {
        let shared = &self.caller.shared;
        let failure = self.tally.failure.as_ref();
        let status = RunStatus {
            state,
            since: shared.clock.now(),
            cause: failure.map(|(_, cause, _)| cause.clone()),
            failed: failure.map(|(step, _, _)| self.run.plan.step(*step).resource.clone()),
            residue: residue.clone(),
        };
        writes.push(Write::SetRunStatus(self.run.id, status));
        shared.store.commit(writes).await?;
        shared.tell(&self.run, Progress::RunEnded { state });
        tracing::info!(slice = %self.run.plan.slice, run = %self.run.id, state = state.as_str(), "the run ended");
        Ok(Ended { run: self.run, state, tally: self.tally, residue })
    }

    fn residue(&self) -> Vec<String> {
        self.left_behind.iter().chain(&self.tally.residue).cloned().collect()
    }

    /// Records of what this run began and did not finish, marked as not to be trusted.
    fn in_doubt(&self) -> Vec<Arc<Record>> {
        let shared = &self.caller.shared;
        let unfinished = || Cause {
            kind: ErrorKind::Cancelled,
            message: format!("run {} was closed before this was finished", self.run.id),
            context: Vec::new(),
            help: None,
            chain: Vec::new(),
        };
        let mut records = Vec::new();
        for (id, step) in self.run.plan.numbered() {
            let state = self.tally.state(id);
            let settled = matches!(
                state,
                StepState::Pending | StepState::Done | StepState::Skipped | StepState::Undone
            );
            let Some(given) = self.tally.given[id.index()].as_ref().filter(|_| !settled) else { continue };
            let cause = cause_of(state).unwrap_or_else(unfinished);
            let record = match (self.records.get(&step.resource), step.change.after()) {
                (Some(record), _) => Record { tainted: Some(cause), ..Record::clone(record) },
                (None, Some(after)) => Record {
                    id: step.resource.clone(),
                    driver: step.driver.clone(),
                    spec: Arc::clone(after),
                    uses: step.uses.clone(),
                    inputs: (*given.inputs).clone(),
                    outputs: Outputs::Removed { residue: Vec::new() },
                    uncertain_until: self.tally.uncertain_until(&self.run.plan, &step.resource, None),
                    tainted: Some(cause),
                    changed_at: shared.clock.now(),
                    run: self.run.id,
                },
                (None, None) => continue,
            };
            records.push(Arc::new(record));
        }
        records
    }
}

impl Saga {
    /// Closes the run as it is, keeping what it made.
    pub(crate) async fn abandon(self) -> Result<Ended> {
        self.close(RunState::Kept).await
    }
}
