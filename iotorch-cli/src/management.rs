//! The management APIs of a slice's `lite` gateways and servers, as their operator: with the token of their administrator.
//!
//! What carries the readings of an EdgeX gateway north is a gateway of `lite` too, its bridge, and is looked at in the same way.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use futures::{StreamExt, stream::BoxStream};
use iotorch_core::{
    Error, ErrorKind, Result, Route,
    model::PartName,
    resource::{ApplicationSpec, CredentialOutputs, KindName, NetAddress, Outputs, ResourceId, Role, Spec},
    status::{ResourceStatus, SliceStatus},
};
use iotorch_lite::{
    Secret,
    api::{Followed, LogEntry, LogPage, LogQuery, Refused},
    client::{self, GatewayClient, ServerClient},
};
use serde::Serialize;

use crate::installation::Session;

/// The name of the driver whose gateways and servers are managed this way.
pub(crate) const LITE: &str = "lite";

/// The name of the driver of gateways of EdgeX.
pub(crate) const EDGEX: &str = "edgex";

/// The name of the driver of servers of Mainflux, SuperMQ and Magistrala.
pub(crate) const MAINFLUX: &str = "mainflux";

/// The endpoint of the management API.
pub(crate) const MANAGEMENT: &str = "management";

/// The endpoint of the management API of what carries an EdgeX gateway's readings north, which is a gateway of `lite`.
const BRIDGE: &str = "bridge";

/// A gateway or server of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its name in the document.
    pub(crate) name: PartName,
    /// Its management API.
    pub(crate) api: Api,
    /// Whether it runs outside of iotorch, where others use it too.
    pub(crate) is_shared: bool,
    /// Whether it is the bridge of a gateway, and no gateway itself.
    pub(crate) is_bridge: bool,
    _route: Arc<Route>,
}

/// The management API of a gateway or server.
#[derive(Clone, Debug)]
pub(crate) enum Api {
    /// Of a gateway.
    Gateway(GatewayClient),
    /// Of a server.
    Server(ServerClient),
}

impl Part {
    /// Gateway or server.
    pub(crate) const fn role(&self) -> Role {
        match self.api {
            Api::Gateway(_) => Role::Gateway,
            Api::Server(_) => Role::Server,
        }
    }

    /// What it has refused since its start, by user name.
    async fn refused(&self) -> Result<BTreeMap<String, Refused>> {
        let refused = match &self.api {
            Api::Gateway(gateway) => gateway.status().await.map(|status| status.refused),
            Api::Server(server) => server.status().await.map(|status| status.refused),
        };
        refused.map_err(|error| failed(format!("cannot ask {self}"), error))
    }

    fn refusal(&self, user: String, Refused { logins, requests, last_reason, .. }: Refused) -> Refusal {
        Refusal { by: self.name.clone(), user, logins, requests, last_reason }
    }

    /// Entries of its log.
    pub(crate) async fn log(&self, query: &LogQuery) -> Result<LogPage> {
        let page = match &self.api {
            Api::Gateway(gateway) => gateway.log(query).await,
            Api::Server(server) => server.log(query).await,
        };
        page.map_err(|error| self.unreadable(error))
    }

    /// The entries that its log gets from now on, until it stops.
    pub(crate) async fn follow_log(
        &self,
    ) -> Result<BoxStream<'static, Result<Followed<LogEntry>, client::Error>>> {
        let coming = match &self.api {
            Api::Gateway(gateway) => gateway.follow_log().await.map(StreamExt::boxed),
            Api::Server(server) => server.follow_log().await.map(StreamExt::boxed),
        };
        coming.map_err(|error| self.unreadable(error))
    }

    fn unreadable(&self, error: client::Error) -> Error {
        failed(format!("cannot read the log of {self}"), error)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = if self.is_bridge { "the bridge of " } else { "" };
        write!(f, "{of}{} \"{}\"", self.role(), self.name)
    }
}

/// The gateways and servers of a slice that can be managed this way.
pub(crate) async fn parts(session: &Session, status: &SliceStatus) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for resource in &status.resources {
        parts.extend(part(session, resource).await?);
    }
    Ok(parts)
}

/// Logins and messages of one user that a gateway or server has refused since its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refusal {
    /// Who refused: its name in the document.
    pub(crate) by: PartName,
    /// The user name.
    pub(crate) user: String,
    /// Refused logins.
    pub(crate) logins: u64,
    /// Refused messages and subscriptions.
    pub(crate) requests: u64,
    /// Why the last one was refused.
    pub(crate) last_reason: String,
}

