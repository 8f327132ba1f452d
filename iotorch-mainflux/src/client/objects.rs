//! Things, which SuperMQ calls clients, and channels.

use super::{Account, Api, Call, Failure, Login, Made, Service, part};
use iotorch_core::secret::SecretValue;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Somebody who logs in with a key: a thing of Mainflux, a client of SuperMQ.
    Thing,
    /// What messages are sent to.
    Channel,
}

impl Sort {
    /// What a person calls it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Thing => "thing",
            Self::Channel => "channel",
        }
    }
}

/// A thing or a channel, as the server has it.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The key of a thing, where it is told.
    pub(crate) key: Option<SecretValue>,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) is_disabled: bool,
    /// How a thing is connected to the channel that was asked about; Mainflux knows of one way only.
    connections: Vec<String>,
}

impl Object {
    /// What was made just now.
    pub(crate) fn made(id: String, new: New) -> Self {
        let New { name, key, metadata, .. } = new;
        Self { id, name, key, metadata, is_disabled: false, connections: Vec::new() }
    }

    /// The same, as it is called now.
    pub(crate) fn renamed(&self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }
    }

    /// Whether a thing of a channel may both publish and subscribe there.
    fn is_fully_connected(&self, api: &Api) -> bool {
        let has = |word: &str| self.connections.iter().any(|type_| type_.eq_ignore_ascii_case(word));
        api.dialect.is_mainflux() || CONNECTIONS.iter().all(|word| has(word))
    }
}

/// How things are connected to channels.
const CONNECTIONS: [&str; 2] = ["publish", "subscribe"];

/// An object that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct New {
    /// The id, where the server lets it be chosen.
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    /// The key of a thing.
    pub(crate) key: Option<SecretValue>,
    pub(crate) metadata: Map<String, Value>,
}

#[derive(Deserialize)]
struct Wire {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    credentials: Option<Credentials>,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    connection_types: Vec<String>,
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    secret: Option<String>,
}

impl Api {
    /// The service, the path and the word of lists for objects of a sort.
    fn place(&self, account: &Account, sort: Sort) -> Result<(Service, String, &'static str), Failure> {
        if self.dialect.is_mainflux() {
            let word = if sort == Sort::Thing { "things" } else { "channels" };
            return Ok((Service::Things, format!("/{word}"), word));
        }
        let (service, word) = match sort {
            Sort::Thing => (Service::Clients, "clients"),
            Sort::Channel => (Service::Channels, "channels"),
        };
        Ok((service, format!("/{}/{word}", self.domain_of(account)?), word))
    }

