//! What the behaviour suite of core works on.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use iotorch_core::{
    Context, Driver, ErrorKind, Places, Result, Target,
    model::{DeviceProtocol, External, Labels, PartName, Settings, Sink, SinkKind, SliceName},
    resource::{
        Application, ApplicationInputs, ApplicationOutputs, ApplicationSpec, AttachmentOutputs, Change,
        CredentialOutputs, CredentialSpec, Device, DeviceInputs, DeviceSpec, Endpoint, Export, ExportInputs,
        ExportSpec, ExportTarget, InApplication, Job, Kind, NetAddress, Outputs, Ownership, Profile,
        ProfileOutputs, ProfileSpec, ResourceId, Role, Spec, Work,
    },
    secret::{MemorySecretStore, SecretStore, SecretValue},
    testing::domain::{Sample, Subject},
};
use iotorch_edgex::EdgexDriver;
use iotorch_edgex_fake::{Config, Fake, Release};
use iotorch_lite::{Gateway, GatewayConfig, Secret};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use super::{
    broker::Mosquitto,
    proxy::Proxy,
    world::{endpoints, secret, settings},
};

/// What carries readings north in a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exporter {
    Bridge,
    Edgex,
}

/// Where the services of EdgeX come from.
#[derive(Clone, Debug)]
pub enum Services {
    /// They are played.
    Played(Release),
    /// They are elsewhere, by the names of their endpoints.
    Real(BTreeMap<String, String>),
}

/// A slice of its own on a gateway behind proxies.
pub struct OnGateway {
    slice: SliceName,
    exporter: Exporter,
    secrets: Arc<MemorySecretStore>,
    proxies: BTreeMap<String, Proxy>,
    /// Where the services are that stay when the trial is over.
    stays: Option<BTreeMap<String, String>>,
    /// How many exports there can be.
    exports: usize,
    /// Whether it serves devices over HTTP.
    serves_http: bool,
    _fake: Option<Fake>,
    _broker: Mosquitto,
    bridge: tokio::sync::Mutex<Option<Gateway>>,
    _folder: TempDir,
}

/// What has to be there for a trial.
pub fn absent() -> Option<&'static str> {
    super::broker::plugin().is_none().then_some("mosquitto")
}

impl OnGateway {
    pub async fn new(services: Services, exporter: Exporter) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let slice = SliceName::new(&format!("behavior-{}-{number}", std::process::id()))?;
        let secrets = Arc::new(MemorySecretStore::default());
        for name in ["gw/admin", "hub/key", "gw/d1/password", "gw/d1/password#2", "gw/d3/password"] {
            let value = format!("the value of {name} is nowhere else");
            secrets.put(&secret(name), SecretValue::new(value)).await?;
        }
        let login = SecretValue::new("someone:the password of someone is nowhere else".to_owned());
        secrets.put(&secret("sink"), login).await?;

