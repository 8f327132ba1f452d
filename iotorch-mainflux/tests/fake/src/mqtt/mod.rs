//! The adapters of messages by MQTT, and the broker behind them.

mod packet;
mod topics;

use std::{io, sync::Arc};

use packet::{Packet, V5, Writing};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, tcp::OwnedWriteHalf},
    sync::broadcast::{Receiver, error::RecvError},
    task::AbortHandle,
};

use crate::{
    Dependency, Service,
    bus::Published,
    dialect::{self, Admission, Purpose, Route},
    fake::Inner,
};

/// A client that was let in.
struct Session {
    inner: Arc<Inner>,
    thing: String,
    write: OwnedWriteHalf,
    writing: Writing,
    filters: Vec<(String, u8)>,
    /// The number of the message that was sent last.
    last: u16,
}

/// Serves a client until it goes, or has to.
///
/// # Errors
/// The connection has ended.
pub(crate) async fn serve(inner: Arc<Inner>, service: Service, mut stream: TcpStream) -> io::Result<()> {
    if !inner.world().has(Dependency::MqttBroker) {
        // The adapter does not even read what the client sends.
        return stream.set_zero_linger();
    }
    let connect = packet::read(&mut stream, V5).await?;
    let Packet::Connect { level, client, user, password } = connect else { return Ok(()) };
    if (level == V5) != (service == Service::MqttV5) {
        return Ok(());
    }
    let admission = {
        let mut world = inner.world();
        let admission = dialect::admit(
            &mut world,
            &client,
            user.as_deref().unwrap_or_default(),
            password.as_deref().unwrap_or_default(),
        );
        world.keep();
        admission
    };
    let thing = match admission {
        Admission::As(thing) => thing,
        Admission::Refused => return Ok(()),
        Admission::Unanswered => return wait_for_end(&mut stream).await,
    };
    let published = inner.world().bus.subscribe();
    let (mut read, mut write) = stream.into_split();
    let writing = Writing(level);
    write.write_all(&writing.connack()).await?;
    // Packets are read by a task of their own, as reading one must not be given up half-way.
    let (send, mut packets) = tokio::sync::mpsc::channel(16);
    let reading = tokio::spawn(async move {
        while let Ok(packet) = packet::read(&mut read, level).await {
            if send.send(packet).await.is_err() {
                break;
            }
        }
    });
    let _reading = Guard(reading.abort_handle());
    let mut session = Session { inner, thing, write, writing, filters: Vec::new(), last: 0 };
    session.run(&mut packets, published).await
}

