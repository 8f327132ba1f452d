//! A slice `greenhouse` on an external gateway `gw`, step by step as core has it worked on.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use iotorch_core::{
    Context, Domain, Driver, Error, Mark, Observed, Places, Result, Scope, Target,
    model::{DeviceProtocol, External, Labels, PartName, Settings},
    resource::{
        Application, ApplicationInputs, ApplicationOutputs, ApplicationSpec, AttachmentOutputs, Change,
        Credential, CredentialHolder, CredentialInputs, CredentialOutputs, CredentialSpec, Device,
        DeviceInputs, DeviceOutputs, DeviceSpec, Endpoint, Export, ExportInputs, ExportServer, ExportSpec,
        ExportTarget, InApplication, Job, Kind, NetAddress, Outputs, Ownership, Profile, ProfileOutputs,
        ProfileSpec, ResourceId, Role, Spec, Work,
    },
    secret::{MemorySecretStore, SecretRef, SecretStore, SecretValue},
};
use iotorch_edgex::EdgexDriver;
use iotorch_edgex_fake::{Config, Fake, Release, Service};
use serde_json::{Value, json};
use tokio::time::Instant;

pub const INSTALLATION: &str = "a1";

/// What manages the gateway.
pub const ADMIN: &str = "the secret of gw is nowhere else";

pub fn name(text: &str) -> PartName {
    text.parse().unwrap()
}

pub fn secret(text: &str) -> SecretRef {
    text.parse().unwrap()
}

pub fn settings(json: &Value) -> Settings {
    json.as_object().unwrap().clone()
}

pub fn net(address: SocketAddr) -> NetAddress {
    NetAddress { host: address.ip().to_string(), port: address.port(), tls: false }
}

pub fn gateway() -> ResourceId {
    ResourceId::external(&"greenhouse".parse().unwrap(), &name("gw"))
}

pub fn device(text: &str) -> ResourceId {
    gateway().device(&name(text))
}

pub fn profile() -> ResourceId {
    gateway().profile(&name("climate"))
}

/// The endpoints that the services of a fake are.
pub fn endpoints(fake: &Fake, release: Release) -> BTreeMap<String, SocketAddr> {
    let names = [
        (Service::Metadata, "metadata"),
        (Service::Command, "command"),
        (Service::Keeper, "keeper"),
        (Service::Consul, "consul"),
        (Service::DeviceMqtt, "device-mqtt"),
        (Service::DeviceRest, "device-rest"),
        (Service::DeviceCoap, "device-coap"),
        (Service::AppMqttExport, "app-mqtt-export"),
        (Service::ExportClient, "export-client"),
    ];
    let here = |(service, name): (Service, &str)| Some((name.to_owned(), fake.address(service)?));
    let played = |(service, _): &(Service, &str)| {
        // Version 1 of the API is played without what its other services answer.
        release != Release::V1 || !matches!(service, Service::Command | Service::DeviceMqtt)
    };
    names.into_iter().filter(played).filter_map(here).collect()
}

pub fn application_spec(endpoints: &BTreeMap<String, SocketAddr>, set: &Value) -> ApplicationSpec {
    let endpoints = endpoints.iter().map(|(name, address)| (name.clone(), net(*address))).collect();
    ApplicationSpec {
        name: "gw".to_owned(),
        role: Role::Gateway,
        application: "edgex".parse().unwrap(),
        external: Some(External { endpoints, credentials: secret("gw/admin") }),
        admin: secret("gw/admin"),
        settings: settings(set),
    }
}

pub fn profile_spec(resources: &Value) -> ProfileSpec {
    let resources = serde_json::from_value(resources.clone()).unwrap();
    ProfileSpec { name: "greenhouse.climate".to_owned(), resources }
}

pub fn climate() -> Value {
    json!([
        { "name": "temperature", "type": "float", "unit": "Cel", "range": [-40, 85] },
        { "name": "vent", "type": "bool", "access": "readwrite" },
    ])
}

