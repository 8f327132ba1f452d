//! The operations of an engine as command lines.

use std::{ffi::OsString, time::Duration};

use async_trait::async_trait;

use super::{
    HelmBinary,
    access::{absolute, option},
    answer::{self, HistoryEntry, ListEntry, Metadata},
    desk::VALUES,
};
use crate::{
    chart::ResolvedChart,
    engine::HelmEngine,
    error::Result,
    manifest::Manifests,
    name::Namespace,
    request::{Call, Install, Release, Render, Rollback, Uninstall, Upgrade},
    revision::{ChartVersion, ReleaseState, Revision, Uninstalled},
    storage::StoredRelease,
};

/// How many releases are asked for at once.
const PAGE: usize = 256;

/// How long helm may take to say what it has made.
const AFTER: Duration = Duration::from_secs(30);

/// A time with its zone and parts of seconds, in Go's words.
const TIME_FORMAT: &str = "2006-01-02T15:04:05.999999999Z07:00";

impl HelmBinary {
    /// A command on a release, with what every one has.
    fn on(&self, words: &[&str], release: &Release) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
        arguments.push(release.name.as_str().into());
        arguments.push(option("--namespace", release.namespace.as_str()));
        arguments.extend(self.access.iter().cloned());
        arguments
    }

    /// Installs or upgrades: both print what they have made.
    async fn submit(
        &self,
        call: &Call,
        what: &str,
        release: &Release,
        mut arguments: Vec<OsString>,
        (chart, values): (&ResolvedChart, &crate::Values),
    ) -> Result<Revision> {
        arguments.insert(2, absolute(&chart.archive)?.into());
        arguments.extend([option("--values", VALUES), option("--output", "json"), timeout(call)]);
        let output = self.change(call, what, release, arguments, Some(values)).await?;
        let made = StoredRelease::from_json(&output).map_err(|error| error.within(what))?;
        Ok(made.revision().clone())
    }
}

fn timeout(call: &Call) -> OsString {
    option("--timeout", format!("{}s", call.seconds_left()))
}

#[async_trait]
impl HelmEngine for HelmBinary {
    async fn render(&self, call: &Call, request: &Render) -> Result<Manifests> {
        let Render { release, chart, .. } = request;
        let what = format!("cannot render chart \"{}\" for release {release}", chart.name);
        let mut arguments: Vec<OsString> = vec!["template".into(), release.name.as_str().into()];
        arguments.push(absolute(&chart.archive)?.into());
        arguments.push(option("--namespace", release.namespace.as_str()));
        arguments.extend([option("--values", "-"), "--include-crds".into()]);
        arguments.extend(request.is_upgrade.then(|| "--is-upgrade".into()));
        arguments.extend(request.kube_version.iter().map(|version| option("--kube-version", version)));
        arguments.extend(request.api_versions.iter().map(|version| option("--api-versions", version)));
        let output = self.read(call, &what, arguments, Some(&request.values)).await?;
        Ok(Manifests::new(String::from_utf8_lossy(&output)))
    }

    async fn install(&self, call: &Call, request: &Install) -> Result<Revision> {
        let Install { release, chart, values } = request;
        let what = format!("cannot install release {release}");
        self.submit(call, &what, release, self.on(&["install"], release), (chart, values)).await
    }

    async fn upgrade(&self, call: &Call, request: &Upgrade) -> Result<Revision> {
        let Upgrade { release, chart, values, history_limit, takes_back } = request;
        let what = format!("cannot upgrade release {release}");
        let mut arguments = self.on(&["upgrade"], release);
        // Without it helm takes over earlier values when none are given.
        arguments.extend(["--reset-values".into(), option("--history-max", history_limit.to_string())]);
        // Helm 3 knows no other way.
        arguments.extend((*takes_back && self.version.major > 3).then(|| "--force-conflicts".into()));
        self.submit(call, &what, release, arguments, (chart, values)).await
    }

