//! Playing a transcript: each of its lines is asked, and compared.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, time::Duration};

use futures::future::join_all;
use iotorch_mainflux_fake::{Config, Fake, Release, Service};
use iotorch_transcript::{Answer, Line, Replay, Request, Response, call};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::client::{Client, mosquitto_pub, told_raw};

/// What happened that no line tells.
pub(crate) trait Scenario {
    /// What happened before a line.
    async fn before(&mut self, play: &mut Play, line: &Line);

    /// Does what a line of several calls or of a measurement did; none is told where it cannot be compared.
    async fn measure(&mut self, play: &mut Play, line: &Line) -> Option<Answer>;
}

/// What of a line cannot be compared, and why: the line by name or, with `*` at the end, by the begin of it; the field, or `ALL`.
pub(crate) type Exception = (&'static str, &'static str, &'static str);

/// Instead of a field: nothing of a line can be compared.
pub(crate) const ALL: &str = "";

/// Why what was measured cannot be compared.
pub(crate) const NEEDS: &str = "it is time or memory that the real service needs";

/// A line of MQTT, how many steps of it were done before, and the lines that were asked in the midst of it though they stand before it.
pub(crate) type Midst = (&'static str, usize, &'static [&'static str]);

/// A transcript that is played.
pub(crate) struct Play {
    pub(crate) fake: Fake,
    pub(crate) release: Release,
    pub(crate) lines: Vec<Line>,
    pub(crate) http: reqwest::Client,
    replay: Replay,
    exceptions: &'static [Exception],
    midst: &'static [Midst],
    /// Keys of things by their identities.
    keys: BTreeMap<String, String>,
    compared: usize,
    differences: Vec<String>,
}

impl Play {
    pub(crate) async fn start(
        config: Config,
        release: Release,
        exceptions: &'static [Exception],
        midst: &'static [Midst],
    ) -> Self {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../transcripts/{}.jsonl", release.name()));
        let lines = iotorch_transcript::read(&fs::read_to_string(file).unwrap()).unwrap();
        let replay = Replay::new(move |line, field| {
            exceptions.iter().any(|(name, its, _)| is_named(&line.name, name) && *its == field)
        });
        for (name, ..) in exceptions {
            assert!(lines.iter().any(|line| is_named(&line.name, name)), "no line is called {name}");
        }
        // A client has to know a provider, though none of it is used. It may be there already.
        _ = rustls::crypto::ring::default_provider().install_default();
        let mut keys = BTreeMap::new();
        lines.iter().for_each(|line| find_keys(&line.response.body, &mut keys));
        Self {
            fake: Fake::start(config).await.unwrap(),
            release,
            lines,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            replay,
            exceptions,
            midst,
            keys,
            compared: 0,
            differences: Vec::new(),
        }
    }

    /// Plays all lines.
    pub(crate) async fn run(mut self, mut scenario: impl Scenario) {
        let lines = self.lines.clone();
        let mut incomparable = 0;
        for (number, line) in lines.iter().enumerate() {
            if self.is_in_the_midst(&line.name) {
                continue;
            }
            scenario.before(&mut self, line).await;
            let answer = if is_single(line) {
                Some(self.ask(line).await)
            } else {
                scenario.measure(&mut self, line).await
            };
            let is_excepted = self
                .exceptions
                .iter()
                .any(|(name, field, why)| *field == ALL && is_named(&line.name, name) && !why.is_empty());
            match answer {
                Some(answer) => self.compare(number, line, answer),
                None if is_excepted => incomparable += 1,
                None => panic!("{} is not compared, and nothing says why", line.name),
            }
        }
        let differences = self.differences.join("\n");
        assert!(differences.is_empty(), "{} differences:\n{differences}", self.differences.len());
        assert_eq!(self.compared + incomparable, lines.len(), "each line is compared, or says why not");
    }

    fn compare(&mut self, number: usize, line: &Line, answer: Answer) {
        self.compared += 1;
        let answer = Answer { body: shortened(&line.response.body, answer.body), ..answer };
        if let Err(why) = self.replay.judge(line, &answer) {
            self.differences.push(format!("line {} {}: {why}", number + 1, line.name));
        }
    }

    fn is_in_the_midst(&self, name: &str) -> bool {
        self.midst.iter().any(|(_, _, lines)| lines.contains(&name))
    }

    /// The line with this name.
    pub(crate) fn line(&self, name: &str) -> Line {
        self.lines.iter().find(|line| line.name == name).unwrap().clone()
    }

    /// Asks what no line tells, and notes what of the answer is referred to later: it is as if `recorded` had been its line.
    pub(crate) async fn also(
        &mut self,
        service: &str,
        method: &str,
        path: &str,
        token: &str,
        body: Value,
    ) -> Value {
        self.also_as(service, method, path, token, body, &Value::Null).await
    }

    /// The same, where the body was `recorded` by what later lines say.
    pub(crate) async fn also_as(
        &mut self,
        service: &str,
        method: &str,
        path: &str,
        token: &str,
        body: Value,
        recorded: &Value,
    ) -> Value {
        let mut headers = BTreeMap::from([("Content-Type".to_owned(), json!("application/json"))]);
        if !token.is_empty() {
            headers.insert("Authorization".to_owned(), json!(token));
        }
        let request = Request { method: method.to_owned(), path: path.to_owned(), headers, body };
        let response = Response { status: None, headers: BTreeMap::new(), body: Value::Null };
        let mut line = Line {
            name: "not recorded".to_owned(),
            service: service.to_owned(),
            request,
            response,
            note: String::new(),
        };
        let answer = self.ask(&line).await;
        assert!(answer.status.is_some_and(|it| it < 300), "{method} {path}: {answer:?}");
        if !recorded.is_null() {
            line.response =
                Response { status: answer.status, headers: BTreeMap::new(), body: recorded.clone() };
            self.replay.judge(&line, &answer).unwrap();
        }
        answer.body
    }

    /// What stands here for a token that was recorded.
    pub(crate) fn here(&mut self, token: &str) -> String {
        let mut line = self.lines[0].clone();
        line.request.path = token.to_owned();
        self.replay.question(&line).path
    }

    /// Asks a line.
    pub(crate) async fn ask(&mut self, line: &Line) -> Answer {
        let question = self.replay.question(line);
        match line.request.method.as_str() {
            "mosquitto_pub" => mosquitto_pub(self.mqtt(line), &question).await,
            "MQTT 3.1.1" => self.ask_raw(line, &question).await,
            _ => {
                let identities = self.identities(line);
                self.fake.choose_identities(identities);
                let base = self.fake.url(service(&line.service));
                match call(&self.http, &base, &question).await {
                    Ok(answer) => answer,
                    Err(error) => {
                        assert!(error.is_connect(), "{}: {error}", line.name);
                        let body = json!("client error: ConnectionRefusedError(111, 'Connection refused')");
                        Answer { status: Some(0), headers: BTreeMap::new(), body }
                    }
                }
            }
        }
    }

    /// Where a client of MQTT connects: Magistrala has a port of its own for MQTT 5.
    fn mqtt(&self, line: &Line) -> SocketAddr {
        let is_v5 = line.request.headers.get("args").is_some_and(|args| args.to_string().contains("mqttv5"));
        let is_other = line.name.contains("_on_");
        let service = match self.fake.address(Service::MqttV5) {
            Some(_) if is_v5 != is_other => Service::MqttV5,
            _ => Service::Mqtt,
        };
        self.fake.address(service).unwrap()
    }

    async fn ask_raw(&mut self, line: &Line, question: &Request) -> Answer {
        let text = |name: &str| question.headers[name].as_str();
        let id = text("client_id").unwrap();
        let mut client = Client::connect(self.mqtt(line), 4, id, text("username"), text("password")).await;
        let midst = self.midst.iter().find(|(name, ..)| *name == line.name);
        for (done, step) in question.body.as_array().into_iter().flatten().enumerate() {
            if client.code() != Some(0) || !client.is_open() {
                break;
            }
            if let Some((_, _, names)) = midst.filter(|(_, after, _)| *after == done) {
                for name in *names {
                    let number = self.lines.iter().position(|line| line.name == *name).unwrap();
                    let line = self.lines[number].clone();
                    let answer = Box::pin(self.ask(&line)).await;
                    self.compare(number, &line, answer);
                }
            }
            let qos = |at: usize| u8::try_from(step[at].as_u64().unwrap()).unwrap();
            let text = |at: usize| step[at].as_str().unwrap();
            match text(0) {
                "pub" => client.publish(text(1), text(2), qos(3), false).await,
                "sub" => client.subscribe(text(1), qos(2)).await,
                "ping" => client.ping().await,
                "wait" => client.take_all().await,
                // It always ends so.
                "disc" => {}
                other => panic!("{other} is no step"),
            }
        }
        client.disconnect().await;
        told_raw(&client)
    }

    /// The identities that were made by a call, in the order in which they are made: that of a thing, then its key if none was told.
    fn identities(&self, line: &Line) -> Vec<String> {
        let (request, response) = (&line.request, &line.response);
        let is_bulk = request.path.ends_with("/bulk") && response.status.is_some_and(|status| status < 300);
        if request.method != "POST" || !is_bulk && response.status != Some(201) {
            return Vec::new();
        }
        let asked: Value = match &request.body {
            Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
            other => other.clone(),
        };
        let mut made = Vec::new();
        let items = ["things", "channels", "clients"].iter().find_map(|name| response.body[name].as_array());
        if let Some(items) = items {
            for (item, asked) in items.iter().zip(asked.as_array().into_iter().flatten()) {
                let id = item["id"].as_str().unwrap_or_default();
                self.identities_of(id, item, asked, &request.path, &mut made);
            }
        } else if let Some(id) = response.body["id"].as_str() {
            self.identities_of(id, &response.body, &asked, &request.path, &mut made);
        } else if let Some(at) = response.headers.get("Location") {
            let id = at.rsplit('/').next().unwrap_or_default();
            self.identities_of(id, &Value::Null, &asked, &request.path, &mut made);
        }
        made
    }

    fn identities_of(&self, id: &str, told: &Value, asked: &Value, path: &str, made: &mut Vec<String>) {
        // SuperMQ takes identities that are told, but for those of users.
        if self.release.is_mainflux() || asked["id"] != id {
            made.push(id.to_owned());
        }
        let has_key = path.contains("/things") || path.contains("/clients");
        if has_key && key(asked).is_none_or(str::is_empty) {
            let unknown = format!("00000000-0000-4000-8000-2000{:08}", self.compared);
            let known = key(told).map(str::to_owned).or_else(|| self.keys.get(id).cloned());
            made.push(known.unwrap_or(unknown));
        }
    }
}

/// The key of a thing, or the secret of a client.
fn key(item: &Value) -> Option<&str> {
    item.get("key").or_else(|| item.get("credentials")?.get("secret"))?.as_str()
}

/// Whether a line is one call.
fn is_single(line: &Line) -> bool {
    let method = line.request.method.as_str();
    method != "MEASURE" && !method.contains(" x")
}

fn is_named(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == pattern,
    }
}

/// The service that a line calls so.
pub(crate) fn service(name: &str) -> Service {
    let name = match name {
        "re" => "rules",
        "mqttws" => "mqtt-ws",
        "things_auth" => "things-auth",
        other => other,
    };
    Service::ALL.into_iter().find(|service| service.name() == name).unwrap()
}

/// Notes keys of things and secrets of clients, the first that each had.
fn find_keys(value: &Value, keys: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            if let (Some(Value::String(id)), Some(key)) = (fields.get("id"), key(value)) {
                keys.entry(id.clone()).or_insert_with(|| key.to_owned());
            }
            fields.values().for_each(|value| find_keys(value, keys));
        }
        Value::Array(items) => items.iter().for_each(|value| find_keys(value, keys)),
        _ => {}
    }
}

