//! Typed clients of the management APIs, over HTTP.
//!
//! They send each request once: whether and when to try again is the caller's business, and [`Error`] tells apart
//! what that depends on.

use crate::{
    Secret,
    api::{
        Attachment, ChannelStats, Device, Export, Failure, GatewayStatus, Health, Managed, MessageQuery,
        Nothing, Page, Profile, Put, ServerStatus,
    },
    objects::check_name,
};
use iotorch_core::ErrorKind;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use std::{error::Error as StdError, fmt, time::Duration};

/// How long a request may take, answer included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How much of an answer that is not understood is kept.
const SHOWN: usize = 500;

/// Why a request failed. It never holds a secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Nothing answered, so nothing was changed; or the connection broke, and nobody knows.
    Unreachable(reqwest::Error),
    /// No answer came in time. The request may have been carried out.
    Timeout,
    /// The token was refused (401), or does not allow this (403).
    Refused,
    /// The object carries the mark of somebody else.
    Conflict {
        /// The mark of the owner.
        owner: String,
    },
    /// The object is used by others.
    InUse {
        /// By whom.
        message: String,
    },
    /// What was asked for, or what it would be put into, does not exist.
    NotFound {
        /// What does not exist.
        message: String,
    },
    /// The request is wrong and stays wrong.
    Invalid {
        /// What is wrong with it.
        message: String,
    },
    /// Anything else that was answered.
    Unexpected {
        /// The HTTP status.
        status: u16,
        /// The start of the answer.
        body: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(_) => out.write_str("the management API cannot be reached"),
            Self::Timeout => write!(out, "the management API did not answer within {} s", TIMEOUT.as_secs()),
            Self::Refused => out.write_str("the management API refused the token"),
            Self::Conflict { owner } => write!(out, "the object belongs to \"{owner}\""),
            Self::InUse { message } | Self::NotFound { message } | Self::Invalid { message } => {
                out.write_str(message)
            }
            Self::Unexpected { status, body } => {
                write!(out, "unexpected answer with status {status}: {body}")
            }
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Unreachable(source) => Some(source),
            _ => None,
        }
    }
}

impl Error {
    /// What the failure means to iotorch.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable(_) => ErrorKind::Unavailable,
            Self::Timeout => ErrorKind::Timeout,
            Self::Refused => ErrorKind::Denied,
            Self::Conflict { .. } | Self::InUse { .. } => ErrorKind::Conflict,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Invalid { .. } => ErrorKind::Invalid,
            // From whatever stands between, such as a forwarded port whose other end is starting.
            Self::Unexpected { status: 502..=504, .. } => ErrorKind::Unavailable,
            Self::Unexpected { .. } => ErrorKind::Unexpected,
        }
    }
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() { Self::Timeout } else { Self::Unreachable(error) }
    }
}

type Result<T> = std::result::Result<T, Error>;

/// What both clients share: where to send requests, and the token.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    http: reqwest::Client,
    base_url: String,
    token: Secret,
}

impl Connection {
    pub(crate) fn new(base_url: impl Into<String>, token: Secret) -> Result<Self> {
        // A management API is on this host or behind a forwarded port, so never behind a proxy.
        let http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
        Ok(Self { http, base_url: base_url.into().trim_end_matches('/').to_owned(), token })
    }

    fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder> {
        // A name like `..` must not reach another object.
        for part in path {
            check_name("managed object", part)
                .map_err(|error| Error::Invalid { message: error.to_string() })?;
        }
        let url = format!("{}/{}", self.base_url, path.join("/"));
        Ok(self.http.request(method, url).bearer_auth(self.token.expose()))
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T> {
        read(self.request(Method::GET, path)?).await
    }

    pub(crate) async fn put<T: Serialize + Sync, A: DeserializeOwned>(
        &self,
        path: &[&str],
        put: &Put<T>,
        adopt: bool,
    ) -> Result<Managed<A>> {
        read(self.request(Method::PUT, path)?.query(&[("adopt", adopt)]).json(put)).await
    }

    pub(crate) async fn delete(&self, path: &[&str], mark: Option<&str>) -> Result<()> {
        let mark = mark.map(|mark| ("mark", mark));
        send(self.request(Method::DELETE, path)?.query(&mark.as_slice())).await.map(drop)
    }

    pub(crate) async fn release(&self, path: &[&str], mark: &str) -> Result<()> {
        let query = [("mark", mark), ("release", "true")];
        send(self.request(Method::DELETE, path)?.query(&query)).await.map(drop)
    }
}

/// The parts of the path of an object.
pub(crate) fn parts(path: &str) -> Vec<&str> {
    path.split('/').collect()
}

async fn send(request: RequestBuilder) -> Result<Response> {
    let response = request.send().await?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.text().await?;
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(Error::Refused);
    }
    let unexpected =
        || Error::Unexpected { status: status.as_u16(), body: body.chars().take(SHOWN).collect() };
    let Ok(Failure { error }) = serde_json::from_str(&body) else { return Err(unexpected()) };
    let message = error.message;
    Err(match (error.kind.as_str(), error.owner) {
        ("conflict", Some(owner)) => Error::Conflict { owner },
        ("in_use", _) => Error::InUse { message },
        ("not_found", _) => Error::NotFound { message },
        ("invalid", _) => Error::Invalid { message },
        _ => unexpected(),
    })
}

async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<T> {
    let response = send(request).await?;
    let status = response.status().as_u16();
    let body = response.bytes().await?;
    serde_json::from_slice(&body).map_err(|_| Error::Unexpected {
        status,
        body: String::from_utf8_lossy(&body).chars().take(SHOWN).collect(),
    })
}

/// The calls that gateway and server have in common.
macro_rules! common_calls {
    ($client:ty, $status:ty) => {
        impl $client {
            /// A client of the management API at this URL, such as `http://127.0.0.1:8080`.
            ///
            /// # Errors
            ///
            /// [`Error::Unreachable`] if no HTTP client can be made on this system.
            pub fn new(base_url: impl Into<String>, token: Secret) -> Result<Self> {
                Connection::new(base_url, token).map(Self)
            }

            /// Where it sends requests.
            #[must_use]
            pub fn base_url(&self) -> &str {
                &self.0.base_url
            }

            /// What answers there. It needs no valid token.
            ///
            /// # Errors
            ///
            /// See [`Error`].
            pub async fn health(&self) -> Result<Health> {
                self.0.get(&["health"]).await
            }

            /// Everything that is managed.
            ///
            /// # Errors
            ///
            /// See [`Error`].
            pub async fn objects(&self) -> Result<Vec<Managed<serde_json::Value>>> {
                self.0.get(&["objects"]).await
            }

            /// One object, by the path that [`Managed::path`] has.
            ///
            /// # Errors
            ///
            /// See [`Error`].
            pub async fn object<T: DeserializeOwned>(&self, path: &str) -> Result<Managed<T>> {
                self.0.get(&parts(path)).await
            }

            /// Deletes an object, by the path that [`Managed::path`] has, and everything below it. With a mark, only
            /// if the object carries it. An object that is not there counts as deleted.
            ///
            /// # Errors
            ///
            /// See [`Error`].
            pub async fn delete(&self, path: &str, mark: Option<&str>) -> Result<()> {
                self.0.delete(&parts(path), mark).await
            }

            /// Gives an object with this mark back to whom it was adopted from, as it was found; one that was not
            /// adopted loses its mark. Any other object is left alone.
            ///
            /// # Errors
            ///
            /// See [`Error`].
            pub async fn release(&self, path: &str, mark: &str) -> Result<()> {
                self.0.release(&parts(path), mark).await
            }

            /// How it is doing.
            ///
            /// # Errors
            ///
            /// See [`Error`].
            pub async fn status(&self) -> Result<$status> {
                self.0.get(&["status"]).await
            }
        }
    };
}

