//! The export of EdgeX itself (3.x and 4.0): the one pipeline of its application service `app-mqtt-export`.
//!
//! What it is told lies in the configuration of services. It takes one change at a time, reads the secret before the parameters, and
//! leaves the connection of before open, so every change has a client identity of its own. Whose the pipeline is, and what
//! it was before, is noted beside it.

use std::collections::BTreeSet;

use iotorch_core::{
    Error, ErrorKind, Health, Mark, Observed, Result, Scope,
    model::Sink,
    resource::{
        Export, ExportOutputs, ExportSpec, ExportTarget, Job, NetAddress, Outputs, Ownership, ResourceId,
    },
};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{exports::Destination, session::Session};
use crate::{
    client::{
        Body,
        configuration::{Configuration, Values},
    },
    convert::NOBODY,
    error::Failure,
};

/// The application service.
const SERVICE: &str = "app-mqtt-export";

/// Where it is noted whose the pipeline is.
const NOTE: &str = "iotorch/app-mqtt-export";

/// The name of the secret that the pipeline logs in with. It is one of our own: `mqtt` may hold a login of somebody else.
const SECRET: &str = "iotorch";

/// The function of the pipeline that sends.
const FUNCTION: &str = "MQTTExport";

/// What the pipeline does where nothing was said of it.
const ORDER: &str = "Transform, MQTTExport";

/// The brokers and topics that the service comes with: in its image, and in the compose files of EdgeX.
const BROKERS: [&str; 2] = ["tcp://localhost:1883", "MQTT_BROKER_ADDRESS_PLACE_HOLDER"];
const TOPICS: [&str; 2] = ["edgex-export", "edgex-events"];

/// What every client identity that iotorch gives begins with.
const CLIENT: &str = "iotorch-";

/// What the login is overwritten with in the secure mode, where nothing can be removed and nothing may be empty.
const NO_LOGIN: &str = "-";

/// Whose the pipeline is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    mark: String,
    spec: ExportSpec,
    /// The secret that it logs in with, by name and version.
    #[serde(default)]
    secret: Option<String>,
    /// Whom it logs in as.
    #[serde(default)]
    user: Option<String>,
    /// Whether everything was told to the service.
    done: bool,
    /// The parameters of before.
    before: Values,
    /// What the pipeline did before.
    order: String,
    /// Whose it was before it was adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adopted: Option<Box<Self>>,
}

impl Note {
    /// Whether it is about a resource, whichever installation made it.
    fn is_about(&self, id: &ResourceId) -> bool {
        Mark::parse(&self.mark).is_none_or(|mark| mark.resource == *id)
    }
}

/// The keys of the application service.
struct Keys {
    parameters: String,
    secret: String,
    order: String,
}

impl Keys {
    fn of(configuration: &Configuration) -> Self {
        let base = format!("{}/{SERVICE}/Writable", configuration.root());
        Self {
            parameters: format!("{base}/Pipeline/Functions/{FUNCTION}/Parameters"),
            secret: format!("{base}/InsecureSecrets/{SECRET}"),
            order: format!("{base}/Pipeline/ExecutionOrder"),
        }
    }
}

/// The pipeline, and what is known of it.
struct Pipeline<'s, 'a> {
    session: &'s Session<'a>,
    configuration: Configuration,
    keys: Keys,
    what: String,
}

/// The parameters that an export sets, but for the identity of the client.
fn parameters(destination: &Destination) -> Values {
    let scheme = if destination.address.tls { "ssl" } else { "tcp" };
    let NetAddress { host, port, .. } = &destination.address;
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let login = if destination.user.is_some() { "usernamepassword" } else { "none" };
    let values = [
        ("BrokerAddress", format!("{scheme}://{host}:{port}")),
        ("Topic", destination.topic.clone()),
        ("AuthMode", login.to_owned()),
        ("SecretName", SECRET.to_owned()),
        ("QOS", "1".to_owned()),
        ("PreConnect", "false".to_owned()),
    ];
    values.map(|(name, value)| (name.to_owned(), value)).into()
}

/// The identity of the next client: no other that the service may still be connected with.
fn next_client(mark: &str, now: &Values) -> String {
    let digest = Sha256::digest(mark.as_bytes());
    let prefix: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let number = now.get("ClientId").and_then(|id| id.rsplit_once('-')?.1.parse::<u32>().ok()).unwrap_or(0);
    format!("{CLIENT}{prefix}-{}", number.wrapping_add(1))
}

