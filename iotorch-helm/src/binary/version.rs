//! Which helm it is.

use std::fmt;

/// The version of a helm: what tells apart what it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HelmVersion {
    pub(super) major: u64,
    pub(super) minor: u64,
}

/// The oldest one that is known to print what is read here.
pub(super) const OLDEST: HelmVersion = HelmVersion { major: 3, minor: 17 };

/// The newest whose options are known.
pub(super) const NEWEST_MAJOR: u64 = 4;

impl HelmVersion {
    /// Reads what `helm version --template {{.Version}}` prints, such as `v3.17.2`; one built from sources has `v4.1`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().strip_prefix('v')?.split(['.', '-', '+']);
        let mut number = || parts.next()?.parse().ok();
        Some(Self { major: number()?, minor: number()? })
    }

    pub(super) const fn is_known(self) -> bool {
        let is_new_enough =
            self.major > OLDEST.major || (self.major == OLDEST.major && self.minor >= OLDEST.minor);
        is_new_enough && self.major <= NEWEST_MAJOR
    }
}

impl fmt::Display for HelmVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_from_3_17_to_4_are_known() {
        for (text, is_known) in [
            ("v2.17.0", false),
            ("v3.16.4", false),
            ("v3.17.0", true),
            ("v3.22", true),
            ("v4.0.0-rc.1", true),
            ("v4.3+unreleased", true),
            ("v5.0.0", false),
        ] {
            assert_eq!(HelmVersion::parse(text).unwrap().is_known(), is_known, "{text}");
        }
        assert_eq!(HelmVersion::parse("3.17"), None);
        assert_eq!(HelmVersion::parse("v3"), None);
    }
}
