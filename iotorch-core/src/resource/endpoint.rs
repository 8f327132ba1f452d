//! Endpoints: durable facts about where something listens.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::InfrastructureName;

/// Where something listens. How to reach it from here is a [`crate::Route`], opened by the [`crate::Place`] it is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Endpoint {
    /// A named port of a service inside an infrastructure.
    Service {
        /// The infrastructure.
        infrastructure: InfrastructureName,
        /// The namespace in it.
        namespace: String,
        /// The service.
        name: String,
        /// The port's name or number.
        port: String,
    },
    /// An address that is the same for everyone who can route to it.
    Net(NetAddress),
}

impl Endpoint {
    /// An address without TLS.
    pub fn net(host: impl Into<String>, port: u16) -> Self {
        Self::Net(NetAddress { host: host.into(), port, tls: false })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { infrastructure, namespace, name, port } => {
                write!(f, "{name}.{namespace}:{port} on {infrastructure}")
            }
            Self::Net(address) => fmt::Display::fmt(address, f),
        }
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetAddress {
    /// A host name or IP address.
    pub host: String,
    /// A TCP or UDP port, 1 to 65535.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Whether TLS is spoken there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
}

impl fmt::Display for NetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
