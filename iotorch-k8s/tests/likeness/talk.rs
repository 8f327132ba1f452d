//! Questions to an API server, and what it answered.

use std::{collections::BTreeSet, time::Duration};

use http_body_util::BodyExt as _;
use hyper::{Method, Request, header};
use kube::{Client, client::Body};
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

use crate::fake;

/// How long something on a real cluster may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// How much of an answer has to be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Like {
    /// All of it.
    Whole,
    /// What the fake says, the real one says too; it may say more.
    Within,
    /// The code and the reason.
    Reason,
}

#[derive(Clone, Debug)]
struct Line {
    question: String,
    code: u16,
    answer: Value,
    like: Like,
}

/// A talk with an API server, in a namespace of its own.
pub(crate) struct Talk {
    client: Client,
    pub(crate) as_tester: Option<Client>,
    pub(crate) as_stranger: Option<Client>,
    pub(crate) fake: Option<fake::Cluster>,
    pub(crate) space: String,
    lines: Vec<Line>,
    versions: BTreeSet<String>,
}

/// An answer, not yet judged.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) json: Value,
    question: String,
}

impl Answer {
    /// It has to be an answer with this code, and with this reason (none for a success).
    #[track_caller]
    pub(crate) fn says(&self, code: u16, reason: &str) -> Value {
        let told = self.json["reason"].as_str().unwrap_or_default();
        assert!((self.code, told) == (code, reason), "{}: {} {}", self.question, self.code, self.json);
        self.json.clone()
    }
}

impl Talk {
    pub(crate) fn new(client: Client, space: String, fake: Option<fake::Cluster>) -> Self {
        Self {
            client,
            as_tester: None,
            as_stranger: None,
            fake,
            space,
            lines: Vec::new(),
            versions: BTreeSet::new(),
        }
    }

    /// Makes the namespace of the talk.
    pub(crate) async fn settle(&mut self) {
        let name = self.space.clone();
        self.ask(Method::POST, "/api/v1/namespaces", json!({ "metadata": { "name": name } }))
            .await
            .says(201, "");
        // A real one gets a ConfigMap with certificates, which is none of the talk's.
        if self.fake.is_none() {
            let there = format!("/api/v1/namespaces/{name}/configmaps/kube-root-ca.crt");
            self.until("the certificates are there", &there, |code, _| code == 200).await;
            let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
            self.until("the account is there", &account, |code, _| code == 200).await;
        }
    }

    /// Removes the namespace of the talk, however the talk went.
    pub(crate) async fn clean_up(&mut self) {
        let path = format!("/api/v1/namespaces/{}", self.space);
        let empty = json!({ "metadata": { "finalizers": [] } });
        for held in ["configmaps/held", "configmaps/owner"] {
            let held = format!("{path}/{held}");
            self.put(&self.client.clone(), Method::PATCH, &held, MERGE, &[], empty.clone()).await;
        }
        self.put(&self.client.clone(), Method::DELETE, &path, JSON, &[], Value::Null).await;
    }

    pub(crate) async fn ask(&mut self, method: Method, path: &str, body: Value) -> Answer {
        self.ask_like(Like::Whole, method, path, body).await
    }

    pub(crate) async fn ask_like(&mut self, like: Like, method: Method, path: &str, body: Value) -> Answer {
        self.ask_of(&self.client.clone(), like, method, path, JSON, &[], body).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.ask(Method::GET, path, Value::Null).await
    }

    pub(crate) async fn merge(&mut self, path: &str, body: Value) -> Answer {
        self.ask_of(&self.client.clone(), Like::Whole, Method::PATCH, path, MERGE, &[], body).await
    }

    pub(crate) async fn apply(&mut self, path: &str, body: Value) -> Answer {
        self.ask_of(&self.client.clone(), Like::Whole, Method::PATCH, path, APPLY, &[], body).await
    }

    pub(crate) async fn merge_like(&mut self, like: Like, path: &str, body: Value) -> Answer {
        self.ask_of(&self.client.clone(), like, Method::PATCH, path, MERGE, &[], body).await
    }

