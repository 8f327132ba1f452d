//! The gateway's broker: the message bus, and the south side of device-mqtt.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use rumqttc_v4::{AsyncClient, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use crate::{exporter::quality, now, south, world::World};

/// The pause before it connects again.
const PAUSE: Duration = Duration::from_millis(200);

/// How many messages may wait to be written.
const WAITING: usize = 1000;

/// What is subscribed: readings, and what devices answer to commands.
const TOPICS: [&str; 2] = ["incoming/data/#", "command/response/#"];

#[derive(Debug)]
pub(crate) struct Bus {
    messages: mpsc::UnboundedSender<(String, Vec<u8>)>,
    /// Who waits for the answer to a command, by its number.
    asking: Arc<Asking>,
    connected: watch::Receiver<bool>,
}

type Asking = Mutex<HashMap<String, oneshot::Sender<Value>>>;

impl Bus {
    /// Connects to the broker, and again whenever the connection is lost.
    pub(crate) fn start(world: &Arc<World>, host: &str, port: u16) -> Option<Self> {
        let mut options = MqttOptions::new(format!("edgex-fake-{}", now::uuid()), (host, port));
        options.set_keep_alive(10);
        if let Some((user, password)) = &world.config.login {
            options.set_credentials(user, password.clone());
        }
        let (client, connection) = AsyncClient::builder(options).capacity(WAITING).try_build().ok()?;
        let (messages, waiting) = mpsc::unbounded_channel();
        let (tell, connected) = watch::channel(false);
        let asking = Arc::new(Asking::default());
        world.spawn(write(client.clone(), waiting, quality(world.config.qos)));
        let work = Work { world: Arc::downgrade(world), client, asking: Arc::clone(&asking), tell };
        world.spawn(work.read(connection));
        Some(Self { messages, asking, connected })
    }

    pub(crate) fn say(&self, topic: &str, payload: Vec<u8>) {
        // It is read for as long as the gateway is there.
        let _ = self.messages.send((topic.to_owned(), payload));
    }

    pub(crate) fn works(&self) -> bool {
        *self.connected.borrow()
    }

    /// Until it is connected and has subscribed.
    pub(crate) async fn ready(&self) {
        let mut connected = self.connected.clone();
        // It is not waited for by a gateway that ends.
        let _ = connected.wait_for(|connected| *connected).await;
    }

    /// Asks a device, and waits for what it answers.
    pub(crate) async fn ask(&self, topic: &str, payload: String, patience: Duration) -> Option<Value> {
        let number = now::uuid();
        let (tell, told) = oneshot::channel();
        self.asking().insert(number.clone(), tell);
        self.say(&format!("{topic}/{number}"), payload.into_bytes());
        let answer = timeout(patience, told).await;
        self.asking().remove(&number);
        answer.ok()?.ok()
    }

    fn asking(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Value>>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write(client: AsyncClient, mut waiting: mpsc::UnboundedReceiver<(String, Vec<u8>)>, qos: QoS) {
    while let Some((topic, payload)) = waiting.recv().await {
        // A name that makes no topic loses its message.
        let _ = client.publish(topic, payload, PublishOptions::new(qos)).await;
    }
}

struct Work {
    world: Weak<World>,
    client: AsyncClient,
    asking: Arc<Asking>,
    tell: watch::Sender<bool>,
}

impl Work {
    async fn read(self, mut connection: EventLoop) {
        let mut subscribed = 0;
        loop {
            match connection.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    subscribed = 0;
                    for topic in TOPICS {
                        // There is room for both after a connection was made.
                        let _ = self.client.try_subscribe(topic, QoS::AtLeastOnce);
                    }
                }
                Ok(Event::Incoming(Packet::SubAck(_))) => {
                    subscribed += 1;
                    self.tell.send_replace(subscribed == TOPICS.len());
                }
                Ok(Event::Incoming(Packet::Publish(message))) => {
                    let topic = String::from_utf8_lossy(&message.topic).into_owned();
                    self.heard(&topic, &message.payload);
                }
                Ok(_) => {}
                Err(_) => {
                    self.tell.send_replace(false);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn heard(&self, topic: &str, payload: &[u8]) {
        if let Some(number) = topic.strip_prefix("command/response/") {
            let asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner).remove(number);
            if let (Some(asking), Ok(said)) = (asking, serde_json::from_slice(payload)) {
                // Whoever asked may have given up.
                let _ = asking.send(said);
            }
        } else if let Some(world) = self.world.upgrade() {
            // What is wrong with a reading is only logged.
            let _ = south::incoming(&world, topic, payload);
        }
    }
}
