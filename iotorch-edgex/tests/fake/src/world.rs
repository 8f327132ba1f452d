//! All services of one gateway together.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;
use tokio::{sync::watch, task::JoinSet};

use crate::{Asked, Config, Service, bus::Bus, export::App, outage::Loss, state::State};

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) config: Config,
    /// Where the services listen.
    pub(crate) addresses: BTreeMap<Service, SocketAddr>,
    pub(crate) bus: OnceLock<Bus>,
    /// The services that are to listen, and those that do.
    pub(crate) wanted: watch::Sender<BTreeSet<Service>>,
    pub(crate) open: watch::Sender<BTreeSet<Service>>,
    /// Whether the bus is lost though there is a broker, or though there is none.
    silent: AtomicBool,
    state: Mutex<State>,
    tasks: Mutex<JoinSet<()>>,
}

impl World {
    pub(crate) fn new(config: Config, addresses: BTreeMap<Service, SocketAddr>, state: State) -> Self {
        let all: BTreeSet<Service> = addresses.keys().copied().collect();
        Self {
            config,
            addresses,
            bus: OnceLock::new(),
            wanted: watch::Sender::new(all.clone()),
            open: watch::Sender::new(all),
            silent: AtomicBool::new(false),
            state: Mutex::new(state),
            tasks: Mutex::new(JoinSet::new()),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets something go on by itself, for as long as the gateway is there.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    pub(crate) fn end(&self) {
        self.tasks().abort_all();
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a service says that it is: elsewhere than it listens, if the configuration says so.
    pub(crate) fn told(&self, service: Service) -> (String, u16) {
        let told = self.config.told.iter().find(|(of, _, _)| *of == service);
        let here = self.addresses.get(&service);
        match (told, here) {
            (Some((_, host, port)), _) => (host.clone(), *port),
            (None, Some(address)) => (address.ip().to_string(), address.port()),
            (None, None) => ("localhost".to_owned(), service.usual_port(self.config.release)),
        }
    }

    pub(crate) fn told_url(&self, service: Service) -> String {
        let (host, port) = self.told(service);
        format!("http://{host}:{port}")
    }

    /// Whether a device service answers over the bus.
    pub(crate) fn answers(&self, state: &State, service: &str) -> bool {
        let service = Service::named(service);
        service.is_some_and(|service| self.runs(state, service))
    }

    pub(crate) fn runs(&self, state: &State, service: Service) -> bool {
        self.config.services.contains(&service) && !state.lost.services.contains(&service)
    }

    /// Says something on the bus, in the envelope that EdgeX puts around it.
    pub(crate) fn say(&self, topic: &str, payload: Value) {
        self.say_whole(topic, &crate::system::envelope(payload));
    }

    pub(crate) fn say_whole(&self, topic: &str, message: &Value) {
        self.say_raw(topic, message.to_string().into_bytes());
    }

    fn say_raw(&self, topic: &str, payload: Vec<u8>) {
        let bus = self.bus.get().filter(|bus| bus.works() && !self.silent.load(Ordering::Relaxed));
        if let Some(bus) = bus {
            bus.say(topic, payload);
        }
    }

    /// Whether the services hear of each other.
    pub(crate) fn is_bus_lost(&self) -> bool {
        self.silent.load(Ordering::Relaxed) || self.bus.get().is_some_and(|bus| !bus.works())
    }
}

impl World {
    /// Takes something away, or gives it back.
    pub(crate) fn lose(&self, state: &mut State, loss: Loss, lost: bool) {
        let service = match loss {
            Loss::Database => {
                state.lost.database = lost;
                return;
            }
            Loss::Bus => {
                self.silent.store(lost, Ordering::Relaxed);
                return;
            }
            Loss::Stopped(service) | Loss::Killed(service) => service,
        };
        let health = match (lost, loss) {
            (true, Loss::Stopped(_)) => "HALT",
            (true, _) => "DOWN",
            (false, _) => "UNKNOWN",
        };
        state.health.insert(service, health);
        if lost {
            state.lost.services.insert(service);
        } else {
            state.lost.services.remove(&service);
            self.started(state, service);
        }
        self.wanted.send_modify(|wanted| {
            let listens = self.addresses.contains_key(&service) && !lost;
            if listens {
                wanted.insert(service)
            } else {
                wanted.remove(&service)
            };
        });
    }

    /// What a service learns when it starts.
    fn started(&self, state: &mut State, service: Service) {
        if service.is_south() {
            // It asks for all of its devices.
            let devices = state.stored.devices.iter();
            let own = devices.filter(|device| device.service_name == service.name());
            for name in own.map(|device| device.name.clone()).collect::<Vec<_>>() {
                state.unheard.remove(&name);
            }
        }
        if service == Service::AppMqttExport {
            state.app = App::started(&self.config, &state.stored.keys);
        }
    }
}

impl World {
    /// Writes what outlives a restart, after a request that may have changed it.
    pub(crate) fn keep(&self, asked: &Asked) {
        let Some(directory) = self.config.data.as_ref().filter(|_| asked.method != "GET") else { return };
        let text = serde_json::to_vec(&self.state().stored).unwrap_or_default();
        let (new, whole) = (directory.join("state.json.new"), directory.join("state.json"));
        // What cannot be written is lost with the process, like all of it where there is no directory.
        let _ = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &whole));
    }
}
