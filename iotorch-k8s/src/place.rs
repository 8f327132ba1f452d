//! A cluster as a place.

use std::sync::Arc;

use async_trait::async_trait;
use iotorch_core::{
    Error, ErrorKind, Facts, Place, Result, Route,
    model::{ByteSize, Capacity, Cpu},
    resource::Endpoint,
};
use k8s_openapi::{
    api::core::v1::{Node, NodeAddress},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{Api, api::ListParams};

use crate::{
    cluster::Cluster,
    error::failed,
    forward::{self, Target},
    quantity,
};

/// A cluster by its infrastructure.
#[derive(Debug)]
pub(crate) struct KubernetesPlace {
    pub(crate) cluster: Arc<Cluster>,
}

#[async_trait]
impl Place for KubernetesPlace {
    async fn survey(&self) -> Result<Facts> {
        let what = || format!("cannot survey infrastructure \"{}\"", self.cluster.name);
        let client = self.cluster.client().await?;
        let version = client.apiserver_version().await.map_err(|error| failed(what(), error))?;
        let nodes = nodes(client).await.map_err(|error| failed(what(), error))?;
        let usable: Vec<_> = nodes.iter().filter(|node| takes_pods(node)).collect();
        let addresses = nodes.iter().filter_map(|node| address(node)?.address.parse().ok()).collect();
        let total = |resource: &str, read: fn(&Quantity) -> Option<u64>| {
            usable.iter().map(|node| allocatable(node, resource).and_then(read)).sum::<Option<u64>>()
        };
        let capacity = Capacity {
            cpu: total("cpu", quantity::millis).map(Cpu::from_millis),
            memory: total("memory", quantity::bytes).map(ByteSize::from_bytes),
            // What volumes can have is up to their storage class, not to the nodes.
            storage: None,
        };
        let known = |capacity: Capacity| if usable.is_empty() { Capacity::default() } else { capacity };
        Ok(Facts { version: version.git_version, capacity: known(capacity), nodes: addresses })
    }

    async fn open(&self, to: &Endpoint) -> Result<Route> {
        match to {
            Endpoint::Net(address) => Ok(Route::direct(address.clone())),
            Endpoint::Service { infrastructure, .. } if *infrastructure != self.cluster.name => {
                let why = format!("this is infrastructure \"{}\"", self.cluster.name);
                Err(Error::new(ErrorKind::NotFound, format!("cannot open a route to {to}"))
                    .with_source(Error::new(ErrorKind::NotFound, why)))
            }
            Endpoint::Service { namespace, name, port, .. } => {
                let target =
                    Target { namespace: namespace.clone(), service: name.clone(), port: port.clone() };
                let (address, guard) = forward::open(self.cluster.client().await?, target).await?;
                Ok(Route::guarded(address, guard))
            }
        }
    }
}

/// All nodes of a cluster.
pub(crate) async fn nodes(client: &kube::Client) -> kube::Result<Vec<Node>> {
    Ok(Api::<Node>::all(client.clone()).list(&ListParams::default()).await?.items)
}

/// Where a node is reached: from outside of its network if it can be.
pub(crate) fn address(node: &Node) -> Option<&NodeAddress> {
    let addresses = || node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    ["ExternalIP", "InternalIP"]
        .iter()
        .find_map(|wanted| addresses().find(|address| address.type_ == *wanted))
}

/// Whether new pods can go to a node.
fn takes_pods(node: &Node) -> bool {
    let cordoned = node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true));
    let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    !cordoned && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn allocatable<'a>(node: &'a Node, resource: &str) -> Option<&'a Quantity> {
    node.status.as_ref()?.allocatable.as_ref()?.get(resource)
}
