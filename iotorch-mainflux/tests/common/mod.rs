//! A slice `greenhouse` with a server `hub`, which is a fake of a release or a real one.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

pub mod wire;

use async_trait::async_trait;
use iotorch_core::{
    Context, Domain, Driver, Health, Observed, Places, Result, Scope, Target,
    model::{External, PartName, Settings, SliceName},
    resource::{
        Application, ApplicationInputs, ApplicationOutputs, ApplicationSpec, Attachment, AttachmentInputs,
        AttachmentOutputs, AttachmentSpec, Change, Credential, CredentialHolder, CredentialInputs,
        CredentialOutputs, CredentialSpec, InApplication, Job, Kind, NetAddress, Outputs, Ownership,
        ResourceId, Role, Spec, Tenant, TenantOutputs, TenantSpec, Work,
    },
    secret::{MemorySecretStore, SecretRef, SecretStore, SecretValue},
    testing::domain::{Sample, Subject},
};
use iotorch_mainflux::MainfluxDriver;
use iotorch_mainflux_fake::{Config, Fake, Release, Service};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

pub const ADMIN: &str = "admin@example.com";
pub const ADMIN_PASSWORD: &str = "12345678";

pub fn secret(text: &str) -> SecretRef {
    text.parse().unwrap()
}

pub fn part(text: &str) -> PartName {
    PartName::new(text).unwrap()
}

/// Where a server is, and who administers it.
#[derive(Clone, Debug)]
pub struct Place {
    pub endpoints: BTreeMap<String, NetAddress>,
    pub admin: String,
    pub is_mainflux: bool,
}

impl Place {
    pub fn of(fake: &Fake, release: Release) -> Self {
        let known = ["auth", "users", "things", "domains", "groups", "channels", "clients", "http", "mqtt"];
        let known: BTreeSet<_> = known.into_iter().chain(["reader", "rules"]).collect();
        let services = release.services().iter().filter(|service| known.contains(service.name()));
        let address = |service: &Service| {
            let at = fake.address(*service).unwrap();
            let address = NetAddress { host: at.ip().to_string(), port: at.port(), tls: false };
            (service.name().to_owned(), address)
        };
        Self {
            endpoints: services.map(address).collect(),
            admin: format!("{ADMIN}:{ADMIN_PASSWORD}"),
            is_mainflux: release.is_mainflux(),
        }
    }
}

pub async fn start(release: Release) -> Fake {
    Fake::start(Config::new(release).with_bus_patience(Duration::from_millis(20))).await.unwrap()
}

/// A server that is played, and a slice that has nothing there yet.
pub async fn fresh(release: Release) -> (Fake, World) {
    let fake = start(release).await;
    let world = World::new(Place::of(&fake, release), "greenhouse").await;
    (fake, world)
}

/// The same, with everything of the slice there.
pub async fn built(release: Release) -> (Fake, World) {
    let (fake, mut world) = fresh(release).await;
    world.build().await;
    (fake, world)
}

/// What was made, in the order in which it was made.
#[derive(Clone, Debug)]
pub struct Made {
    pub work: Work,
    pub outputs: Outputs,
}

/// What iotorch knows of the slice and its server.
pub struct World {
    pub place: Place,
    pub slice: SliceName,
    /// What its document sets of the server.
    pub settings: Settings,
    pub secrets: Arc<MemorySecretStore>,
    pub domain: Arc<dyn Domain>,
    pub made: Vec<Made>,
}