/// Ends a task when who has begun it ends.
struct Guard(AbortHandle);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn wait_for_end(stream: &mut TcpStream) -> io::Result<()> {
    let mut rest = [0; 64];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

impl Session {
    async fn run(
        &mut self,
        packets: &mut tokio::sync::mpsc::Receiver<Packet>,
        mut published: Receiver<Published>,
    ) -> io::Result<()> {
        loop {
            tokio::select! {
                // What was published comes before the answer to who has published it.
                biased;
                message = published.recv() => match message {
                    Ok(message) => self.show(&message, message.retain).await?,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(()),
                },
                packet = packets.recv() => {
                    let Some(packet) = packet else { return Ok(()) };
                    if !self.take(packet, &mut published).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Takes a packet, and says whether the connection goes on.
    async fn take(&mut self, packet: Packet, published: &mut Receiver<Published>) -> io::Result<bool> {
        match packet {
            Packet::Publish { topic, qos, retain, id, payload } => {
                let is_taken = self.publish(&topic, qos, retain, payload);
                if !is_taken && self.writing.0 != V5 {
                    return Ok(false);
                }
                while let Ok(message) = published.try_recv() {
                    self.show(&message, message.retain).await?;
                }
                // MQTT 5 says "not authorized", where 3.1.1 can only end the connection.
                let reason = if is_taken { 0 } else { 0x87 };
                match qos {
                    0 => {}
                    1 => self.write.write_all(&self.writing.answer(0x40, id, reason)).await?,
                    _ => self.write.write_all(&self.writing.answer(0x50, id, reason)).await?,
                }
            }
            Packet::PubRec(id) => self.write.write_all(&self.writing.answer(0x62, id, 0)).await?,
            Packet::PubRel(id) => self.write.write_all(&self.writing.answer(0x70, id, 0)).await?,
            Packet::PubAck | Packet::PubComp => {}
            Packet::Subscribe { id, filters } => return self.subscribe(id, filters).await,
            Packet::Unsubscribe { id, filters } => {
                let filters = self.resolved(filters);
                self.filters.retain(|(filter, _)| !filters.contains(filter));
                let codes = vec![0; if self.writing.0 == V5 { filters.len() } else { 0 }];
                self.write.write_all(&self.writing.answers(0xb0, id, &codes)).await?;
            }
            Packet::PingReq => self.write.write_all(&[0xd0, 0]).await?,
            Packet::Disconnect | Packet::Connect { .. } => return Ok(false),
        }
        Ok(true)
    }

    /// Publishes a message, if the thing may.
    fn publish(&self, topic: &str, qos: u8, retain: bool, payload: Vec<u8>) -> bool {
        let mut world = self.inner.world();
        match dialect::permit(&mut world, &self.thing, topic, Purpose::Publish) {
            None => false,
            Some(Route::Health) => true,
            Some(Route::Messages { topic, domain, channel, subtopic }) => {
                let at = world.now();
                world.publish(Published {
                    topic,
                    domain,
                    channel,
                    subtopic,
                    publisher: self.thing.clone(),
                    protocol: "mqtt",
                    payload,
                    at,
                    qos,
                    retain,
                });
                true
            }
        }
    }

    /// Subscribes to all filters. Where the thing may not, Magistrala says so, and the others end the connection.
    async fn subscribe(&mut self, id: u16, filters: Vec<(String, u8)>) -> io::Result<bool> {
        let mut codes = Vec::new();
        let mut new = Vec::new();
        for (filter, qos) in filters {
            let mut world = self.inner.world();
            match dialect::permit(&mut world, &self.thing, &filter, Purpose::Subscribe) {
                Some(Route::Messages { topic, .. }) => {
                    codes.push(qos);
                    new.push((topic, qos));
                }
                _ if dialect::says_no(&world) => codes.push(0x80),
                _ => return Ok(false),
            }
        }
        self.write.write_all(&self.writing.answers(0x90, id, &codes)).await?;
        let retained = self.inner.world().bus.retained();
        for (filter, qos) in new {
            self.filters.retain(|(it, _)| *it != filter);
            for message in retained.iter().filter(|message| topics::matches(&filter, &message.topic)) {
                self.send(message, qos.min(message.qos), true).await?;
            }
            self.filters.push((filter, qos));
        }
        Ok(true)
    }

    fn resolved(&self, filters: Vec<String>) -> Vec<String> {
        let mut world = self.inner.world();
        let resolve =
            |filter: String| match dialect::permit(&mut world, &self.thing, &filter, Purpose::Subscribe) {
                Some(Route::Messages { topic, .. }) => topic,
                _ => filter,
            };
        filters.into_iter().map(resolve).collect()
    }

    /// Sends a message, if the client has subscribed to it.
    async fn show(&mut self, message: &Published, retain: bool) -> io::Result<()> {
        let filters = self.filters.iter().filter(|(filter, _)| topics::matches(filter, &message.topic));
        match filters.map(|(_, qos)| *qos).max() {
            Some(qos) => self.send(message, qos.min(message.qos), retain).await,
            None => Ok(()),
        }
    }

    async fn send(&mut self, message: &Published, qos: u8, retain: bool) -> io::Result<()> {
        if qos > 0 {
            self.last = self.last.checked_add(1).unwrap_or(1);
        }
        let packet = self.writing.publish(&message.topic, qos, retain, self.last, &message.payload);
        self.write.write_all(&packet).await
    }
}
