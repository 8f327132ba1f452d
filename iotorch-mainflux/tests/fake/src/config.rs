//! What is played, and where.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use jiff::Timestamp;

use crate::Service;

/// A release of the lineage that has been called Mainflux, SuperMQ and Magistrala.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Release {
    /// Mainflux 0.12.1: a raw token in `Authorization`.
    Mainflux012,
    /// Mainflux 0.13: `Bearer` before the token of a user, `Thing` before the key of a thing; wrong passwords are 401, and its reader says
    /// in words that it does not admit a key. Else as 0.12.
    Mainflux013,
    /// SuperMQ 0.17, before 0.18.4 told conflicts as 400, and domains that are not there as such; else as 0.19.
    SuperMq017,
    /// SuperMQ 0.19.1.
    SuperMq019,
    /// Magistrala 0.30.0.
    Magistrala030,
}

impl Release {
    /// All of them, the oldest first.
    pub const ALL: [Self; 5] =
        [Self::Mainflux012, Self::Mainflux013, Self::SuperMq017, Self::SuperMq019, Self::Magistrala030];

    /// Its name, such as `mainflux-0.12`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mainflux012 => "mainflux-0.12",
            Self::Mainflux013 => "mainflux-0.13",
            Self::SuperMq017 => "supermq-0.17",
            Self::SuperMq019 => "supermq-0.19",
            Self::Magistrala030 => "magistrala-0.30",
        }
    }

    /// The version as its services tell it.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Mainflux012 => "0.12.1",
            Self::Mainflux013 => "0.13.0",
            Self::SuperMq017 => "v0.17.0",
            Self::SuperMq019 => "v0.19.1",
            Self::Magistrala030 => "v0.30.0",
        }
    }

    /// Whether it is one of Mainflux itself, with things instead of clients and no domains.
    pub fn is_mainflux(self) -> bool {
        matches!(self, Self::Mainflux012 | Self::Mainflux013)
    }

    /// The services that it is made of.
    pub fn services(self) -> &'static [Service] {
        use Service::*;
        match self {
            Self::Mainflux012 | Self::Mainflux013 => {
                &[Auth, Users, Things, ThingsAuth, Http, Mqtt, MqttWs, Writer, Reader]
            }
            Self::SuperMq017 | Self::SuperMq019 => {
                &[Auth, Users, Domains, Groups, Channels, Clients, Http, Mqtt, MqttWs]
            }
            Self::Magistrala030 => &[
                Auth, Users, Domains, Groups, Channels, Clients, Http, Mqtt, MqttV5, Rules, Writer, Reader,
                Broker,
            ],
        }
    }

    /// How long a token of a login is valid in its default set-up.
    fn token_lifetime(self) -> Duration {
        Duration::from_secs(if self.is_mainflux() { 10 * 60 * 60 } else { 60 * 60 })
    }
}

/// What is played, and where.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) release: Release,
    pub(crate) bind: IpAddr,
    pub(crate) ports: BTreeMap<Service, u16>,
    pub(crate) admin: Admin,
    pub(crate) token_lifetime: Duration,
    pub(crate) bus_patience: Duration,
    pub(crate) wants_verified: bool,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) clock_starts_at: Option<Timestamp>,
}

/// The user that is there from the start.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) password: String,
}

impl Config {
    /// Plays a release on free ports of 127.0.0.1, with state only in memory, and `admin@example.com` (by name `admin`) with the
    /// password `12345678` as its administrator.
    pub fn new(release: Release) -> Self {
        Self {
            release,
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ports: BTreeMap::new(),
            admin: Admin {
                email: "admin@example.com".to_owned(),
                name: "admin".to_owned(),
                password: "12345678".to_owned(),
            },
            token_lifetime: release.token_lifetime(),
            bus_patience: Duration::from_secs(5),
            wants_verified: false,
            data_dir: None,
            clock_starts_at: None,
        }
    }

    /// Listens on this address instead of 127.0.0.1.
    #[must_use]
    pub fn with_bind(mut self, address: IpAddr) -> Self {
        self.bind = address;
        self
    }

    /// Has a service listen on this port instead of a free one.
    #[must_use]
    pub fn with_port(mut self, service: Service, port: u16) -> Self {
        self.ports.insert(service, port);
        self
    }

    /// Who the administrator is: by e-mail on Mainflux, also by name on the others.
    #[must_use]
    pub fn with_admin(mut self, email: &str, name: &str, password: &str) -> Self {
        self.admin = Admin { email: email.to_owned(), name: name.to_owned(), password: password.to_owned() };
        self
    }

    /// How long the token of a login is valid. The services of Mainflux know only 10 hours, those of SuperMQ an hour by default.
    #[must_use]
    pub fn with_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime;
        self
    }

    /// How long services of SuperMQ wait for a NATS that is down until they answer 500: 5 s in reality.
    #[must_use]
    pub fn with_bus_patience(mut self, patience: Duration) -> Self {
        self.bus_patience = patience;
        self
    }

    /// Lets in only users who have verified their e-mail addresses, as SuperMQ from 0.18 on does unless it is told otherwise.
    #[must_use]
    pub fn with_verified_addresses(mut self) -> Self {
        self.wants_verified = true;
        self
    }

    /// Has the clock of the services start at a time, and go on only by a microsecond with each look at it, and where time is let pass
    /// ([`Fake::pass`](crate::Fake::pass)). So nothing depends on how fast the machine is.
    #[must_use]
    pub fn with_clock_at(mut self, start: Timestamp) -> Self {
        self.clock_starts_at = Some(start);
        self
    }

    /// Keeps the state in a file `state.json` in this directory, which has to be there, so that it outlives the process.
    #[must_use]
    pub fn with_data_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(directory.into());
        self
    }
}
