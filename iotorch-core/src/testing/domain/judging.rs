//! Judging what a domain gives back.

use std::fmt;

use super::stage::{Party, Sights, Stage};
use crate::{
    domain::{Observed, Scope},
    driver::Verdict,
    error::{Error, ErrorKind, Result},
    resource::{KindName, Outputs, ResourceId, Spec},
    testing::{Failure, Outcome, ensure},
};

impl Stage {
    /// What was seen, once it is what an observation has to be.
    pub(super) fn sights(&self, scope: &Scope, seen: Vec<(ResourceId, Observed)>) -> Result<Sights, Failure> {
        let root = &scope.root;
        let mut sights = Sights::new();
        for (id, observed) in seen {
            ensure!(id.scope() == *root, "observing \"{root}\" tells of \"{id}\", which is not in it");
            self.expect_no_secret(&observed, &format!("what is seen of \"{id}\""))?;
            match &observed {
                Observed::Present { spec, outputs, .. } => ensure!(
                    spec.kind() == id.kind() && outputs_fit(id.kind(), outputs),
                    "\"{id}\" is seen as another kind: {observed:?}"
                ),
                Observed::Foreign { spec, .. } => ensure!(
                    spec.as_ref().is_none_or(|spec| spec.kind() == id.kind()),
                    "\"{id}\" is seen as another kind: {observed:?}"
                ),
                Observed::Absent => {}
            }
            ensure!(
                sights.insert(id.clone(), observed).is_none(),
                "observing \"{root}\" tells of \"{id}\" twice"
            );
        }
        for id in &scope.known {
            ensure!(
                sights.contains_key(id),
                "observing \"{root}\" does not tell of \"{id}\", which is known"
            );
        }
        Ok(sights)
    }

    /// Everything that was made is seen as it was made, and nothing else of the samples is there.
    pub(super) async fn expect_as_made(&self) -> Outcome {
        for root in self.roots() {
            let Some(seen) = self.look(Party::Us, &root).await? else { continue };
            for (id, observed) in &seen {
                match self.made.get(id) {
                    Some(made) => self.expect_present(id, observed, &made.spec, Some(&made.outputs))?,
                    None if self.sample(id).is_ok_and(|sample| sample.stays_with_host) => {}
                    None => ensure!(
                        *observed == Observed::Absent,
                        "\"{id}\" was not made and is seen: {observed:?}"
                    ),
                }
            }
        }
        Ok(())
    }

    pub(super) fn expect_present(
        &self,
        id: &ResourceId,
        observed: &Observed,
        wanted: &Spec,
        told: Option<&Outputs>,
    ) -> Outcome {
        let Observed::Present { spec, outputs, .. } = observed else {
            return Err(Failure::new(format!("\"{id}\" was made and is seen as {observed:?}")));
        };
        let verdict = self.driver.compare(spec, wanted);
        ensure!(
            verdict == Verdict::Same,
            "\"{id}\" is not as asked ({verdict:?}): seen {spec:?}, asked {wanted:?}"
        );
        if let Some(told) = told {
            ensure!(outputs == told, "\"{id}\" tells {outputs:?}; when it was made it told {told:?}");
        }
        Ok(())
    }

    pub(super) async fn expect_gone(&self, id: &ResourceId, residue: &[String]) -> Outcome {
        let Some(observed) = self.look_at(Party::Us, id).await? else { return Ok(()) };
        // What the other system cannot delete stays, but not as ours: the next plan would find it again.
        let is_gone = observed == Observed::Absent
            || (!residue.is_empty() && !matches!(observed, Observed::Present { .. }));
        ensure!(is_gone, "\"{id}\" was deleted and is seen as {observed:?}");
        Ok(())
    }

    pub(super) fn expect_no_secret(&self, shown: &(impl fmt::Debug + ?Sized), what: &str) -> Outcome {
        let text = format!("{shown:?}");
        ensure!(!self.planted.iter().any(|value| text.contains(value.expose())), "{what} shows a secret");
        Ok(())
    }

    /// An error reads as a person needs it, and shows no secret.
    pub(super) fn expect_well_said(&self, error: &Error, what: &str) -> Outcome {
        let cause = error.to_cause();
        self.expect_no_secret(error, &format!("the error of {what}"))?;
        self.expect_no_secret(&cause, &format!("the error of {what}"))?;
        let said = error.to_string();
        let is_state = error.kind() == ErrorKind::NotReady;
        ensure!(
            (is_state || said.starts_with("cannot ")) && !said.ends_with('.') && !said.contains('\n'),
            "the error of {what} does not read as in: cannot <verb> <noun> \"<name>\": {said:?}"
        );
        Ok(())
    }
}

pub(super) fn expect_kind<T>(result: Result<T>, kind: ErrorKind, what: &str) -> Result<Error, Failure> {
    match result {
        Ok(_) => Err(Failure::new(format!("{what} succeeded; expected {kind}"))),
        Err(error) if error.kind() == kind => Ok(error),
        Err(error) => {
            Err(Failure::new(format!("{what} is {}; expected {kind}: {}", error.kind(), error.to_cause())))
        }
    }
}

pub(super) const fn outputs_fit(kind: KindName, outputs: &Outputs) -> bool {
    matches!(
        (kind, outputs),
        (KindName::Space, Outputs::Space(_))
            | (KindName::Segment, Outputs::Segment(_))
            | (KindName::Workload, Outputs::Workload(_))
            | (KindName::Port, Outputs::Port(_))
            | (KindName::Application, Outputs::Application(_))
            | (KindName::Tenant, Outputs::Tenant(_))
            | (KindName::Attachment, Outputs::Attachment(_))
            | (KindName::Credential, Outputs::Credential(_))
            | (KindName::Profile, Outputs::Profile(_))
            | (KindName::Device, Outputs::Device(_))
            | (KindName::Export, Outputs::Export(_))
    )
}
