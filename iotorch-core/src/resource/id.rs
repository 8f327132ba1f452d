//! The identity of a resource: the path of its hosts.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize, de};

use super::KindName;
use crate::{
    error::{Error, ErrorKind, Result},
    model::{InfrastructureName, PartName, SliceName},
};

/// The path of a resource's hosts, such as `greenhouse/edge-1/space/gw/app/device/bench-1`.
///
/// | path | kind |
/// |---|---|
/// | `SLICE/INFRASTRUCTURE/space` | Space |
/// | `SPACE/NAME`, or `SLICE/physical/NAME` | Workload |
/// | `WORKLOAD/app`, or `SLICE/external/NAME/app` | Application |
/// | `APP/tenant` | Tenant |
/// | `TENANT/attachment/GATEWAY` | Attachment |
/// | `ATTACHMENT/credential/GENERATION`, `DEVICE/credential/GENERATION` | Credential |
/// | `APP/profile/NAME`, `APP/device/NAME`, `APP/export/NAME` | Profile, Device, Export |
/// | `SLICE/network/access`, `SLICE/network/transport/NAME`, `SLICE/network/core` | Segment |
/// | `SEGMENT/port/PART` | Port |
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    path: Arc<str>,
    kind: KindName,
}

/// Where a resource lives in the end: what a [`crate::Domain`] is connected to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// On an infrastructure.
    Infrastructure(InfrastructureName),
    /// In an application that runs outside of iotorch.
    External,
    /// In the network.
    Network,
    /// Nowhere that iotorch deploys to: a physical network function.
    Physical,
}

impl ResourceId {
    fn join(&self, tail: fmt::Arguments<'_>, kind: KindName) -> Self {
        Self { path: format!("{}/{tail}", self.path).into(), kind }
    }

    /// The slice's space on an infrastructure.
    #[must_use]
    pub fn space(slice: &SliceName, infrastructure: &InfrastructureName) -> Self {
        Self { path: format!("{slice}/{infrastructure}/space").into(), kind: KindName::Space }
    }

    /// A physical network function.
    #[must_use]
    pub fn physical(slice: &SliceName, name: &PartName) -> Self {
        Self { path: format!("{slice}/physical/{name}").into(), kind: KindName::Workload }
    }

    /// An application that runs outside of iotorch.
    #[must_use]
    pub fn external(slice: &SliceName, name: &PartName) -> Self {
        Self { path: format!("{slice}/external/{name}/app").into(), kind: KindName::Application }
    }

    /// The access segment of a slice.
    #[must_use]
    pub fn access(slice: &SliceName) -> Self {
        Self { path: format!("{slice}/network/access").into(), kind: KindName::Segment }
    }

    /// A transport segment of a slice, by its name.
    #[must_use]
    pub fn transport(slice: &SliceName, name: &str) -> Self {
        Self { path: format!("{slice}/network/transport/{name}").into(), kind: KindName::Segment }
    }

    /// The core segment of a slice.
    #[must_use]
    pub fn core(slice: &SliceName) -> Self {
        Self { path: format!("{slice}/network/core").into(), kind: KindName::Segment }
    }

    /// A workload in this space.
    #[must_use]
    pub fn workload(&self, name: &PartName) -> Self {
        self.join(format_args!("{name}"), KindName::Workload)
    }

    /// The application in this workload.
    #[must_use]
    pub fn application(&self) -> Self {
        self.join(format_args!("app"), KindName::Application)
    }

    /// The slice's tenant on this application.
    #[must_use]
    pub fn tenant(&self) -> Self {
        self.join(format_args!("tenant"), KindName::Tenant)
    }

    /// A gateway's attachment to this tenant.
    #[must_use]
    pub fn attachment(&self, gateway: &PartName) -> Self {
        self.join(format_args!("attachment/{gateway}"), KindName::Attachment)
    }

    /// A generation of the credential of this attachment or device.
    #[must_use]
    pub fn credential(&self, generation: u32) -> Self {
        self.join(format_args!("credential/{generation}"), KindName::Credential)
    }

    /// A device profile on this application.
    #[must_use]
    pub fn profile(&self, name: &PartName) -> Self {
        self.join(format_args!("profile/{name}"), KindName::Profile)
    }

    /// A device on this application.
    #[must_use]
    pub fn device(&self, name: &PartName) -> Self {
        self.join(format_args!("device/{name}"), KindName::Device)
    }

    /// An export of this application.
    #[must_use]
    pub fn export(&self, name: &PartName) -> Self {
        self.join(format_args!("export/{name}"), KindName::Export)
    }

    /// The port of a part on this segment.
    #[must_use]
    pub fn port(&self, part: &PartName) -> Self {
        self.join(format_args!("port/{part}"), KindName::Port)
    }

