//! The crates that a program consists of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use crate::command_line::CommandLine;
use crate::failure::Failure;
use crate::machine::Machine;

/// A crate of one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) version: String,
}

/// What is known of a crate.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// An SPDX expression; empty when the crate names none.
    pub(super) licence: String,
    pub(super) repository: String,
    /// Whether it is of this workspace.
    pub(super) is_ours: bool,
    pub(super) uses: BTreeSet<Crate>,
}

/// A program's own crate, and all that are linked into it.
#[derive(Debug)]
pub(super) struct Crates {
    pub(super) root: Crate,
    pub(super) facts: BTreeMap<Crate, Facts>,
    /// Where their sources lie.
    pub(super) folders: BTreeMap<Crate, PathBuf>,
}

impl Crates {
    /// Those of a crate's program for a machine, with the features that it is built with. What only runs while it is compiled
    /// (build scripts, procedural macros and what they use) is not in the program, and not here.
    pub(super) fn of(package: &str, machine: Machine) -> Result<Self, Failure> {
        let tree = CommandLine::new("cargo")
            .args(["tree", "--locked", "--package", package, "--edges", "normal"])
            .args(["--target", machine.triple(), "--prefix", "depth", "--format", "{p}\t{l}\t{r}\t"])
            .output()?;
        let metadata = CommandLine::new("cargo")
            .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", machine.triple()])
            .output()?;
        let facts = facts(&tree)?;
        let root = facts.keys().find(|root| root.name == package).cloned();
        let root = root.ok_or_else(|| Failure::new(format!("cannot find \"{package}\" in its own tree")))?;
        Ok(Self { root, facts, folders: folders(&metadata)? })
    }
}

/// Reads what `cargo tree` says: each crate with its depth, below the one that uses it.
fn facts(tree: &str) -> Result<BTreeMap<Crate, Facts>, Failure> {
    let mut all: BTreeMap<Crate, Facts> = BTreeMap::new();
    let mut path: Vec<Crate> = Vec::new();
    let mut skipped_below = usize::MAX;
    for line in tree.lines() {
        let row = Row::read(line)
            .ok_or_else(|| Failure::new(format!("cannot read this line of cargo tree: {line}")))?;
        if row.depth > skipped_below {
            continue;
        }
        skipped_below = if row.is_macro { row.depth } else { usize::MAX };
        if row.is_macro {
            continue;
        }
        path.truncate(row.depth);
        if let Some(user) = path.last().and_then(|user| all.get_mut(user)) {
            user.uses.insert(row.id.clone());
        }
        path.push(row.id.clone());
        all.entry(row.id).or_insert(row.facts);
    }
    Ok(all)
}

struct Row {
    depth: usize,
    id: Crate,
    is_macro: bool,
    facts: Facts,
}

impl Row {
    /// Reads `<depth><name> v<version>[ (proc-macro)][ (<folder>)]\t<licence>\t<repository>\t[ (*)]`.
    fn read(line: &str) -> Option<Self> {
        let mut columns = line.split('\t');
        let (package, licence, repository) = (columns.next()?, columns.next()?, columns.next()?);
        let (name, rest) = package.split_once(" v")?;
        let digits = name.find(|c: char| !c.is_ascii_digit())?;
        let (depth, name) = name.split_at(digits);
        let (version, notes) = rest.split_once(' ').unwrap_or((rest, ""));
        let is_macro = notes.contains("(proc-macro)");
        let facts = Facts {
            licence: licence.to_owned(),
            repository: repository.to_owned(),
            is_ours: notes.contains("(/"),
            uses: BTreeSet::new(),
        };
        let id = Crate { name: name.to_owned(), version: version.to_owned() };
        Some(Self { depth: depth.parse().ok()?, id, is_macro, facts })
    }
}

/// The folder of every package that cargo knows.
fn folders(metadata: &str) -> Result<BTreeMap<Crate, PathBuf>, Failure> {
    let metadata: Value = serde_json::from_str(metadata)
        .map_err(|error| Failure::new("cannot read the answer of cargo metadata").with_source(error))?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let folder = |package: &Value| {
        let text = |field: &str| package[field].as_str().map(str::to_owned);
        let id = Crate { name: text("name")?, version: text("version")? };
        Some((id, PathBuf::from(text("manifest_path")?).parent()?.to_owned()))
    };
    Ok(packages.iter().filter_map(folder).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
0app v0.1.0 (/src/app)\tMIT\thttps://example.com/app\t
1derive v1.0.0 (proc-macro)\tMIT\t\t
2quote v1.0.0\tMIT\t\t
1net v2.1.0\tISC\t\t
2bytes v1.0.0\tMIT\t\t
1tls v0.1.0\tMIT\t\t
2net v2.1.0\tISC\t\t (*)
";

    fn id(name: &str, version: &str) -> Crate {
        Crate { name: name.to_owned(), version: version.to_owned() }
    }

    #[test]
    fn a_program_consists_of_what_is_linked_into_it() {
        let facts = facts(TREE).unwrap();
        let names: Vec<_> = facts.keys().map(|id| id.name.as_str()).collect();
        assert_eq!(names, ["app", "bytes", "net", "tls"], "macros and what they use are not in it");
        assert!(facts[&id("app", "0.1.0")].is_ours && !facts[&id("net", "2.1.0")].is_ours);
    }

    #[test]
    fn a_crate_keeps_what_it_uses_also_where_it_is_shown_again() {
        let facts = facts(TREE).unwrap();
        let uses = |name, version| facts[&id(name, version)].uses.iter().cloned().collect::<Vec<_>>();
        assert_eq!(uses("app", "0.1.0"), [id("net", "2.1.0"), id("tls", "0.1.0")]);
        assert_eq!(uses("net", "2.1.0"), [id("bytes", "1.0.0")]);
        assert_eq!(uses("tls", "0.1.0"), [id("net", "2.1.0")]);
    }

    #[test]
    fn a_line_of_another_form_is_refused() {
        let failure = facts("app v0.1.0").unwrap_err();
        assert_eq!(failure.to_string(), "cannot read this line of cargo tree: app v0.1.0");
    }
}
