//! The application service that exports over MQTT: what it makes of its configuration, and what it exports.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::{
    Config, Release, Service, about,
    answer::{Answer, Asked},
    exporter::{Exporter, Target},
    keeper::Keys,
    metadata::absent,
    outage::Loss,
    state::State,
    values,
    world::World,
};

/// Two changes of its pipeline within this time can end it.
const GAP: Duration = Duration::from_millis(300);

/// For how long after its first answer it hears of no change.
const DEAF: Duration = Duration::from_millis(750);

#[derive(Debug, Default)]
pub(crate) struct App {
    /// The part of its configuration that can change, as it tells it.
    pub(crate) shown: Value,
    secrets: Value,
    /// What its store of secrets has, in secure mode.
    stored: Value,
    /// The pipeline that it last took over, by the names in the keeper.
    processed: Value,
    /// The pipeline that runs; nothing where it could not be made.
    running: Option<Value>,
    changed: Option<Instant>,
    /// When it first answered.
    answered: Option<Instant>,
    exporter: Option<Exporter>,
    /// Clients of former configurations: nobody closes them.
    left: Vec<Exporter>,
}

impl App {
    /// As it is after a start.
    pub(crate) fn started(config: &Config, keys: &Keys) -> Self {
        let root = config.own_keys();
        let (secrets, pipeline) = written(&root, keys).unwrap_or_default();
        let mut app = Self { shown: about::writable(), ..Self::default() };
        app.show(&secrets, &lower(&pipeline));
        (app.secrets, app.processed) = (secrets, pipeline.clone());
        app.running = runnable(&pipeline);
        app
    }

    fn show(&mut self, secrets: &Value, pipeline: &Value) {
        // The password of the database does not come from the service's own configuration.
        let shared = self.shown["InsecureSecrets"]["DB"].clone();
        self.shown["InsecureSecrets"] = secrets.clone();
        self.shown["InsecureSecrets"]["DB"] = shared;
        self.shown["Pipeline"]["ExecutionOrder"] = pipeline["ExecutionOrder"].clone();
        self.shown["Pipeline"]["Functions"] = pipeline["Functions"].clone();
    }

    pub(crate) fn pinged(&mut self) {
        self.answered.get_or_insert_with(Instant::now);
    }

    /// The old client stays connected, and goes on to connect.
    fn leave(&mut self) {
        self.left.extend(self.exporter.take());
    }

    /// Whether it is connected to the broker that it exports to.
    pub(crate) fn is_connected(&self) -> bool {
        self.exporter.as_ref().is_some_and(Exporter::is_connected)
    }

    /// How many clients it has, with those of former configurations.
    pub(crate) fn clients(&self) -> usize {
        self.left.len() + usize::from(self.exporter.is_some())
    }
}

impl Config {
    /// What all keys begin with, in the keeper or in Consul.
    pub(crate) fn key_root(&self) -> &'static str {
        if self.release == Release::V3_1 { "edgex/v3/" } else { "edgex/v4/" }
    }

    /// What the keys of the application service begin with, as far as it looks at changes.
    fn own_keys(&self) -> String {
        format!("{}{}/Writable", self.key_root(), Service::AppMqttExport.name())
    }
}

/// Secrets and pipeline as they stand in the keeper; nothing where a key has a value and keys under it.
fn written(root: &str, keys: &Keys) -> Option<(Value, Value)> {
    let mut tree = json!({});
    for (key, value) in keys.under(root) {
        let mut place = &mut tree;
        for part in key[root.len()..].split('/').skip(1) {
            place = match place {
                Value::Object(fields) if !part.is_empty() => fields.entry(part).or_insert_with(|| json!({})),
                _ => return None,
            };
        }
        if *place != json!({}) {
            return None;
        }
        *place = value.value.as_str().into();
    }
    Some((tree["InsecureSecrets"].take(), tree["Pipeline"].take()))
}

/// The names of parameters are written small where a pipeline is made of them. Of two that so become the same, the one that was
/// not written small counts.
fn lower(pipeline: &Value) -> Value {
    let mut pipeline = pipeline.clone();
    for function in pipeline["Functions"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        let Some(parameters) = function["Parameters"].as_object() else { continue };
        let (small, other): (Vec<_>, Vec<_>) =
            parameters.iter().partition(|(name, _)| name.chars().all(|c| !c.is_uppercase()));
        let all = small.into_iter().chain(other);
        function["Parameters"] = all.map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
    }
    pipeline
}

/// The pipeline with small names, if all of its functions are there with their parameters.
fn runnable(pipeline: &Value) -> Option<Value> {
    let pipeline = lower(pipeline);
    let order = pipeline["ExecutionOrder"].as_str().unwrap_or_default();
    let mut functions = order.split(',').map(str::trim).filter(|name| !name.is_empty()).peekable();
    functions.peek()?;
    let complete = functions.all(|name| pipeline["Functions"][name]["Parameters"].is_object());
    let quality = &pipeline["Functions"]["MQTTExport"]["Parameters"]["qos"];
    (complete && quality.as_str().is_none_or(|text| text.parse::<u8>().is_ok())).then_some(pipeline)
}

