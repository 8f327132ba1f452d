//! The driver `lite`: gateways and servers of this crate, wherever they run.

use crate::{LiteSettings, domain::LiteDomain};
use iotorch_core::{
    Domain, Driver, DriverInfo, Error, ErrorKind, Issue, Result, Serves, Target, Verdict,
    model::{DeviceProtocol, DriverName, External, ProfileResource, Sink, SinkKind},
    resource::{ApplicationSpec, ExportTarget, KindName, Role, Spec},
};
use std::{sync::Arc, time::Duration};

/// The name of the driver.
pub(crate) const LITE: &str = "lite";

/// The most objects in one call.
const BATCH: usize = 100;

/// The driver called `lite`. It needs nothing but the management API, so it serves gateways and servers in this process,
/// in a cluster and elsewhere alike.
///
/// # Examples
/// ```
/// use iotorch_core::Driver;
/// use iotorch_lite::LiteDriver;
///
/// assert_eq!(LiteDriver.info().name.as_str(), "lite");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LiteDriver;

impl Driver for LiteDriver {
    fn info(&self) -> DriverInfo {
        let kinds = vec![
            KindName::Application,
            KindName::Tenant,
            KindName::Attachment,
            KindName::Credential,
            KindName::Profile,
            KindName::Device,
            KindName::Export,
        ];
        DriverInfo {
            name: driver_name(LITE),
            serves: Serves::Applications(vec![Role::Gateway, Role::Server]),
            batch_limits: kinds.iter().map(|kind| (*kind, BATCH)).collect(),
            kinds,
            settings_schema: schemars::schema_for!(LiteSettings).to_value(),
            settings_format: 1,
            pause: Duration::ZERO,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<Issue> {
        match spec {
            Spec::Application(application) => check_application(application),
            Spec::Device(device) => {
                let no_settings = |name| {
                    let message = "the application \"lite\" has no settings of devices";
                    Issue::new(format!("/settings/{name}"), message)
                };
                check_protocol(device.protocol)
                    .into_iter()
                    .chain(device.settings.keys().next().map(no_settings))
                    .collect()
            }
            Spec::Export(export) => match &export.target {
                ExportTarget::Server => Vec::new(),
                ExportTarget::Sink(sink) => check_sink(sink),
            },
            Spec::Tenant(_) | Spec::Attachment(_) | Spec::Credential(_) | Spec::Profile(_) => Vec::new(),
            other => vec![Issue::new("", format!("the driver \"lite\" cannot make a {}", other.kind()))],
        }
    }

    fn compare(&self, have: &Spec, want: &Spec) -> Verdict {
        let same = match (have, want) {
            (Spec::Application(have), Spec::Application(want))
                if (have.role, &have.application) != (want.role, &want.application) =>
            {
                let because = format!("{} \"{}\" cannot become a {}", have.role, have.name, want.role);
                return Verdict::Replace { because };
            }
            // A gateway keeps the resources of a profile by name, not in the order of the document.
            (Spec::Profile(have), Spec::Profile(want)) => {
                have.name == want.name && in_order(&have.resources) == in_order(&want.resources)
            }
            (have, want) => have == want,
        };
        if same { Verdict::Same } else { Verdict::Update }
    }

    fn connect(&self, to: &Target) -> Result<Arc<dyn Domain>> {
        match to {
            Target::Infrastructure(place) => {
                let in_process = place.spec.driver.as_str() == crate::local::LOCAL;
                Ok(Arc::new(LiteDomain::new(in_process)))
            }
            Target::External => Ok(Arc::new(LiteDomain::new(false))),
            Target::Network => {
                Err(Error::new(ErrorKind::Unsupported, "cannot use driver \"lite\" for the network"))
            }
        }
    }
}

/// The name of a driver of this crate.
pub(crate) fn driver_name(name: &'static str) -> DriverName {
    DriverName::new(name).expect("the names of these drivers follow the rules for names")
}

fn in_order(resources: &[ProfileResource]) -> Vec<&ProfileResource> {
    let mut resources: Vec<_> = resources.iter().collect();
    resources.sort_by(|a, b| a.name.cmp(&b.name));
    resources
}

fn check_application(application: &ApplicationSpec) -> Vec<Issue> {
    let Some(External { endpoints, .. }) = &application.external else {
        return LiteSettings::read(&application.settings, application.role).err().unwrap_or_default();
    };
    let mut issues = Vec::new();
    for name in ["management", "mqtt"] {
        if !endpoints.contains_key(name) {
            let message = format!("an external {} needs the endpoint \"{name}\"", application.role);
            issues.push(Issue::new("/external/endpoints", message));
        }
    }
    match LiteSettings::read(&application.settings, application.role) {
        Ok(settings)
            if settings == (LiteSettings { trust: settings.trust.clone(), ..Default::default() }) => {}
        Ok(_) => issues.push(Issue::new(
            "/settings",
            "an external application is not started and keeps its settings; only \"trust\" is used",
        )),
        Err(wrong) => issues.extend(wrong),
    }
    issues
}

fn check_protocol(protocol: DeviceProtocol) -> Option<Issue> {
    match protocol {
        DeviceProtocol::Mqtt | DeviceProtocol::Http | DeviceProtocol::Coap => None,
        other => {
            let message = format!("the application \"lite\" does not speak {other} to devices");
            Some(Issue::new("/protocol", message))
        }
    }
}

fn check_sink(sink: &Sink) -> Vec<Issue> {
    let wrong = match sink.kind {
        SinkKind::Mqtt if sink.target.is_empty() || sink.target.contains(['#', '+', '\0']) => {
            let message = format!("{:?} is not a topic that can be published to", sink.target);
            Issue::new("/target/sink/target", message)
        }
        SinkKind::Influxdb if sink.target.is_empty() => {
            Issue::new("/target/sink/target", "a database has a name")
        }
        SinkKind::Mqtt | SinkKind::Influxdb => return Vec::new(),
        _ => Issue::new(
            "/target/sink/type",
            "the application \"lite\" exports only to sinks of type mqtt and influxdb",
        ),
    };
    vec![wrong]
}
