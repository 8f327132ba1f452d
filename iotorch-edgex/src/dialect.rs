//! Which generation of EdgeX answers.

use iotorch_core::{Error, ErrorKind, Result};

/// The generations that differ in what they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// API version 1, as Delhi has it.
    V1,
    /// API version 3 with the configuration in Consul: 3.0 and 3.1.
    V3Consul,
    /// API version 3 with the configuration in core-keeper: 4.0 and later.
    V3Keeper,
}

impl Dialect {
    /// The dialect of a version, as core-metadata tells it; `None` for one that is not served.
    ///
    /// Versions that are built by hand call themselves `0.0.0` with a suffix; they are taken for the latest.
    pub(crate) fn of(version: &str) -> Option<Self> {
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
        match (numbers.next()??, numbers.next().flatten()) {
            (0, Some(0)) | (4.., _) => Some(Self::V3Keeper),
            (0 | 1, _) => Some(Self::V1),
            (3, _) => Some(Self::V3Consul),
            _ => None,
        }
    }

    /// As [`Self::of`], for a version that is to be worked with.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for one that is not served.
    pub(crate) fn served(version: &str) -> Result<Self> {
        Self::of(version).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("cannot work with EdgeX {version}"))
                .with_help("versions 4, 3 and 1 are served")
        })
    }

    /// The version that is told where the services have none to tell: Delhi came before that.
    pub(crate) const UNTOLD: &str = "0.7";

    /// What its paths begin with.
    pub(crate) const fn api(self) -> &'static str {
        match self {
            Self::V1 => "/api/v1",
            Self::V3Consul | Self::V3Keeper => "/api/v3",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Dialect::{self, V1, V3Consul, V3Keeper};

    #[test]
    fn a_version_tells_the_dialect() {
        let known = [
            ("4.0.2", Some(V3Keeper)),
            ("4.1", Some(V3Keeper)),
            ("0.0.0-dev", Some(V3Keeper)),
            ("3.1.0", Some(V3Consul)),
            ("1.3.1", Some(V1)),
            (Dialect::UNTOLD, Some(V1)),
            ("2.3.0", None),
            ("", None),
        ];
        for (version, dialect) in known {
            assert_eq!(Dialect::of(version), dialect, "{version}");
        }
    }
}
