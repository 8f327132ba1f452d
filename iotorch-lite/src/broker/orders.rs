//! Commands on their way to the devices that have subscribed to them, one at a time: the next one is sent when the device
//! has acknowledged the one before, so that each acknowledgement is that of one command.
//!
//! A connection starts with everything that waits. To a device that has subscribed at QoS 0 each command is sent once a
//! connection and goes on to wait, because nothing tells that it has arrived.
//!
//! Which reason code a PUBACK has (MQTT 5 section 3.4.2.1), the broker does not tell. So one of 0x80 or above, with which a
//! device says that it could not take the command, ends the command as any other does. A device that wants it again leaves it
//! unacknowledged and connects anew.

use super::clients::{Clients, Session};
use crate::api::{Command, CommandState};
use mqtt5::{
    QoS,
    broker::{ClientSubscribeEvent, ClientUnsubscribeEvent, SubAckReasonCode, storage::QueuedMessage},
    packet::publish::PublishPacket,
};
use serde_json::Value;

/// How far a connection is with the commands of its device.
#[derive(Debug, Default)]
pub(super) struct Feed {
    qos: Grade,
    /// The number of the last command that was sent.
    sent: u64,
    /// The command that is not acknowledged yet.
    in_flight: Option<u64>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Grade {
    /// It has unsubscribed.
    #[default]
    Nothing,
    Unacknowledged,
    Acknowledged,
}

impl Feed {
    /// The next command to send.
    fn next(&mut self, waiting: Vec<Command>) -> Option<(Command, QoS)> {
        if !self.is_open() {
            return None;
        }
        let command = waiting.into_iter().find(|command| command.id > self.sent)?;
        self.sent = command.id;
        if self.qos == Grade::Unacknowledged {
            return Some((command, QoS::AtMostOnce));
        }
        self.in_flight = Some(command.id);
        Some((command, QoS::AtLeastOnce))
    }

    fn is_open(&self) -> bool {
        self.qos != Grade::Nothing && self.in_flight.is_none()
    }
}

impl Clients {
    /// Brings new commands to the devices that are connected, for as long as there are commands.
    pub(super) async fn bring(&self) {
        let Some(commands) = self.access.commands() else { return };
        let mut changes = commands.changes();
        while changes.changed().await.is_ok() {
            let open = |(client, session): (&String, &Session)| {
                session.feed.as_ref().is_some_and(Feed::is_open).then(|| client.clone())
            };
            let clients: Vec<_> = self.sessions().logged_in.iter().filter_map(open).collect();
            for client in clients {
                self.offer(&client).await;
            }
        }
    }

    pub(super) async fn subscribed(&self, event: &ClientSubscribeEvent) {
        // There is one filter that a device may subscribe to.
        let granted = event.subscriptions.iter().find_map(|subscription| match subscription.result {
            SubAckReasonCode::GrantedQoS0 => Some(Grade::Unacknowledged),
            SubAckReasonCode::GrantedQoS1 | SubAckReasonCode::GrantedQoS2 => Some(Grade::Acknowledged),
            _ => None,
        });
        let Some(qos) = granted else { return };
        if let Some(session) = self.sessions().logged_in.get_mut(&*event.client_id) {
            session.feed.get_or_insert_default().qos = qos;
        }
        self.offer(&event.client_id).await;
    }

    pub(super) fn unsubscribed(&self, event: &ClientUnsubscribeEvent) {
        let mut sessions = self.sessions();
        let session = sessions.logged_in.get_mut(&*event.client_id);
        if let Some(feed) = session.and_then(|session| session.feed.as_mut()) {
            feed.qos = Grade::Nothing;
        }
    }

    /// Notes that a device has acknowledged its command, and sends the next one.
    pub(super) async fn delivered(&self, client: &str) {
        let Some(commands) = self.access.commands() else { return };
        let acknowledged = {
            let mut sessions = self.sessions();
            sessions.logged_in.get_mut(client).and_then(|session| {
                let command = session.feed.as_mut()?.in_flight.take()?;
                Some((session.user.clone(), command))
            })
        };
        let Some((device, command)) = acknowledged else { return };
        if let Err(error) = commands.end(&device, command, CommandState::Delivered).await {
            tracing::error!(device, command, %error, "cannot note that a command was delivered");
        }
        self.offer(client).await;
    }

    /// Sends a client what it can take now.
    async fn offer(&self, client: &str) {
        let (Some(commands), Some(router)) = (self.access.commands(), self.router()) else { return };
        if !router.is_connected(client).await {
            return;
        }
        let Some(device) = self.sessions().logged_in.get(client).map(|session| session.user.clone()) else {
            return;
        };
        loop {
            let waiting = match commands.waiting(&device) {
                Ok(waiting) => waiting,
                Err(error) => {
                    tracing::error!(device, %error, "cannot read the commands of a device");
                    return;
                }
            };
            let next = {
                let mut sessions = self.sessions();
                let session = sessions.logged_in.get_mut(client);
                session.and_then(|session| session.feed.as_mut()?.next(waiting))
            };
            let Some((command, qos)) = next else { return };
            let queue = router.queue_handle(client);
            queue.push(message(client, &device, command, qos));
            queue.notify();
        }
    }
}

fn message(client: &str, device: &str, command: Command, qos: QoS) -> QueuedMessage {
    let topic = format!("devices/{device}/commands/{}", command.resource);
    let value = match command.value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    QueuedMessage::new(PublishPacket::new(topic, value.into_bytes(), qos), client.to_owned(), qos, None)
}
