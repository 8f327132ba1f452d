//! Inspections: whether slices can be made on an infrastructure, for whoever looks after it.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind},
    model::Capacity,
    place::Facts,
};

/// What an inspection of a place found. A place that cannot be reached, or that does not accept the credentials, has none: the error
/// says why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Inspection {
    /// The version of the system that runs workloads.
    pub version: String,
    /// Whom the system takes us for, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What all workloads of slices together can take, as in [`Facts::capacity`].
    #[serde(default, skip_serializing_if = "Capacity::is_empty")]
    pub capacity: Capacity,
    /// The machines that workloads run on, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeState>,
    /// What is missing, so that steps would fail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// What does not stand in the way, but may surprise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Inspection {
    /// An inspection of a system of this version.
    pub fn new(version: impl Into<String>) -> Self {
        Self { version: version.into(), ..Self::default() }
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.missing.is_empty()
    }

    /// What is missing by object: the verbs that are not allowed.
    #[must_use]
    pub fn missing_permissions(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut by_object: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for missing in &self.missing {
            if let Missing::Permission { verb, object } = missing {
                by_object.entry(object).or_default().push(verb);
            }
        }
        by_object
    }

    /// The error that says all that is missing; none where nothing is.
    #[must_use]
    pub fn refusal(&self) -> Option<Error> {
        let old = self.missing.iter().find_map(|missing| match missing {
            Missing::Version { oldest } => Some(oldest),
            Missing::Permission { .. } => None,
        });
        if let Some(oldest) = old {
            let why = format!("it has version {}; {oldest} or later is needed", self.version);
            return Some(Error::new(ErrorKind::Unsupported, why));
        }
        let user =
            self.user.as_ref().map_or_else(|| "the user".to_owned(), |user| format!("user \"{user}\""));
        let permissions = match self.missing.len() {
            0 => return None,
            1 => "1 permission".to_owned(),
            n => format!("{n} permissions"),
        };
        let lines = self.missing_permissions().into_iter();
        let lines = lines.map(|(object, verbs)| format!("\n  {object}: {}", verbs.join(", ")));
        let help = format!("{user} is not allowed all of this:{}", lines.collect::<String>());
        Some(Error::new(ErrorKind::Denied, format!("{user} lacks {permissions}")).with_help(help))
    }

    /// How many nodes take workloads.
    #[must_use]
    pub fn ready_nodes(&self) -> usize {
        self.nodes.iter().filter(|node| node.unready.is_none()).count()
    }
}

impl From<Facts> for Inspection {
    fn from(facts: Facts) -> Self {
        Self { version: facts.version, capacity: facts.capacity, ..Self::default() }
    }
}

/// A machine that workloads run on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeState {
    /// Its name.
    pub name: String,
    /// Its processors, as images of containers name them: `amd64`, `arm64`.
    pub architecture: String,
    /// Why it takes no workloads; none where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unready: Option<String>,
    /// What workloads can take of it.
    pub capacity: Capacity,
    /// What is left of that now, with all that runs there, whoever it belongs to.
    pub free: Capacity,
}

/// Something without which steps would fail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Missing {
    /// The user may not do something.
    Permission {
        /// What: `create`, `list`.
        verb: String,
        /// With what, as the system names it: `statefulsets.apps`.
        object: String,
    },
    /// The system is too old.
    Version {
        /// The oldest version that is supported.
        oldest: String,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permission { verb, object } => write!(f, "the permission to {verb} {object}"),
            Self::Version { oldest } => write!(f, "version {oldest} or later"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacking(missing: Vec<Missing>) -> Inspection {
        Inspection { missing, ..Inspection::new("v1.24.3") }
    }

    #[test]
    fn all_permissions_that_are_missing_are_in_one_error() {
        let permission =
            |verb: &str, object: &str| Missing::Permission { verb: verb.into(), object: object.into() };
        let missing = [permission("list", "nodes"), permission("get", "pods"), permission("watch", "pods")];
        let inspection = Inspection { user: Some("nobody".into()), ..lacking(missing.into()) };
        let refusal = inspection.refusal().unwrap();
        assert_eq!(
            (refusal.kind(), refusal.to_string().as_str()),
            (ErrorKind::Denied, "user \"nobody\" lacks 3 permissions")
        );
        let help = "user \"nobody\" is not allowed all of this:\n  nodes: list\n  pods: get, watch";
        assert_eq!(refusal.help(), Some(help));
    }

    #[test]
    fn a_system_that_is_too_old_is_refused_and_one_that_lacks_nothing_is_not() {
        let refusal = lacking(vec![Missing::Version { oldest: "1.25".into() }]).refusal().unwrap();
        assert_eq!(refusal.kind(), ErrorKind::Unsupported);
        assert_eq!(refusal.to_string(), "it has version v1.24.3; 1.25 or later is needed");
        assert!(lacking(Vec::new()).refusal().is_none());
    }
}