/// Whether somebody other than iotorch has told the pipeline where to send.
fn is_by_hand(now: &Values) -> bool {
    let is_as_shipped = |name: &str, shipped: &[&str]| {
        now.get(name).is_none_or(|value| value.is_empty() || shipped.contains(&value.as_str()))
    };
    let is_shipped = is_as_shipped("BrokerAddress", &BROKERS)
        && is_as_shipped("Topic", &TOPICS)
        && is_as_shipped("AuthMode", &["none"]);
    !is_shipped && !now.get("ClientId").is_some_and(|id| id.starts_with(CLIENT))
}

/// Whether a pipeline that does this sends anything.
fn sends(order: &str) -> bool {
    order.split(',').any(|function| function.trim() == FUNCTION)
}

fn address_of(parameters: &Values) -> Option<NetAddress> {
    let (scheme, rest) = parameters.get("BrokerAddress")?.split_once("://")?;
    let (host, port) = rest.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some(NetAddress { host, port: port.parse().ok()?, tls: matches!(scheme, "ssl" | "tls" | "mqtts") })
}

impl<'s, 'a> Pipeline<'s, 'a> {
    async fn open(session: &'s Session<'a>, what: String) -> Result<Self> {
        let configuration = session.configuration().await?;
        let keys = Keys::of(&configuration);
        Ok(Self { session, configuration, keys, what })
    }

    fn failed(&self) -> impl Fn(Failure) -> Error {
        |failure| failure.to(&self.what)
    }

    async fn note(&self) -> Result<Option<Note>> {
        let found = self.configuration.read(NOTE).await.map_err(self.failed())?;
        let Some(text) = found.get("") else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|error| {
            Error::new(ErrorKind::Unexpected, format!("cannot {}", self.what)).with_source(error)
        })
    }

    async fn write_note(&self, note: &Note) -> Result<()> {
        let text = serde_json::to_string(note).map_err(|error| {
            Error::new(ErrorKind::Unexpected, format!("cannot {}", self.what)).with_source(error)
        })?;
        self.configuration.write_one(NOTE, &text).await.map_err(self.failed())
    }

    async fn parameters(&self) -> Result<Values> {
        self.configuration.read(&self.keys.parameters).await.map_err(self.failed())
    }

    /// The note of a pipeline that is to be ours.
    async fn claim(&self, mark: String, after: &ExportSpec, note: Option<Note>) -> Result<Note> {
        if let Some(note) = note {
            if note.mark == mark {
                return Ok(note);
            }
            let (before, order) = (note.before.clone(), note.order.clone());
            let (spec, adopted) = (after.clone(), Some(Box::new(note)));
            return Ok(Note { mark, spec, secret: None, user: None, done: false, before, order, adopted });
        }
        let (before, order) = (self.parameters().await?, self.order().await?);
        if is_by_hand(&before) {
            return Err(conflict(self, NOBODY));
        }
        let (spec, adopted) = (after.clone(), None);
        Ok(Note { mark, spec, secret: None, user: None, done: false, before, order, adopted })
    }

    async fn order(&self) -> Result<String> {
        let found = self.configuration.read(&self.keys.order).await.map_err(self.failed())?;
        Ok(found.get("").cloned().unwrap_or_default())
    }

    /// Gives the service the login: through its own API in the secure mode, where the configuration has no secrets.
    async fn write_login(&self, user: &str, password: &str) -> Result<()> {
        if self.session.is_secure() {
            let service = self.session.service(SERVICE).await?;
            let data =
                json!([{ "key": "username", "value": user }, { "key": "password", "value": password }]);
            let body = json!({ "apiVersion": "v3", "secretName": SECRET, "secretData": data });
            let told = service.good(Method::POST, "/api/v3/secret", Body::Json(&body)).await;
            return told.map(drop).map_err(self.failed());
        }
        let values =
            [("SecretName", SECRET), ("SecretData/username", user), ("SecretData/password", password)];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        self.configuration.write(&self.keys.secret, &values).await.map_err(self.failed())
    }

    /// Takes the login from the service again. What is only removed from the configuration stays in the memory of the service, so it is
    /// overwritten first.
    async fn forget_login(&self, note: &Note) -> Result<()> {
        if self.session.is_secure() {
            return match note.user {
                Some(_) => self.write_login(NO_LOGIN, NO_LOGIN).await,
                None => Ok(()),
            };
        }
        let key = &self.keys.secret;
        if self.configuration.read(key).await.map_err(self.failed())?.is_empty() {
            return Ok(());
        }
        self.write_login("", "").await?;
        self.configuration.remove_all(key).await.map_err(self.failed())
    }

    async fn write_parameters(&self, mark: &str, now: &Values, mut wanted: Values) -> Result<()> {
        wanted.insert("ClientId".to_owned(), next_client(mark, now));
        self.configuration.write(&self.keys.parameters, &wanted).await.map_err(self.failed())
    }

    async fn write_order(&self, order: &str) -> Result<()> {
        self.configuration.write_one(&self.keys.order, order).await.map_err(self.failed())
    }
}

