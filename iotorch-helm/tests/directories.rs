//! Charts in directories and archives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use iotorch_helm::{
    ErrorKind,
    chart::{ChartSource, Digest, VersionRange},
};
use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, SystemTime},
};

fn any() -> VersionRange {
    ">=0-0".parse().unwrap()
}

/// A copy of a test chart that may be changed.
fn copy(name: &str, to: &Path) {
    copy_folder(&test_chart(name), to);
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.as_ref().unwrap().file_name()));
        if from.is_dir() { copy_folder(&from, &to) } else { fs::copy(from, to).map(drop).unwrap() }
    }
}

#[tokio::test]
async fn a_directory_has_the_digest_of_its_files_whenever_and_by_whom_it_is_packed() {
    let dir = tempfile::tempdir().unwrap();
    let chart = packed("umbrella", dir.path()).await;
    assert_eq!((&*chart.name, &*chart.version, chart.app_version), ("umbrella", "0.3.0-rc.1", None));
    // Written down, so that a new version of what packs cannot change it unnoticed: plans are pinned by it.
    insta::assert_snapshot!(chart.digest, @"sha256:5cba5a895a9f789708946beb452fd35360cebc4994ee275ff97b2cd253330480");

    let other = dir.path().join("elsewhere");
    copy("umbrella", &other);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
    File::options().append(true).open(other.join("values.yaml")).unwrap().set_modified(long_ago).unwrap();
    let charts = charts(dir.path());
    let again = charts.resolve(&ChartSource::directory(&other), &any()).await.unwrap();
    assert_eq!((again.digest, &again.archive), (chart.digest.clone(), &chart.archive));

    fs::write(other.join("values.yaml"), "global:\n  suffix: other\n").unwrap();
    let changed = charts.resolve(&ChartSource::directory(&other), &any()).await.unwrap();
    assert_ne!(changed.digest, chart.digest);
}

#[tokio::test]
async fn a_pinned_chart_outlives_its_source_but_not_a_change_of_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    copy("gateway", &source);
    let charts = charts(dir.path());
    let chart = charts.resolve(&ChartSource::directory(&source), &any()).await.unwrap();
    fs::remove_dir_all(&source).unwrap();
    assert_eq!(charts.pinned(&chart.digest).await.unwrap(), chart);

    // An archive is pinned by its own bytes.
    let archived = charts.resolve(&ChartSource::archive(&chart.archive), &any()).await.unwrap();
    assert_eq!(archived.digest, Digest::of(&fs::read(&chart.archive).unwrap()));
    assert_eq!(charts.pinned(&archived.digest).await.unwrap(), archived);

    fs::write(&chart.archive, "forged").unwrap();
    let error = charts.pinned(&chart.digest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{}", chain(&error));
    let kept = charts.pinned(&archived.digest).await.unwrap();
    charts.retain(|_| false).await.unwrap();
    assert!(!kept.archive.exists());
}

#[tokio::test]
async fn a_chart_that_lacks_what_it_depends_on_says_how_to_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let source = ChartSource::directory(test_chart("lacking"));
    let error = charts(dir.path()).resolve(&source, &any()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidChart);
    assert!(
        chain(&error).ends_with(": it depends on \"database\", and \"charts\" lacks that"),
        "{}",
        chain(&error)
    );
    assert_eq!(error.help(), Some(&*format!("helm dependency build {}", test_chart("lacking").display())));
}

#[tokio::test]
async fn links_inside_the_chart_are_followed_and_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (source, charts) = (dir.path().join("chart"), charts(dir.path()));
    copy("umbrella", &source);
    let plain = charts.resolve(&ChartSource::directory(&source), &any()).await.unwrap();
    fs::rename(source.join("values.yaml"), source.join("templates/config.yaml.values")).unwrap();
    symlink("templates/config.yaml.values", source.join("values.yaml")).unwrap();
    assert_ne!(charts.resolve(&ChartSource::directory(&source), &any()).await.unwrap().digest, plain.digest);

    fs::write(dir.path().join("private"), "x").unwrap();
    for (target, why) in [
        ("../private", "the link \"leak\" leads out of the chart"),
        ("/etc/hostname", "the link \"leak\" leads out of the chart"),
        (".", "lies too deep"),
    ] {
        symlink(target, source.join("leak")).unwrap();
        let error = charts.resolve(&ChartSource::directory(&source), &any()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidChart);
        assert!(chain(&error).contains(why), "{}", chain(&error));
        fs::remove_file(source.join("leak")).unwrap();
    }
}

#[tokio::test]
async fn what_is_not_there_and_what_is_another_version_are_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let charts = charts(dir.path());
    let elsewhere = dir.path().join("nowhere");
    for source in [ChartSource::directory(&elsewhere), ChartSource::archive(&elsewhere)] {
        assert_eq!(charts.resolve(&source, &any()).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    let source = ChartSource::directory(test_chart("gateway"));
    let error = charts.resolve(&source, &"^2".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(chain(&error).ends_with("what is there has version 1.2.0"), "{}", chain(&error));
    let error = charts.pinned(&Digest::of(b"never seen")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_archive_that_is_no_chart_is_refused_and_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tgz");
    fs::write(&path, "apiVersion: v2\n").unwrap();
    let error = charts(dir.path()).resolve(&ChartSource::archive(&path), &any()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidChart);
    assert_eq!(fs::read_dir(dir.path().join("charts")).unwrap().count(), 0);
}
