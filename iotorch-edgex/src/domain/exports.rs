//! Exports: by the bridge, or by EdgeX itself.

use std::{collections::BTreeSet, sync::Arc};

use iotorch_core::{
    Context, Error, ErrorKind, Observed, Result, Scope,
    model::SinkKind,
    resource::{
        ApplicationOutputs, Change, Endpoint, Export, ExportInputs, ExportSpec, ExportTarget, Job, KindName,
        NetAddress, Outputs, Ownership, ResourceId, Spec, Work,
    },
    secret::SecretValue,
};

use super::{
    EdgexDomain,
    application::{as_bridge, bridge_spec},
    own_export, registration,
    session::{BRIDGE, Session, UNUSED_BRIDGE},
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
        let dialect = session.dialect().await?;
        self.leave_others(session, dialect, &job).await?;
        if session.has(BRIDGE) {
            return self.by_bridge(session.cx, job).await;
        }
        match dialect {
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

    /// Takes an export from what has carried it while the settings were others: nothing is to be sent twice.
    async fn leave_others(&self, session: &Session<'_>, dialect: Dialect, job: &Job<Export>) -> Result<()> {
        if let (true, Some(before)) =
            (session.has(UNUSED_BRIDGE), job.change.before().or_else(|| job.change.after()))
        {
            let change = Change::Delete { before: before.clone() };
            let (id, inputs, ownership) = (job.id.clone(), job.inputs.clone(), Ownership::Ours);
            match self.by_bridge(session.cx, Job { id, change, inputs, ownership }).await {
                // It is somebody else's.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                gone => drop(gone?),
            }
        }
        let is_known = match dialect {
            Dialect::V1 => false,
            Dialect::V3Consul => session.is_secure() || session.has("consul"),
            Dialect::V3Keeper => session.is_secure() || session.has("keeper"),
        };
        if is_known && !session.has("app-mqtt-export") {
            own_export::leave(session, &job.id).await?;
        }
        Ok(())
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
        known.insert(scope.root.clone());
        let scope = of_bridge(scope, &session.application, known);
        let seen = self.bridges.observe(session.cx, &scope).await?;
        Ok(seen.into_iter().filter(|(id, _)| id.kind() == KindName::Export).collect())
    }
}

/// The scope of the bridge of a gateway.
pub(super) fn of_bridge(
    scope: &Scope,
    application: &ApplicationOutputs,
    known: BTreeSet<ResourceId>,
) -> Scope {
    let mut recorded = scope.recorded.clone();
    if let Some(Spec::Application(spec)) = scope.recorded.get(&scope.root).map(AsRef::as_ref) {
        recorded.insert(scope.root.clone(), Arc::new(bridge_spec(spec).into()));
    }
    Scope { root: scope.root.clone(), known, recorded, application: Some(as_bridge(application)) }
}
