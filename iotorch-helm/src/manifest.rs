//! Rendered manifests, and which objects are in them.

use std::fmt;

use serde::Deserialize;

use crate::{
    error::{Error, ErrorKind, Result},
    yaml,
};

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

    /// The objects in the order of the documents, those of lists one by one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidChart`] when it is no YAML, or something in it has no kind or name.
    pub fn objects(&self) -> Result<Vec<ObjectRef>> {
        let cannot = || Error::new(ErrorKind::InvalidChart, "cannot read the manifests of the chart");
        let documents: Vec<Option<Object>> =
            yaml::documents(&self.0).map_err(|why| cannot().with_source(why))?;
        let mut objects = Vec::new();
        for object in documents.into_iter().flatten() {
            object.collect(&mut objects).map_err(|why| cannot().with_source(why))?;
        }
        Ok(objects)
    }
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
        let is_hook = metadata.annotations.and_then(|annotations| annotations.hook).is_some();
        let namespace = metadata.namespace.filter(|namespace| !namespace.is_empty());
        let (api_version, kind, name) = (self.api_version, self.kind, metadata.name);
        objects.push(ObjectRef { api_version, kind, namespace, name, is_hook });
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
             apiVersion: batch/v1\nkind: Job\nmetadata: {name: d, annotations: {helm.sh/hook: pre-install}}\nspec: {x: 0777}\n",
        );
        let shown: Vec<_> = manifests
            .objects()
            .unwrap()
            .into_iter()
            .map(|object| {
                format!("{} {object} {:?} {}", object.api_version, object.namespace, object.is_hook)
            })
            .collect();
        assert_eq!(
            shown,
            [
                "apps/v1 Deployment \"a\" Some(\"b\") false",
                "v1 Secret \"c\" None false",
                "batch/v1 Job \"d\" None true"
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
