//! The parts of a release, and what they need.

/// A part of a release that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Service {
    /// Tokens and API keys.
    Auth,
    /// Users and their logins.
    Users,
    /// Things and channels of Mainflux.
    Things,
    /// The call by which others ask Mainflux whose key one is.
    ThingsAuth,
    /// Domains of SuperMQ.
    Domains,
    /// Groups of SuperMQ; only its health is played.
    Groups,
    /// Channels of SuperMQ.
    Channels,
    /// Clients of SuperMQ.
    Clients,
    /// Messages by HTTP.
    Http,
    /// Messages by MQTT 3.1 and 3.1.1.
    Mqtt,
    /// Messages by MQTT 5, on a port of its own: only of Magistrala.
    MqttV5,
    /// Messages by MQTT over WebSocket: only that it has no health is played.
    MqttWs,
    /// Rules of Magistrala, without which nothing is stored.
    Rules,
    /// What stores messages; only its health is played on its port.
    Writer,
    /// Messages that are stored.
    Reader,
    /// The message broker of Magistrala; only its health is played.
    Broker,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Auth,
        Self::Users,
        Self::Things,
        Self::ThingsAuth,
        Self::Domains,
        Self::Groups,
        Self::Channels,
        Self::Clients,
        Self::Http,
        Self::Mqtt,
        Self::MqttV5,
        Self::MqttWs,
        Self::Rules,
        Self::Writer,
        Self::Reader,
        Self::Broker,
    ];

    /// Its name, as endpoints and ports are called by it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Users => "users",
            Self::Things => "things",
            Self::ThingsAuth => "things-auth",
            Self::Domains => "domains",
            Self::Groups => "groups",
            Self::Channels => "channels",
            Self::Clients => "clients",
            Self::Http => "http",
            Self::Mqtt => "mqtt",
            Self::MqttV5 => "mqtt-v5",
            Self::MqttWs => "mqtt-ws",
            Self::Rules => "rules",
            Self::Writer => "writer",
            Self::Reader => "reader",
            Self::Broker => "broker",
        }
    }

    /// The port that it has in the default set-up of a release.
    pub fn usual_port(self, release: crate::Release) -> u16 {
        let if_mainflux = |its, other| if release.is_mainflux() { its } else { other };
        match self {
            Self::Auth => if_mainflux(8189, 9001),
            Self::Users => if_mainflux(8180, 9002),
            Self::Things => 8182,
            Self::ThingsAuth => 8989,
            Self::Domains => 9003,
            Self::Groups => 9004,
            Self::Channels => 9005,
            Self::Clients => 9006,
            Self::Http => if_mainflux(8185, 8008),
            Self::Mqtt => 1883,
            Self::MqttV5 => 1884,
            Self::MqttWs => 8080,
            Self::Rules => 9008,
            Self::Writer => 9007,
            Self::Reader => 9009,
            Self::Broker => 8081,
        }
    }

    /// Whether it speaks MQTT over TCP; the others speak HTTP.
    pub(crate) fn is_mqtt(self) -> bool {
        matches!(self, Self::Mqtt | Self::MqttV5)
    }
}

/// What a release needs, and can lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Dependency {
    /// One of its services: its port refuses connections, and others miss it.
    Service(Service),
    /// PostgreSQL.
    Database,
    /// Redis, which comes back empty.
    Cache,
    /// NATS.
    Nats,
    /// The MQTT broker behind the adapter.
    MqttBroker,
    /// SpiceDB, which knows who may do what.
    SpiceDb,
}

impl From<Service> for Dependency {
    fn from(service: Service) -> Self {
        Self::Service(service)
    }
}
