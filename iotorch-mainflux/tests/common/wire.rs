//! What a person does at a server with a client of HTTP.

use super::{ADMIN, ADMIN_PASSWORD, World};
use iotorch_core::{resource::NetAddress, secret::SecretStore};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// A client of HTTP.
fn client() -> Client {
    // It asks for TLS even where it speaks none.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    Client::builder().no_proxy().tls_backend_preconfigured(tls).build().unwrap()
}

/// A person at a server.
pub struct Person {
    http: Client,
    endpoints: BTreeMap<String, NetAddress>,
    authorization: String,
    is_mainflux: bool,
    /// Where what belongs to somebody is, in a path.
    domain: String,
}

/// Everything that there is, by its name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    pub things: Vec<String>,
    pub channels: Vec<String>,
    pub rules: Vec<String>,
}

impl Person {
    async fn new(world: &World, login: &str, password: &str) -> Self {
        let mut person = Self {
            http: client(),
            endpoints: world.place.endpoints.clone(),
            authorization: String::new(),
            is_mainflux: world.place.is_mainflux,
            domain: String::new(),
        };
        let answer = if person.is_mainflux {
            person
                .send("users", Method::POST, "/tokens", json!({ "email": login, "password": password }))
                .await
        } else {
            let body = json!({ "username": login, "password": password });
            person.send("users", Method::POST, "/users/tokens/issue", body).await
        };
        assert_eq!(answer.0, 201, "{login}: {}", answer.1);
        let token = answer.1.get("token").or_else(|| answer.1.get("access_token")).unwrap();
        let prefix = if world.application().version.starts_with("0.12") { "" } else { "Bearer " };
        person.authorization = format!("{prefix}{}", token.as_str().unwrap());
        person
    }

    /// The administrator.
    pub async fn admin(world: &World) -> Self {
        let (login, password) = world.place.admin.split_once(':').unwrap_or((ADMIN, ADMIN_PASSWORD));
        Self::new(world, login, password).await
    }

    /// The user of the tenant.
    pub async fn tenant(world: &World) -> Self {
        let tenant = world.tenant_outputs();
        let password = world.secrets.fetch(&tenant.secret).await.unwrap();
        let mut person = Self::new(world, &tenant.id, password.expose()).await;
        if !person.is_mainflux {
            let (status, listed) =
                person.send("domains", Method::GET, "/domains?limit=100", Value::Null).await;
            assert_eq!((status, &listed["total"]), (200, &json!(1)), "{listed}");
            person.domain = format!("/{}", listed["domains"][0]["id"].as_str().unwrap());
        }
        person
    }

    /// The same, with this in `Authorization`.
    pub fn authorized(mut self, authorization: String) -> Self {
        self.authorization = authorization;
        self
    }

