//! The licences of others, whose texts have to go with a program that their code is in.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use crate::failure::Failure;

use super::crates::Crates;

const FIRST_WORDS: &str =
    "This program contains the following crates. Below are their licences, as their packages hold them.\n";

/// What the names of files with such texts begin with, in small letters.
const NAMES: [&str; 5] = ["licen", "copying", "copyright", "notice", "unlicense"];

/// The texts of all crates from elsewhere, each text once with the crates that bring it.
pub(super) fn texts(crates: &Crates) -> Result<String, Failure> {
    let mut holders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut list = String::new();
    for (id, facts) in crates.facts.iter().filter(|(_, facts)| !facts.is_ours) {
        let name = format!("{} {}", id.name, id.version);
        // Writing to a text does not fail.
        let _ = writeln!(list, "  {name}: {}", facts.licence);
        let folder = crates.folders.get(id);
        let folder = folder.ok_or_else(|| Failure::new(format!("cannot find the sources of \"{name}\"")))?;
        let texts = in_folder(folder).map_err(|error| {
            Failure::new(format!("cannot read the licence of \"{name}\"")).with_source(error)
        })?;
        for text in texts {
            holders.entry(text).or_default().push(name.clone());
        }
    }
    let mut all = format!("{FIRST_WORDS}\n{list}");
    let mut by_holder: Vec<_> = holders.into_iter().collect();
    by_holder.sort_by(|a, b| a.1.cmp(&b.1));
    for (text, names) in by_holder {
        let _ = write!(all, "\n{}\n{}\n\n{}\n", "=".repeat(80), names.join(", "), text.trim_end());
    }
    Ok(all)
}

fn in_folder(folder: &Path) -> io::Result<Vec<String>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if NAMES.iter().any(|start| name.starts_with(start)) && entry.file_type()?.is_file() {
            texts.push(String::from_utf8_lossy(&fs::read(entry.path())?).into_owned());
        }
    }
    texts.sort();
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use crate::dist::crates::{Crate, Facts};

    use super::*;

    #[test]
    fn each_text_is_there_once_with_all_that_bring_it() {
        let sources = tempfile::tempdir().unwrap();
        let mut crates = Crates {
            root: Crate { name: "app".to_owned(), version: "1.0.0".to_owned() },
            facts: Default::default(),
            folders: Default::default(),
        };
        for (name, text, is_ours) in
            [("app", "ours", true), ("a", "MIT", false), ("b", "MIT", false), ("c", "ISC", false)]
        {
            let id = Crate { name: name.to_owned(), version: "1.0.0".to_owned() };
            let folder = sources.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("LICENSE-X"), text).unwrap();
            fs::write(folder.join("lib.rs"), "code").unwrap();
            crates.facts.insert(id.clone(), Facts { licence: text.to_owned(), is_ours, ..Facts::default() });
            crates.folders.insert(id, folder);
        }
        let line = "=".repeat(80);
        let expected = format!(
            "{FIRST_WORDS}\n  a 1.0.0: MIT\n  b 1.0.0: MIT\n  c 1.0.0: ISC\n\n{line}\na 1.0.0, b 1.0.0\n\nMIT\n\n{line}\nc 1.0.0\n\nISC\n"
        );
        assert_eq!(texts(&crates).unwrap(), expected);
    }
}
