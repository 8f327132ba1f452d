//! Typed clients of the management APIs, over HTTP.
//!
//! They send each request once: whether and when to try again is the caller's business, and [`Error`] tells apart
//! what that depends on.

use crate::{
    Secret,
    api::{
        Attachment, ChannelStats, Command, Device, Export, Failure, FailureKind, Followed, GatewayStatus,
        Health, LogEntry, LogPage, LogQuery, Managed, MessageQuery, NewCommand, Nothing, Page, Profile, Put,
        ServerStatus,
    },
    objects::check_name,
    senml::Record,
    tls,
};
use futures::{Stream, stream};
use iotorch_core::ErrorKind;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use std::{error::Error as StdError, fmt, path::Path, time::Duration};

/// How long a request may take, answer included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a stream may be silent: its server sends an empty line more often.
const SILENCE: Duration = Duration::from_secs(60);

/// The longest line of a stream in bytes. It is more than the largest message that a server takes as a rule.
const LONGEST_LINE: usize = 1024 * 1024;

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
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
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

/// What a client of a gateway or server checks certificates by, for HTTP, MQTT and whatever else speaks TLS: against the
/// authorities in a PEM file, or without one those that the system trusts.
///
/// # Errors
///
/// [`Error::Invalid`] if the file cannot be used.
pub fn tls(authorities: Option<&Path>) -> Result<rustls::ClientConfig> {
    tls::trusting(authorities).map_err(|error| Error::Invalid { message: error.to_string() })
}

/// What both clients share: where to send requests, and the token.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    http: reqwest::Client,
    base_url: String,
    token: Secret,
}

impl Connection {
    /// `trust` is a file of the authorities to trust with TLS, in place of those of the system.
    pub(crate) fn new(base_url: impl Into<String>, token: Secret, trust: Option<&Path>) -> Result<Self> {
        let base_url = base_url.into().trim_end_matches('/').to_owned();
        let tls = if base_url.starts_with("https:") { tls::trusting(trust) } else { tls::trusting_nobody() };
        let tls = tls.map_err(|error| Error::Invalid { message: error.to_string() })?;
        // A management API is on this host or behind a forwarded port, so never behind a proxy.
        let http =
            reqwest::Client::builder().timeout(TIMEOUT).no_proxy().tls_backend_preconfigured(tls).build()?;
        Ok(Self { http, base_url, token })
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

    /// Follows a stream until it ends or fails.
    async fn follow<T: DeserializeOwned>(
        &self,
        path: &[&str],
    ) -> Result<impl Stream<Item = Result<Followed<T>>> + Send + use<T>> {
        let request = self.request(Method::GET, path)?.timeout(Duration::MAX);
        let answer = tokio::time::timeout(TIMEOUT, send(request)).await.map_err(|_| Error::Timeout)??;
        let lines = Lines { answer, read: Vec::new() };
        Ok(stream::try_unfold(lines, async |mut lines| {
            let Some(line) = lines.next().await? else { return Ok(None) };
            let item = serde_json::from_slice(&line).map_err(|_| unexpected(200, &line))?;
            Ok(Some((item, lines)))
        }))
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
    Err(match (error.kind, error.owner) {
        (FailureKind::Conflict, Some(owner)) => Error::Conflict { owner },
        (FailureKind::InUse, _) => Error::InUse { message },
        (FailureKind::NotFound, _) => Error::NotFound { message },
        (FailureKind::Invalid, _) => Error::Invalid { message },
        _ => unexpected(),
    })
}

/// The lines of an answer that goes on.
struct Lines {
    answer: Response,
    /// What was read and is not yet a line.
    read: Vec<u8>,
}

impl Lines {
    /// The next line that is not empty.
    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).take(end).collect();
                if !line.is_empty() {
                    return Ok(Some(line));
                }
            } else if self.read.len() > LONGEST_LINE {
                return Err(unexpected(200, &self.read));
            } else {
                let more = tokio::time::timeout(SILENCE, self.answer.chunk()).await;
                let Some(more) = more.map_err(|_| Error::Timeout)?? else { return Ok(None) };
                self.read.extend_from_slice(&more);
            }
        }
    }
}

