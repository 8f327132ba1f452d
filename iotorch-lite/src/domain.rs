//! Gateways and servers as a management domain, through their management APIs alone.

use crate::{
    LiteSettings, Secret,
    api::{self, GatewayStatus, Managed, Put},
    client::{self, Connection, parts},
    convert::{Endpoints, Order, outputs_of, path_of, spec_of, unsupported},
};
use async_trait::async_trait;
use futures::{StreamExt, stream};
use iotorch_core::{
    Context, Domain, Error, ErrorKind, Health, Mark, Observed, Result, Route, Scope,
    resource::{
        Application, ApplicationOutputs, ApplicationSpec, Endpoint, Inputs, Job, KindName, Outputs,
        Ownership, ResourceId, Role, Spec, Work,
    },
    secret::SecretRef,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, PoisonError},
};
use tokio::sync::Mutex;

/// Requests under way at once in one call. More would not be quicker: the software does changes one after the other.
const AT_ONCE: usize = 8;

/// The endpoint of the management API.
const MANAGEMENT: &str = "management";

/// What `lite` calls an object without a mark.
const NOBODY: &str = "nobody (no mark)";

/// Gateways and servers in one place.
#[derive(Debug)]
pub(crate) struct LiteDomain {
    /// Whether they run in this process, so that no request of an earlier process can have outlived it.
    in_process: bool,
    trust: Trust,
}

impl LiteDomain {
    pub(crate) fn new(in_process: bool) -> Self {
        Self { in_process, trust: Trust::default() }
    }
}

/// The authorities that management APIs are checked against, by where these are. Only an application's own specification
/// names them, so they are kept for the steps in it; where none are, those of the system are trusted.
#[derive(Debug, Default)]
struct Trust(std::sync::Mutex<HashMap<Endpoint, PathBuf>>);

impl Trust {
    fn learn(&self, application: &ApplicationSpec, endpoints: &Endpoints) {
        let Some(endpoint) = endpoints.get(MANAGEMENT) else { return };
        let settings = LiteSettings::read(&application.settings, application.role).unwrap_or_default();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match settings.trust {
            Some(trust) => drop(known.insert(endpoint.clone(), trust)),
            None => drop(known.remove(endpoint)),
        }
    }

    fn of(&self, endpoint: &Endpoint) -> Option<PathBuf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(endpoint).cloned()
    }
}

/// A way to one gateway or server.
#[derive(Debug)]
struct Session {
    http: Connection,
    admin: SecretRef,
    address: String,
    _route: Route,
}

/// The sessions of one call, by where they lead.
type Sessions = Mutex<HashMap<(Endpoint, SecretRef), Arc<Session>>>;

impl Session {
    async fn open(cx: &Context, endpoints: &Endpoints, admin: &SecretRef, trust: &Trust) -> Result<Self> {
        let endpoint = management(endpoints)?;
        let route = cx.open(endpoint).await?;
        let token = cx.secret(admin).await?;
        let address = route.address().to_string();
        let scheme = if matches!(endpoint, Endpoint::Net(address) if address.tls) { "https" } else { "http" };
        let (url, token) = (format!("{scheme}://{address}"), Secret::new(token.expose()));
        let http = Connection::new(url, token, trust.of(endpoint).as_deref())
            .map_err(|error| Error::new(error.kind(), "cannot make a client").with_source(error))?;
        Ok(Self { http, admin: admin.clone(), address, _route: route })
    }

    /// Says what could not be done, and where.
    fn failed(&self, what: &str, error: client::Error) -> Error {
        let refused = matches!(error, client::Error::Refused);
        let failed =
            Error::new(error.kind(), format!("cannot {what} at {}", self.address)).with_source(error);
        if refused {
            let help = format!("the secret \"{}\" must hold the token that it was started with", self.admin);
            return failed.with_help(help);
        }
        failed
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.http.get(&parts(path)).await.map_err(|error| self.failed(&format!("read {path}"), error))
    }
}

fn management(endpoints: &Endpoints) -> Result<&Endpoint> {
    endpoints.get(MANAGEMENT).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "cannot reach the management API")
            .with_source("there is no endpoint \"management\"")
    })
}

async fn session(
    cx: &Context,
    sessions: &Sessions,
    application: &ApplicationOutputs,
    trust: &Trust,
) -> Result<Arc<Session>> {
    let mut sessions = sessions.lock().await;
    let key = (management(&application.endpoints)?.clone(), application.admin.clone());
    if let Some(session) = sessions.get(&key) {
        return Ok(Arc::clone(session));
    }
    let session = Arc::new(Session::open(cx, &application.endpoints, &application.admin, trust).await?);
    sessions.insert(key, Arc::clone(&session));
    Ok(session)
}

/// The application that a step is about.
fn application_of(inputs: &Inputs) -> Option<&ApplicationOutputs> {
    match inputs {
        Inputs::Tenant(inputs) | Inputs::Profile(inputs) => Some(&inputs.application),
        Inputs::Attachment(inputs) => Some(&inputs.application),
        Inputs::Credential(inputs) => Some(&inputs.application),
        Inputs::Device(inputs) => Some(&inputs.application),
        Inputs::Export(inputs) => Some(&inputs.application),
        _ => None,
    }
}

