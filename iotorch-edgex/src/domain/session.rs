//! The ways to one gateway, and what is known of gateways across calls.

use std::{
    collections::HashMap,
    hash::Hash,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use iotorch_core::{
    Context, Error, ErrorKind, Result,
    resource::{ApplicationOutputs, ApplicationSpec, Endpoint},
    secret::SecretValue,
};

use crate::{
    client::{
        Clients, Service,
        broker::Broker,
        configuration::{Configuration, Gap},
        login::Login,
        metadata::{Metadata, version_of},
    },
    dialect::Dialect,
    driver::{BATCH, settings_of},
};

/// The endpoint of the API gateway in the secure mode.
pub(crate) const GATEWAY: &str = "gateway";

/// The endpoint of the management API of the bridge.
pub(crate) const BRIDGE: &str = "bridge";

/// What a bridge is called there that the settings have nothing to do any more: what it exports has to go from it.
pub(crate) const UNUSED_BRIDGE: &str = "unused-bridge";

/// What a broker is called among the endpoints that an application tells, if its users are made here.
pub(crate) const BROKER: &str = "broker";

/// Who manages a gateway, where its secret names nobody.
const USER: &str = "admin";

/// The fewest devices in a request that a service gets that gives up again and again.
const FEWEST: usize = 25;

/// The services, by the names of their endpoints, and by what EdgeX calls them and their paths at the API gateway.
pub(crate) const SERVICES: [(&str, &str); 9] = [
    ("metadata", "core-metadata"),
    ("command", "core-command"),
    ("keeper", "core-keeper"),
    ("consul", "core-consul"),
    ("device-mqtt", "device-mqtt"),
    ("device-rest", "device-rest"),
    ("device-coap", "device-coap"),
    ("app-mqtt-export", "app-mqtt-export"),
    ("export-client", "export-client"),
];

/// What EdgeX calls the service behind an endpoint, if it is one over HTTP.
pub(crate) fn service_at(endpoint: &str) -> Option<&'static str> {
    SERVICES.iter().find(|(name, _)| *name == endpoint).map(|(_, service)| *service)
}

/// The endpoint of a service, by what EdgeX calls it.
pub(crate) fn endpoint_of(service: &str) -> Option<&'static str> {
    SERVICES.iter().find(|(_, called)| *called == service).map(|(name, _)| *name)
}

/// What is known of gateways across calls, by where they are.
#[derive(Debug, Default)]
pub(crate) struct Known {
    trust: Mutex<HashMap<Endpoint, PathBuf>>,
    logins: Mutex<HashMap<Endpoint, Arc<Login>>>,
    gaps: Mutex<HashMap<Endpoint, Arc<Gap>>>,
    paces: Mutex<HashMap<Endpoint, Pace>>,
}

/// How much a gateway is asked at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The most devices or profiles in one request.
    pub(crate) size: usize,
    /// Whether it may still be at work on a request that it gave up on, so that what is there has to be looked at first.
    pub(crate) is_uncertain: bool,
    /// How often it gave up on many. Once can happen; twice, and it gets fewer at a time.
    failures: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { size: BATCH, is_uncertain: false, failures: 0 }
    }
}

