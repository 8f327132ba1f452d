//! Names: parsed once, right ever after.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de};

use crate::error::{Error, ErrorKind};

/// The longest name, as for a DNS label (RFC 1123 section 2.1), so that every name can be part of a Kubernetes name.
pub const MAX_NAME: usize = 63;

const LABEL_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

fn check_label(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("a name cannot be empty".into());
    }
    if text.len() > MAX_NAME {
        return Err(format!("a name has at most {MAX_NAME} characters, this one has {}", text.len()));
    }
    if let Some(wrong) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Err(format!("a name has only a-z, 0-9 and \"-\", not {wrong:?}"));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err("a name begins and ends with a letter or digit".into());
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $noun:literal, $check:path, $pattern:expr, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a name.
            ///
            /// # Errors
            /// [`ErrorKind::Invalid`] with the rule that `text` breaks.
            pub fn new(text: &str) -> Result<Self, Error> {
                $check(text).map_err(|why| {
                    Error::new(ErrorKind::Invalid, format!(concat!("cannot use {:?} as ", $noun), text)).with_source(why)
                })?;
                Ok(Self(text.into()))
            }

            /// A name written in this crate, known to be right.
            #[allow(dead_code, reason = "not every kind of name has one")]
            pub(crate) fn literal(text: &'static str) -> Self {
                debug_assert!($check(text).is_ok(), "{text}");
                Self(text.into())
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

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                $check(&text).map_err(de::Error::custom)?;
                Ok(Self(text.as_ref().into()))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "minLength": 1, "maxLength": $max, "pattern": $pattern })
            }
        }
    };
}

name_type! {
    /// The name of a slice, unique in an installation: 1 to 63 of `a-z`, `0-9` and `-`.
    SliceName, "a slice name", check_label, LABEL_PATTERN, MAX_NAME
}
name_type! {
    /// The name of an infrastructure, unique in an installation; same form as [`SliceName`].
    InfrastructureName, "an infrastructure name", check_infrastructure, LABEL_PATTERN, MAX_NAME
}
name_type! {
    /// The name of a part of a slice (gateway, server, device, profile, network function), unique among its kind.
    PartName, "a name", check_label, LABEL_PATTERN, MAX_NAME
}
name_type! {
    /// The name of a driver, such as `lite`, `kubernetes` or `linux-vxlan`.
    DriverName, "a driver name", check_label, LABEL_PATTERN, MAX_NAME
}
name_type! {
    /// The name of a resource of a device profile: 1 to 63 of letters, digits and `-:._`, the first a letter or digit.
    ///
    /// It becomes part of a SenML name (RFC 8428 section 4.5.1), which allows just these and `/`; a `/` would break topics.
    ResourceName, "a resource name", check_resource, "^[A-Za-z0-9][-:._A-Za-z0-9]*$", MAX_NAME
}

/// Words that stand where an infrastructure's name does in a resource id.
pub(crate) const RESERVED_PLACES: [&str; 3] = ["network", "external", "physical"];

fn check_infrastructure(text: &str) -> Result<(), String> {
    check_label(text)?;
    if RESERVED_PLACES.contains(&text) {
        return Err(format!("{text:?} is a reserved word; choose another name"));
    }
    Ok(())
}

fn check_resource(text: &str) -> Result<(), String> {
    let first = text.chars().next().ok_or("a resource name cannot be empty")?;
    if !first.is_ascii_alphanumeric() {
        return Err("a resource name begins with a letter or digit".into());
    }
    if text.len() > MAX_NAME {
        return Err(format!(
            "a resource name has at most {MAX_NAME} characters, this one has {}",
            text.len()
        ));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || "-:._".contains(*c))) {
        Some(wrong) => Err(format!("a resource name has only letters, digits and \"-:._\", not {wrong:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_a_dns_label() {
        for good in ["a", "gw-1", "0", &"x".repeat(63)] {
            assert!(PartName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a/b", &"x".repeat(64)] {
            assert!(PartName::new(bad).is_err(), "{bad}");
        }
        assert!(InfrastructureName::new("network").is_err());
        assert!(ResourceName::new("Temp.1:a_b").is_ok());
        assert!(ResourceName::new("_a").is_err());
    }
}