pub(super) async fn apply(session: &Session<'_>, job: &Job<Export>) -> Result<Outputs> {
    let mark = session.cx.mark(&job.id).to_string();
    let verb = match (job.ownership, job.change.is_delete()) {
        (Ownership::Release, _) => "give back",
        (_, true) => "remove",
        _ => "set up",
    };
    let pipeline = Pipeline::open(session, format!("{verb} export \"{}\"", job.id.name())).await?;
    let note = pipeline.note().await?;
    let is_ours = note.as_ref().is_some_and(|note| note.mark == mark);
    let removed = Outputs::Removed { residue: Vec::new() };
    let (after, plan) = match (job.change.after(), job.ownership, note) {
        // The one export that there is has another name, so that there is none of this.
        (None, Ownership::Ours, Some(note)) if !note.is_about(&job.id) => return Ok(removed),
        (_, Ownership::Ours, Some(note)) if !is_ours => return Err(conflict(&pipeline, &note.mark)),
        (None, _, Some(note)) if is_ours => return give_back(&pipeline, note).await.map(|()| removed),
        (None, ..) | (_, Ownership::Release, None) => return Ok(removed),
        (Some(after), Ownership::Release, Some(note)) if is_ours => match note.adopted.clone() {
            // It goes back to whom it was taken from, with everything that was noted of it.
            Some(theirs) => (after, Note { done: false, ..*theirs }),
            None => return give_back(&pipeline, note).await.map(|()| removed),
        },
        (Some(after), Ownership::Release, Some(_)) => {
            let to = Destination::of(session.cx, after, &job.inputs).await?;
            return Ok(outputs_of(&to));
        }
        (Some(after), _, note) => (after, pipeline.claim(mark, after, note).await?),
    };
    let to = Destination::of(session.cx, after, &job.inputs).await?;
    let plan = Note { spec: after.clone(), secret: secret_of(job, after), user: to.user.clone(), ..plan };
    set_up(&pipeline, plan, &to).await?;
    Ok(outputs_of(&to))
}

fn outputs_of(to: &Destination) -> Outputs {
    ExportOutputs { destination: Destination::words(&to.address, &to.topic, to.user.as_deref()) }.into()
}

fn conflict(pipeline: &Pipeline<'_, '_>, owner: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("cannot {}", pipeline.what))
        .with_source(format!("EdgeX has one export, which belongs to {owner}"))
        .with_help("several destinations need the bridge; settings of the gateway: { export: bridge }")
}

/// The secret of an export by its name and version, which tells when its value is another.
fn secret_of(job: &Job<Export>, after: &ExportSpec) -> Option<String> {
    match &after.target {
        ExportTarget::Server => job.inputs.server.as_ref().map(|server| server.credential.secret.to_string()),
        ExportTarget::Sink(sink) => sink.credentials.as_ref().map(ToString::to_string),
    }
}

/// Tells the application service what `note` says, unless it was told all of it before.
async fn set_up(pipeline: &Pipeline<'_, '_>, mut note: Note, to: &Destination) -> Result<()> {
    let (now, order) = (pipeline.parameters().await?, pipeline.order().await?);
    let wanted = parameters(to);
    let is_told = wanted.iter().all(|(name, value)| now.get(name) == Some(value));
    note.done = true;
    if is_told && sends(&order) && pipeline.note().await?.as_ref() == Some(&note) {
        return Ok(());
    }
    note.done = false;
    pipeline.write_note(&note).await?;
    if let (Some(user), Some(password)) = (&to.user, &to.password) {
        pipeline.write_login(user, password.expose()).await?;
    }
    pipeline.write_parameters(&note.mark, &now, wanted).await?;
    if !sends(&order) {
        pipeline.write_order(ORDER).await?;
    }
    note.done = true;
    pipeline.write_note(&note).await
}

/// Gives the pipeline what it was told before, but no client identity that it was connected with.
async fn give_back(pipeline: &Pipeline<'_, '_>, note: Note) -> Result<()> {
    let now = pipeline.parameters().await?;
    let mut before = note.before.clone();
    before.remove("ClientId");
    pipeline.write_order(&note.order).await?;
    pipeline.forget_login(&note).await?;
    if before.iter().any(|(name, value)| now.get(name) != Some(value)) {
        pipeline.write_parameters(&note.mark, &now, before).await?;
    }
    pipeline.configuration.remove_one(NOTE).await.map_err(pipeline.failed())
}

/// Gives the pipeline back if an export has it that goes another way by now.
pub(super) async fn leave(session: &Session<'_>, id: &ResourceId) -> Result<()> {
    let what = format!("give back what export \"{}\" had of EdgeX", id.name());
    let pipeline = Pipeline::open(session, what).await?;
    let mark = session.cx.mark(id).to_string();
    match pipeline.note().await? {
        Some(note) if note.mark == mark => give_back(&pipeline, note).await,
        _ => Ok(()),
    }
}

