//! What needs the program of Helm, but no cluster; with Helm 3 and with Helm 4.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod servers;

use common::*;
use iotorch_helm::{
    Call, ClusterAccess, ErrorKind, HelmBinary, HelmBinaryConfig, HelmEngine, Install, Render, Turns,
    chart::{ChartSource, Charts, ChartsConfig},
};
use libtest_mimic::{Arguments, Trial};
use serde_json::json;
use servers::{Registry, Repository};
use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let mut trials = vec![
        trial("a_helm_of_an_unknown_version_is_refused", || run(unknown_versions())),
        trial("what_is_asked_ends_when_it_is_cancelled_or_out_of_time", || run(broken_off())),
        trial("a_helm_begins_when_it_is_its_turn", || run(turns())),
        trial("the_environment_of_helm_has_nothing_of_the_user", || run(environment())),
        trial("values_are_neither_in_the_command_line_nor_in_the_environment", || run(hidden_values())),
    ];
    for (name, helm) in helms() {
        let is_absent = helm.is_none() && !is_required(name);
        let mut with_helm = |test: &str, body: fn(Helm)| {
            let helm = helm.clone();
            let trial = Trial::test(test, move || match helm {
                Some(helm) => {
                    body(helm);
                    Ok(())
                }
                None => {
                    Err(format!("{name} is absent; say in IOTORCH_{} where it is", name.to_uppercase())
                        .into())
                }
            });
            let kind = if is_absent { format!("{name} is absent") } else { name.to_owned() };
            trials.push(trial.with_kind(kind).with_ignored_flag(is_absent));
        };
        with_helm("a_packed_directory_renders_as_helm_renders_the_directory", |helm| run(renders(helm)));
        with_helm("templates_are_told_of_what_they_may_ask", |helm| run(told(helm)));
        with_helm("every_text_arrives_in_templates_as_it_was_given", |helm| run(texts(helm)));
        with_helm("errors_of_charts_and_values_are_told_apart", |helm| run(errors(helm)));
        with_helm("a_cluster_out_of_reach_is_told_apart", |helm| run(out_of_reach(helm)));
        with_helm("a_directory_is_packed_with_the_files_that_helm_packs", |helm| run(packing(helm)));
        with_helm("ranges_of_versions_mean_what_they_mean_to_helm", |helm| run(ranges(helm)));
        with_helm("a_registry_for_tests_is_one_for_helm_too", |helm| run(registry(helm)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: &str, body: fn()) -> Trial {
    Trial::test(name, move || {
        body();
        Ok(())
    })
}

fn nowhere() -> ClusterAccess {
    ClusterAccess::kubeconfig("/no/such/kubeconfig")
}

async fn unknown_versions() {
    for (version, why) in [
        ("v3.16.4", "it is version 3.16 of Helm; versions 3.17 to 4 are understood"),
        ("v5.0.0", "it is version 5.0 of Helm; versions 3.17 to 4 are understood"),
        ("Client: v2.17.0", "it does not say which version of Helm it is"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let error = open(&fake_helm(dir.path(), version, "exit 1"), nowhere(), dir.path()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(chain(&error).ends_with(why), "{}", chain(&error));
    }
}

async fn broken_off() {
    let dir = tempfile::tempdir().unwrap();
    let program = fake_helm(dir.path(), "v4.1.0", "exec sleep 1000");
    let helm = open(&program, nowhere(), dir.path()).await.unwrap();
    let release = release("gw", "space");

    let token = CancellationToken::new();
    let call = call().with_cancelled(token.clone());
    let (answer, ()) = tokio::join!(helm.status(&call, &release), async { token.cancel() });
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Cancelled);
    let answer = helm.status(&Call::within(Duration::from_millis(50)), &release).await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::TimedOut);

    // A change is not begun at all.
    let chart = packed("gateway", dir.path()).await;
    let install = Install::builder().release(release.clone()).chart(chart).build();
    assert_eq!(helm.install(&call, &install).await.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(helm.is_idle(&release).await.unwrap());
}

async fn turns() {
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    let body = format!("until [ -e {} ]; do sleep 0.01; done; exit 1", go.display());
    let config = HelmBinaryConfig::builder()
        .program(fake_helm(dir.path(), "v4.1.0", &body))
        .access(nowhere())
        .locks(dir.path().join("locks"))
        .cache(dir.path().join("cache"))
        .turns(Turns::new(NonZeroUsize::MIN))
        .build();
    let helm = HelmBinary::open(config).await.unwrap();
    let chart = packed("gateway", dir.path()).await;
    let install = |name| Install::builder().release(release(name, "space")).chart(chart.clone()).build();
    let (first, second) = (install("first"), install("second"));
    let meanwhile = async {
        let late = helm.install(&Call::within(Duration::from_millis(50)), &second).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{}", chain(&late));
        assert!(!helm.is_idle(&first.release).await.unwrap() && helm.is_idle(&second.release).await.unwrap());
        fs::write(&go, "").unwrap();
    };
    let call = call();
    let (failed, ()) = tokio::join!(biased; helm.install(&call, &first), meanwhile);
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unexpected);
    assert_eq!(helm.install(&call, &second).await.unwrap_err().kind(), ErrorKind::Unexpected);
}

async fn environment() {
    let dir = tempfile::tempdir().unwrap();
    let program = fake_helm(dir.path(), "v4.1.0", "env >&2; exit 1");
    let mut command = Command::new(&program);
    command.env("HELM_NAMESPACE", "foreign");
    let seen = command.output().await.unwrap();
    assert!(
        String::from_utf8_lossy(&seen.stderr).contains("HELM_NAMESPACE=foreign"),
        "the test itself works"
    );

    let helm = open(&program, nowhere(), dir.path()).await.unwrap();
    let error = helm.status(&call(), &release("gw", "space")).await.unwrap_err();
    let environment = chain(&error);
    let names: BTreeSet<&str> = environment
        .lines()
        .filter_map(|line| line.split_once('=').map(|(name, _)| name))
        .filter(|name| name.starts_with("HELM") || name.starts_with("KUBE"))
        .collect();
    let ours = [
        "HELM_CACHE_HOME",
        "HELM_CONFIG_HOME",
        "HELM_DATA_HOME",
        "HELM_DRIVER",
        "HELM_NO_PLUGINS",
        "KUBECACHEDIR",
    ];
    assert_eq!(names, ours.into());
}

async fn hidden_values() {
    let dir = tempfile::tempdir().unwrap();
    let body = "echo \"$@\" >&2; env >&2; cat >&2 < values.json; exit 1";
    let helm = open(&fake_helm(dir.path(), "v4.1.0", body), nowhere(), dir.path()).await.unwrap();
    let chart = packed("gateway", dir.path()).await;
    let values = values(json!({ "data": { "password": "hunter2" } }));
    let install = Install::builder().release(release("gw", "space")).chart(chart).values(values).build();
    let error = helm.install(&call(), &install).await.unwrap_err();
    let said = chain(&error);
    // Once in the file, and nowhere else.
    assert_eq!(said.matches("hunter2").count(), 1, "{said}");
    assert!(said.contains("--values=values.json"), "{said}");
    assert!(!format!("{install:?}").contains("hunter2"));
}

async fn render(helm: &HelmBinary, request: Render) -> iotorch_helm::Result<String> {
    helm.render(&call(), &request).await.map(|manifests| manifests.as_yaml().to_owned())
}

async fn renders(helm: Helm) {
    let world = World::new(&helm.program, nowhere()).await;
    for name in ["gateway", "umbrella", "ignoring"] {
        let request =
            Render::builder().release(release("gw", "space")).chart(world.chart(name).await).build();
        let expected = Command::new(&helm.program)
            .args(["template", "gw", "--namespace", "space", "--include-crds"])
            .arg(test_chart(name))
            .output()
            .await
            .unwrap();
        let rendered = render(&world.helm, request).await.unwrap();
        assert_eq!(rendered, String::from_utf8(expected.stdout).unwrap(), "{name}");
    }
    let request = Render::builder().release(release("gw", "space")).chart(world.chart("gateway").await);
    let request = request.values(values(json!({ "hook": true }))).build();
    let objects = world.helm.render(&call(), &request).await.unwrap().objects().unwrap();
    let shown: Vec<_> = objects.iter().map(|object| (object.to_string(), object.is_hook)).collect();
    let expected = [("ConfigMap \"gw-config\"", false), ("Job \"gw-hook\"", true)];
    assert_eq!(shown, expected.map(|(object, is_hook)| (object.to_owned(), is_hook)));
}

async fn told(helm: Helm) {
    let world = World::new(&helm.program, nowhere()).await;
    let request = Render::builder()
        .release(release("gw", "space"))
        .chart(world.chart("gateway").await)
        .is_upgrade(true)
        .kube_version("1.33.1")
        .build();
    let rendered = render(&world.helm, request).await.unwrap();
    assert!(
        rendered.contains("upgrade: \"true\"") && rendered.contains("kubernetes: \"v1.33.1\""),
        "{rendered}"
    );
}

async fn texts(helm: Helm) {
    let world = World::new(&helm.program, nowhere()).await;
    for text in [
        "plain",
        "ä😀",
        "\u{7f}\u{85}\u{2028}\u{feff}",
        "a\n\t\"b\"\\",
        "{{ x }}",
        "--help",
        "yes",
        "0x1f",
        "#",
    ] {
        let request = Render::builder()
            .release(release("gw", "space"))
            .chart(world.chart("gateway").await)
            .values(values(json!({ "data": { "text": text, "length": text.len().to_string() } })));
        let rendered = render(&world.helm, request.build()).await.unwrap();
        let line = rendered.lines().find_map(|line| line.trim().strip_prefix("text: ")).unwrap();
        // As Go quotes texts.
        let quoted = match text {
            "\u{7f}\u{85}\u{2028}\u{feff}" => "\"\\x7f\\u0085\\u2028\\ufeff\"".to_owned(),
            text => format!(
                "\"{}\"",
                text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t")
            ),
        };
        assert_eq!(line, quoted, "{text:?}");
    }
}

async fn errors(helm: Helm) {
    let world = World::new(&helm.program, nowhere()).await;
    let cases = [
        ("broken", json!({}), ErrorKind::InvalidChart, "broken/templates/config.yaml:1"),
        (
            "gateway",
            json!({ "fail": "exceeded quota" }),
            ErrorKind::InvalidChart,
            "gateway/templates/objects.yaml:1:27",
        ),
        ("gateway", json!({ "text": "a: b: c" }), ErrorKind::InvalidChart, "gateway/templates/objects.yaml"),
        ("gateway", json!({ "replicas": 0 }), ErrorKind::InvalidValues, "replicas"),
        ("gateway", json!({ "data": 3 }), ErrorKind::InvalidChart, "range can't iterate over 3"),
    ];
    for (chart, given, kind, said) in cases {
        let request = Render::builder().release(release("gw", "space")).chart(world.chart(chart).await);
        let error = render(&world.helm, request.values(values(given.clone())).build()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{given}: {}", chain(&error));
        assert_eq!(
            error.to_string(),
            format!("cannot render chart \"{chart}\" for release \"gw\" in namespace \"space\"")
        );
        assert!(chain(&error).contains(said), "{}", chain(&error));
    }
    let request = Render::builder().release(release("gw", "space")).chart(world.chart("gateway").await);
    let error = render(&world.helm, request.kube_version("new").build()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidValues);

    let chart = world.chart("gateway").await;
    fs::remove_file(&chart.archive).unwrap();
    let request = Render::builder().release(release("gw", "space")).chart(chart).build();
    assert_eq!(render(&world.helm, request).await.unwrap_err().kind(), ErrorKind::NotFound);
}

async fn out_of_reach(helm: Helm) {
    let world = World::new(&helm.program, nowhere()).await;
    let error = world.helm.status(&call(), &release("gw", "space")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.help(), Some("check the path of the kubeconfig"));

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let server = format!("https://{}", listener.local_addr().unwrap());
    drop(listener);
    let dir = tempfile::tempdir().unwrap();
    for file in ["ca.crt", "token"] {
        fs::write(dir.path().join(file), "").unwrap();
    }
    let access = ClusterAccess::token_file(server, dir.path().join("ca.crt"), dir.path().join("token"));
    let world = World::new(&helm.program, access).await;
    let error = world.helm.list(&call(), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", chain(&error));
    let install =
        Install::builder().release(release("gw", "space")).chart(world.chart("gateway").await).build();
    let error = world.helm.install(&call(), &install).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", chain(&error));
    assert!(world.helm.is_idle(&install.release).await.unwrap());
}

/// The files in an archive.
fn listed(archive: &Path) -> BTreeSet<String> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(archive).unwrap()).read_to_end(&mut bytes).unwrap();
    let mut tar = tar::Archive::new(bytes.as_slice());
    let path =
        |entry: std::io::Result<tar::Entry<'_, _>>| entry.unwrap().path().unwrap().display().to_string();
    tar.entries().unwrap().map(path).collect()
}

async fn packing(helm: Helm) {
    for name in ["gateway", "umbrella", "ignoring"] {
        let dir = tempfile::tempdir().unwrap();
        let done = Command::new(&helm.program)
            .args(["package", "--destination"])
            .arg(dir.path())
            .arg(test_chart(name))
            .output()
            .await
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let theirs: Vec<PathBuf> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        let ours = packed(name, &dir.path().join("cache")).await;
        assert_eq!(listed(&ours.archive), listed(&theirs[0]), "{name}");

        // What helm packed is taken as it is.
        let chart = charts(dir.path())
            .resolve(&ChartSource::archive(&theirs[0]), &">=0-0".parse().unwrap())
            .await
            .unwrap();
        assert_eq!((chart.name, chart.version), (ours.name, ours.version));
    }
}

/// Archives of a chart `gateway` that is nothing but its version.
async fn archives(dir: &Path, versions: &[&str]) -> Vec<Vec<u8>> {
    let mut archives = Vec::new();
    for version in versions {
        let source = dir.join("chart");
        fs::create_dir_all(&source).unwrap();
        fs::write(source.join("Chart.yaml"), format!("apiVersion: v2\nname: gateway\nversion: {version}\n"))
            .unwrap();
        let chart =
            charts(dir).resolve(&ChartSource::directory(source), &">=0-0".parse().unwrap()).await.unwrap();
        archives.push(fs::read(chart.archive).unwrap());
    }
    archives
}

const VERSIONS: [&str; 12] = [
    "0.0.3",
    "0.2.3",
    "0.2.9",
    "1.0.0",
    "1.2.0",
    "1.2.3",
    "1.10.0",
    "1.11.0-rc.1",
    "2.0.0-rc.1",
    "2.0.0",
    "2.1.0-0",
    "3.0.0-alpha",
];

async fn ranges(helm: Helm) {
    let dir = tempfile::tempdir().unwrap();
    let mut repository = Repository::default();
    for (version, archive) in VERSIONS.iter().zip(archives(dir.path(), &VERSIONS).await) {
        repository.add("gateway", version, archive);
    }
    let repository = repository.serve().await;
    let charts = Charts::new(ChartsConfig::builder().cache(dir.path()).build()).unwrap();
    let home = dir.path().join("helm");
    for range in [
        "",
        "*",
        "x",
        "1",
        "1.x",
        "1.2",
        "1.2.x",
        "v1.2.3",
        "1.2.3",
        "=1.2",
        "~1",
        "~1.2",
        "~1.2.1",
        "~>1.2",
        "^1.2",
        "^0.2",
        "^0.2.4",
        "^0.0.3",
        "^0",
        "^2.0.0-0",
        ">1",
        ">1.2",
        ">=1.2 <2",
        ">=1.2, <1.3",
        ">= 1.2 < 1.10",
        "<1",
        "<=1.2",
        "<=1",
        "!=2.0.0",
        "!=2",
        "1.0 - 1.2",
        "1.0.0 - 1.2.0",
        "^1 || ^2",
        "0.x || 1.0.0",
        ">=1-0",
        ">0.0.0-0",
        "^3",
        "^4",
        "2.0.0-rc.1",
        "~2.0.0-rc.0",
        "<2.0.0-rc.2 >1.10.0",
        "1.2.3.4",
        "newest",
        ">=",
        "1 ||",
    ] {
        let done = Command::new(&helm.program)
            .args([
                "show",
                "chart",
                "gateway",
                "--repo",
                repository.url("").trim_end_matches('/'),
                "--version",
                range,
            ])
            .env("HELM_CACHE_HOME", home.join("cache"))
            .env("HELM_CONFIG_HOME", home.join("config"))
            .env("HELM_DATA_HOME", home.join("data"))
            .output()
            .await
            .unwrap();
        let shown = String::from_utf8_lossy(&done.stdout).into_owned();
        let theirs = shown.lines().find_map(|line| line.strip_prefix("version: ")).map(str::to_owned);
        let ours = match range.parse() {
            Ok(parsed) => charts.resolve(&repository.url("gateway").parse().unwrap(), &parsed).await.ok(),
            Err(_) => None,
        };
        assert_eq!(
            ours.map(|chart| chart.version),
            theirs,
            "{range:?} {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

/// Shows that the registry of the tests is not made for what it tests.
async fn registry(helm: Helm) {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = Registry::default();
    for (version, archive) in ["1.2.0", "1.10.0"].iter().zip(archives(dir.path(), &["1.2.0", "1.10.0"]).await)
    {
        registry.push("charts/gateway", version, &archive);
    }
    let registry = registry.serve().await;
    let done = Command::new(&helm.program)
        .args(["show", "chart", "--plain-http", &registry.url("charts/gateway"), "--version", "^1"])
        .env("HELM_CACHE_HOME", dir.path().join("cache"))
        .env("HELM_CONFIG_HOME", dir.path().join("config"))
        .env("HELM_DATA_HOME", dir.path().join("data"))
        .output()
        .await
        .unwrap();
    let shown = String::from_utf8_lossy(&done.stdout);
    assert!(shown.contains("version: 1.10.0"), "{shown} {}", String::from_utf8_lossy(&done.stderr));
}
