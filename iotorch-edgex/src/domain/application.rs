//! Whether a gateway is ready.

use std::collections::BTreeMap;

use futures::future::join_all;
use iotorch_core::{
    Context, Error, ErrorKind, Health, Result,
    resource::{
        Application, ApplicationInputs, ApplicationOutputs, ApplicationSpec, Change, Endpoint, Job, Outputs,
        Ownership, Role, WorkloadOutputs,
    },
};

use super::{
    EdgexDomain,
    session::{BRIDGE, BROKER, GATEWAY, SERVICES, Session, UNUSED_BRIDGE},
};
use crate::{
    config::{EdgexSettings, Exporter},
    dialect::Dialect,
    driver::settings_of,
};

/// The endpoint that the management API of a gateway of `lite` has.
const MANAGEMENT: &str = "management";

/// The services that the export of EdgeX itself needs.
const OWN_EXPORT: [&str; 2] = ["app-mqtt-export", "export-client"];

/// Where the parts of a gateway are, without those that its settings leave alone.
pub(super) fn endpoints_of(
    spec: &ApplicationSpec,
    settings: &EdgexSettings,
    mut endpoints: BTreeMap<String, Endpoint>,
) -> BTreeMap<String, Endpoint> {
    if settings.export != Exporter::Bridge
        && let Some(bridge) = endpoints.remove(BRIDGE)
    {
        endpoints.insert(UNUSED_BRIDGE.to_owned(), bridge);
    }
    if settings.export != Exporter::Edgex {
        endpoints.retain(|name, _| !OWN_EXPORT.contains(&name.as_str()));
    }
    // Behind the API gateway everything has one address.
    if settings.export == Exporter::Edgex
        && let Some(door) = endpoints.get(GATEWAY).cloned()
    {
        endpoints.insert(OWN_EXPORT[0].to_owned(), door);
    }
    endpoints.remove(BROKER);
    if settings.manages_broker(spec.external.is_some())
        && let Some(broker) = endpoints.get("mqtt").cloned()
    {
        endpoints.insert(BROKER.to_owned(), broker);
    }
    endpoints
}

/// The bridge of a gateway, as a gateway of `lite`.
pub(super) fn as_bridge(application: &ApplicationOutputs) -> ApplicationOutputs {
    let mut bridges = [BRIDGE, UNUSED_BRIDGE].into_iter().filter_map(|name| application.endpoints.get(name));
    let management = bridges.next().map(|bridge| (MANAGEMENT.to_owned(), bridge.clone()));
    ApplicationOutputs { endpoints: management.into_iter().collect(), ..application.clone() }
}

/// What `lite` is told of a bridge.
pub(super) fn bridge_spec(spec: &ApplicationSpec) -> ApplicationSpec {
    let trust = settings_of(&spec.settings).trust;
    let trust = trust.and_then(|trust| Some(("trust".to_owned(), serde_json::to_value(trust).ok()?)));
    ApplicationSpec {
        name: format!("{} (bridge)", spec.name),
        role: Role::Gateway,
        external: None,
        settings: trust.into_iter().collect(),
        ..spec.clone()
    }
}

/// What is missing from a gateway.
#[derive(Debug)]
pub(super) enum Missing {
    /// A service does not answer.
    Service(Error),
    /// A device service has not registered.
    Registration(String),
}

impl Session<'_> {
    /// The device services that have to be registered.
    fn device_services(&self, settings: &EdgexSettings) -> Vec<String> {
        if !settings.device_services.is_empty() {
            return settings.device_services.clone();
        }
        let served = ["device-mqtt", "device-rest", "device-coap"].into_iter().filter(|name| self.has(name));
        let served: Vec<_> = served.map(str::to_owned).collect();
        if served.is_empty() { vec!["device-mqtt".to_owned()] } else { served }
    }

    /// Everything that is missing, but for core-metadata itself, without which nothing can be said.
    pub(super) async fn missing(&self, settings: &EdgexSettings, dialect: Dialect) -> Result<Vec<Missing>> {
        let metadata = self.metadata().await?;
        let registered = metadata.services().await;
        let registered = registered.map_err(|failure| failure.to("list the device services"))?;
        let others = SERVICES.into_iter().filter(|(name, _)| *name != "metadata" && self.has(name));
        let pings = others.map(|(name, called)| async move {
            let service = self.service(name).await?;
            let answered = match name {
                "consul" => service.get::<serde_json::Value>("/v1/status/leader").await.map(drop),
                _ => service.ping(dialect.api()).await,
            };
            answered.map_err(|failure| failure.to(format!("use {called}")))
        });
        let silent =
            join_all(pings).await.into_iter().filter_map(|answer| answer.err().map(Missing::Service));
        if self.has(OWN_EXPORT[0]) {
            self.gap().answered().await;
        }
        let wanted = self.device_services(settings).into_iter();
        let unregistered = wanted.filter(|name| !registered.contains(name)).map(Missing::Registration);
        Ok(silent.chain(unregistered).collect())
    }
}

