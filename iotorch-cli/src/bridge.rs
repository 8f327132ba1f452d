//! What carries the readings of EdgeX gateways north: their bridges, as these see themselves.

use std::collections::BTreeMap;

use iotorch_core::{
    Result,
    model::{PartName, SliceName},
    status::SliceStatus,
};
use iotorch_lite::api::{BusStatus, ExportStatus, OutboxStatus};
use serde::Serialize;

use crate::{
    installation::Session,
    management::{self, Api, Listed, failed},
};

/// How the bridge of a gateway is doing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bridge {
    /// The gateway, by its name in the document.
    pub(crate) gateway: PartName,
    /// What it reads; none if it reads nothing.
    pub(crate) bus: Option<BusStatus>,
    /// Where it sends to.
    pub(crate) exports: BTreeMap<String, ExportStatus>,
    /// What waits in it.
    pub(crate) outbox: OutboxStatus,
}

impl Bridge {
    async fn look(listed: &Listed<'_>, session: &Session) -> Result<Option<Self>> {
        let part = listed.open(session).await?;
        let Api::Gateway(gateway) = &part.api else { return Ok(None) };
        let status = gateway.status().await.map_err(|error| failed(format!("cannot ask {part}"), error))?;
        let (bus, exports, outbox) = (status.bus, status.exports, status.outbox);
        Ok(Some(Self { gateway: part.name.clone(), bus, exports, outbox }))
    }

    /// What is not as it should be, in a few words each.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        match &self.bus {
            Some(BusStatus { connected: false, last_error, .. }) => {
                let why = last_error.as_deref().unwrap_or("it is not logged in yet");
                complaints.push(format!("its bridge does not read the bus: {why}"));
            }
            Some(BusStatus { refused: refused @ 1.., last_refusal, .. }) => {
                let why = last_refusal.as_deref().unwrap_or("it does not say why");
                complaints
                    .push(format!("its bridge refused {refused} of what the bus said, the last: {why}"));
            }
            _ => {}
        }
        for (export, status) in &self.exports {
            if let Some(why) = &status.last_error {
                complaints.push(format!("{} readings wait for {export}: {why}", status.pending));
            }
            if status.unsendable > 0 {
                let why = status.last_unsendable.as_deref().unwrap_or("it does not say why");
                let count = status.unsendable;
                complaints.push(format!("{count} readings can never be sent to {export}, the last: {why}"));
            }
        }
        if self.outbox.dropped > 0 {
            complaints.push(format!("its bridge was full and dropped {} readings", self.outbox.dropped));
        }
        complaints
    }
}

/// The bridges of a slice's gateways. Of one that does not answer nothing is known.
pub(crate) async fn bridges(session: &Session, status: &SliceStatus) -> Vec<Bridge> {
    let bridges = management::listed(status).into_iter().filter(|listed| listed.is_bridge);
    let asked = bridges.map(async |listed| match Bridge::look(&listed, session).await {
        Ok(Some(mut bridge)) => {
            if listed.is_shared {
                own_exports(&status.slice, &mut bridge.exports);
            }
            Some(bridge)
        }
        Ok(None) => None,
        Err(error) => {
            tracing::warn!(slice = %status.slice, cause = %error.to_cause(), "cannot ask a bridge");
            None
        }
    });
    futures::future::join_all(asked).await.into_iter().flatten().collect()
}

/// Leaves only those exports of a gateway that others use too which are the slice's own.
pub(crate) fn own_exports(slice: &SliceName, exports: &mut BTreeMap<String, ExportStatus>) {
    let qualifier = format!("{slice}.");
    exports.retain(|name, _| name.starts_with(&qualifier));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A bridge that has work, and troubles with it.
    pub(crate) fn bridge() -> Bridge {
        let bus = BusStatus { connected: true, messages: 130, taken: 258, ..BusStatus::default() };
        let hub = ExportStatus {
            pending: 12,
            acknowledged: 246,
            last_error: Some("no connection to hub:1883: connection refused".into()),
            ..ExportStatus::default()
        };
        let influx = ExportStatus { connected: true, acknowledged: 258, ..ExportStatus::default() };
        Bridge {
            gateway: "gw".parse().unwrap(),
            bus: Some(bus),
            exports: [("hub".to_owned(), hub), ("influx".to_owned(), influx)].into(),
            outbox: OutboxStatus::default(),
        }
    }

    #[test]
    fn of_a_bridge_that_others_use_too_a_slice_sees_its_own_exports() {
        let names = ["paper.hub", "paper-2.hub", "field.hub", "paper.influx"];
        let mut exports = names.map(|name| (name.to_owned(), ExportStatus::default())).into();
        own_exports(&"paper".parse().unwrap(), &mut exports);
        assert_eq!(exports.keys().collect::<Vec<_>>(), ["paper.hub", "paper.influx"]);
    }

    #[test]
    fn only_what_is_wrong_is_complained_of() {
        let mut bridge = bridge();
        let waiting = "12 readings wait for hub: no connection to hub:1883: connection refused";
        assert_eq!(bridge.complaints(), [waiting]);
        bridge.exports.clear();
        assert!(bridge.complaints().is_empty());
        bridge.bus = Some(BusStatus::default());
        bridge.outbox.dropped = 3;
        assert_eq!(
            bridge.complaints(),
            [
                "its bridge does not read the bus: it is not logged in yet",
                "its bridge was full and dropped 3 readings"
            ]
        );
    }
}
