//! One gateway or server that this process hosts.

use crate::{
    Gateway, LiteSettings, Secret, Server,
    data_dir::{self, Ports},
};
use iotorch_core::{
    Cause, Error, ErrorKind, Health, Result,
    resource::{Endpoint, Role, WorkloadOutputs, WorkloadSpec},
    secret::SecretStore,
};
use std::{collections::BTreeMap, net::Ipv4Addr, path::Path};

/// What was started, and what became of it.
#[derive(Debug)]
pub(super) struct Instance {
    spec: WorkloadSpec,
    state: Result<Software, Cause>,
}

#[derive(Debug)]
enum Software {
    Gateway(Gateway),
    Server(Server),
}

impl Software {
    async fn start(dir: &Path, spec: &WorkloadSpec, secrets: &dyn SecretStore) -> Result<Self> {
        let invalid = |why: String| {
            let what = format!("cannot start {} \"{}\"", spec.role, spec.name);
            Error::new(ErrorKind::Invalid, what).with_source(why)
        };
        let admin = spec.admin.as_ref().ok_or_else(|| invalid("it has no secret to manage it".to_owned()))?;
        let token = Secret::new(secrets.fetch(admin).await?.expose());
        let settings = LiteSettings::read(&spec.settings, spec.role).map_err(|issues| {
            invalid(issues.into_iter().map(|issue| issue.message).collect::<Vec<_>>().join("; "))
        })?;
        Ok(match spec.role {
            Role::Gateway => Self::Gateway(Gateway::start(settings.gateway(dir, token)).await?),
            Role::Server => Self::Server(Server::start(settings.server(dir, token)).await?),
            Role::Function => return Err(invalid("it is a network function".to_owned())),
        })
    }

    fn ports(&self) -> Ports {
        let (mqtt, management) = match self {
            Self::Gateway(gateway) => (gateway.mqtt_address(), gateway.management_address()),
            Self::Server(server) => (server.mqtt_address(), server.management_address()),
        };
        Ports { mqtt: mqtt.port(), management: management.port() }
    }
}

impl Instance {
    pub(super) async fn start(dir: &Path, spec: WorkloadSpec, secrets: &dyn SecretStore) -> Self {
        let state = Software::start(dir, &spec, secrets).await;
        Self { spec, state: state.map_err(|error| error.to_cause()) }
    }

    /// Whether it runs already as it would after a start with `spec`.
    pub(super) fn runs_as(&self, spec: &WorkloadSpec) -> bool {
        let as_started = |spec: &WorkloadSpec| (spec.role, spec.settings.clone(), spec.admin.clone());
        self.state.is_ok() && as_started(&self.spec) == as_started(spec)
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
/// nowhere, so that the next plan tries to repair it.
pub(super) fn outputs(instance: Option<&Instance>, dir: &Path, role: Role) -> Result<WorkloadOutputs> {
    let ports = match instance.map(|instance| &instance.state) {
        Some(Ok(software)) => Some(software.ports()),
        Some(Err(_)) => None,
        None => data_dir::recorded_ports(dir)?,
    };
    let at = |port| Endpoint::net(Ipv4Addr::LOCALHOST.to_string(), port);
    let endpoints = |ports: Ports| {
        BTreeMap::from([("management".to_owned(), at(ports.management)), ("mqtt".to_owned(), at(ports.mqtt))])
    };
    Ok(WorkloadOutputs {
        release: format!("lite {role}"),
        endpoints: ports.map(endpoints).unwrap_or_default(),
    })
}

pub(super) fn health(instance: Option<&Instance>) -> Health {
    match instance.map(|instance| &instance.state) {
        Some(Ok(_)) => Health::Ready,
        Some(Err(cause)) => Health::Failed { reason: cause.to_string() },
        None => Health::Failed { reason: "this process has not started it".to_owned() },
    }
}