    /// The whole path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// The kind of the resource.
    #[must_use]
    pub const fn kind(&self) -> KindName {
        self.kind
    }

    /// The name of the slice it belongs to.
    #[must_use]
    pub fn slice(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// The word after the slice: an infrastructure's name, `network`, `external` or `physical`.
    #[must_use]
    pub fn place(&self) -> &str {
        self.path.split('/').nth(1).unwrap_or_default()
    }

    /// Where it lives in the end.
    #[must_use]
    pub fn location(&self) -> Location {
        match self.place() {
            "network" => Location::Network,
            "external" => Location::External,
            "physical" => Location::Physical,
            name => InfrastructureName::new(name).map_or(Location::Network, Location::Infrastructure),
        }
    }

    /// The last word: the resource's own name, or the word of its kind where it needs no name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The gateway, server or network function whose workload or application this is or lives in.
    #[must_use]
    pub fn part(&self) -> Option<&str> {
        let mut words = self.path.split('/').skip(1);
        match words.next()? {
            "network" => None,
            "external" | "physical" => words.next(),
            _ => words.nth(1),
        }
    }

    /// The name of the secret that iotorch makes for this resource and that nothing else has: the token of an application and of the
    /// workload it lives in, the password of a tenant's account, the key of an attachment, the password of a device. `None` where there
    /// is none, or where it is of the user's choosing.
    #[must_use]
    pub fn own_secret(&self) -> Option<String> {
        let (slice, part) = (self.slice(), self.part()?);
        Some(match self.kind {
            KindName::Application if self.place() == "external" => return None,
            KindName::Workload | KindName::Application => format!("{slice}/{part}/admin"),
            KindName::Tenant => format!("{slice}/{part}/tenant"),
            KindName::Credential => {
                let holder = self.host()?;
                let what = if holder.kind == KindName::Attachment { "key" } else { "password" };
                format!("{slice}/{part}/{}/{what}", holder.name())
            }
            _ => return None,
        })
    }

    /// The resource it lives in, if it lives in one.
    #[must_use]
    pub fn host(&self) -> Option<Self> {
        let (words, kind) = match self.kind {
            KindName::Space | KindName::Segment => return None,
            KindName::Workload => match self.place() {
                "physical" => return None,
                _ => (1, KindName::Space),
            },
            KindName::Application => match self.place() {
                "external" => return None,
                _ => (1, KindName::Workload),
            },
            KindName::Tenant => (1, KindName::Application),
            KindName::Attachment => (2, KindName::Tenant),
            KindName::Profile | KindName::Device | KindName::Export => (2, KindName::Application),
            KindName::Port => (2, KindName::Segment),
            KindName::Credential => match self.path.rsplit('/').nth(3) {
                Some("attachment") => (2, KindName::Attachment),
                _ => (2, KindName::Device),
            },
        };
        let end = self.path.rmatch_indices('/').nth(words - 1)?.0;
        Some(Self { path: self.path[..end].into(), kind })
    }

    /// The hosts, innermost first.
    pub fn hosts(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.host(), Self::host)
    }

    /// Whether `self` is a host of `other`, however deep.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.path.len() > self.path.len()
            && other.path.starts_with(&*self.path)
            && other.path.as_bytes()[self.path.len()] == b'/'
            // A space's path is a prefix of all that lives on it, an access segment's of nothing but its ports.
            && other.hosts().any(|host| host == *self)
    }

    /// Whether it is an application that runs outside of iotorch.
    pub(crate) fn is_external_application(&self) -> bool {
        self.kind == KindName::Application && self.place() == "external"
    }

    /// The part of the world that is observed together with this resource, which is also what becomes Unknown together: a
    /// slice's space with its workloads, an application with all in it, a segment with its ports, a physical function.
    #[must_use]
    pub fn scope(&self) -> Self {
        match self.kind {
            KindName::Space | KindName::Segment | KindName::Application => self.clone(),
            KindName::Workload | KindName::Port => self.host().unwrap_or_else(|| self.clone()),
            // Hosts are not walked, because a plan over many slices asks for every resource more than once.
            _ => {
                let words = if self.place() == "external" { 4 } else { 5 };
                let end = self.path.match_indices('/').nth(words - 1).map_or(self.path.len(), |(end, _)| end);
                Self { path: self.path[..end].into(), kind: KindName::Application }
            }
        }
    }
}