pub fn device_spec(text: &str) -> DeviceSpec {
    DeviceSpec {
        name: format!("greenhouse.{text}"),
        protocol: DeviceProtocol::Mqtt,
        profile: "greenhouse.climate".to_owned(),
        labels: Labels::from([("bench".to_owned(), "1".to_owned())]),
        settings: Settings::new(),
    }
}

/// A gateway that is played, and a domain that works on it.
pub struct World {
    pub fake: Fake,
    pub domain: Arc<dyn Domain>,
    pub secrets: Arc<MemorySecretStore>,
    pub spec: ApplicationSpec,
    pub application: ApplicationOutputs,
}

impl World {
    /// A gateway without a broker and without exports, which is ready.
    pub async fn of(config: Config) -> Self {
        Self::with(config, &json!({ "export": "none" })).await
    }

    pub async fn with(config: Config, set: &Value) -> Self {
        let release = config.release;
        let fake = Fake::start(config).await.unwrap();
        let spec = application_spec(&endpoints(&fake, release), set);
        Self::on(fake, spec).await
    }

    pub async fn on(fake: Fake, spec: ApplicationSpec) -> Self {
        let secrets = Arc::new(MemorySecretStore::default());
        secrets.put(&secret("gw/admin"), SecretValue::new(ADMIN.to_owned())).await.unwrap();
        for name in ["hub/key", "gw/d1/password", "gw/d1/password#2", "hub/key#2"] {
            let value = format!("the value of {name} is nowhere else").replace('#', "-");
            secrets.put(&secret(name), SecretValue::new(value)).await.unwrap();
        }
        let domain = EdgexDriver.connect(&Target::External).unwrap();
        let application = ApplicationOutputs {
            version: String::new(),
            endpoints: BTreeMap::new(),
            admin: spec.admin.clone(),
        };
        let mut world = Self { fake, domain, secrets, spec, application };
        world.application = world.ready().await.unwrap();
        world.fake.forget();
        world
    }

    pub fn cx(&self) -> Context {
        Context {
            installation: INSTALLATION.into(),
            deadline: Instant::now() + Duration::from_secs(60),
            cancelled: Default::default(),
            secrets: Arc::clone(&self.secrets) as Arc<dyn SecretStore>,
            places: Places::default(),
        }
    }

    /// Connects again, as the next process does.
    pub fn reconnect(&mut self) {
        self.domain = EdgexDriver.connect(&Target::External).unwrap();
    }

    /// Asks whether the gateway is ready.
    pub async fn ready(&self) -> Result<ApplicationOutputs> {
        let job = Job::<Application> {
            id: gateway(),
            change: Change::Create { after: self.spec.clone() },
            inputs: ApplicationInputs { workload: None },
            ownership: Ownership::Ours,
        };
        match self.apply(job).await? {
            Outputs::Application(outputs) => Ok(outputs),
            other => panic!("{other:?}"),
        }
    }

    pub async fn apply(&self, work: impl Into<Work>) -> Result<Outputs> {
        self.batch(vec![work.into()]).await.remove(0)
    }

    pub async fn batch(&self, works: Vec<Work>) -> Vec<Result<Outputs>> {
        let wanted = works.len();
        let results = self.domain.apply(&self.cx(), works).await;
        assert_eq!(results.len(), wanted);
        results
    }

    /// Does a step as core does: again while it is not ready or what may pass goes wrong.
    pub async fn insist(&self, work: impl Into<Work>) -> Result<Outputs> {
        self.insist_on(vec![work.into()]).await.remove(0)
    }

    pub async fn insist_on(&self, works: Vec<Work>) -> Vec<Result<Outputs>> {
        let mut results = self.batch(works.clone()).await;
        for _ in 0..8 {
            let again: Vec<_> = (0..works.len())
                .filter(|index| results[*index].as_ref().is_err_and(Error::is_retryable))
                .collect();
            if again.is_empty() {
                break;
            }
            let answers = self.batch(again.iter().map(|index| works[*index].clone()).collect()).await;
            for (index, answer) in again.into_iter().zip(answers) {
                results[index] = answer;
            }
        }
        results
    }

