//! One gateway or server that this process hosts.

use super::directory::failed;
use crate::{Gateway, Listen, LiteSettings, Ports, Secret, Server, data_dir, listening::reached_at};
use iotorch_core::{
    Cause, Error, ErrorKind, Health, Issue, Result,
    resource::{Endpoint, NetAddress, Role, WorkloadOutputs, WorkloadSpec},
    secret::SecretStore,
};
use std::{collections::BTreeMap, path::Path, time::Duration};
use tokio_util::task::AbortOnDropHandle;

/// What was started, and what became of it.
#[derive(Debug)]
pub(super) struct Instance {
    spec: WorkloadSpec,
    state: Result<Software, Cause>,
    /// What tries again if it could not start.
    again: Option<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
enum Software {
    Gateway(Gateway),
    Server(Server),
}

/// What a start needs besides a directory and the role.
#[derive(Debug)]
pub(super) struct Prepared {
    settings: LiteSettings,
    admin: Secret,
    /// What a bus is logged in at with.
    bus: Option<Secret>,
}

/// Finds out what a start needs, before anything is changed.
pub(super) async fn prepare(spec: &WorkloadSpec, secrets: &dyn SecretStore) -> Result<Prepared> {
    let invalid = |why: String| Error::new(ErrorKind::Invalid, cannot_start(spec)).with_source(why);
    let admin = spec.admin.as_ref().ok_or_else(|| invalid("it has no secret to manage it".to_owned()))?;
    let settings = LiteSettings::read(&spec.settings, spec.role).map_err(|issues| {
        let issues = issues.into_iter().map(|Issue { pointer, message, .. }| format!("{pointer}: {message}"));
        invalid(issues.collect::<Vec<_>>().join("; "))
    })?;
    let fetch = async |secret| secrets.fetch(secret).await.map(|secret| Secret::new(secret.expose()));
    let bus = match settings.bus.as_ref().and_then(|bus| bus.credentials.as_ref()) {
        Some(secret) => Some(fetch(secret).await?),
        None => None,
    };
    Ok(Prepared { admin: fetch(admin).await?, settings, bus })
}

fn cannot_start(spec: &WorkloadSpec) -> String {
    format!("cannot start {} \"{}\"", spec.role, spec.name)
}

impl Software {
    async fn start(
        dir: &Path,
        spec: &WorkloadSpec,
        Prepared { settings, admin, bus }: Prepared,
        patience: Duration,
    ) -> Result<Self> {
        let started = match spec.role {
            Role::Gateway => {
                let mut config = settings.gateway(dir, admin);
                if let Some(reads) = &mut config.bus {
                    reads.login = bus;
                }
                config.patience = patience;
                Gateway::start(config).await.map(Self::Gateway)
            }
            Role::Server => {
                let mut config = settings.server(dir, admin);
                config.patience = patience;
                Server::start(config).await.map(Self::Server)
            }
            Role::Function => {
                return Err(Error::new(ErrorKind::Unsupported, cannot_start(spec))
                    .with_source("it is not a program of the application \"lite\""));
            }
        };
        started.map_err(|error| {
            let help = error.help().map(str::to_owned);
            let failed = Error::new(error.to_core(), cannot_start(spec)).with_source(error);
            match help {
                Some(help) => failed.with_help(help),
                None => failed,
            }
        })
    }

    fn ports(&self) -> Ports {
        match self {
            Self::Gateway(gateway) => Ports {
                mqtt: gateway.mqtt_address().port(),
                http: gateway.http_address().port(),
                coap: gateway.coap_address().port(),
                management: gateway.management_address().port(),
            },
            Self::Server(server) => Ports {
                mqtt: server.mqtt_address().port(),
                http: server.http_address().port(),
                coap: 0,
                management: server.management_address().port(),
            },
        }
    }
}

impl Instance {
    /// Starts it, and waits so long for ports that others have.
    pub(super) async fn start(
        dir: &Path,
        spec: WorkloadSpec,
        prepared: Result<Prepared>,
        patience: Duration,
    ) -> Self {
        let state = match prepared {
            Ok(prepared) => Software::start(dir, &spec, prepared, patience).await,
            Err(error) => Err(error),
        };
        Self { spec, state: state.map_err(|error| error.to_cause()), again: None }
    }

    /// Keeps what tries again until there is another instance in its place, or none.
    pub(super) fn keep(&mut self, again: AbortOnDropHandle<()>) {
        self.again = Some(again);
    }

    /// Whether it runs already as it would after a start with `spec`.
    pub(super) fn runs_as(&self, spec: &WorkloadSpec) -> bool {
        let as_started = |spec: &WorkloadSpec| (spec.role, spec.settings.clone(), spec.admin.clone());
        self.state.is_ok() && as_started(&self.spec) == as_started(spec)
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.state.is_err()
    }

    /// Why it does not run.
    pub(super) fn failure(&self) -> Option<Error> {
        self.state.as_ref().err().map(|cause| cause.clone().into())
    }

    pub(super) async fn stop(self) {
        match self.state {
            Ok(Software::Gateway(gateway)) => gateway.stop().await,
            Ok(Software::Server(server)) => server.stop().await,
            Err(_) => {}
        }
    }
}

/// What a workload tells: where it listens or, if it was not started yet, where it will. One that cannot start listens
/// nowhere, so that the next plan has a step for it, unless it runs by then.
pub(super) fn outputs(
    instance: Option<&Instance>,
    dir: &Path,
    spec: &WorkloadSpec,
) -> Result<WorkloadOutputs> {
    let ports = match instance.map(|instance| &instance.state) {
        Some(Ok(software)) => Some(software.ports()),
        Some(Err(_)) => None,
        None => data_dir::recorded_ports(dir).map_err(|error| failed("read the ports of", dir, error))?,
    };
    let endpoints = ports.map(|ports| {
        let settings = LiteSettings::read(&spec.settings, spec.role).unwrap_or_default();
        endpoints(&settings, ports)
    });
    Ok(WorkloadOutputs { release: format!("lite {}", spec.role), endpoints: endpoints.unwrap_or_default() })
}

/// The endpoints there are, by name.
fn endpoints(settings: &LiteSettings, ports: Ports) -> BTreeMap<String, Endpoint> {
    let (data, management) = (settings.data(), settings.management());
    let at = |name: &str, listen: Option<&Listen>, port, tls| {
        let host = reached_at(listen, port).ip().to_string();
        (port != 0).then(|| (name.to_owned(), Endpoint::Net(NetAddress { host, port, tls })))
    };
    let speaks_tls = |listen: Option<&Listen>| listen.is_some_and(|listen| listen.tls.is_some());
    let (data, management) = (Some(&data), management.as_ref());
    [
        at("mqtt", data, ports.mqtt, speaks_tls(data)),
        at("http", data, ports.http, speaks_tls(data)),
        // DTLS is the TLS of CoAP.
        at("coap", data, ports.coap, true),
        at("management", management, ports.management, speaks_tls(management)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(super) fn health(instance: Option<&Instance>) -> Health {
    match instance.map(|instance| &instance.state) {
        Some(Ok(_)) => Health::Ready,
        Some(Err(cause)) => Health::Failed { reason: cause.to_string() },
        None => Health::Failed { reason: "no process hosts it".to_owned() },
    }
}
