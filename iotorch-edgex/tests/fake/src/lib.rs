//! Answers as the services of an EdgeX gateway do.
//!
//! [`Fake::start`] plays the services of a [`Release`], each at an address of its own: core-metadata, core-command, core-keeper (or
//! Consul), core-data, device-mqtt, device-rest, device-coap and the application service that exports over MQTT. What they
//! answer was recorded from EdgeX 4.0.2; a test puts every recorded call to the fake and compares. 3.1 and v1 follow the APIs that
//! were published for them.
//!
//! Nothing takes time that is not asked for: five seconds of work on an array are over at once, but are answered as if they had
//! been worked ([`Config::device_takes`]). What goes on after its answer is done after some more requests
//! ([`Config::late_after`]) or when a test says so ([`Fake::finish_late_work`]).
//!
//! With a broker ([`Config::bus`]) devices and services talk over MQTT; without one a test gives readings
//! ([`Fake::reading`]) and what devices answer ([`Fake::device_answers`]).

mod about;
mod answer;
mod bus;
mod command;
mod consul;
mod data;
mod export;
mod exporter;
mod front;
mod http;
mod keeper;
mod metadata;
mod now;
mod outage;
mod secure;
mod service;
mod shelf;
mod south;
mod state;
mod system;
mod v1;
mod values;
mod world;

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tokio::net::TcpListener;

pub use self::answer::Asked;
pub use self::front::pass_on;
pub use self::outage::{Fault, Hold, Loss};
pub use self::secure::Secure;
pub use self::service::{Release, Service};

use self::{
    bus::Bus,
    export::App,
    keeper::Keys,
    metadata::{device::DeviceService, profile::Profile},
    outage::Laid,
    state::{State, Stored},
    world::World,
};

/// How a gateway is played.
#[derive(Clone, Debug)]
pub struct Config {
    /// The release.
    pub release: Release,
    /// The services that are played.
    pub services: Vec<Service>,
    /// Where they listen.
    pub host: IpAddr,
    /// The ports that are not just any.
    pub ports: Vec<(Service, u16)>,
    /// Where services say that they are, if that is not where they listen.
    pub told: Vec<(Service, String, u16)>,
    /// The broker of the gateway, over MQTT 3.1.1.
    pub bus: Option<(String, u16)>,
    /// Where the services say that the broker is, if that is elsewhere.
    pub told_bus: Option<(String, u16)>,
    /// User and password at the broker.
    pub login: Option<(String, String)>,
    /// The quality of service of messages on the bus (`MESSAGEBUS_OPTIONAL_QOS`); EdgeX has 0 unless told otherwise.
    pub qos: u8,
    /// Whether the profiles and devices are there that come with the images of the device services.
    pub samples: bool,
    /// The directory in which everything is kept in a file, for the next start.
    pub data: Option<PathBuf>,
    /// Whether things take the time that they take in EdgeX.
    pub real_time: bool,
    /// What a device costs of the five seconds that an array has: 2.3 ms where the broker does not hold packets back, else 44 ms.
    pub device_takes: Duration,
    /// After how many more requests to core-metadata the work is done that went on after its answer; none: when a test says so.
    pub late_after: Option<u32>,
    /// How long a device may take to answer a command over the broker, except in real time.
    pub patience: Duration,
    /// Whether the application service ends when its pipeline is changed twice within 0.3 s. EdgeX does now and then.
    pub strict_gap: bool,
    /// Whether the application service does not hear of changes within 0.75 s of its first answer to a ping, as EdgeX does not.
    pub deaf_at_first: bool,
    /// Whether requests are recorded.
    pub records: bool,
    /// Secure mode: a door with TLS in front of all services, [`Service::Gateway`]. The services themselves are asked without a
    /// token.
    pub secure: Option<Secure>,
}

