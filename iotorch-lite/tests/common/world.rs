//! A slice `greenhouse` with a gateway `gw` at `edge-1` and a server `hub` in `cloud`, both in this process.

use super::{Mqtt, eventually};
use iotorch_core::{
    Context, Domain, Driver, Health, Observed, Places, Result, Scope, Target,
    model::{DeviceProtocol, Infrastructure, InfrastructureName, PartName, ProfileResource, SliceName},
    resource::{
        Application, ApplicationInputs, ApplicationOutputs, ApplicationSpec, Attachment, AttachmentInputs,
        AttachmentSpec, Change, Credential, CredentialHolder, CredentialInputs, CredentialSpec, Device,
        DeviceInputs, DeviceSpec, Endpoint, Export, ExportInputs, ExportServer, ExportSpec, ExportTarget,
        InApplication, Job, Kind, KindName, NoInputs, Outputs, Ownership, Profile, ProfileSpec, ResourceId,
        Role, Space, SpaceSpec, Spec, Tenant, TenantSpec, Work, Workload, WorkloadInputs, WorkloadSpec,
    },
    secret::{MemorySecretStore, SecretRef, SecretStore, SecretValue},
};
use iotorch_lite::{
    LiteDriver, LocalDriver, LocalHost, Secret,
    api::MessageQuery,
    client::{GatewayClient, ServerClient},
    senml::Value,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

pub fn name(text: &str) -> PartName {
    PartName::new(text).unwrap()
}

pub fn secret(text: &str) -> SecretRef {
    text.parse().unwrap()
}

pub fn infrastructure(name: &str) -> Infrastructure {
    serde_json::from_value(serde_json::json!({ "name": name, "spec": { "driver": "local", "tier": "edge" } }))
        .unwrap()
}

pub fn resources(text: &str) -> Vec<ProfileResource> {
    serde_json::from_str(text).unwrap()
}

pub const RESOURCES: &str = r#"[
    { "name": "temperature", "type": "float", "unit": "Cel", "range": [-40, 85] },
    { "name": "alarm:1", "type": "bool", "access": "readwrite" }
]"#;

/// What was made, in the order in which it was made.
pub struct Made {
    pub work: Work,
    pub outputs: Outputs,
}

pub struct World {
    pub host: Arc<LocalHost>,
    pub secrets: Arc<MemorySecretStore>,
    pub made: Vec<Made>,
    pub local: Arc<dyn Domain>,
    pub lite: Arc<dyn Domain>,
}

impl World {
    pub async fn open(dir: &Path) -> Self {
        let secrets = Arc::new(MemorySecretStore::default());
        for name in ["gw/admin", "hub/admin", "hub/tenant", "hub/gw/key", "gw/d1/password", "wrong"] {
            let value = SecretValue::new(format!("the value of {name} is long and random"));
            secrets.put(&secret(name), value).await.unwrap();
        }
        Self::with(dir, secrets)
    }

    /// A world on what is in the directory.
    pub fn with(dir: &Path, secrets: Arc<MemorySecretStore>) -> Self {
        let store = Arc::clone(&secrets) as Arc<dyn SecretStore>;
        Self::on(LocalHost::open(dir, store).unwrap(), secrets)
    }

    pub fn on(host: Arc<LocalHost>, secrets: Arc<MemorySecretStore>) -> Self {
        let place = Target::Infrastructure(infrastructure("edge-1"));
        let local = LocalDriver::new(Arc::clone(&host)).connect(&place).unwrap();
        let lite = LiteDriver.connect(&place).unwrap();
        Self { host, secrets, made: Vec::new(), local, lite }
    }

    /// Ends everything, as a process does that ends well, and comes back with what was made.
    pub async fn reopen(self, dir: &Path) -> Self {
        let Self { host, secrets, made, local, lite } = self;
        host.stop().await;
        drop((host, local, lite));
        Self { made, ..Self::with(dir, secrets) }
    }