#[async_trait]
impl Domain for LiteDomain {
    async fn observe(&self, cx: &Context, scope: &Scope) -> Result<Vec<(ResourceId, Observed)>> {
        let root = &scope.root;
        let Some((spec, application)) = scope.reachable() else {
            return Ok(scope.known.iter().map(|id| (id.clone(), Observed::Absent)).collect());
        };
        self.trust.learn(spec, &application.endpoints);
        let session = Session::open(cx, &application.endpoints, &application.admin, &self.trust).await?;
        let health: api::Health = session.get("health").await?;
        let objects: Vec<Managed<Value>> = session.get("objects").await?;
        let exports = match role_of(&health)? {
            Role::Gateway if objects.iter().any(|object| object.kind == api::Kind::Export) => {
                session.get::<GatewayStatus>("status").await?.exports
            }
            _ => BTreeMap::new(),
        };
        let seen = Seen {
            cx,
            endpoints: &application.endpoints,
            objects: objects.iter().map(|object| (object.path.as_str(), object)).collect(),
            exports,
        };
        let spec = ApplicationSpec { role: role_of(&health)?, ..spec.clone() };
        let outputs = ApplicationOutputs { version: health.version, ..application.clone() };
        let present = Observed::Present { spec: spec.into(), outputs: outputs.into(), health: Health::Ready };
        let mut observed = vec![(root.clone(), present)];
        for id in scope.known.iter().filter(|id| *id != root) {
            observed.push((id.clone(), seen.look(id, scope)?));
        }
        for object in &objects {
            let Some(mark) = Mark::parse(&object.mark).filter(|mark| mark.installation == cx.installation)
            else {
                continue;
            };
            let id = mark.resource;
            let stray = id.scope() == *root && path_of(&id).as_deref() == Some(&object.path);
            if stray && !scope.known.contains(&id) {
                let unknown = seen.look(&id, scope)?;
                observed.push((id, unknown));
            }
        }
        Ok(observed)
    }

    async fn apply(&self, cx: &Context, batch: Vec<Work>) -> Vec<Result<Outputs>> {
        let sessions = Sessions::default();
        let steps: Vec<_> = batch.into_iter().map(|work| step(cx, &sessions, &self.trust, work)).collect();
        stream::iter(steps).buffered(AT_ONCE).collect().await
    }

    fn recall(&self, scope: &Scope) {
        if let Some((spec, application)) = scope.reachable() {
            self.trust.learn(spec, &application.endpoints);
        }
    }

    /// Nothing outlives the process that it runs in; and to find out whether an application answers changes nothing.
    async fn is_quiescent(&self, _: &Context, id: &ResourceId) -> bool {
        self.in_process || id.kind() == KindName::Application
    }

    /// Objects are put whole, each under its own path. One that is removed late may have been put again since.
    fn repeats_at_once(&self, call: &Work) -> bool {
        call.ownership() == Ownership::Ours && !call.change().is_delete()
    }
}

/// What is in one application.
struct Seen<'a> {
    cx: &'a Context,
    endpoints: &'a Endpoints,
    objects: BTreeMap<&'a str, &'a Managed<Value>>,
    exports: BTreeMap<String, api::ExportStatus>,
}

impl Seen<'_> {
    fn look(&self, id: &ResourceId, scope: &Scope) -> Result<Observed> {
        let path = path_of(id).ok_or_else(|| unsupported(id.kind()))?;
        let Some(object) = self.objects.get(path.as_str()) else { return Ok(Observed::Absent) };
        let stored: Option<Spec> = serde_json::from_value(object.spec.clone()).ok();
        if object.mark != self.cx.mark(id).to_string() {
            let owner = if object.mark.is_empty() { NOBODY.to_owned() } else { object.mark.clone() };
            return Ok(Observed::Foreign { owner, spec: spec_of(object, stored.as_ref()) });
        }
        let base = stored.as_ref().or_else(|| scope.recorded.get(id).map(AsRef::as_ref));
        let spec = spec_of(object, base).ok_or_else(|| {
            Error::new(ErrorKind::Unexpected, format!("cannot read \"{path}\" of the management API"))
                .with_source("what it was made from is not noted in it")
        })?;
        let user = self.user(&path);
        let outputs = outputs_of(object, &spec, self.endpoints, user.as_deref())?;
        Ok(Observed::Present { spec, outputs, health: self.health(&path) })
    }

    /// The user name of the holder of the credential at `path`.
    fn user(&self, path: &str) -> Option<String> {
        let (holder, _) = path.rsplit_once("/credentials/")?;
        let holder = self.objects.get(holder)?;
        if holder.kind == api::Kind::Device {
            return holder.path.rsplit('/').next().map(str::to_owned);
        }
        serde_json::from_value::<api::Attachment>(holder.settings.clone()).ok().map(|holder| holder.thing)
    }

    fn health(&self, path: &str) -> Health {
        let status = path.strip_prefix("exports/").and_then(|name| self.exports.get(name));
        match status.map(|status| (status.connected, status.last_error.clone())) {
            None | Some((true, None)) => Health::Ready,
            Some((true, Some(reason))) => Health::Degraded { reason },
            Some((false, Some(reason))) => Health::Failed { reason },
            Some((false, None)) => Health::Degraded { reason: "it is not connected yet".to_owned() },
        }
    }
}

