//! The driver `local`.

use super::{domain::LocalDomain, host::LocalHost, place::LocalPlace};
use crate::{
    LiteSettings,
    driver::{LITE, driver_name},
};
use iotorch_core::{
    Claim, Domain, Driver, DriverInfo, Error, ErrorKind, Issue, Place, Result, Serves, Target, Verdict,
    model::Infrastructure,
    resource::{KindName, Role, Spec, WorkloadSpec},
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

/// The name of the driver.
pub(crate) const LOCAL: &str = "local";

/// The most workloads in one call.
const BATCH: usize = 16;

/// The driver called `local`: its infrastructures are this process, where gateways and servers of the application `lite` run.
#[derive(Clone, Debug)]
pub struct LocalDriver {
    host: Arc<LocalHost>,
}

impl LocalDriver {
    /// A driver that runs everything on `host`.
    #[must_use]
    pub const fn new(host: Arc<LocalHost>) -> Self {
        Self { host }
    }
}

impl Driver for LocalDriver {
    fn info(&self) -> DriverInfo {
        DriverInfo {
            name: driver_name(LOCAL),
            serves: Serves::Infrastructure,
            kinds: vec![KindName::Space, KindName::Workload],
            settings_schema: serde_json::json!({ "type": "object", "maxProperties": 0 }),
            settings_format: 1,
            batch_limits: [(KindName::Workload, BATCH)].into(),
            pause: Duration::ZERO,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<Issue> {
        match spec {
            Spec::Space(space) if space.quota.is_empty() => Vec::new(),
            Spec::Space(_) => vec![Issue::new("/quota", "the driver \"local\" keeps no quota")],
            Spec::Workload(workload) => check_workload(workload),
            other => vec![Issue::new("", format!("the driver \"local\" cannot make a {}", other.kind()))],
        }
    }

    fn compare(&self, have: &Spec, want: &Spec) -> Verdict {
        match (have, want) {
            _ if have == want => Verdict::Same,
            (Spec::Workload(have), Spec::Workload(want))
                if (have.role, &have.application) != (want.role, &want.application) =>
            {
                let because = format!("{} \"{}\" cannot become a {}", have.role, have.name, describe(want));
                Verdict::Replace { because }
            }
            _ => Verdict::Update,
        }
    }

    fn claims(&self, spec: &Spec) -> Vec<Claim> {
        let Spec::Workload(workload) = spec else { return Vec::new() };
        let settings = LiteSettings::read(&workload.settings, workload.role).unwrap_or_default();
        let (data, management) = (settings.data().address, settings.management());
        let management = management.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |management| management.address);
        let claim = |sort: &str, address: IpAddr, port: Option<NonZeroU16>| {
            let resource = format!("{sort} {}", SocketAddr::from((address, port?.get())));
            Some(Claim { resource, amount: 1, capacity: 1 })
        };
        let claims = [
            claim("port", management, settings.management_port),
            claim("port", data, settings.mqtt_port),
            claim("port", data, settings.http_port),
            claim("UDP port", data, settings.coap_port),
        ];
        claims.into_iter().flatten().collect()
    }

    fn connect(&self, to: &Target) -> Result<Arc<dyn Domain>> {
        match to {
            Target::Infrastructure(infrastructure) => {
                without_settings(infrastructure)?;
                Ok(Arc::new(LocalDomain { host: Arc::clone(&self.host) }))
            }
            Target::External | Target::Network => Err(Error::new(
                ErrorKind::Unsupported,
                "cannot use driver \"local\" for what is not an infrastructure",
            )),
        }
    }

    fn place(&self, infrastructure: &Infrastructure) -> Result<Arc<dyn Place>> {
        without_settings(infrastructure)?;
        Ok(Arc::new(LocalPlace))
    }
}

fn describe(workload: &WorkloadSpec) -> String {
    match &workload.application {
        Some(application) => format!("{} of \"{application}\"", workload.role),
        None => workload.role.to_string(),
    }
}

fn check_workload(workload: &WorkloadSpec) -> Vec<Issue> {
    let only = "the driver \"local\" runs only the application \"lite\"";
    let mut issues = Vec::new();
    match &workload.application {
        _ if workload.role == Role::Function => issues.push(Issue::new(
            "",
            format!("{only}; a network function such as a UPF needs a Kubernetes infrastructure"),
        )),
        Some(application) if application.as_str() == LITE => {}
        Some(application) => issues
            .push(Issue::new("", format!("{only}; \"{application}\" needs a Kubernetes infrastructure"))),
        None => issues.push(Issue::new("", format!("{only}; the {} names none", workload.role))),
    }
    if workload.chart.is_some() && issues.is_empty() {
        issues.push(Issue::new("/chart", format!("{only}; a chart needs a Kubernetes infrastructure")));
    }
    issues
}

fn without_settings(infrastructure: &Infrastructure) -> Result<()> {
    let Some(name) = infrastructure.spec.settings.keys().next() else { return Ok(()) };
    let what = format!("cannot use infrastructure \"{}\"", infrastructure.name);
    let why = format!("the driver \"local\" has no setting \"{name}\"");
    Err(Error::new(ErrorKind::Invalid, what).with_source(why))
}
