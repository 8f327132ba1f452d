//! Spaces and workloads: what runs where.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Endpoint, SegmentOutputs};
use crate::{
    model::{Capacity, Chart, DriverName, Physical, Settings},
    secret::SecretRef,
};

/// The slice's own part of an infrastructure: a namespace, or a data directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpaceSpec {
    /// The name of the namespace or directory.
    pub name: String,
    /// The most that everything in it may take together.
    #[serde(default, skip_serializing_if = "Capacity::is_empty")]
    pub quota: Capacity,
}

/// What a Space tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpaceOutputs {
    /// The namespace or directory as the infrastructure knows it.
    pub namespace: String,
}

/// What a workload is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A gateway.
    Gateway,
    /// A server.
    Server,
    /// A network function.
    Function,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Gateway => "gateway",
            Self::Server => "server",
            Self::Function => "network function",
        })
    }
}

/// The deployment of a gateway, server or network function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSpec {
    /// Its name in the space: the Helm release, or the directory of the instance.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// The software, by the name of its application driver; none for a network function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<DriverName>,
    /// The chart that deploys it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<Chart>,
    /// A physical function, which is only referred to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical: Option<Physical>,
    /// What it takes of the place's capacity.
    #[serde(default, skip_serializing_if = "Capacity::is_empty")]
    pub needs: Capacity,
    /// What its driver needs to know beyond the model.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
    /// The secret that will manage the application in it; minted by core before the first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<SecretRef>,
}

/// What a Workload needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadInputs {
    /// The space it lives in; none for a physical function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<SpaceOutputs>,
    /// The segments it will be joined to, with the addresses chosen for it, by segment id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub segments: BTreeMap<String, SegmentOutputs>,
}

/// What a Workload tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadOutputs {
    /// The release and its revision, or the instance, in the words of the place.
    pub release: String,
    /// Where it listens, by the names that its application driver knows (`management`, `mqtt`, `http`).
    pub endpoints: BTreeMap<String, Endpoint>,
}

/// What an Application needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationInputs {
    /// The workload it lives in; none for an external application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadOutputs>,
}
