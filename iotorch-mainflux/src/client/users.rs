//! Users: who is logged in, and with which password.

use super::{Answer, Api, Call, Dialect, Failure, Service};
use crate::error::UNVERIFIED;
use iotorch_core::secret::SecretValue;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};
use zeroize::Zeroizing;

/// Who makes a request: a user, and where there are domains the one that the request is about.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// The e-mail address; every release takes it as the name to log in with.
    pub(crate) login: String,
    pub(crate) password: SecretValue,
    pub(crate) domain: Option<String>,
}

/// The tokens that are in use, by server, user and password.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<[u8; 32], Zeroizing<String>>>);

impl fmt::Debug for Tokens {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Tokens(…)")
    }
}

impl Tokens {
    fn get(&self, key: &[u8; 32]) -> Option<Zeroizing<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: [u8; 32], token: Zeroizing<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, token);
    }

    fn remove(&self, key: &[u8; 32]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// What an attempt to log in comes to.
#[derive(Debug)]
pub(crate) enum Login {
    /// The password is right.
    Accepted,
    /// There is no such user, or it is disabled, or the password is another; for certain, or the database is away.
    Refused { is_certain: bool },
}

/// What an attempt to make something comes to.
#[derive(Debug)]
pub(crate) enum Made<T = ()> {
    /// It was made.
    New(T),
    /// Something that excludes it is there already, or the server says so of some other trouble.
    Refused(Failure),
}

/// A user, as an administrator sees it.
#[derive(Debug, Deserialize)]
pub(crate) struct User {
    #[serde(default)]
    pub(crate) email: String,
    #[serde(default)]
    pub(crate) metadata: Option<Map<String, Value>>,
    #[serde(default)]
    status: Option<String>,
}

/// A domain, as a server has it.
#[derive(Debug, Deserialize)]
pub(crate) struct Domain {
    #[serde(default)]
    pub(crate) metadata: Option<Map<String, Value>>,
    #[serde(default)]
    status: Option<String>,
}

impl Domain {
    /// Whether no messages are let through.
    pub(crate) fn is_disabled(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status != "enabled")
    }
}

impl User {
    /// Whether it is not let in, whatever its password. Mainflux 0.12 has no such thing.
    pub(crate) fn is_disabled(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status != "enabled")
    }
}

impl Api {
    fn token_key(&self, account: &Account) -> [u8; 32] {
        let server = self.services.endpoint(Service::Users).map(|(_, endpoint)| endpoint.to_string());
        let mut digest = Sha256::new();
        for text in [server.as_deref().unwrap_or_default(), &account.login, account.password.expose()] {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        }
        digest.finalize().into()
    }

    /// Logs in, whatever was known before.
    pub(crate) async fn login(&self, account: &Account) -> Result<Login, Failure> {
        match self.new_token(account).await {
            Ok(_) => Ok(Login::Accepted),
            Err(Failure::Refused { is_certain, .. }) => Ok(Login::Refused { is_certain }),
            Err(failure) => Err(failure),
        }
    }

    async fn new_token(&self, account: &Account) -> Result<Zeroizing<String>, Failure> {
        let (login, password) = (&account.login, account.password.expose());
        let key = self.token_key(account);
        self.tokens.remove(&key);
        let call = if self.dialect.is_mainflux() {
            Call::post(Service::Users, "/tokens", json!({ "email": login, "password": password }))
        } else {
            let body = json!({ "username": login, "password": password });
            Call::post(Service::Users, "/users/tokens/issue", body)
        };
        let answer = self.services.send(&call, None).await?;
        if !answer.is_success() {
            return Err(self.refusal(account, &answer));
        }
        #[derive(Deserialize)]
        struct Token {
            #[serde(alias = "access_token")]
            token: String,
        }
        let token = Zeroizing::new(answer.read::<Token>()?.token);
        self.tokens.put(key, token.clone());
        Ok(token)
    }

    /// What it means that no token was given out.
    fn refusal(&self, account: &Account, answer: &Answer) -> Failure {
        let message = answer.message();
        let is_wrong = match answer.status {
            401 | 403 => true,
            // Mainflux 0.13 says so while auth is away, and SuperMQ where there is no such user.
            404 => !self.dialect.is_mainflux(),
            // SuperMQ says so of a wrong password, and of what it does not reach.
            422 => !self.dialect.is_mainflux() && !message.contains("failed to issue token"),
            _ => false,
        };
        if is_wrong {
            return self.refused(account, answer.status != 401);
        }
        match answer.status {
            // The request is well formed: Mainflux says "non-existent user" while auth is away.
            status @ (400 | 404 | 422) => Failure::NoToken { status, message },
            _ => answer.failure(),
        }
    }

