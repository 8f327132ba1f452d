//! A gateway and a server that run already, and the document of a slice on both.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use iotorch_edgex_fake as edgex;
use iotorch_lite::api::ExportStatus;
use iotorch_mainflux_fake as mainflux;
use mainflux::Release;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, PublishOptions, QoS};
use serde_json::{Map, Value, json};
use tokio::{runtime::Runtime, task::JoinHandle};

use crate::{
    gate::{Gate, Stopped},
    home::{Home, Running, eventually, stderr, stdout},
    mosquitto::Mosquitto,
};

/// The software of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gateway {
    Edgex,
    Lite,
}

/// The software of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Mainflux(Release),
    Lite,
}

/// The token of gateways and servers of `lite`, bridges among them.
const TOKEN: &str = "the token of the operator";

/// The login of the administrator of Mainflux.
const ADMIN: &str = "admin@example.com:12345678";

/// Both, and what they need.
pub(crate) struct Stand {
    home: Home,
    runtime: Runtime,
    broker: Option<Mosquitto>,
    edgex: Option<edgex::Fake>,
    mainflux: Option<mainflux::Fake>,
    gate: Option<Gate>,
    /// What slices on both are; the name of each is its own.
    spec: Value,
    _processes: Vec<Running>,
}

/// What a device or a thing is, and all else that can be listed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Listing {
    pub(crate) devices: Vec<String>,
    pub(crate) profiles: Vec<String>,
    /// The exports of the bridge.
    pub(crate) exports: Vec<String>,
    /// Of each kind at the server, how many there are.
    pub(crate) server: BTreeMap<String, usize>,
}

