//! What Helm keeps of a release in its cluster: a contract with every other tool that reads it.
//!
//! A revision is a Secret `sh.helm.release.v1.NAME.vN` of type `helm.sh/release.v1` in the namespace of the release, with the labels
//! `owner=helm`, `name`, `status`, `version`, and when it was made or changed (`createdAt`, `modifiedAt`). Its one entry
//! `release` is gzip-compressed JSON in base64. (In the JSON form of a Secret, Kubernetes puts another base64 around that; clients
//! take it off.) Helm 3 and 4 write the same, but for fields that the other leaves alone.
//!
//! # Examples
//!
//! What was broken off is marked as failed, so that Helm takes it up again:
//! ```
//! use iotorch_helm::{ReleaseStatus, storage::StoredRelease};
//!
//! # fn main() -> Result<(), iotorch_helm::Error> {
//! # let json = br#"{"name":"gw","namespace":"space","version":1,"info":{"status":"pending-install"},"chart":{"metadata":{"name":"gw","version":"1.0.0"}}}"#;
//! # let in_secret = &StoredRelease::from_json(json)?.encode();
//! let release = StoredRelease::decode(in_secret)?;
//! assert!(release.status().is_pending());
//!
//! let release = release.with_status(ReleaseStatus::Failed, "broken off");
//! assert_eq!(release.secret_name(), "sh.helm.release.v1.gw.v1");
//! assert_eq!(StoredRelease::decode(&release.encode())?.status(), ReleaseStatus::Failed);
//!
//! assert!(StoredRelease::decode(b"no release").is_err());
//! # Ok(())
//! # }
//! ```

use std::{
    collections::BTreeMap,
    fmt,
    io::{Read, Write},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    error::{Error, ErrorKind, Result},
    manifest::Manifests,
    request::Release,
    revision::{ChartVersion, ReleaseState, ReleaseStatus, Revision},
    values::Values,
};

/// The type of a Secret with a revision.
pub const SECRET_TYPE: &str = "helm.sh/release.v1";

/// The labels, beside `name`, by which all revisions are found.
pub const OWNER: (&str, &str) = ("owner", "helm");

/// The key of its one entry.
pub const DATA_KEY: &str = "release";

/// How large a release is at most once it is unpacked. A Secret has at most 1 MiB, of which gzip could make 1 GiB.
const LARGEST: u64 = 64 << 20;

/// A revision as it is kept, with every field that is not known here.
#[derive(Clone, PartialEq)]
pub struct StoredRelease {
    /// As it was; what is below was read from it.
    json: Map<String, Value>,
    release: Release,
    revision: Revision,
}

/// When a Secret is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// For the first time.
    Created(Timestamp),
    /// Once more.
    Modified(Timestamp),
}

impl StoredRelease {
    /// Reads the entry of a Secret.
    ///
    /// # Errors
    /// [`ErrorKind::Unexpected`] for what is no release.
    pub fn decode(data: &[u8]) -> Result<Self> {
        let cannot = || Error::new(ErrorKind::Unexpected, "cannot read the release in a Secret");
        // Line breaks as some editors leave them.
        let data = data.trim_ascii();
        let packed = STANDARD.decode(data).map_err(|error| cannot().with_source(error))?;
        // Very old releases are not compressed.
        if !packed.starts_with(&[0x1f, 0x8b]) {
            return Self::from_json(&packed);
        }
        let mut json = Vec::new();
        let mut reader = MultiGzDecoder::new(packed.as_slice()).take(LARGEST + 1);
        reader.read_to_end(&mut json).map_err(|error| cannot().with_source(error))?;
        if json.len() as u64 > LARGEST {
            return Err(cannot().with_source(format!("it has more than {} MiB", LARGEST >> 20)));
        }
        Self::from_json(&json)
    }