    /// Says that a password was refused. Mainflux 0.12 says the same while its database is away; Mainflux 0.13 and SuperMQ say 401 then,
    /// as the former and older releases of the latter say of a wrong password too.
    pub(crate) fn refused(&self, account: &Account, is_certain: bool) -> Failure {
        let is_certain = is_certain && self.dialect != Dialect::MainfluxRaw;
        Failure::Refused { user: account.login.clone(), is_certain }
    }

    /// What it means that a password was refused: whether the administrator is let in tells.
    pub(crate) async fn explained(&self, failure: Failure, admin: &Account) -> Failure {
        match failure {
            Failure::Refused { user, is_certain: false } => match self.login(admin).await {
                Ok(Login::Accepted) => Failure::Refused { user, is_certain: true },
                Ok(Login::Refused { .. }) => Failure::AllRefused,
                Err(other) => other,
            },
            certain => certain,
        }
    }

    /// Sends a request as a user. A token that has expired is replaced once: the same is said while auth is away.
    pub(crate) async fn call(&self, account: &Account, call: &Call) -> Result<Answer, Failure> {
        let known = self.tokens.get(&self.token_key(account));
        let is_new = known.is_none();
        let token = match known {
            Some(token) => token,
            None => self.new_token(account).await?,
        };
        let answer = self.services.send(call, Some(&self.dialect.user(&token))).await?;
        if answer.status == 401 && answer.message() == UNVERIFIED {
            return Err(Failure::Unverified(call.service));
        }
        if !self.is_expired(&answer) {
            return Ok(answer);
        }
        if is_new {
            return Err(Failure::TokenRefused(call.service));
        }
        let token = self.new_token(account).await?;
        let answer = self.services.send(call, Some(&self.dialect.user(&token))).await?;
        if self.is_expired(&answer) { Err(Failure::TokenRefused(call.service)) } else { Ok(answer) }
    }

    /// Whether the answer says that the token is not valid: Mainflux 0.12 says 403 where users are concerned.
    fn is_expired(&self, answer: &Answer) -> bool {
        let forbidden = self.dialect == Dialect::MainfluxRaw && answer.service == Service::Users;
        answer.status == 401 || (answer.status == 403 && forbidden)
    }

    /// Makes a user. Where only administrators may, `admin` does it.
    pub(crate) async fn create_user(
        &self,
        user: &Account,
        names: &UserNames,
        metadata: Map<String, Value>,
        admin: &Account,
    ) -> Result<Made, Failure> {
        let (email, password) = (&user.login, user.password.expose());
        let body = if self.dialect.is_mainflux() {
            json!({ "email": email, "password": password, "metadata": metadata })
        } else {
            json!({
                "first_name": "iotorch",
                "last_name": names.shown,
                "email": email,
                "credentials": { "username": names.user_name, "secret": password },
                "metadata": metadata,
            })
        };
        let call = Call::post(Service::Users, "/users", body);
        let answer = self.services.send(&call, None).await?;
        let answer = match answer.status {
            401 | 403 => self.call(admin, &call).await?,
            _ => answer,
        };
        match answer.status {
            201 => Ok(Made::New(())),
            400 | 409 | 422 => Ok(Made::Refused(answer.failure())),
            _ => Err(answer.failure()),
        }
    }

    /// Changes the password of a user, who has to be logged in with the old one.
    pub(crate) async fn change_password(&self, user: &Account, new: &SecretValue) -> Result<(), Failure> {
        let (old, new) = (user.password.expose(), new.expose());
        let call = if self.dialect.is_mainflux() {
            Call::new(Service::Users, Method::PATCH, "/password")
                .with_body(json!({ "old_password": old, "password": new }))
        } else {
            Call::new(Service::Users, Method::PATCH, "/users/secret")
                .with_body(json!({ "old_secret": old, "new_secret": new }))
        };
        self.call(user, &call).await?.success()?;
        // On Mainflux the token goes on being valid, and must not stand for the password any more.
        self.tokens.remove(&self.token_key(user));
        Ok(())
    }

    /// What is noted of a user, as it sees itself.
    pub(crate) async fn profile(&self, user: &Account) -> Result<User, Failure> {
        self.call(user, &Call::get(Service::Users, "/users/profile")).await?.success()?.read()
    }

