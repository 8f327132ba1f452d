//! A client that exports to a broker, over MQTT 3.1.1 as EdgeX does.

use std::time::Duration;

use rumqttc_v4::{AsyncClient, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS};
use tokio::sync::{mpsc, watch};

use crate::world::World;

/// The pause before it connects again.
const PAUSE: Duration = Duration::from_millis(500);

/// How many events may wait while it connects. EdgeX holds up its pipeline meanwhile.
const WAITING: usize = 100;

/// Where to, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) client_id: String,
    pub(crate) login: Option<(String, String)>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
}

/// How it stands with the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// It connects for the first time.
    Connecting,
    Connected,
    /// It connects again and again.
    Away,
}

#[derive(Debug)]
pub(crate) struct Exporter {
    events: mpsc::Sender<(String, String)>,
    link: watch::Receiver<Link>,
}

impl Exporter {
    pub(crate) fn start(world: &World, target: &Target) -> Self {
        let (events, waiting) = mpsc::channel(WAITING);
        let (tell, link) = watch::channel(Link::Connecting);
        let mut options = MqttOptions::new(&target.client_id, (target.host.as_str(), target.port));
        if let Some((user, password)) = &target.login {
            options.set_credentials(user, password.clone());
        }
        // A configuration that makes no client exports nothing.
        if let Ok((client, connection)) = AsyncClient::builder(options).capacity(WAITING).try_build() {
            let publishing = PublishOptions::new(quality(target.qos)).retain(target.retain);
            world.spawn(connect(connection, tell));
            world.spawn(export(client, publishing, waiting, link.clone()));
        }
        Self { events, link }
    }

    /// An event that does not find room is dropped, like one that finds no broker.
    pub(crate) fn send(&self, topic: String, event: String) {
        let _ = self.events.try_send((topic, event));
    }

    pub(crate) fn is_connected(&self) -> bool {
        *self.link.borrow() == Link::Connected
    }
}

pub(crate) fn quality(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

async fn connect(mut connection: EventLoop, tell: watch::Sender<Link>) {
    loop {
        match connection.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                tell.send_replace(Link::Connected);
            }
            Ok(_) => {}
            Err(_) => {
                tell.send_replace(Link::Away);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// What comes first while it connects is sent; what comes while the broker is away is lost.
async fn export(
    client: AsyncClient,
    publishing: PublishOptions,
    mut waiting: mpsc::Receiver<(String, String)>,
    mut link: watch::Receiver<Link>,
) {
    while let Some((topic, event)) = waiting.recv().await {
        let Ok(link) = link.wait_for(|link| *link != Link::Connecting).await.map(|link| *link) else {
            return;
        };
        if link == Link::Connected {
            // A topic that is none loses the event.
            let _ = client.publish(topic, event, publishing).await;
        }
    }
}