    /// Reads the JSON inside, which `helm install -o json` prints, too.
    ///
    /// # Errors
    /// [`ErrorKind::Unexpected`] for what is no release.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let cannot = || Error::new(ErrorKind::Unexpected, "cannot understand a release of Helm");
        let json: Map<String, Value> = serde_json::from_slice(json).map_err(|error| {
            // The text is not shown: there are values in it.
            cannot().with_source(format!("it is no JSON at line {}, column {}", error.line(), error.column()))
        })?;
        let (release, revision) = read(&json).map_err(|why| cannot().with_source(why))?;
        Ok(Self { json, release, revision })
    }

    /// The entry of a Secret.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let json = Value::Object(self.json.clone()).to_string();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory cannot fail.
        let packed = gzip.write_all(json.as_bytes()).and_then(|()| gzip.finish()).unwrap_or_default();
        STANDARD.encode(packed).into_bytes()
    }

    /// Of which release it is.
    #[must_use]
    pub const fn release(&self) -> &Release {
        &self.release
    }

    /// The revision.
    #[must_use]
    pub const fn revision(&self) -> &Revision {
        &self.revision
    }

    /// How it stands.
    #[must_use]
    pub const fn status(&self) -> ReleaseStatus {
        self.revision.status
    }

    /// The values that were given for it, without those of the chart.
    #[must_use]
    pub fn values(&self) -> Values {
        self.json.get("config").and_then(Value::as_object).cloned().unwrap_or_default().into()
    }

    /// What was rendered for it, without hooks.
    #[must_use]
    pub fn manifests(&self) -> Manifests {
        Manifests::new(text(&self.json, "manifest").unwrap_or_default())
    }

    /// Whether it has hooks that are run when it is uninstalled: `pre-delete` or `post-delete`.
    #[must_use]
    pub fn has_removal_hooks(&self) -> bool {
        let hooks = self.json.get("hooks").and_then(Value::as_array).into_iter().flatten();
        let mut events = hooks.filter_map(|hook| hook["events"].as_array()).flatten();
        events.any(|event| event == "pre-delete" || event == "post-delete")
    }

    /// All that is known of it.
    #[must_use]
    pub fn state(&self) -> ReleaseState {
        ReleaseState {
            revision: self.revision.clone(),
            values: self.values(),
            manifests: self.manifests(),
            notes: info(&self.json).and_then(|info| text(info, "notes")).unwrap_or_default().to_owned(),
        }
    }

    /// Whether its objects are applied by the API server, which knows whose each field is (Helm 4), and not merged by Helm (Helm 3).
    #[must_use]
    pub fn is_applied_by_server(&self) -> bool {
        text(&self.json, "apply_method") == Some("ssa")
    }

    /// The JSON inside.
    #[must_use]
    pub const fn as_json(&self) -> &Map<String, Value> {
        &self.json
    }

    /// The same revision with another status, and with why it has it. To call what is pending failed is safe when no operation
    /// can be at work on it any more ([`HelmEngine::is_idle`](crate::HelmEngine::is_idle)).
    #[must_use]
    pub fn with_status(mut self, status: ReleaseStatus, description: impl Into<String>) -> Self {
        let description = description.into();
        if let Some(info) = self.json.get_mut("info").and_then(Value::as_object_mut) {
            info.insert("status".into(), status.as_str().into());
            info.insert("description".into(), description.clone().into());
        }
        self.revision.status = status;
        self.revision.description = description;
        self
    }

    /// The name of its Secret.
    #[must_use]
    pub fn secret_name(&self) -> String {
        format!("sh.helm.release.v1.{}.v{}", self.release.name, self.revision.number)
    }

    /// The labels of its Secret that Helm looks at. Others of the Secret are kept, but for `createdAt`, which Helm drops when
    /// it changes one.
    #[must_use]
    pub fn labels(&self, written: Written) -> BTreeMap<String, String> {
        let (key, at) = match written {
            Written::Created(at) => ("createdAt", at),
            Written::Modified(at) => ("modifiedAt", at),
        };
        let all = [
            (OWNER.0, OWNER.1.to_owned()),
            ("name", self.release.name.to_string()),
            ("status", self.revision.status.to_string()),
            ("version", self.revision.number.to_string()),
            (key, at.as_second().to_string()),
        ];
        all.map(|(key, value)| (key.to_owned(), value)).into()
    }
}

impl fmt::Debug for StoredRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is in it may be secret.
        f.debug_struct("StoredRelease")
            .field("release", &self.release)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

fn text<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    map.get(key)?.as_str()
}

fn info(json: &Map<String, Value>) -> Option<&Map<String, Value>> {
    json.get("info")?.as_object()
}

