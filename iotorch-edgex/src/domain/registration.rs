//! The exports of EdgeX itself in version 1 (Delhi): registrations at export-client.
//!
//! A registration has no place for a mark but the name of its addressable, which nothing else reads.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use iotorch_core::{
    Error, ErrorKind, Health, Mark, Observed, Result,
    model::Sink,
    resource::{
        Export, ExportOutputs, ExportSpec, ExportTarget, Job, NetAddress, Outputs, Ownership, ResourceId,
    },
};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{exports::Destination, session::Session};
use crate::{
    client::{Body, Service, part},
    convert::{NOBODY, kept, name_of},
    error::{Failure, Why},
};

const PATH: &str = "/api/v1/registration";

/// What export-client says of a second registration with the name of another.
const TAKEN: &str = "already taken";

/// A registration, as far as iotorch has words for it.
struct Registration {
    /// What its addressable is called.
    noted: String,
    /// What it was called before the registration was adopted.
    before: Option<String>,
    mark: Option<String>,
    spec: Option<ExportSpec>,
    address: NetAddress,
    topic: String,
    user: Option<String>,
}

impl Registration {
    fn read(found: &Value) -> Self {
        let addressable = &found["addressable"];
        let text = |name: &str| addressable[name].as_str().unwrap_or_default().to_owned();
        let name = text("name");
        let mut words = name.strip_prefix("iotorch:").unwrap_or_default().split(' ');
        let mut next = || words.next().filter(|word| !word.is_empty()).map(str::to_owned);
        let (mark, spec, before) = (next(), next(), next());
        let spec: Option<ExportSpec> = spec.and_then(|spec| read(&spec));
        let before = before.and_then(|before| read(&before));
        let address = NetAddress {
            host: text("address"),
            port: addressable["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
            tls: matches!(text("protocol").as_str(), "SSL" | "TLS" | "ssl" | "tls"),
        };
        let (topic, user) = (text("topic"), Some(text("user")).filter(|user| !user.is_empty()));
        let target = match spec.as_ref().map(|spec| &spec.target) {
            Some(ExportTarget::Sink(sink)) => Some(ExportTarget::Sink(Sink {
                endpoint: address.clone(),
                target: topic.clone(),
                ..sink.clone()
            })),
            Some(ExportTarget::Server) => Some(ExportTarget::Server),
            None => None,
        };
        let name = found["name"].as_str().unwrap_or_default().to_owned();
        let spec = target.map(|target| ExportSpec { name, target });
        Self {
            noted: addressable["name"].as_str().unwrap_or_default().to_owned(),
            before,
            mark,
            spec,
            address,
            topic,
            user,
        }
    }

    fn owner(&self) -> String {
        self.mark.clone().unwrap_or_else(|| NOBODY.to_owned())
    }

    fn outputs(&self) -> ExportOutputs {
        ExportOutputs { destination: Destination::words(&self.address, &self.topic, self.user.as_deref()) }
    }
}

/// What is kept in a part of a name.
fn read<T: DeserializeOwned>(kept: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(kept).ok()?).ok()
}

/// The name of the addressable of a registration of ours: whose it is, what it was made from, and what the name was before.
fn noted(mark: &Mark, spec: &ExportSpec, before: Option<&String>) -> String {
    let words = [kept(spec), before.and_then(kept)].into_iter().flatten();
    words.fold(format!("iotorch:{mark}"), |name, word| format!("{name} {word}"))
}

fn written(name: String, spec: &ExportSpec, to: &Destination) -> Value {
    // It knows one device's readings from another's by what is in them, so there is one topic.
    let topic = to.topic.trim_end_matches("/{devicename}");
    json!({
        "name": spec.name,
        "addressable": {
            "name": name,
            "protocol": if to.address.tls { "SSL" } else { "TCP" },
            "address": to.address.host,
            "port": to.address.port,
            "publisher": name_of_publisher(spec),
            "user": to.user.as_deref().unwrap_or_default(),
            "password": to.password.as_ref().map(|password| password.expose()).unwrap_or_default(),
            "topic": topic,
        },
        "format": "JSON",
        "enable": true,
        "destination": "MQTT_TOPIC",
    })
}

fn name_of_publisher(spec: &ExportSpec) -> String {
    format!("edgex-{}", spec.name)
}

async fn find(service: &Service, name: &str, what: &str) -> Result<Option<Registration>> {
    let found: Option<Value> =
        service.find(&format!("{PATH}/name/{}", part(name))).await.map_err(|failure| failure.to(what))?;
    Ok(found.as_ref().map(Registration::read))
}