/// What the gateways and servers of a slice have refused. One that others use too is not asked: most of it concerns them; and of one
/// that does not answer nothing is known.
pub(crate) async fn refusals(session: &Session, status: &SliceStatus) -> Vec<Refusal> {
    let parts = parts(session, status).await.unwrap_or_else(|error| {
        tracing::warn!(slice = %status.slice, cause = %error.to_cause(), "cannot ask what was refused");
        Vec::new()
    });
    let own = parts.iter().filter(|part| !part.is_shared);
    let asked = own.map(async |part| match part.refused().await {
        Ok(refused) => refused.into_iter().map(|(user, refused)| part.refusal(user, refused)).collect(),
        Err(error) => {
            tracing::warn!(cause = %error.to_cause(), "cannot ask what was refused");
            Vec::new()
        }
    });
    futures::future::join_all(asked).await.concat()
}

/// What manages a gateway of `lite`, or the bridge of another one, with the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    /// Its management API.
    pub(crate) client: GatewayClient,
    /// Whether it only carries what devices say to another gateway.
    pub(crate) is_bridge: bool,
    _route: Arc<Route>,
}

/// The gateway of a slice, if it can be managed this way.
pub(crate) async fn gateway(
    session: &Session,
    status: &SliceStatus,
    name: &PartName,
) -> Result<Option<Gateway>> {
    let parts = parts(session, status).await?.into_iter();
    let found = parts.filter(|part| part.name == *name).find_map(|part| {
        let Part { api, is_bridge, _route, .. } = part;
        match api {
            Api::Gateway(client) => Some(Gateway { client, is_bridge, _route }),
            Api::Server(_) => None,
        }
    });
    Ok(found)
}

/// The newest generation of the credential of a device or attachment: an older one is about to be deleted.
pub(crate) fn newest_credential(
    status: &SliceStatus,
    holder: &ResourceId,
) -> Option<(u32, CredentialOutputs)> {
    let generations = status
        .resources
        .iter()
        .filter(|other| other.id.kind() == KindName::Credential && holder.contains(&other.id))
        .filter_map(|other| match &other.outputs {
            Some(Outputs::Credential(credential)) => {
                Some((other.id.name().parse().ok()?, credential.clone()))
            }
            _ => None,
        });
    generations.max_by_key(|(generation, _)| *generation)
}

async fn part(session: &Session, resource: &ResourceStatus) -> Result<Option<Part>> {
    let (Some(Spec::Application(spec)), Some(Outputs::Application(there))) =
        (&resource.spec, &resource.outputs)
    else {
        return Ok(None);
    };
    let (endpoint, is_bridge) = match spec.application.as_str() {
        LITE => (MANAGEMENT, false),
        EDGEX => (BRIDGE, true),
        _ => return Ok(None),
    };
    let Some(endpoint) = there.endpoints.get(endpoint) else { return Ok(None) };
    let route = session.route(endpoint).await?;
    let token = Secret::new(session.secrets().fetch(&there.admin).await?.expose());
    let url = url(route.address());
    let api = match (spec.role, trust(spec)) {
        (Role::Gateway, None) => GatewayClient::new(url, token).map(Api::Gateway),
        (Role::Gateway, Some(trust)) => GatewayClient::trusting(url, token, &trust).map(Api::Gateway),
        (Role::Server, None) => ServerClient::new(url, token).map(Api::Server),
        (Role::Server, Some(trust)) => ServerClient::trusting(url, token, &trust).map(Api::Server),
        (Role::Function, _) => return Ok(None),
    };
    let api = api.map_err(|error| failed("cannot make an HTTP client", error))?;
    let name = PartName::new(resource.id.part().unwrap_or_default())?;
    Ok(Some(Part { name, api, is_shared: spec.external.is_some(), is_bridge, _route: Arc::new(route) }))
}

/// The authorities that a gateway or server is checked by, where its settings name them in place of those that the system trusts.
pub(crate) fn trust(spec: &ApplicationSpec) -> Option<PathBuf> {
    spec.settings.get("trust")?.as_str().map(PathBuf::from)
}

/// The base of the URLs of an API.
pub(crate) fn url(address: &NetAddress) -> String {
    format!("http{}://{address}", if address.tls { "s" } else { "" })
}

/// Says what could not be done.
pub(crate) fn failed(what: impl Into<String>, error: client::Error) -> Error {
    let kind = match &error {
        client::Error::Unreachable(_) => ErrorKind::Unavailable,
        client::Error::Timeout => ErrorKind::Timeout,
        client::Error::Refused => ErrorKind::Denied,
        client::Error::NotFound { .. } => ErrorKind::NotFound,
        client::Error::Invalid { .. } => ErrorKind::Invalid,
        _ => ErrorKind::Unexpected,
    };
    Error::new(kind, what.into()).with_source(error)
}
