//! MQTT clients that measure: the same for every broker.

use std::time::{Duration, Instant};

use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Packet, PublishNotice, PublishOptions, QoS,
};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::JoinHandle,
};

use crate::Result;

/// How many messages a client has on their way at once.
const WINDOW: u16 = 100;

/// A client that is connected; it goes when dropped.
#[derive(Debug)]
pub struct Client {
    client: AsyncClient,
    connection: JoinHandle<ConnectionError>,
    received: Receiver<Instant>,
}

impl Client {
    /// Connects to the broker on this port of the loopback interface, with a user name and password where one is given.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn connect(port: u16, id: &str, login: Option<(&str, &str)>) -> Result<Self> {
        Self::connect_to("127.0.0.1", port, id, login).await
    }

    /// Connects to a broker, with a user name and password where one is given.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn connect_to(host: &str, port: u16, id: &str, login: Option<(&str, &str)>) -> Result<Self> {
        let mut options = MqttOptions::new(id, (host, port));
        if let Some((user, password)) = login {
            options.set_credentials(user, password.to_owned());
        }
        options.set_keep_alive(60).set_outgoing_inflight_upper_limit(WINDOW);
        let (client, mut events) = AsyncClient::builder(options).capacity(usize::from(WINDOW)).build();
        while !matches!(events.poll().await?, Event::Incoming(Packet::ConnAck(_))) {}
        let (sender, received) = channel(1024);
        Ok(Self { client, connection: tokio::spawn(drive(events, sender)), received })
    }

    /// Subscribes at QoS 1.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn subscribe(&self, filter: &str) -> Result<()> {
        let notice = self.client.subscribe_tracked(filter, QoS::AtLeastOnce).await?;
        notice.wait_completion_async().await?;
        Ok(())
    }

    /// Publishes `count` messages to one topic as fast as the broker takes them, and gives the time each took until it was
    /// acknowledged; at QoS 0 until it was written.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn publish(&self, topic: &str, qos: QoS, count: usize) -> Result<Vec<Duration>> {
        let (sender, receiver) = channel::<(Instant, PublishNotice)>(usize::from(WINDOW));
        let acknowledged = tokio::spawn(acknowledged(receiver));
        for number in 0..count {
            let payload = format!("{}.{:04}", number % 80, number % 10_000);
            let options = PublishOptions::new(qos);
            let begun = Instant::now();
            let notice = self.client.publish_tracked(topic, payload, options).await?;
            sender.send((begun, notice)).await.map_err(|_| "cannot wait for an acknowledgement")?;
        }
        drop(sender);
        acknowledged.await?
    }

    /// Publishes a message at QoS 1 and gives the time until it was acknowledged.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn publish_one(&self, topic: &str, payload: String) -> Result<Duration> {
        let begun = Instant::now();
        let notice = self.client.publish_tracked(topic, payload, PublishOptions::at_least_once()).await?;
        notice.wait_completion_async().await?;
        Ok(begun.elapsed())
    }

    /// The times at which messages come in.
    pub const fn arrivals(&mut self) -> &mut Receiver<Instant> {
        &mut self.received
    }

    /// Waits for `count` messages and gives the time at which the last one came.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn receive(&mut self, count: usize) -> Result<Instant> {
        let mut last = Instant::now();
        for _ in 0..count {
            last = self.received.recv().await.ok_or("cannot receive a message: the connection has ended")?;
        }
        Ok(last)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

async fn drive(mut events: EventLoop, received: Sender<Instant>) -> ConnectionError {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(_))) => {
                // Nobody counts what comes after the last message that was waited for.
                let _ = received.send(Instant::now()).await;
            }
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

async fn acknowledged(mut sent: Receiver<(Instant, PublishNotice)>) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    while let Some((begun, notice)) = sent.recv().await {
        notice.wait_completion_async().await?;
        times.push(begun.elapsed());
    }
    Ok(times)
}
