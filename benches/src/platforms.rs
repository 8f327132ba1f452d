//! A slice of EdgeX and Mainflux that runs: being its device, and looking at what its gateway and its server have.

use std::{sync::Arc, time::Duration};

use iotorch_core::{
    Context, Places, Route,
    resource::{ApplicationOutputs, Endpoint, KindName, Outputs, ResourceId, Role, Spec},
    secret::SecretStore,
    status::SliceStatus,
};
use iotorch_lite::{Secret, client::GatewayClient};
use iotorch_mainflux::{Messages, Query, Record, Value};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Result, mqtt::Client};

/// How long to wait before a server is asked again.
const PAUSE: Duration = Duration::from_millis(2);

/// How long the way to a new gateway may take to open.
const PATIENCE: Duration = Duration::from_secs(30);

/// The ends of a slice whose one gateway is EdgeX and whose one server is Mainflux.
#[derive(Debug)]
pub struct Platforms {
    device: Client,
    topic: String,
    bridge: GatewayClient,
    messages: Messages,
    _routes: [Route; 2],
}

/// What is on account of a slice at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    /// Readings that the gateway has given to its bridge.
    pub taken: u64,
    /// Readings that the server has stored.
    pub stored: u64,
}

impl Platforms {
    /// Connects as the device, and to both ends.
    ///
    /// # Errors
    /// When a part is missing, or refuses.
    pub async fn open(status: &SliceStatus, secrets: Arc<dyn SecretStore>, places: Places) -> Result<Self> {
        let cx = Context {
            installation: "".into(),
            deadline: Instant::now() + PATIENCE,
            cancelled: CancellationToken::new(),
            secrets,
            places,
        };
        let (_, gateway) = application(status, Role::Gateway)?;
        let bridge: &Endpoint = gateway.endpoints.get("bridge").ok_or("the gateway has no bridge")?;
        let management = cx.open(bridge).await?;
        let token = Secret::new(cx.secret(&gateway.admin).await?.expose());
        let bridge = GatewayClient::new(format!("http://{}", management.address()), token)?;

        let (_, server) = application(status, Role::Server)?;
        let attached = |kind| status.resources.iter().find(move |resource| resource.id.kind() == kind);
        let outputs = |kind| attached(kind).and_then(|resource| resource.outputs.as_ref());
        let (Some(Outputs::Tenant(tenant)), Some(Outputs::Attachment(attachment))) =
            (outputs(KindName::Tenant), outputs(KindName::Attachment))
        else {
            return Err("the gateway is not attached to the server".into());
        };
        let holder = attached(KindName::Attachment).map(|resource| &resource.id);
        let credential = credential(status, holder.ok_or("there is no attachment")?)?;
        let messages = Messages::open(&cx, server, tenant, attachment, credential, None).await?;

        let device = status.resources.iter().find_map(|resource| match &resource.outputs {
            Some(Outputs::Device(told)) => Some((&resource.id, told)),
            _ => None,
        });
        let (id, told) = device.ok_or("the slice has no device")?;
        let (Some(endpoint), Some(path)) = (&told.endpoint, &told.path) else {
            return Err("the device has no place to send to".into());
        };
        let data = cx.open(endpoint).await?;
        let login = match credential_of(status, id) {
            Some(known) => {
                Some((known.user_name.clone(), cx.secret(&known.secret).await?.expose().to_owned()))
            }
            None => None,
        };
        let login = login.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
        let device = connected(&data, &told.name, login).await?;
        Ok(Self { device, topic: path.clone(), bridge, messages, _routes: [management, data] })
    }

    /// Sends a value of a resource as the device, and gives how long it took until the broker had it.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn send(&self, resource: &str, value: f64) -> Result<Duration> {
        let payload = format!("{{\"{resource}\":{value}}}");
        self.device.publish_one(&format!("{}/{resource}", self.topic), payload).await
    }

    /// Waits until the newest message of the server has this value.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn await_newest(&self, value: f64) -> Result<Record> {
        let query = Query::builder().limit(1).build();
        loop {
            let newest = self.messages.page(&query).await?.records.into_iter().next();
            if let Some(record) = newest.filter(|record| record.value == Some(Value::Number(value))) {
                return Ok(record);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What both have now.
    ///
    /// # Errors
    /// When one of them refuses.
    pub async fn account(&self) -> Result<Account> {
        let status = self.bridge.status().await?;
        let taken = status.bus.ok_or("the bridge reads no bus")?.taken;
        let stored = self.messages.page(&Query::builder().limit(1).build()).await?.total;
        Ok(Account { taken, stored })
    }
}

/// The way to a new gateway may be a moment behind the gateway itself.
async fn connected(route: &Route, name: &str, login: Option<(&str, &str)>) -> Result<Client> {
    let until = Instant::now() + PATIENCE;
    loop {
        let address = route.address();
        match Client::connect_to(&address.host, address.port, name, login).await {
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
            connected => return connected,
        }
    }
}

fn application(status: &SliceStatus, role: Role) -> Result<(&ResourceId, &ApplicationOutputs)> {
    let found = status.resources.iter().find_map(|resource| match (&resource.spec, &resource.outputs) {
        (Some(Spec::Application(spec)), Some(Outputs::Application(told))) if spec.role == role => {
            Some((&resource.id, told))
        }
        _ => None,
    });
    Ok(found.ok_or_else(|| format!("the slice has no {role}"))?)
}

fn credential_of<'a>(
    status: &'a SliceStatus,
    holder: &ResourceId,
) -> Option<&'a iotorch_core::resource::CredentialOutputs> {
    status.resources.iter().filter(|resource| holder.contains(&resource.id)).find_map(|resource| {
        match &resource.outputs {
            Some(Outputs::Credential(credential)) => Some(credential),
            _ => None,
        }
    })
}

fn credential<'a>(
    status: &'a SliceStatus,
    holder: &ResourceId,
) -> Result<&'a iotorch_core::resource::CredentialOutputs> {
    Ok(credential_of(status, holder).ok_or("the gateway has no credential at the server")?)
}