    pub(crate) async fn apply_like(&mut self, like: Like, path: &str, body: Value) -> Answer {
        self.ask_of(&self.client.clone(), like, Method::PATCH, path, APPLY, &[], body).await
    }

    #[allow(clippy::too_many_arguments, reason = "each is a part of a request")]
    pub(crate) async fn ask_of(
        &mut self,
        client: &Client,
        like: Like,
        method: Method,
        path: &str,
        content: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        let path = path.replace("{space}", &self.space);
        let text = body.to_string().replace("{space}", &self.space);
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let question = format!("{method} {} {}", self.words(&path), self.plain(&body));
        let (code, json) = self.put(client, method, &path, content, headers, body).await;
        let answer = self.plain(&json);
        self.lines.push(Line { question: question.clone(), code, answer, like });
        Answer { code, json, question }
    }

    async fn put(
        &mut self,
        client: &Client,
        method: Method,
        path: &str,
        content: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::USER_AGENT, "talk/1");
        if !content.is_empty() {
            request = request.header(header::CONTENT_TYPE, content);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let answer = client.send(request.body(Body::from(body)).unwrap()).await.unwrap();
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into()))
    }

    /// Asks until an answer is as it has to become. Nothing of this is compared.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        path: &str,
        holds: impl Fn(u16, &Value) -> bool,
    ) -> Value {
        let path = path.replace("{space}", &self.space);
        let client = self.client.clone();
        let mut last = Value::Null;
        let asking = async {
            loop {
                let (code, json) = self.put(&client, Method::GET, &path, "", &[], Value::Null).await;
                last.clone_from(&json);
                if holds(code, &json) {
                    return json;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let asked = timeout(PATIENCE, asking).await;
        asked.unwrap_or_else(|_| panic!("it does not come to it that {what}: {last}"))
    }

    /// The last question is another one each time, and its answer is compared in another way.
    pub(crate) fn forget_question(&mut self) {
        self.lines.pop();
    }

    /// Notes something that was found out, to be compared.
    pub(crate) fn note(&mut self, what: &str, like: Like, found: &Value) {
        let answer = self.plain(found);
        self.lines.push(Line { question: what.to_owned(), code: 0, answer, like });
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// An answer without what is another one each time.
    fn plain(&mut self, json: &Value) -> Value {
        self.note_versions(json);
        self.replaced("", json)
    }

    fn note_versions(&mut self, json: &Value) {
        match json {
            Value::Object(fields) => {
                if let Some(version) = fields.get("resourceVersion").and_then(Value::as_str) {
                    self.versions.insert(version.to_owned());
                }
                fields.values().for_each(|value| self.note_versions(value));
            }
            Value::Array(items) => items.iter().for_each(|item| self.note_versions(item)),
            _ => {}
        }
    }

    fn replaced(&self, name: &str, json: &Value) -> Value {
        match (name, json) {
            ("resourceVersion", Value::String(_)) => "VERSION".into(),
            ("clusterIP" | "podIP" | "hostIP" | "nodeName", Value::String(_)) => name.to_uppercase().into(),
            ("clusterIPs" | "podIPs" | "hostIPs", Value::Array(_)) => name.to_uppercase().into(),
            ("continue", Value::String(_)) => "CONTINUE".into(),
            ("nodePort", Value::Number(_)) => "NODEPORT".into(),
            ("managedFields", Value::Array(entries)) => {
                let mut entries: Vec<Value> = entries.iter().map(|entry| self.owner(entry)).collect();
                // What is written in the same moment comes in any order.
                entries.retain(|entry| entry["fieldsV1"] != json!({}));
                entries.sort_by_key(Value::to_string);
                entries.into()
            }
            (_, Value::Object(fields)) => {
                let fields = fields.iter().map(|(name, value)| (name.clone(), self.replaced(name, value)));
                let is_told =
                    |(name, value): &(String, Value)| name != "managedFields" || *value != json!([]);
                Value::Object(fields.filter(is_told).collect())
            }
            (_, Value::Array(items)) => items.iter().map(|item| self.replaced("", item)).collect(),
            (_, Value::String(text)) => self.words(text).into(),
            (_, other) => other.clone(),
        }
    }

    fn owner(&self, entry: &Value) -> Value {
        let mut entry = self.replaced("", entry);
        entry["fieldsV1"] = without_dots(&entry["fieldsV1"]);
        entry
    }

    fn words(&self, text: &str) -> String {
        if is_time(text) {
            return "TIME".to_owned();
        }
        let mut text = text.replace(&self.space, "SPACE");
        while let Some(at) = (0..text.len()).find(|at| text.get(*at..*at + 36).is_some_and(is_uid)) {
            text.replace_range(at..at + 36, "UID");
        }
        for version in &self.versions {
            text = text.replace(&format!("({version})"), "(VERSION)");
        }
        text
    }
}

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

fn is_time(text: &str) -> bool {
    text.len() == 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T'
}

fn is_uid(text: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    text.bytes().enumerate().all(|(at, byte)| match dashes.contains(&at) {
        true => byte == b'-',
        false => byte.is_ascii_hexdigit(),
    })
}

/// Who owns which field is compared, and not who has made the maps that they are in.
fn without_dots(fields: &Value) -> Value {
    let Value::Object(fields) = fields else { return fields.clone() };
    let inner = fields
        .iter()
        .filter(|(name, _)| *name != ".")
        .map(|(name, value)| (name.clone(), without_dots(value)));
    let is_hollow = |name: &str, value: &Value| {
        // A map of which every field belongs to somebody else by now.
        *value == json!({}) && ["f:data", "f:labels", "f:annotations"].contains(&name)
    };
    Value::Object(inner.filter(|(name, value)| !is_hollow(name, value)).collect::<Map<_, _>>())
}

/// Whether two talks went the same way; else where they differ.
pub(crate) fn compare(ours: &Talk, theirs: &Talk) -> Result<(), String> {
    let mut found = Vec::new();
    for (our, their) in ours.lines.iter().zip(&theirs.lines) {
        if our.question != their.question {
            found.push(format!(
                "they were asked something else:\n  fake: {}\n  real: {}",
                our.question, their.question
            ));
            break;
        }
        let mut differences = Vec::new();
        differ("code", &our.code.into(), &their.code.into(), true, &mut differences);
        let (ours, theirs) = match our.like {
            Like::Reason => (&our.answer["reason"], &their.answer["reason"]),
            _ => (&our.answer, &their.answer),
        };
        differ("", ours, theirs, our.like != Like::Within, &mut differences);
        if !differences.is_empty() {
            found.push(format!("{}{}", our.question, differences.concat()));
        }
    }
    if ours.lines.len() != theirs.lines.len() {
        found.push(format!(
            "the fake gave {} answers, the real one {}",
            ours.lines.len(),
            theirs.lines.len()
        ));
    }
    if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
}

fn differ(at: &str, ours: &Value, theirs: &Value, is_whole: bool, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(our), Value::Object(their)) => {
            let names: BTreeSet<&String> = our.keys().chain(their.keys()).collect();
            for name in names {
                match (our.get(name), their.get(name)) {
                    (None, Some(_)) if !is_whole => {}
                    (our, their) => {
                        let [our, their] = [our, their].map(|value| value.unwrap_or(&Value::Null));
                        differ(&format!("{at}/{name}"), our, their, is_whole, found);
                    }
                }
            }
        }
        (Value::Array(our), Value::Array(their)) if is_whole && our.len() == their.len() => {
            for (index, (our, their)) in our.iter().zip(their).enumerate() {
                differ(&format!("{at}/{index}"), our, their, is_whole, found);
            }
        }
        (Value::Array(our), Value::Array(their)) if !is_whole => {
            // In any order.
            for (index, our) in our.iter().enumerate() {
                let best = their.iter().map(|their| {
                    let mut found = Vec::new();
                    differ(&format!("{at}/{index}"), our, their, is_whole, &mut found);
                    found
                });
                let missing = vec![format!("\n  {at}/{index}: fake {our}, real nothing")];
                found.extend(best.min_by_key(Vec::len).unwrap_or(missing));
            }
        }
        (ours, theirs) if ours == theirs => {}
        (ours, theirs) => found.push(format!("\n  {at}: fake {ours}, real {theirs}")),
    }
}
