//! What a gateway and a server are configured with alike.

use crate::{Error, Result, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};
use typed_builder::TypedBuilder;

/// The least packet limit in bytes.
const PACKET: usize = 1024;

/// Where to listen, and how.
///
/// # Examples
/// ```
/// use iotorch_lite::{Listen, Tls};
///
/// let tls = Tls { certificate: "gateway.pem".into(), key: "gateway.key".into() };
/// let everywhere = Listen::builder().address([0, 0, 0, 0]).tls(tls).build();
/// assert!(everywhere.check().is_ok());
///
/// let in_clear = Listen::builder().address([0, 0, 0, 0]).build();
/// let refused = in_clear.check().unwrap_err();
/// assert_eq!(refused.to_string(), "cannot listen on 0.0.0.0 without TLS: set a certificate, or insecure to go without");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, TypedBuilder)]
#[builder(field_defaults(setter(into)))]
pub struct Listen {
    /// The address; the loopback interface if not set.
    #[builder(default = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub address: IpAddr,
    /// The certificate to speak TLS with; without it nothing is encrypted, except CoAP, which always is.
    #[builder(default)]
    pub tls: Option<Tls>,
    /// Listen beyond this host without TLS, so that passwords and messages can be read on the way.
    #[builder(default)]
    pub insecure: bool,
}

impl Default for Listen {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl Listen {
    /// Whether it may be listened here.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for an address beyond this host with neither TLS nor `insecure`.
    pub fn check(&self) -> Result<()> {
        if self.address.to_canonical().is_loopback() || self.tls.is_some() || self.insecure {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "cannot listen on {} without TLS: set a certificate, or insecure to go without",
            self.address
        )))
    }
}

/// A certificate and its key. They are read at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// A PEM file with the certificate, followed by those it rests on.
    pub certificate: PathBuf,
    /// A PEM file with its private key.
    pub key: PathBuf,
}

/// The ports of a gateway or server. With 0, the one used before in its directory, or at first any free one, if possible from
/// 20000 to 29999, where the system takes none for outgoing connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TypedBuilder)]
#[serde(default)]
#[builder(field_defaults(default))]
pub struct Ports {
    /// For messages over MQTT.
    pub mqtt: u16,
    /// For messages over HTTP.
    pub http: u16,
    /// For messages over CoAP, in UDP. A server has none.
    #[serde(skip_serializing_if = "is_none")]
    pub coap: u16,
    /// For the management API.
    pub management: u16,
}

const fn is_none(port: &u16) -> bool {
    *port == 0
}

/// A broker whose messages a gateway takes as readings of devices that it does not know itself.
///
/// # Examples
/// ```
/// use iotorch_lite::{Bus, Secret};
///
/// let bus = Bus::builder().host("edgex-broker").port(1883u16).login(Secret::new("bridge:a password")).build();
/// assert_eq!(bus.topics, ["edgex/events/device/#"]);
/// assert!(bus.check().is_ok());
///
/// let deaf = Bus::builder().host("edgex-broker").topics(["edgex/#/device".to_owned()]).build();
/// assert_eq!(deaf.check().unwrap_err().to_string(), "\"edgex/#/device\" is not a topic that can be subscribed to");
/// ```
#[derive(Debug, Clone, TypedBuilder)]
#[builder(field_defaults(setter(into)))]
pub struct Bus {
    /// The host name or address of the broker.
    pub host: String,
    /// Its port, 1883 if not set.
    #[builder(default = 1883)]
    pub port: u16,
    /// Whether it speaks TLS; its certificate must be from an authority that the gateway trusts.
    #[builder(default)]
    pub tls: bool,
    /// What to log in with: a user name, a colon, and a password.
    #[builder(default, setter(strip_option))]
    pub login: Option<Secret>,
    /// The topics to subscribe to, with wildcards: those of EdgeX's events if not set.
    #[builder(default = usual_topics())]
    pub topics: Vec<String>,
    /// What is said there.
    #[builder(default)]
    pub format: BusFormat,
}

pub(crate) fn usual_topics() -> Vec<String> {
    vec!["edgex/events/device/#".to_owned()]
}

impl Bus {
    /// Whether such a bus can be read.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a topic that cannot be subscribed to, for none, and for a login
    /// without a colon.
    pub fn check(&self) -> Result<()> {
        if self.topics.is_empty() {
            return Err(Error::invalid("a bus has at least one topic"));
        }
        if let Some(topic) = self.topics.iter().find(|topic| !rumqttc_v4::valid_filter(topic)) {
            let topic = topic.escape_debug();
            return Err(Error::invalid(format!("\"{topic}\" is not a topic that can be subscribed to")));
        }
        if self.login.as_ref().is_some_and(|login| !login.expose().contains(':')) {
            return Err(Error::invalid("the login of a bus is a user name, a colon, and a password"));
        }
        Ok(())
    }
}

/// What is said on a bus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum BusFormat {
    /// Events of EdgeX, of API version 3 (as EdgeX 2 to 4 have them, in JSON or CBOR) or 1.
    #[default]
    Edgex,
}

/// How much is taken, so that nobody takes everything.
#[derive(Debug, Clone, Copy, PartialEq, TypedBuilder)]
pub struct Limits {
    /// The most connections of each listener. Of those who are known, one can have a quarter. Each is an open file of this
    /// process, which many systems limit to 1,024 at first: the `iotorch` command raises that, other programs have to.
    #[builder(default = 1000)]
    pub connections: usize,
    /// The largest message in bytes, at least 1024. A gateway sends packs of up to 60 KiB to servers.
    #[builder(default = 64 * 1024)]
    pub packet: usize,
    /// The most messages a second of one client over all protocols; for two seconds' worth it may be quicker. Past it MQTT is
    /// read more slowly, and HTTP and CoAP are refused for a while. It can be infinite.
    #[builder(default = 100.0)]
    pub rate: f64,
    /// The most bytes that are stored: by a server the messages of each tenant, by a gateway the readings that wait for
    /// exports. Past it the oldest are dropped and counted. 1 GiB if not set.
    #[builder(default = 1024 * 1024 * 1024)]
    pub stored: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl Limits {
    pub(crate) fn check(&self) -> Result<()> {
        if self.connections == 0 {
            return Err(Error::invalid("a connection limit is at least 1"));
        }
        if self.packet < PACKET {
            return Err(Error::invalid(format!("a packet limit is at least {PACKET} bytes")));
        }
        if self.rate.is_nan() || self.rate <= 0.0 {
            return Err(Error::invalid(format!(
                "a rate of {} messages a second lets none through",
                self.rate
            )));
        }
        Ok(())
    }
}
