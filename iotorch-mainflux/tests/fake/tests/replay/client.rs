//! A client of MQTT that says what it was sent.

use std::{io, net::SocketAddr, time::Duration};

use iotorch_transcript::{Answer, Request};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long nothing has to come until nothing will.
const SILENCE: Duration = Duration::from_millis(300);

/// A connection, and what came over it.
pub(crate) struct Client {
    stream: TcpStream,
    level: u8,
    /// The number of the packet that was sent last.
    last: u16,
    pub(crate) received: Vec<Received>,
}

/// What a server does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Received {
    Packet { head: u8, body: Vec<u8> },
    Closed,
    Reset,
    Nothing,
}

impl Client {
    /// Connects, and waits for the answer.
    pub(crate) async fn connect(
        address: SocketAddr,
        level: u8,
        id: &str,
        user: Option<&str>,
        password: Option<&str>,
    ) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let name = if level == 3 { "MQIsdp" } else { "MQTT" };
        let flags = 0x02 | if user.is_some() { 0x80 } else { 0 } | if password.is_some() { 0x40 } else { 0 };
        let mut body = text(name);
        body.extend([level, flags, 0, 60]);
        if level == 5 {
            body.push(0);
        }
        body.extend(text(id));
        body.extend(user.into_iter().chain(password).flat_map(text));
        // A server that does not listen may have ended the connection before.
        _ = stream.write_all(&packet(0x10, &body)).await;
        let mut client = Self { stream, level, last: 0, received: Vec::new() };
        client.read().await;
        client
    }

    /// The code by which the server lets a client in or not; none if it says nothing.
    pub(crate) fn code(&self) -> Option<i64> {
        match self.received.first() {
            Some(Received::Packet { head: 0x20, body }) => Some(i64::from(body[1])),
            _ => None,
        }
    }

    /// Whether the connection is still there.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.received.last(), None | Some(Received::Packet { .. }))
    }

    /// Publishes a message, and waits until the server has taken it.
    pub(crate) async fn publish(&mut self, topic: &str, payload: &str, qos: u8, retain: bool) {
        self.last += 1;
        let mut body = text(topic);
        if qos > 0 {
            body.extend(self.last.to_be_bytes());
        }
        if self.level == 5 {
            body.push(0);
        }
        body.extend(payload.as_bytes());
        self.send(0x30 | (qos << 1) | u8::from(retain), &body).await;
        match qos {
            0 => {}
            1 => self.await_one(0x40).await,
            _ => {
                self.await_one(0x50).await;
                if self.is_open() {
                    self.send(0x62, &self.last.to_be_bytes()).await;
                    self.await_one(0x70).await;
                }
            }
        }
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: u8) {
        self.last += 1;
        let mut body = self.last.to_be_bytes().to_vec();
        if self.level == 5 {
            body.push(0);
        }
        body.extend(text(filter));
        body.push(qos);
        self.send(0x82, &body).await;
        self.await_one(0x90).await;
    }

    pub(crate) async fn ping(&mut self) {
        self.send(0xc0, &[]).await;
        self.await_one(0xd0).await;
    }

    /// Takes what is there: a server answers in order, so that all of it is before the answer to a ping.
    pub(crate) async fn take_all(&mut self) {
        self.ping().await;
        if self.is_open() {
            self.received.pop();
            self.received.push(Received::Nothing);
        }
    }

    pub(crate) async fn disconnect(&mut self) {
        self.send(0xe0, &[]).await;
    }

    async fn send(&mut self, head: u8, body: &[u8]) {
        // That the connection has ended is seen where the answer is read.
        _ = self.stream.write_all(&packet(head, body)).await;
    }

    async fn await_one(&mut self, wanted: u8) {
        loop {
            self.read().await;
            match self.received.last() {
                Some(Received::Packet { head, .. }) if *head != wanted => {}
                _ => return,
            }
        }
    }

    async fn read(&mut self) {
        let received = match timeout(SILENCE, self.read_packet()).await {
            Ok(Ok(packet)) => packet,
            // After it was let in, a client cannot tell both ends apart for sure: what it still sent may make an end a reset.
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset && self.received.is_empty() => {
                Received::Reset
            }
            Ok(Err(_)) => Received::Closed,
            Err(_) => Received::Nothing,
        };
        self.received.push(received);
    }

    async fn read_packet(&mut self) -> io::Result<Received> {
        let head = self.stream.read_u8().await?;
        let (mut length, mut place) = (0, 0);
        loop {
            let byte = self.stream.read_u8().await?;
            length |= usize::from(byte & 0x7f) << place;
            place += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(Received::Packet { head, body })
    }
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![head];
    let mut length = body.len();
    while length > 0x7f {
        packet.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    packet.push(u8::try_from(length).unwrap());
    packet.extend(body);
    packet
}

/// What a raw client was sent, as it is recorded.
pub(crate) fn told_raw(client: &Client) -> Answer {
    let told = client.received.iter().map(|received| match received {
        Received::Packet { head, body } if head >> 4 == 3 => told_message(*head, body),
        Received::Packet { head, body } => {
            let name = match head >> 4 {
                2 => "CONNACK",
                4 => "PUBACK",
                5 => "PUBREC",
                7 => "PUBCOMP",
                9 => "SUBACK",
                13 => "PINGRESP",
                _ => "unknown",
            };
            let hex: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "packet": name, "hex": hex })
        }
        Received::Closed => json!({ "packet": "TCP close (FIN) without packet" }),
        Received::Reset => json!({ "packet": "TCP reset" }),
        Received::Nothing => json!({ "packet": "nothing more" }),
    });
    Answer { status: client.code(), headers: Default::default(), body: told.collect() }
}