fn read(json: &Map<String, Value>) -> Result<(Release, Revision), String> {
    let name = text(json, "name").ok_or("it has no name")?;
    let namespace = text(json, "namespace").ok_or("it has no namespace")?;
    let wrong = |error: Error| error.to_string();
    let release =
        Release { name: name.parse().map_err(wrong)?, namespace: namespace.parse().map_err(wrong)? };
    let number = json.get("version").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| *number > 0).ok_or("it has no revision")?;
    let info = info(json).ok_or("it does not say how it stands")?;
    let status = text(info, "status").ok_or("it does not say how it stands")?;
    let Ok(status) = status.parse();
    // `helm status -o json` leaves the chart out.
    let metadata = json.get("chart").and_then(|chart| chart.get("metadata")).and_then(Value::as_object);
    let of_chart = |key| metadata.and_then(|metadata| text(metadata, key)).unwrap_or_default().to_owned();
    let revision = Revision {
        number,
        status,
        chart: ChartVersion { name: of_chart("name"), version: of_chart("version") },
        app_version: Some(of_chart("appVersion")).filter(|version| !version.is_empty()),
        updated: text(info, "last_deployed").and_then(|time| time.parse().ok()),
        description: text(info, "description").unwrap_or_default().to_owned(),
    };
    Ok((release, revision))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn sample() -> Value {
        json!({
            "name": "gw", "namespace": "space", "version": 3, "apply_method": "ssa", "of_a_later_helm": [1, { "a": null }],
            "info": {
                "status": "pending-upgrade", "description": "Preparing upgrade", "notes": "Hello",
                "first_deployed": "2025-01-02T03:04:05.678901234+02:00", "last_deployed": "2025-01-02T03:04:05Z",
                "deleted": "",
            },
            "chart": { "metadata": { "name": "gw", "version": "1.2.0", "appVersion": "7" }, "values": { "a": 1e21 } },
            "config": { "password": "hunter2" },
            "manifest": "---\nkind: ConfigMap\nmetadata: {name: a}\n",
        })
    }

    fn stored(json: &Value) -> StoredRelease {
        StoredRelease::from_json(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_matters_of_a_release_is_read() {
        let release = stored(&sample());
        assert_eq!(release.release().to_string(), "\"gw\" in namespace \"space\"");
        let Revision { number, status, chart, app_version, updated, description } =
            release.revision().clone();
        assert_eq!(
            (number, status, chart.to_string()),
            (3, ReleaseStatus::PendingUpgrade, "gw-1.2.0".into())
        );
        assert_eq!(app_version.as_deref(), Some("7"));
        assert_eq!(updated.unwrap().to_string(), "2025-01-02T03:04:05Z");
        assert_eq!(description, "Preparing upgrade");
        assert_eq!(release.state().notes, "Hello");
        assert_eq!(release.manifests().objects().unwrap()[0].name, "a");
        assert!(!format!("{release:?}").contains("hunter2"));
    }

    #[test]
    fn a_new_status_changes_nothing_else() {
        let release = stored(&sample()).with_status(ReleaseStatus::Failed, "broken off");
        let mut expected = sample();
        expected["info"]["status"] = "failed".into();
        expected["info"]["description"] = "broken off".into();
        assert_eq!(Value::Object(release.as_json().clone()), expected);
        assert_eq!(stored(&expected), release);
    }

    #[test]
    fn the_secret_has_the_names_and_labels_of_helm() {
        let release = stored(&sample());
        assert_eq!(release.secret_name(), "sh.helm.release.v1.gw.v3");
        let labels = release.labels(Written::Modified("2025-01-02T03:04:05Z".parse().unwrap()));
        let expected = [
            ("modifiedAt", "1735787045"),
            ("name", "gw"),
            ("owner", "helm"),
            ("status", "pending-upgrade"),
            ("version", "3"),
        ];
        assert_eq!(labels, expected.map(|(key, value)| (key.into(), value.into())).into());
    }

    #[test]
    fn what_is_no_release_is_refused_without_showing_it() {
        let packed = |bytes: &[u8]| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
            gzip.write_all(bytes).unwrap();
            STANDARD.encode(gzip.finish().unwrap()).into_bytes()
        };
        let bomb = packed(&vec![b' '; LARGEST as usize + 1]);
        let cut = &packed(sample().to_string().as_bytes())[..40];
        for wrong in
            [b"hunter2".as_slice(), b"", b"\xff", &bomb, cut, &packed(b"{\"hunter2\":"), &packed(b"[]")]
        {
            let error = StoredRelease::decode(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unexpected);
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
        for missing in ["name", "namespace", "version", "info"] {
            let mut release = sample();
            release.as_object_mut().unwrap().remove(missing);
            assert!(StoredRelease::from_json(release.to_string().as_bytes()).is_err(), "{missing}");
        }
    }

    #[test]
    fn an_old_release_need_not_be_compressed() {
        let data = STANDARD.encode(sample().to_string());
        assert_eq!(StoredRelease::decode(data.as_bytes()).unwrap(), stored(&sample()));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_with_all_that_is_not_known(
            unknown in any_json(), config in any_json(), inside in any_json(), number in 1..u32::MAX
        ) {
            let mut json = sample();
            json["unknown"] = unknown;
            json["config"] = config;
            json["info"]["unknown"] = inside;
            json["version"] = number.into();
            let release = stored(&json);
            let again = StoredRelease::decode(&release.encode()).unwrap();
            prop_assert_eq!(Value::Object(again.as_json().clone()), json);
            prop_assert_eq!(again, release);
        }
    }
}
