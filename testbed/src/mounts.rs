//! What is mounted below a folder.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::error::{Error, Result};

/// A line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
    pub(crate) file_system: String,
}

/// All mounts that this process sees, the oldest first.
pub(crate) fn all() -> Result<Vec<Mount>> {
    let path = Path::new("/proc/self/mountinfo");
    let text = fs::read_to_string(path).map_err(|error| Error::file("read", path, error))?;
    Ok(text.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let point = before.split(' ').nth(4)?;
    Some(Mount { point: unescape(point), file_system: after.split(' ').next()?.to_owned() })
}

/// White space and backslashes are written as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let code = more.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (first, code) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &more[3..];
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// The mounts below a folder, the newest first.
pub(crate) fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut points: Vec<PathBuf> =
        all()?.into_iter().map(|mount| mount.point).filter(|point| point.starts_with(folder)).collect();
    points.reverse();
    Ok(points)
}

/// Unmounts everything below a folder. One that is still looked into vanishes from the tree, and later altogether.
pub(crate) fn remove_below(folder: &Path) -> Result<()> {
    for point in below(folder)? {
        match unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // It went with the one it lay on.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(error) => return Err(Error::file("unmount", &point, error.into())),
        }
    }
    Ok(())
}

/// Removes a folder with everything in it, which must not be anything mounted there.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    remove_below(folder)?;
    if let Some(point) = below(folder)?.first() {
        return Err(Error::new(format!(
            "cannot remove \"{}\": something is mounted on \"{}\"",
            folder.display(),
            point.display()
        )));
    }
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| Error::file("remove", folder, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_with_what_is_escaped_in_them() {
        let line =
            r"36 35 98:0 /mnt1 /mnt\040two\134\011 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let mount = Mount { point: PathBuf::from("/mnt two\\\t"), file_system: "ext3".to_owned() };
        assert_eq!(parse(line), Some(mount));
    }

    #[test]
    fn a_folder_whose_name_only_begins_alike_is_not_below() {
        let root = below(Path::new("/pro")).unwrap();
        assert!(root.is_empty(), "{root:?}");
        assert!(below(Path::new("/proc")).unwrap().contains(&PathBuf::from("/proc")));
    }
}
