//! Acting as a device: over any protocol that a [`Gateway`](crate::Gateway) takes, with the device's own login.
//!
//! It is the other side of a gateway, for simulators, for tests of one's own, and for programs that are a device themselves.
//! A [`Login`] says who the device is and where its gateway listens, a [`Link`] is the connection to it, and the [`Answer`]
//! to each [`Message`] says what became of it, as far as the protocol can tell. A thing sends to a
//! [`Server`](crate::Server) in the same way, over MQTT or HTTP.
//!
//! Nothing is sent a second time by itself, and a connection that was lost is not made again: whether and when to try
//! again is the caller's business, and [`Error::is_retryable`] tells what that depends on.
//!
//! # Examples
//! ```
//! use iotorch_core::ErrorKind;
//! use iotorch_lite::{
//!     Secret,
//!     api::DeviceProtocol,
//!     device::{Answer, Link, Login, Message, NetAddress, Qos, Reading},
//! };
//! # use iotorch_lite::{Gateway, GatewayConfig, api::{Device, Nothing, Profile, Put}, client::GatewayClient};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let admin = Secret::new("a long random string");
//! # let config = GatewayConfig::builder().data_dir(dir.path()).admin_token(admin.clone()).build();
//! # let gateway = Gateway::start(config).await?;
//! # let client = GatewayClient::new(format!("http://{}", gateway.management_address()), admin)?;
//! # let profile: Profile =
//! #     serde_json::from_str(r#"{"resources":{"temperature":{"type":"float","max":85},"on":{"type":"bool"}}}"#)?;
//! # let mark = String::from("an example");
//! # let put = Put { mark: mark.clone(), spec: serde_json::Value::Null, settings: profile, secret: None };
//! # client.put_profile("climate", &put, false).await?;
//! # let device = Device { profile: "climate".into(), protocol: DeviceProtocol::Http };
//! # let put = Put { mark: mark.clone(), spec: serde_json::Value::Null, settings: device, secret: None };
//! # client.put_device("bench-1", &put, false).await?;
//! # let secret = Some(Secret::new("the password of bench-1"));
//! # let put = Put { mark, spec: serde_json::Value::Null, settings: Nothing {}, secret };
//! # client.put_credential("bench-1", 1, &put, false).await?;
//! # let at = gateway.http_address();
//! let address = NetAddress { host: at.ip().to_string(), port: at.port(), tls: false };
//! let login = Login::builder()
//!     .protocol(DeviceProtocol::Http)
//!     .address(address)
//!     .path("devices/bench-1")
//!     .user("bench-1")
//!     .password(Secret::new("the password of bench-1"))
//!     .build();
//! let link = Link::connect(&login, Qos::default()).await?;
//!
//! let measured = Message::of_readings(&[Reading::new("temperature", 21.5), Reading::new("on", true)])?;
//! assert_eq!(link.send(&measured).await?, Answer::Accepted);
//!
//! let too_hot = Message::of_readings(&[Reading::new("temperature", 900), Reading::new("on", true)])?;
//! let why = String::from("\"temperature\" is 900, above 85");
//! assert_eq!(link.send(&too_hot).await?, Answer::Rejected { accepted: 1, rejected: vec![why] });
//! link.close().await;
//!
//! let stranger = Login { password: Secret::new("a guess"), ..login };
//! let refused = Link::connect(&stranger, Qos::default()).await?.send(&measured).await.unwrap_err();
//! assert_eq!((refused.kind(), refused.to_string().as_str()), (ErrorKind::Denied, "the gateway refuses the login"));
//! # gateway.stop().await;
//! # Ok(())
//! # }
//! ```

mod answer;
mod coap;
mod failure;
mod http;
mod message;
mod mqtt;

pub use answer::Answer;
pub use iotorch_core::resource::NetAddress;
pub use message::{Message, Reading};

use crate::{Secret, api::DeviceProtocol, tls};
use coap::CoapLink;
use http::HttpLink;
use iotorch_core::{Error, ErrorKind, Result};
use mqtt::MqttLink;
use rustls::ClientConfig;
use std::{path::PathBuf, sync::Arc, time::Duration};
use typed_builder::TypedBuilder;

