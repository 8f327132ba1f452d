//! Chart repositories: `index.yaml` and archives over HTTP.

use std::collections::BTreeMap;

use reqwest::Url;
use semver::Version;
use serde::Deserialize;

use super::{
    archive,
    cache::Cache,
    digest::Digest,
    version::{VersionRange, lenient},
    web::{Web, shown},
};
use crate::{
    error::{Error, ErrorKind, Result},
    yaml,
};

/// How many bytes an index has at most; those of the largest public repositories have some 30 MiB.
const LARGEST_INDEX: usize = 64 << 20;

#[derive(Debug, Deserialize)]
struct Index {
    #[serde(default)]
    entries: BTreeMap<String, Option<Vec<Entry>>>,
}

/// A version of a chart.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Entry {
    version: String,
    urls: Vec<String>,
    /// The SHA-256 digest of the archive, hexadecimal; older repositories have none.
    digest: Option<String>,
}

/// The archive of the newest version of a chart that is meant. What is kept already is not fetched again.
pub(super) async fn fetch(
    web: &Web,
    cache: &Cache,
    base: &Url,
    chart: &str,
    range: &VersionRange,
) -> Result<Vec<u8>> {
    let cannot = |kind, why: String| {
        Error::new(kind, format!("cannot find the chart \"{chart}\" in \"{}\"", shown(base))).with_source(why)
    };
    let at =
        |path: &str| base.join(path).map_err(|_| cannot(ErrorKind::NotFound, format!("{path:?} is no URL")));
    let text = web.fetch(&at("index.yaml")?, LARGEST_INDEX).await?;
    let index: Index = yaml::document(&text)
        .map_err(|error| cannot(ErrorKind::Unexpected, format!("its index cannot be read: {error}")))?;
    let Some(Some(versions)) = index.entries.get(chart) else {
        return Err(cannot(ErrorKind::NotFound, format!("its index has no chart \"{chart}\"")));
    };
    let entry = newest(versions, range, |entry| &entry.version).ok_or_else(|| {
        cannot(ErrorKind::NotFound, absent(range, versions.iter().map(|entry| &*entry.version)))
    })?;
    let Some(url) = entry.urls.first() else {
        return Err(cannot(
            ErrorKind::NotFound,
            format!("its index has no URL of version {}", entry.version),
        ));
    };
    let url = at(url)?;
    let digest = entry.digest.as_deref().filter(|digest| !digest.is_empty());
    let digest = digest.map(|digest| digest.strip_prefix("sha256:").unwrap_or(digest));
    if let Some(kept) =
        digest.and_then(Digest::from_hex).map(|digest| cache.get(&digest)).transpose()?.flatten()
    {
        return Ok(kept);
    }
    let bytes = web.fetch(&url, archive::LARGEST as usize).await?;
    if digest.is_some_and(|digest| Digest::of(&bytes).hex() != digest) {
        return Err(Error::new(ErrorKind::InvalidChart, format!("cannot trust \"{}\"", shown(&url)))
            .with_source("its digest is not the one in the index of the repository"));
    }
    Ok(bytes)
}

/// What is written exactly as asked for, otherwise the newest that is meant.
pub(super) fn newest<'a, T>(
    all: &'a [T],
    range: &VersionRange,
    version: impl Fn(&T) -> &str,
) -> Option<&'a T> {
    let parsed = |item: &'a T| Some((lenient(version(item))?, item));
    let meant = all.iter().filter_map(parsed).filter(|(version, _)| range.admits(version));
    let exactly = all.iter().find(|item| range.is_exactly(version(item)));
    exactly.or_else(|| {
        // Of versions that differ in their build alone, the first one.
        let newer =
            meant.reduce(|best, next| if best.0.cmp_precedence(&next.0).is_lt() { next } else { best });
        newer.map(|(_, item)| item)
    })
}

/// Says which versions there are.
pub(super) fn absent<'a>(range: &VersionRange, versions: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 5;
    let mut all: Vec<(Version, &str)> = versions.filter_map(|text| Some((lenient(text)?, text))).collect();
    all.sort_by(|(a, _), (b, _)| b.cmp_precedence(a));
    let wanted = range.to_string();
    let wanted =
        if wanted.is_empty() { "that is no pre-release".to_owned() } else { format!("\"{wanted}\"") };
    if all.is_empty() {
        return format!("there is no version {wanted}, and no other one");
    }
    let more = if all.len() > SHOWN { ", …" } else { "" };
    let some = all.iter().take(SHOWN).map(|(_, text)| *text).collect::<Vec<_>>().join(", ");
    format!("there is no version {wanted}; there are {some}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick<'a>(all: &[&'a str], range: &str) -> Option<&'a str> {
        newest(all, &range.parse().unwrap(), |version| version).copied()
    }

    #[test]
    fn the_newest_version_that_is_meant_is_taken_in_whatever_order_they_are() {
        let all = ["1.2.0", "2.0.0-rc.1", "1.10.0", "broken", "v1.9.0"];
        assert_eq!(pick(&all, ""), Some("1.10.0"));
        assert_eq!(pick(&all, "~1.9"), Some("v1.9.0"));
        assert_eq!(pick(&all, ">=1-0"), Some("2.0.0-rc.1"));
        assert_eq!(pick(&all, "^3"), None);
    }

    #[test]
    fn what_is_written_exactly_so_comes_first() {
        assert_eq!(pick(&["1.0.0+b", "1.0.0"], "1.0.0"), Some("1.0.0"));
        assert_eq!(pick(&["1.0.0+a", "1.0.0+b"], "1.0.0+b"), Some("1.0.0+b"));
        assert_eq!(pick(&["1.0.0+a", "1.0.0+b"], "^1"), Some("1.0.0+a"));
    }

    #[test]
    fn the_newest_versions_are_named_when_none_is_meant() {
        let range = "^3".parse().unwrap();
        assert_eq!(
            absent(&range, ["1.0.0", "1.10.0"].into_iter()),
            "there is no version \"^3\"; there are 1.10.0, 1.0.0"
        );
        assert_eq!(
            absent(&VersionRange::any(), std::iter::empty()),
            "there is no version that is no pre-release, and no other one"
        );
    }
}
