//! What every [`NetworkSlicer`] has to do.
//!
//! A slicer is used as a domain, so the trials of [`super::domain`] are for it too: adapt it with
//! [`NetworkDomain`](crate::network::NetworkDomain) there. These here are about what only a slicer has: objectives and their assurances, addresses,
//! and ports on segments.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Failure, Outcome, Trial, ensure};
use crate::{
    domain::{Context, Health, Scope},
    error::{Error, ErrorKind, Result},
    network::{NetworkSlicer, PortStatus, SegmentStatus},
    place::Places,
    resource::{
        Assurance, Change, Job, NoInputs, Ownership, Port, PortInputs, PortSpec, ResourceId, Segment,
        SegmentOutputs, SegmentSpec, WorkloadOutputs,
    },
    secret::{MemorySecretStore, SecretStore},
};

/// Something that most slicers can do and some cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Ability {
    /// To mark segments, so that those of somebody else can be told.
    Marks,
    /// To run out of something, and so to refuse a segment ([`Samples::too_much`]).
    Limits,
    /// To be out of reach ([`Subject::cut_off`]).
    Outage,
}

/// What the trials make.
#[derive(Clone, Debug)]
pub struct Samples {
    /// A segment between two parts at least, with an objective that the slicer enforces, where it enforces any.
    pub segment: (ResourceId, SegmentSpec),
    /// The same segment as it can be changed to in place.
    pub updated: SegmentSpec,
    /// The same segment with an objective that cannot be met; none for a slicer that lacks [`Ability::Limits`].
    pub too_much: Option<SegmentSpec>,
    /// A port on it for each part, with the workload that is joined.
    pub ports: Vec<(ResourceId, PortSpec, Option<WorkloadOutputs>)>,
}

/// A fresh network, and all that is needed to work on it: each trial has its own.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The slicer.
    fn slicer(&self) -> Arc<dyn NetworkSlicer>;

    /// What to make.
    fn samples(&self) -> Samples;

    /// The secrets that the slicer needs.
    fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::new(MemorySecretStore::default())
    }

    /// Puts the network out of reach. Called only where the slicer does not lack [`Ability::Outage`].
    ///
    /// # Errors
    /// Whatever keeps it from that.
    async fn cut_off(&self) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "cannot put this network out of reach"))
    }

    /// Brings the network back as it was.
    ///
    /// # Errors
    /// Whatever keeps it from that.
    async fn bring_back(&self) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "cannot bring this network back"))
    }

    /// Ends the network when the trial is over, also when it failed.
    async fn end(&self) {}
}

/// The trials of a slicer that lacks some abilities. `make` gives a fresh network each time; a runtime with time is needed.
///
/// # Examples
/// `iotorch-core/tests/behavior.rs` runs them for a slicer in memory.
pub fn trials(
    lacks: impl IntoIterator<Item = Ability>,
    make: impl Fn() -> BoxFuture<'static, Result<Box<dyn Subject>>> + Send + Sync + 'static,
) -> Vec<Trial> {
    use Ability::{Limits, Marks, Outage};
    let make = Arc::new(make);
    let lacks: BTreeSet<Ability> = lacks.into_iter().collect();
    let mut trials = Vec::new();
    macro_rules! list {
        ($($body:ident [$($needed:ident)?],)*) => {
            $(if [$($needed)?].iter().all(|needed: &Ability| !lacks.contains(needed)) {
                let make = Arc::clone(&make);
                trials.push(Trial::new(stringify!($body).replace('_', " "), move || async move {
                    let subject = make().await?;
                    let site = Site { slicer: subject.slicer(), samples: subject.samples(), subject };
                    let outcome = $body(&site).await;
                    site.subject.end().await;
                    outcome
                }));
            })*
        };
    }
    list! {
        what_is_absent_is_left_out [],
        a_segment_is_made_and_observed_as_asked [],
        ensuring_again_changes_nothing [],
        a_segment_is_changed_in_place [],
        each_objective_has_the_assurance_that_is_promised [],
        each_part_has_an_address_of_its_own_where_addresses_are_promised [],
        a_port_is_bound_observed_and_released [],
        a_segment_takes_its_ports_along_and_releasing_again_succeeds [],
        ports_that_nobody_knows_are_found [],
        a_segment_of_somebody_else_is_named_and_left_alone [Marks],
        what_cannot_be_met_is_infeasible_with_the_numbers_and_changes_nothing [Limits],
        a_network_out_of_reach_is_unavailable_and_is_found_as_it_was [Outage],
    }
    trials
}