        let token = secrets.fetch(&secret("gw/admin")).await?;
        let folder = tempfile::tempdir().unwrap();
        let config = GatewayConfig::builder()
            .data_dir(folder.path().join("bridge"))
            .admin_token(Secret::new(token.expose()))
            .build();
        let bridge = Gateway::start(config).await.unwrap();
        let broker = Mosquitto::start(token.expose()).await;
        let stays = match &services {
            Services::Real(there) => Some(there.clone()),
            Services::Played(_) => None,
        };
        let (mut there, fake, exports) = match services {
            Services::Played(release) => {
                let fake = Fake::start(Config::of(release)).await.unwrap();
                let here = |(name, address): (String, SocketAddr)| (name, address.to_string());
                let there: BTreeMap<_, _> = endpoints(&fake, release).into_iter().map(here).collect();
                // One pipeline, but as many registrations as one likes.
                let exports = if release == Release::V1 { 2 } else { 1 };
                (there, Some(fake), exports)
            }
            Services::Real(there) => (there, None, 1),
        };
        let serves_http = there.contains_key("device-rest");
        there.insert("mqtt".to_owned(), broker.address().to_string());
        if exporter == Exporter::Bridge {
            there.insert("bridge".to_owned(), bridge.management_address().to_string());
        }
        let mut proxies = BTreeMap::new();
        for (name, address) in there {
            proxies.insert(name, Proxy::open(address).await);
        }
        let exports = if exporter == Exporter::Bridge { 2 } else { exports };
        Ok(Self {
            slice,
            exporter,
            secrets,
            proxies,
            stays,
            exports,
            serves_http,
            _fake: fake,
            _broker: broker,
            bridge: tokio::sync::Mutex::new(Some(bridge)),
            _folder: folder,
        })
    }

    fn gateway(&self) -> ResourceId {
        ResourceId::external(&self.slice, &part("gw"))
    }

    fn qualified(&self, text: &str) -> String {
        format!("{}.{text}", self.slice)
    }

    fn application(&self) -> Sample {
        let net = |(name, proxy): (&String, &Proxy)| (name.clone(), net(proxy.address()));
        let external =
            External { endpoints: self.proxies.iter().map(net).collect(), credentials: secret("gw/admin") };
        let set = |more: Value| {
            let export = if self.exporter == Exporter::Bridge { "bridge" } else { "edgex" };
            let mut set = settings(&json!({ "export": export, "broker": "managed" }));
            set.extend(settings(&more));
            set
        };
        let spec = ApplicationSpec {
            name: "gw".to_owned(),
            role: Role::Gateway,
            application: "edgex".parse().unwrap(),
            external: Some(external),
            admin: secret("gw/admin"),
            settings: set(json!({})),
        };
        let nowhere = External { endpoints: BTreeMap::new(), credentials: secret("gw/admin") };
        Sample::new(self.gateway(), spec.clone())
            .unmarked()
            .stays_with_host()
            .updated_to(ApplicationSpec {
                settings: set(json!({ "deviceServices": ["device-mqtt"] })),
                ..spec.clone()
            })
            .faulty_as(ApplicationSpec { settings: set(json!({ "speed": 1 })), ..spec.clone() })
            .faulty_as(ApplicationSpec { external: Some(nowhere), ..spec })
    }

    fn profile(&self, text: &str, resources: &Value) -> ProfileSpec {
        let resources = serde_json::from_value(resources.clone()).unwrap();
        ProfileSpec { name: self.qualified(text), resources }
    }

    fn device(&self, text: &str, protocol: DeviceProtocol) -> Sample {
        let spec = DeviceSpec {
            name: self.qualified(text),
            protocol,
            profile: self.qualified("climate"),
            labels: Labels::from([("bench".to_owned(), "1".to_owned())]),
            settings: Settings::new(),
        };
        Sample::new(self.gateway().device(&part(text)), spec.clone())
            .using([self.gateway().profile(&part("climate"))])
            .updated_to(DeviceSpec { labels: Labels::new(), ..spec.clone() })
            .refused_as(DeviceSpec { profile: self.qualified("absent"), ..spec.clone() })
            .faulty_as(DeviceSpec { settings: settings(&json!({ "interval": "1s" })), ..spec.clone() })
            .faulty_as(DeviceSpec { name: "a/b".to_owned(), ..spec })
    }

    fn credential(&self, device: &str) -> Sample {
        let id = self.gateway().device(&part(device)).credential(1);
        let spec = |version: &str| CredentialSpec {
            generation: 1,
            secret: secret(&format!("gw/{device}/password{version}")),
        };
        let sample = Sample::new(id, spec(""));
        if device == "d1" { sample.updated_to(spec("#2")) } else { sample }
    }

    fn hub(&self) -> ResourceId {
        ResourceId::external(&self.slice, &part("hub"))
    }

    fn exports(&self) -> Vec<Sample> {
        let attachment = self.hub().tenant().attachment(&part("gw"));
        let server = ExportSpec { name: self.qualified("hub"), target: ExportTarget::Server };
        let server = Sample::new(self.gateway().export(&part("hub")), server)
            .using([attachment.clone(), attachment.credential(1)]);
        let sink = |topic: &str| {
            let sink = Sink::builder()
                .name(part("broker"))
                .kind(SinkKind::Mqtt)
                .endpoint(NetAddress { host: "127.0.0.1".to_owned(), port: 9, tls: false })
                .target(topic)
                .credentials(secret("sink"));
            ExportSpec { name: self.qualified("broker"), target: ExportTarget::Sink(sink.build()) }
        };
        let sink = Sample::new(self.gateway().export(&part("broker")), sink("readings"))
            .updated_to(sink("others"))
            .faulty_as(sink("a/#"));
        [sink, server].into_iter().take(self.exports).collect()
    }
}

/// The installations that trials work as.
const INSTALLATIONS: [&str; 2] = ["00000000000000a1", "00000000000000b2"];

/// The time that the application service needs between two changes, of which the trial may have made the last one just now.
const GAP: Duration = Duration::from_millis(300);