/// What is seen of the one export that there is.
pub(super) async fn look(
    session: &Session<'_>,
    scope: &Scope,
    known: &BTreeSet<ResourceId>,
) -> Result<Vec<(ResourceId, Observed)>> {
    let pipeline = Pipeline::open(session, "look at the export of EdgeX".to_owned()).await?;
    let (note, now) = (pipeline.note().await?, pipeline.parameters().await?);
    let all = |seen: Observed| known.iter().map(|id| (id.clone(), seen.clone())).collect();
    let Some(note) = note else {
        let by_hand = Observed::Foreign { owner: NOBODY.to_owned(), spec: None };
        return Ok(all(if is_by_hand(&now) { by_hand } else { Observed::Absent }));
    };
    let spec = seen(&note.spec, &now);
    let ours = Mark::parse(&note.mark)
        .filter(|mark| mark.installation == session.cx.installation && mark.resource.scope() == scope.root);
    let Some(mark) = ours else {
        // Whatever is wanted finds the only place taken. What sends to a server has a key that nobody else could give back.
        let spec = matches!(spec.target, ExportTarget::Sink(_)).then(|| spec.into());
        return Ok(all(Observed::Foreign { owner: note.mark, spec }));
    };
    let address = address_of(&now).unwrap_or(NetAddress { host: String::new(), port: 0, tls: false });
    let topic = now.get("Topic").cloned().unwrap_or_default();
    let destination = Destination::words(&address, &topic, note.user.as_deref());
    let health = if !note.done {
        Health::Degraded { reason: "the application service was not told everything".to_owned() }
    } else if !sends(&pipeline.order().await?) {
        let reason = format!("the application service has {FUNCTION} no more among what it does");
        Health::Degraded { reason }
    } else {
        Health::Ready
    };
    let outputs = ExportOutputs { destination };
    let present = Observed::Present { spec: spec.into(), outputs: outputs.into(), health };
    // So that a plan for another destination is refused, and not its run.
    let taken = Observed::Foreign { owner: note.mark, spec: None };
    let others = known.iter().filter(|id| **id != mark.resource).map(|id| (id.clone(), taken.clone()));
    Ok(others.chain([(mark.resource.clone(), present)]).collect())
}

/// What the export is made from, with what the service has of it put over it.
fn seen(spec: &ExportSpec, now: &Values) -> ExportSpec {
    match (&spec.target, address_of(now), now.get("Topic")) {
        (ExportTarget::Sink(sink), Some(endpoint), Some(topic)) => {
            let sink = Sink { endpoint, target: topic.clone(), ..sink.clone() };
            ExportSpec { name: spec.name.clone(), target: ExportTarget::Sink(sink) }
        }
        _ => spec.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_has_a_client_identity_of_its_own() {
        let of = |id: &str| next_client("a1/greenhouse/x", &[("ClientId".to_owned(), id.to_owned())].into());
        let first = of("MQTT-Export");
        assert!(first.starts_with("iotorch-") && first.ends_with("-1"), "{first}");
        assert!(of(&first).ends_with("-2"));
    }

    #[test]
    fn what_the_service_comes_with_is_nobodys_and_what_somebody_told_it_is_theirs() {
        let of = |broker: &str, topic: &str, login: &str, client: &str| {
            let values =
                [("BrokerAddress", broker), ("Topic", topic), ("AuthMode", login), ("ClientId", client)];
            is_by_hand(&values.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
        };
        let here = "tcp://localhost:1883";
        assert!(!of(here, "edgex-export", "none", "MQTT-Export"));
        assert!(!of("MQTT_BROKER_ADDRESS_PLACE_HOLDER", "edgex-events", "", ""));
        assert!(!is_by_hand(&Values::new()));
        assert!(of("tcp://hub.example:1883", "edgex-export", "none", "MQTT-Export"));
        assert!(of(here, "plant/1", "none", "MQTT-Export"));
        assert!(of(here, "edgex-export", "usernamepassword", "MQTT-Export"));
        assert!(!of("tcp://hub.example:1883", "plant/1", "none", "iotorch-1e593d5f-3"), "it was ours");
    }

    #[test]
    fn the_address_of_a_broker_is_read_as_it_was_written() {
        for (host, tls) in [("broker.example", false), ("10.0.0.1", true), ("fd00::1", false)] {
            let address = NetAddress { host: host.to_owned(), port: 1883, tls };
            let topic = "readings".to_owned();
            let values =
                parameters(&Destination { address: address.clone(), topic, user: None, password: None });
            assert_eq!(address_of(&values), Some(address));
        }
    }
}