/// How long a segment or port may take until it works.
const DEADLINE: Duration = Duration::from_secs(60);

/// The pause before what does not work yet is asked again.
const PAUSE: Duration = Duration::from_millis(20);

const OURS: &str = "00000000000000a1";
const THEIRS: &str = "00000000000000b2";

struct Site {
    subject: Box<dyn Subject>,
    slicer: Arc<dyn NetworkSlicer>,
    samples: Samples,
}

/// A segment that is there and ours.
#[derive(Clone, Debug, PartialEq)]
struct Made {
    spec: SegmentSpec,
    outputs: SegmentOutputs,
    ports: BTreeMap<ResourceId, PortStatus>,
}

fn is_unready(error: &Error) -> bool {
    error.kind() == ErrorKind::NotReady
}

impl Site {
    fn context(&self, installation: &str) -> Context {
        Context {
            installation: installation.into(),
            deadline: Instant::now() + DEADLINE,
            cancelled: CancellationToken::new(),
            secrets: self.subject.secrets(),
            places: Places::default(),
        }
    }

    fn segment(&self, spec: &SegmentSpec) -> Job<Segment> {
        let change = Change::Create { after: spec.clone() };
        let id = self.samples.segment.0.clone();
        Job { id, change, inputs: NoInputs {}, ownership: Ownership::Ours }
    }