/// How long a gateway may take to let a device in, and to answer a message.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who a device is, and where it sends to.
#[derive(Clone, Debug, TypedBuilder)]
#[builder(field_defaults(setter(into)))]
pub struct Login {
    /// The protocol it speaks; MQTT if not set.
    #[builder(default)]
    pub protocol: DeviceProtocol,
    /// Where its gateway listens for that protocol. CoAP is always encrypted, whether the address says so or not.
    pub address: NetAddress,
    /// The topic or path it sends to, without a slash in front: `devices/<name>`, `devices/<name>/<resource>`, or
    /// `channels/<channel>/messages` of a server.
    pub path: String,
    /// Its name, which is the user name to log in with.
    pub user: String,
    /// The generation of the password. Over CoAP it chooses among several; if not set, the oldest that is valid is
    /// taken for the password. The other protocols need none.
    #[builder(default)]
    pub generation: Option<u32>,
    /// Its password; over CoAP the pre-shared key.
    pub password: Secret,
    /// A PEM file of the authorities that a gateway with TLS is checked against, in place of those that the system
    /// trusts.
    #[builder(default)]
    pub trust: Option<PathBuf>,
}

impl Login {
    /// What its gateway is checked by, as far as it speaks TLS.
    fn tls(&self) -> Result<ClientConfig> {
        let tls =
            if self.address.tls { tls::trusting(self.trust.as_deref()) } else { tls::trusting_nobody() };
        tls.map_err(|error| {
            Error::new(error.to_core(), "cannot check a gateway that speaks TLS").with_source(error)
        })
    }
}

/// What MQTT promises of a message; the other protocols always answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Qos {
    /// At most once (QoS 0): it is sent, and nothing more is known.
    AtMostOnce,
    /// At least once (QoS 1): the gateway has it on disk when it acknowledges.
    #[default]
    AtLeastOnce,
}

/// A device's connection to its gateway. Clones share it, and it ends when the last one is dropped.
///
/// Messages can be sent side by side; over CoAP they go one after the other (NSTART; RFC 7252 section 4.7). Dropping the
/// future of a call is safe: the message may have arrived or not.
#[derive(Clone, Debug)]
pub struct Link(Spoken);

#[derive(Clone, Debug)]
enum Spoken {
    Mqtt(Arc<MqttLink>),
    Http(Arc<HttpLink>),
    Coap(Arc<CoapLink>),
}

impl Link {
    /// Connects and logs in. `qos` is for MQTT. Over HTTP nothing is sent yet: there every message logs in for itself.
    ///
    /// # Errors
    /// - [`ErrorKind::Denied`] if the gateway refuses the login.
    /// - [`ErrorKind::Unavailable`] if it cannot be reached, and [`ErrorKind::Timeout`] after 10 s without an answer.
    /// - [`ErrorKind::Invalid`] if the file of authorities cannot be used.
    /// - [`ErrorKind::Unsupported`] for a protocol that is none of MQTT, HTTP and CoAP.
    pub async fn connect(login: &Login, qos: Qos) -> Result<Self> {
        Ok(Self(match login.protocol {
            DeviceProtocol::Mqtt => Spoken::Mqtt(Arc::new(MqttLink::connect(login, qos).await?)),
            DeviceProtocol::Http => Spoken::Http(Arc::new(HttpLink::new(login)?)),
            DeviceProtocol::Coap => Spoken::Coap(Arc::new(CoapLink::connect(login).await?)),
            other => return Err(Error::new(ErrorKind::Unsupported, format!("cannot speak {other}"))),
        }))
    }

    /// Sends a message and waits for what the gateway says of it.
    ///
    /// # Errors
    /// - [`ErrorKind::Denied`] if the gateway refuses the login or the path.
    /// - [`ErrorKind::RateLimited`] if the device is too quick for it, with [`Error::retry_after`].
    /// - [`ErrorKind::Invalid`] if it refuses the message as a whole: it is too large, say. A message whose readings are
    ///   rejected is no error, see [`Answer::Rejected`].
    /// - [`ErrorKind::Unavailable`] if the connection was lost, and [`ErrorKind::Timeout`] after 10 s without an answer:
    ///   the message may have arrived. After either, connect anew.
    /// - [`ErrorKind::Unexpected`] for an answer that no gateway gives.
    pub async fn send(&self, message: &Message) -> Result<Answer> {
        match &self.0 {
            Spoken::Mqtt(link) => link.send(message).await,
            Spoken::Http(link) => link.send(message).await,
            Spoken::Coap(link) => link.send(message).await,
        }
    }

    /// Says good-bye, as far as the protocol has words for it, and waits at most 10 s until that is said. Over MQTT and
    /// CoAP nothing can be sent afterwards.
    pub async fn close(&self) {
        match &self.0 {
            Spoken::Mqtt(link) => link.close().await,
            // Every message was a conversation of its own.
            Spoken::Http(_) => {}
            Spoken::Coap(link) => link.close().await,
        }
    }
}
