//! Charts from repositories and registries, which are servers on this machine.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod servers;

use common::*;
use iotorch_helm::{
    ErrorKind, Result,
    chart::{ChartSource, Charts, ChartsConfig, Credentials, Digest, ResolvedChart},
};
use servers::{Registry, Repository};
use std::{fs, path::Path};

/// An archive of the test chart `gateway` with another version.
async fn archive(version: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("chart");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("Chart.yaml"), format!("apiVersion: v2\nname: gateway\nversion: {version}\n"))
        .unwrap();
    let range = ">=0-0".parse().unwrap();
    let chart = charts(dir.path()).resolve(&ChartSource::directory(source), &range).await.unwrap();
    fs::read(chart.archive).unwrap()
}

async fn resolve(charts: &Charts, source: &str, version: &str) -> Result<ResolvedChart> {
    charts.resolve(&source.parse()?, &version.parse()?).await
}

fn logged_in(cache: &Path, host: &str, password: &str) -> Charts {
    let credentials = [(host.to_owned(), Credentials::new("reader", password))].into();
    Charts::new(ChartsConfig::builder().cache(cache).credentials(credentials).build()).unwrap()
}

#[tokio::test]
async fn a_repository_gives_the_newest_version_that_is_meant() {
    let dir = tempfile::tempdir().unwrap();
    let mut repository = Repository::default();
    for version in ["1.2.0", "1.10.0", "2.0.0-rc.1"] {
        repository.add("gateway", version, archive(version).await);
    }
    let repository = repository.serve().await;
    let charts = charts(dir.path());
    for (range, expected) in
        [("", "1.10.0"), ("~1.2", "1.2.0"), ("2.0.0-rc.1", "2.0.0-rc.1"), (">1-0", "2.0.0-rc.1")]
    {
        let chart = resolve(&charts, &repository.url("gateway"), range).await.unwrap();
        assert_eq!(chart.version, expected, "{range}");
        assert_eq!(chart.digest, Digest::of(&archive(expected).await));
    }
    let error = resolve(&charts, &repository.url("gateway"), "^3").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(chain(&error).ends_with("there is no version \"^3\"; there are 2.0.0-rc.1, 1.10.0, 1.2.0"));
    let error = resolve(&charts, &repository.url("server"), "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);

    let direct = resolve(&charts, &repository.url("files/gateway-1.2.0.tgz"), "").await.unwrap();
    assert_eq!(direct.version, "1.2.0");
    let error = resolve(&charts, &repository.url("files/nothing.tgz"), "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_archive_with_another_digest_than_in_the_index_is_refused_and_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut repository = Repository::default();
    repository.add("gateway", "1.0.0", archive("1.0.0").await);
    repository.replace("gateway-1.0.0.tgz", archive("1.0.1").await);
    let repository = repository.serve().await;
    let error = resolve(&charts(dir.path()), &repository.url("gateway"), "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidChart);
    assert!(chain(&error).ends_with("its digest is not the one in the index of the repository"));
    assert_eq!(fs::read_dir(dir.path().join("charts")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_repository_asks_for_a_password_and_no_other_host_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Repository::default();
    files.add("gateway", "1.0.0", archive("1.0.0").await);
    let files = files.serve().await;
    let mut repository = Repository::default();
    repository.add_elsewhere("gateway", "1.0.0", &files.url("files/gateway-1.0.0.tgz"));
    repository.password = Some("hunter2".into());
    let repository = repository.serve().await;

    let url = repository.url("gateway");
    let error = resolve(&charts(dir.path()), &url, "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(error.help(), Some(&*format!("give credentials of \"{}\"", repository.host())));
    let error = resolve(&logged_in(dir.path(), repository.host(), "wrong"), &url, "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!format!("{error:?}").contains("wrong"));

    let charts = logged_in(dir.path(), repository.host(), "hunter2");
    assert!(!format!("{charts:?}").contains("hunter2"));
    assert_eq!(resolve(&charts, &url, "").await.unwrap().version, "1.0.0");
    assert_eq!(files.seen_credentials(), 0);
    assert!(repository.seen_credentials() > 0);
}

#[tokio::test]
async fn another_machine_is_not_asked_without_tls_unless_that_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let url = "http://charts.example.invalid/gateway";
    let error = resolve(&charts(dir.path()), url, "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidValues);
    assert_eq!(error.help(), Some("use https, or allow \"charts.example.invalid\" to be asked without TLS"));
    // A redirection is no way around that.
    let mut repository = Repository::default();
    repository.redirect = Some("http://charts.example.invalid/index.yaml".into());
    let repository = repository.serve().await;
    let error = resolve(&charts(dir.path()), &repository.url("gateway"), "").await.unwrap_err();
    assert!(chain(&error).contains("the redirection leads away from TLS"), "{}", chain(&error));

    let allowed = ["charts.example.invalid".to_owned()].into();
    let charts = Charts::new(ChartsConfig::builder().cache(dir.path()).plain_http(allowed).build()).unwrap();
    assert_eq!(resolve(&charts, url, "").await.unwrap_err().kind(), ErrorKind::Unreachable);
}

#[tokio::test]
async fn who_does_not_answer_is_unreachable() {
    let dir = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for source in [format!("http://{address}/gateway"), format!("oci://{address}/gateway")] {
        let error = resolve(&charts(dir.path()), &source, "").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert_eq!(error.to_string(), format!("cannot reach \"{address}\""));
    }
}

#[tokio::test]
async fn a_registry_gives_versions_by_tags_on_many_pages() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = Registry::default();
    for version in ["1.2.0", "1.10.0+build.7", "2.0.0-rc.1"] {
        registry.push("charts/gateway", version, &archive(version).await);
    }
    registry.tag("charts/gateway", "latest", "1.2.0");
    let registry = registry.serve().await;
    let charts = charts(dir.path());
    for (range, expected) in [("", "1.10.0+build.7"), ("1.10.0+build.7", "1.10.0+build.7"), ("~1.2", "1.2.0")]
    {
        let chart = resolve(&charts, &registry.url("charts/gateway"), range).await.unwrap();
        assert_eq!(chart.version, expected, "{range}");
        assert_eq!(chart.digest, Digest::of(&archive(expected).await), "that of the layer");
        assert_eq!(charts.pinned(&chart.digest).await.unwrap(), chart);
    }
    for (repository, range) in [("charts/gateway", "^3"), ("charts/gateway", "3.0.0"), ("charts/nothing", "")]
    {
        let error = resolve(&charts, &registry.url(repository), range).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{}", chain(&error));
    }
    assert_eq!(registry.breaches(), [""; 0], "what the specification asks of a client");
}

#[tokio::test]
async fn a_registry_gives_tokens_to_anybody_or_for_a_password() {
    for password in [None, Some("hunter2")] {
        let dir = tempfile::tempdir().unwrap();
        let mut registry = Registry::default();
        registry.push("charts/gateway", "1.0.0", &archive("1.0.0").await);
        registry.with_tokens(password);
        let registry = registry.serve().await;
        let url = registry.url("charts/gateway");
        let charts = match password {
            None => charts(dir.path()),
            Some(password) => {
                let error = resolve(&charts(dir.path()), &url, "").await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Denied, "{}", chain(&error));
                logged_in(dir.path(), registry.host(), password)
            }
        };
        assert_eq!(resolve(&charts, &url, "").await.unwrap().version, "1.0.0");
        assert_eq!(registry.breaches(), [""; 0]);
    }
}

#[tokio::test]
async fn what_a_registry_forges_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = Registry::default();
    registry.push("gateway", "1.0.0", &archive("1.0.0").await);
    registry.forge(&Digest::of(&archive("1.0.0").await), archive("1.0.1").await);
    registry.push_image("image", "1.0.0");
    let registry = registry.serve().await;
    let error = resolve(&charts(dir.path()), &registry.url("gateway"), "1.0.0").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidChart);
    assert!(chain(&error).ends_with("its digest is another one"));
    let error = resolve(&charts(dir.path()), &registry.url("image"), "1.0.0").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidChart);
    assert!(chain(&error).ends_with("\"1.0.0\" is no chart"));
    assert_eq!(fs::read_dir(dir.path().join("charts")).unwrap().count(), 0);
}
