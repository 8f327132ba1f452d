//! A cluster as a place.

use std::sync::Arc;

use async_trait::async_trait;
use iotorch_core::{Error, ErrorKind, Facts, Inspection, Place, Result, Route, resource::Endpoint};
use k8s_openapi::api::core::v1::{Node, NodeAddress};
use kube::{Api, api::ListParams};

use crate::{
    cluster::Cluster,
    forward::{self, Target},
    survey,
};

/// A cluster by its infrastructure.
#[derive(Debug)]
pub(crate) struct KubernetesPlace {
    pub(crate) cluster: Arc<Cluster>,
}

#[async_trait]
impl Place for KubernetesPlace {
    async fn survey(&self) -> Result<Facts> {
        survey::of(&self.cluster).await?.facts(&self.cluster)
    }

    async fn inspect(&self) -> Result<Inspection> {
        Ok(survey::of(&self.cluster).await?.inspection())
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
                let (address, guard) = forward::open(&self.cluster.client().await?, target).await?;
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
