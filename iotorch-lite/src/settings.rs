//! What documents can set of a gateway or server: the `settings` of one whose application is `lite`.

use crate::{
    Bus, BusFormat, GatewayConfig, Limits, Listen, Ports, Secret, ServerConfig, Tls, config::usual_topics,
};
use iotorch_core::{
    Issue,
    model::{ByteSize, Settings, TimeSpan},
    resource::{NetAddress, Role},
    secret::SecretRef,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, Ipv4Addr},
    num::{NonZeroU16, NonZeroU32},
    path::{Path, PathBuf},
};

/// The least packet limit in bytes. Gateways send packs of up to 60 KiB to servers.
const GATEWAY_PACKET_LIMIT: u32 = 1024;
const SERVER_PACKET_LIMIT: u32 = 64 * 1024;

/// What documents can set of a gateway or server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LiteSettings {
    /// The MQTT port; without it any free one, kept from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtt_port: Option<NonZeroU16>,
    /// The port for messages over HTTP; without it any free one, kept from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_port: Option<NonZeroU16>,
    /// The UDP port of a gateway for CoAP over DTLS; without it any free one, kept from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coap_port: Option<NonZeroU16>,
    /// The port of the management API; without it any free one, kept from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub management_port: Option<NonZeroU16>,
    /// The address to listen on for messages, 127.0.0.1 if not set. Beyond this host it needs `tls`, or `insecure`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<IpAddr>,
    /// The address of the management API, 127.0.0.1 without TLS if not set. Beyond this host it needs `tls`, or `insecure`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub management_listen: Option<IpAddr>,
    /// Speak TLS: MQTT and HTTP, and the management API where `managementListen` is set. CoAP always speaks DTLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// Listen beyond this host without TLS, so that passwords and messages can be read on the way.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// A PEM file of the authorities whose certificates are trusted in place of the system's: by a gateway those of the
    /// targets of its exports, and by who manages it that of the management API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<PathBuf>,
    /// The most readings of a gateway that wait for exports, 100,000 if not set; past it the oldest are dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub outbox_limit: Option<u64>,
    /// The largest message in bytes, 64 KiB if not set; at least that for a server, and 1024 for a gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 268_435_455))]
    pub packet_limit: Option<u32>,
    /// The most connections over MQTT, and as many over HTTP, 1000 if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_limit: Option<NonZeroU32>,
    /// The most messages a second of one device or thing, 100 if not set; for two seconds' worth it may be quicker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<NonZeroU32>,
    /// The most that is stored, `1GiB` if not set: by a server the messages of each tenant, by a gateway the readings that wait
    /// for exports. Past it the oldest are dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored_limit: Option<ByteSize>,
    /// How long a server keeps messages, such as `30d`; for ever if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<TimeSpan>,
    /// A bus that a gateway reads, such as that of EdgeX. What is said there are its readings, of devices that it does not know
    /// itself; its doors for devices are closed, except those whose ports are set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bus: Option<BusSettings>,
}

/// A bus that a gateway reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BusSettings {
    /// Its MQTT broker. With TLS its certificate must be from an authority that the gateway trusts.
    pub endpoint: NetAddress,
    /// The secret to log in with: a user name, a colon, and a password. Without it nobody logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<SecretRef>,
    /// The topics to subscribe to, with wildcards; those of EdgeX's events, `edgex/events/device/#`, if not set.
    #[serde(default = "usual_topics", skip_serializing_if = "is_usual")]
    #[schemars(length(min = 1))]
    pub topics: Vec<String>,
    /// What is said there: `edgex`.
    #[serde(default)]
    pub format: BusFormat,
}

fn is_usual(topics: &[String]) -> bool {
    topics == usual_topics()
}

impl BusSettings {
    /// A bus at this broker that says what EdgeX does, with nobody logged in.
    #[must_use]
    pub fn at(endpoint: NetAddress) -> Self {
        Self { endpoint, credentials: None, topics: usual_topics(), format: BusFormat::default() }
    }

    /// What a gateway needs to read it; what the secret holds is for who starts the gateway to add.
    fn bus(&self) -> Bus {
        let Self { endpoint: NetAddress { host, port, tls }, topics, format, .. } = self.clone();
        Bus::builder().host(host).port(port).tls(tls).topics(topics).format(format).build()
    }
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsFiles {
    /// A PEM file with the certificate, followed by those it rests on.
    pub certificate: PathBuf,
    /// A PEM file with its private key.
    pub key: PathBuf,
}

impl LiteSettings {
    /// Reads the settings of a gateway or server.
    ///
    /// # Errors
    /// All faults; their pointers are into the specification of an application, such as `/settings/mqttPort`.
    pub fn read(settings: &Settings, role: Role) -> Result<Self, Vec<Issue>> {
        let read: Self = serde_json::from_value(serde_json::Value::Object(settings.clone()))
            .map_err(|error| vec![Issue::new("/settings", error.to_string())])?;
        let mut issues = read.check_role(role);
        issues.extend(read.check_ports());
        issues.extend(read.check_listeners());
        issues.extend(read.check_bus());
        if issues.is_empty() { Ok(read) } else { Err(issues) }
    }