fn told_message(head: u8, body: &[u8]) -> Value {
    let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
    let qos = (head >> 1) & 3;
    let (topic, rest) = body[2..].split_at(length);
    let payload = if qos > 0 { &rest[2..] } else { rest };
    json!({
        "packet": "PUBLISH",
        "topic": String::from_utf8_lossy(topic),
        "payload": String::from_utf8_lossy(payload),
        "qos": qos,
        "retain": head & 1,
    })
}

/// Does what `mosquitto_pub` does, and tells what it says that it received.
pub(crate) async fn mosquitto_pub(address: SocketAddr, question: &Request) -> Answer {
    let args: Vec<&str> =
        question.headers["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let after = |name: &str| args.iter().position(|it| *it == name).map(|at| args[at + 1]);
    let level = match after("-V") {
        Some("mqttv31") => 3,
        Some("mqttv5") => 5,
        _ => 4,
    };
    let id = after("-i").unwrap_or(if level == 3 { "mosq-1" } else { "" });
    let credential = |name: &str| question.headers[name].as_str();
    let mut client =
        Client::connect(address, level, id, credential("username"), credential("password")).await;
    if client.code() == Some(0) {
        let qos = u8::try_from(question.headers["qos"].as_u64().unwrap()).unwrap();
        let payload = question.body.as_str().unwrap();
        client.publish(&question.path, payload, qos, args.contains(&"-r")).await;
        client.disconnect().await;
    }
    let mut said = Vec::new();
    let mut warnings = Vec::new();
    for received in &client.received {
        said.push(match received {
            Received::Packet { head: 0x20, body } => format!("received CONNACK ({})", body[1]),
            Received::Packet { head, body } => {
                let number = u16::from_be_bytes([body[0], body[1]]);
                let reason = body.get(2).copied().unwrap_or_default();
                if reason == 0x87 {
                    warnings.push(format!("Warning: Publish {number} failed: Not authorized."));
                }
                match head >> 4 {
                    5 => format!("received PUBREC (Mid: {number})"),
                    7 => format!("received PUBCOMP (Mid: {number}, RC:{reason})"),
                    _ => format!("received PUBACK (Mid: {number}, RC:{reason})"),
                }
            }
            _ => "Error: The connection was lost.".to_owned(),
        });
    }
    said.extend(warnings);
    // 7 is what it ends with when the connection is lost.
    let status = if client.is_open() { 0 } else { 7 };
    Answer { status: Some(status), headers: Default::default(), body: json!(said) }
}
