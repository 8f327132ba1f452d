//! core-metadata: device services, profiles and devices, whichever version of the API it speaks.

use std::sync::Arc;

use futures::FutureExt as _;
use serde_json::Value;

use super::{
    Result, Service,
    arrays::{Items, in_arrays},
    object::{DeviceObject, ProfileObject},
    part, v1, v3,
};
use crate::{
    dialect::Dialect,
    error::{Failure, Why},
};

/// The service that keeps devices and their profiles.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    service: Arc<Service>,
    dialect: Dialect,
}

/// The version of EdgeX that answers, in its own words.
///
/// Delhi has no version to tell: there only `ping` of version 1 of the API shows what it is.
pub(crate) async fn version_of(service: &Service) -> Result<String> {
    let mut missing = None;
    for path in ["/api/v3/version", "/api/v2/version", "/api/version"] {
        match service.get::<Value>(path).await {
            Ok(told) => {
                let version = told["version"].as_str().map(str::to_owned);
                return version.ok_or_else(|| Failure::strange(service.name(), 200, &told.to_string()));
            }
            Err(failure) if failure.status() == Some(404) => missing = Some(failure),
            Err(failure) => return Err(failure),
        }
    }
    match service.ping(Dialect::V1.api()).await {
        Ok(()) => Ok(Dialect::UNTOLD.to_owned()),
        Err(failure) if failure.status() == Some(404) => Err(missing.unwrap_or(failure)),
        Err(failure) => Err(failure),
    }
}

impl Metadata {
    pub(crate) const fn new(service: Arc<Service>, dialect: Dialect) -> Self {
        Self { service, dialect }
    }

    /// The names of the device services that have registered.
    pub(crate) async fn services(&self) -> Result<Vec<String>> {
        match self.dialect {
            Dialect::V1 => v1::services(&self.service).await,
            _ => v3::services(&self.service).await,
        }
    }

    /// All devices, or those that bear a label; version 1 gives all of them all the same.
    pub(crate) async fn devices(&self, label: Option<&str>) -> Result<Vec<DeviceObject>> {
        match self.dialect {
            Dialect::V1 => v1::devices(&self.service).await,
            _ => v3::list(&self.service, label).await,
        }
    }

    pub(crate) async fn device(&self, name: &str) -> Result<Option<DeviceObject>> {
        match self.dialect {
            Dialect::V1 => v1::device(&self.service, name).await,
            _ => v3::device(&self.service, name).await,
        }
    }

    /// Makes devices, in arrays of at most `size`. One that is there already says so (409).
    pub(crate) async fn add_devices(&self, devices: &[DeviceObject], size: usize) -> Items {
        match self.dialect {
            Dialect::V1 => v1::add_devices(&self.service, devices).await,
            _ => in_arrays(&*self.service, devices, size, |to, some| v3::add_devices(to, some).boxed()).await,
        }
    }

    /// Changes devices that are there, in arrays of at most `size`.
    pub(crate) async fn change_devices(&self, devices: &[DeviceObject], size: usize) -> Items {
        match self.dialect {
            Dialect::V1 => v1::change_devices(&self.service, devices).await,
            _ => {
                in_arrays(&*self.service, devices, size, |to, some| v3::change_devices(to, some).boxed())
                    .await
            }
        }
    }

    pub(crate) async fn delete_device(&self, name: &str) -> Result<()> {
        match self.dialect {
            Dialect::V1 => v1::delete_device(&self.service, name).await,
            _ => self.service.remove(&format!("/api/v3/device/name/{}", part(name))).await,
        }
    }

    /// All profiles, or those that bear a label; version 1 gives all of them all the same.
    pub(crate) async fn profiles(&self, label: Option<&str>) -> Result<Vec<ProfileObject>> {
        match self.dialect {
            Dialect::V1 => v1::profiles(&self.service).await,
            _ => v3::list(&self.service, label).await,
        }
    }

    pub(crate) async fn profile(&self, name: &str) -> Result<Option<ProfileObject>> {
        match self.dialect {
            Dialect::V1 => v1::profile(&self.service, name).await,
            _ => v3::profile(&self.service, name).await,
        }
    }

    pub(crate) async fn add_profiles(&self, profiles: &[ProfileObject], size: usize) -> Items {
        match self.dialect {
            Dialect::V1 => v1::add_profiles(&self.service, profiles).await,
            _ => {
                in_arrays(&*self.service, profiles, size, |to, some| v3::add_profiles(to, some).boxed()).await
            }
        }
    }

    pub(crate) async fn change_profiles(&self, profiles: &[ProfileObject], size: usize) -> Items {
        match self.dialect {
            Dialect::V1 => v1::change_profiles(&self.service, profiles).await,
            _ => {
                in_arrays(&*self.service, profiles, size, |to, some| v3::change_profiles(to, some).boxed())
                    .await
            }
        }
    }

    /// Removes a profile. One that devices use stays, and the failure names some of them.
    pub(crate) async fn delete_profile(&self, name: &str) -> Result<()> {
        let path = format!("{}/deviceprofile/name/{}", self.dialect.api(), part(name));
        let failure = match self.service.remove(&path).await {
            Err(failure) if failure.status() == Some(409) => failure,
            removed => return removed,
        };
        let users = match self.dialect {
            Dialect::V1 => v1::users_of(&self.service, name).await?,
            _ => v3::users_of(&self.service, name).await?,
        };
        if users.is_empty() {
            return Err(failure);
        }
        let more = if users.len() > 3 { " and others" } else { "" };
        let users: Vec<_> = users.iter().take(3).map(|user| format!("\"{user}\"")).collect();
        let message = format!("it is used by device {}{more}", users.join(", "));
        Err(self.service.fails(Why::Said { status: 409, message }))
    }

    /// What is asked.
    pub(crate) fn service(&self) -> &Service {
        &self.service
    }
}
