//! Where charts come from: what documents name, and what comes with iotorch.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use iotorch_core::{
    ChartResolver, Error, ErrorKind, Result,
    model::{Chart, Settings},
};
use iotorch_helm::chart::{ChartSource, Charts, ChartsConfig, Digest, ResolvedChart};
use serde_json::Value;

use crate::{error::of_helm, own_charts::OwnChart};

/// Finds the charts of documents, and keeps them by their digests in a folder.
#[derive(Clone, Debug)]
pub struct HelmCharts {
    charts: Charts,
    folder: PathBuf,
}

impl HelmCharts {
    /// Keeps charts in `folder`, which is made where it is missing.
    ///
    /// # Errors
    /// [`ErrorKind::Unexpected`] when the folder cannot be used.
    pub fn new(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        let charts = Charts::new(ChartsConfig::builder().cache(folder.join("by-digest")).build());
        let charts = charts.map_err(|error| of_helm("cannot keep charts", error))?;
        Ok(Self { charts, folder })
    }

    /// The archive of a chart.
    pub(crate) async fn archive(&self, chart: &Chart) -> Result<ResolvedChart> {
        let what = || format!("cannot find chart \"{}\"", chart.source);
        if let Some(digest) = &chart.digest {
            let digest: Digest = digest.parse().map_err(|error| of_helm(what(), error))?;
            match self.charts.pinned(&digest).await {
                Ok(kept) => return Ok(kept),
                Err(error) if error.kind() == iotorch_helm::ErrorKind::NotFound => {}
                Err(error) => return Err(of_helm(what(), error)),
            }
        }
        let source: ChartSource = chart.source.parse().map_err(|error| of_helm(what(), error))?;
        let range = chart.version.as_deref().unwrap_or_default();
        let range = range.parse().map_err(|error| of_helm(what(), error))?;
        let found = self.charts.resolve(&source, &range).await.map_err(|error| of_helm(what(), error))?;
        match &chart.digest {
            Some(digest) if found.digest.as_str() != digest => {
                let why = format!("what is there has the digest {}, not {digest}", found.digest);
                Err(Error::new(ErrorKind::Moved, what()).with_source(Error::new(ErrorKind::Moved, why)))
            }
            _ => Ok(found),
        }
    }

    /// A chart that comes with iotorch.
    pub(crate) async fn own(&self, chart: &'static OwnChart) -> Result<ResolvedChart> {
        let what = || format!("cannot lay out the chart \"{}\"", chart.name);
        let own = self.folder.join("own");
        let lay_out = tokio::task::spawn_blocking(move || chart.lay_out(&own)).await;
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Unexpected, what()).with_source(error)
        };
        let folder = lay_out.map_err(|error| failed(error.into()))?.map_err(|error| failed(error.into()))?;
        let any = "".parse().map_err(|error| of_helm(what(), error))?;
        self.charts
            .resolve(&ChartSource::directory(folder), &any)
            .await
            .map_err(|error| of_helm(what(), error))
    }
}

#[async_trait]
impl ChartResolver for HelmCharts {
    async fn resolve(&self, chart: &Chart) -> Result<Chart> {
        let found = self.archive(chart).await?;
        let mut values = Settings::new();
        for file in &chart.values_files {
            let path = PathBuf::from(file);
            let read = tokio::task::spawn_blocking(move || read_values(&path)).await;
            let what = || format!("cannot read the values in \"{file}\"");
            let read = read.map_err(|error| Error::new(ErrorKind::Unexpected, what()).with_source(error))?;
            merge(
                &mut values,
                read.map_err(|why| {
                    Error::new(ErrorKind::Invalid, what()).with_source(Error::new(ErrorKind::Invalid, why))
                })?,
            );
        }
        merge(&mut values, chart.values.clone());
        let digest = Some(found.digest.to_string());
        Ok(Chart { version: Some(found.version), digest, values_files: Vec::new(), values, ..chart.clone() })
    }
}

fn read_values(path: &Path) -> Result<Settings, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    match serde_saphyr::from_str::<Option<Value>>(&text).map_err(|error| error.to_string())? {
        None | Some(Value::Null) => Ok(Settings::new()),
        Some(Value::Object(values)) => Ok(values),
        Some(_) => Err("it is no map of values".to_owned()),
    }
}

/// Lays values over others: maps are merged, all else is replaced.
pub(crate) fn merge(values: &mut Settings, over: Settings) {
    for (key, value) in over {
        match (values.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(over)) => merge(below, over),
            (_, value) => drop(values.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_laid_over_others_map_by_map() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let mut values = object(json!({ "a": { "b": 1, "c": [1, 2] }, "d": 1 }));
        merge(&mut values, object(json!({ "a": { "c": [3] }, "d": { "e": 1 } })));
        assert_eq!(Value::Object(values), json!({ "a": { "b": 1, "c": [3] }, "d": { "e": 1 } }));
    }
}
