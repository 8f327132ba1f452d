//! Archives of charts: a tar of regular files below one folder, compressed with gzip.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

use flate2::{Compression, GzBuilder, read::MultiGzDecoder};
use tar::{Builder, EntryType, Header};

/// How many bytes the files of a chart have at most, those of charts in it included: the bound of Helm.
pub(super) const LARGEST: u64 = 100 << 20;

/// How many files a chart has at most.
pub(super) const MOST_FILES: usize = 20_000;

/// With headers and padding; long names take a header of their own.
const LARGEST_TAR: u64 = LARGEST + (MOST_FILES as u64) * 4096;

/// Files by their paths in the chart.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Why an archive is refused.
pub(super) type Refusal = Box<dyn std::error::Error + Send + Sync>;

/// What still may be unpacked.
#[derive(Debug)]
pub(super) struct Allowance(u64);

impl Default for Allowance {
    fn default() -> Self {
        Self(LARGEST)
    }
}

impl Allowance {
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(too_large)?;
        Ok(())
    }
}

fn too_large() -> Refusal {
    format!("it has more than {} MiB", LARGEST >> 20).into()
}

/// The files in an archive, without the folder that they are in. A chart is not trusted: no path leads out of that folder, no two
/// files have the same path, and there are no links.
pub(super) fn unpack(archive: &[u8], allowance: &mut Allowance) -> Result<Files, Refusal> {
    let mut files = Files::new();
    each_file(archive, allowance, |path, bytes| {
        if files.len() == MOST_FILES {
            return Err(format!("it has more than {MOST_FILES} files").into());
        }
        match files.insert(path.clone(), bytes) {
            Some(_) => Err(format!("{path:?} is in it twice").into()),
            None => Ok(true),
        }
    })?;
    Ok(files)
}

/// One file of an archive.
pub(super) fn find(
    archive: &[u8],
    name: &str,
    allowance: &mut Allowance,
) -> Result<Option<Vec<u8>>, Refusal> {
    let mut found = None;
    each_file(archive, allowance, |path, bytes| {
        if path == name {
            found = Some(bytes);
        }
        Ok(found.is_none())
    })?;
    Ok(found)
}

/// Gives the files one by one until `each` says that it has enough.
fn each_file(
    archive: &[u8],
    allowance: &mut Allowance,
    mut each: impl FnMut(String, Vec<u8>) -> Result<bool, Refusal>,
) -> Result<(), Refusal> {
    let bounded = MultiGzDecoder::new(archive).take(LARGEST_TAR);
    let mut tar = tar::Archive::new(bounded);
    for entry in tar.entries()? {
        let mut entry = entry?;
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::Directory | EntryType::XGlobalHeader => continue,
            EntryType::Symlink | EntryType::Link => {
                return Err(format!("{:?} is a link", String::from_utf8_lossy(&entry.path_bytes())).into());
            }
            _ => {
                let path = entry.path_bytes();
                return Err(format!("{:?} is no regular file", String::from_utf8_lossy(&path)).into());
            }
        }
        let path = path_in_chart(&entry.path_bytes())?;
        allowance.take(entry.size())?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        if !each(path, bytes)? {
            return Ok(());
        }
    }
    // The sum at the end of gzip is checked when the end is read, which a tar does not ask for.
    let mut rest = tar.into_inner();
    io::copy(&mut rest, &mut io::sink())?;
    // Nothing may lie behind what was looked at.
    if rest.limit() == 0 { Err(too_large()) } else { Ok(()) }
}

/// The path below the folder of the chart.
fn path_in_chart(bytes: &[u8]) -> Result<String, Refusal> {
    let text = str::from_utf8(bytes).map_err(|_| "the name of a file is not in UTF-8")?;
    let refused = |why: &str| format!("{text:?} {why}").into();
    // Archives made on Windows have these.
    let path = text.replace('\\', "/");
    let has_drive =
        path.as_bytes().get(1) == Some(&b':') && path.starts_with(|c: char| c.is_ascii_alphabetic());
    if path.starts_with('/') || has_drive || path.contains('\0') {
        return Err(refused("is no relative path"));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err(refused("leads out of the chart"));
    }
    match parts.as_slice() {
        [_, inside @ ..] if !inside.is_empty() => Ok(inside.join("/")),
        _ => Err(refused("is not in a folder with the name of the chart")),
    }
}

