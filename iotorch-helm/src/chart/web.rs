//! How repositories and registries are asked: over HTTP, with bounds, with credentials only where they belong.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use reqwest::{
    Client, RequestBuilder, Response, StatusCode, Url,
    header::HeaderMap,
    redirect::{Action, Attempt, Policy},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// How long an answer may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// How often an answer may lead elsewhere.
const MOST_REDIRECTIONS: usize = 10;

/// A user name and a password of a repository or registry. The password is never shown, and wiped from memory afterwards.
#[derive(Clone)]
pub struct Credentials {
    user_name: String,
    password: Arc<Zeroizing<String>>,
}

impl Credentials {
    /// Takes over a user name and a password.
    #[must_use]
    pub fn new(user_name: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user_name: user_name.into(), password: Arc::new(Zeroizing::new(password.into())) }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user_name", &self.user_name).finish_non_exhaustive()
    }
}

/// Speaks HTTP to repositories and registries.
#[derive(Clone, Debug)]
pub(super) struct Web {
    /// For this machine, where no proxy helps.
    direct: Client,
    /// For all others, with the proxy that the environment names.
    far: Client,
    /// Of hosts, with their ports where they are not the usual ones.
    credentials: Arc<BTreeMap<String, Credentials>>,
    plain: Arc<BTreeSet<String>>,
}

impl Web {
    pub(super) fn new(credentials: BTreeMap<String, Credentials>, plain: BTreeSet<String>) -> Result<Self> {
        let plain = Arc::new(plain);
        let tls = tls()?;
        let client = |is_direct: bool| {
            let plain = Arc::clone(&plain);
            let builder = Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .redirect(Policy::custom(move |attempt| follow(attempt, &plain)))
                .connect_timeout(CONNECT)
                .read_timeout(SILENCE)
                .user_agent(concat!("iotorch-helm/", env!("CARGO_PKG_VERSION")));
            let builder = if is_direct { builder.no_proxy() } else { builder };
            builder
                .build()
                .map_err(|error| Error::new(ErrorKind::Unexpected, "cannot use HTTP").with_source(error))
        };
        Ok(Self { direct: client(true)?, far: client(false)?, credentials: Arc::new(credentials), plain })
    }

    /// Whether a host (`example.org:8080`) may be spoken to without TLS: it is this machine, or was allowed.
    pub(super) fn may_be_plain(&self, authority: &str) -> bool {
        Url::parse(&format!("http://{authority}/")).is_ok_and(|url| is_safe(&url, &self.plain))
    }

    /// A request for `url`, which is refused if it would have to go without TLS and must not.
    pub(super) fn get(&self, url: &Url) -> Result<RequestBuilder> {
        if !is_safe(url, &self.plain) {
            return Err(Error::new(ErrorKind::InvalidValues, format!("cannot ask \"{}\"", shown(url)))
                .with_source("without TLS anybody on the way could change the chart")
                .with_help(format!("use https, or allow \"{}\" to be asked without TLS", authority(url))));
        }
        let client = if is_loopback(url) { &self.direct } else { &self.far };
        Ok(client.get(url.clone()))
    }

    /// The credentials for the host of a URL.
    pub(super) fn credentials(&self, url: &Url) -> Option<&Credentials> {
        self.credentials.get(&authority(url))
    }

    /// What `url` has, at most `largest` bytes; credentials go along to their own host alone.
    pub(super) async fn fetch(&self, url: &Url, largest: usize) -> Result<Vec<u8>> {
        let mut request = self.get(url)?;
        if let Some(credentials) = self.credentials(url) {
            request = credentials.apply(request);
        }
        let answer = self.send(request, url).await?;
        read(answer, url, largest).await
    }

    /// Sends a request and gives an answer that is no error.
    pub(super) async fn send(&self, request: RequestBuilder, url: &Url) -> Result<Response> {
        let answer = self.ask(request, url).await?;
        match refusal(answer.status()) {
            None => Ok(answer),
            Some(kind) => Err(refused(kind, url, answer.status())),
        }
    }

    /// Sends a request and gives any answer.
    pub(super) async fn ask(&self, request: RequestBuilder, url: &Url) -> Result<Response> {
        request.send().await.map_err(|error| broken(url, error))
    }
}

impl Credentials {
    pub(super) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        request.basic_auth(&self.user_name, Some(self.password.as_str()))
    }
}

/// Reads an answer of at most `largest` bytes.
pub(super) async fn read(mut answer: Response, url: &Url, largest: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|error| broken(url, error))? {
        if bytes.len() + part.len() > largest {
            return Err(Error::new(ErrorKind::InvalidChart, format!("cannot read \"{}\"", shown(url)))
                .with_source(format!("it has more than {} MiB", largest >> 20)));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// The error of an answer that is one.
pub(super) fn refused(kind: ErrorKind, url: &Url, status: StatusCode) -> Error {
    let error = Error::new(kind, format!("cannot read \"{}\"", shown(url)))
        .with_source(format!("the answer is {status}"));
    match kind {
        ErrorKind::Denied => error.with_help(format!("give credentials of \"{}\"", authority(url))),
        _ => error,
    }
}

/// What an answer that is an error means.
pub(super) fn refusal(status: StatusCode) -> Option<ErrorKind> {
    match status.as_u16() {
        200..=299 => None,
        401 | 403 | 407 => Some(ErrorKind::Denied),
        404 | 410 => Some(ErrorKind::NotFound),
        408 | 425 | 429 | 500..=599 => Some(ErrorKind::Unreachable),
        _ => Some(ErrorKind::Unexpected),
    }
}

/// The host of a URL, with its port where that is not the usual one.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A URL without its query, in which stores of files put what is as good as a password.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// One value of a header, if it is text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether nobody on the way can change the answer, or somebody said that this does not matter.
fn is_safe(url: &Url, plain: &BTreeSet<String>) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => is_loopback(url) || plain.contains(&authority(url)),
        _ => false,
    }
}

fn follow(attempt: Attempt<'_>, plain: &BTreeSet<String>) -> Action {
    if attempt.previous().len() > MOST_REDIRECTIONS {
        attempt.error("there are too many redirections")
    } else if is_safe(attempt.url(), plain) {
        attempt.follow()
    } else {
        attempt.error("the redirection leads away from TLS")
    }
}

fn broken(url: &Url, error: reqwest::Error) -> Error {
    Error::new(ErrorKind::Unreachable, format!("cannot reach \"{}\"", authority(url)))
        .with_source(error.without_url())
}

/// Trusts whom the system trusts.
fn tls() -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    // Some of a system's certificates may be unusable; who needs one of them sees that it is not trusted.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Unexpected, "cannot use TLS").with_source(error))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
