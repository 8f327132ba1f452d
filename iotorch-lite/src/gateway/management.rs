//! The management API of the gateway; its paths are listed in [`crate::api`].

use super::{
    App, Core,
    forward::Link,
    orders::{self, Patience},
    outbox, state,
};
use crate::{
    Error, ErrorKind, Result, Secret,
    api::{Command, Device, Export, ExportStatus, GatewayStatus, Kind, NewCommand, Profile},
    log::Log,
    managing::{self, Changes, Ended, Manages, Rule, Sort, credential, credentials, object},
    metrics::Metrics,
    objects::{self, Kept, OBJECTS, name_of},
    openapi::{Calls, Operation, with_document},
    store::Store,
    web,
};
use async_trait::async_trait;
use axum::{Json, Router, extract::State, http::Method, routing::get};
use redb::WriteTransaction;
use std::{collections::BTreeMap, sync::Arc};
use tokio_util::sync::CancellationToken;

const PROFILES: Sort =
    Sort { kind: Kind::Profile, secret: Rule::None, put: state::put_profile, delete: state::delete_profile };
const DEVICES: Sort =
    Sort { kind: Kind::Device, secret: Rule::None, put: state::put_device, delete: state::delete_device };
const EXPORTS: Sort = Sort {
    kind: Kind::Export,
    secret: Rule::Optional(Kept::clear),
    put: state::put_export,
    delete: state::delete_export,
};

pub(crate) fn router(app: Arc<App>, admin: Secret) -> Router {
    let core = Arc::clone(&app.core);
    let refused = move |method: &Method, path: &str, why: &Error| core.refusals.call(method, path, why);
    let (router, document) = managing::router()
        .route("/status", Calls::get(status, Operation::get("How it is doing").gives::<GatewayStatus>()))
        .route("/profiles/{name}", object::<App, Profile, Profile>(PROFILES))
        .route("/devices/{name}", object::<App, Device, Device>(DEVICES))
        .route("/devices/{name}/credentials", credentials())
        .route("/devices/{name}/credentials/{generation}", credential())
        .route("/devices/{name}/commands", commands())
        .route("/devices/{name}/commands/{id}", command())
        .route("/exports/{name}", object::<App, Export, Export>(EXPORTS))
        .finish("gateway", app);
    let nobody_else =
        |_: &str, _: &_, _: &str| Err(Error::new(ErrorKind::Unauthorized, "the token is not valid"));
    with_document(web::with_health(web::guard(router, admin, nobody_else, refused), "gateway"), document)
}

fn commands() -> Calls<Arc<App>> {
    let list = Operation::get("The commands of a device, the oldest first").gives::<Vec<Command>>();
    let add =
        Operation::new("post", "Sends a command to a device").takes::<NewCommand>().creates::<Command>();
    Calls(get(orders::all).post(orders::add), vec![list, add])
}

fn command() -> Calls<Arc<App>> {
    let show = Operation::get("A command and what became of it").query::<Patience>().gives::<Command>();
    let withdraw = Operation::new("delete", "Withdraws a command that waits").gives::<Command>();
    Calls(get(orders::one).delete(orders::withdraw), vec![show, withdraw])
}

#[async_trait]
impl Manages for App {
    fn store(&self) -> &Store {
        &self.core.store
    }

    fn changes(&self) -> &Changes {
        &self.changes
    }

    fn log(&self) -> &Log {
        &self.core.log
    }

    fn stopped(&self) -> &CancellationToken {
        &self.stop
    }

    fn metrics(&self) -> Result<Metrics> {
        let core = &self.core;
        let [(mqtt, mqtt_seats), (http, http_seats)] = &self.seats;
        let coap = ("coap", self.clients.coap.sessions());
        let open = [(*mqtt, mqtt_seats.count()), (*http, http_seats.count()), coap];
        let mut metrics = Metrics::new("gateway", &core.counters, core.store.commits(), &open);
        metrics.gateway(&look(core)?);
        Ok(metrics)
    }

    fn user(_: &WriteTransaction, holder: &str) -> Result<Option<String>> {
        Ok(Some(name_of(holder).to_owned()))
    }

    async fn settle(&self, path: &str, ended: Ended) -> Result<()> {
        for (device, generation) in ended {
            self.clients.disconnect(&device, generation).await;
        }
        match path.split('/').collect::<Vec<_>>()[..] {
            ["exports", ..] => self.forwarders.follow(&self.core, &self.stop).await,
            ["profiles", _] => self.core.commands.review(None).await,
            ["devices", device] => self.core.commands.review(Some(device)).await,
            _ => Ok(()),
        }
    }
}

async fn status(State(app): State<Arc<App>>) -> Result<Json<GatewayStatus>> {
    look(&app.core).map(Json)
}

fn look(core: &Core) -> Result<GatewayStatus> {
    core.store.read(|txn| {
        let (mut devices, mut exports) = (BTreeMap::new(), BTreeMap::new());
        for (path, object) in objects::below(&txn.open_table(OBJECTS)?, "")? {
            let name = name_of(&path).to_owned();
            match object.kind {
                Kind::Device => {
                    let protocol = object.settings::<Device>()?.protocol;
                    let status = state::device_status(txn, &name, protocol)?;
                    devices.insert(name, status);
                }
                Kind::Export => {
                    let (Link { connected, last_error }, progress) =
                        (core.links.get(&name), outbox::progress(txn, &name)?);
                    exports.insert(name, ExportStatus { connected, last_error, ..progress });
                }
                _ => {}
            }
        }
        let bus = core.bus.as_ref().map(|bus| bus.status(txn)).transpose()?;
        let (outbox, refused) = (outbox::fill(txn)?, core.refusals.all());
        Ok(GatewayStatus { devices, exports, outbox, bus, refused })
    })
}
