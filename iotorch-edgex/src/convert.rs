//! Between the resources of iotorch and the objects of EdgeX.

pub(crate) mod device;
pub(crate) mod profile;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use iotorch_core::{Mark, resource::ResourceId};
use serde::{Serialize, de::DeserializeOwned};

/// In front of the mark in its label.
const MARK: &str = "iotorch:";

/// In front of the mark of the application, which all objects in one share: what is asked for by it is ours.
const WITHIN: &str = "iotorch-in:";

/// In front of what an object was like before it was adopted.
const BEFORE: &str = "iotorch-before:";

/// What iotorch calls an object without a mark.
pub(crate) const NOBODY: &str = "nobody (no mark)";

/// The name of a resource in its application: qualified by the slice in one that slices share.
pub(crate) fn name_of(id: &ResourceId) -> String {
    match id.place() {
        "external" => format!("{}.{}", id.slice(), id.name()),
        _ => id.name().to_owned(),
    }
}

/// Whether a label is one of those that iotorch sets.
pub(crate) fn is_reserved(label: &str) -> bool {
    [MARK, WITHIN, BEFORE].iter().any(|prefix| label.starts_with(prefix))
}

/// The label that everything of an installation in one application bears.
pub(crate) fn within(mark: &Mark) -> String {
    format!("{WITHIN}{}/{}", mark.installation, mark.resource.scope())
}

/// The labels of an object, told apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Marked {
    /// The mark, if it bears one.
    pub(crate) mark: Option<String>,
    /// What it was like before it was adopted, as it is written in the label.
    before: Option<String>,
    /// The labels that others set.
    pub(crate) others: Vec<String>,
}

impl Marked {
    pub(crate) fn read(labels: &[String]) -> Self {
        let mut marked = Self::default();
        for label in labels {
            if let Some(mark) = label.strip_prefix(MARK) {
                marked.mark = Some(mark.to_owned());
            } else if let Some(before) = label.strip_prefix(BEFORE) {
                marked.before = Some(before.to_owned());
            } else if !label.starts_with(WITHIN) {
                marked.others.push(label.clone());
            }
        }
        marked
    }

    /// The labels of an object of ours.
    pub(crate) fn ours(mark: &Mark, before: Option<String>, others: Vec<String>) -> Vec<String> {
        let before = before.map(|before| format!("{BEFORE}{before}"));
        [within(mark), format!("{MARK}{mark}")].into_iter().chain(before).chain(others).collect()
    }

    pub(crate) fn is_of(&self, mark: &Mark) -> bool {
        self.mark.as_deref() == Some(&mark.to_string())
    }

    /// Whose it is, in words.
    pub(crate) fn owner(&self) -> String {
        self.mark.clone().unwrap_or_else(|| NOBODY.to_owned())
    }

    /// What it was like before it was adopted, to be written in a label again.
    pub(crate) fn into_before(self) -> Option<String> {
        self.before
    }

    /// What it was like before it was adopted.
    pub(crate) fn before<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(self.before.as_deref()?).ok()?).ok()
    }
}

/// What an object is like, as a label can hold it.
pub(crate) fn kept(object: &impl Serialize) -> Option<String> {
    Some(URL_SAFE_NO_PAD.encode(serde_json::to_vec(object).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::object::DeviceObject;

    fn mark() -> Mark {
        Mark::parse("a1/greenhouse/edge-1/space/gw/app/device/d1").unwrap()
    }

    #[test]
    fn labels_of_ours_are_told_from_those_of_others() {
        let before = DeviceObject { name: "d1".to_owned(), ..DeviceObject::default() };
        let labels = Marked::ours(&mark(), kept(&before), vec!["bench=1".to_owned()]);
        assert_eq!(labels[0], "iotorch-in:a1/greenhouse/edge-1/space/gw/app");
        assert_eq!(labels[1], "iotorch:a1/greenhouse/edge-1/space/gw/app/device/d1");
        let marked = Marked::read(&labels);
        assert!(marked.is_of(&mark()));
        assert_eq!(marked.others, ["bench=1"]);
        assert_eq!(marked.before(), Some(before));
        assert_eq!(Marked::read(&["rest".to_owned()]).owner(), NOBODY);
    }

    #[test]
    fn no_label_of_ours_has_a_comma_which_would_part_it_in_a_search() {
        let before = DeviceObject { labels: vec!["a,b".to_owned()], ..DeviceObject::default() };
        let labels = Marked::ours(&mark(), kept(&before), Vec::new());
        assert!(labels.iter().all(|label| !label.contains(',')), "{labels:?}");
    }
}