    fn check_role(&self, role: Role) -> Vec<Issue> {
        let mut issues = Vec::new();
        let mut refuse = |wrong: bool, field: &str, message: &str| {
            if wrong {
                issues.push(Issue::new(format!("/settings/{field}"), message));
            }
        };
        let server = role == Role::Server;
        refuse(server && self.outbox_limit.is_some(), "outboxLimit", "a server has no outbox");
        refuse(server && self.coap_port.is_some(), "coapPort", "a server does not speak CoAP");
        refuse(server && self.bus.is_some(), "bus", "only a gateway reads a bus");
        refuse(!server && self.retention.is_some(), "retention", "only a server keeps messages");
        refuse(self.outbox_limit == Some(0), "outboxLimit", "an outbox holds at least 1 reading");
        let none = |span: TimeSpan| span.duration().is_zero();
        refuse(self.retention.is_some_and(none), "retention", "messages are kept for some time");
        let nothing = |limit: ByteSize| limit.bytes() == 0;
        refuse(self.stored_limit.is_some_and(nothing), "storedLimit", "something has to be stored");
        let least = if server { SERVER_PACKET_LIMIT } else { GATEWAY_PACKET_LIMIT };
        let message = format!("the packet limit of a {role} is at least {least} bytes");
        refuse(self.packet_limit.is_some_and(|limit| limit < least), "packetLimit", &message);
        issues
    }

    /// MQTT, HTTP and the management API share the ports of TCP; CoAP has those of UDP.
    fn check_ports(&self) -> Option<Issue> {
        let ports = [
            ("MQTT", "mqttPort", self.mqtt_port),
            ("HTTP", "httpPort", self.http_port),
            ("management", "managementPort", self.management_port),
        ];
        ports.iter().enumerate().find_map(|(at, (_, field, port))| {
            let (name, ..) = ports[..at].iter().find(|(.., other)| port.is_some() && port == other)?;
            Some(Issue::new(format!("/settings/{field}"), format!("the {name} port is the same")))
        })
    }

    fn check_listeners(&self) -> Vec<Issue> {
        let (data, management) = (self.data(), self.management());
        let data = data.check().err().map(|error| Issue::new("/settings/listen", error.to_string()));
        let management = management.and_then(|management| management.check().err());
        let management = management.map(|error| Issue::new("/settings/managementListen", error.to_string()));
        data.into_iter().chain(management).collect()
    }

    fn check_bus(&self) -> Option<Issue> {
        let bus = self.bus.as_ref()?;
        if bus.endpoint.host.is_empty() || bus.endpoint.port == 0 {
            return Some(Issue::new("/settings/bus/endpoint", "a bus has a host and a port from 1 to 65535"));
        }
        bus.bus().check().err().map(|error| Issue::new("/settings/bus/topics", error.to_string()))
    }

    fn at(&self, address: IpAddr) -> Listen {
        let tls = self.tls.clone().map(|TlsFiles { certificate, key }| Tls { certificate, key });
        Listen { address, tls, insecure: self.insecure }
    }

    /// Where messages are taken.
    pub(crate) fn data(&self) -> Listen {
        self.at(self.listen.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)))
    }

    /// Where the management API is, if it has an address of its own.
    pub(crate) fn management(&self) -> Option<Listen> {
        self.management_listen.map(|address| self.at(address))
    }

    fn ports(&self) -> Ports {
        let or_any = |port: Option<NonZeroU16>| port.map_or(0, NonZeroU16::get);
        Ports {
            mqtt: or_any(self.mqtt_port),
            http: or_any(self.http_port),
            coap: or_any(self.coap_port),
            management: or_any(self.management_port),
        }
    }

    fn limits(&self) -> Limits {
        let limits = Limits::default();
        Limits {
            connections: self.connection_limit.map_or(limits.connections, |limit| limit.get() as usize),
            packet: self.packet_limit.map_or(limits.packet, |limit| limit as usize),
            rate: self.rate_limit.map_or(limits.rate, |limit| limit.get().into()),
            stored: self.stored_limit.map_or(limits.stored, ByteSize::bytes),
        }
    }

    /// What a gateway with these settings needs to start, but for what the secret of its bus holds ([`Bus::login`]). Its files and
    /// addresses are looked at then.
    #[must_use]
    pub fn gateway(&self, data_dir: &Path, admin_token: Secret) -> GatewayConfig {
        let mut config = GatewayConfig::builder().data_dir(data_dir).admin_token(admin_token).build();
        config.listen = self.data();
        config.management = self.management();
        config.ports = self.ports();
        config.limits = self.limits();
        config.trust.clone_from(&self.trust);
        config.bus = self.bus.as_ref().map(BusSettings::bus);
        config.outbox_limit = self.outbox_limit.unwrap_or(config.outbox_limit);
        config
    }

    /// What a server with these settings needs to start. Its files and addresses are looked at then.
    #[must_use]
    pub fn server(&self, data_dir: &Path, admin_token: Secret) -> ServerConfig {
        let mut config = ServerConfig::builder().data_dir(data_dir).admin_token(admin_token).build();
        config.listen = self.data();
        config.management = self.management();
        config.ports = self.ports();
        config.limits = self.limits();
        config.retention = self.retention.map(TimeSpan::duration);
        config
    }
}