impl World {
    pub async fn new(place: Place, slice: &str) -> Self {
        let secrets = Arc::new(MemorySecretStore::default());
        secrets.put(&secret("hub/admin"), SecretValue::new(place.admin.clone())).await.unwrap();
        secrets.put(&secret("hub/short"), SecretValue::new("sh0rt-1".to_owned())).await.unwrap();
        secrets.put(&secret("hub/long"), SecretValue::new("l0ng".repeat(18) + "-")).await.unwrap();
        let own = ["tenant", "tenant#2", "gw/key", "gw/key#2", "gw-2/key"];
        let own = own.map(|name| (name, format!("{slice}/hub/{name}")));
        for (name, whole) in own.into_iter().chain([("other", "other".to_owned())]) {
            let value = format!("{} of {slice} is nowhere else", name.replace(['/', '#'], "-"));
            secrets.put(&secret(&whole), SecretValue::new(value)).await.unwrap();
        }
        let slice = SliceName::new(slice).unwrap();
        Self { place, slice, settings: Settings::new(), secrets, domain: connect(), made: Vec::new() }
    }

    /// The same as the next process has it: nothing but the records and the secrets.
    pub fn reopened(&self) -> Self {
        Self {
            place: self.place.clone(),
            slice: self.slice.clone(),
            settings: self.settings.clone(),
            secrets: Arc::clone(&self.secrets),
            domain: connect(),
            made: self.made.clone(),
        }
    }

    pub fn cx(&self) -> Context {
        Context {
            installation: "a1".into(),
            deadline: Instant::now() + Duration::from_secs(60),
            cancelled: Default::default(),
            secrets: Arc::clone(&self.secrets) as Arc<dyn SecretStore>,
            places: Places::default(),
        }
    }

    pub fn server(&self) -> ResourceId {
        ResourceId::external(&self.slice, &part("hub"))
    }

    pub fn tenant(&self) -> ResourceId {
        self.server().tenant()
    }

    pub fn attachment(&self, gateway: &str) -> ResourceId {
        self.tenant().attachment(&part(gateway))
    }

    pub fn application_spec(&self) -> ApplicationSpec {
        ApplicationSpec {
            name: "hub".to_owned(),
            role: Role::Server,
            application: "mainflux".parse().unwrap(),
            external: Some(External {
                endpoints: self.place.endpoints.clone(),
                credentials: secret("hub/admin"),
            }),
            admin: secret("hub/admin"),
            settings: self.settings.clone(),
        }
    }

    pub fn tenant_spec(&self, version: u32) -> TenantSpec {
        let name = format!("{}/hub/tenant#{version}", self.slice);
        TenantSpec::new(self.slice.to_string(), secret(&name))
    }

    /// The secret of a generation of a gateway's key.
    pub fn key(&self, gateway: &str, generation: u32) -> SecretRef {
        secret(&format!("{}/hub/{gateway}/key#{generation}", self.slice))
    }

    pub fn attachment_spec(&self, gateway: &str) -> AttachmentSpec {
        AttachmentSpec::new(format!("{}.{gateway}", self.slice))
    }

    pub fn application_work(&self) -> Work {
        create::<Application>(&self.server(), self.application_spec(), ApplicationInputs { workload: None })
            .into()
    }

    pub fn tenant_work(&self) -> Work {
        let inputs = InApplication { application: self.application() };
        create::<Tenant>(&self.tenant(), self.tenant_spec(1), inputs).into()
    }

    pub fn attachment_work(&self, gateway: &str) -> Work {
        let inputs = AttachmentInputs { application: self.application(), tenant: self.tenant_outputs() };
        create::<Attachment>(&self.attachment(gateway), self.attachment_spec(gateway), inputs).into()
    }

    pub fn credential_work(&self, gateway: &str, generation: u32) -> Work {
        let secret = self.key(gateway, generation);
        let attachment = self.attachment_outputs(gateway);
        let holder = CredentialHolder::Attachment { tenant: self.tenant_outputs(), attachment };
        let inputs = CredentialInputs { application: self.application(), holder };
        let id = self.attachment(gateway).credential(generation);
        create::<Credential>(&id, CredentialSpec { generation, secret }, inputs).into()
    }

    pub async fn apply(&self, work: Work) -> Result<Outputs> {
        let mut results = self.domain.apply(&self.cx(), vec![work]).await;
        assert_eq!(results.len(), 1);
        results.remove(0)
    }