    /// Ensures a segment as `installation`, again until it works.
    async fn ensure_as(&self, installation: &str, spec: &SegmentSpec) -> Result<SegmentStatus> {
        let cx = self.context(installation);
        loop {
            let answer = self.slicer.ensure(&cx, &self.segment(spec)).await;
            let is_failed = |status: &SegmentStatus| {
                matches!(status, SegmentStatus::Present { health: Health::Failed { .. }, .. })
            };
            let again = answer.as_ref().map_or_else(is_unready, is_failed);
            if !again || Instant::now() >= cx.deadline {
                return answer;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn make(&self, spec: &SegmentSpec) -> Result<Made, Failure> {
        self.is_ours(self.ensure_as(OURS, spec).await?)
    }

    fn is_ours(&self, status: SegmentStatus) -> Result<Made, Failure> {
        match status {
            SegmentStatus::Present { id, spec, outputs, health, ports } => {
                ensure!(id == self.samples.segment.0, "the answer is about \"{id}\"");
                ensure!(
                    !matches!(health, Health::Failed { .. }),
                    "\"{id}\" does not come to work: {health:?}"
                );
                let ports = ports.into_iter().map(|port| (port.id.clone(), port)).collect();
                Ok(Made { spec, outputs, ports })
            }
            SegmentStatus::Foreign { id, owner } => {
                Err(Failure::new(format!("\"{id}\" is ours and is said to belong to {owner}")))
            }
        }
    }

    async fn bind(&self, segment: &Made, number: usize) -> Result<PortStatus, Failure> {
        let Some((id, spec, workload)) = self.samples.ports.get(number).cloned() else {
            return Err(Failure::new("there are less than two ports among the samples"));
        };
        let inputs = PortInputs { segment: segment.outputs.clone(), workload, sgi: None };
        let change = Change::Create { after: spec.clone() };
        let job = Job::<Port> { id: id.clone(), change, inputs, ownership: Ownership::Ours };
        let cx = self.context(OURS);
        loop {
            match self.slicer.bind(&cx, &job).await {
                Err(error) if is_unready(&error) && Instant::now() < cx.deadline => {
                    tokio::time::sleep(PAUSE).await
                }
                answer => {
                    let port = answer?;
                    ensure!(
                        port.id == id && port.spec == spec,
                        "asked to bind \"{id}\" {spec:?}, bound {port:?}"
                    );
                    return Ok(port);
                }
            }
        }
    }

    fn scope(&self, known: impl IntoIterator<Item = ResourceId>) -> Scope {
        let root = self.samples.segment.0.clone();
        let known = known.into_iter().chain([root.clone()]).collect();
        Scope { root, known, recorded: BTreeMap::new(), application: None }
    }

    async fn observe_as(&self, installation: &str, scope: &Scope) -> Result<Vec<SegmentStatus>> {
        self.slicer.observe(&self.context(installation), scope).await
    }

    /// What is seen, by somebody who knows of everything.
    async fn look(&self) -> Result<Option<Made>, Failure> {
        let scope = self.scope(self.samples.ports.iter().map(|(id, ..)| id.clone()));
        let mut seen = self.observe_as(OURS, &scope).await?;
        ensure!(seen.len() < 2, "one segment was made, and seen are {seen:?}");
        seen.pop().map(|status| self.is_ours(status)).transpose()
    }

    async fn release(&self, id: &ResourceId) -> Outcome {
        Ok(self.slicer.release(&self.context(OURS), id).await?)
    }
}

fn expect_kind<T>(result: Result<T>, kind: ErrorKind, what: &str) -> Result<Error, Failure> {
    match result {
        Ok(_) => Err(Failure::new(format!("{what} succeeded; expected {kind}"))),
        Err(error) if error.kind() == kind => Ok(error),
        Err(error) => {
            Err(Failure::new(format!("{what} is {}; expected {kind}: {}", error.kind(), error.to_cause())))
        }
    }
}

async fn what_is_absent_is_left_out(site: &Site) -> Outcome {
    let seen = site.look().await?;
    ensure!(seen.is_none(), "nothing was made, and seen is {seen:?}");
    Ok(())
}

async fn a_segment_is_made_and_observed_as_asked(site: &Site) -> Outcome {
    let wanted = &site.samples.segment.1;
    let made = site.make(wanted).await?;
    ensure!(made.spec == *wanted, "asked for {wanted:?}, made {:?}", made.spec);
    let seen = site.look().await?;
    ensure!(seen.as_ref() == Some(&made), "made {made:?}, seen {seen:?}");
    Ok(())
}

async fn ensuring_again_changes_nothing(site: &Site) -> Outcome {
    let first = site.make(&site.samples.segment.1).await?;
    for number in 0..site.samples.ports.len() {
        let port = site.bind(&first, number).await?;
        let again = site.bind(&first, number).await?;
        ensure!(port.outputs == again.outputs, "bound as {port:?}, then as {again:?}");
    }
    let second = site.make(&site.samples.segment.1).await?;
    ensure!(first.outputs == second.outputs, "made with {:?}, then with {:?}", first.outputs, second.outputs);
    let ports = site.look().await?.map_or(0, |seen| seen.ports.len());
    ensure!(ports == site.samples.ports.len(), "{ports} of {} ports are left", site.samples.ports.len());
    Ok(())
}

async fn a_segment_is_changed_in_place(site: &Site) -> Outcome {
    let first = site.make(&site.samples.segment.1).await?;
    let port = site.bind(&first, 0).await?;
    let changed = site.make(&site.samples.updated).await?;
    ensure!(changed.spec == site.samples.updated, "changed to {:?}", changed.spec);
    ensure!(
        changed.outputs.identity == first.outputs.identity
            && changed.outputs.addresses == first.outputs.addresses,
        "a change in place gave other addresses: {:?}, then {:?}",
        first.outputs,
        changed.outputs
    );
    let seen = site.look().await?;
    let kept =
        seen.as_ref().is_some_and(|seen| seen.spec == changed.spec && seen.ports.contains_key(&port.id));
    ensure!(kept, "changed with a port on it, and seen is {seen:?}");
    Ok(())
}

async fn each_objective_has_the_assurance_that_is_promised(site: &Site) -> Outcome {
    let enforced: BTreeSet<_> =
        site.slicer.capabilities().enforced.into_iter().map(|(objective, _)| objective).collect();
    let wanted = site.samples.segment.1.wanted();
    ensure!(
        enforced.is_empty() || wanted.iter().any(|(objective, _)| enforced.contains(objective)),
        "the sample asks for none of the objectives that are enforced: {enforced:?}"
    );
    let made = site.make(&site.samples.segment.1).await?;
    for (objective, value) in wanted {
        let assurance = made.outputs.assurances.get(&objective);
        let Some(assurance) = assurance else {
            return Err(Failure::new(format!("nothing is told of how {objective} {value} is met")));
        };
        let is_enforced = matches!(assurance, Assurance::Enforced { .. });
        ensure!(
            is_enforced == enforced.contains(&objective),
            "{objective} {value} is {assurance}, and enforced are {enforced:?}"
        );
    }
    Ok(())
}

async fn each_part_has_an_address_of_its_own_where_addresses_are_promised(site: &Site) -> Outcome {
    let made = site.make(&site.samples.segment.1).await?;
    let promised = site.slicer.capabilities().addresses;
    let addresses: BTreeSet<_> = made.outputs.addresses.values().collect();
    ensure!(
        addresses.len() == made.outputs.addresses.len(),
        "two parts share one: {:?}",
        made.outputs.addresses
    );
    for (number, (id, spec, _)) in site.samples.ports.iter().enumerate() {
        let chosen = made.outputs.addresses.get(&spec.part).copied();
        ensure!(
            chosen.is_some() == promised,
            "addresses are promised: {promised}; \"{}\" has {chosen:?}",
            spec.part
        );
        let bound = site.bind(&made, number).await?.outputs.address;
        ensure!(bound == chosen, "\"{id}\" is bound at {bound:?}; for its part was chosen {chosen:?}");
    }
    Ok(())
}

async fn a_port_is_bound_observed_and_released(site: &Site) -> Outcome {
    let made = site.make(&site.samples.segment.1).await?;
    let (one, two) = (site.bind(&made, 0).await?, site.bind(&made, 1).await?);
    let seen = site.look().await?.map(|seen| seen.ports).unwrap_or_default();
    for port in [&one, &two] {
        let found = seen.get(&port.id).map(|port| (&port.spec, &port.outputs));
        ensure!(found == Some((&port.spec, &port.outputs)), "bound {port:?}, seen {found:?}");
    }
    for _ in 0..2 {
        site.release(&one.id).await?;
        let seen = site.look().await?.map(|seen| seen.ports).unwrap_or_default();
        ensure!(
            !seen.contains_key(&one.id) && seen.contains_key(&two.id),
            "one of two ports was released, and seen are {seen:?}"
        );
    }
    Ok(())
}

async fn a_segment_takes_its_ports_along_and_releasing_again_succeeds(site: &Site) -> Outcome {
    let made = site.make(&site.samples.segment.1).await?;
    let port = site.bind(&made, 0).await?;
    for id in [&made_id(site), &made_id(site), &port.id] {
        site.release(id).await?;
        let seen = site.look().await?;
        ensure!(seen.is_none(), "the segment was released, and seen is {seen:?}");
    }
    site.make(&site.samples.segment.1).await?;
    let ports = site.look().await?.map(|seen| seen.ports).unwrap_or_default();
    ensure!(ports.is_empty(), "made again, the segment has ports: {ports:?}");
    Ok(())
}

fn made_id(site: &Site) -> ResourceId {
    site.samples.segment.0.clone()
}

async fn ports_that_nobody_knows_are_found(site: &Site) -> Outcome {
    let made = site.make(&site.samples.segment.1).await?;
    let port = site.bind(&made, 0).await?;
    let seen = site.observe_as(OURS, &site.scope([])).await?;
    let ports = seen.into_iter().flat_map(|status| match status {
        SegmentStatus::Present { ports, .. } => ports,
        SegmentStatus::Foreign { .. } => Vec::new(),
    });
    ensure!(ports.into_iter().any(|found| found.id == port.id), "\"{}\" is not found", port.id);
    Ok(())
}

async fn a_segment_of_somebody_else_is_named_and_left_alone(site: &Site) -> Outcome {
    let SegmentStatus::Present { outputs: theirs, .. } =
        site.ensure_as(THEIRS, &site.samples.segment.1).await?
    else {
        return Err(Failure::new("what they made is somebody else's to themselves"));
    };
    let seen = site.observe_as(OURS, &site.scope([])).await?;
    let [SegmentStatus::Foreign { owner, .. }] = seen.as_slice() else {
        return Err(Failure::new(format!("a segment of somebody else is seen as {seen:?}")));
    };
    ensure!(owner.contains(THEIRS), "it is said to belong to {owner:?}, and its mark is of {THEIRS}");
    match site.ensure_as(OURS, &site.samples.updated).await {
        Ok(SegmentStatus::Foreign { owner, .. }) => {
            ensure!(owner.contains(THEIRS), "it belongs to {owner:?}")
        }
        other => drop(expect_kind(other, ErrorKind::Conflict, "making a segment that is somebody else's")?),
    }
    let released = site.slicer.release(&site.context(OURS), &made_id(site)).await;
    expect_kind(released, ErrorKind::Conflict, "releasing a segment that is somebody else's")?;
    let seen = site.observe_as(THEIRS, &site.scope([])).await?;
    let left = matches!(seen.as_slice(), [SegmentStatus::Present { spec, outputs, .. }] if *spec == site.samples.segment.1 && *outputs == theirs);
    ensure!(left, "we touched what is somebody else's: {seen:?}");
    Ok(())
}

async fn what_cannot_be_met_is_infeasible_with_the_numbers_and_changes_nothing(site: &Site) -> Outcome {
    let too_much = site.samples.too_much.as_ref();
    let too_much = too_much.ok_or_else(|| Failure::new("no sample asks for too much"))?;
    for made in [None, Some(&site.samples.segment.1)] {
        let before = match made {
            Some(spec) => Some(site.make(spec).await?),
            None => None,
        };
        let refused = site.ensure_as(OURS, too_much).await;
        let error = expect_kind(refused, ErrorKind::Infeasible, "making what cannot be met")?;
        let told = error.to_cause().to_string();
        ensure!(told.contains(|c: char| c.is_ascii_digit()), "the refusal has no numbers: {told}");
        let after = site.look().await?;
        ensure!(after == before, "the refusal changed {before:?} to {after:?}");
    }
    Ok(())
}

async fn a_network_out_of_reach_is_unavailable_and_is_found_as_it_was(site: &Site) -> Outcome {
    let made = site.make(&site.samples.segment.1).await?;
    site.bind(&made, 0).await?;
    let before = site.look().await?;
    site.subject.cut_off().await?;
    let away = ErrorKind::Unavailable;
    expect_kind(site.observe_as(OURS, &site.scope([])).await, away, "observing out of reach")?;
    expect_kind(site.ensure_as(OURS, &site.samples.updated).await, away, "changing out of reach")?;
    expect_kind(
        site.slicer.release(&site.context(OURS), &made_id(site)).await,
        away,
        "releasing out of reach",
    )?;
    site.subject.bring_back().await?;
    let after = site.look().await?;
    ensure!(after == before, "before it was {before:?}, and after {after:?}");
    Ok(())
}