fn locked<K: Eq + Hash, V, T>(map: &Mutex<HashMap<K, V>>, act: impl FnOnce(&mut HashMap<K, V>) -> T) -> T {
    act(&mut map.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Known {
    /// Takes in what only the specification of an application tells: whom its certificates are checked by.
    pub(crate) fn learn(&self, spec: &ApplicationSpec, application: &ApplicationOutputs) {
        let trust = settings_of(&spec.settings).trust;
        for endpoint in application.endpoints.values() {
            locked(&self.trust, |known| match &trust {
                Some(trust) => drop(known.insert(endpoint.clone(), trust.clone())),
                None => drop(known.remove(endpoint)),
            });
        }
    }
}

/// One gateway, for one call. Ways to its services are opened when they are needed.
pub(crate) struct Session<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) application: ApplicationOutputs,
    known: &'a Known,
    services: tokio::sync::Mutex<HashMap<&'static str, Arc<Service>>>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(cx: &'a Context, application: ApplicationOutputs, known: &'a Known) -> Self {
        Self { cx, application, known, services: tokio::sync::Mutex::default() }
    }

    /// Where it is reached first, which tells it from others.
    fn place(&self) -> Option<&Endpoint> {
        let endpoints = &self.application.endpoints;
        endpoints.get(GATEWAY).or_else(|| endpoints.get("metadata"))
    }

    /// Whether it is in its secure mode.
    pub(crate) fn is_secure(&self) -> bool {
        self.application.endpoints.contains_key(GATEWAY)
    }

    pub(crate) fn has(&self, endpoint: &str) -> bool {
        self.application.endpoints.contains_key(endpoint)
    }

    /// The user and the password that manage it.
    async fn admin(&self) -> Result<(String, SecretValue)> {
        let secret = self.cx.secret(&self.application.admin).await?;
        Ok(match secret.expose().split_once(':') {
            Some((user, password)) => (user.to_owned(), SecretValue::new(password.to_owned())),
            None => (USER.to_owned(), secret.clone()),
        })
    }

    fn trust(&self, endpoint: &Endpoint) -> Option<PathBuf> {
        locked(&self.known.trust, |known| known.get(endpoint).cloned())
    }

    /// The way to a service, by the name of its endpoint.
    pub(crate) async fn service(&self, name: &'static str) -> Result<Arc<Service>> {
        let mut services = self.services.lock().await;
        if let Some(service) = services.get(name) {
            return Ok(Arc::clone(service));
        }
        let called = service_at(name).unwrap_or(name);
        // The API gateway calls Consul by its own name.
        let own = if self.is_secure() { GATEWAY } else { name };
        let endpoint = self.application.endpoints.get(own).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("cannot use {called}"))
                .with_source(format!("the gateway has no endpoint \"{name}\""))
        })?;
        let route = Arc::new(self.cx.open(endpoint).await?);
        let is_tls = matches!(endpoint, Endpoint::Net(address) if address.tls);
        let clients = Clients::new(is_tls, self.trust(endpoint).as_deref())?;
        let base = format!("{}://{}", if is_tls { "https" } else { "http" }, route.address());
        let service = if self.is_secure() {
            let login = self.login(endpoint, &base).await?;
            Service::new(
                called,
                format!("{base}/{}", if name == "consul" { name } else { called }),
                clients,
                Some(login),
                route,
            )
        } else {
            Service::new(called, base, clients, None, route)
        };
        let service = Arc::new(service);
        services.insert(name, Arc::clone(&service));
        Ok(service)
    }

    /// The login at the API gateway, with the token that an earlier call got.
    async fn login(&self, endpoint: &Endpoint, base: &str) -> Result<Arc<Login>> {
        let (user, password) = self.admin().await?;
        Ok(locked(&self.known.logins, |known| match known.get(endpoint) {
            Some(login) if login.is_for(base, &user, &password) => Arc::clone(login),
            _ => {
                let login = Arc::new(Login::new(base.to_owned(), user, password));
                known.insert(endpoint.clone(), Arc::clone(&login));
                login
            }
        }))
    }

    /// The version of EdgeX: the recorded one, or else what core-metadata says.
    pub(crate) async fn version(&self) -> Result<String> {
        if !self.application.version.is_empty() {
            return Ok(self.application.version.clone());
        }
        self.ask_version().await
    }

    /// The version that core-metadata says it has.
    pub(crate) async fn ask_version(&self) -> Result<String> {
        let service = self.service("metadata").await?;
        version_of(&service).await.map_err(|failure| failure.to("read the version of EdgeX"))
    }

    pub(crate) async fn dialect(&self) -> Result<Dialect> {
        Dialect::served(&self.version().await?)
    }

    pub(crate) async fn metadata(&self) -> Result<Metadata> {
        Ok(Metadata::new(self.service("metadata").await?, self.dialect().await?))
    }

    /// When its configuration can be changed next.
    pub(crate) fn gap(&self) -> Arc<Gap> {
        let known = |place: &Endpoint| {
            locked(&self.known.gaps, |known| Arc::clone(known.entry(place.clone()).or_default()))
        };
        self.place().map(known).unwrap_or_default()
    }

    /// Where its services have their configuration.
    pub(crate) async fn configuration(&self) -> Result<Configuration> {
        let gap = self.gap();
        match self.dialect().await? {
            Dialect::V3Consul => Ok(Configuration::Consul(self.service("consul").await?, gap)),
            _ => Ok(Configuration::Keeper(self.service("keeper").await?, gap)),
        }
    }

    /// The broker, if its users are made here.
    pub(crate) async fn broker(&self) -> Result<Option<Opened>> {
        let Some(endpoint) = self.application.endpoints.get(BROKER) else { return Ok(None) };
        let route = self.cx.open(endpoint).await?;
        let (user, password) = self.admin().await?;
        let broker = Broker {
            host: route.address().host.clone(),
            port: route.address().port,
            tls: matches!(endpoint, Endpoint::Net(address) if address.tls),
            trust: self.trust(endpoint),
            user,
            password,
        };
        Ok(Some(Opened { broker, _route: route }))
    }

    pub(crate) fn pace(&self) -> Pace {
        let known = |place| locked(&self.known.paces, |known| known.get(place).copied());
        self.place().and_then(known).unwrap_or_default()
    }

    /// Notes whether the gateway gave up on a request, and if that was because it was large, of how many things.
    pub(crate) fn note_pace(&self, gave_up: bool, too_many: Option<usize>) {
        let Some(place) = self.place() else { return };
        locked(&self.known.paces, |known| {
            let pace = known.entry(place.clone()).or_default();
            pace.is_uncertain = gave_up;
            // A few things are not too many, whatever it was.
            if let Some(size) = too_many.filter(|size| *size > FEWEST) {
                pace.failures += 1;
                if pace.failures.is_multiple_of(2) {
                    pace.size = (pace.size.min(size) / 2).max(FEWEST);
                }
            }
        });
    }
}

/// A broker, with the way to it held open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) broker: Broker,
    _route: iotorch_core::Route,
}