pub(super) async fn apply(session: &Session<'_>, job: &Job<Export>) -> Result<Outputs> {
    let service = session.service("export-client").await?;
    let mark = session.cx.mark(&job.id);
    let name = name_of(&job.id);
    let verb = if job.change.is_delete() { "remove" } else { "set up" };
    let what = format!("{verb} export \"{}\"", job.id.name());
    let found = find(&service, &name, &what).await?;
    let is_ours = found.as_ref().is_some_and(|found| found.mark.as_deref() == Some(&mark.to_string()));
    let removed = Outputs::Removed { residue: Vec::new() };
    let conflict = |found: &Registration| {
        Error::new(ErrorKind::Conflict, format!("cannot {what}"))
            .with_source(format!("export \"{name}\" belongs to {}", found.owner()))
    };
    let Some(after) = job.change.after() else {
        return match &found {
            None => Ok(removed),
            Some(_) if is_ours => {
                let gone = service.remove(&format!("{PATH}/name/{}", part(&name))).await;
                gone.map(|()| removed).map_err(|failure| failure.to(&what))
            }
            Some(_) if job.ownership == Ownership::Release => Ok(removed),
            Some(found) => Err(conflict(found)),
        };
    };
    match (&found, job.ownership) {
        (Some(found), Ownership::Ours) if !is_ours => return Err(conflict(found)),
        (Some(found), Ownership::Release) if !is_ours => return Ok(found.outputs().into()),
        (None, Ownership::Release) => return Ok(removed),
        _ => {}
    }
    let to = Destination::of(session.cx, after, &job.inputs).await?;
    let name = match (&found, job.ownership) {
        (Some(found), Ownership::Release) => found.before.clone().unwrap_or_else(|| after.name.clone()),
        (Some(found), _) if is_ours => noted(&mark, after, found.before.as_ref()),
        (found, _) => noted(&mark, after, found.as_ref().map(|found| &found.noted)),
    };
    let registration = written(name, after, &to);
    let method = if found.is_some() { Method::PUT } else { Method::POST };
    let told = service.good(method, PATH, Body::Json(&registration)).await;
    told.map_err(|failure| match failure.why() {
        // Something came in between, such as what an earlier call had begun.
        Why::Said { status: 404, .. } => changed(&after.name, failure),
        Why::Said { status: 400, message } if message.contains(TAKEN) => changed(&after.name, failure),
        _ => failure.to(&what),
    })?;
    Ok(Registration::read(&registration).outputs().into())
}

fn changed(name: &str, failure: Failure) -> Error {
    Error::new(ErrorKind::NotReady, format!("export \"{name}\" has just changed")).with_source(failure)
}

pub(super) async fn look(
    session: &Session<'_>,
    known: &BTreeSet<ResourceId>,
) -> Result<Vec<(ResourceId, Observed)>> {
    let service = session.service("export-client").await?;
    let listed: Option<Vec<Value>> =
        service.get(PATH).await.map_err(|failure| failure.to("look at the exports of EdgeX"))?;
    let found: BTreeMap<String, Registration> = listed
        .iter()
        .flatten()
        .filter_map(|found| Some((found["name"].as_str()?.to_owned(), Registration::read(found))))
        .collect();
    let mut seen = BTreeMap::new();
    for id in known {
        let observed = match found.get(&name_of(id)) {
            None => Observed::Absent,
            Some(found) => sight(found, &session.cx.mark(id)),
        };
        seen.insert(id.clone(), observed);
    }
    let root = known.iter().next().map(ResourceId::scope);
    for registration in found.values() {
        let mark = registration.mark.as_deref().and_then(Mark::parse);
        let Some(mark) = mark.filter(|mark| mark.installation == session.cx.installation) else { continue };
        if root.is_none() || root.as_ref() == Some(&mark.resource.scope()) {
            seen.entry(mark.resource.clone()).or_insert_with(|| sight(registration, &mark));
        }
    }
    Ok(seen.into_iter().collect())
}

fn sight(found: &Registration, mark: &Mark) -> Observed {
    match &found.spec {
        Some(spec) if found.mark.as_deref() == Some(&mark.to_string()) => Observed::Present {
            spec: spec.clone().into(),
            outputs: found.outputs().into(),
            health: Health::Ready,
        },
        spec => {
            // What sends to a server has a key that nobody else could give back.
            let sink = spec.clone().filter(|spec| matches!(spec.target, ExportTarget::Sink(_)));
            Observed::Foreign { owner: found.owner(), spec: sink.map(Into::into) }
        }
    }
}