    /// Does a step, and records it.
    pub async fn make(&mut self, work: Work) -> Outputs {
        let outputs = match self.apply(work.clone()).await {
            Ok(outputs) => outputs,
            Err(error) => panic!("{}: {}", work.id(), error.to_cause()),
        };
        self.record(work, outputs.clone());
        outputs
    }

    pub fn record(&mut self, work: Work, outputs: Outputs) {
        self.made.retain(|made| made.work.id() != work.id());
        self.made.push(Made { work, outputs });
    }

    /// Makes everything: the gateway `gw` with the first generation of its key.
    pub async fn build(&mut self) {
        for step in 0..STEPS {
            let work = self.step(step);
            self.make(work).await;
        }
    }

    /// The step of this number; those before have to be recorded.
    pub fn step(&self, number: usize) -> Work {
        match number {
            0 => self.application_work(),
            1 => self.tenant_work(),
            2 => self.attachment_work("gw"),
            _ => self.credential_work("gw", 1),
        }
    }

    /// Deletes what was made at `id`, and forgets it.
    pub async fn delete(&mut self, id: &ResourceId) -> Vec<String> {
        let at = self.made.iter().position(|made| made.work.id() == id).unwrap();
        let work = delete(&self.made[at].work);
        match self.apply(work).await {
            Ok(Outputs::Removed { residue }) => {
                self.made.retain(|made| made.work.id() != id && !id.contains(made.work.id()));
                residue
            }
            other => panic!("{id}: {other:?}"),
        }
    }

    fn outputs(&self, id: &ResourceId) -> &Outputs {
        let made = self.made.iter().find(|made| made.work.id() == id);
        &made.unwrap_or_else(|| panic!("{id} was not made")).outputs
    }

