//! The users of mosquitto, by its dynamic security plug-in (`mosquitto_ctrl_dynsec(1)`; its README, "Dynamic Security Plugin").
//!
//! Commands are published to a control topic as JSON, several in one message, and each is answered.

use std::{path::PathBuf, sync::Arc, time::Duration};

use iotorch_core::secret::SecretValue;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Packet,
    PublishOptions, QoS, SubscribeReasonCode, Transport,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::Result;
use crate::error::{Failure, Why};

/// Where commands are published to.
const CONTROL: &str = "$CONTROL/dynamic-security/v1";

/// Where they are answered.
const ANSWERS: &str = "$CONTROL/dynamic-security/v1/response";

/// How long the broker may take for everything of one call.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many users are listed at a time.
const PAGE: usize = 200;

/// The reason codes of a refused connection and a refused subscription (MQTT 5 sections 3.2.2.2 and 3.9.3).
const BAD_LOGIN: u16 = 134;
const NOT_AUTHORIZED: u16 = 135;

/// What the plug-in is called in errors.
const BROKER: &str = "the MQTT broker";

/// How the broker is reached, and by whom.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    pub(crate) trust: Option<PathBuf>,
    pub(crate) user: String,
    pub(crate) password: SecretValue,
}

/// A user of the broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct User {
    /// What it logs in as.
    #[serde(rename = "username")]
    pub(crate) name: String,
    /// Free text: whose it is.
    #[serde(rename = "textdescription", default)]
    pub(crate) note: String,
}

/// Something to be done about a user. It is right whether it was done before or not.
#[derive(Debug)]
pub(crate) enum Order {
    /// Gives a user its password, its note, and the rights of a device: to send, and to take commands under a topic.
    Put { user: User, device: String, commands: String, password: SecretValue },
    /// Removes a user, and its rights.
    Remove { name: String },
}

impl Broker {
    /// All users.
    pub(crate) async fn users(&self) -> Result<Vec<User>> {
        let mut session = Session::open(self).await?;
        let mut users: Vec<User> = Vec::new();
        loop {
            let list =
                json!({ "command": "listClients", "verbose": true, "count": PAGE, "offset": users.len() });
            let mut answer = session.ask(vec![list]).await?.remove(0)?;
            let total = answer.get("totalCount").and_then(Value::as_u64).unwrap_or_default();
            let page: Vec<User> = taken(&mut answer, "clients")?;
            let is_last = page.is_empty();
            users.extend(page);
            if is_last || users.len() as u64 >= total {
                session.close().await;
                return Ok(users);
            }
        }
    }

    /// Some users, by their names.
    pub(crate) async fn find(&self, names: &[String]) -> Result<Vec<Option<User>>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut session = Session::open(self).await?;
        let commands = names.iter().map(|name| json!({ "command": "getClient", "username": name })).collect();
        let answers = session.ask(commands).await?;
        session.close().await;
        let user = |answer: Result<Told>| match answer {
            Ok(mut answer) => taken(&mut answer, "client").map(Some),
            Err(failure) if failure.status() == Some(404) => Ok(None),
            Err(failure) => Err(failure),
        };
        answers.into_iter().map(user).collect()
    }

    /// Does what is ordered, and says what became of each.
    pub(crate) async fn carry_out(&self, orders: &[Order]) -> Result<Vec<Result<()>>> {
        if orders.is_empty() {
            return Ok(Vec::new());
        }
        let mut session = Session::open(self).await?;
        let commands: Vec<Vec<Value>> = orders.iter().map(commands_of).collect();
        let counts: Vec<_> = commands.iter().map(Vec::len).collect();
        let mut answers = session.ask(commands.into_iter().flatten().collect()).await?.into_iter();
        session.close().await;
        // Half of what an order consists of says that there is nothing to do; the rest tells.
        let of_order = |count| {
            let answers: Vec<_> = answers.by_ref().take(count).collect();
            let failed = answers.into_iter().filter_map(Result::err);
            failed
                .into_iter()
                .find(|failure| !matches!(failure.status(), Some(404 | 409)))
                .map_or(Ok(()), Err)
        };
        Ok(counts.into_iter().map(of_order).collect())
    }
}

/// The commands of an order. What is there already is changed, what is not is made: one of two commands always finds nothing to do.
fn commands_of(order: &Order) -> Vec<Value> {
    match order {
        Order::Put { user, device, commands, password } => {
            let role = role_of(&user.name);
            let acl = |kind: &str, topic: String| json!({ "acltype": kind, "topic": topic, "priority": 0, "allow": true });
            let acls = json!([
                acl("publishClientSend", format!("incoming/data/{device}/#")),
                acl("publishClientSend", "command/response/#".to_owned()),
                acl("subscribePattern", format!("{commands}/#")),
            ]);
            let roles = json!([{ "rolename": role, "priority": 0 }]);
            let client = |command: &str| {
                json!({ "command": command, "username": user.name, "password": password.expose(),
                    "textdescription": user.note, "roles": roles })
            };
            vec![
                json!({ "command": "createRole", "rolename": role, "acls": acls }),
                json!({ "command": "modifyRole", "rolename": role, "acls": acls }),
                client("createClient"),
                client("modifyClient"),
            ]
        }
        Order::Remove { name } => vec![
            json!({ "command": "deleteClient", "username": name }),
            json!({ "command": "deleteRole", "rolename": role_of(name) }),
        ],
    }
}

/// The role of a user.
fn role_of(user: &str) -> String {
    format!("device {user}")
}

