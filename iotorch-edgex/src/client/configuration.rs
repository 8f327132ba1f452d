//! Where the services of EdgeX have their configuration: core-keeper (4.0), or Consul (3.x).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use super::{Body, Result, Service};
use crate::error::Failure;

/// The shortest time between two changes that the application service has to take in: with less it can crash, as it
/// writes to a map from two places (app-functions-sdk 4.0).
const GAP: Duration = Duration::from_millis(300);

/// For how long after it first answers the application service hears of no change (EdgeX 4.0.2).
const DEAF: Duration = Duration::from_millis(750);

/// When the configuration behind an address can be changed next.
#[derive(Debug, Default)]
pub(crate) struct Gap(Mutex<Option<Instant>>);

/// Values by their keys, which are paths below the one that was asked for.
pub(crate) type Values = BTreeMap<String, String>;

/// The configuration of services.
#[derive(Clone, Debug)]
pub(crate) enum Configuration {
    /// core-keeper.
    Keeper(Arc<Service>, Arc<Gap>),
    /// Consul.
    Consul(Arc<Service>, Arc<Gap>),
}

impl Configuration {
    /// The key that the configuration of all services is below.
    pub(crate) const fn root(&self) -> &'static str {
        match self {
            Self::Keeper(..) => "edgex/v4",
            Self::Consul(..) => "edgex/v3",
        }
    }

    /// The values below a key; none where there is no such key.
    pub(crate) async fn read(&self, key: &str) -> Result<Values> {
        let (service, found): (_, Option<Value>) = match self {
            Self::Keeper(service, _) => {
                (service, service.find(&format!("/api/v3/kvs/key/{key}?plaintext=true")).await?)
            }
            Self::Consul(service, _) => (service, service.find(&format!("/v1/kv/{key}?recurse=true")).await?),
        };
        let Some(found) = found else { return Ok(Values::new()) };
        let read = match self {
            Self::Keeper(..) => found["response"]
                .as_array()
                .and_then(|pairs| pairs.iter().map(|pair| keeper_pair(key, pair)).collect()),
            Self::Consul(..) => {
                found.as_array().and_then(|pairs| pairs.iter().map(|pair| consul_pair(key, pair)).collect())
            }
        };
        let values: Option<Values> = read;
        // What it holds can be secret, so it is not shown.
        let mut values =
            values.ok_or_else(|| Failure::strange(service.name(), 200, "a key without a readable value"))?;
        // A key that only begins alike is another.
        values.retain(|name, _| name.is_empty() || name.starts_with('/'));
        Ok(values.into_iter().map(|(name, value)| (name.trim_start_matches('/').to_owned(), value)).collect())
    }

    /// Sets values below a key in one request, and leaves others alone.
    pub(crate) async fn write(&self, key: &str, values: &Values) -> Result<()> {
        match self {
            Self::Keeper(..) => {
                let body = json!({ "value": nested(values) });
                let path = format!("/api/v3/kvs/key/{key}?flatten=true");
                self.change(Method::PUT, &path, Body::Json(&body)).await
            }
            Self::Consul(..) => {
                let set = |(name, value): (&String, &String)| json!({ "KV": { "Verb": "set", "Key": format!("{key}/{name}"), "Value": STANDARD.encode(value) } });
                let body = values.iter().map(set).collect();
                self.change(Method::PUT, "/v1/txn", Body::Json(&body)).await
            }
        }
    }

    /// Sets one value.
    pub(crate) async fn write_one(&self, key: &str, value: &str) -> Result<()> {
        match self {
            Self::Keeper(..) => {
                let body = json!({ "value": value });
                self.change(Method::PUT, &self.path_of(key), Body::Json(&body)).await
            }
            Self::Consul(..) => self.change(Method::PUT, &self.path_of(key), Body::Text(value)).await,
        }
    }

    /// Removes one value.
    pub(crate) async fn remove_one(&self, key: &str) -> Result<()> {
        self.change(Method::DELETE, &self.path_of(key), Body::None).await
    }

    /// Removes all values below a key.
    pub(crate) async fn remove_all(&self, key: &str) -> Result<()> {
        let path = self.path_of(key);
        let path = match self {
            Self::Keeper(..) => format!("{path}?prefixMatch=true"),
            // To Consul a key that only begins alike is below it too.
            Self::Consul(..) => format!("{path}/?recurse=true"),
        };
        self.change(Method::DELETE, &path, Body::None).await
    }

    fn path_of(&self, key: &str) -> String {
        match self {
            Self::Keeper(..) => format!("/api/v3/kvs/key/{key}"),
            Self::Consul(..) => format!("/v1/kv/{key}"),
        }
    }

    /// Makes a change when it is its turn. What is to be removed may be gone.
    async fn change(&self, method: Method, path: &str, body: Body<'_>) -> Result<()> {
        let (Self::Keeper(service, gap) | Self::Consul(service, gap)) = self;
        let _turn = gap.turn().await;
        match method {
            Method::DELETE => service.remove(path).await,
            method => service.good(method, path, body).await.map(drop),
        }
    }
}

impl Gap {
    /// The turn to make a change, once the last one is taken in.
    async fn turn(&self) -> Turn<'_> {
        let next = self.0.lock().await;
        if let Some(next) = *next {
            tokio::time::sleep_until(next).await;
        }
        Turn(next)
    }

    /// The application service has answered, and may have started just now.
    pub(crate) async fn answered(&self) {
        let mut next = self.0.lock().await;
        *next = (*next).max(Some(Instant::now() + DEAF));
    }
}

/// Whoever has it makes a change; the next one waits from when it is dropped.
struct Turn<'a>(MutexGuard<'a, Option<Instant>>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0 = Some(Instant::now() + GAP);
    }
}

fn keeper_pair(key: &str, pair: &Value) -> Option<(String, String)> {
    let name = pair["key"].as_str()?.strip_prefix(key)?.to_owned();
    let value = match &pair["value"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Some((name, value))
}

fn consul_pair(key: &str, pair: &Value) -> Option<(String, String)> {
    let name = pair["Key"].as_str()?.strip_prefix(key)?.to_owned();
    let value = match pair["Value"].as_str() {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?,
        None => String::new(),
    };
    Some((name, value))
}

/// Values by paths as the objects in objects that `flatten` takes apart again.
fn nested(values: &Values) -> Value {
    let mut root = Map::new();
    for (path, value) in values {
        let mut at = &mut root;
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                at.insert(name.to_owned(), json!(value));
                break;
            }
            let inner = at.entry(name).or_insert_with(|| json!({}));
            let Value::Object(inner) = inner else { break };
            at = inner;
        }
    }
    Value::Object(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_objects_in_objects() {
        let values = [("SecretName", "mqtt"), ("SecretData/username", "u"), ("SecretData/password", "p")];
        let values = values.map(|(path, value)| (path.to_owned(), value.to_owned())).into();
        let expected = json!({ "SecretName": "mqtt", "SecretData": { "username": "u", "password": "p" } });
        assert_eq!(nested(&values), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn between_two_changes_there_is_a_gap() {
        let gap = Gap::default();
        let begun = Instant::now();
        for _ in 0..3 {
            drop(gap.turn().await);
        }
        assert_eq!(begun.elapsed(), 2 * GAP);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_may_have_started_just_now_is_told_nothing_yet() {
        let gap = Gap::default();
        let begun = Instant::now();
        gap.answered().await;
        drop(gap.turn().await);
        assert_eq!(begun.elapsed(), DEAF);
        drop(gap.turn().await);
        assert_eq!(begun.elapsed(), DEAF + GAP);
    }
}