    pub fn application(&self) -> ApplicationOutputs {
        match self.outputs(&self.server()) {
            Outputs::Application(outputs) => outputs.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub fn tenant_outputs(&self) -> TenantOutputs {
        match self.outputs(&self.tenant()) {
            Outputs::Tenant(outputs) => outputs.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub fn attachment_outputs(&self, gateway: &str) -> AttachmentOutputs {
        match self.outputs(&self.attachment(gateway)) {
            Outputs::Attachment(outputs) => outputs.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub fn credential_outputs(&self, gateway: &str, generation: u32) -> CredentialOutputs {
        match self.outputs(&self.attachment(gateway).credential(generation)) {
            Outputs::Credential(outputs) => outputs.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub fn scope(&self) -> Scope {
        let spec = |made: &Made| (made.work.id().clone(), Arc::new(spec_of(&made.work)));
        let recorded: BTreeMap<_, _> = self.made.iter().map(spec).collect();
        let mut known: BTreeSet<_> = recorded.keys().cloned().collect();
        known.insert(self.server());
        Scope { root: self.server(), known, recorded, application: Some(self.application()) }
    }

    pub async fn look(&self) -> Result<BTreeMap<ResourceId, Observed>> {
        Ok(self.domain.observe(&self.cx(), &self.scope()).await?.into_iter().collect())
    }

    pub async fn health(&self, id: &ResourceId) -> Health {
        match self.look().await.unwrap().remove(id) {
            Some(Observed::Present { health, .. }) => health,
            other => panic!("{other:?}"),
        }
    }

    /// What differs between what was made and what is seen.
    pub async fn differences(&self) -> Vec<String> {
        let seen = self.look().await.unwrap();
        let mut different = Vec::new();
        for Made { work, outputs: told } in &self.made {
            let id = work.id();
            match &seen[id] {
                Observed::Present { spec, outputs, .. } => {
                    if *spec != spec_of(work) {
                        different.push(format!("{id}: spec"));
                    }
                    if outputs != told {
                        different.push(format!("{id}: outputs"));
                    }
                }
                Observed::Absent => different.push(format!("{id}: absent")),
                Observed::Foreign { owner, .. } => different.push(format!("{id}: of {owner}")),
            }
        }
        let is_made = |id: &ResourceId| self.made.iter().any(|made| made.work.id() == id);
        different.extend(seen.keys().filter(|id| !is_made(id)).map(|id| format!("{id}: unknown")));
        different
    }
}

/// How many steps make everything.
pub const STEPS: usize = 4;

pub fn connect() -> Arc<dyn Domain> {
    MainfluxDriver.connect(&Target::External).unwrap()
}

pub fn create<K: Kind>(id: &ResourceId, after: K::Spec, inputs: K::Inputs) -> Job<K> {
    Job { id: id.clone(), change: Change::Create { after }, inputs, ownership: Ownership::Ours }
}

pub fn delete(work: &Work) -> Work {
    macro_rules! delete {
        ($($kind:ident)*) => {
            match work.clone() {
                $(Work::$kind(job) => {
                    let before = job.change.after().unwrap().clone();
                    Job { change: Change::Delete { before }, ..job }.into()
                })*
                other => panic!("{other:?}"),
            }
        };
    }
    delete!(Application Tenant Attachment Credential)
}

pub fn spec_of(work: &Work) -> Spec {
    work.change().after().unwrap().clone()
}

/// Everything that the behaviour suite makes of a server.
pub struct OnServer {
    pub world: World,
    /// The server, if it is a fake.
    pub fake: Option<(Fake, Release)>,
}

#[async_trait]
impl Subject for OnServer {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(MainfluxDriver)
    }

    fn target(&self) -> Target {
        Target::External
    }

    fn samples(&self) -> Vec<Sample> {
        let world = &self.world;
        let application = world.application_spec();
        let set = |name: &str, value: &str| ApplicationSpec {
            settings: Settings::from_iter([(name.to_owned(), value.into())]),
            ..application.clone()
        };
        let mut bare = application.clone();
        if let Some(external) = &mut bare.external {
            external.endpoints.remove("mqtt");
        }
        let attachment = |gateway: &str| {
            let spec = world.attachment_spec(gateway);
            Sample::new(world.attachment(gateway), spec.clone())
                .updated_to(AttachmentSpec::new(format!("{}-renamed", spec.name)))
                .refused_as(AttachmentSpec::new("n".repeat(1025)))
        };
        let credential = |gateway: &str, generation: u32| {
            let id = world.attachment(gateway).credential(generation);
            Sample::new(id, CredentialSpec { generation, secret: world.key(gateway, generation) })
        };
        let other_release = if world.place.is_mainflux { "0.19.1" } else { "0.12.1" };
        vec![
            Sample::new(world.server(), application.clone())
                .unmarked()
                .stays_with_host()
                .updated_to(set("adminUser", "somebody@example.com"))
                .refused_as(set("release", other_release))
                .faulty_as(set("release", "0.15.0"))
                .faulty_as(set("colour", "red"))
                .faulty_as(ApplicationSpec { role: Role::Gateway, ..application })
                .faulty_as(bare),
            // Its name follows from the installation, so two of them never meet.
            Sample::new(world.tenant(), world.tenant_spec(1))
                .unmarked()
                .updated_to(world.tenant_spec(2))
                .refused_as(TenantSpec { secret: secret("hub/short"), ..world.tenant_spec(1) }),
            attachment("gw"),
            attachment("gw-2"),
            credential("gw", 1),
            credential("gw", 2),
            credential("gw-2", 1),
        ]
    }

    fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::clone(&self.world.secrets) as Arc<dyn SecretStore>
    }

    async fn cut_off(&self) -> Result<()> {
        if let Some((fake, release)) = &self.fake {
            for service in release.services() {
                fake.lose(*service).await;
            }
        }
        Ok(())
    }

    async fn bring_back(&self) -> Result<()> {
        if let Some((fake, release)) = &self.fake {
            for service in release.services() {
                fake.mend(*service).await.unwrap();
            }
        }
        Ok(())
    }
}