impl OnGateway {
    /// Removes what the trial left on services that stay: devices, profiles, and the one export, which the next trial needs.
    /// Users went with the broker, and a way that a trial cut off is not taken.
    async fn clear(&self, there: &BTreeMap<String, String>) {
        tokio::time::sleep(GAP).await;
        let at = |(name, address): (&String, &String)| {
            let (host, port) = address.rsplit_once(':').unwrap();
            let address = NetAddress { host: host.to_owned(), port: port.parse().unwrap(), tls: false };
            (name.clone(), address)
        };
        let Spec::Application(spec) = self.application().spec().clone() else { return };
        let external =
            External { endpoints: there.iter().map(at).collect(), credentials: spec.admin.clone() };
        let none =
            settings(&json!({ "export": if self.exporter == Exporter::Edgex { "edgex" } else { "none" } }));
        let spec = ApplicationSpec { external: Some(external), settings: none, ..spec };
        let domain = EdgexDriver.connect(&self.target()).unwrap();
        let made = Job::<Application> {
            id: self.gateway(),
            change: Change::Create { after: spec },
            inputs: ApplicationInputs { workload: None },
            ownership: Ownership::Ours,
        };
        let application = match domain.apply(&self.cx(INSTALLATIONS[0]), vec![made.into()]).await.remove(0) {
            Ok(Outputs::Application(application)) => application,
            other => panic!("what the trial left cannot be removed: {other:?}"),
        };
        for sample in self.samples().iter().rev() {
            let (id, application) = (sample.id(), application.clone());
            let work: Work = match sample.spec() {
                Spec::Export(before) if self.exporter == Exporter::Edgex => {
                    deletion::<Export>(id, before, ExportInputs { application, server: None })
                }
                Spec::Device(before) => {
                    let profile = ProfileOutputs { name: before.profile.clone() };
                    deletion::<Device>(id, before, DeviceInputs { application, profile })
                }
                Spec::Profile(before) => deletion::<Profile>(id, before, InApplication { application }),
                _ => continue,
            };
            for installation in INSTALLATIONS {
                let gone = domain.apply(&self.cx(installation), vec![work.clone()]).await.remove(0);
                // What is of one installation is refused to the other.
                assert!(
                    gone.as_ref().map_or_else(|error| error.kind() == ErrorKind::Conflict, |_| true),
                    "{gone:?}"
                );
            }
        }
    }

    fn cx(&self, installation: &str) -> Context {
        Context {
            installation: installation.into(),
            deadline: Instant::now() + Duration::from_secs(60),
            cancelled: Default::default(),
            secrets: Arc::clone(&self.secrets) as Arc<dyn SecretStore>,
            places: Places::default(),
        }
    }
}

fn deletion<K: Kind>(id: &ResourceId, before: &K::Spec, inputs: K::Inputs) -> Work
where
    Job<K>: Into<Work>,
{
    let change = Change::Delete { before: before.clone() };
    Job::<K> { id: id.clone(), change, inputs, ownership: Ownership::Ours }.into()
}

fn part(text: &str) -> PartName {
    text.parse().unwrap()
}

fn net(address: SocketAddr) -> NetAddress {
    NetAddress { host: address.ip().to_string(), port: address.port(), tls: false }
}

#[async_trait]
impl Subject for OnGateway {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(EdgexDriver)
    }

    fn target(&self) -> Target {
        Target::External
    }

    fn samples(&self) -> Vec<Sample> {
        let climate = json!([
            { "name": "temperature", "type": "float", "unit": "Cel", "range": [-40, 85] },
            { "name": "vent", "type": "bool", "access": "readwrite" },
        ]);
        let other = json!([{ "name": "temperature", "type": "float", "unit": "K" }]);
        let climate = self.profile("climate", &climate);
        let turned = self.profile("climate", &other);
        let valve = self.profile("valve", &other);
        let at = |text: &str| self.gateway().profile(&part(text));
        let mut samples = vec![
            self.application(),
            Sample::new(at("climate"), climate.clone())
                .updated_to(turned)
                .faulty_as(ProfileSpec { name: "a%b".to_owned(), ..climate }),
            Sample::new(at("valve"), valve),
            self.device("d1", DeviceProtocol::Mqtt),
            self.device("d2", if self.serves_http { DeviceProtocol::Http } else { DeviceProtocol::Mqtt }),
            self.device("d3", DeviceProtocol::Mqtt),
            self.credential("d1"),
            self.credential("d3"),
        ];
        samples.extend(self.exports());
        samples
    }

    fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::clone(&self.secrets) as Arc<dyn SecretStore>
    }

    fn surroundings(&self) -> BTreeMap<ResourceId, Outputs> {
        let server = ApplicationOutputs {
            version: "0.1.0".to_owned(),
            endpoints: [("mqtt".to_owned(), Endpoint::net("127.0.0.1", 9))].into(),
            admin: secret("gw/admin"),
        };
        let attachment = self.hub().tenant().attachment(&part("gw"));
        let key = CredentialOutputs { user_name: "t-1".to_owned(), secret: secret("hub/key") };
        [
            (self.hub(), server.into()),
            (attachment.credential(1), key.into()),
            (attachment, AttachmentOutputs::new("t-1", "c-1").into()),
        ]
        .into()
    }

    async fn cut_off(&self) -> Result<()> {
        for proxy in self.proxies.values() {
            proxy.close().await;
        }
        Ok(())
    }

    async fn bring_back(&self) -> Result<()> {
        for proxy in self.proxies.values() {
            proxy.open_again().await;
        }
        Ok(())
    }

    async fn end(&self) {
        if let Some(there) = &self.stays {
            self.clear(there).await;
        }
        if let Some(bridge) = self.bridge.lock().await.take() {
            bridge.stop().await;
        }
    }
}
