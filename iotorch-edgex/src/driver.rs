//! The driver `edgex`.

use std::{sync::Arc, time::Duration};

use iotorch_core::{
    Domain, Driver, DriverInfo, Error, ErrorKind, Issue, Result, Serves, Target, Verdict,
    model::{DeviceProtocol, DriverName, External, Settings},
    resource::{ApplicationSpec, DeviceSpec, KindName, Role, Spec},
};
use iotorch_lite::LiteDriver;

use crate::{
    config::{EdgexSettings, Exporter},
    convert::{
        device::{self, fault_of_name},
        profile,
    },
    domain::EdgexDomain,
};

/// The name of the driver.
const EDGEX: &str = "edgex";

/// The most devices or profiles in one call, and so in one request. The limit of a service is 5 s (`Service.RequestTimeout`): 1,000
/// devices took it 2.3 s, but 8.8 s for these with a broker that waits before it sends (`set_tcp_nodelay false`); a service that gave
/// up twice is sent fewer at a time from then on.
pub(crate) const BATCH: usize = 200;

/// The driver called `edgex`: gateways of EdgeX Foundry 4, 3 and 1 (Delhi).
///
/// # Examples
/// ```
/// use iotorch_core::Driver;
/// use iotorch_edgex::EdgexDriver;
///
/// assert_eq!(EdgexDriver.info().name.as_str(), "edgex");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct EdgexDriver;

