//! A real broker, mosquitto, and clients of it.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rumqttc_v4::{AsyncClient, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use super::play::Values;

/// How long a test waits for a message before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// It ends with this, also where a test fails.
#[derive(Debug)]
pub(crate) struct Broker {
    process: Option<Child>,
    directory: TempDir,
    pub(crate) port: u16,
}

impl Broker {
    pub(crate) fn start() -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let config = format!("listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n");
        std::fs::write(directory.path().join("mosquitto.conf"), config).unwrap();
        let mut broker = Self { process: None, directory, port };
        broker.again();
        broker
    }

    /// Starts it at its port, if it does not run.
    pub(crate) fn again(&mut self) {
        let system = "/usr/sbin/mosquitto";
        let program = if std::path::Path::new(system).exists() { system } else { "mosquitto" };
        let process = Command::new(program)
            .arg("-c")
            .arg(self.directory.path().join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(process.expect("mosquitto, of the Debian package of that name"));
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A message with its topic.
pub(crate) type Message = (String, Vec<u8>);

/// A client that has subscribed a topic.
pub(crate) struct Client {
    client: AsyncClient,
    messages: mpsc::UnboundedReceiver<Message>,
    task: JoinHandle<()>,
}

impl Client {
    pub(crate) async fn start(broker: &Broker, topic: &str) -> Self {
        let id = format!("test-{topic}-{}", broker.port);
        let options = MqttOptions::new(id, ("127.0.0.1", broker.port));
        let (client, connection) = AsyncClient::builder(options).capacity(1000).try_build().unwrap();
        client.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
        let (tell, messages) = mpsc::unbounded_channel();
        let (ready, subscribed) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(listen(client.clone(), topic.to_owned(), connection, tell, ready));
        timeout(PATIENCE, subscribed).await.expect("the broker answers").unwrap();
        Self { client, messages, task }
    }

    pub(crate) async fn publish(&self, topic: &str, payload: &str) {
        let options = PublishOptions::new(QoS::AtLeastOnce);
        self.client.publish(topic, payload.to_owned(), options).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Message {
        let next = timeout(PATIENCE, self.messages.recv()).await;
        next.expect("a message comes").expect("the client is there")
    }

    /// Answers commands as the device `mf-dev-1` did when it was recorded.
    pub(crate) async fn device(broker: &Broker, values: Values) -> JoinHandle<()> {
        let mut commands = Self::start(broker, "command/mf-dev-1/+/+/+").await;
        tokio::spawn(async move {
            while let Some((topic, payload)) = commands.messages.recv().await {
                let parts: Vec<&str> = topic.split('/').collect();
                let [_, _, resource, method, number] = parts.as_slice() else { continue };
                if *method == "set" {
                    let sent: Value = serde_json::from_slice(&payload).unwrap();
                    values.lock().unwrap().insert((*resource).to_owned(), sent[*resource].clone());
                }
                let value = values.lock().unwrap().get(*resource).cloned();
                let answer = json!({ *resource: value }).to_string();
                commands.publish(&format!("command/response/{number}"), &answer).await;
            }
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects until the broker is there, and again when it was away.
async fn listen(
    client: AsyncClient,
    topic: String,
    mut connection: EventLoop,
    tell: mpsc::UnboundedSender<Message>,
    ready: tokio::sync::oneshot::Sender<()>,
) {
    let mut ready = Some(ready);
    let mut first = true;
    loop {
        match connection.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                if !std::mem::take(&mut first) {
                    client.try_subscribe(topic.as_str(), QoS::AtLeastOnce).unwrap();
                }
            }
            Ok(Event::Incoming(Packet::SubAck(_))) => {
                if let Some(ready) = ready.take() {
                    ready.send(()).unwrap();
                }
            }
            Ok(Event::Incoming(Packet::Publish(message))) => {
                let topic = String::from_utf8(message.topic.to_vec()).unwrap();
                if tell.send((topic, message.payload.to_vec())).is_err() {
                    return;
                }
            }
            Ok(_) => {}
            // The pause is of a client that looks for a broker, not of a test that waits.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
