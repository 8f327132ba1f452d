//! Port-forwards: from a port of this host through the API server to a pod.

use std::{any::Any, net::Ipv4Addr};

use iotorch_core::{Error, ErrorKind, Result, resource::NetAddress};
use k8s_openapi::{
    api::core::v1::{Pod, Service, ServicePort},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{Api, Client, api::ListParams};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
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
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (client, target) = (client.clone(), target.clone());
                    connections.spawn(async move {
                        if let Err(error) = carry(&client, &target, stream).await {
                            // The other end sees a connection that is closed, and says so in its own words.
                            tracing::debug!(%error, cause = %error.to_cause(), "a forwarded connection failed");
                        }
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection to forward could not be taken");
                    tokio::task::yield_now().await;
                }
            },
            Some(_) = connections.join_next() => {}
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
    let pods = Api::<Pod>::namespaced(client.clone(), &target.namespace);
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

fn runs(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The number of a service's port in the pod (`targetPort`: a number, a name, or nothing for the same number).
fn container_port(port: &ServicePort, pod: &Pod) -> Option<u16> {
    let number = match &port.target_port {
        None => port.port,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) => pod
            .spec
            .iter()
            .flat_map(|spec| &spec.containers)
            .flat_map(|container| container.ports.iter().flatten())
            .find(|port| port.name.as_deref() == Some(name))
            .map(|port| port.container_port)?,
    };
    number.try_into().ok()
}
