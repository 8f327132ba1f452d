//! Charts: found and pinned before a plan is made, so that planning needs no I/O and an undo finds what it had.

use async_trait::async_trait;
use futures::{StreamExt as _, stream};

use crate::{
    error::{Error, Result},
    model::{Chart, Slice},
};

/// How many charts are looked for at once.
const AT_ONCE: usize = 8;

/// Finds charts.
///
/// # Contract
/// - [`resolve`](Self::resolve) gives the chart with the exact version and the digest of what it found, and with the values of its
///   files among the others. It keeps what it found, so that a driver can get at it by the digest, until nobody needs it any more.
/// - A chart that has a digest already is that one and no other: what is kept is enough then, and another content is
///   [`Moved`](crate::ErrorKind::Moved).
///
/// # Guarantees
/// Core resolves every chart of the documents that it is given, before it plans, and what it stores and hands to drivers is pinned.
///
/// # Errors
/// [`NotFound`](crate::ErrorKind::NotFound) when there is no such chart or version,
/// [`Unavailable`](crate::ErrorKind::Unavailable) when its repository cannot be reached, [`Denied`](crate::ErrorKind::Denied), and
/// [`Invalid`](crate::ErrorKind::Invalid) for what is no chart.
///
/// # Examples
/// `iotorch-k8s` has one for directories, archives, repositories and registries.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
#[async_trait]
pub trait ChartResolver: Send + Sync {
    /// Finds a chart and pins it.
    async fn resolve(&self, chart: &Chart) -> Result<Chart>;
}

/// Pins the charts of slices; one that many use is looked for once.
pub(crate) async fn pin(resolver: &dyn ChartResolver, slices: &mut [Slice]) -> Result<()> {
    let mut wanted: Vec<(Chart, String)> = Vec::new();
    for slice in slices.iter_mut() {
        let name = slice.name.clone();
        for (part, chart) in slice.charts_mut() {
            if !wanted.iter().any(|(other, _)| other == chart) {
                wanted.push((chart.clone(), format!("{part} of slice \"{name}\"")));
            }
        }
    }
    let resolved = wanted.into_iter().map(|(chart, user)| async move {
        let pinned = resolver.resolve(&chart).await.map_err(|error| {
            Error::new(error.kind(), format!("cannot use the chart of {user}")).with_source(error)
        })?;
        Ok((chart, pinned))
    });
    let pinned: Vec<Result<(Chart, Chart)>> =
        stream::iter(resolved.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await;
    let pinned = pinned.into_iter().collect::<Result<Vec<_>>>()?;
    for (_, chart) in slices.iter_mut().flat_map(Slice::charts_mut) {
        if let Some((_, found)) = pinned.iter().find(|(wanted, _)| wanted == chart) {
            *chart = found.clone();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn slice(name: &str, sources: &[&str]) -> Slice {
        let gateway = |(index, source): (usize, &&str)| serde_json::json!({ "name": format!("gw-{index}"), "chart": { "source": source } });
        let gateways: Vec<_> = sources.iter().enumerate().map(gateway).collect();
        serde_json::from_value(serde_json::json!({ "name": name, "spec": { "gateways": gateways } })).unwrap()
    }

    #[tokio::test]
    async fn each_chart_is_looked_for_once_and_pinned_wherever_it_is_used() {
        let mut resolver = MockChartResolver::new();
        resolver
            .expect_resolve()
            .times(2)
            .returning(|chart| Ok(Chart { digest: Some(format!("of {}", chart.source)), ..chart.clone() }));
        let mut slices = [slice("a", &["edgex", "other"]), slice("b", &["edgex"])];
        pin(&resolver, &mut slices).await.unwrap();
        let digests =
            slices.iter_mut().flat_map(Slice::charts_mut).map(|(_, chart)| chart.digest.clone().unwrap());
        assert_eq!(digests.collect::<Vec<_>>(), ["of edgex", "of other", "of edgex"]);
    }

    #[tokio::test]
    async fn a_chart_that_is_not_found_names_the_part_that_needs_it() {
        let mut resolver = MockChartResolver::new();
        let missing = || Error::new(ErrorKind::NotFound, "cannot find chart \"edgex\"");
        resolver.expect_resolve().returning(move |_| Err(missing()));
        let error = pin(&resolver, &mut [slice("a", &["edgex"])]).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot use the chart of gateway \"gw-0\" of slice \"a\"");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
