//! What documents can set of a server: the `settings` of one whose application is `mainflux`.

use crate::client::{Dialect, Service};
use iotorch_core::{
    Issue,
    model::{External, Settings},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Who administers a server, unless settings or the credentials of an external one say otherwise.
pub(crate) const ADMIN_USER: &str = "admin@example.com";

/// What documents can set of a server.
///
/// # Examples
/// ```
/// use iotorch_mainflux::MainfluxSettings;
///
/// let settings = serde_json::json!({ "adminUser": "root@example.com" });
/// let read = MainfluxSettings::read(settings.as_object().unwrap()).unwrap();
/// assert_eq!(read.admin_user.as_deref(), Some("root@example.com"));
///
/// let unknown = serde_json::json!({ "release": "0.15.1" });
/// let issues = MainfluxSettings::read(unknown.as_object().unwrap()).unwrap_err();
/// assert_eq!(issues[0].pointer, "/settings/release");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MainfluxSettings {
    /// The release, such as `0.12.1`, of a server whose services cannot be asked for it, as behind some proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The user who administers the server, `admin@example.com` if not set. The credentials of an external server can name
    /// another one: `USER:PASSWORD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_user: Option<String>,
    /// A PEM file of the authorities whose certificates are trusted in place of the system's, where TLS is spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<PathBuf>,
}

impl MainfluxSettings {
    /// Reads the settings of a server.
    ///
    /// # Errors
    /// All faults; their pointers are into the specification of an application, such as `/settings/release`.
    pub fn read(settings: &Settings) -> Result<Self, Vec<Issue>> {
        let read: Self = serde_json::from_value(serde_json::Value::Object(settings.clone()))
            .map_err(|error| vec![Issue::new("/settings", error.to_string())])?;
        let mut issues = Vec::new();
        if let Some(release) = &read.release
            && Dialect::of(release).is_none()
        {
            let message = format!("the driver \"mainflux\" does not know release {release:?}");
            issues.push(Issue::new("/settings/release", message).with_help(KNOWN_RELEASES));
        }
        if read.admin_user.as_ref().is_some_and(|user| user.is_empty() || user.contains(':')) {
            let message = "the name of a user is not empty and has no colon";
            issues.push(Issue::new("/settings/adminUser", message));
        }
        if issues.is_empty() { Ok(read) } else { Err(issues) }
    }
}

/// The releases whose API is known, for whoever named another one.
pub(crate) const KNOWN_RELEASES: &str =
    "known are Mainflux 0.12 and 0.13, SuperMQ 0.17 to 0.19, and Magistrala 0.20 to 0.30";

/// The endpoints that an external server lacks. One called `api` stands for all that speak HTTP.
pub(crate) fn check_endpoints(external: &External) -> Vec<Issue> {
    let has = |service: Service| {
        let name = if external.endpoints.contains_key("api") && service.speaks_http() {
            "api"
        } else {
            service.name()
        };
        external.endpoints.contains_key(name)
    };
    let family: &[Service] = if has(Service::Things) && !external.endpoints.contains_key("api") {
        &[Service::Users, Service::Things, Service::Mqtt]
    } else {
        &[Service::Users, Service::Domains, Service::Channels, Service::Clients, Service::Mqtt]
    };
    let missing: Vec<_> =
        family.iter().filter(|service| !has(**service)).map(|service| service.name()).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let message = format!("an external server needs the endpoints {}", quoted(&missing));
    let help = "Mainflux needs \"users\", \"things\" and \"mqtt\"; SuperMQ and Magistrala \"users\", \"domains\", \
                \"channels\", \"clients\" and \"mqtt\", and Magistrala \"rules\" to store messages; \"api\" stands \
                for all that speak HTTP";
    vec![Issue::new("/external/endpoints", message).with_help(help)]
}

/// Names as a person reads them: `"a", "b"`.
pub(crate) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}