fn kind_of(words: &[&str]) -> Option<KindName> {
    let in_application = |tail: &[&str]| match tail {
        [] => Some(KindName::Application),
        ["tenant"] => Some(KindName::Tenant),
        ["tenant", "attachment", _] => Some(KindName::Attachment),
        ["tenant", "attachment", _, "credential", n] | ["device", _, "credential", n] => {
            n.parse::<u32>().ok().map(|_| KindName::Credential)
        }
        ["profile", _] => Some(KindName::Profile),
        ["device", _] => Some(KindName::Device),
        ["export", _] => Some(KindName::Export),
        _ => None,
    };
    let in_segment = |tail: &[&str]| match tail {
        [] => Some(KindName::Segment),
        ["port", _] => Some(KindName::Port),
        _ => None,
    };
    match words {
        [_, "physical", _] => Some(KindName::Workload),
        [_, "external", _, "app", tail @ ..] => in_application(tail),
        [_, "network", "access" | "core", tail @ ..] | [_, "network", "transport", _, tail @ ..] => {
            in_segment(tail)
        }
        [_, "network" | "external" | "physical", ..] => None,
        [_, _, "space"] => Some(KindName::Space),
        [_, _, "space", _] => Some(KindName::Workload),
        [_, _, "space", _, "app", tail @ ..] => in_application(tail),
        _ => None,
    }
}

impl FromStr for ResourceId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split('/').collect();
        let named = words.iter().all(|word| PartName::new(word).is_ok());
        let kind = kind_of(&words).filter(|_| named).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, format!("cannot read {text:?} as a resource id"))
                .with_help("an id is a path such as greenhouse/edge-1/space/gw/app/device/bench-1")
        })?;
        Ok(Self { path: text.into(), kind })
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.path)
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl Serialize for ResourceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.path)
    }
}

impl<'de> Deserialize<'de> for ResourceId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ResourceId {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_of_id_reads_back_with_its_kind_host_and_scope() {
        let cases = [
            ("s/e/space", KindName::Space, None, "s/e/space"),
            ("s/e/space/gw", KindName::Workload, Some("s/e/space"), "s/e/space"),
            ("s/e/space/space", KindName::Workload, Some("s/e/space"), "s/e/space"),
            ("s/physical/upf", KindName::Workload, None, "s/physical/upf"),
            ("s/e/space/gw/app", KindName::Application, Some("s/e/space/gw"), "s/e/space/gw/app"),
            ("s/external/hub/app", KindName::Application, None, "s/external/hub/app"),
            ("s/e/space/hub/app/tenant", KindName::Tenant, Some("s/e/space/hub/app"), "s/e/space/hub/app"),
            (
                "s/e/space/hub/app/tenant/attachment/gw/credential/2",
                KindName::Credential,
                Some("s/e/space/hub/app/tenant/attachment/gw"),
                "s/e/space/hub/app",
            ),
            (
                "s/e/space/gw/app/device/attachment/credential/1",
                KindName::Credential,
                Some("s/e/space/gw/app/device/attachment"),
                "s/e/space/gw/app",
            ),
            ("s/network/access", KindName::Segment, None, "s/network/access"),
            (
                "s/network/transport/a-b/port/a",
                KindName::Port,
                Some("s/network/transport/a-b"),
                "s/network/transport/a-b",
            ),
        ];
        for (text, kind, host, scope) in cases {
            let id = id(text);
            assert_eq!(id.kind(), kind, "{text}");
            assert_eq!(id.host().map(|host| host.to_string()).as_deref(), host, "{text}");
            assert_eq!(id.scope().as_str(), scope, "{text}");
        }
        for wrong in [
            "",
            "s",
            "s/e",
            "s/network",
            "s/e/space/gw/app/device",
            "s/e/space/gw/app/device/d/credential/x",
            "S/e/space",
        ] {
            assert!(wrong.parse::<ResourceId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn secrets_that_iotorch_makes_are_called_after_what_has_them() {
        let cases = [
            ("s/e/space/hub", Some("s/hub/admin")),
            ("s/e/space/hub/app", Some("s/hub/admin")),
            ("s/external/hub/app", None),
            ("s/e/space/hub/app/tenant", Some("s/hub/tenant")),
            ("s/external/hub/app/tenant", Some("s/hub/tenant")),
            ("s/e/space/hub/app/tenant/attachment/gw", None),
            ("s/e/space/hub/app/tenant/attachment/gw/credential/2", Some("s/hub/gw/key")),
            ("s/e/space/gw/app/device/d/credential/1", Some("s/gw/d/password")),
            ("s/e/space/gw/app/export/hub", None),
            ("s/e/space", None),
            ("s/network/core", None),
        ];
        for (text, secret) in cases {
            assert_eq!(id(text).own_secret().as_deref(), secret, "{text}");
        }
    }

    #[test]
    fn a_space_contains_what_lives_in_it_and_not_its_namesakes() {
        let space = id("s/e/space");
        assert!(space.contains(&id("s/e/space/gw/app/device/d")));
        assert!(!space.contains(&space));
        assert!(!space.contains(&id("s/e2/space/gw")));
    }
}
