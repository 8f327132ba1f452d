//! Exports: by the bridge, or by EdgeX itself.

use std::collections::{BTreeMap, BTreeSet};

use iotorch_core::{
    Context, Error, ErrorKind, Observed, Result, Scope,
    model::SinkKind,
    resource::{
        Endpoint, Export, ExportInputs, ExportSpec, ExportTarget, Job, KindName, NetAddress, Outputs,
        ResourceId, Spec, Work,
    },
    secret::SecretValue,
};

use super::{
    EdgexDomain,
    application::{as_bridge, bridge_spec},
    own_export, registration,
    session::{BRIDGE, Session},
    unsupported,
};
use crate::dialect::Dialect;

/// Where an export of EdgeX itself sends, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) address: NetAddress,
    pub(super) topic: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretValue>,
}

/// What the status of every such export says.
pub(super) const PROMISES: &str = "EdgeX's own JSON; what cannot be sent is lost";

impl Destination {
    /// What an export to this wants of EdgeX.
    pub(super) async fn of(cx: &Context, export: &ExportSpec, inputs: &ExportInputs) -> Result<Self> {
        let name = &export.name;
        let fails =
            |kind, why: String| Error::new(kind, format!("cannot export to \"{name}\"")).with_source(why);
        match &export.target {
            ExportTarget::Sink(sink) if sink.kind != SinkKind::Mqtt => {
                let why = "EdgeX itself exports only to MQTT brokers".to_owned();
                Err(fails(ErrorKind::Unsupported, why))
            }
            ExportTarget::Sink(sink) => {
                let (mut user, mut password) = (None, None);
                if let Some(secret) = &sink.credentials {
                    let value = cx.secret(secret).await?;
                    let split = value.expose().split_once(':');
                    let (name, word) = split.ok_or_else(|| {
                        fails(ErrorKind::Invalid, format!("the secret \"{secret}\" is not USER:PASSWORD"))
                    })?;
                    (user, password) = (Some(name.to_owned()), Some(SecretValue::new(word.to_owned())));
                }
                Ok(Self { address: sink.endpoint.clone(), topic: sink.target.clone(), user, password })
            }
            ExportTarget::Server => {
                let server = inputs.server.as_ref();
                let server = server.ok_or_else(|| {
                    fails(ErrorKind::Unexpected, "nothing is known of an attachment there".to_owned())
                })?;
                let mut address = match server.application.endpoints.get("mqtt") {
                    Some(Endpoint::Net(address)) => address.clone(),
                    Some(endpoint) => {
                        let why = format!("the gateway cannot reach {endpoint}: it needs an address");
                        return Err(fails(ErrorKind::Unsupported, why));
                    }
                    None => {
                        let why = "the server has no endpoint \"mqtt\"".to_owned();
                        return Err(fails(ErrorKind::Unsupported, why));
                    }
                };
                // On the segment between the two the server has an address of its own, and listens on the same port.
                if let Some(on_segment) = server.port.as_ref().and_then(|port| port.address) {
                    address.host = on_segment.to_string();
                }
                Ok(Self {
                    address,
                    topic: format!("{}/{{devicename}}", server.attachment.topic()),
                    user: Some(server.credential.user_name.clone()),
                    password: Some(cx.secret(&server.credential.secret).await?),
                })
            }
        }
    }

    /// Where it sends, in words for status.
    pub(super) fn words(address: &NetAddress, topic: &str, user: Option<&str>) -> String {
        let scheme = if address.tls { "mqtts" } else { "mqtt" };
        let user = user.map(|user| format!(" as {user}")).unwrap_or_default();
        format!("{scheme} {address} {topic}{user} ({PROMISES})")
    }
}

impl EdgexDomain {
    /// Does a step on an export.
    pub(super) async fn export(&self, session: &Session<'_>, work: Work) -> Result<Outputs> {
        let Work::Export(job) = work else { return Err(unsupported(work.id().kind())) };
        if session.has(BRIDGE) {
            return self.by_bridge(session.cx, job).await;
        }
        match session.dialect().await? {
            Dialect::V1 if session.has("export-client") => registration::apply(session, &job).await,
            Dialect::V3Consul | Dialect::V3Keeper if session.has("app-mqtt-export") => {
                own_export::apply(session, &job).await
            }
            _ if job.change.is_delete() => Ok(Outputs::Removed { residue: Vec::new() }),
            _ => Err(Error::new(ErrorKind::Unsupported, format!("cannot make export \"{}\"", job.id.name()))
                .with_source("the gateway has neither a bridge nor an export of its own")
                .with_help("endpoint \"bridge\", or settings of the gateway: { export: edgex }")),
        }
    }

    async fn by_bridge(&self, cx: &Context, job: Job<Export>) -> Result<Outputs> {
        let application = as_bridge(&job.inputs.application);
        let job = Job::<Export> { inputs: ExportInputs { application, ..job.inputs }, ..job };
        let mut results = self.bridges.apply(cx, vec![job.into()]).await;
        results
            .pop()
            .unwrap_or_else(|| Err(Error::new(ErrorKind::Unexpected, "cannot tell what the bridge did")))
    }

    /// What is seen of exports.
    pub(super) async fn exports(
        &self,
        session: &Session<'_>,
        scope: &Scope,
    ) -> Result<Vec<(ResourceId, Observed)>> {
        let known: BTreeSet<_> =
            scope.known.iter().filter(|id| id.kind() == KindName::Export).cloned().collect();
        if session.has(BRIDGE) {
            return self.at_bridge(session, scope, known).await;
        }
        match session.dialect().await? {
            Dialect::V1 if session.has("export-client") => registration::look(session, &known).await,
            Dialect::V3Consul | Dialect::V3Keeper if session.has("app-mqtt-export") => {
                own_export::look(session, scope, &known).await
            }
            _ => Ok(known.into_iter().map(|id| (id, Observed::Absent)).collect()),
        }
    }

    async fn at_bridge(
        &self,
        session: &Session<'_>,
        scope: &Scope,
        mut known: BTreeSet<ResourceId>,
    ) -> Result<Vec<(ResourceId, Observed)>> {
        let root = &scope.root;
        known.insert(root.clone());
        let mut recorded: BTreeMap<_, _> =
            scope.recorded.iter().map(|(id, spec)| (id.clone(), std::sync::Arc::clone(spec))).collect();
        if let Some(Spec::Application(spec)) = scope.recorded.get(root).map(AsRef::as_ref) {
            recorded.insert(root.clone(), std::sync::Arc::new(bridge_spec(spec).into()));
        }
        let application = Some(as_bridge(&session.application));
        let scope = Scope { root: root.clone(), known, recorded, application };
        let seen = self.bridges.observe(session.cx, &scope).await?;
        Ok(seen.into_iter().filter(|(id, _)| id.kind() == KindName::Export).collect())
    }
}
