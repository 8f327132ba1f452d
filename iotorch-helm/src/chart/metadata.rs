//! `Chart.yaml`: what a chart says about itself.

use serde::Deserialize;

use super::version;
use crate::{
    error::{Error, ErrorKind, Result},
    yaml,
};

/// The part of a `Chart.yaml` (or, for charts of the first format, `requirements.yaml`) that matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) app_version: Option<String>,
    pub(super) dependencies: Vec<Dependency>,
}

/// A chart that has to lie in `charts/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Dependency {
    pub(super) name: String,
}

impl Metadata {
    /// Reads and checks a `Chart.yaml`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let cannot = || Error::new(ErrorKind::InvalidChart, "cannot read \"Chart.yaml\"");
        let metadata: Self = yaml::document(bytes).map_err(|why| cannot().with_source(why))?;
        // A part of paths and of file names.
        let is_plain = |name: &str| !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
        if metadata.name.is_empty() || !is_plain(&metadata.name) {
            return Err(cannot().with_source(format!("{:?} is no name of a chart", metadata.name)));
        }
        if version::lenient(&metadata.version).is_none() {
            return Err(cannot().with_source(format!("{:?} is no version of a chart", metadata.version)));
        }
        Ok(metadata)
    }

    /// The name alone, of a chart that another one contains.
    pub(super) fn name_in(bytes: &[u8]) -> Option<String> {
        yaml::document::<Self>(bytes).ok().map(|metadata| metadata.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_says_what_it_is_and_needs() {
        let text = "apiVersion: v2\nname: gw\nversion: 1.2.0\nappVersion: 2.0\nkeywords: [a]\ndependencies:\n\
                    - {name: db, version: ^1, repository: 'https://example.org'}\n";
        let metadata = Metadata::parse(text.as_bytes()).unwrap();
        assert_eq!((&*metadata.name, &*metadata.version), ("gw", "1.2.0"));
        assert_eq!(metadata.app_version.as_deref(), Some("2.0"));
        assert_eq!(metadata.dependencies, [Dependency { name: "db".into() }]);
    }

    #[test]
    fn what_is_no_chart_is_refused() {
        for wrong in [
            "",
            "name: gw",
            "name: gw\nversion: newest",
            "name: ../gw\nversion: 1.0.0",
            "name: a/b\nversion: 1.0.0",
            "version: 1.0.0",
            "name: [",
            "- a",
        ] {
            let error = Metadata::parse(wrong.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidChart, "{wrong}");
        }
    }
}