    async fn rollback(&self, call: &Call, request: &Rollback) -> Result<Revision> {
        let Rollback { release, to, history_limit } = request;
        let what = format!("cannot roll back release {release} to revision {to}");
        let mut arguments = self.on(&["rollback"], release);
        arguments.insert(2, to.to_string().into());
        arguments.extend([option("--history-max", history_limit.to_string()), timeout(call)]);
        self.change(call, &what, release, arguments, None).await?;
        // It is done, so it does not matter any more whether this call is cancelled or late.
        Ok(self.status(&Call::within(AFTER), release).await?.revision)
    }

    async fn uninstall(&self, call: &Call, request: &Uninstall) -> Result<Uninstalled> {
        let Uninstall { release, keep_history } = request;
        let what = format!("cannot remove release {release}");
        let mut arguments = self.on(&["uninstall"], release);
        arguments.extend(keep_history.then(|| "--keep-history".into()));
        arguments.push(timeout(call));
        let output = self.change(call, &what, release, arguments, None).await?;
        Ok(Uninstalled { kept: answer::kept(&output) })
    }

    async fn status(&self, call: &Call, release: &Release) -> Result<ReleaseState> {
        let what = format!("cannot look at release {release}");
        let json = option("--output", "json");
        let mut arguments = self.on(&["status"], release);
        arguments.push(json.clone());
        let output = self.read(call, &what, arguments, None).await?;
        let mut state = StoredRelease::from_json(&output).map_err(|error| error.within(&*what))?.state();
        // Which leaves out the chart.
        let mut arguments = self.on(&["get", "metadata"], release);
        arguments.extend([option("--revision", state.revision.number.to_string()), json]);
        let metadata = self.read(call, &what, arguments, None).await?;
        let Metadata { chart, version, app_version } =
            answer::parse(&metadata).map_err(|error| error.within(&*what))?;
        state.revision.chart = ChartVersion { name: chart, version };
        state.revision.app_version = answer::present(app_version);
        Ok(state)
    }

    async fn history(&self, call: &Call, release: &Release) -> Result<Vec<Revision>> {
        let what = format!("cannot list the revisions of release {release}");
        let mut arguments = self.on(&["history"], release);
        arguments.extend([option("--output", "json"), option("--max", i32::MAX.to_string())]);
        let output = self.read(call, &what, arguments, None).await?;
        let entries: Vec<HistoryEntry> = answer::parse(&output).map_err(|error| error.within(what))?;
        let mut revisions: Vec<Revision> = entries.into_iter().map(Into::into).collect();
        revisions.sort_by_key(|revision| revision.number);
        Ok(revisions)
    }

    async fn list(&self, call: &Call, namespace: Option<&Namespace>) -> Result<Vec<(Release, Revision)>> {
        let (scope, what) = match namespace {
            Some(namespace) => (
                option("--namespace", namespace.as_str()),
                format!("cannot list the releases in namespace \"{namespace}\""),
            ),
            None => ("--all-namespaces".into(), "cannot list the releases".to_owned()),
        };
        let mut releases = Vec::new();
        loop {
            let mut arguments: Vec<OsString> = vec!["list".into(), scope.clone()];
            // Version 4 lists all of them unless told otherwise.
            arguments.extend((self.version.major == 3).then(|| "--all".into()));
            arguments.extend([option("--output", "json"), option("--time-format", TIME_FORMAT)]);
            arguments
                .extend([option("--max", PAGE.to_string()), option("--offset", releases.len().to_string())]);
            arguments.extend(self.access.iter().cloned());
            let output = self.read(call, &what, arguments, None).await?;
            let page: Vec<ListEntry> = answer::parse(&output).map_err(|error| error.within(&*what))?;
            let is_last = page.len() < PAGE;
            for entry in page {
                releases.push(entry.try_into().map_err(|error: crate::Error| error.within(&*what))?);
            }
            if is_last {
                return Ok(releases);
            }
        }
    }

    async fn is_idle(&self, release: &Release) -> Result<bool> {
        self.desks.is_free(release)
    }
}
