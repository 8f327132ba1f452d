//! The domains of this crate do what every domain does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "behavior/flawed.rs"]
mod flawed;
#[path = "behavior/samples.rs"]
mod samples;
#[path = "behavior/slicer.rs"]
mod slicer;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use flawed::{Flaw, FlawedDriver};
use iotorch_core::{
    Driver, Health, Result, Target,
    declared::DeclaredDriver,
    model::DriverName,
    network::NetworkSlicer,
    resource::{KindName, Outputs, ResourceId, Spec},
    secret::{MemorySecretStore, SecretStore},
    sim::{Object, SimDriver, World, sim_infrastructure},
    testing::{
        self, Failures,
        domain::{Ability, Sample, Subject},
        network,
    },
};
use slicer::{MemoryNetworkDriver, MemorySlicer};

fn in_virtual_time<F: Future>(test: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(test)
}

/// A driver of a simulated world.
struct Simulated {
    world: World,
    driver: Arc<dyn Driver>,
    target: Target,
    samples: Vec<Sample>,
    surroundings: BTreeMap<ResourceId, Outputs>,
    secrets: Arc<MemorySecretStore>,
}

#[async_trait]
impl Subject for Simulated {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::clone(&self.driver)
    }

    fn target(&self) -> Target {
        self.target.clone()
    }

    fn samples(&self) -> Vec<Sample> {
        self.samples.clone()
    }

    fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::clone(&self.secrets) as _
    }

    fn surroundings(&self) -> BTreeMap<ResourceId, Outputs> {
        self.surroundings.clone()
    }

    async fn cut_off(&self) -> Result<()> {
        for place in ["edge-1", "network"] {
            self.world.cut_off(place);
        }
        Ok(())
    }

    async fn bring_back(&self) -> Result<()> {
        self.world.heal();
        Ok(())
    }
}

/// What a simulated driver is tried with.
#[derive(Clone, Copy)]
struct Case {
    driver: fn(&World, &DriverName) -> SimDriver,
    flaw: Option<Flaw>,
    samples: fn() -> Vec<Sample>,
    surroundings: fn() -> BTreeMap<ResourceId, Outputs>,
    /// Whether workloads are there that the samples live in.
    deployed: bool,
    target: fn() -> Target,
}

fn edge() -> Target {
    Target::Infrastructure(sim_infrastructure("edge-1"))
}

fn behaves(lacks: &[Ability], case: Case) -> Result<(), Failures> {
    let make = move || {
        Box::pin(async move {
            let world = World::new();
            if case.deployed {
                deploy(&world);
            }
            let driver: Arc<dyn Driver> = Arc::new((case.driver)(&world, &"tried".parse()?));
            let driver = match case.flaw {
                Some(flaw) => Arc::new(FlawedDriver { inner: driver, flaw }),
                None => driver,
            };
            Ok(Box::new(Simulated {
                driver,
                world,
                target: (case.target)(),
                samples: (case.samples)(),
                surroundings: (case.surroundings)(),
                secrets: Arc::new(samples::secrets().await),
            }) as Box<dyn Subject>)
        }) as _
    };
    in_virtual_time(testing::run(testing::domain::trials(lacks.iter().copied(), make)))
}

/// Puts the workloads there that the applications of the samples live in, and the space they are in.
fn deploy(world: &World) {
    for sample in samples::infrastructure() {
        let id = sample.id().clone();
        let outputs: Outputs = match id.kind() {
            KindName::Workload => samples::workload_outputs(id.name()).into(),
            _ => iotorch_core::resource::SpaceOutputs { namespace: "greenhouse".into() }.into(),
        };
        let spec: Spec = sample.spec().clone();
        let owner = "somebody".to_owned();
        world.place(id, Object { owner, spec, outputs, health: Health::Ready, uses: Vec::new() });
    }
}

fn gateway(flaw: Option<Flaw>) -> Case {
    Case {
        driver: SimDriver::gateway,
        flaw,
        samples: samples::in_gateway,
        surroundings: samples::beside_gateway,
        deployed: true,
        target: edge,
    }
}

#[test]
fn simulated_infrastructures_do_what_every_domain_does() -> Result<(), Failures> {
    let case = Case {
        driver: SimDriver::infrastructure,
        samples: samples::infrastructure,
        surroundings: BTreeMap::new,
        flaw: None,
        deployed: false,
        target: edge,
    };
    behaves(&[Ability::Refusal], case)
}

#[test]
fn simulated_gateways_do_what_every_domain_does() -> Result<(), Failures> {
    behaves(&[], gateway(None))
}

#[test]
fn simulated_servers_do_what_every_domain_does() -> Result<(), Failures> {
    let case = Case {
        driver: SimDriver::server,
        samples: samples::in_server,
        surroundings: samples::workloads,
        flaw: None,
        deployed: true,
        target: edge,
    };
    behaves(&[Ability::Refusal], case)
}

#[test]
fn simulated_applications_of_both_roles_do_what_every_domain_does() -> Result<(), Failures> {
    let case = Case {
        driver: SimDriver::application,
        samples: || samples::in_server().into_iter().chain(samples::in_gateway()).collect(),
        surroundings: samples::workloads,
        flaw: None,
        deployed: true,
        target: edge,
    };
    behaves(&[], case)
}

#[test]
fn simulated_networks_do_what_every_domain_does() -> Result<(), Failures> {
    let case = Case {
        driver: SimDriver::network,
        samples: samples::network,
        surroundings: samples::workloads,
        flaw: None,
        deployed: false,
        target: || Target::Network,
    };
    behaves(&[Ability::Refusal], case)
}

