//! Whether services answer, and which release they are.

use super::{Call, Failure, Service, Services};
use serde::Deserialize;

#[derive(Deserialize)]
struct Health {
    #[serde(default)]
    version: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    service: Option<String>,
}

/// The release that a service reports, where it reports one. Up to Mainflux 0.12 it is asked by `/version`, later by `/health`.
pub(crate) async fn ask_health(services: &Services, service: Service) -> Result<Option<String>, Failure> {
    let answer = services.send(&Call::get(service, "/health"), None).await?;
    let answer = if answer.status == 404 {
        services.send(&Call::get(service, "/version"), None).await?
    } else {
        answer
    };
    let answer = answer.success()?;
    // Some services say only that they are well.
    let health: Health = answer.read()?;
    if health.version.is_empty() && health.status.is_none() && health.service.is_none() {
        return Err(Failure::Unreadable(service, "it does not say how it is".to_owned()));
    }
    Ok(Some(health.version).filter(|version| !version.is_empty()))
}

/// The release of a server.
pub(crate) async fn asked_release(services: &Services) -> Result<Option<String>, Failure> {
    match ask_health(services, Service::Users).await {
        Err(Failure::Answer { status: 404, .. }) => Ok(None),
        asked => asked,
    }
}
