//! The services of a gateway, by release.

use std::fmt;

/// The release of EdgeX that a fake is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// 4.0 (Odessa): API v3, core-keeper.
    #[default]
    V4,
    /// 3.1 (Napa): API v3, Consul.
    V3_1,
    /// Delhi: API v1.
    V1,
}

/// A service that a fake can play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// Profiles and devices.
    Metadata,
    /// Commands to devices.
    Command,
    /// Configuration and the registry of 4.0.
    Keeper,
    /// Configuration and the registry of 3.1.
    Consul,
    /// The events that were kept.
    Data,
    /// The south side over MQTT.
    DeviceMqtt,
    /// The south side over HTTP.
    DeviceRest,
    /// The south side over CoAP: only what it answers over HTTP, since it listens to no device.
    DeviceCoap,
    /// The application service that exports over MQTT.
    AppMqttExport,
    /// The exports of API v1.
    ExportClient,
    /// The one door of secure mode, in front of the others.
    Gateway,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Metadata,
        Self::Command,
        Self::Keeper,
        Self::Consul,
        Self::Data,
        Self::DeviceMqtt,
        Self::DeviceRest,
        Self::DeviceCoap,
        Self::AppMqttExport,
        Self::ExportClient,
        Self::Gateway,
    ];

    /// What EdgeX calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metadata => "core-metadata",
            Self::Command => "core-command",
            Self::Keeper => "core-keeper",
            Self::Consul => "core-consul",
            Self::Data => "core-data",
            Self::DeviceMqtt => "device-mqtt",
            Self::DeviceRest => "device-rest",
            Self::DeviceCoap => "device-coap",
            Self::AppMqttExport => "app-mqtt-export",
            Self::ExportClient => "export-client",
            Self::Gateway => "security-proxy",
        }
    }

    /// The service of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }

    /// The port that it usually has.
    pub fn usual_port(self, release: Release) -> u16 {
        let v1 = release == Release::V1;
        match self {
            Self::Metadata if v1 => 48081,
            Self::Command if v1 => 48082,
            Self::Data if v1 => 48080,
            Self::DeviceMqtt if v1 => 49982,
            Self::Metadata => 59881,
            Self::Command => 59882,
            Self::Keeper => 59890,
            Self::Consul => 8500,
            Self::Data => 59880,
            Self::DeviceMqtt => 59982,
            Self::DeviceRest => 59986,
            Self::DeviceCoap => 59988,
            Self::AppMqttExport => 59703,
            Self::ExportClient => 48071,
            Self::Gateway => 8443,
        }
    }

    /// Those that a release has, without the door of secure mode.
    pub fn of(release: Release) -> &'static [Self] {
        match release {
            Release::V4 => &[
                Self::Metadata,
                Self::Command,
                Self::Keeper,
                Self::Data,
                Self::DeviceMqtt,
                Self::DeviceRest,
                Self::DeviceCoap,
                Self::AppMqttExport,
            ],
            Release::V3_1 => &[
                Self::Metadata,
                Self::Command,
                Self::Consul,
                Self::Data,
                Self::DeviceMqtt,
                Self::DeviceRest,
                Self::DeviceCoap,
                Self::AppMqttExport,
            ],
            Release::V1 => &[Self::Metadata, Self::Command, Self::Data, Self::DeviceMqtt, Self::ExportClient],
        }
    }

    /// Whether it is a device service.
    pub fn is_south(self) -> bool {
        matches!(self, Self::DeviceMqtt | Self::DeviceRest | Self::DeviceCoap)
    }

    /// The version that it tells.
    pub(crate) fn version(self, release: Release) -> &'static str {
        match release {
            Release::V4 if self.is_south() || self == Self::AppMqttExport => "4.0.1",
            Release::V4 => "4.0.2",
            Release::V3_1 => "3.1.0",
            Release::V1 => "0.7.1",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