    pub async fn send(&self, service: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
        let at = &self.endpoints[service];
        let mut request = self.http.request(method, format!("http://{at}{path}"));
        if !self.authorization.is_empty() {
            request = request.header("Authorization", &self.authorization);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    /// The service and the path of things or channels.
    pub fn place(&self, word: &str) -> (&'static str, String) {
        match (self.is_mainflux, word) {
            (true, word) => ("things", format!("/{word}")),
            (false, "rules") => ("rules", format!("{}/rules", self.domain)),
            (false, "things") => ("clients", format!("{}/clients", self.domain)),
            (false, _) => ("channels", format!("{}/channels", self.domain)),
        }
    }

    /// Makes a thing or a channel, and gives its id.
    pub async fn make(&self, word: &str, body: Value) -> String {
        let (service, path) = self.place(word);
        let before = self.ids(word).await;
        let (status, answer) = self.send(service, Method::POST, &path, body).await;
        assert_eq!(status, 201, "{answer}");
        self.ids(word).await.into_iter().find(|id| !before.contains(id)).unwrap()
    }

    /// Changes a thing or a channel.
    pub async fn change(&self, word: &str, id: &str, tail: &str, body: Value) {
        let (service, path) = self.place(word);
        let is_whole = tail.is_empty() && self.is_mainflux;
        let method = if is_whole { Method::PUT } else { Method::PATCH };
        let (status, answer) = self.send(service, method, &format!("{path}/{id}{tail}"), body).await;
        assert_eq!(status, 200, "{answer}");
    }

    pub async fn delete(&self, word: &str, id: &str) {
        let (service, path) = self.place(word);
        let (status, answer) = self.send(service, Method::DELETE, &format!("{path}/{id}"), Value::Null).await;
        assert_eq!(status, 204, "{answer}");
    }

    /// Disables the domain of the tenant.
    pub async fn disable_domain(&self) {
        let path = format!("/domains{}/disable", self.domain);
        let (status, answer) = self.send("domains", Method::POST, &path, Value::Null).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// The ids of the things that are connected to a channel.
    pub async fn connected(&self, channel: &str) -> Vec<String> {
        let (service, path) = if self.is_mainflux {
            ("things", format!("/channels/{channel}/things?limit=100"))
        } else {
            ("clients", format!("{}/clients?channel={channel}&status=all&limit=100", self.domain))
        };
        let (status, listed) = self.send(service, Method::GET, &path, Value::Null).await;
        assert_eq!(status, 200, "{listed}");
        let key = if self.is_mainflux { "things" } else { "clients" };
        let found = listed[key].as_array().cloned().unwrap_or_default();
        found.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
    }

    /// The ids of the things or channels of SuperMQ that are disabled.
    pub async fn disabled(&self, word: &str) -> Vec<String> {
        let (service, path) = self.place(word);
        let path = format!("{path}?status=disabled&limit=100");
        let (status, listed) = self.send(service, Method::GET, &path, Value::Null).await;
        assert_eq!(status, 200, "{listed}");
        let found = listed[if word == "things" { "clients" } else { word }].as_array().cloned();
        found.unwrap_or_default().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Changes the password of whoever this is.
    pub async fn change_password(&self, old: &str, new: &str) {
        let (path, body) = if self.is_mainflux {
            ("/password", json!({ "old_password": old, "password": new }))
        } else {
            ("/users/secret", json!({ "old_secret": old, "new_secret": new }))
        };
        let (status, answer) = self.send("users", Method::PATCH, path, body).await;
        assert!(status < 300, "{answer}");
    }

    /// Lets a user in or not, as an administrator can.
    pub async fn enable_user(&self, email: &str, word: &str) {
        let (_, listed) =
            self.send("users", Method::GET, &format!("/users?email={email}&status=all"), Value::Null).await;
        let path = format!("/users/{}/{word}", listed["users"][0]["id"].as_str().unwrap());
        let (status, answer) = self.send("users", Method::POST, &path, Value::Null).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Disables something of SuperMQ or Magistrala.
    pub async fn disable(&self, word: &str, id: &str) {
        let (service, path) = self.place(word);
        let (status, answer) =
            self.send(service, Method::POST, &format!("{path}/{id}/disable"), Value::Null).await;
        assert_eq!(status, 200, "{answer}");
    }

    pub async fn disconnect(&self, channel: &str, thing: &str) {
        let (status, answer) = if self.is_mainflux {
            let path = format!("/channels/{channel}/things/{thing}");
            self.send("things", Method::DELETE, &path, Value::Null).await
        } else {
            let types = ["publish", "subscribe"];
            let body = json!({ "channel_ids": [channel], "client_ids": [thing], "types": types });
            self.send("channels", Method::POST, &format!("{}/channels/disconnect", self.domain), body).await
        };
        assert_eq!(status, 204, "{answer}");
    }

    async fn entries(&self, service: &str, path: &str, key: &str) -> Vec<Value> {
        let mut entries = Vec::new();
        loop {
            let page = format!("{path}?limit=100&offset={}", entries.len());
            let (status, mut listed) = self.send(service, Method::GET, &page, Value::Null).await;
            assert_eq!(status, 200, "{listed}");
            let found = listed[key].take().as_array().cloned().unwrap_or_default();
            entries.extend(found.iter().cloned());
            if found.is_empty() || entries.len() as u64 >= listed["total"].as_u64().unwrap() {
                return entries;
            }
        }
    }

    pub async fn ids(&self, word: &str) -> Vec<String> {
        let (service, path) = self.place(word);
        let key = path.rsplit('/').next().unwrap().to_owned();
        let text = |entry: Value| entry["id"].as_str().unwrap().to_owned();
        self.entries(service, &path, &key).await.into_iter().map(text).collect()
    }

    fn names(entries: Vec<Value>, field: &str) -> Vec<String> {
        let name = |entry: Value| entry[field].as_str().unwrap_or_default().to_owned();
        let mut names: Vec<_> = entries.into_iter().map(name).collect();
        names.sort();
        names
    }

    /// The e-mail addresses of all users.
    pub async fn users(&self) -> Vec<String> {
        Self::names(self.entries("users", "/users", "users").await, "email")
    }

    /// Everything in the account.
    pub async fn listing(&self) -> Listing {
        let mut listing = Listing::default();
        for (word, names) in [("things", &mut listing.things), ("channels", &mut listing.channels)] {
            let (service, path) = self.place(word);
            let key = path.rsplit('/').next().unwrap().to_owned();
            *names = Self::names(self.entries(service, &path, &key).await, "name");
        }
        if self.endpoints.contains_key("rules") {
            let rules = self.entries("rules", &format!("{}/rules", self.domain), "rules").await;
            listing.rules = Self::names(rules, "name");
        }
        listing
    }
}