/// A connection that commands go over. Nothing goes on when it is dropped.
struct Session {
    client: AsyncClient,
    events: EventLoop,
    /// Tells its answers from those to others, which all who manage the broker hear.
    id: String,
}

impl Session {
    async fn open(broker: &Broker) -> Result<Self> {
        let opened = tokio::time::timeout(PATIENCE, Self::connect(broker)).await;
        opened.unwrap_or_else(|_| Err(failed(Why::NoAnswer)))
    }

    async fn connect(broker: &Broker) -> Result<Self> {
        let id = client_id();
        let mut options = MqttOptions::new(id.clone(), (broker.host.as_str(), broker.port));
        options.set_credentials(broker.user.as_str(), broker.password.expose().to_owned());
        options.set_connect_timeout(PATIENCE);
        options.set_unlimited_incoming_packet_size();
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        if broker.tls {
            let tls = iotorch_lite::client::tls(broker.trust.as_deref()).map_err(unreachable)?;
            options.set_transport(Transport::tls_with_config(tls.into()));
        }
        let (client, events) = AsyncClient::builder(options).capacity(4).try_build().map_err(unreachable)?;
        let mut session = Self { client, events, id };
        session.client.subscribe(ANSWERS, QoS::AtLeastOnce).await.map_err(unreachable)?;
        loop {
            let Packet::SubAck(answer) = session.next().await? else { continue };
            let is_granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
            return match answer.return_codes.iter().all(is_granted) {
                true => Ok(session),
                // Whoever may not manage users may not hear what is answered about them.
                false => Err(failed(Why::Denied(NOT_AUTHORIZED))),
            };
        }
    }

    /// The next packet that comes in.
    async fn next(&mut self) -> Result<Packet> {
        loop {
            match self.events.poll().await {
                Ok(Event::Incoming(packet)) => return Ok(packet),
                Ok(_) => {}
                Err(ConnectionError::ConnectionRefused(
                    code @ (ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized),
                )) => {
                    let is_login = matches!(code, ConnectReturnCode::BadUserNamePassword);
                    return Err(failed(Why::Denied(if is_login { BAD_LOGIN } else { NOT_AUTHORIZED })));
                }
                Err(ConnectionError::Timeout(_)) => return Err(failed(Why::NoAnswer)),
                Err(error) => return Err(unreachable(error)),
            }
        }
    }

    /// Has commands done, and gives the answer to each.
    async fn ask(&mut self, commands: Vec<Value>) -> Result<Vec<Result<Told>>> {
        let asked = tokio::time::timeout(PATIENCE, self.exchange(commands)).await;
        asked.unwrap_or_else(|_| Err(failed(Why::NoAnswer)))
    }

    async fn exchange(&mut self, mut commands: Vec<Value>) -> Result<Vec<Result<Told>>> {
        for command in commands.iter_mut().filter_map(Value::as_object_mut) {
            command.insert("correlationData".to_owned(), json!(self.id));
        }
        let wanted = commands.len();
        let payload = json!({ "commands": commands }).to_string();
        let options = PublishOptions::new(QoS::AtLeastOnce);
        self.client.publish(CONTROL, payload, options).await.map_err(unreachable)?;
        loop {
            let Packet::Publish(publish) = self.next().await? else { continue };
            let said: Answers = serde_json::from_slice(&publish.payload).map_err(|_| {
                Failure::strange(&BROKER.into(), 200, &String::from_utf8_lossy(&publish.payload))
            })?;
            let is_ours = |answer: &Answer| answer.session.as_deref() == Some(&self.id);
            if !said.responses.iter().all(is_ours) {
                continue;
            }
            if said.responses.len() != wanted {
                let text = format!("{} answers to {wanted} commands", said.responses.len());
                return Err(Failure::strange(&BROKER.into(), 200, &text));
            }
            return Ok(said.responses.into_iter().map(Answer::result).collect());
        }
    }

    async fn close(mut self) {
        if self.client.disconnect().await.is_ok() {
            // The connection is over either way.
            let left = async { while self.events.poll().await.is_ok_and(|event| !is_disconnect(&event)) {} };
            let _ = tokio::time::timeout(PATIENCE, left).await;
        }
    }
}

fn is_disconnect(event: &Event) -> bool {
    matches!(event, Event::Outgoing(rumqttc::Outgoing::Disconnect))
}

/// What a command told, by name.
type Told = Map<String, Value>;

/// Takes a part of what was told.
fn taken<T: DeserializeOwned>(told: &mut Told, name: &str) -> Result<T> {
    let value = told.remove(name).unwrap_or_default();
    T::deserialize(&value).map_err(|_| Failure::strange(&BROKER.into(), 200, &value.to_string()))
}

#[derive(Deserialize)]
struct Answers {
    responses: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    data: Told,
    #[serde(rename = "correlationData", default)]
    session: Option<String>,
}

impl Answer {
    /// The plug-in has words in place of codes.
    fn result(self) -> Result<Told> {
        let Some(message) = self.error else { return Ok(self.data) };
        let status = match message.as_str() {
            said if said.ends_with("not found") => 404,
            said if said.ends_with("already exists") => 409,
            _ => 400,
        };
        Err(failed(Why::Said { status, message }))
    }
}

fn failed(why: Why) -> Failure {
    Failure::new(&Arc::from(BROKER), why)
}

fn unreachable(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    failed(Why::Unreachable(Arc::new(error)))
}

/// One that no other connection has, of no process anywhere: a second one with the same would end the first.
fn client_id() -> String {
    format!("iotorch-{:016x}", rand::random::<u64>())
}
