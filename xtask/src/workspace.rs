//! The crates of this workspace, as cargo knows them.

use std::path::Path;

use serde_json::Value;

use crate::command_line::CommandLine;
use crate::failure::Failure;

/// A crate of this workspace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Whether it is meant for a registry (`publish = false` says no).
    pub(crate) is_published: bool,
    /// The names of its `[[bench]]` targets, sorted.
    pub(crate) benches: Vec<String>,
}

impl Package {
    /// Name and version, as cargo names a package's file and folder.
    pub(crate) fn full_name(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Asks cargo for the crates; fails when `Cargo.lock` does not fit the manifests.
pub(crate) fn packages() -> Result<Vec<Package>, Failure> {
    let command =
        CommandLine::new("cargo").args(["metadata", "--locked", "--no-deps", "--format-version", "1"]);
    parse(&command.output()?)
}

fn parse(metadata: &str) -> Result<Vec<Package>, Failure> {
    let metadata: Value = serde_json::from_str(metadata)
        .map_err(|error| Failure::new("cannot read the answer of cargo metadata").with_source(error))?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    packages.iter().map(package).collect()
}

// The format: cargo's manual, cargo-metadata(1), "JSON format", version 1.
fn package(package: &Value) -> Result<Package, Failure> {
    let text = |field: &str| {
        package[field].as_str().map(str::to_owned).ok_or_else(|| {
            Failure::new(format!("cannot read the answer of cargo metadata: a package has no {field}"))
        })
    };
    let targets = package["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut benches: Vec<String> = targets
        .iter()
        .filter(|target| {
            target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "bench"))
        })
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect();
    benches.sort_unstable();
    // `null` allows every registry, a list only those in it.
    let is_published = package["publish"].as_array().is_none_or(|registries| !registries.is_empty());
    Ok(Package { name: text("name")?, version: text("version")?, is_published, benches })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_read_with_their_benches_and_whether_they_are_published() {
        let metadata = r#"{ "packages": [
            { "name": "one", "version": "0.1.0", "publish": null, "targets": [{ "kind": ["lib"], "name": "one" }] },
            { "name": "two", "version": "0.1.0", "publish": [], "targets": [
                { "kind": ["bench"], "name": "saga" }, { "kind": ["bench"], "name": "plan" }] },
            { "name": "three", "version": "0.1.0", "publish": ["inner"], "targets": [] }
        ] }"#;
        let package = |name: &str, is_published, benches: &[&str]| Package {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            is_published,
            benches: benches.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(
            parse(metadata).unwrap(),
            [
                package("one", true, &[]),
                package("two", false, &["plan", "saga"]),
                package("three", true, &[])
            ]
        );
    }

    #[test]
    fn the_root_folder_holds_the_workspace_manifest() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }
}
