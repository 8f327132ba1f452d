//! The checksums of a release.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::failure::Failure;

use super::{read, write};

/// Writes the checksums of files in a folder, as `sha256sum --check` reads them.
pub(super) fn write_sums(folder: &Path, files: &[PathBuf]) -> Result<(), Failure> {
    let mut sums = String::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().display();
        // Writing to a text does not fail.
        let _ = writeln!(sums, "{}  {name}", hex(&read(file)?));
    }
    write(&folder.join("SHA256SUMS"), sums.as_bytes())
}

fn hex(contents: &[u8]) -> String {
    Sha256::digest(contents).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::command_line::CommandLine;

    use super::*;

    #[test]
    fn sha256sum_takes_the_sums_and_finds_a_changed_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.tar.gz");
        fs::write(&file, "one").unwrap();
        write_sums(folder.path(), std::slice::from_ref(&file)).unwrap();
        let script = format!("cd {} && sha256sum --check --status SHA256SUMS", folder.path().display());
        let check = || CommandLine::new("sh").args(["-c", &script]).answers();
        assert!(check());
        fs::write(&file, "two").unwrap();
        assert!(!check());
    }
}
