//! What helm prints as JSON.

use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    chart::is_version,
    error::{Error, ErrorKind, Result},
    request::Release,
    revision::{ChartVersion, Revision},
};

/// Reads what helm printed. The text is not shown, as there can be values in it.
pub(super) fn parse<T: DeserializeOwned>(output: &[u8]) -> Result<T> {
    serde_json::from_slice(output).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Error::new(ErrorKind::Unexpected, "cannot understand the answer of helm")
            .with_source(format!("it is not the expected JSON at {place}"))
    })
}

/// An element of `helm history -o json`.
#[derive(Debug, Deserialize)]
pub(super) struct HistoryEntry {
    revision: u32,
    updated: Option<String>,
    status: String,
    chart: String,
    #[serde(default)]
    app_version: String,
    #[serde(default)]
    description: String,
}

impl From<HistoryEntry> for Revision {
    fn from(entry: HistoryEntry) -> Self {
        let Ok(status) = entry.status.parse();
        Self {
            number: entry.revision,
            status,
            chart: split(&entry.chart),
            app_version: present(entry.app_version),
            updated: entry.updated.and_then(|time| time.parse().ok()),
            description: entry.description,
        }
    }
}

/// An element of `helm list -o json`.
#[derive(Debug, Deserialize)]
pub(super) struct ListEntry {
    name: String,
    namespace: String,
    revision: String,
    updated: String,
    status: String,
    chart: String,
    #[serde(default)]
    app_version: String,
}

impl TryFrom<ListEntry> for (Release, Revision) {
    type Error = Error;

    fn try_from(entry: ListEntry) -> Result<Self> {
        let release = Release { name: entry.name.parse()?, namespace: entry.namespace.parse()? };
        let number = entry.revision.parse().map_err(|error| {
            Error::new(ErrorKind::Unexpected, "cannot understand the answer of helm").with_source(error)
        })?;
        let Ok(status) = entry.status.parse();
        let revision = Revision {
            number,
            status,
            chart: split(&entry.chart),
            app_version: present(entry.app_version),
            updated: entry.updated.parse::<Timestamp>().ok(),
            description: String::new(),
        };
        Ok((release, revision))
    }
}

/// `helm get metadata -o json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) chart: String,
    pub(super) version: String,
    #[serde(default)]
    pub(super) app_version: String,
}

pub(super) fn present(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Takes `name-1.2.0-rc.1` apart, which is the first `-` that a version follows. A name that has one itself cannot be told.
fn split(text: &str) -> ChartVersion {
    let mut dashes = text.match_indices('-').map(|(position, _)| (&text[..position], &text[position + 1..]));
    let (name, version) = dashes.find(|(_, rest)| is_version(rest)).unwrap_or((text, ""));
    ChartVersion { name: name.to_owned(), version: version.to_owned() }
}

/// What `helm uninstall` says it has kept, such as `[ConfigMap] gw`.
pub(super) fn kept(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    text.lines()
        .map(str::trim)
        .filter(|line| line.starts_with('[') && line.contains("] "))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_taken_apart_where_its_version_begins() {
        for (text, name, version) in [
            ("gw-1.2.0", "gw", "1.2.0"),
            ("gw-2-go-1.2.0-rc.1+b", "gw-2-go", "1.2.0-rc.1+b"),
            ("gw-v1.2.0", "gw", "v1.2.0"),
            ("gw", "gw", ""),
        ] {
            assert_eq!(split(text), ChartVersion { name: name.into(), version: version.into() }, "{text}");
        }
    }

    #[test]
    fn kept_objects_are_named_as_helm_names_them() {
        let said = b"These resources were kept due to the resource policy:\n[ConfigMap] gw\n\nrelease \"gw\" uninstalled\n";
        assert_eq!(kept(said), ["[ConfigMap] gw"]);
    }

    #[test]
    fn what_cannot_be_understood_is_not_shown() {
        let error = parse::<Vec<ListEntry>>(b"hunter2").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