impl Driver for EdgexDriver {
    fn info(&self) -> DriverInfo {
        let kinds = vec![
            KindName::Application,
            KindName::Profile,
            KindName::Device,
            KindName::Credential,
            KindName::Export,
        ];
        let in_bulk = [KindName::Profile, KindName::Device, KindName::Credential];
        DriverInfo {
            name: DriverName::new(EDGEX).expect("the name of this driver follows the rules for names"),
            serves: Serves::Applications(vec![Role::Gateway]),
            batch_limits: in_bulk.map(|kind| (kind, BATCH)).into(),
            kinds,
            settings_schema: schemars::schema_for!(EdgexSettings).to_value(),
            settings_format: 1,
            pause: Duration::ZERO,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<Issue> {
        match spec {
            Spec::Application(application) => check_application(application),
            Spec::Profile(wanted) => profile::check(wanted),
            Spec::Device(wanted) => device::check(wanted),
            Spec::Credential(_) => Vec::new(),
            Spec::Export(export) => {
                let name = fault_of_name(&export.name).map(|fault| Issue::new("/name", fault));
                // What carries readings north is seen only when the step is done; what the bridge cannot do, EdgeX cannot either.
                let bridge = LiteDriver.check(spec).into_iter();
                let sink = bridge.map(|issue| Issue {
                    message: issue.message.replace("the application \"lite\"", "the bridge"),
                    ..issue
                });
                name.into_iter().chain(sink).collect()
            }
            other => vec![Issue::new("", format!("the driver \"edgex\" cannot make a {}", other.kind()))],
        }
    }

    fn compare(&self, have: &Spec, want: &Spec) -> Verdict {
        let same = match (have, want) {
            (Spec::Application(have), Spec::Application(want)) if have.role != want.role => {
                let because = format!("{} \"{}\" cannot become a {}", have.role, have.name, want.role);
                return Verdict::Replace { because };
            }
            (Spec::Device(have), Spec::Device(want)) => device::canonical(have) == device::canonical(want),
            (have, want) => have == want,
        };
        if same { Verdict::Same } else { Verdict::Update }
    }

    /// Devices over MQTT do, where the users of the broker are made here. What EdgeX offers over HTTP and CoAP knows no devices.
    fn logs_in(&self, device: &DeviceSpec, gateway: &ApplicationSpec) -> bool {
        let settings = EdgexSettings::read(&gateway.settings).unwrap_or_default();
        device.protocol == DeviceProtocol::Mqtt && settings.manages_broker(gateway.external.is_some())
    }

    fn connect(&self, to: &Target) -> Result<Arc<dyn Domain>> {
        match to {
            Target::Infrastructure(_) | Target::External => Ok(Arc::new(EdgexDomain::new(to)?)),
            Target::Network => {
                Err(Error::new(ErrorKind::Unsupported, "cannot use driver \"edgex\" for the network"))
            }
        }
    }
}

fn check_application(application: &ApplicationSpec) -> Vec<Issue> {
    if application.role != Role::Gateway {
        let message = format!("the application \"edgex\" is a gateway, not a {}", application.role);
        return vec![Issue::new("/role", message)];
    }
    match EdgexSettings::read(&application.settings) {
        Err(issue) => vec![issue],
        Ok(settings) => application
            .external
            .as_ref()
            .map(|external| check_external(external, &settings))
            .unwrap_or_default(),
    }
}

/// An external gateway has to have what its settings rest on.
fn check_external(External { endpoints, .. }: &External, settings: &EdgexSettings) -> Vec<Issue> {
    let mut issues = Vec::new();
    let mut need = |names: &[&str], what: &str, help: &str| {
        if names.iter().any(|name| endpoints.contains_key(*name)) {
            return;
        }
        let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let message = format!("{what} needs the endpoint {}", names.join(" or "));
        let issue = Issue::new("/external/endpoints", message);
        issues.push(if help.is_empty() { issue } else { issue.with_help(help) });
    };
    need(&["metadata", "gateway"], "an external gateway", "");
    let is_secure = endpoints.contains_key("gateway");
    match settings.export {
        Exporter::None => {}
        Exporter::Bridge => need(
            &["bridge"],
            "what carries readings north",
            "that is a gateway of lite that reads the bus; settings: { export: edgex } has EdgeX send them itself, and { export: none } nobody",
        ),
        Exporter::Edgex if is_secure => {}
        Exporter::Edgex => {
            need(&["app-mqtt-export", "export-client"], "the export of EdgeX itself", "");
            if endpoints.contains_key("app-mqtt-export") {
                need(&["keeper", "consul"], "the configuration of EdgeX's own export", "");
            }
        }
    }
    if settings.manages_broker(true) {
        need(&["mqtt"], "a broker whose users are made by iotorch", "");
    }
    issues
}

/// The settings of an application, which were checked.
pub(crate) fn settings_of(settings: &Settings) -> EdgexSettings {
    EdgexSettings::read(settings).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use iotorch_core::{
        model::Labels,
        resource::{ExportSpec, ExportTarget, NetAddress},
    };
    use serde_json::{Value, json};

    use super::*;

    fn gateway(endpoints: &[&str], settings: &Value) -> ApplicationSpec {
        let address = NetAddress { host: "edge.example".to_owned(), port: 59881, tls: false };
        let endpoints = endpoints.iter().map(|name| ((*name).to_owned(), address.clone())).collect();
        ApplicationSpec {
            name: "gw".to_owned(),
            role: Role::Gateway,
            application: "edgex".parse().unwrap(),
            external: Some(External { endpoints, credentials: "edge".parse().unwrap() }),
            admin: "edge".parse().unwrap(),
            settings: settings.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn an_external_gateway_has_to_have_what_its_settings_rest_on() {
        let faults = |endpoints: &[&str], settings: Value| {
            EdgexDriver.check(&gateway(endpoints, &settings).into()).into_iter().map(|issue| issue.message)
        };
        let none: [String; 0] = [];
        assert!(faults(&["metadata", "bridge"], json!({})).eq(none.clone()));
        for its_own in
            [&["gateway"][..], &["metadata", "export-client"], &["metadata", "app-mqtt-export", "consul"]]
        {
            assert!(faults(its_own, json!({ "export": "edgex" })).eq(none.clone()), "{its_own:?}");
        }
        assert!(faults(&["metadata"], json!({ "export": "none" })).eq(none));
        let all = [
            faults(&[], json!({})).collect::<Vec<_>>(),
            faults(&["metadata"], json!({ "export": "edgex", "broker": "managed" })).collect(),
            faults(&["metadata", "app-mqtt-export"], json!({ "export": "edgex" })).collect(),
            faults(&["metadata", "keeper"], json!({ "export": "edgex" })).collect(),
            faults(&["metadata"], json!({ "export": "mqtt" })).collect(),
            faults(&["metadata"], json!({ "export": "none", "deviceServices": ["a/b"] })).collect(),
        ];
        insta::assert_yaml_snapshot!(all);
    }

    #[test]
    fn only_devices_whose_password_somebody_checks_get_one() {
        let device = |protocol| DeviceSpec {
            name: "d1".to_owned(),
            protocol,
            profile: "climate".to_owned(),
            labels: Labels::new(),
            settings: Settings::new(),
        };
        let external = gateway(&["metadata"], &json!({}));
        let managed = gateway(&["metadata"], &json!({ "broker": "managed" }));
        let deployed = ApplicationSpec { external: None, ..external.clone() };
        let logs_in = |protocol, gateway| EdgexDriver.logs_in(&device(protocol), gateway);
        assert!(logs_in(DeviceProtocol::Mqtt, &deployed) && logs_in(DeviceProtocol::Mqtt, &managed));
        assert!(!logs_in(DeviceProtocol::Mqtt, &external), "its broker is somebody else's");
        assert!(!logs_in(DeviceProtocol::Http, &deployed) && !logs_in(DeviceProtocol::Coap, &managed));
    }

    #[test]
    fn an_export_with_a_name_that_edgex_cannot_have_is_refused() {
        let export = ExportSpec { name: "a%b".to_owned(), target: ExportTarget::Server };
        let issues = EdgexDriver.check(&export.into());
        assert_eq!(issues.iter().map(|issue| issue.pointer.as_str()).collect::<Vec<_>>(), ["/name"]);
    }
}