impl Config {
    /// All services of a release at free ports of this machine.
    pub fn of(release: Release) -> Self {
        Self {
            release,
            services: Service::of(release).to_vec(),
            host: Ipv4Addr::LOCALHOST.into(),
            ports: Vec::new(),
            told: Vec::new(),
            bus: None,
            told_bus: None,
            login: None,
            qos: 0,
            samples: false,
            data: None,
            real_time: false,
            device_takes: Duration::from_micros(2300),
            late_after: Some(1),
            patience: Duration::from_millis(2500),
            strict_gap: false,
            deaf_at_first: false,
            records: true,
            secure: None,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::of(Release::V4)
    }
}

/// A gateway that is played. It ends when it is dropped.
pub struct Fake {
    world: Arc<World>,
    certificate: Option<String>,
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fake").field("addresses", &self.world.addresses).finish_non_exhaustive()
    }
}

impl Fake {
    /// Plays a gateway. With a broker it is there once the broker is.
    ///
    /// # Errors
    /// Where a port cannot be had, or what was kept cannot be read.
    pub async fn start(config: Config) -> io::Result<Self> {
        let stored = stored(&config)?;
        let mut listeners = Vec::new();
        let mut addresses = BTreeMap::new();
        let (certificate, tls) = match &config.secure {
            Some(secure) => secure::certificate(secure).map(|(pem, tls)| (Some(pem), Some(tls)))?,
            None => (None, None),
        };
        let door = tls.is_some().then_some(Service::Gateway);
        for service in config.services.iter().copied().chain(door) {
            let port = config.ports.iter().find(|(of, _)| *of == service).map_or(0, |(_, port)| *port);
            let listener = TcpListener::bind(SocketAddr::new(config.host, port)).await?;
            addresses.insert(service, listener.local_addr()?);
            listeners.push((service, listener));
        }
        let app = App::started(&config, &stored.keys);
        let state = State { stored, app, ..State::default() };
        let world = Arc::new(World::new(config, addresses, state));
        let fake = Self { world, certificate };
        fake.register();
        for (service, listener) in listeners {
            let tls = tls.clone().filter(|_| service == Service::Gateway);
            fake.world.spawn(http::serve(Arc::clone(&fake.world), service, listener, tls));
        }
        if let Some((host, port)) = &fake.world.config.bus
            && let Some(bus) = Bus::start(&fake.world, host, *port)
        {
            fake.world.bus.get_or_init(|| bus).ready().await;
        }
        Ok(fake)
    }

    /// The device services register themselves, and bring their samples.
    fn register(&self) {
        let world = &self.world;
        let south = world.config.services.iter().copied().filter(|service| service.is_south());
        let mut state = world.state();
        let mut south: Vec<Service> = south.collect();
        // In the order in which they start.
        south.sort_by_key(|service| *service == Service::DeviceMqtt);
        for service in south {
            if world.config.release == Release::V1 {
                v1::register(&mut state.stored.v1, service, world.told(service));
                continue;
            }
            let address = world.told_url(service);
            if let Some(registered) = state.stored.services.get_mut(service.name()) {
                registered.base_address = address;
            } else {
                state.stored.services.put(DeviceService::registered(service.name(), address));
            }
        }
    }

    /// Where a service listens.
    pub fn address(&self, service: Service) -> Option<SocketAddr> {
        self.world.addresses.get(&service).copied()
    }

    /// The beginning of the URLs of a service.
    pub fn url(&self, service: Service) -> String {
        let address = self.address(service);
        let scheme = if service == Service::Gateway { "https" } else { "http" };
        format!("{scheme}://{}", address.map_or_else(String::new, |address| address.to_string()))
    }

    /// The certificate of the door of secure mode, in PEM.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Ends the tokens of secure mode, as time does.
    pub fn expire_tokens(&self) {
        self.world.state().tokens.clear();
    }