    /// Notes something with a user of Mainflux, in place of all that was noted.
    pub(crate) async fn note_user(
        &self,
        user: &Account,
        metadata: Map<String, Value>,
    ) -> Result<(), Failure> {
        let call =
            Call::new(Service::Users, Method::PUT, "/users").with_body(json!({ "metadata": metadata }));
        self.call(user, &call).await?.success().map(drop)
    }

    /// The user with this e-mail address, as an administrator sees it. The service looks for parts and ignores case.
    pub(crate) async fn find_user(&self, admin: &Account, email: &str) -> Result<Option<User>, Failure> {
        let call = self.with_disabled(Call::get(Service::Users, "/users").with("email", email));
        Ok(self.users(admin, &call).await?.into_iter().find(|user| user.email == email))
    }

    /// The users whose e-mail addresses end so.
    pub(crate) async fn users_at(&self, admin: &Account, host: &str) -> Result<Vec<User>, Failure> {
        let call = Call::get(Service::Users, "/users").with("email", host);
        let mut users = self.users(admin, &call).await?;
        users.retain(|user| user.email.ends_with(host));
        Ok(users)
    }

    async fn users(&self, admin: &Account, call: &Call) -> Result<Vec<User>, Failure> {
        let unreadable = |error: serde_json::Error| Failure::Unreadable(Service::Users, error.to_string());
        let listed = match self.list(admin, call, "users").await {
            Err(failure) if failure.status() == Some(403) => {
                return Err(self.forbidden(admin, failure).await);
            }
            listed => listed?,
        };
        listed.into_iter().map(|user| serde_json::from_value(user).map_err(unreadable)).collect()
    }

    /// A domain; `None` if the user has none with this id.
    pub(crate) async fn domain(&self, user: &Account, id: &str) -> Result<Option<Domain>, Failure> {
        let answer =
            self.call(user, &Call::get(Service::Domains, format!("/domains/{}", super::part(id)?))).await?;
        match answer.status {
            404 => Ok(None),
            // SuperMQ up to 0.18.3 says so of one that is not there: 403 to users, 400 to administrators. The list of domains tells.
            400 | 403 => self.listed_domain(user, id).await,
            _ => answer.success()?.read().map(Some),
        }
    }

    async fn listed_domain(&self, user: &Account, id: &str) -> Result<Option<Domain>, Failure> {
        let call = self.with_disabled(Call::get(Service::Domains, "/domains"));
        let listed = match self.list(user, &call, "domains").await {
            Err(failure) if failure.status() == Some(403) => return Err(self.forbidden(user, failure).await),
            listed => listed?,
        };
        let found = listed.into_iter().find(|domain| domain["id"] == id);
        let unreadable = |error: serde_json::Error| Failure::Unreadable(Service::Domains, error.to_string());
        found.map(serde_json::from_value).transpose().map_err(unreadable)
    }

    /// Enables a domain again: nobody sends messages in one that is disabled.
    pub(crate) async fn enable_domain(&self, user: &Account, id: &str) -> Result<(), Failure> {
        let call = Call::new(Service::Domains, Method::POST, format!("/domains/{}/enable", super::part(id)?));
        self.change(user, &call).await
    }

    /// Makes a domain of the user's with this id.
    pub(crate) async fn create_domain(
        &self,
        user: &Account,
        id: &str,
        names: &UserNames,
        metadata: Map<String, Value>,
    ) -> Result<Made, Failure> {
        let body = json!({ "id": id, "name": names.shown, "route": names.user_name, "metadata": metadata });
        let answer = self.call(user, &Call::post(Service::Domains, "/domains", body)).await?;
        match answer.status {
            200 | 201 => Ok(Made::New(())),
            400 | 409 | 422 => Ok(Made::Refused(answer.failure())),
            403 => Err(self.forbidden(user, answer.failure()).await),
            _ => Err(answer.failure()),
        }
    }

    /// Notes something with a domain, in place of all that was noted.
    pub(crate) async fn note_domain(
        &self,
        user: &Account,
        id: &str,
        names: &UserNames,
        metadata: Map<String, Value>,
    ) -> Result<(), Failure> {
        let call = Call::new(Service::Domains, Method::PATCH, format!("/domains/{}", super::part(id)?));
        self.change(user, &call.with_body(json!({ "name": names.shown, "metadata": metadata }))).await
    }
}

/// What a user and its domain are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserNames {
    /// For people: the slice's name.
    pub(crate) shown: String,
    /// For the server: the user name, and the route of the domain.
    pub(crate) user_name: String,
}
