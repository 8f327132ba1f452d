//! Domains that break their contract in one way each, to see that the trials find it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use iotorch_core::{
    Context, Domain, Driver, DriverInfo, Error, ErrorKind, Issue, Observed, Result, Scope, Target, Verdict,
    resource::{DeviceOutputs, Job, Outputs, Ownership, ProfileOutputs, ResourceId, Spec, Work},
};

/// A way to break the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Answers the steps of a batch in another order.
    AnswersInAnotherOrder,
    /// Ends a batch at the first step that fails.
    StopsAtAFailure,
    /// Takes over whatever is there.
    TakesOverWhatIsForeign,
    /// Gives other outputs when a step is repeated.
    ChoosesAnewEachTime,
    /// Does not find a deletion of nothing a success.
    MissesWhatIsGone,
    /// Leaves out of observations what is absent.
    SaysNothingOfTheAbsent,
    /// Tells only of what is known.
    OverlooksStrays,
    /// Says that an update is done, and does nothing.
    SkipsUpdates,
    /// Forgets what it made in a host when the host is deleted, and leaves it there.
    LeavesContentsBehind,
    /// Shows a secret in its errors.
    ShowsASecret,
    /// Says what happened in its own words.
    Shouts,
    /// Waits for what is not there until the deadline.
    WaitsForever,
    /// Gives up at once when asked to stop.
    DropsWhatItBegan,
}

/// A driver whose domain has a flaw.
pub(crate) struct FlawedDriver {
    pub(crate) inner: Arc<dyn Driver>,
    pub(crate) flaw: Flaw,
}

impl Driver for FlawedDriver {
    fn info(&self) -> DriverInfo {
        self.inner.info()
    }

    fn check(&self, spec: &Spec) -> Vec<Issue> {
        self.inner.check(spec)
    }

    fn compare(&self, have: &Spec, want: &Spec) -> Verdict {
        self.inner.compare(have, want)
    }

    fn connect(&self, to: &Target) -> Result<Arc<dyn Domain>> {
        let domain = self.inner.connect(to)?;
        Ok(Arc::new(Flawed {
            domain,
            flaw: self.flaw,
            number: AtomicU64::new(0),
            remembered: Mutex::default(),
        }))
    }
}

struct Flawed {
    domain: Arc<dyn Domain>,
    flaw: Flaw,
    number: AtomicU64,
    /// What was deleted with its host and is still there all the same.
    remembered: Mutex<BTreeMap<ResourceId, Observed>>,
}

macro_rules! with_ownership {
    ($work:expr, $ownership:expr, $($kind:ident)*) => {
        match $work {
            $(Work::$kind(job) => Job { ownership: $ownership, ..job }.into(),)*
            other => other,
        }
    };
}

impl Flawed {
    async fn one(&self, cx: &Context, work: Work) -> Result<Outputs> {
        self.domain.apply(cx, vec![work]).await.remove(0)
    }

    async fn seen(&self, cx: &Context, work: &Work) -> Result<BTreeMap<ResourceId, Observed>> {
        let root = work.id().scope();
        let known = [root.clone(), work.id().clone()].into();
        let scope = Scope { root, known, recorded: BTreeMap::new(), application: None };
        Ok(self.domain.observe(cx, &scope).await?.into_iter().collect())
    }

    fn renamed(&self, outputs: Outputs) -> Outputs {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        match outputs {
            Outputs::Device(device) => {
                DeviceOutputs { path: Some(format!("devices/{number}")), ..device }.into()
            }
            Outputs::Profile(profile) => ProfileOutputs { name: format!("{}-{number}", profile.name) }.into(),
            other => other,
        }
    }

    async fn step(&self, cx: &Context, work: Work) -> Result<Outputs> {
        let is_delete = work.change().is_delete();
        match self.flaw {
            Flaw::TakesOverWhatIsForeign if !is_delete => {
                let adopt = with_ownership!(
                    work,
                    Ownership::Adopt,
                    Application Credential Profile Device Export
                );
                self.one(cx, adopt).await
            }
            Flaw::ChoosesAnewEachTime => Ok(self.renamed(self.one(cx, work).await?)),
            Flaw::MissesWhatIsGone if is_delete => match self.seen(cx, &work).await?.get(work.id()) {
                Some(Observed::Absent) => {
                    Err(Error::new(ErrorKind::NotFound, "cannot delete what is not there"))
                }
                _ => self.one(cx, work).await,
            },
            Flaw::SkipsUpdates => match (
                work.change().before(),
                work.change().after(),
                self.seen(cx, &work).await?.get(work.id()),
            ) {
                (Some(_), Some(_), Some(Observed::Present { outputs, .. })) => Ok(outputs.clone()),
                _ => self.one(cx, work).await,
            },
            Flaw::LeavesContentsBehind => {
                let seen = self.seen(cx, &work).await?;
                if is_delete {
                    let inside = seen.into_iter().filter(|(id, _)| work.id().contains(id));
                    self.remembered.lock().unwrap().extend(inside);
                }
                self.remembered.lock().unwrap().remove(work.id());
                self.one(cx, work).await
            }
            Flaw::ShowsASecret => match self.one(cx, work).await {
                Err(error) => {
                    let names = cx.secrets.list("").await?;
                    let Some(name) = names.first() else { return Err(error) };
                    let value = cx.secret(name).await?;
                    Err(error.with_context("sent", value.expose()))
                }
                done => done,
            },
            Flaw::Shouts => self.one(cx, work).await.map_err(|error| Error::new(error.kind(), "Failed!")),
            Flaw::WaitsForever => match self.one(cx, work).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => std::future::pending().await,
                done => done,
            },
            Flaw::DropsWhatItBegan => {
                tokio::select! {
                    biased;
                    () = cx.cancelled.cancelled() => {
                        Err(Error::new(ErrorKind::Unexpected, "cannot go on after a stop"))
                    }
                    done = async {
                        tokio::task::yield_now().await;
                        self.one(cx, work).await
                    } => done,
                }
            }
            _ => self.one(cx, work).await,
        }
    }
}

#[async_trait]
impl Domain for Flawed {
    async fn observe(&self, cx: &Context, scope: &Scope) -> Result<Vec<(ResourceId, Observed)>> {
        let mut seen = self.domain.observe(cx, scope).await?;
        match self.flaw {
            Flaw::SaysNothingOfTheAbsent => seen.retain(|(_, observed)| *observed != Observed::Absent),
            Flaw::OverlooksStrays => seen.retain(|(id, _)| scope.known.contains(id)),
            Flaw::LeavesContentsBehind => {
                let remembered = self.remembered.lock().unwrap();
                for (id, observed) in &mut seen {
                    if let Some(left) = remembered.get(id) {
                        observed.clone_from(left);
                    }
                }
            }
            _ => {}
        }
        Ok(seen)
    }

    async fn apply(&self, cx: &Context, batch: Vec<Work>) -> Vec<Result<Outputs>> {
        let mut results = Vec::with_capacity(batch.len());
        for work in batch {
            let result = self.step(cx, work).await;
            let failed = result.is_err();
            results.push(result);
            if failed && self.flaw == Flaw::StopsAtAFailure {
                break;
            }
        }
        if self.flaw == Flaw::AnswersInAnotherOrder {
            results.reverse();
        }
        results
    }
}