fn role_of(health: &api::Health) -> Result<Role> {
    match (health.application.as_str(), health.role.as_str()) {
        ("iotorch-lite", "gateway") => Ok(Role::Gateway),
        ("iotorch-lite", "server") => Ok(Role::Server),
        (other, role) => Err(Error::new(ErrorKind::Invalid, "cannot use what answers as the management API")
            .with_source(format!("it is the {role} of \"{other}\""))),
    }
}

async fn step(cx: &Context, sessions: &Sessions, trust: &Trust, work: Work) -> Result<Outputs> {
    if let Work::Application(job) = &work {
        return application(cx, trust, job).await;
    }
    let (id, change, inputs) = (work.id(), work.change(), work.inputs());
    let (kind, name) = (id.kind(), id.name());
    let (Some(application), Some(path)) = (application_of(&inputs), path_of(id)) else {
        return Err(unsupported(kind));
    };
    let session = session(cx, sessions, application, trust).await?;
    let mark = cx.mark(id).to_string();
    if work.ownership() == Ownership::Release {
        let what = format!("give back {kind} \"{name}\"");
        session.http.release(&parts(&path), &mark).await.map_err(|error| session.failed(&what, error))?;
        return released(&session, &path, change.after(), application).await;
    }
    let Some(after) = change.after() else {
        let what = format!("remove {kind} \"{name}\"");
        let removed = session.http.delete(&parts(&path), Some(&mark)).await;
        removed.map_err(|error| session.failed(&what, error))?;
        return Ok(Outputs::Removed { residue: Vec::new() });
    };
    let order = Order::of(after, &inputs)?;
    let secret = match &order.secret {
        Some(secret) => Some(Secret::new(cx.secret(secret).await?.expose())),
        None => None,
    };
    let what = format!("set up {kind} \"{name}\"");
    let spec = serde_json::to_value(after)
        .map_err(|error| Error::new(ErrorKind::Unexpected, format!("cannot {what}")).with_source(error))?;
    let put = Put { mark, spec, settings: order.settings, secret };
    let adopt = work.ownership() == Ownership::Adopt;
    let object = session.http.put(&parts(&path), &put, adopt).await;
    let object = object.map_err(|error| session.failed(&what, error))?;
    outputs_of(&object, after, &application.endpoints, order.user.as_deref())
}

/// What an object tells that was given back, if it is still there.
async fn released(
    session: &Session,
    path: &str,
    after: Option<&Spec>,
    application: &ApplicationOutputs,
) -> Result<Outputs> {
    let removed = Outputs::Removed { residue: Vec::new() };
    let (Some(after), false) = (after, path.contains("/credentials/")) else { return Ok(removed) };
    match session.http.get(&parts(path)).await {
        Ok(object) => outputs_of(&object, after, &application.endpoints, None),
        Err(client::Error::NotFound { .. }) => Ok(removed),
        Err(error) => Err(session.failed(&format!("read {path}"), error)),
    }
}

/// Finds out whether the software answers as it should; to make and remove it is the business of its place.
async fn application(cx: &Context, trust: &Trust, job: &Job<Application>) -> Result<Outputs> {
    let Some(after) = job.change.after() else { return Ok(Outputs::Removed { residue: Vec::new() }) };
    let endpoints = match (&after.external, &job.inputs.workload) {
        (Some(external), _) => {
            let net = |(name, address): (&String, &_)| (name.clone(), Endpoint::Net(Clone::clone(address)));
            external.endpoints.iter().map(net).collect()
        }
        (None, Some(workload)) => workload.endpoints.clone(),
        (None, None) => Endpoints::new(),
    };
    trust.learn(after, &endpoints);
    let session = Session::open(cx, &endpoints, &after.admin, trust).await?;
    let role = after.role;
    let health: api::Health = match session.http.get(&["health"]).await {
        Ok(health) => health,
        Err(client::Error::Unreachable(error)) if after.external.is_none() && error.is_connect() => {
            return Err(Error::new(ErrorKind::NotReady, format!("the {role} is starting")).with_source(error));
        }
        Err(error) => return Err(session.failed("read health", error)),
    };
    let found = role_of(&health)?;
    if found != role {
        let why = format!("a {found} answers at {}", session.address);
        let what = format!("cannot use \"{}\" as a {role}", after.name);
        return Err(Error::new(ErrorKind::Invalid, what).with_source(why));
    }
    // Health is told to everybody; that the token is right shows only here.
    session.get::<Value>("status").await?;
    let version = health.version;
    Ok(ApplicationOutputs { version, endpoints, admin: after.admin.clone() }.into())
}