    pub(super) fn domain_of<'a>(&self, account: &'a Account) -> Result<&'a str, Failure> {
        let missing = || Failure::Invalid("a request without a domain".to_owned());
        part(account.domain.as_deref().ok_or_else(missing)?)
    }

    /// Everything of a sort that the account has.
    pub(crate) async fn objects(&self, account: &Account, sort: Sort) -> Result<Vec<Object>, Failure> {
        let (service, path, word) = self.place(account, sort)?;
        let call = Call::get(service, path);
        self.listed(account, self.with_disabled(call), word).await
    }

    /// The things that are connected to a channel.
    pub(crate) async fn connected(&self, account: &Account, channel: &str) -> Result<Vec<Object>, Failure> {
        let call = if self.dialect.is_mainflux() {
            Call::get(Service::Things, format!("/channels/{}/things", part(channel)?))
        } else {
            let (service, path, _) = self.place(account, Sort::Thing)?;
            self.with_disabled(Call::get(service, path).with("channel", part(channel)?))
        };
        let word = if self.dialect.is_mainflux() { "things" } else { "clients" };
        let mut things = self.listed(account, call, word).await?;
        things.retain(|thing| thing.is_fully_connected(self));
        Ok(things)
    }

    /// SuperMQ lists only what is enabled, unless it is asked for all.
    pub(super) fn with_disabled(&self, call: Call) -> Call {
        if self.dialect.is_mainflux() { call } else { call.with("status", "all") }
    }

    async fn listed(&self, account: &Account, call: Call, word: &str) -> Result<Vec<Object>, Failure> {
        let service = call.service;
        self.list(account, &call, word).await?.into_iter().map(|entry| object(service, entry)).collect()
    }

    /// Makes an object. The refusal of one that may be there already is no failure: whoever calls looks again.
    pub(crate) async fn create(
        &self,
        account: &Account,
        sort: Sort,
        new: &New,
    ) -> Result<Made<String>, Failure> {
        let (service, path, _) = self.place(account, sort)?;
        let answer = self.call(account, &Call::post(service, path, self.body_of(new))).await?;
        match answer.status {
            201 => answer.made().map(Made::New),
            400 | 409 | 422 => Ok(Made::Refused(answer.failure())),
            403 => Err(self.forbidden(account, answer.failure()).await),
            _ => Err(answer.failure()),
        }
    }

    /// Makes several things in one request: all or none, except on Mainflux 0.13, which makes those before the one that it refuses.
    pub(crate) async fn create_things(&self, account: &Account, new: &[New]) -> Result<Made, Failure> {
        let (service, path, _) = self.place(account, Sort::Thing)?;
        let body = new.iter().map(|new| self.body_of(new)).collect();
        let answer = self.call(account, &Call::post(service, format!("{path}/bulk"), body)).await?;
        match answer.status {
            200 | 201 => Ok(Made::New(())),
            400 | 409 | 422 => Ok(Made::Refused(answer.failure())),
            _ => Err(answer.failure()),
        }
    }

    fn body_of(&self, new: &New) -> Value {
        let mut body = json!({ "name": new.name, "metadata": new.metadata });
        if let Some(id) = &new.id {
            body["id"] = json!(id);
        }
        if let Some(key) = &new.key {
            if self.dialect.is_mainflux() {
                body["key"] = json!(key.expose());
            } else {
                body["credentials"] = json!({ "secret": key.expose() });
            }
        }
        body
    }

    /// Puts the name and what is noted of an object in place.
    pub(crate) async fn update(
        &self,
        account: &Account,
        sort: Sort,
        id: &str,
        name: &str,
        metadata: &Map<String, Value>,
    ) -> Result<(), Failure> {
        let (service, path, _) = self.place(account, sort)?;
        let method = if self.dialect.is_mainflux() { Method::PUT } else { Method::PATCH };
        let call = Call::new(service, method, format!("{path}/{}", part(id)?))
            .with_body(json!({ "name": name, "metadata": metadata }));
        self.change(account, &call).await
    }

    /// Gives a thing another key.
    pub(crate) async fn change_key(
        &self,
        account: &Account,
        id: &str,
        key: &SecretValue,
    ) -> Result<(), Failure> {
        let (service, path, _) = self.place(account, Sort::Thing)?;
        let (word, id) = (if self.dialect.is_mainflux() { "key" } else { "secret" }, part(id)?);
        let call = Call::new(service, Method::PATCH, format!("{path}/{id}/{word}"));
        self.change(account, &call.with_body(json!({ word: key.expose() }))).await
    }

    /// Enables an object of SuperMQ, or disables it.
    pub(crate) async fn switch(
        &self,
        account: &Account,
        sort: Sort,
        id: &str,
        is_on: bool,
    ) -> Result<(), Failure> {
        let (service, path, _) = self.place(account, sort)?;
        let word = if is_on { "enable" } else { "disable" };
        let call = Call::new(service, Method::POST, format!("{path}/{}/{word}", part(id)?));
        match self.change(account, &call).await {
            // It may be so already. Up to 0.18.3 all refusals are in the same words, so it is looked at.
            Err(failure) if matches!(failure.status(), Some(409 | 422)) => {
                let objects = self.objects(account, sort).await?;
                let is_so = objects.iter().any(|object| object.id == id && object.is_disabled != is_on);
                if is_so { Ok(()) } else { Err(failure) }
            }
            done => done,
        }
    }

    /// Deletes an object. One that is not there counts as deleted, which SuperMQ says by 403.
    pub(crate) async fn delete(&self, account: &Account, sort: Sort, id: &str) -> Result<(), Failure> {
        let (service, path, word) = self.place(account, sort)?;
        let call = Call::new(service, Method::DELETE, format!("{path}/{}", part(id)?));
        let answer = self.call(account, &call).await?;
        match answer.status {
            204 | 404 => Ok(()),
            403 => {
                let all = self.listed(account, self.with_disabled(Call::get(service, path)), word).await?;
                let is_there = all.iter().any(|object| object.id == id);
                if is_there { Err(self.forbidden(account, answer.failure()).await) } else { Ok(()) }
            }
            _ => answer.success().map(drop),
        }
    }

    /// Connects a thing to a channel for publishing and subscribing; one that is connected stays so.
    pub(crate) async fn connect(&self, account: &Account, channel: &str, thing: &str) -> Result<(), Failure> {
        let (channel, thing) = (part(channel)?, part(thing)?);
        if self.dialect.is_mainflux() {
            let call = Call::new(Service::Things, Method::PUT, format!("/channels/{channel}/things/{thing}"));
            let answer = self.call(account, &call).await?;
            return match answer.status {
                409 => Ok(()),
                _ => answer.success().map(drop),
            };
        }
        match self.connect_for(account, channel, thing, &CONNECTIONS).await? {
            Made::New(()) => Ok(()),
            Made::Refused(failure) => {
                // One of the two may be there: each is asked for by itself.
                for word in CONNECTIONS {
                    self.connect_for(account, channel, thing, &[word]).await?;
                }
                let connected = self.connected(account, channel).await?;
                if connected.iter().any(|object| object.id == thing) { Ok(()) } else { Err(failure) }
            }
        }
    }

    /// Disconnects a thing from a channel; one that is not connected stays so.
    pub(crate) async fn disconnect(
        &self,
        account: &Account,
        channel: &str,
        thing: &str,
    ) -> Result<(), Failure> {
        let (channel, thing) = (part(channel)?, part(thing)?);
        if self.dialect.is_mainflux() {
            let path = format!("/channels/{channel}/things/{thing}");
            let answer = self.call(account, &Call::new(Service::Things, Method::DELETE, path)).await?;
            return match answer.status {
                404 => Ok(()),
                _ => answer.success().map(drop),
            };
        }
        let body = json!({ "channel_ids": [channel], "client_ids": [thing], "types": CONNECTIONS });
        let path = format!("/{}/channels/disconnect", self.domain_of(account)?);
        self.change(account, &Call::post(Service::Channels, path, body)).await
    }

    async fn connect_for(
        &self,
        account: &Account,
        channel: &str,
        thing: &str,
        types: &[&str],
    ) -> Result<Made, Failure> {
        let body = json!({ "channel_ids": [channel], "client_ids": [thing], "types": types });
        let path = format!("/{}/channels/connect", self.domain_of(account)?);
        let answer = self.call(account, &Call::post(Service::Channels, path, body)).await?;
        match answer.status {
            200 | 201 | 204 => Ok(Made::New(())),
            400 | 409 | 422 => Ok(Made::Refused(answer.failure())),
            403 => Err(self.forbidden(account, answer.failure()).await),
            _ => Err(answer.failure()),
        }
    }

    /// A change of an object that was seen.
    pub(super) async fn change(&self, account: &Account, call: &Call) -> Result<(), Failure> {
        let answer = self.call(account, call).await?;
        match answer.status {
            403 => Err(self.forbidden(account, answer.failure()).await),
            _ => answer.success().map(drop),
        }
    }

    /// What it means that SuperMQ forbids a user something in the user's own domain: it says so also while auth or SpiceDB
    /// is away, and then gives out no token either.
    pub(crate) async fn forbidden(&self, account: &Account, said: Failure) -> Failure {
        if self.dialect.is_mainflux() {
            return said;
        }
        match self.login(account).await {
            Ok(Login::Refused { is_certain: false }) => self.refused(account, false),
            Ok(_) => said,
            Err(failure) => failure,
        }
    }
}

fn object(service: Service, entry: Value) -> Result<Object, Failure> {
    let wire: Wire =
        serde_json::from_value(entry).map_err(|error| Failure::Unreadable(service, error.to_string()))?;
    let key = wire.key.or_else(|| wire.credentials.and_then(|credentials| credentials.secret));
    Ok(Object {
        id: wire.id,
        name: wire.name,
        key: key.map(SecretValue::new),
        metadata: wire.metadata.unwrap_or_default(),
        is_disabled: wire.status.is_some_and(|status| status != "enabled"),
        connections: wire.connection_types,
    })
}

/// An object, as a list of a server has it.
#[cfg(test)]
pub(crate) fn object_of(entry: Value) -> Object {
    object(Service::Things, entry).unwrap()
}
