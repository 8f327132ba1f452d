//! The one door of secure mode: nginx with TLS, which asks for a token before it passes a request on, and behind it the log-in.
//!
//! Source: `cmd/security-proxy-setup/entrypoint.sh` and `cmd/secrets-config/README.md` of edgex-go. A user logs in at
//! `/vault/v1/auth/userpass/login/USER` with its password, takes what it gets to `/vault/v1/identity/oidc/token/USER`, and what
//! it gets there, a JWT, to the services at `/SERVICE/…`.

use std::{io, sync::Arc};

use axum::http::header::AUTHORIZATION;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use crate::{
    Service,
    answer::{Answer, Asked},
    http, now,
    world::World,
};

/// The user of the door, and how long its tokens are good.
#[derive(Clone, Debug)]
pub struct Secure {
    /// The name of the user.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The names and addresses in the certificate of the door.
    pub names: Vec<String>,
}

impl Secure {
    /// A user at a door of this machine.
    pub fn new(user: &str, password: &str) -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        Self { user: user.to_owned(), password: password.to_owned(), names }
    }
}

/// The door's certificate in PEM, and what listens with it.
pub(crate) fn certificate(secure: &Secure) -> io::Result<(String, TlsAcceptor)> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(secure.names.clone()).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .map_err(io::Error::other)?;
    Ok((cert.pem(), TlsAcceptor::from(Arc::new(config))))
}

/// What the door answers, or the service behind it.
pub(crate) async fn answer(world: &Arc<World>, asked: &Asked) -> Answer {
    let Some(secure) = &world.config.secure else { return Answer::empty(404) };
    let path = asked.path.split('?').next().unwrap_or_default();
    if let Some(user) = path.strip_prefix("/vault/v1/auth/userpass/login/") {
        return log_in(world, secure, asked, user);
    }
    if let Some(user) = path.strip_prefix("/vault/v1/identity/oidc/token/") {
        return token(world, secure, asked, user);
    }
    let Some((service, rest)) = asked.path.trim_start_matches('/').split_once('/') else {
        return page(404, "Not Found");
    };
    let known = if service == "consul" { Some(Service::Consul) } else { Service::named(service) };
    let known = known.filter(|known| world.config.services.contains(known) && *known != Service::Gateway);
    let Some(service) = known else { return page(404, "Not Found") };
    if !world.state().tokens.contains(bearer(asked)) {
        return page(401, "Authorization Required");
    }
    if !world.runs(&world.state(), service) {
        return page(502, "Bad Gateway");
    }
    let passed = Asked { service, path: format!("/{rest}"), ..asked.clone() };
    Box::pin(http::act(world, &passed)).await
}

fn bearer(asked: &Asked) -> &str {
    let header = asked.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    header.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
}

fn page(status: u16, title: &str) -> Answer {
    let text = format!(
        "<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n<center><h1>{status} {title}</h1></center>\r\n\
         <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    );
    Answer::text(status, "text/html", text)
}

fn errors(status: u16, why: &str) -> Answer {
    Answer::json(status, &json!({ "errors": [why] }))
}

fn log_in(world: &World, secure: &Secure, asked: &Asked, user: &str) -> Answer {
    if !["POST", "PUT"].contains(&asked.method.as_str()) {
        return errors(405, "unsupported operation");
    }
    if user != secure.user || asked.json()["password"] != *secure.password {
        return errors(400, "invalid username or password");
    }
    let token = format!("hvs.{}", now::uuid().replace('-', ""));
    world.state().logins.insert(token.clone());
    Answer::json(
        200,
        &json!({
            "request_id": now::uuid(),
            "lease_id": "",
            "renewable": false,
            "lease_duration": 0,
            "data": null,
            "auth": {
                "client_token": token,
                "policies": ["default", format!("edgex-user-{user}")],
                "metadata": { "username": user },
                "lease_duration": 3600,
                "renewable": true,
                "entity_id": now::uuid(),
                "token_type": "service",
            },
        }),
    )
}

fn token(world: &World, secure: &Secure, asked: &Asked, user: &str) -> Answer {
    let sent = asked.headers.get("x-vault-token").and_then(|value| value.to_str().ok());
    let sent = sent.unwrap_or_else(|| bearer(asked));
    let mut state = world.state();
    if user != secure.user || !state.logins.contains(sent) {
        return errors(403, "permission denied");
    }
    let token = jwt(user);
    state.tokens.insert(token.clone());
    let data = json!({ "client_id": now::uuid(), "token": token, "ttl": 3600 });
    Answer::json(200, &json!({ "request_id": now::uuid(), "lease_id": "", "data": data, "auth": null }))
}

/// A token in the form of RFC 7519. The door knows its tokens, so that no signature is checked.
fn jwt(user: &str) -> String {
    let now = now::milliseconds() / 1000;
    let claims = json!({
        "aud": "edgex",
        "iss": "/v1/identity/oidc",
        "sub": now::uuid(),
        "name": user,
        "iat": now,
        "exp": now + 3600,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = json!({ "alg": "ES384", "kid": now::uuid() });
    format!("{}.{}.{}", part(&head), part(&claims), URL_SAFE_NO_PAD.encode(now::uuid()))
}
