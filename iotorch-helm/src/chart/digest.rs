//! Digests of charts, by which they are pinned.

use std::{fmt, fmt::Write as _, str::FromStr};

use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind};

/// A SHA-256 digest in the form of the OCI image specification: `sha256:` and 64 lower-case hexadecimal digits.
///
/// # Examples
/// ```
/// use iotorch_helm::chart::Digest;
///
/// let digest = Digest::of(b"");
/// assert!(digest.as_str().starts_with("sha256:e3b0c44298fc1c14"));
/// assert_eq!(digest.as_str().parse::<Digest>()?, digest);
/// assert!("md5:00".parse::<Digest>().is_err());
/// # Ok::<(), iotorch_helm::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

const PREFIX: &str = "sha256:";

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(PREFIX.len() + 64);
        text.push_str(PREFIX);
        for byte in Sha256::digest(bytes) {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// The digest as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits alone.
    pub(super) fn hex(&self) -> &str {
        &self.0[PREFIX.len()..]
    }

    /// Reads digits alone, as the index of a repository has them.
    pub(super) fn from_hex(hex: &str) -> Option<Self> {
        format!("{PREFIX}{hex}").parse().ok()
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let is_hex =
            |hex: &str| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if text.strip_prefix(PREFIX).is_some_and(is_hex) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::new(ErrorKind::InvalidValues, format!("cannot use {text:?} as a digest"))
            .with_source("a digest is \"sha256:\" and 64 digits of 0-9 and a-f"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