/// The tar of a chart: equal for equal files, whenever and by whom it is made.
pub(super) fn pack(folder: &str, files: &Files) -> io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, format!("{folder}/{path}"), bytes.as_slice())?;
    }
    tar.into_inner()
}

/// Compresses with gzip.
pub(super) fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    gzip.finish()
}

/// Undoes [`compress`]; no more than a chart may have is unpacked.
pub(super) fn decompress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    MultiGzDecoder::new(bytes).take(LARGEST_TAR).read_to_end(&mut plain)?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut tar = Builder::new(Vec::new());
        for (path, kind, bytes) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            // Written as it stands: the library would refuse some of these paths.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            tar.append(&header, *bytes).unwrap();
        }
        compress(&tar.into_inner().unwrap()).unwrap()
    }

    fn refusal(archive: &[u8]) -> String {
        unpack(archive, &mut Allowance::default()).unwrap_err().to_string()
    }

    #[test]
    fn paths_lead_out_of_no_chart() {
        for (path, why) in [
            ("/etc/passwd", "\"/etc/passwd\" is no relative path"),
            ("gw/../../etc/passwd", "\"gw/../../etc/passwd\" leads out of the chart"),
            ("../gw/a", "\"../gw/a\" leads out of the chart"),
            ("gw\\..\\..\\a", "\"gw\\\\..\\\\..\\\\a\" leads out of the chart"),
            ("c:/a/b", "\"c:/a/b\" is no relative path"),
            ("Chart.yaml", "\"Chart.yaml\" is not in a folder with the name of the chart"),
            ("./Chart.yaml", "\"./Chart.yaml\" is not in a folder with the name of the chart"),
        ] {
            assert_eq!(refusal(&archive(&[(path, EntryType::Regular, b"")])), why);
        }
        let files = unpack(&archive(&[("./gw//a/./b", EntryType::Regular, b"x")]), &mut Allowance::default());
        assert_eq!(files.unwrap(), Files::from([("a/b".to_owned(), b"x".to_vec())]));
    }

    #[test]
    fn links_devices_and_second_files_are_refused() {
        assert_eq!(refusal(&archive(&[("gw/a", EntryType::Symlink, b"")])), "\"gw/a\" is a link");
        assert_eq!(refusal(&archive(&[("gw/a", EntryType::Link, b"")])), "\"gw/a\" is a link");
        assert_eq!(refusal(&archive(&[("gw/a", EntryType::Fifo, b"")])), "\"gw/a\" is no regular file");
        let twice = archive(&[("gw/a", EntryType::Regular, b"1"), ("b/a", EntryType::Regular, b"2")]);
        assert_eq!(refusal(&twice), "\"a\" is in it twice");
    }

    #[test]
    fn an_archive_that_is_too_large_is_refused_by_what_it_says_of_itself() {
        let mut header = Header::new_gnu();
        header.set_path("gw/a").unwrap();
        header.set_size(LARGEST + 1);
        header.set_cksum();
        assert_eq!(refusal(&compress(header.as_bytes()).unwrap()), "it has more than 100 MiB");
    }

    #[test]
    fn what_is_no_archive_is_refused_and_never_panics() {
        assert!(unpack(b"name: gw", &mut Allowance::default()).is_err());
        let whole = archive(&[("gw/a", EntryType::Regular, &[b'a'; 3000])]);
        for end in 0..whole.len() {
            assert!(unpack(&whole[..end], &mut Allowance::default()).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked_and_packed_alike(
            files in proptest::collection::btree_map(
                "[a-z]{1,60}(/[a-z]{1,60}){0,3}", proptest::collection::vec(any::<u8>(), 0..600), 1..6)
        ) {
            let tar = pack("gw", &files).unwrap();
            let again = unpack(&compress(&tar).unwrap(), &mut Allowance::default()).unwrap();
            prop_assert_eq!(&again, &files);
            prop_assert_eq!(pack("gw", &again).unwrap(), tar);
        }
    }
}
