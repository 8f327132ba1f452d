//! Where a chart comes from, as people write it.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use reqwest::Url;

use crate::error::{Error, ErrorKind};

/// Where a chart comes from.
///
/// | text | is |
/// |---|---|
/// | `charts/gateway`, `/srv/charts/gateway`, `file:///srv/charts/gateway` | a directory with a `Chart.yaml` |
/// | `gateway-1.2.0.tgz`, `file:///srv/gateway-1.2.0.tgz` | an archive, as `helm package` makes them |
/// | `https://charts.example.org/stable/gateway` | the chart `gateway` of the repository `https://charts.example.org/stable` |
/// | `https://charts.example.org/gateway-1.2.0.tgz` | an archive |
/// | `oci://registry.example.org/charts/gateway` | an artifact in a registry |
///
/// Credentials have no place in it: they are given to [`Charts`](super::Charts).
///
/// # Examples
/// ```
/// use iotorch_helm::{ErrorKind, chart::ChartSource};
///
/// let source: ChartSource = "https://charts.example.org/stable/gateway".parse()?;
/// assert_eq!(source.to_string(), "https://charts.example.org/stable/gateway");
///
/// let error = "ftp://example.org/gateway".parse::<ChartSource>().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidValues);
/// # Ok::<(), iotorch_helm::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChartSource(pub(super) Place);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Directory(PathBuf),
    Archive(PathBuf),
    /// A chart by its name in the index of a repository; the URL of the repository ends with a slash.
    Repository {
        url: Url,
        chart: String,
    },
    /// An archive behind a URL.
    Download(Url),
    Registry(Reference),
}

/// A repository in a registry: `registry.example.org:5000` and `charts/gateway`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    pub(super) registry: String,
    pub(super) repository: String,
}

impl ChartSource {
    /// The source in a directory.
    #[must_use]
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self(Place::Directory(path.into()))
    }

    /// The source in an archive, a `.tgz`.
    #[must_use]
    pub fn archive(path: impl Into<PathBuf>) -> Self {
        Self(Place::Archive(path.into()))
    }

    /// The same source where a relative path begins at `base`, such as the folder of the document that names it.
    #[must_use]
    pub fn from_base(self, base: &Path) -> Self {
        Self(match self.0 {
            Place::Directory(path) => Place::Directory(base.join(path)),
            Place::Archive(path) => Place::Archive(base.join(path)),
            remote => remote,
        })
    }

    /// Whether it can be read without a network.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(self.0, Place::Directory(_) | Place::Archive(_))
    }

    fn path(path: &str) -> Self {
        if path.ends_with(".tgz") { Self::archive(path) } else { Self::directory(path) }
    }
}

impl FromStr for ChartSource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            let shown = without_secrets(text);
            Error::new(ErrorKind::InvalidValues, format!("cannot use {shown:?} as the source of a chart"))
                .with_source(why)
        };
        if text.is_empty() || text.contains('\0') {
            return Err(wrong("it is no path and no URL"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::path(text));
        };
        match scheme {
            "file" if rest.starts_with('/') => Ok(Self::path(rest)),
            "file" => Err(wrong("after \"file://\" comes a path that begins with \"/\"")),
            "oci" => reference(rest).map(|reference| Self(Place::Registry(reference))).map_err(wrong),
            "https" | "http" => web(text).map(Self).map_err(wrong),
            _ => Err(wrong("only file, https, http and oci are understood")),
        }
    }
}

impl fmt::Display for ChartSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Directory(path) | Place::Archive(path) => write!(f, "{}", path.display()),
            Place::Repository { url, chart } => write!(f, "{url}{chart}"),
            Place::Download(url) => write!(f, "{url}"),
            Place::Registry(Reference { registry, repository }) => write!(f, "oci://{registry}/{repository}"),
        }
    }
}

/// The text without what people put into a URL to log in.
fn without_secrets(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => text.to_owned(),
    }
}

fn web(text: &str) -> Result<Place, &'static str> {
    let mut url = Url::parse(text).map_err(|_| "it is no URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user name and a password have no place in it");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("\"?\" and \"#\" have no place in it");
    }
    let last = url.path_segments().and_then(Iterator::last).unwrap_or_default().to_owned();
    if last.is_empty() {
        return Err("the last part of the path is the name of the chart, which is missing");
    }
    if last.ends_with(".tgz") {
        return Ok(Place::Download(url));
    }
    if last.contains('%') {
        return Err("the name of a chart has no \"%\"");
    }
    url.path_segments_mut().map_err(|()| "it is no URL")?.pop().push("");
    Ok(Place::Repository { url, chart: last })
}

