//! Charts resolved to archives with digests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use typed_builder::TypedBuilder;

use super::{
    archive,
    cache::Cache,
    content::Content,
    digest::Digest,
    registry, repository,
    source::{ChartSource, Place},
    version::VersionRange,
    web::{Credentials, Web},
};
use crate::error::{Error, ErrorKind, Result};

/// One version of one chart, as an archive on disk. It is what engines install.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResolvedChart {
    /// The name in its `Chart.yaml`.
    pub name: String,
    /// The version in its `Chart.yaml`.
    pub version: String,
    /// The version of what it deploys, if it says so.
    pub app_version: Option<String>,
    /// What it is pinned by.
    pub digest: Digest,
    /// Where the archive lies.
    pub archive: PathBuf,
}

/// Settings of [`Charts`].
#[derive(Clone, Debug, TypedBuilder)]
pub struct ChartsConfig {
    /// Where archives are kept; it is made where it is missing.
    #[builder(setter(into))]
    cache: PathBuf,
    /// Who to be for repositories and registries, by host (`charts.example.org`, `registry.example.org:5000`).
    #[builder(default)]
    credentials: BTreeMap<String, Credentials>,
    /// The hosts, as above, that are asked without TLS. This machine (`localhost`, `127.0.0.1`, `[::1]`) always is, as to
    /// registries: `oci://` to it means HTTP.
    #[builder(default)]
    plain_http: BTreeSet<String>,
}

/// Resolves charts, and keeps them.
///
/// # Examples
/// ```
/// use iotorch_helm::{ErrorKind, chart::{ChartSource, Charts, ChartsConfig, VersionRange}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # std::fs::create_dir(dir.path().join("gw"))?;
/// # std::fs::write(dir.path().join("gw/Chart.yaml"), "apiVersion: v2\nname: gw\nversion: 1.2.0\n")?;
/// let charts = Charts::new(ChartsConfig::builder().cache(dir.path().join("cache")).build())?;
/// let source = ChartSource::directory(dir.path().join("gw"));
/// let chart = charts.resolve(&source, &"^1".parse()?).await?;
/// assert_eq!((&*chart.name, &*chart.version), ("gw", "1.2.0"));
///
/// // The digest is enough to find it again, whatever became of the directory.
/// assert_eq!(charts.pinned(&chart.digest).await?, chart);
///
/// let error = charts.resolve(&source, &"^2".parse()?).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Charts {
    cache: Cache,
    web: Web,
}

impl Charts {
    /// Opens the cache.
    ///
    /// # Errors
    /// [`ErrorKind::Unexpected`] when its folder cannot be made.
    pub fn new(config: ChartsConfig) -> Result<Self> {
        let web = Web::new(config.credentials, config.plain_http)?;
        Ok(Self { cache: Cache::open(&config.cache)?, web })
    }

