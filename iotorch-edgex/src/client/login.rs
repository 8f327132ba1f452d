//! The login at the API gateway of EdgeX in its secure mode.
//!
//! A user of the secret store logs in by name and password (`userpass`) and asks it for an identity token (`oidc`), which the
//! API gateway takes as a bearer token (EdgeX 4.0, "API Gateway", and 3.1 alike).

use std::sync::Arc;

use iotorch_core::secret::SecretValue;
use reqwest::Client;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use super::{Result, part};
use crate::error::{Failure, Why};

/// What answers logins.
const STORE: &str = "the secret store";

/// Who logs in, and what came of it. It is kept across calls.
#[derive(Debug)]
pub(crate) struct Login {
    base: String,
    user: String,
    password: SecretValue,
    token: Mutex<Option<SecretValue>>,
}

#[derive(Deserialize)]
struct Entered {
    auth: Entry,
}

#[derive(Deserialize)]
struct Entry {
    client_token: String,
}

#[derive(Deserialize)]
struct Identity {
    data: Token,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

impl Login {
    /// A login at the API gateway whose address is `base`.
    pub(crate) fn new(base: String, user: String, password: SecretValue) -> Self {
        Self { base, user, password, token: Mutex::default() }
    }

    /// Whether it is still the login of this password at this address.
    pub(crate) fn is_for(&self, base: &str, user: &str, password: &SecretValue) -> bool {
        self.base == base && self.user == user && self.password == *password
    }

    /// The token that is valid as far as is known.
    pub(crate) async fn token(&self, http: &Client) -> Result<SecretValue> {
        let mut token = self.token.lock().await;
        if let Some(token) = &*token {
            return Ok(token.clone());
        }
        let new = self.enter(http).await?;
        *token = Some(new.clone());
        Ok(new)
    }

    /// Another token, as `stale` was refused. Of several that find this out together one logs in.
    pub(crate) async fn renew(&self, http: &Client, stale: &SecretValue) -> Result<SecretValue> {
        let mut token = self.token.lock().await;
        match &*token {
            Some(known) if known != stale => Ok(known.clone()),
            _ => {
                *token = None;
                let new = self.enter(http).await?;
                *token = Some(new.clone());
                Ok(new)
            }
        }
    }

    async fn enter(&self, http: &Client) -> Result<SecretValue> {
        let (base, user) = (&self.base, part(&self.user));
        let url = format!("{base}/vault/v1/auth/userpass/login/{user}");
        let body = json!({ "password": self.password.expose() });
        let entered: Entered = self.answer(http.post(url).json(&body)).await?;
        let entry = SecretValue::new(entered.auth.client_token);
        let url = format!("{base}/vault/v1/identity/oidc/token/{user}");
        let identity: Identity = self.answer(http.get(url).bearer_auth(entry.expose())).await?;
        Ok(SecretValue::new(identity.data.token))
    }

    async fn answer<T: for<'de> Deserialize<'de>>(&self, request: reqwest::RequestBuilder) -> Result<T> {
        let store: Arc<str> = STORE.into();
        let failed = |error| Failure::of_request(&store, error);
        let response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let body = response.text().await.map_err(failed)?;
        match status {
            200..=299 => {
                // An answer can hold a token, so it is not shown.
                serde_json::from_str(&body).map_err(|_| Failure::strange(&store, status, "no token"))
            }
            // So it is said of a wrong password, as of a request that makes no sense.
            400 | 401 | 403 => Err(Failure::new(&store, Why::Denied(status))),
            _ => Err(Failure::strange(&store, status, &body)),
        }
    }
}