    pub fn profile_work(&self, change: Change<ProfileSpec>) -> Work {
        let inputs = InApplication { application: self.application.clone() };
        job::<Profile>(profile(), change, inputs)
    }

    pub fn device_work(&self, text: &str, change: Change<DeviceSpec>) -> Work {
        let profile = ProfileOutputs { name: "greenhouse.climate".to_owned() };
        let inputs = DeviceInputs { application: self.application.clone(), profile };
        job::<Device>(device(text), change, inputs)
    }

    pub fn credential_work(&self, generation: u32, change: Change<CredentialSpec>) -> Work {
        let holder = CredentialHolder::Device(DeviceOutputs {
            name: "greenhouse.d1".to_owned(),
            endpoint: None,
            path: None,
            commands: None,
        });
        let inputs = CredentialInputs { application: self.application.clone(), holder };
        job::<Credential>(device("d1").credential(generation), change, inputs)
    }

    /// The export to a server, with a version of its key.
    pub fn export_work(&self, at: NetAddress, key: &str, change: Change<ExportSpec>) -> Work {
        let hub = ApplicationOutputs {
            version: "0.1.0".to_owned(),
            endpoints: [("mqtt".to_owned(), Endpoint::Net(at))].into(),
            admin: secret("gw/admin"),
        };
        let server = ExportServer {
            application: hub,
            attachment: AttachmentOutputs::new("t-1", "c-1"),
            credential: CredentialOutputs { user_name: "t-1".to_owned(), secret: secret(key) },
            port: None,
        };
        let inputs = ExportInputs { application: self.application.clone(), server: Some(server) };
        job::<Export>(gateway().export(&name("hub")), change, inputs)
    }

    pub fn create_profile(&self) -> Work {
        self.profile_work(Change::Create { after: profile_spec(&climate()) })
    }

    pub fn create_device(&self, text: &str) -> Work {
        self.device_work(text, Change::Create { after: device_spec(text) })
    }

    pub fn create_devices(&self, count: usize) -> Vec<Work> {
        (0..count).map(|number| self.create_device(&format!("d{number}"))).collect()
    }

    pub async fn look(&self, known: &[ResourceId]) -> Result<BTreeMap<ResourceId, Observed>> {
        Ok(self.domain.observe(&self.cx(), &self.scope(known)).await?.into_iter().collect())
    }

    pub fn scope(&self, known: &[ResourceId]) -> Scope {
        let mut known: BTreeSet<_> = known.iter().cloned().collect();
        known.insert(gateway());
        let recorded = [(gateway(), Arc::new(Spec::Application(self.spec.clone())))].into();
        Scope { root: gateway(), known, recorded, application: Some(self.application.clone()) }
    }

    /// How many requests to a service began so.
    pub fn asked(&self, service: Service, question: &str) -> usize {
        let asked = self.fake.asked().into_iter();
        asked
            .filter(|asked| asked.service == service)
            .filter(|asked| format!("{} {}", asked.method, asked.path).starts_with(question))
            .count()
    }
}

pub fn hub() -> ExportSpec {
    ExportSpec { name: "greenhouse.hub".to_owned(), target: ExportTarget::Server }
}

fn job<K: Kind>(id: ResourceId, change: Change<K::Spec>, inputs: K::Inputs) -> Work
where
    Job<K>: Into<Work>,
{
    Job::<K> { id, change, inputs, ownership: Ownership::Ours }.into()
}

/// The mark of a resource of another installation.
pub fn theirs(id: &ResourceId) -> Mark {
    Mark { installation: "b2".into(), resource: id.clone() }
}

/// An error as a person reads it.
pub fn told(error: &Error) -> String {
    let cause = error.to_cause();
    let mut lines = vec![format!("{}: {}", cause.kind, cause.message)];
    lines.extend(cause.chain.iter().map(|link| format!("  {link}")));
    lines.extend(cause.help.iter().map(|help| format!("help: {help}")));
    lines.join("\n")
}

/// Whoever asks EdgeX by its own API.
pub fn http() -> reqwest::Client {
    let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
    let tls = tls.with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap()
}