/// An answer with that left out which is left out of the recorded one.
fn shortened(recorded: &Value, here: Value) -> Value {
    match (recorded, here) {
        (Value::Array(recorded), Value::Array(mut here)) => {
            if let Some(at) = recorded.iter().position(|item| left_out(item).is_some()) {
                let count = left_out(&recorded[at]).unwrap();
                if here.len() == recorded.len() - 1 + count {
                    here.splice(at..at + count, [recorded[at].clone()]);
                }
            }
            let shorten = |(at, item): (usize, Value)| match recorded.get(at) {
                Some(recorded) => shortened(recorded, item),
                None => item,
            };
            here.into_iter().enumerate().map(shorten).collect()
        }
        (Value::Object(recorded), Value::Object(here)) => {
            let shorten = |(name, value): (String, Value)| match (recorded.get(&name), value) {
                // Actions come in another order each time: they are counted.
                (Some(Value::Number(_)), Value::Array(items)) if name == "actions" => {
                    (name, json!(items.len()))
                }
                (Some(recorded), value) => (name, shortened(recorded, value)),
                (None, value) => (name, value),
            };
            Value::Object(here.into_iter().map(shorten).collect())
        }
        (_, here) => here,
    }
}

/// How many items a mark such as `… 90 more` stands for.
pub(crate) fn left_out(item: &Value) -> Option<usize> {
    item.as_str()?.strip_prefix("… ")?.strip_suffix(" more")?.parse().ok()
}

/// Asks the same many times at once, and tells the statuses, those that went well first.
pub(crate) async fn at_once(
    play: &mut Play,
    line: &Line,
    path: &str,
    token: &str,
    body: &Value,
    count: usize,
) -> Answer {
    let token = play.here(token);
    let mut request = line.request.clone();
    request.method = line.request.method.split_once(" x").unwrap().0.to_owned();
    path.clone_into(&mut request.path);
    request.headers.insert("Authorization".to_owned(), json!(token));
    request.headers.insert("Content-Type".to_owned(), json!("application/json"));
    request.body = body.clone();
    let base = play.fake.url(service(&line.service));
    let answers = join_all((0..count).map(|_| call(&play.http, &base, &request))).await;
    let mut statuses: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().status.unwrap()).collect();
    statuses.sort_unstable();
    Answer { status: Some(200), headers: Default::default(), body: json!(statuses) }
}

/// When the clock of a fake starts: near to when Mainflux was recorded, as one of its lists has messages with and without a time.
pub(crate) fn start() -> Timestamp {
    Timestamp::from_second(1_795_409_449).unwrap()
}

/// Time that passes for the services.
pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