    pub fn cx(&self) -> Context {
        let place = |name| {
            let infrastructure = infrastructure(name);
            let place = LocalDriver::new(Arc::clone(&self.host)).place(&infrastructure).unwrap();
            (infrastructure.name, place)
        };
        Context {
            installation: "test".into(),
            deadline: Instant::now() + Duration::from_secs(60),
            cancelled: Default::default(),
            secrets: Arc::clone(&self.secrets) as Arc<dyn SecretStore>,
            places: Places::new(["edge-1", "cloud"].map(place).into()),
        }
    }

    pub fn domain(&self, kind: KindName) -> &Arc<dyn Domain> {
        match kind {
            KindName::Space | KindName::Workload => &self.local,
            _ => &self.lite,
        }
    }

    pub async fn apply(&self, work: Work) -> Result<Outputs> {
        let domain = self.domain(work.id().kind());
        let mut results = domain.apply(&self.cx(), vec![work]).await;
        assert_eq!(results.len(), 1);
        results.remove(0)
    }

    pub async fn make<K: Kind>(&mut self, id: &ResourceId, after: K::Spec, inputs: K::Inputs) -> Outputs
    where
        Work: From<Job<K>>,
    {
        let work: Work = create::<K>(id, after, inputs).into();
        let outputs = self.apply(work.clone()).await.unwrap();
        self.made.push(Made { work, outputs: outputs.clone() });
        outputs
    }

    /// The scope of a root: what was made in it, and `also` as wanted.
    pub fn scope(&self, root: &ResourceId, also: &[ResourceId]) -> Scope {
        let inside = || self.made.iter().filter(|made| made.work.id().scope() == *root);
        let recorded: BTreeMap<_, _> =
            inside().map(|made| (made.work.id().clone(), Arc::new(spec_of(&made.work)))).collect();
        let application = inside().find(|made| made.work.id() == root).and_then(|made| match &made.outputs {
            Outputs::Application(outputs) => Some(outputs.clone()),
            _ => None,
        });
        let mut known: BTreeSet<_> = recorded.keys().cloned().collect();
        known.extend(also.iter().cloned());
        known.insert(root.clone());
        Scope { root: root.clone(), known, recorded, application }
    }

    pub async fn look(
        &self,
        root: &ResourceId,
        also: &[ResourceId],
    ) -> Result<BTreeMap<ResourceId, Observed>> {
        let scope = self.scope(root, also);
        Ok(self.domain(root.kind()).observe(&self.cx(), &scope).await?.into_iter().collect())
    }

    pub async fn look_at(&self, id: &ResourceId) -> Observed {
        self.look(&id.scope(), std::slice::from_ref(id)).await.unwrap().remove(id).unwrap()
    }

    /// What differs between what was made and what is seen.
    pub async fn differences(&self) -> Vec<String> {
        let mut different = Vec::new();
        let roots: BTreeSet<_> = self.made.iter().map(|made| made.work.id().scope()).collect();
        for root in roots {
            let seen = match self.look(&root, &[]).await {
                Ok(seen) => seen,
                Err(error) => {
                    different.push(format!("{root}: {}", error.kind()));
                    continue;
                }
            };
            for made in self.made.iter().filter(|made| made.work.id().scope() == root) {
                let id = made.work.id();
                match &seen[id] {
                    Observed::Present { spec, outputs, .. } => {
                        if *spec != spec_of(&made.work) {
                            different.push(format!("{id}: spec"));
                        }
                        if *outputs != made.outputs {
                            different.push(format!("{id}: outputs"));
                        }
                    }
                    Observed::Absent => different.push(format!("{id}: absent")),
                    Observed::Foreign { owner, .. } => different.push(format!("{id}: of {owner}")),
                }
            }
            let made = |id: &ResourceId| self.made.iter().any(|made| made.work.id() == id);
            different.extend(seen.keys().filter(|id| !made(id)).map(|id| format!("{id}: unknown")));
        }
        different
    }

    pub async fn health(&self, id: &ResourceId) -> Health {
        match self.look_at(id).await {
            Observed::Present { health, .. } => health,
            other => panic!("{other:?}"),
        }
    }

