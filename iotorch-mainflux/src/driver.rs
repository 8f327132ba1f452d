//! The driver `mainflux`: Mainflux, SuperMQ and Magistrala, wherever they run.

use crate::{
    config::{MainfluxSettings, check_endpoints},
    domain::MainfluxDomain,
};
use iotorch_core::{
    Domain, Driver, DriverInfo, Error, ErrorKind, Issue, Result, Serves, Target, Verdict,
    model::DriverName,
    resource::{ApplicationSpec, KindName, Role, Spec},
};
use std::{sync::Arc, time::Duration};

/// The name of the driver.
const MAINFLUX: &str = "mainflux";

/// The most objects in one call: one page of a list, and one request that makes them together.
const BATCH: usize = 100;

/// The driver called `mainflux`. It needs nothing but the HTTP APIs of the services, so it serves servers in a cluster and elsewhere
/// alike.
///
/// # Examples
/// ```
/// use iotorch_core::{Driver, resource::Role};
/// use iotorch_mainflux::MainfluxDriver;
///
/// let info = MainfluxDriver.info();
/// assert_eq!(info.name.as_str(), "mainflux");
/// assert!(info.serves_role(Role::Server) && !info.serves_role(Role::Gateway));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MainfluxDriver;

impl Driver for MainfluxDriver {
    fn info(&self) -> DriverInfo {
        DriverInfo {
            name: DriverName::new(MAINFLUX).expect("the name of this driver follows the rules for names"),
            serves: Serves::Applications(vec![Role::Server]),
            kinds: vec![KindName::Application, KindName::Tenant, KindName::Attachment, KindName::Credential],
            settings_schema: schemars::schema_for!(MainfluxSettings).to_value(),
            settings_format: 1,
            batch_limits: [(KindName::Attachment, BATCH), (KindName::Credential, BATCH)].into(),
            pause: Duration::ZERO,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<Issue> {
        match spec {
            Spec::Application(application) => check_application(application),
            Spec::Tenant(_) | Spec::Attachment(_) | Spec::Credential(_) => Vec::new(),
            other => vec![Issue::new("", format!("the driver \"mainflux\" cannot make a {}", other.kind()))],
        }
    }

    fn compare(&self, have: &Spec, want: &Spec) -> Verdict {
        match (have, want) {
            (have, want) if have == want => Verdict::Same,
            (Spec::Application(have), Spec::Application(want)) if have.application != want.application => {
                Verdict::Replace { because: format!("a server of {} is another one", want.application) }
            }
            (Spec::Credential(_), Spec::Credential(_)) => {
                Verdict::Replace { because: "a key that was used stays valid when it is changed".to_owned() }
            }
            _ => Verdict::Update,
        }
    }

    fn connect(&self, to: &Target) -> Result<Arc<dyn Domain>> {
        match to {
            Target::Infrastructure(_) | Target::External => Ok(Arc::new(MainfluxDomain::default())),
            Target::Network => {
                Err(Error::new(ErrorKind::Unsupported, "cannot use driver \"mainflux\" for the network"))
            }
        }
    }
}

fn check_application(application: &ApplicationSpec) -> Vec<Issue> {
    let mut issues = MainfluxSettings::read(&application.settings).err().unwrap_or_default();
    if application.role != Role::Server {
        issues.push(Issue::new("/role", "the application \"mainflux\" is a server, and no gateway"));
    }
    if let Some(external) = &application.external {
        issues.extend(check_endpoints(external));
    }
    issues
}
