//! The services of a server.

use super::Dialect;
use std::fmt;

/// A service of a server; its name is that of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Service {
    Auth,
    Users,
    Things,
    Domains,
    Groups,
    Channels,
    Clients,
    Http,
    Mqtt,
    Reader,
    Rules,
}

impl Service {
    /// The name of its endpoint.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Users => "users",
            Self::Things => "things",
            Self::Domains => "domains",
            Self::Groups => "groups",
            Self::Channels => "channels",
            Self::Clients => "clients",
            Self::Http => "http",
            Self::Mqtt => "mqtt",
            Self::Reader => "reader",
            Self::Rules => "rules",
        }
    }

    /// Whether it speaks HTTP, so that the endpoint `api` can stand for it.
    pub(crate) const fn speaks_http(self) -> bool {
        !matches!(self, Self::Mqtt)
    }

    /// The services that a server of a dialect cannot do without, beside MQTT.
    pub(crate) const fn needed(dialect: Dialect) -> &'static [Self] {
        match dialect {
            Dialect::MainfluxRaw | Dialect::MainfluxBearer => &[Self::Users, Self::Things],
            Dialect::SuperMq | Dialect::Magistrala => {
                &[Self::Users, Self::Domains, Self::Channels, Self::Clients]
            }
        }
    }

    /// The services that may be there besides. Those that have an endpoint have to answer.
    pub(crate) const fn others(dialect: Dialect) -> &'static [Self] {
        match dialect {
            Dialect::MainfluxRaw | Dialect::MainfluxBearer => &[Self::Auth, Self::Http, Self::Reader],
            Dialect::SuperMq => &[Self::Auth, Self::Groups, Self::Http, Self::Reader],
            Dialect::Magistrala => &[Self::Auth, Self::Groups, Self::Http, Self::Reader, Self::Rules],
        }
    }

    /// Whether nothing can be known of a server while this service is away.
    pub(crate) const fn is_vital(self) -> bool {
        !matches!(self, Self::Groups | Self::Http | Self::Mqtt | Self::Reader | Self::Rules)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
