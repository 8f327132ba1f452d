//! Requests, as their methods, paths and queries say them
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris>).

use std::collections::BTreeMap;

use hyper::{HeaderMap, Method, Uri, header};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{kinds::Kind, refusal::Refusal, state::Deletion, store::Key};

/// A request on objects.
#[derive(Debug)]
pub struct Request {
    pub kind: &'static Kind,
    /// Empty for objects without one, and for all namespaces.
    pub namespace: String,
    /// Empty for all objects.
    pub name: String,
    pub subresource: Option<String>,
    pub method: Method,
    pub query: BTreeMap<String, String>,
    pub content_type: String,
    /// Who writes, if the query does not say so.
    agent: String,
    /// Whether only the metadata of objects is asked for.
    pub wants_metadata: bool,
}

/// What is asked, for faults and for those who want to know.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub verb: &'static str,
    pub kind: &'static Kind,
    pub namespace: &'a str,
    pub name: &'a str,
}

impl Request {
    pub fn read(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Self, Refusal> {
        let parts: Vec<String> = uri.path().split('/').filter(|part| !part.is_empty()).map(decoded).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Refusal::no_such_resource()),
        };
        let (namespace, plural, rest) = match rest {
            // A namespace itself, and what belongs to it alone.
            ["namespaces"] | ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => {
                ("", "namespaces", &rest[1..])
            }
            ["namespaces", namespace, plural, rest @ ..] => (*namespace, *plural, rest),
            [plural, rest @ ..] => ("", *plural, rest),
            [] => return Err(Refusal::no_such_resource()),
        };
        let kind = Kind::find(group, version, plural).ok_or_else(Refusal::no_such_resource)?;
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let agent = header(header::USER_AGENT).split('/').next().unwrap_or_default();
        Ok(Self {
            kind,
            namespace: namespace.to_owned(),
            name: rest.first().copied().unwrap_or_default().to_owned(),
            subresource: rest.get(1).copied().map(str::to_owned),
            method: method.clone(),
            query: pairs(uri.query().unwrap_or_default()),
            content_type: header(header::CONTENT_TYPE).split(';').next().unwrap_or_default().to_owned(),
            agent: if agent.is_empty() { "unknown".to_owned() } else { agent.to_owned() },
            wants_metadata: header(header::ACCEPT).contains("as=PartialObjectMetadata"),
        })
    }

    pub fn key(&self) -> Key {
        Key::new(self.kind, self.namespace.clone(), self.name.clone())
    }

    /// The namespace whose objects are meant; none for all.
    pub fn space(&self) -> Option<String> {
        Some(self.namespace.clone()).filter(|namespace| !namespace.is_empty())
    }

    pub fn query(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }

    pub fn is_set(&self, name: &str) -> bool {
        ["true", "1"].contains(&self.query(name))
    }

    pub fn manager(&self) -> &str {
        match self.query("fieldManager") {
            "" => &self.agent,
            manager => manager,
        }
    }

    /// As rights call it.
    pub fn verb(&self) -> &'static str {
        match (&self.method, self.name.is_empty()) {
            (&Method::GET, true) if self.is_set("watch") => "watch",
            (&Method::GET, true) => "list",
            (&Method::GET, false) => "get",
            (&Method::POST, _) => "create",
            (&Method::PUT, _) => "update",
            (&Method::PATCH, _) => "patch",
            (&Method::DELETE, true) => "deletecollection",
            (&Method::DELETE, false) => "delete",
            _ => "unknown",
        }
    }

    pub fn asked(&self) -> Asked<'_> {
        Asked { verb: self.verb(), kind: self.kind, namespace: &self.namespace, name: &self.name }
    }

    /// In words.
    pub fn words(&self) -> String {
        let Asked { verb, kind, namespace, name } = self.asked();
        let subresource = self.subresource.as_ref().map(|it| format!("/{it}")).unwrap_or_default();
        let place = match (namespace, name) {
            ("", "") => String::new(),
            ("", name) => format!(" {name}"),
            (namespace, "") => format!(" in {namespace}"),
            (namespace, name) => format!(" {namespace}/{name}"),
        };
        format!("{verb} {}{subresource}{place}", kind.plural)
    }
}

/// What the body of a delete asks for.
pub fn deletion(body: &Value, query: &BTreeMap<String, String>) -> Deletion {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let wanted = &body["preconditions"];
    let propagation = text(&body["propagationPolicy"]).or_else(|| query.get("propagationPolicy").cloned());
    let grace = body["gracePeriodSeconds"].as_i64();
    Deletion { uid: text(&wanted["uid"]), version: text(&wanted["resourceVersion"]), propagation, grace }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn pairs(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (decoded(name), decoded(&value.replace('+', " ")))).collect()
}