/// The `declared` driver: what it makes exists in records alone.
struct OnlyRecorded(Arc<MemorySecretStore>);

#[async_trait]
impl Subject for OnlyRecorded {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(DeclaredDriver)
    }

    fn target(&self) -> Target {
        Target::Network
    }

    fn samples(&self) -> Vec<Sample> {
        samples::declared()
    }

    fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::clone(&self.0) as _
    }

    fn surroundings(&self) -> BTreeMap<ResourceId, Outputs> {
        samples::workloads()
    }
}

#[test]
fn what_is_only_declared_does_what_every_domain_does_as_far_as_records_go() -> Result<(), Failures> {
    // There is no other system: nothing that could be marked, taken over, found, refused or out of reach.
    use Ability::{Adoption, Marks, Outage, Refusal, Strays};
    let make = || {
        Box::pin(async { Ok(Box::new(OnlyRecorded(Arc::new(samples::secrets().await))) as Box<dyn Subject>) })
            as _
    };
    let lacks = [Adoption, Marks, Outage, Refusal, Strays];
    in_virtual_time(testing::run(testing::domain::trials(lacks, make)))
}

/// A network in memory.
struct InMemory {
    slicer: MemorySlicer,
    secrets: Arc<MemorySecretStore>,
}

impl InMemory {
    async fn make() -> Self {
        Self { slicer: MemorySlicer::default(), secrets: Arc::new(samples::secrets().await) }
    }
}

#[async_trait]
impl network::Subject for InMemory {
    fn slicer(&self) -> Arc<dyn NetworkSlicer> {
        Arc::new(self.slicer.clone())
    }

    fn samples(&self) -> network::Samples {
        let port = |name| {
            let id = samples::transport().port(&samples::part(name));
            (id, samples::port_spec(name), Some(samples::workload_outputs(name)))
        };
        network::Samples {
            segment: (samples::transport(), samples::segment_spec(2)),
            updated: samples::segment_spec(5),
            too_much: Some(samples::segment_spec(11)),
            ports: ["gw", "hub"].map(port).into(),
        }
    }

    async fn cut_off(&self) -> Result<()> {
        self.slicer.set_away(true);
        Ok(())
    }

    async fn bring_back(&self) -> Result<()> {
        self.slicer.set_away(false);
        Ok(())
    }
}

#[async_trait]
impl Subject for InMemory {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(MemoryNetworkDriver(self.slicer.clone()))
    }

    fn target(&self) -> Target {
        Target::Network
    }

    fn samples(&self) -> Vec<Sample> {
        // A slicer marks segments; a port is whose its segment is.
        let is_port = |sample: &Sample| sample.id().kind() == KindName::Port;
        let unmark = |sample: Sample| if is_port(&sample) { sample.unmarked() } else { sample };
        samples::network().into_iter().map(unmark).collect()
    }

    fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::clone(&self.secrets) as _
    }

    fn surroundings(&self) -> BTreeMap<ResourceId, Outputs> {
        samples::workloads()
    }

    async fn cut_off(&self) -> Result<()> {
        network::Subject::cut_off(self).await
    }

    async fn bring_back(&self) -> Result<()> {
        network::Subject::bring_back(self).await
    }
}

#[test]
fn a_slicer_in_memory_does_what_every_slicer_does() -> Result<(), Failures> {
    let make = || Box::pin(async { Ok(Box::new(InMemory::make().await) as Box<dyn network::Subject>) }) as _;
    in_virtual_time(testing::run(network::trials([], make)))
}

#[test]
fn an_adapted_slicer_does_what_every_domain_does() -> Result<(), Failures> {
    // The status of a foreign segment does not tell what it is like, and the adapter takes one step at a time.
    use Ability::{Adoption, Batch, Refusal, Strays};
    let make = || Box::pin(async { Ok(Box::new(InMemory::make().await) as Box<dyn Subject>) }) as _;
    in_virtual_time(testing::run(testing::domain::trials([Adoption, Batch, Refusal, Strays], make)))
}

#[test]
fn each_breach_of_the_contract_is_found_by_the_trial_that_names_it() {
    let flaws = [
        (Flaw::AnswersInAnotherOrder, "a batch gives one result each in order"),
        (Flaw::StopsAtAFailure, "wrong input in a batch leaves the others alone"),
        (Flaw::TakesOverWhatIsForeign, "a foreign object is observed as foreign and refused with conflict"),
        (Flaw::ChoosesAnewEachTime, "a create that is repeated gives the same outputs"),
        (Flaw::MissesWhatIsGone, "deleting again succeeds"),
        (Flaw::SaysNothingOfTheAbsent, "every known id is answered for"),
        (Flaw::OverlooksStrays, "marked objects that nobody knows are found"),
        (Flaw::SkipsUpdates, "an update in place is observed"),
        (Flaw::LeavesContentsBehind, "a host takes its contents along"),
        (Flaw::ShowsASecret, "wrong input is invalid and changes nothing"),
        (Flaw::Shouts, "wrong input is invalid and changes nothing"),
        (Flaw::WaitsForever, "a system out of reach is unavailable and is found as it was"),
        (Flaw::DropsWhatItBegan, "a stop ends waits at once and lets mutations finish"),
    ];
    for (flaw, trial) in flaws {
        let failures = behaves(&[], gateway(Some(flaw))).unwrap_err();
        assert!(failures.iter().any(|(name, _)| name == trial), "{flaw:?}: {failures}");
    }
}
