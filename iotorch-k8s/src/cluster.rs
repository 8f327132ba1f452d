//! One cluster, connected when it is first used.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use iotorch_core::{Error, ErrorKind, Result, model::InfrastructureName};
use jiff::Timestamp;
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use tokio::sync::Mutex;
use tower::timeout::TimeoutLayer;

use crate::{config::KubernetesConfig, error::kind_of};

/// How long to wait for a connection where the configuration says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the API server may take until it begins to answer. A webhook that it asks may take 30 s
/// (<https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#timeouts>). When the network is cut in the
/// middle of a request, nothing else would tell.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);

/// A cluster by the name of its infrastructure.
pub(crate) struct Cluster {
    pub(crate) name: InfrastructureName,
    pub(crate) config: KubernetesConfig,
    /// The client of somebody else who has connected to it.
    given: Option<Client>,
    connected: Mutex<Option<Connected>>,
}

/// A client by a kubeconfig as it was when it was read.
struct Connected {
    client: Client,
    /// When the file was written.
    written: Option<SystemTime>,
    /// When the token in it ends, if that is known.
    expiry: Option<Timestamp>,
}

impl Cluster {
    pub(crate) const fn new(name: InfrastructureName, config: KubernetesConfig) -> Self {
        Self { name, config, given: None, connected: Mutex::const_new(None) }
    }

    /// A cluster that somebody else has connected to.
    pub(crate) fn connected(name: InfrastructureName, config: KubernetesConfig, client: Client) -> Self {
        Self { given: Some(client), ..Self::new(name, config) }
    }

    /// The client. The kubeconfig is read when it is first used, so that making a handle needs no I/O, and when it was written anew,
    /// as it is with another token or certificate.
    pub(crate) async fn client(&self) -> Result<Client> {
        if let Some(client) = &self.given {
            return Ok(client.clone());
        }
        let written = self.written();
        let mut connected = self.connected.lock().await;
        if let Some(connected) = connected.as_ref().filter(|connected| connected.written == written) {
            return Ok(connected.client.clone());
        }
        let (client, expiry) = self.connect().await?;
        *connected = Some(Connected { client: client.clone(), written, expiry });
        Ok(client)
    }

    fn written(&self) -> Option<SystemTime> {
        let metadata = std::fs::metadata(self.config.kubeconfig.as_ref()?);
        metadata.and_then(|metadata| metadata.modified()).ok()
    }

    /// Why the API server does not accept our credentials, where they tell it themselves.
    pub(crate) async fn expired(&self) -> Option<String> {
        let expiry = self.connected.lock().await.as_ref()?.expiry?;
        let has_ended = expiry <= Timestamp::now();
        has_ended.then(|| format!("the token of the kubeconfig's user expired at {expiry}"))
    }

    async fn connect(&self) -> Result<(Client, Option<Timestamp>)> {
        let mut config = self.client_config().await?;
        let expiry = expiry(&config.auth_info);
        config.connect_timeout =
            Some(self.config.connect_timeout.map_or(CONNECT_TIMEOUT, |timeout| timeout.duration()));
        // Only core tries again.
        config.default_retry = false;
        if let Some(whom) = &self.config.impersonate {
            config.auth_info.impersonate = Some(whom.user.clone());
            config.auth_info.impersonate_groups =
                Some(whom.groups.clone()).filter(|groups| !groups.is_empty());
        }
        let client = ClientBuilder::try_from(config)
            .map_err(|error| self.failed(kind_of(&error), error.to_string()))?;
        Ok((client.with_layer(&TimeoutLayer::new(ANSWER_TIMEOUT)).build(), expiry))
    }

    async fn client_config(&self) -> Result<Config> {
        if self.config.in_cluster {
            return Config::incluster().map_err(|error| self.failed(ErrorKind::Invalid, error.to_string()));
        }
        let kubeconfig = match &self.config.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let kubeconfig = kubeconfig.map_err(|error| self.unusable(&error, None))?;
        let options =
            KubeConfigOptions { context: self.config.context.clone(), ..KubeConfigOptions::default() };
        let contexts = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        config.map_err(|error| self.unusable(&error, Some(contexts)))
    }

    /// Why a kubeconfig cannot be used.
    fn unusable(&self, error: &KubeconfigError, contexts: Option<Vec<String>>) -> Error {
        match (error, contexts) {
            (KubeconfigError::LoadContext(context), Some(contexts)) => {
                let why = format!("the kubeconfig has no context \"{context}\"");
                let help = match contexts.as_slice() {
                    [] => "it has none at all".to_owned(),
                    contexts => format!("it has {}", quoted(contexts)),
                };
                self.failed(ErrorKind::Invalid, why).with_help(help)
            }
            (KubeconfigError::CurrentContextNotSet, Some(contexts)) => self
                .failed(ErrorKind::Invalid, "the kubeconfig has no current context".to_owned())
                .with_help(format!("set \"context\" to one of {}", quoted(&contexts))),
            (error, _) => {
                let mut why = error.to_string();
                let mut inner = std::error::Error::source(error);
                while let Some(source) = inner {
                    why = format!("{why}: {source}");
                    inner = source.source();
                }
                self.failed(ErrorKind::Invalid, why)
            }
        }
    }

    fn failed(&self, kind: ErrorKind, why: String) -> Error {
        Error::new(kind, format!("cannot connect to infrastructure \"{}\"", self.name))
            .with_source(Error::new(kind, why))
    }
}

/// When a token ends that says so itself: a JWT with the claim `exp` (RFC 7519 section 4.1.4), as service accounts have.
fn expiry(user: &AuthInfo) -> Option<Timestamp> {
    let user = serde_json::to_value(user).ok()?;
    let claims = user["token"].as_str()?.split('.').nth(1)?;
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    Timestamp::from_second(claims["exp"].as_i64()?).ok()
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kubeconfig_that_was_written_anew_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let write = |namespace: &str, age: u64| {
            let context = serde_json::json!({ "cluster": "a", "user": "a", "namespace": namespace });
            let kubeconfig = serde_json::json!({ "current-context": "a", "contexts": [{ "name": "a", "context": context }],
                "clusters": [{ "name": "a", "cluster": { "server": "http://192.0.2.1" } }], "users": [{ "name": "a", "user": {} }] });
            std::fs::write(&path, kubeconfig.to_string()).unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        };
        let config = KubernetesConfig { kubeconfig: Some(path.clone()), ..KubernetesConfig::default() };
        let cluster = Cluster::new("edge-1".parse().unwrap(), config);
        for (namespace, age) in [("a", 60), ("b", 30)] {
            write(namespace, age);
            for _ in 0..2 {
                assert_eq!(cluster.client().await.unwrap().default_namespace(), namespace);
            }
        }
    }

    #[test]
    fn a_token_tells_when_it_ends_if_it_is_one_that_does() {
        let end = |token: &str| {
            let user: AuthInfo = serde_json::from_value(serde_json::json!({ "token": token })).unwrap();
            expiry(&user).map(Timestamp::as_second)
        };
        assert_eq!(end("eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE3MDAwMDAwMDB9.c2ln"), Some(1_700_000_000));
        assert_eq!(end("eyJhbGciOiJSUzI1NiJ9.e30.c2ln"), None);
        assert_eq!(end("31d6cfe0d16ae931b73c59d7e0c089c0"), None);
    }
}
