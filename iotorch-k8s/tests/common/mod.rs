//! The system that tests run against, and a way to it that can be closed.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Mutex,
};

use iotorch_core::model::Infrastructure;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use libtest_mimic::{Failed, Trial};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    task::{JoinHandle, JoinSet},
};

/// A cluster and a helm.
#[derive(Clone, Debug)]
pub struct System {
    pub kubeconfig: PathBuf,
    pub context: Option<String>,
    pub helm: PathBuf,
}

impl System {
    /// What the environment names, or what it does not.
    #[allow(clippy::disallowed_methods, reason = "a test is told by the environment what there is")]
    pub fn find() -> Result<Self, &'static str> {
        let path = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Ok(Self {
            kubeconfig: path("IOTORCH_KUBECONFIG").ok_or("kubernetes")?,
            context: env::var("IOTORCH_CONTEXT").ok(),
            helm: path("IOTORCH_HELM4").ok_or("helm4")?,
        })
    }

    fn options(&self) -> KubeConfigOptions {
        KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() }
    }

    pub async fn config(&self) -> Config {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        Config::from_custom_kubeconfig(kubeconfig, &self.options()).await.unwrap()
    }

    pub async fn client(&self) -> Client {
        Client::try_from(self.config().await).unwrap()
    }
}

/// Whether this system must be there, as CONTRIBUTING.md says.
#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what must be there")]
fn is_required(system: &str) -> bool {
    let required = env::var("IOTORCH_REQUIRE").unwrap_or_default();
    required.split(',').any(|word| ["all", system].contains(&word.trim()))
}

/// A trial that is ignored, with the reason, where the system is absent and need not be there.
pub fn trial(
    system: &Result<System, &'static str>,
    name: &str,
    body: impl FnOnce(System) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let is_ignored = system.as_ref().is_err_and(|missing| !is_required(missing));
    let kind = system
        .as_ref()
        .err()
        .map_or_else(|| "kubernetes".to_owned(), |missing| format!("{missing} is absent"));
    let system = system.clone();
    let trial = Trial::test(name, move || body(system.map_err(|missing| format!("{missing} is absent"))?));
    trial.with_kind(kind).with_ignored_flag(is_ignored)
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A runtime whose time goes on at once where all wait for it.
pub fn paused() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

pub fn infrastructure(name: &str) -> Infrastructure {
    let spec = serde_json::json!({ "driver": "kubernetes", "tier": "edge" });
    serde_json::from_value(serde_json::json!({ "name": name, "spec": spec })).unwrap()
}

/// A proxy in front of the API server, and a kubeconfig that leads through it.
#[derive(Debug)]
pub struct Proxy {
    there: SocketAddr,
    here: SocketAddr,
    kubeconfig: PathBuf,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    pub async fn open(system: &System, folder: &Path) -> Self {
        let url = system.config().await.cluster_url;
        let host = url.host().unwrap().to_owned();
        let there = tokio::net::lookup_host((host.as_str(), url.port_u16().unwrap_or(443)))
            .await
            .unwrap()
            .next()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();

        let mut through = Kubeconfig::read_from(&system.kubeconfig).unwrap();
        if let Some(context) = &system.context {
            through.current_context = Some(context.clone());
        }
        for cluster in through.clusters.iter_mut().filter_map(|cluster| cluster.cluster.as_mut()) {
            cluster.server = Some(format!("https://{here}"));
            cluster.tls_server_name = Some(host.clone());
        }
        let kubeconfig = folder.join("kubeconfig");
        std::fs::write(&kubeconfig, serde_json::to_string(&through).unwrap()).unwrap();
        let serving = tokio::spawn(serve(listener, there));
        Self { there, here, kubeconfig, serving: Mutex::new(Some(serving)) }
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Ends all connections, and refuses others.
    pub async fn close(&self) {
        let serving = self.serving.lock().unwrap().take();
        if let Some(serving) = serving {
            serving.abort();
            // It was cancelled.
            let _ = serving.await;
        }
    }

    pub async fn open_again(&self) {
        let listener = TcpListener::bind(self.here).await.unwrap();
        *self.serving.lock().unwrap() = Some(tokio::spawn(serve(listener, self.there)));
    }
}

async fn serve(listener: TcpListener, there: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((mut near, _)) = listener.accept() => {
                connections.spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(there).await {
                        // Either side may close.
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