/// Reads a reference without a tag, by the grammar of the distribution specification (`<name>`, "Pulling manifests").
fn reference(text: &str) -> Result<Reference, &'static str> {
    let (registry, repository) = text.split_once('/').ok_or("after the registry comes a path")?;
    let (host, port) = match registry.rsplit_once(':') {
        // The colons of an address in version 6 of IP are inside brackets.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let is_address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match is_address {
        Some(address) => address.parse::<IpAddr>().is_ok(),
        None => {
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
        }
    };
    if !is_host || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("the name of the registry is wrong");
    }
    if repository.contains([':', '@']) {
        return Err("the version is given beside it, not in it");
    }
    if !repository.split('/').all(is_path_component) {
        return Err("a path in a registry has a-z and 0-9, with \".\", \"_\" or \"-\" only between them");
    }
    Ok(Reference { registry: registry.to_owned(), repository: repository.to_owned() })
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_component(text: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|b| is_end(Some(b)) || matches!(b, b'.' | b'_' | b'-'))
        && bytes
            .split(|b| is_end(Some(b)))
            .all(|between| matches!(between, b"" | b"." | b"_" | b"__") || between.iter().all(|b| *b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_printed_as_it_was_written() {
        for text in [
            "charts/gateway",
            "/srv/charts/gateway",
            "../gateway-1.2.0.tgz",
            "https://charts.example.org/gateway",
            "https://charts.example.org:8443/a/b/gateway",
            "https://charts.example.org/gateway-1.2.0.tgz",
            "http://127.0.0.1:8080/gateway",
            "oci://registry.example.org/charts/gateway",
            "oci://localhost:5000/gate.way/a__b/c--d",
            "oci://[::1]:5000/gateway",
        ] {
            let source: ChartSource = text.parse().unwrap();
            assert_eq!(source.to_string(), text);
            assert_eq!(source.to_string().parse::<ChartSource>().unwrap(), source);
        }
    }

    #[test]
    fn a_chart_of_a_repository_is_the_last_part_of_the_path() {
        let ChartSource(Place::Repository { url, chart }) = "https://example.org/a/b/gw".parse().unwrap()
        else {
            panic!("no repository")
        };
        assert_eq!((url.as_str(), &*chart), ("https://example.org/a/b/", "gw"));
    }

    #[test]
    fn a_file_url_is_a_path() {
        assert_eq!("file:///srv/gw".parse::<ChartSource>().unwrap(), ChartSource::directory("/srv/gw"));
        assert_eq!("file:///gw-1.tgz".parse::<ChartSource>().unwrap(), ChartSource::archive("/gw-1.tgz"));
    }

    #[test]
    fn a_relative_path_begins_at_its_base() {
        let source = |text: &str| text.parse::<ChartSource>().unwrap().from_base(Path::new("/docs"));
        assert_eq!(source("gw").to_string(), "/docs/gw");
        assert_eq!(source("/gw.tgz").to_string(), "/gw.tgz");
        assert_eq!(source("https://example.org/gw").to_string(), "https://example.org/gw");
    }

    #[test]
    fn what_is_no_source_is_refused() {
        for wrong in [
            "",
            "file://host/gw",
            "ftp://example.org/gw",
            "https://",
            "https://example.org",
            "https://example.org/",
            "https://user:secret@example.org/gw",
            "https://example.org/gw?token=secret",
            "https://example.org/gw#a",
            "oci://registry.example.org",
            "oci://registry.example.org/",
            "oci://registry.example.org/gw:1.2.0",
            "oci://registry.example.org/gw@sha256:00",
            "oci://user@registry.example.org/gw",
            "oci://registry.example.org/Gw",
            "oci://registry.example.org/a/../b",
            "oci://registry.example.org/a//b",
            "oci://registry.example.org/a/-b",
            "oci://registry.example.org/a___b",
            "oci://registry.example.org:port/gw",
        ] {
            assert_eq!(
                wrong.parse::<ChartSource>().map_err(|error| error.kind()),
                Err(ErrorKind::InvalidValues),
                "{wrong}"
            );
        }
    }

    #[test]
    fn no_secret_of_a_refused_source_is_in_its_error() {
        for text in ["https://user:hunter2@example.org/gw", "https://example.org/gw?token=hunter2"] {
            let error = text.parse::<ChartSource>().unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