    /// The newest version of a chart that is meant.
    ///
    /// What [`ResolvedChart::digest`] is of depends on the source: of a directory the tar that is made of it here, which is the same
    /// for the same files; of an archive or what a repository has, the bytes of the archive; in a registry it is that of the layer
    /// with the chart. What an index or a registry says about digests has been checked.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a missing chart or version, [`ErrorKind::InvalidChart`] for one that cannot be used, lacks charts
    /// that it depends on, or has another digest than promised, [`ErrorKind::Denied`] and [`ErrorKind::Unreachable`] for
    /// repositories and registries, and [`ErrorKind::InvalidValues`] for one that would be asked without TLS.
    pub async fn resolve(&self, source: &ChartSource, range: &VersionRange) -> Result<ResolvedChart> {
        let from = source.to_string();
        let resolved = match &source.0 {
            Place::Directory(path) => {
                let path = path.clone();
                self.blocking(move |cache| from_directory(cache, &path)).await?
            }
            Place::Archive(path) => {
                let path = path.clone();
                self.blocking(move |cache| {
                    let bytes = read_archive(&path)?;
                    keep(cache, &bytes, Digest::of(&bytes), &from)
                })
                .await?
            }
            Place::Repository { url, chart } => {
                let bytes = repository::fetch(&self.web, &self.cache, url, chart, range).await?;
                self.blocking(move |cache| keep(cache, &bytes, Digest::of(&bytes), &from)).await?
            }
            Place::Download(url) => {
                let bytes = self.web.fetch(url, archive::LARGEST as usize).await?;
                self.blocking(move |cache| keep(cache, &bytes, Digest::of(&bytes), &from)).await?
            }
            Place::Registry(reference) => {
                let (bytes, digest) = registry::fetch(&self.web, &self.cache, reference, range).await?;
                self.blocking(move |cache| keep(cache, &bytes, digest, &from)).await?
            }
        };
        if range.contains(&resolved.version) {
            return Ok(resolved);
        }
        Err(Error::new(
            ErrorKind::NotFound,
            format!("cannot find version \"{range}\" of the chart \"{source}\""),
        )
        .with_source(format!("what is there has version {}", resolved.version)))
    }

    /// The chart that was resolved to this digest before; no network is asked.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when it is not kept, or its bytes are no longer what they were.
    pub async fn pinned(&self, digest: &Digest) -> Result<ResolvedChart> {
        let digest = digest.clone();
        self.blocking(move |cache| {
            let bytes = cache.get(&digest)?.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("cannot find a chart with the digest {digest}"))
                    .with_source("it is not among the charts that are kept")
            })?;
            let content = Content::in_archive(&bytes, digest.as_str())?;
            Ok(resolved(content, digest.clone(), cache.path(&digest)))
        })
        .await
    }

    /// Removes the archives that `keep` does not want.
    ///
    /// # Errors
    /// [`ErrorKind::Unexpected`] when the disk refuses.
    pub async fn retain(&self, keep: impl Fn(&Digest) -> bool + Send + 'static) -> Result<()> {
        self.blocking(move |cache| cache.retain(keep)).await
    }

    /// Packing and unpacking take a while.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Cache) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let cache = self.cache.clone();
        let task = tokio::task::spawn_blocking(move || work(&cache));
        task.await
            .map_err(|error| Error::new(ErrorKind::Unexpected, "cannot read the chart").with_source(error))?
    }
}

fn from_directory(cache: &Cache, path: &Path) -> Result<ResolvedChart> {
    let content = Content::in_directory(path)?;
    let tar = content.pack()?;
    let digest = Digest::of(&tar);
    let archive = archive::compress(&tar).map_err(|error| Error::io("cannot compress the chart", error))?;
    let archive = cache.put(&digest, &archive)?;
    Ok(resolved(content, digest, archive))
}

fn read_archive(path: &Path) -> Result<Vec<u8>> {
    let cannot = |error| Error::io(format!("cannot read the chart \"{}\"", path.display()), error);
    let length = fs::metadata(path).map_err(cannot)?.len();
    if length > archive::LARGEST {
        return Err(Error::new(
            ErrorKind::InvalidChart,
            format!("cannot read the chart \"{}\"", path.display()),
        )
        .with_source(format!("it has more than {} MiB", archive::LARGEST >> 20)));
    }
    fs::read(path).map_err(cannot)
}

/// Nothing is kept that is no chart.
fn keep(cache: &Cache, bytes: &[u8], digest: Digest, from: &str) -> Result<ResolvedChart> {
    let content = Content::in_archive(bytes, from)?;
    let archive = cache.put(&digest, bytes)?;
    Ok(resolved(content, digest, archive))
}

fn resolved(content: Content, digest: Digest, archive: PathBuf) -> ResolvedChart {
    let metadata = content.metadata;
    ResolvedChart {
        name: metadata.name,
        version: metadata.version,
        app_version: metadata.app_version,
        digest,
        archive,
    }
}
