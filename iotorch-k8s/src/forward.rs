//! Port-forwards: from a port of this host through the API server to a pod.

use std::{
    any::Any,
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use iotorch_core::{Error, ErrorKind, Result, resource::NetAddress};
use k8s_openapi::{
    api::core::v1::{Pod, Service, ServicePort},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{
    Api, Client,
    api::ListParams,
    core::{ApiResource, DynamicObject},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;

use crate::error::failed;

/// The port of a service.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) namespace: String,
    pub(crate) service: String,
    /// Its name or number.
    pub(crate) port: String,
}

impl Target {
    fn what(&self) -> String {
        format!(
            "cannot reach port \"{}\" of service \"{}\" in \"{}\"",
            self.port, self.service, self.namespace
        )
    }

    fn error(&self, kind: ErrorKind, why: impl Into<String>) -> Error {
        Error::new(kind, self.what()).with_source(Error::new(kind, why))
    }
}

/// Listens on a free port of this host, and takes each connection to a pod behind the service as long as the guard is held. Each
/// connection finds its pod anew, so that the way outlives a pod.
pub(crate) async fn open(client: &Client, target: Target) -> Result<(NetAddress, impl Any + Send + Sync)> {
    // A service that is not there, or has no pod, is told now and not with each connection.
    find(client, &target).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.map_err(|error| target.error(ErrorKind::Unexpected, error.to_string()))?;
    let port =
        listener.local_addr().map_err(|error| target.error(ErrorKind::Unexpected, error.to_string()))?.port();
    let accepting = tokio::spawn(accept(client.clone(), target, listener));
    let address = NetAddress { host: Ipv4Addr::LOCALHOST.to_string(), port, tls: false };
    Ok((address, AbortOnDropHandle::new(accepting)))
}

async fn accept(client: Client, target: Target, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            stream = next(|| listener.accept()) => {
                let (client, target) = (client.clone(), target.clone());
                connections.spawn(async move {
                    if let Err(error) = carry(&client, &target, stream).await {
                        // The other end sees a connection that is closed, and says so in its own words.
                        tracing::debug!(%error, cause = %error.to_cause(), "a forwarded connection failed");
                    }
                });
            }
            // It may be what the next one has waited for.
            Some(_) = connections.join_next() => {}
        }
    }
}

/// How long to wait when no connection can be taken: mostly because this process has as many open files as it may have, which
/// trying again at once does not change.
const PAUSE: Duration = Duration::from_millis(200);

/// The next connection.
async fn next<F, A>(accept: F) -> TcpStream
where
    F: Fn() -> A,
    A: Future<Output = io::Result<(TcpStream, SocketAddr)>>,
{
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    loop {
        match accept().await {
            Ok((stream, _)) => return stream,
            // Whoever wanted it is gone already.
            Err(error) if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) => {
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to forward could not be taken");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn carry(client: &Client, target: &Target, mut stream: TcpStream) -> Result<()> {
    let (pod, port) = find(client, target).await?;
    let pods = Api::<Pod>::namespaced(client.clone(), &target.namespace);
    let mut forward = pods.portforward(&pod, &[port]).await.map_err(|error| failed(target.what(), error))?;
    let mut there = forward
        .take_stream(port)
        .ok_or_else(|| target.error(ErrorKind::Unexpected, "the API server gave no stream"))?;
    // Either side may close in the middle; that is theirs to tell.
    let _ = copy_bidirectional(&mut stream, &mut there).await;
    Ok(())
}

/// The pod and the port in it that a connection goes to.
async fn find(client: &Client, target: &Target) -> Result<(String, u16)> {
    let services = Api::<Service>::namespaced(client.clone(), &target.namespace);
    let service = services.get(&target.service).await.map_err(|error| failed(target.what(), error))?;
    let spec = service.spec.unwrap_or_default();
    let port = spec.ports.iter().flatten().find(|port| is_called(port, &target.port)).cloned();
    let port = port.ok_or_else(|| target.error(ErrorKind::NotFound, "the service has no such port"))?;
    let selector = spec.selector.unwrap_or_default();
    if selector.is_empty() {
        return Err(target.error(ErrorKind::Unsupported, "the service selects no pods"));
    }
    let labels = selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
    // Of what may be in a pod little is read here, and code for reading all of it would be large.
    let pods = ApiResource::erase::<Pod>(&());
    let pods = Api::<DynamicObject>::namespaced_with(client.clone(), &target.namespace, &pods);
    let pods = pods.list(&ListParams::default().labels(&labels)).await;
    let pods = pods.map_err(|error| failed(target.what(), error))?;
    // One that is ready is better, but one that only runs may be the one that is asked whether it is ready.
    let mut running: Vec<_> = pods.items.into_iter().filter(runs).collect();
    running.sort_by_key(|pod| !is_ready(pod));
    let pod = running.into_iter().next();
    let pod = pod.ok_or_else(|| target.error(ErrorKind::NotReady, "no pod of the service runs"))?;
    let number = container_port(&port, &pod)
        .ok_or_else(|| target.error(ErrorKind::NotFound, "the pod of the service has no such port"))?;
    let name = pod.metadata.name.unwrap_or_default();
    Ok((name, number))
}

fn is_called(port: &ServicePort, name: &str) -> bool {
    port.name.as_deref() == Some(name) || port.port.to_string() == name
}

fn runs(pod: &DynamicObject) -> bool {
    pod.metadata.deletion_timestamp.is_none() && pod.data["status"]["phase"] == "Running"
}

fn is_ready(pod: &DynamicObject) -> bool {
    let conditions = pod.data["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// The number of a service's port in the pod (`targetPort`: a number, a name, or nothing for the same number).
fn container_port(port: &ServicePort, pod: &DynamicObject) -> Option<u16> {
    let number = match &port.target_port {
        None => port.port.into(),
        Some(IntOrString::Int(number)) => (*number).into(),
        Some(IntOrString::String(name)) => {
            let containers = pod.data["spec"]["containers"].as_array()?.iter();
            let mut ports =
                containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
            ports.find(|port| port["name"] == name.as_str())?["containerPort"].as_i64()?
        }
    };
    number.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::json;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_process_with_too_many_open_files_waits_before_it_takes_another_connection() {
        const EMFILE: i32 = 24;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let _wanted = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tries, begun) = (AtomicU32::new(0), Instant::now());
        let accept = || async {
            match tries.fetch_add(1, Ordering::Relaxed) {
                0 => Err(io::ErrorKind::ConnectionAborted.into()),
                1..5 => Err(io::Error::from_raw_os_error(EMFILE)),
                _ => listener.accept().await,
            }
        };
        next(accept).await;
        assert_eq!(begun.elapsed().as_millis(), 4 * PAUSE.as_millis());
    }

    #[test]
    fn the_port_in_a_pod_is_that_which_the_service_means() {
        let pod = json!({ "metadata": { "name": "gw-0" }, "spec": { "containers": [
            { "name": "sidecar" }, { "name": "gw", "ports": [{ "name": "http", "containerPort": 8080 }] } ] } });
        let pod: DynamicObject = serde_json::from_value(pod).unwrap();
        let number = |target: Option<IntOrString>| {
            container_port(&ServicePort { port: 80, target_port: target, ..ServicePort::default() }, &pod)
        };
        assert_eq!(number(None), Some(80));
        assert_eq!(number(Some(IntOrString::Int(81))), Some(81));
        assert_eq!(number(Some(IntOrString::String("http".to_owned()))), Some(8080));
        assert_eq!(number(Some(IntOrString::String("mqtt".to_owned()))), None);
    }
}
