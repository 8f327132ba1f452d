//! Names of releases and namespaces: parsed once, right ever after.

use std::{fmt, str::FromStr, sync::Arc};

use crate::error::{Error, ErrorKind};

/// The longest name of a release that Helm takes, so that charts have room for suffixes.
const LONGEST_RELEASE: usize = 53;

/// The longest DNS label (RFC 1123 section 2.1).
const LONGEST_LABEL: usize = 63;

fn check_release(text: &str) -> Result<(), String> {
    check_characters(text, LONGEST_RELEASE, &['-', '.'])?;
    text.split('.').try_for_each(check_ends)
}

fn check_namespace(text: &str) -> Result<(), String> {
    check_characters(text, LONGEST_LABEL, &['-'])?;
    check_ends(text)
}

fn check_characters(text: &str, longest: usize, others: &[char]) -> Result<(), String> {
    let is_right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || others.contains(&c);
    if text.is_empty() {
        return Err("a name cannot be empty".into());
    }
    if let Some(wrong) = text.chars().find(|&c| !is_right(c)) {
        let others: String = others.iter().map(|c| format!(", \"{c}\"")).collect();
        return Err(format!("a name has only a-z, 0-9{others}, not {wrong:?}"));
    }
    if text.len() > longest {
        return Err(format!("a name has at most {longest} characters, this one has {}", text.len()));
    }
    Ok(())
}

fn check_ends(label: &str) -> Result<(), String> {
    if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
        return Err("a name begins and ends with a letter or digit".into());
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $noun:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a name.
            ///
            /// # Errors
            /// [`ErrorKind::InvalidValues`] with the rule that `text` breaks.
            pub fn new(text: &str) -> Result<Self, Error> {
                $check(text).map_err(|why| {
                    let message = format!(concat!("cannot use {:?} as the name of a ", $noun), text);
                    Error::new(ErrorKind::InvalidValues, message).with_source(why)
                })?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Self::new(text)
            }
        }
    };
}

name_type! {
    /// The name of a release as Helm has it: DNS labels (RFC 1123 section 2.1), with dots between them if there are
    /// several, at most 53 characters. Names without dots are wiser, as many charts make names of objects from them.
    ReleaseName, "release", check_release
}

name_type! {
    /// The name of a Kubernetes namespace: a DNS label of at most 63 characters.
    Namespace, "namespace", check_namespace
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_own_lengths() {
        let long = "a".repeat(54);
        assert!(ReleaseName::new(&long[..53]).is_ok() && ReleaseName::new(&long).is_err());
        let long = "a".repeat(64);
        assert!(Namespace::new(&long[..63]).is_ok() && Namespace::new(&long).is_err());
    }

    #[test]
    fn what_is_no_dns_label_is_refused() {
        for wrong in
            ["", "-a", "a-", "A", "a_b", "a..b", ".", "a.", "..", "a.-b", "a b", "ä", "--help", "a/b"]
        {
            assert!(ReleaseName::new(wrong).is_err() && Namespace::new(wrong).is_err(), "{wrong:?}");
        }
        assert!(ReleaseName::new("a.b").is_ok() && Namespace::new("a.b").is_err());
        for right in ["a", "0", "gw-1", "a--b"] {
            assert_eq!(ReleaseName::new(right).unwrap().as_str(), right);
        }
    }
}
