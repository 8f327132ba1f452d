//! A chart as it is in memory, checked.

use std::{collections::BTreeSet, path::Path};

use super::{
    archive::{self, Allowance, Files},
    directory,
    metadata::Metadata,
};
use crate::{
    error::{Error, ErrorKind, Result},
    yaml,
};

/// A chart that can be read and has all charts that it depends on.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) metadata: Metadata,
    files: Files,
}

impl Content {
    /// Reads the chart in a directory.
    pub(super) fn in_directory(path: &Path) -> Result<Self> {
        let shown = path.display();
        let cannot = format!("cannot use the chart in \"{shown}\"");
        let content = Self::of(directory::read(path)?, &cannot)?;
        content
            .check_dependencies(&cannot)
            .map_err(|error| error.with_help(format!("helm dependency build {shown}")))?;
        Ok(content)
    }

    /// Reads the chart in an archive; `from` is where it came from, for errors.
    pub(super) fn in_archive(bytes: &[u8], from: &str) -> Result<Self> {
        let cannot = format!("cannot use the chart from \"{from}\"");
        let files = archive::unpack(bytes, &mut Allowance::default())
            .map_err(|why| Error::new(ErrorKind::InvalidChart, &*cannot).with_source(why))?;
        let content = Self::of(files, &cannot)?;
        content.check_dependencies(&cannot)?;
        Ok(content)
    }

    fn of(files: Files, cannot: &str) -> Result<Self> {
        let Some(text) = files.get("Chart.yaml") else {
            return Err(Error::new(ErrorKind::InvalidChart, cannot).with_source("it has no \"Chart.yaml\""));
        };
        let mut metadata = Metadata::parse(text).map_err(|error| error.within(cannot))?;
        if let Some(text) = files.get("requirements.yaml") {
            let older: Metadata = yaml::document(text).map_err(|why| {
                let wrong = Error::new(ErrorKind::InvalidChart, "cannot read \"requirements.yaml\"");
                wrong.with_source(why).within(cannot)
            })?;
            metadata.dependencies.extend(older.dependencies);
        }
        Ok(Self { metadata, files })
    }

    /// The tar of it, see [`archive::pack`].
    pub(super) fn pack(&self) -> Result<Vec<u8>> {
        archive::pack(&self.metadata.name, &self.files)
            .map_err(|error| Error::io(format!("cannot pack the chart \"{}\"", self.metadata.name), error))
    }

    fn check_dependencies(&self, cannot: &str) -> Result<()> {
        if self.metadata.dependencies.is_empty() {
            return Ok(());
        }
        let present =
            self.contained().map_err(|why| Error::new(ErrorKind::InvalidChart, cannot).with_source(why))?;
        let missing: BTreeSet<&str> = self
            .metadata
            .dependencies
            .iter()
            .map(|needed| &*needed.name)
            .filter(|name| !present.contains(*name))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing = missing.into_iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        Err(Error::new(ErrorKind::InvalidChart, cannot)
            .with_source(format!("it depends on {missing}, and \"charts\" lacks that")))
    }

    /// The names of the charts in `charts/`, which are directories and archives.
    fn contained(&self) -> Result<BTreeSet<String>, archive::Refusal> {
        let mut names = BTreeSet::new();
        let mut allowance = Allowance::default();
        for (path, bytes) in &self.files {
            let Some(inside) = path.strip_prefix("charts/") else { continue };
            // As Helm skips them.
            if inside.starts_with(['_', '.']) {
                continue;
            }
            match inside.split_once('/') {
                Some((_, "Chart.yaml")) => names.extend(Metadata::name_in(bytes)),
                None if inside.ends_with(".tgz") => {
                    let found = archive::find(bytes, "Chart.yaml", &mut allowance)
                        .map_err(|why| format!("cannot read \"{path}\": {why}"))?;
                    names.extend(found.and_then(|bytes| Metadata::name_in(&bytes)));
                }
                _ => {}
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    const CHART: &[u8] =
        b"apiVersion: v2\nname: gw\nversion: 1.0.0\ndependencies: [{name: db, version: ^1}]\n";
    const SUB: &[u8] = b"apiVersion: v2\nname: db\nversion: 1.0.0\n";

    fn content(more: &[(&str, &[u8])]) -> Result<Content> {
        let files = more.iter().chain(&[("Chart.yaml", CHART)]);
        let files = files.map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect();
        let content = Content::of(files, "cannot use it")?;
        content.check_dependencies("cannot use it")?;
        Ok(content)
    }

    fn archived(text: &[u8]) -> Vec<u8> {
        let files = Files::from([("Chart.yaml".to_owned(), text.to_vec())]);
        archive::compress(&archive::pack("any", &files).unwrap()).unwrap()
    }

    #[test]
    fn a_dependency_is_a_directory_or_an_archive_whatever_it_is_called() {
        assert!(content(&[("charts/database/Chart.yaml", SUB)]).is_ok());
        assert!(content(&[("charts/x.tgz", &archived(SUB))]).is_ok());
    }

    #[test]
    fn a_missing_dependency_is_named() {
        for files in [&[][..], &[("charts/_db/Chart.yaml", SUB)], &[("charts/db/deep/Chart.yaml", SUB)]] {
            let error = content(files).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidChart);
            let why = error.source().unwrap().to_string();
            assert_eq!(why, "it depends on \"db\", and \"charts\" lacks that");
        }
    }

    #[test]
    fn the_first_format_names_its_dependencies_in_a_file_of_their_own() {
        let more = b"dependencies: [{name: cache}]";
        let error = content(&[("requirements.yaml", more), ("charts/db/Chart.yaml", SUB)]).unwrap_err();
        assert!(error.source().unwrap().to_string().contains("\"cache\""));
    }
}