/// A client of a gateway. `adopt` takes over an object that carries another mark.
#[derive(Debug, Clone)]
pub struct GatewayClient(Connection);

common_calls!(GatewayClient, GatewayStatus);

impl GatewayClient {
    /// Puts a profile in place.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn put_profile(&self, name: &str, put: &Put<Profile>, adopt: bool) -> Result<Managed<Profile>> {
        self.0.put(&["profiles", name], put, adopt).await
    }

    /// Puts a device in place.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if its profile does not exist; see [`Error`].
    pub async fn put_device(&self, name: &str, put: &Put<Device>, adopt: bool) -> Result<Managed<Device>> {
        self.0.put(&["devices", name], put, adopt).await
    }

    /// Puts one generation of a device's password in place.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the device does not exist; see [`Error`].
    pub async fn put_credential(
        &self,
        device: &str,
        generation: u64,
        put: &Put<Nothing>,
        adopt: bool,
    ) -> Result<Managed<Nothing>> {
        self.0.put(&["devices", device, "credentials", &generation.to_string()], put, adopt).await
    }

    /// The generations of a device's password.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn credentials(&self, device: &str) -> Result<Vec<u64>> {
        self.0.get(&["devices", device, "credentials"]).await
    }

    /// Puts an export in place. A new one forwards what comes from now on; a changed one goes on where it was.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn put_export(&self, name: &str, put: &Put<Export>, adopt: bool) -> Result<Managed<Export>> {
        self.0.put(&["exports", name], put, adopt).await
    }
}

/// A client of a server. `adopt` takes over an object that carries another mark.
///
/// With a tenant's token instead of the administrator's it can read the messages and statistics of that tenant.
#[derive(Debug, Clone)]
pub struct ServerClient(Connection);

common_calls!(ServerClient, ServerStatus);

impl ServerClient {
    /// Puts a tenant in place; the secret, if any, is the token for reading its channels.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn put_tenant(
        &self,
        tenant: &str,
        put: &Put<Nothing>,
        adopt: bool,
    ) -> Result<Managed<Nothing>> {
        self.0.put(&["tenants", tenant], put, adopt).await
    }

    /// Puts an attachment in place and gives the identifiers of its thing and channel.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the tenant does not exist; see [`Error`].
    pub async fn put_attachment(
        &self,
        tenant: &str,
        name: &str,
        put: &Put<Nothing>,
        adopt: bool,
    ) -> Result<Managed<Attachment>> {
        self.0.put(&["tenants", tenant, "attachments", name], put, adopt).await
    }

    /// Puts one generation of a thing's key in place.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the attachment does not exist; see [`Error`].
    pub async fn put_credential(
        &self,
        tenant: &str,
        attachment: &str,
        generation: u64,
        put: &Put<Nothing>,
        adopt: bool,
    ) -> Result<Managed<Nothing>> {
        self.0
            .put(
                &["tenants", tenant, "attachments", attachment, "credentials", &generation.to_string()],
                put,
                adopt,
            )
            .await
    }

    /// The generations of a thing's key.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn credentials(&self, tenant: &str, attachment: &str) -> Result<Vec<u64>> {
        self.0.get(&["tenants", tenant, "attachments", attachment, "credentials"]).await
    }

    /// Messages of a channel, the newest first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the tenant has no such channel; see [`Error`].
    pub async fn messages(&self, tenant: &str, channel: &str, query: &MessageQuery) -> Result<Page> {
        let path = ["tenants", tenant, "channels", channel, "messages"];
        read(self.0.request(Method::GET, &path)?.query(query)).await
    }

    /// What is in a channel.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the tenant has no such channel; see [`Error`].
    pub async fn stats(&self, tenant: &str, channel: &str) -> Result<ChannelStats> {
        self.0.get(&["tenants", tenant, "channels", channel, "stats"]).await
    }
}