fn unexpected(status: u16, body: &[u8]) -> Error {
    Error::Unexpected { status, body: String::from_utf8_lossy(body).chars().take(SHOWN).collect() }
}

async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<T> {
    let response = send(request).await?;
    let status = response.status().as_u16();
    let body = response.bytes().await?;
    serde_json::from_slice(&body).map_err(|_| unexpected(status, &body))
}

/// The calls that gateway and server have in common.
macro_rules! common_calls {
    ($client:ty, $status:ty) => {
        impl $client {
            /// A client of the management API at this URL, such as `http://127.0.0.1:8080`. With `https` its certificate
            /// is checked against the authorities that the system trusts.
            ///
            /// # Errors
            ///
            /// [`Error::Unreachable`] if no HTTP client can be made on this system.
            pub fn new(base_url: impl Into<String>, token: Secret) -> Result<Self> {
                Connection::new(base_url, token, None).map(Self)
            }

            /// The same, with the authorities in a PEM file in place of those that the system trusts.
            ///
            /// # Errors
            ///
            /// [`Error::Invalid`] if the file cannot be used; see [`Self::new`].
            pub fn trusting(base_url: impl Into<String>, token: Secret, authorities: &Path) -> Result<Self> {
                Connection::new(base_url, token, Some(authorities)).map(Self)
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

            /// Entries of its log, the oldest first.
            ///
            /// # Errors
            ///
            /// See [`Error`].
            pub async fn log(&self, query: &LogQuery) -> Result<LogPage> {
                read(self.0.request(Method::GET, &["log"])?.query(query)).await
            }

            /// The entries that its log gets from now on. The stream ends when the software stops, and after an error.
            ///
            /// # Errors
            ///
            /// See [`Error`].
            pub async fn follow_log(
                &self,
            ) -> Result<impl Stream<Item = Result<Followed<LogEntry>>> + Send + use<>> {
                self.0.follow(&["log", "stream"]).await
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

    /// Sends a command to a device: it waits there for the device.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the device does not exist, [`Error::Invalid`] if its profile does not allow the command or
    /// too many commands wait for it; see [`Error`].
    pub async fn send_command(&self, device: &str, command: &NewCommand) -> Result<Command> {
        read(self.0.request(Method::POST, &["devices", device, "commands"])?.json(command)).await
    }

    /// The commands that wait for a device, and the last ones that have ended, the oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the device does not exist; see [`Error`].
    pub async fn commands(&self, device: &str) -> Result<Vec<Command>> {
        self.0.get(&["devices", device, "commands"]).await
    }

    /// One command of a device, as soon as it has ended or `wait`, at most 60 s, is over.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such command, or not any more; see [`Error`].
    pub async fn command(&self, device: &str, id: u64, wait: Duration) -> Result<Command> {
        let request = self.0.request(Method::GET, &["devices", device, "commands", &id.to_string()])?;
        read(request.query(&[("wait", wait.as_secs_f64())]).timeout(wait.saturating_add(TIMEOUT))).await
    }

    /// Withdraws a command and says what became of it: one that had ended before stays as it was.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such command; see [`Error`].
    pub async fn withdraw_command(&self, device: &str, id: u64) -> Result<Command> {
        read(self.0.request(Method::DELETE, &["devices", device, "commands", &id.to_string()])?).await
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

    /// A page of messages of a channel.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the tenant has no such channel; see [`Error`].
    pub async fn messages(&self, tenant: &str, channel: &str, query: &MessageQuery) -> Result<Page> {
        let path = ["tenants", tenant, "channels", channel, "messages"];
        read(self.0.request(Method::GET, &path)?.query(query)).await
    }

    /// The messages that a channel gets from now on. The stream ends when the server stops, and after an error.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the tenant has no such channel; see [`Error`].
    pub async fn follow(
        &self,
        tenant: &str,
        channel: &str,
    ) -> Result<impl Stream<Item = Result<Followed<Record>>> + Send + use<>> {
        self.0.follow(&["tenants", tenant, "channels", channel, "messages", "stream"]).await
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