    /// The requests that the services were asked, the oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        self.world.state().asked.clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.world.state().asked.clear();
    }

    /// Takes something away. Nothing listens at a service that is lost once this is over.
    pub async fn lose(&self, loss: Loss) {
        self.world.lose(&mut self.world.state(), loss, true);
        self.doors(loss, false).await;
    }

    /// Gives it back.
    pub async fn regain(&self, loss: Loss) {
        self.world.lose(&mut self.world.state(), loss, false);
        self.doors(loss, true).await;
    }

    async fn doors(&self, loss: Loss, open: bool) {
        if let Loss::Stopped(service) | Loss::Killed(service) = loss
            && self.world.addresses.contains_key(&service)
        {
            let mut listening = self.world.open.subscribe();
            // The sender lives as long as the gateway.
            let _ = listening.wait_for(|listening| listening.contains(&service) == open).await;
        }
    }

    /// Lets the registry ask the services for their health, as it does every ten seconds.
    pub fn check_health(&self) {
        let mut state = self.world.state();
        let lost = state.lost.services.clone();
        state.health.retain(|service, _| lost.contains(service));
    }

    /// Holds the next request to a service that begins so, such as `POST /api/v3/device`, before anything is done for it.
    pub fn hold(&self, service: Service, question: &str) -> Hold {
        let (held, hold) = outage::hold(service, question);
        self.world.state().holds.push(held);
        hold
    }

    /// Has something happen to the next request to a service that begins so.
    pub fn fail(&self, service: Service, question: &str, fault: Fault) {
        self.fail_after(service, question, 0, fault);
    }

    /// Has something happen to the request to a service that begins so, after as many of them as `passes` says.
    pub fn fail_after(&self, service: Service, question: &str, passes: usize, fault: Fault) {
        let laid = Laid { service, question: question.to_owned(), passes, fault };
        self.world.state().faults.push(laid);
    }

    /// Only so many items of the next array of devices are done within five seconds; it is answered that this takes too long,
    /// and the work goes on.
    pub fn exceed(&self, done: usize) {
        self.world.state().exceed = Some(done);
    }

    /// Whether an answer that comes too late is put before the next one, on whichever connection.
    pub fn mix_late_answers(&self, mixes: bool) {
        self.world.state().mixes = mixes;
    }

    /// How many items of arrays are still to be worked on.
    pub fn late_work(&self) -> usize {
        self.world.state().late.len()
    }

    /// Works on at most so many of them.
    pub fn finish_late_work(&self, most: usize) {
        metadata::finish(&self.world, most);
    }

    /// A message of a device at device-mqtt, as on the topic `incoming/data/…`.
    ///
    /// # Errors
    /// What device-mqtt logs, where it makes no event of it.
    pub fn reading(&self, topic: &str, payload: &str) -> Result<(), String> {
        south::incoming(&self.world, topic, payload.as_bytes())
    }

    /// From now on a device answers commands, without a broker: with this for a resource, or with what was set since.
    pub fn device_answers(&self, device: &str, resource: &str, value: Value) {
        let mut state = self.world.state();
        state.answers.entry(device.to_owned()).or_default().insert(resource.to_owned(), value);
    }

    /// The names of all devices.
    pub fn devices(&self) -> Vec<String> {
        self.world.state().stored.devices.iter().map(|device| device.name.clone()).collect()
    }

    /// The names of all profiles.
    pub fn profiles(&self) -> Vec<String> {
        self.world.state().stored.profiles.iter().map(|profile| profile.name.clone()).collect()
    }

    /// The events that core-data has kept, the oldest first.
    pub fn events(&self) -> Vec<Value> {
        self.world.state().stored.events.clone()
    }

    /// Whether the application service is connected to the broker that it exports to. It connects when it first has an event.
    pub fn is_exporting(&self) -> bool {
        self.world.state().app.is_connected()
    }

    /// How many clients the application service has made for its export: it closes none.
    pub fn export_clients(&self) -> usize {
        self.world.state().app.clients()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.world.end();
    }
}

/// What was kept, or else what a fresh gateway has.
fn stored(config: &Config) -> io::Result<Stored> {
    if let Some(directory) = &config.data {
        match std::fs::read(directory.join("state.json")) {
            Ok(text) => return serde_json::from_slice(&text).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let mut stored = Stored { keys: Keys::fresh(config.key_root()), ..Stored::default() };
    if config.samples {
        let samples: Value = serde_json::from_str(include_str!("recorded/samples.json"))?;
        for profile in samples["profiles"].as_array().into_iter().flatten() {
            stored.profiles.put(Profile::sent(profile)?.made());
        }
        for device in samples["devices"].as_array().into_iter().flatten() {
            let sent = metadata::device::Sent::read(device)?;
            stored.devices.put(sent.made());
        }
    }
    Ok(stored)
}