    /// Deletes what was made at `id`.
    pub async fn delete(&self, id: &ResourceId) -> Result<Outputs> {
        let made = self.made.iter().find(|made| made.work.id() == id).unwrap();
        self.apply(delete(&made.work)).await
    }

    pub fn outputs(&self, id: &ResourceId) -> &Outputs {
        &self.made.iter().find(|made| made.work.id() == id).unwrap().outputs
    }

    pub fn application(&self, id: &ResourceId) -> ApplicationOutputs {
        match self.outputs(id) {
            Outputs::Application(outputs) => outputs.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub async fn token(&self, name: &str) -> Secret {
        Secret::new(self.secrets.fetch(&secret(name)).await.unwrap().expose())
    }

    pub fn url(&self, application: &ResourceId, endpoint: &str) -> String {
        self.application(application).endpoints[endpoint].to_string()
    }

    pub async fn gateway(&self) -> GatewayClient {
        let url = format!("http://{}", self.url(&gateway(), "management"));
        GatewayClient::new(url, self.token("gw/admin").await).unwrap()
    }

    pub async fn server(&self) -> ServerClient {
        let url = format!("http://{}", self.url(&server(), "management"));
        ServerClient::new(url, self.token("hub/admin").await).unwrap()
    }

    /// Makes the space and the workload of a part, and the application in it.
    pub async fn deploy(&mut self, place: &str, part: &str, role: Role) {
        let space = space(place);
        let spec = SpaceSpec { name: "greenhouse".to_owned(), quota: Default::default() };
        let Outputs::Space(inside) = self.make::<Space>(&space, spec, NoInputs {}).await else { panic!() };
        let workload = space.workload(&name(part));
        let inputs = WorkloadInputs { space: Some(inside), segments: BTreeMap::new() };
        let made = self.make::<Workload>(&workload, workload_spec(part, role), inputs).await;
        let Outputs::Workload(deployed) = made else { panic!() };
        let spec = ApplicationSpec {
            name: part.to_owned(),
            role,
            application: "lite".parse().unwrap(),
            external: None,
            admin: secret(&format!("{part}/admin")),
            settings: Default::default(),
        };
        let inputs = ApplicationInputs { workload: Some(deployed) };
        self.make::<Application>(&workload.application(), spec, inputs).await;
    }

    /// Makes everything: device `d1` of profile `sensor` on the gateway, which is attached to the server.
    pub async fn build(&mut self) {
        self.deploy("cloud", "hub", Role::Server).await;
        self.deploy("edge-1", "gw", Role::Gateway).await;
        let (hub, gw) = (self.application(&server()), self.application(&gateway()));

        let spec = TenantSpec::new("greenhouse", secret("hub/tenant"));
        let inputs = InApplication { application: hub.clone() };
        let made = self.make::<Tenant>(&server().tenant(), spec, inputs).await;
        let Outputs::Tenant(tenant) = made else { panic!() };
        let spec = AttachmentSpec::new("gw");
        let inputs = AttachmentInputs { application: hub.clone(), tenant: tenant.clone() };
        let made = self.make::<Attachment>(&attachment(), spec, inputs).await;
        let Outputs::Attachment(attached) = made else { panic!() };
        let spec = CredentialSpec { generation: 1, secret: secret("hub/gw/key") };
        let holder = CredentialHolder::Attachment { tenant, attachment: attached.clone() };
        let inputs = CredentialInputs { application: hub.clone(), holder };
        let made = self.make::<Credential>(&attachment().credential(1), spec, inputs).await;
        let Outputs::Credential(credential) = made else { panic!() };

        let inputs = InApplication { application: gw.clone() };
        let id = gateway().profile(&name("sensor"));
        let Outputs::Profile(profile) = self.make::<Profile>(&id, profile_spec(), inputs).await else {
            panic!()
        };
        let inputs = DeviceInputs { application: gw.clone(), profile };
        let made = self.make::<Device>(&device("d1"), device_spec("d1"), inputs).await;
        let Outputs::Device(d1) = made else { panic!() };
        let spec = CredentialSpec { generation: 1, secret: secret("gw/d1/password") };
        let inputs = CredentialInputs { application: gw.clone(), holder: CredentialHolder::Device(d1) };
        self.make::<Credential>(&device("d1").credential(1), spec, inputs).await;
        let spec = ExportSpec { name: "hub".to_owned(), target: ExportTarget::Server };
        let to = ExportServer { application: hub, attachment: attached, credential, port: None };
        let inputs = ExportInputs { application: gw, server: Some(to) };
        self.make::<Export>(&gateway().export(&name("hub")), spec, inputs).await;
    }
}

pub fn create<K: Kind>(id: &ResourceId, after: K::Spec, inputs: K::Inputs) -> Job<K> {
    Job { id: id.clone(), change: Change::Create { after }, inputs, ownership: Ownership::Ours }
}

pub fn delete(work: &Work) -> Work {
    macro_rules! delete {
        ($($kind:ident)*) => {
            match work.clone() {
                $(Work::$kind(job) => Job { change: job.change.inverse(), ..job }.into(),)*
                other => panic!("{other:?}"),
            }
        };
    }
    delete!(Space Workload Application Tenant Attachment Credential Profile Device Export)
}

pub fn spec_of(work: &Work) -> Spec {
    work.change().after().unwrap().clone()
}

pub fn space(place: &str) -> ResourceId {
    ResourceId::space(&SliceName::new("greenhouse").unwrap(), &InfrastructureName::new(place).unwrap())
}

pub fn gateway() -> ResourceId {
    space("edge-1").workload(&name("gw")).application()
}

pub fn server() -> ResourceId {
    space("cloud").workload(&name("hub")).application()
}

pub fn attachment() -> ResourceId {
    server().tenant().attachment(&name("gw"))
}

pub fn device(text: &str) -> ResourceId {
    gateway().device(&name(text))
}

pub fn workload_spec(part: &str, role: Role) -> WorkloadSpec {
    WorkloadSpec {
        name: part.to_owned(),
        role,
        application: Some("lite".parse().unwrap()),
        chart: None,
        physical: None,
        needs: Default::default(),
        settings: Default::default(),
        admin: Some(secret(&format!("{part}/admin"))),
    }
}

pub fn profile_spec() -> ProfileSpec {
    ProfileSpec { name: "sensor".to_owned(), resources: resources(RESOURCES) }
}

pub fn device_spec(text: &str) -> DeviceSpec {
    DeviceSpec {
        name: text.to_owned(),
        protocol: DeviceProtocol::Mqtt,
        profile: "sensor".to_owned(),
        labels: BTreeMap::from([("bench".to_owned(), "1".to_owned())]),
        settings: Default::default(),
    }
}

/// Publishes as device `d1` and waits until the server has `count` messages.
pub async fn a_reading_arrives(world: &World, value: f64, count: u64) {
    let Outputs::Device(d1) = world.outputs(&device("d1")) else { panic!() };
    let Some(Endpoint::Net(address)) = &d1.endpoint else { panic!() };
    let at = format!("{}:{}", address.host, address.port).parse().unwrap();
    let password = world.token("gw/d1/password").await;
    let mqtt = Mqtt::connect(at, &d1.name, &d1.name, password.expose()).await.unwrap();
    let topic = format!("{}/temperature", d1.path.as_deref().unwrap());
    mqtt.publish(&topic, value.to_string()).await.unwrap();
    let Outputs::Attachment(attached) = world.outputs(&attachment()) else { panic!() };
    // The secret of the tenant is the token with which its messages are read.
    let url = format!("http://{}", world.url(&server(), "management"));
    let token = world.token("hub/tenant").await;
    let reader = ServerClient::new(url, token).unwrap();
    eventually("the reading at the server", async || {
        let stats = reader.stats("greenhouse", &attached.channel).await.unwrap();
        (stats.count == count).then_some(())
    })
    .await;
    let page = reader.messages("greenhouse", &attached.channel, &MessageQuery::default()).await.unwrap();
    assert_eq!(page.messages[0].name, "d1:temperature");
    assert_eq!(page.messages[0].value, Some(Value::Number(value)));
}