impl Listing {
    /// What has come since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let new = |now: &[String], then: &[String]| {
            now.iter().filter(|name| !then.contains(name)).cloned().collect()
        };
        let then = |kind| before.server.get(kind).copied().unwrap_or_default();
        let counts = self.server.iter().map(|(kind, count)| (kind.clone(), count - then(kind)));
        Self {
            devices: new(&self.devices, &before.devices),
            profiles: new(&self.profiles, &before.profiles),
            exports: new(&self.exports, &before.exports),
            server: counts.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

impl Stand {
    pub(crate) fn new(gateway: Gateway, server: Server) -> Self {
        Self::reached(gateway, server, None)
    }

    /// One that is managed through a gate.
    pub(crate) fn gated(gateway: Gateway, server: Server) -> Self {
        Self::reached(gateway, server, Some(Gate::new()))
    }

    fn reached(gateway: Gateway, server: Server, gate: Option<Gate>) -> Self {
        let home = Home::new();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let stand = Self {
            home,
            runtime,
            broker: None,
            edgex: None,
            mainflux: None,
            gate,
            spec: Value::Null,
            _processes: Vec::new(),
        };
        let stand = stand.with_gateway(gateway).with_server(server).with_spec(gateway, server);
        stand.document("field", |_| {});
        stand
    }

    fn with_gateway(mut self, gateway: Gateway) -> Self {
        if gateway == Gateway::Lite {
            return self.with_program("gateway", "gw", &[]);
        }
        let broker = Mosquitto::start(self.home.path());
        let bus = Some(("127.0.0.1".to_owned(), broker.port));
        let config = edgex::Config { bus, qos: 1, ..edgex::Config::default() };
        self.edgex = Some(self.runtime.block_on(edgex::Fake::start(config)).unwrap());
        let settings = format!("bus: {{ endpoint: {{ host: 127.0.0.1, port: {} }} }}\n", broker.port);
        self.home.write("bridge.yaml", &settings);
        self.broker = Some(broker);
        self.with_program("gateway", "bridge", &["--config", "bridge.yaml"])
    }

    fn with_server(mut self, server: Server) -> Self {
        let Server::Mainflux(release) = server else { return self.with_program("server", "hub", &[]) };
        let folder = self.home.path().join("mainflux");
        std::fs::create_dir(&folder).unwrap();
        let config = mainflux::Config::new(release).with_data_dir(folder);
        self.mainflux = Some(self.runtime.block_on(mainflux::Fake::start(config)).unwrap());
        self
    }

    /// A gateway or server of `lite` in a process of its own.
    fn with_program(mut self, role: &str, name: &str, more: &[&str]) -> Self {
        let out = std::fs::File::create(self.home.path().join(format!("{name}.out"))).unwrap();
        let arguments = [&[role, "--data-dir", name, "--output", "json"], more].concat();
        let mut command = self.home.command(&arguments);
        let process = Running::of(command.env("IOTORCH_ADMIN_TOKEN", TOKEN).stdout(out));
        eventually(&format!("{name} listens"), || self.home.printed(name).ends_with('\n'));
        self._processes.push(process);
        self
    }

    /// Where a program of `lite` listens.
    fn listening(&self, name: &str) -> Value {
        serde_json::from_str(&self.home.printed(name)).unwrap()
    }

    /// Where a service is managed.
    fn way(&self, there: SocketAddr) -> SocketAddr {
        self.gate.as_ref().map_or(there, |gate| self.runtime.block_on(gate.way(there)))
    }

    fn with_spec(mut self, gateway: Gateway, server: Server) -> Self {
        let at = |address: SocketAddr| json!({ "host": "127.0.0.1", "port": address.port() });
        let told = |listening: &Value, names: &[(&str, &str)]| {
            let endpoint = |(name, of): &(&str, &str)| {
                let address = listening[*of].as_str()?.parse::<SocketAddr>().ok()?;
                let address = if *of == "management" { self.way(address) } else { address };
                Some(((*name).to_owned(), at(address)))
            };
            names.iter().filter_map(endpoint).collect::<Map<_, _>>()
        };
        let lite = [("management", "management"), ("mqtt", "mqtt"), ("http", "http")];
        let (gateway_software, gateway_at) = match (gateway, &self.edgex, &self.broker) {
            (Gateway::Edgex, Some(fake), Some(broker)) => {
                let services = [
                    ("metadata", edgex::Service::Metadata),
                    ("command", edgex::Service::Command),
                    ("keeper", edgex::Service::Keeper),
                    ("device-mqtt", edgex::Service::DeviceMqtt),
                    ("device-rest", edgex::Service::DeviceRest),
                ];
                let mut endpoints = told(&self.listening("bridge"), &[("bridge", "management")]);
                for (name, service) in services {
                    endpoints.insert(name.to_owned(), at(self.way(fake.address(service).unwrap())));
                }
                endpoints.insert("mqtt".to_owned(), json!({ "host": "127.0.0.1", "port": broker.port }));
                ("edgex", endpoints)
            }
            _ => ("lite", told(&self.listening("gw"), &lite)),
        };
        let (server_software, server_at, credentials) = match (server, &self.mainflux) {
            (Server::Mainflux(release), Some(fake)) => {
                let way = |service| {
                    let address = fake.address(service).unwrap();
                    let is_http = !matches!(service, mainflux::Service::Mqtt | mainflux::Service::MqttV5);
                    if is_http { self.way(address) } else { address }
                };
                let services = release.services().iter();
                let named = services.map(|service| (service.name().to_owned(), at(way(*service))));
                ("mainflux", named.collect(), "env:MAINFLUX_ADMIN")
            }
            _ => ("lite", told(&self.listening("hub"), &lite), "env:LITE_TOKEN"),
        };
        let resources = json!([
            { "name": "temperature", "type": "float", "unit": "Cel", "range": [-40, 85] },
            { "name": "label", "type": "string" },
            { "name": "vent", "type": "bool", "access": "write" },
        ]);
        self.spec = json!({
            "gateways": [{ "name": "gw", "application": gateway_software,
                "external": { "endpoints": gateway_at, "credentials": "env:LITE_TOKEN" } }],
            "servers": [{ "name": "hub", "application": server_software,
                "external": { "endpoints": server_at, "credentials": credentials } }],
            "profiles": [{ "name": "climate", "resources": resources }],
            "devices": [
                { "name": "bench-1", "protocol": "mqtt", "profile": "climate" },
                { "name": "bench-2", "protocol": "http", "profile": "climate" },
            ],
        });
        self
    }

    /// Writes the document of a slice to `NAME.json`.
    pub(crate) fn document(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut spec = self.spec.clone();
        change(&mut spec);
        let document = json!({ "apiVersion": "iotorch.dev/v1alpha1", "kind": "Slice",
            "metadata": { "name": name }, "spec": spec });
        self.home.write(&format!("{name}.json"), &document.to_string());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.command(arguments);
        command.env("LITE_TOKEN", TOKEN).env("MAINFLUX_ADMIN", ADMIN).stdin(Stdio::null());
        command
    }

    pub(crate) fn iotorch(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts a command that is not waited for.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::of(self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()))
    }

    /// What a command prints that has to succeed.
    pub(crate) fn told(&self, arguments: &[&str]) -> String {
        let output = self.iotorch(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        stdout(&output).to_owned()
    }

    /// The same as data.
    pub(crate) fn data(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.told(&[arguments, &["--output", "json"]].concat())).unwrap()
    }

    /// What the gateway, or its bridge, says of its exports.
    fn exports(&self) -> BTreeMap<String, ExportStatus> {
        let name = if self.edgex.is_some() { "bridge" } else { "gw" };
        let management = self.listening(name)["management"].as_str().unwrap().to_owned();
        let token = iotorch_lite::Secret::new(TOKEN);
        let client = iotorch_lite::client::GatewayClient::new(format!("http://{management}"), token).unwrap();
        self.runtime.block_on(client.status()).unwrap().exports
    }

    /// How many readings these exports have sent.
    pub(crate) fn sent(&self) -> u64 {
        self.exports().values().map(|export| export.acknowledged).sum()
    }

    /// How many readings wait in them.
    pub(crate) fn pending(&self) -> u64 {
        self.exports().values().map(|export| export.pending).sum()
    }

    /// All that is there.
    pub(crate) fn listing(&self) -> Listing {
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        let kept = std::fs::read(self.home.path().join("mainflux/state.json")).unwrap();
        let kept: Map<String, Value> = serde_json::from_slice(&kept).unwrap();
        let count = |value: &Value| match value {
            Value::Array(all) => Some(all.len()),
            Value::Object(all) => Some(all.len()),
            _ => None,
        };
        // Tokens end by themselves, messages are data of the channel that is gone, and the cache is what Mainflux does not forget.
        let listed = ["users", "domains", "things", "channels", "connections", "rules", "api_keys"];
        let server = kept
            .iter()
            .filter(|(name, _)| listed.contains(&name.as_str()))
            .filter_map(|(name, value)| Some((name.clone(), count(value)?)))
            .collect();
        let edgex = self.edgex.as_ref().unwrap();
        let exports = self.exports().into_keys().collect();
        Listing { devices: sorted(edgex.devices()), profiles: sorted(edgex.profiles()), exports, server }
    }

    /// Nothing is left of the slice but its user, which cannot be deleted.
    pub(crate) fn expect_only_residue(&self, before: &Listing) {
        let server = BTreeMap::from([("users".to_owned(), 1)]);
        assert_eq!(self.listing().since(before), Listing { server, ..Listing::default() });
    }

    pub(crate) fn gate(&self) -> &Gate {
        self.gate.as_ref().unwrap()
    }

    /// Lets a request go that was stopped.
    pub(crate) fn let_go(&self, stopped: Stopped) {
        self.runtime.block_on(stopped.let_go());
    }

    /// The names of the secrets that are kept.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let kept = std::fs::read(self.home.state().join("secrets.json")).unwrap();
        let kept: Value = serde_json::from_slice(&kept).unwrap();
        kept["secrets"].as_object().unwrap().keys().cloned().collect()
    }

    fn client(&self) -> (AsyncClient, rumqttc::EventLoop) {
        let port = self.broker.as_ref().unwrap().port;
        let options = MqttOptions::new(format!("test-{port}-{}", rand::random::<u32>()), ("127.0.0.1", port));
        AsyncClient::builder(options).capacity(10).try_build().unwrap()
    }

    /// Publishes at the broker of EdgeX, as a device does.
    pub(crate) fn publish(&self, topic: &str, payload: &str) {
        let (client, mut events) = self.client();
        self.runtime.block_on(async {
            client
                .publish(topic, payload.as_bytes().to_vec(), PublishOptions::new(QoS::AtLeastOnce))
                .await
                .unwrap();
            let acknowledged = async {
                while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::PubAck(_))) {}
            };
            tokio::time::timeout(Duration::from_secs(30), acknowledged).await.unwrap();
        });
    }

    /// A device over MQTT that answers every command with this value of its resource, until the handle is dropped.
    pub(crate) fn answers_commands(&self, device: &str, resource: &str, value: &Value) -> Answering {
        let (client, mut events) = self.client();
        let (topic, resource, value) = (format!("command/{device}/#"), resource.to_owned(), value.clone());
        let subscribed = Arc::new(tokio::sync::Notify::new());
        let ready = Arc::clone(&subscribed);
        let task = self.runtime.spawn(async move {
            client.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
            while let Ok(event) = events.poll().await {
                match event {
                    Event::Incoming(Packet::SubAck(_)) => ready.notify_one(),
                    Event::Incoming(Packet::Publish(asked)) => {
                        // The last level is the number of the command.
                        let topic = String::from_utf8_lossy(&asked.topic).into_owned();
                        let number = topic.rsplit('/').next().unwrap_or_default();
                        let answer = json!({ resource.as_str(): value }).to_string().into_bytes();
                        let to = format!("command/response/{number}");
                        client.publish(to, answer, PublishOptions::new(QoS::AtLeastOnce)).await.unwrap();
                    }
                    _ => {}
                }
            }
        });
        self.runtime.block_on(subscribed.notified());
        Answering(task)
    }

    /// These services of Mainflux are away.
    pub(crate) fn lose(&self, services: &[mainflux::Service]) {
        let fake = self.mainflux.as_ref().unwrap();
        services.iter().for_each(|service| self.runtime.block_on(fake.lose(*service)));
    }

    /// They are back.
    pub(crate) fn mend(&self, services: &[mainflux::Service]) {
        let fake = self.mainflux.as_ref().unwrap();
        services.iter().for_each(|service| self.runtime.block_on(fake.mend(*service)).unwrap());
    }
}

/// A device that answers.
pub(crate) struct Answering(JoinHandle<()>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.abort();
    }
}