/// Keys were written or removed: the service hears of it, if it is there and if they are its own.
pub(crate) fn changed(world: &World, state: &mut State, keys: &[String]) {
    let root = world.config.own_keys();
    let own = keys.iter().any(|key| key.starts_with(&root));
    if !own || world.is_bus_lost() || !world.runs(state, Service::AppMqttExport) {
        return;
    }
    if world.config.deaf_at_first && state.app.answered.is_none_or(|answered| answered.elapsed() < DEAF) {
        return;
    }
    // What cannot be read is ignored.
    let Some((secrets, pipeline)) = written(&root, &state.stored.keys) else { return };
    let app = &mut state.app;
    if secrets != app.secrets {
        // Nothing else of the same change is looked at, though all of it is shown.
        app.show(&secrets, &pipeline);
        app.secrets = secrets;
        app.leave();
    } else if pipeline != app.processed {
        let last = app.changed.replace(Instant::now());
        if world.config.strict_gap && last.is_some_and(|last| last.elapsed() < GAP) {
            world.lose(state, Loss::Killed(Service::AppMqttExport), true);
            return;
        }
        app.show(&secrets, &lower(&pipeline));
        app.running = runnable(&pipeline);
        app.processed = pipeline;
        app.leave();
    }
}

/// A secret that the service itself was given. What it tells of its pipeline stays as it is.
pub(crate) fn secret_set(state: &mut State, name: &str, pairs: &[(&str, &str)]) {
    let app = &mut state.app;
    for secrets in [&mut app.shown["InsecureSecrets"], &mut app.secrets] {
        secrets[name]["SecretName"] = name.into();
        for (key, value) in pairs {
            secrets[name]["SecretData"][*key] = (*value).into();
        }
    }
    app.leave();
}

/// As [`secret_set`], where there is a store of secrets.
pub(crate) fn store(state: &mut State, name: &str, pairs: &[(&str, &str)]) {
    for (key, value) in pairs {
        state.app.stored[name]["SecretData"][*key] = (*value).into();
    }
    state.app.leave();
}

/// Exports an event, or drops it.
pub(crate) fn take(world: &World, state: &mut State, event: &Value) {
    let app = &mut state.app;
    let Some(pipeline) = &app.running else { return };
    let event = values::rounded(event);
    let order = pipeline["ExecutionOrder"].as_str().unwrap_or_default();
    let text = |field: &str| event[field].as_str().unwrap_or_default();
    for name in order.split(',').map(str::trim) {
        let parameters = &pipeline["Functions"][name]["Parameters"];
        let parameter = |name: &str| parameters[name].as_str().unwrap_or_default();
        let filtered = match name {
            "FilterByDeviceName" => Some(("devicenames", "deviceName")),
            "FilterByProfileName" => Some(("profilenames", "profileName")),
            "FilterBySourceName" => Some(("sourcenames", "sourceName")),
            _ => None,
        };
        if let Some((names, field)) = filtered {
            let mut names =
                parameter(names).split(',').map(str::trim).filter(|name| !name.is_empty()).peekable();
            let none = names.peek().is_none();
            let listed = names.any(|name| name == text(field));
            if !none && listed == (parameter("filterout") == "true") {
                return;
            }
        }
        if name == "MQTTExport" {
            let topic = parameter("topic")
                .replace("{devicename}", text("deviceName"))
                .replace("{profilename}", text("profileName"))
                .replace("{sourcename}", text("sourceName"));
            let exporter = match &app.exporter {
                Some(exporter) => exporter,
                None => {
                    let is_secure = world.config.secure.is_some();
                    let secrets = if is_secure { &app.stored } else { &app.secrets };
                    let Some(target) = target(parameters, secrets) else { return };
                    app.exporter.insert(Exporter::start(world, &target))
                }
            };
            exporter.send(topic, event.to_string());
        }
    }
}

/// Where a pipeline exports to, if that can be read and the secret is there.
fn target(parameters: &Value, secrets: &Value) -> Option<Target> {
    let text = |name: &str| parameters[name].as_str().unwrap_or_default();
    let address = text("brokeraddress").strip_prefix("tcp://")?;
    let (host, port) = address.rsplit_once(':')?;
    let login = if text("authmode") == "usernamepassword" {
        let secret = &secrets[text("secretname")]["SecretData"];
        Some((secret["username"].as_str()?.to_owned(), secret["password"].as_str()?.to_owned()))
    } else {
        None
    };
    Some(Target {
        host: host.to_owned(),
        port: port.parse().ok()?,
        client_id: text("clientid").to_owned(),
        login,
        qos: text("qos").parse().unwrap_or_default(),
        retain: text("retain") == "true",
    })
}

/// What the application service answers besides what all do.
pub(crate) fn answer(asked: &Asked) -> Answer {
    let parts = asked.parts("/api/v3/").unwrap_or_default();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    absent(&parts, &[])
}
