//! The management APIs of a slice's `lite` gateways and servers, as their operator: with the token of their administrator.
//!
//! What carries the readings of an EdgeX gateway north is a gateway of `lite` too, its bridge, and is looked at in the same way.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use futures::{StreamExt, stream::BoxStream};
use iotorch_core::{
    Error, Result, Route,
    model::PartName,
    resource::{
        ApplicationOutputs, ApplicationSpec, CredentialOutputs, Endpoint, KindName, NetAddress, Outputs,
        ResourceId, Role, Spec,
    },
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

/// A gateway or server of a slice that can be managed this way, as the status of the slice has it. Nobody has looked for it yet.
#[derive(Clone, Debug)]
pub(crate) struct Listed<'a> {
    /// Its name in the document.
    pub(crate) name: PartName,
    /// Whether it runs outside of iotorch, where others use it too.
    pub(crate) is_shared: bool,
    /// Whether it is the bridge of a gateway, and no gateway itself.
    pub(crate) is_bridge: bool,
    spec: &'a ApplicationSpec,
    there: &'a ApplicationOutputs,
    endpoint: &'a Endpoint,
}

/// A gateway or server of a slice, with the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its name in the document.
    pub(crate) name: PartName,
    /// Its management API.
    pub(crate) api: Api,
    is_bridge: bool,
    _route: Arc<Route>,
}

/// What comes to a log.
pub(crate) type Coming = BoxStream<'static, Result<Followed<LogEntry>, client::Error>>;

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
    pub(crate) async fn follow_log(&self) -> Result<Coming> {
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
pub(crate) fn listed(status: &SliceStatus) -> Vec<Listed<'_>> {
    status.resources.iter().filter_map(Listed::of).collect()
}

impl<'a> Listed<'a> {
    fn of(resource: &'a ResourceStatus) -> Option<Self> {
        let (Some(Spec::Application(spec)), Some(Outputs::Application(there))) =
            (&resource.spec, &resource.outputs)
        else {
            return None;
        };
        let (endpoint, is_bridge) = match spec.application.as_str() {
            LITE => (MANAGEMENT, false),
            EDGEX => (BRIDGE, true),
            _ => return None,
        };
        let (endpoint, name) = (there.endpoints.get(endpoint)?, PartName::new(resource.id.part()?).ok()?);
        let is_there = matches!(spec.role, Role::Gateway | Role::Server);
        let is_shared = spec.external.is_some();
        is_there.then_some(Self { name, is_shared, is_bridge, spec, there, endpoint })
    }

    /// Finds the way to it, and what its administrator is known by.
    pub(crate) async fn open(&self, session: &Session) -> Result<Part> {
        let route = session.route(self.endpoint).await?;
        let token = Secret::new(session.secrets().fetch(&self.there.admin).await?.expose());
        let (url, trust) = (url(route.address()), trust(self.spec));
        let api = match (self.spec.role, trust) {
            (Role::Server, None) => ServerClient::new(url, token).map(Api::Server),
            (Role::Server, Some(trust)) => ServerClient::trusting(url, token, &trust).map(Api::Server),
            (_, None) => GatewayClient::new(url, token).map(Api::Gateway),
            (_, Some(trust)) => GatewayClient::trusting(url, token, &trust).map(Api::Gateway),
        };
        let api = api.map_err(|error| failed("cannot make an HTTP client", error))?;
        Ok(Part { name: self.name.clone(), api, is_bridge: self.is_bridge, _route: Arc::new(route) })
    }
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
    let own = listed(status).into_iter().filter(|listed| !listed.is_shared);
    let asked = own.map(async |listed: Listed<'_>| -> Result<Vec<Refusal>> {
        let part = listed.open(session).await?;
        let refused = part.refused().await?.into_iter();
        Ok(refused.map(|(user, refused)| part.refusal(user, refused)).collect())
    });
    let known = futures::future::join_all(asked).await.into_iter().filter_map(|answer| {
        answer
            .inspect_err(|error| {
                tracing::warn!(slice = %status.slice, cause = %error.to_cause(), "cannot ask what was refused");
            })
            .ok()
    });
    known.flatten().collect()
}

/// What manages a gateway of `lite`, or the bridge of another one, with the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    /// Its management API.
    pub(crate) client: GatewayClient,
    /// Whether it only carries what devices say to another gateway.
    pub(crate) is_bridge: bool,
    /// Whether others use it too.
    pub(crate) is_shared: bool,
    _route: Arc<Route>,
}

/// The gateway of a slice, if it can be managed this way. No other one is looked for.
pub(crate) async fn gateway(
    session: &Session,
    status: &SliceStatus,
    name: &PartName,
) -> Result<Option<Gateway>> {
    let mut listed = listed(status).into_iter();
    let Some(listed) = listed.find(|it| it.name == *name && it.spec.role == Role::Gateway) else {
        return Ok(None);
    };
    let Part { api, is_bridge, _route, .. } = listed.open(session).await?;
    Ok(match api {
        Api::Gateway(client) => Some(Gateway { client, is_bridge, is_shared: listed.is_shared, _route }),
        Api::Server(_) => None,
    })
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
    Error::new(error.kind(), what.into()).with_source(error)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A gateway that is managed there.
    pub(crate) fn gateway(url: &str) -> Part {
        let client = GatewayClient::new(url, Secret::new("token")).unwrap();
        Part {
            name: "gw".parse().unwrap(),
            api: Api::Gateway(client),
            is_bridge: false,
            _route: Arc::new(Route::direct(NetAddress { host: "127.0.0.1".into(), port: 1, tls: false })),
        }
    }
}