/// How a gateway is that answers.
pub(super) fn health_of(missing: Vec<Missing>) -> Health {
    let words: Vec<_> = missing
        .into_iter()
        .map(|missing| match missing {
            Missing::Service(error) => {
                error.to_cause().chain.first().cloned().unwrap_or_else(|| error.to_string())
            }
            Missing::Registration(name) => format!("device service \"{name}\" is not registered"),
        })
        .collect();
    if words.is_empty() { Health::Ready } else { Health::Degraded { reason: words.join("; ") } }
}

impl EdgexDomain {
    /// Finds out whether a gateway is ready; to make and remove it is the business of its place.
    pub(super) async fn check_application(&self, cx: &Context, job: &Job<Application>) -> Result<Outputs> {
        let Some(after) = job.change.after() else { return Ok(Outputs::Removed { residue: Vec::new() }) };
        let endpoints = match (&after.external, &job.inputs.workload) {
            (Some(external), _) => {
                let net =
                    |(name, address): (&String, &_)| (name.clone(), Endpoint::Net(Clone::clone(address)));
                external.endpoints.iter().map(net).collect()
            }
            (None, Some(workload)) => workload.endpoints.clone(),
            (None, None) => BTreeMap::new(),
        };
        let settings = settings_of(&after.settings);
        let endpoints = endpoints_of(after, &settings, endpoints);
        let asked = ApplicationOutputs { version: String::new(), endpoints, admin: after.admin.clone() };
        self.known.learn(after, &asked);
        let starting = |error: Error| starting(after, error);
        let version = Session::new(cx, asked.clone(), &self.known).ask_version().await.map_err(starting)?;
        let dialect = Dialect::served(&version)?;
        let outputs = ApplicationOutputs { version, ..asked };
        let session = Session::new(cx, outputs.clone(), &self.known);
        let missing = session.missing(&settings, dialect).await.map_err(starting)?;
        match missing.into_iter().next() {
            None => {}
            Some(Missing::Service(error)) => return Err(starting(error)),
            Some(Missing::Registration(name)) => {
                let what = format!("device service \"{name}\" is not registered yet");
                return Err(Error::new(ErrorKind::NotReady, what));
            }
        }
        if let Some(opened) = session.broker().await? {
            let asked = opened.broker.find(std::slice::from_ref(&opened.broker.user)).await;
            asked.map_err(|failure| starting(failure.to("manage the users of the MQTT broker")))?;
        }
        if session.has(BRIDGE) {
            self.check_bridge(cx, job, after, &outputs).await?;
        }
        Ok(outputs.into())
    }

    async fn check_bridge(
        &self,
        cx: &Context,
        job: &Job<Application>,
        after: &ApplicationSpec,
        outputs: &ApplicationOutputs,
    ) -> Result<()> {
        let bridge = as_bridge(outputs);
        let workload = WorkloadOutputs { endpoints: bridge.endpoints, ..WorkloadOutputs::default() };
        let job = Job::<Application> {
            id: job.id.clone(),
            change: Change::Create { after: bridge_spec(after) },
            inputs: ApplicationInputs { workload: Some(workload) },
            ownership: Ownership::Ours,
        };
        let mut results = self.bridges.apply(cx, vec![job.into()]).await;
        let checked = results.pop().unwrap_or_else(|| {
            Err(Error::new(ErrorKind::Unexpected, "cannot tell whether the bridge is ready"))
        });
        match checked {
            Err(error) if error.kind() == ErrorKind::NotReady && after.external.is_some() => {
                Err(Error::new(ErrorKind::Unavailable, "cannot reach the bridge").with_source(error))
            }
            Err(error) if error.kind() == ErrorKind::NotReady => {
                Err(Error::new(ErrorKind::NotReady, "the bridge is starting").with_source(error))
            }
            checked => checked.map(drop),
        }
    }
}

/// What iotorch has deployed may be starting; what is elsewhere is out of reach.
fn starting(spec: &ApplicationSpec, error: Error) -> Error {
    if spec.external.is_some() || error.kind() != ErrorKind::Unavailable {
        return error;
    }
    let cause = error.to_cause();
    let said = cause.chain.first().cloned().unwrap_or(cause.message);
    Error::new(ErrorKind::NotReady, said).with_source(error)
}
