//! Rendered manifests, and which objects are in them.

use std::fmt;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    error::{Error, ErrorKind, Result},
    yaml,
};

/// The annotation that says whether an object stays when its release is uninstalled ([`keeps`]).
pub const RESOURCE_POLICY: &str = "helm.sh/resource-policy";

/// Whether an object with this [`RESOURCE_POLICY`] stays, as Helm compares it
/// (<https://helm.sh/docs/howto/charts_tips_and_tricks/#tell-helm-not-to-uninstall-a-resource>).
///
/// # Examples
/// ```
/// assert!(iotorch_helm::keeps("keep"));
/// assert!(!iotorch_helm::keeps("delete"));
/// ```
#[must_use]
pub fn keeps(policy: &str) -> bool {
    policy.trim().eq_ignore_ascii_case("keep")
}

/// Rendered manifests: a stream of YAML documents as Helm writes it.
///
/// It can have secrets, so it is not shown by `Debug`.
///
/// # Examples
/// ```
/// use iotorch_helm::Manifests;
///
/// let manifests = Manifests::new("---\n# Source: gw/templates/a.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n");
/// let objects = manifests.objects()?;
/// assert_eq!(objects[0].to_string(), "ConfigMap \"a\"");
///
/// assert!(Manifests::new("kind: [").objects().is_err());
/// # Ok::<(), iotorch_helm::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Manifests(String);

/// An object of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct ObjectRef {
    /// Its group and version, such as `apps/v1`.
    pub api_version: String,
    /// Its kind, such as `Deployment`.
    pub kind: String,
    /// The namespace that it names; without one it goes into that of the release, or its kind has none.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Whether it is a hook: made for a moment of an operation and no part of the release.
    pub is_hook: bool,
    /// Whether it stays when the release is uninstalled, as its chart wants it ([`keeps`]).
    pub is_kept: bool,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}\"", self.kind, self.name)
    }
}

impl Manifests {
    /// Takes over a stream of YAML documents.
    #[must_use]
    pub fn new(yaml: impl Into<String>) -> Self {
        Self(yaml.into())
    }

    /// The stream of YAML documents.
    #[must_use]
    pub fn as_yaml(&self) -> &str {
        &self.0
    }

    /// The documents of the stream that are not empty. Of two equal keys the last one counts, as it does for Helm.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidChart`] when it is no YAML.
    pub fn documents(&self) -> Result<Vec<Value>> {
        self.read()
    }

    /// The objects in the order of the documents, those of lists one by one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidChart`] when it is no YAML, or something in it has no kind or name.
    pub fn objects(&self) -> Result<Vec<ObjectRef>> {
        let mut objects = Vec::new();
        for object in self.read::<Object>()? {
            object.collect(&mut objects).map_err(|why| unreadable().with_source(why))?;
        }
        Ok(objects)
    }

    fn read<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        let documents: Vec<Option<T>> =
            yaml::documents(&self.0).map_err(|why| unreadable().with_source(why))?;
        Ok(documents.into_iter().flatten().collect())
    }
}

fn unreadable() -> Error {
    Error::new(ErrorKind::InvalidChart, "cannot read the manifests of the chart")
}

impl fmt::Debug for Manifests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manifests({} bytes)", self.0.len())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    #[serde(default)]
    api_version: String,
    kind: String,
    #[serde(default)]
    metadata: Option<Metadata>,
    /// Of a list.
    #[serde(default)]
    items: Option<Vec<Self>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    namespace: Option<String>,
    annotations: Option<Annotations>,
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "helm.sh/hook", default)]
    hook: Option<String>,
    #[serde(rename = "helm.sh/resource-policy", default)]
    resource_policy: Option<String>,
}

impl Object {
    fn collect(self, objects: &mut Vec<ObjectRef>) -> Result<(), String> {
        if let Some(items) = self.items.filter(|_| self.kind.ends_with("List")) {
            return items.into_iter().try_for_each(|item| item.collect(objects));
        }
        let metadata = self.metadata.unwrap_or_default();
        if self.kind.is_empty() || metadata.name.is_empty() {
            return Err(format!("an object of kind {:?} has no name", self.kind));
        }
        let annotations = metadata.annotations.as_ref();
        let is_hook = annotations.is_some_and(|annotations| annotations.hook.is_some());
        let is_kept =
            annotations.and_then(|annotations| annotations.resource_policy.as_deref()).is_some_and(keeps);
        let namespace = metadata.namespace.filter(|namespace| !namespace.is_empty());
        let (api_version, kind, name) = (self.api_version, self.kind, metadata.name);
        objects.push(ObjectRef { api_version, kind, namespace, name, is_hook, is_kept });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_listed_with_hooks_and_what_is_in_lists() {
        let manifests = Manifests::new(
            "---\n# only a comment\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: b}\n---\n\
             apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: c}}\n---\n\
             apiVersion: batch/v1\nkind: Job\nmetadata: {name: d, annotations: {helm.sh/hook: pre-install}}\nspec: {x: 0777}\n---\n\
             apiVersion: v1\nkind: Secret\nmetadata: {name: e, annotations: {helm.sh/resource-policy: keep}}\n",
        );
        let shown: Vec<_> = manifests
            .objects()
            .unwrap()
            .into_iter()
            .map(|object| {
                let marks = (object.is_hook, object.is_kept);
                format!("{} {object} {:?} {marks:?}", object.api_version, object.namespace)
            })
            .collect();
        assert_eq!(
            shown,
            [
                "apps/v1 Deployment \"a\" Some(\"b\") (false, false)",
                "v1 Secret \"c\" None (false, false)",
                "batch/v1 Job \"d\" None (true, false)",
                "v1 Secret \"e\" None (false, true)",
            ]
        );
        assert_eq!(Manifests::new("").objects().unwrap(), []);
    }

    #[test]
    fn what_has_no_name_is_refused_and_nothing_is_shown() {
        let manifests = Manifests::new("kind: Secret\nstringData: {a: hunter2}\n");
        assert_eq!(manifests.objects().unwrap_err().kind(), ErrorKind::InvalidChart);
        assert!(!format!("{manifests:?}").contains("hunter2"));
    }
}
