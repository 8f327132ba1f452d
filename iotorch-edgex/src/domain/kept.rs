//! Profiles and devices, as far as they are worked on alike.

use iotorch_core::{
    Health,
    resource::{ApplicationOutputs, Outputs, ProfileOutputs, Spec},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    client::{
        self,
        arrays::Items,
        metadata::Metadata,
        object::{DeviceObject, ProfileObject},
    },
    convert::{Marked, device, profile},
};

/// What profiles and devices have in common.
pub(super) trait Kept: Clone + Serialize + DeserializeOwned + Send + Sync {
    /// What a person calls it.
    const WORD: &'static str;

    /// Whether there can be users of the broker that go with it.
    const HAS_USERS: bool = false;

    fn name(&self) -> &str;
    fn labels(&self) -> &[String];
    /// What it is like in the words of iotorch.
    fn spec(&self) -> Option<Spec>;
    /// The labels that come from the document.
    fn labels_of(spec: &Spec) -> Vec<String>;
    /// The object that is wanted.
    fn build(spec: &Spec, labels: Vec<String>) -> Option<Self>;
    fn outputs(spec: &Spec, application: &ApplicationOutputs) -> Option<Outputs>;
    fn health(&self) -> Health {
        Health::Ready
    }
    /// The service that is told of it.
    fn service(&self) -> Option<&str> {
        None
    }

    fn list(
        metadata: &Metadata,
        label: Option<&str>,
    ) -> impl Future<Output = client::Result<Vec<Self>>> + Send;
    fn find(metadata: &Metadata, name: &str) -> impl Future<Output = client::Result<Option<Self>>> + Send;
    fn add(metadata: &Metadata, objects: &[Self], size: usize) -> impl Future<Output = Items> + Send;
    fn change(metadata: &Metadata, objects: &[Self], size: usize) -> impl Future<Output = Items> + Send;
    fn remove(metadata: &Metadata, name: &str) -> impl Future<Output = client::Result<()>> + Send;
}

impl Kept for ProfileObject {
    const WORD: &'static str = "profile";

    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn spec(&self) -> Option<Spec> {
        profile::spec_of(self).map(Spec::Profile)
    }

    fn labels_of(_: &Spec) -> Vec<String> {
        Vec::new()
    }

    fn build(spec: &Spec, labels: Vec<String>) -> Option<Self> {
        let Spec::Profile(spec) = spec else { return None };
        Some(profile::object_of(spec, labels))
    }

    fn outputs(spec: &Spec, _: &ApplicationOutputs) -> Option<Outputs> {
        let Spec::Profile(spec) = spec else { return None };
        Some(ProfileOutputs { name: spec.name.clone() }.into())
    }

    async fn list(metadata: &Metadata, label: Option<&str>) -> client::Result<Vec<Self>> {
        metadata.profiles(label).await
    }

    async fn find(metadata: &Metadata, name: &str) -> client::Result<Option<Self>> {
        metadata.profile(name).await
    }

    async fn add(metadata: &Metadata, objects: &[Self], size: usize) -> Items {
        metadata.add_profiles(objects, size).await
    }

    async fn change(metadata: &Metadata, objects: &[Self], size: usize) -> Items {
        metadata.change_profiles(objects, size).await
    }

    async fn remove(metadata: &Metadata, name: &str) -> client::Result<()> {
        metadata.delete_profile(name).await
    }
}

impl Kept for DeviceObject {
    const WORD: &'static str = "device";

    const HAS_USERS: bool = true;

    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn spec(&self) -> Option<Spec> {
        device::spec_of(self, &Marked::read(&self.labels).others).map(Spec::Device)
    }

    fn labels_of(spec: &Spec) -> Vec<String> {
        match spec {
            Spec::Device(spec) => device::labels_of(spec),
            _ => Vec::new(),
        }
    }

    fn build(spec: &Spec, labels: Vec<String>) -> Option<Self> {
        let Spec::Device(spec) = spec else { return None };
        Some(device::object_of(spec, labels))
    }

    fn outputs(spec: &Spec, application: &ApplicationOutputs) -> Option<Outputs> {
        let Spec::Device(spec) = spec else { return None };
        Some(device::outputs_of(spec, application).into())
    }

    /// Whoever locks a device or takes it down has a reason, so it is left so.
    fn health(&self) -> Health {
        let reason = if self.admin_state.eq_ignore_ascii_case("locked") {
            "it is locked, so it takes no commands"
        } else if self.operating_state.eq_ignore_ascii_case("down") {
            "its operating state is DOWN, so it takes no commands"
        } else {
            return Health::Ready;
        };
        Health::Degraded { reason: reason.to_owned() }
    }

    fn service(&self) -> Option<&str> {
        Some(&self.service_name)
    }

    async fn list(metadata: &Metadata, label: Option<&str>) -> client::Result<Vec<Self>> {
        metadata.devices(label).await
    }

    async fn find(metadata: &Metadata, name: &str) -> client::Result<Option<Self>> {
        metadata.device(name).await
    }

    async fn add(metadata: &Metadata, objects: &[Self], size: usize) -> Items {
        metadata.add_devices(objects, size).await
    }

    async fn change(metadata: &Metadata, objects: &[Self], size: usize) -> Items {
        metadata.change_devices(objects, size).await
    }

    async fn remove(metadata: &Metadata, name: &str) -> client::Result<()> {
        metadata.delete_device(name).await
    }
}
