//! What tests share: charts, the programs of Helm, and a cluster.
#![allow(dead_code, reason = "not every test needs all of it")]

use iotorch_helm::{
    Call, ClusterAccess, ErrorKind, HelmBinary, HelmBinaryConfig, HelmEngine, Release, Values,
    chart::{ChartSource, Charts, ChartsConfig, ResolvedChart, VersionRange},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::{
    env,
    error::Error,
    future::Future,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tempfile::TempDir;
use tokio::process::Command;

/// The charts that tests use.
pub(crate) fn test_chart(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charts").join(name)
}

pub(crate) fn charts(cache: &Path) -> Charts {
    Charts::new(ChartsConfig::builder().cache(cache).build()).unwrap()
}

/// One of the test charts, packed.
pub(crate) async fn packed(name: &str, cache: &Path) -> ResolvedChart {
    let source = ChartSource::directory(test_chart(name));
    let range: VersionRange = ">=0-0".parse().unwrap();
    charts(cache).resolve(&source, &range).await.unwrap()
}

pub(crate) fn release(name: &str, namespace: &str) -> Release {
    Release { name: name.parse().unwrap(), namespace: namespace.parse().unwrap() }
}

pub(crate) fn values(json: Value) -> Values {
    Values::from(json.as_object().unwrap().clone())
}

/// More than enough.
pub(crate) fn call() -> Call {
    Call::within(Duration::from_secs(60))
}

/// An error with its causes.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut shown = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        shown.push_str(&format!(": {error}"));
        cause = error.source();
    }
    shown
}

/// A program of Helm.
#[derive(Clone, Debug)]
pub(crate) struct Helm {
    /// How it is called in `IOTORCH_REQUIRE`.
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
}

/// Both versions, each with why it is not there: `IOTORCH_HELM3` and `IOTORCH_HELM4` say where they are. Without either of them,
/// what is called `helm` on the search path stands for the version that it has.
pub(crate) fn helms() -> Vec<(&'static str, Option<Helm>)> {
    let named = [("helm3", "IOTORCH_HELM3", "v3."), ("helm4", "IOTORCH_HELM4", "v4.")];
    let is_named = named.iter().any(|(_, variable, _)| variable_of(variable).is_some());
    let found = if is_named { None } else { on_path("helm") };
    let version = found.as_ref().map(|program| version_of(program));
    let helm = |(name, variable, version_begins): (&'static str, &str, &str)| {
        let told = variable_of(variable).map(PathBuf::from);
        let fits =
            || found.clone().filter(|_| version.as_ref().is_some_and(|it| it.starts_with(version_begins)));
        (name, told.or_else(fits).map(|program| Helm { name, program }))
    };
    named.map(helm).into()
}

fn version_of(program: &Path) -> String {
    let output = std::process::Command::new(program).args(["version", "--template", "{{.Version}}"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// Whether this system must be there, as CONTRIBUTING.md says.
pub(crate) fn is_required(system: &str) -> bool {
    let required = variable_of("IOTORCH_REQUIRE").unwrap_or_default();
    required.split(',').any(|word| ["all", system].contains(&word.trim()))
}

/// A kubeconfig of a cluster for tests, and a context of it.
pub(crate) fn cluster() -> Option<(PathBuf, Option<String>)> {
    Some((variable_of("IOTORCH_KUBECONFIG")?.into(), variable_of("IOTORCH_CONTEXT")))
}

#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what there is")]
fn variable_of(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[allow(clippy::disallowed_methods, reason = "a test looks for the programs of this machine")]
fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|program| program.is_file())
}

/// A trial with a helm and a cluster, ignored with the reason where one of them is absent and need not be there.
pub(crate) fn trial(
    test: &str,
    (name, helm): &(&'static str, Option<Helm>),
    body: impl FnOnce(Helm, (PathBuf, Option<String>)) + Send + 'static,
) -> Trial {
    let found = helm.clone().ok_or(*name).and_then(|helm| Ok((helm, cluster().ok_or("kubernetes")?)));
    let missing = found.as_ref().err().copied();
    let is_ignored = missing.is_some_and(|missing| !is_required(missing));
    let kind = missing.map_or_else(|| (*name).to_owned(), |missing| format!("{missing} is absent"));
    let trial = Trial::test(test, move || {
        let (helm, cluster) = found.map_err(|missing| format!("{missing} is absent"))?;
        body(helm, cluster);
        Ok(())
    });
    trial.with_kind(kind).with_ignored_flag(is_ignored)
}

/// Access to the cluster for tests.
pub(crate) fn access((kubeconfig, context): &(PathBuf, Option<String>)) -> ClusterAccess {
    let access = ClusterAccess::kubeconfig(kubeconfig);
    match context {
        Some(context) => access.with_context(context),
        None => access,
    }
}

/// An engine, and the folder with all that it keeps.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) helm: HelmBinary,
}

impl World {
    pub(crate) async fn new(program: &Path, access: ClusterAccess) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let helm = open(program, access, dir.path()).await.unwrap();
        Self { dir, helm }
    }

    pub(crate) async fn chart(&self, name: &str) -> ResolvedChart {
        packed(name, self.dir.path()).await
    }
}

pub(crate) async fn open(
    program: &Path,
    access: ClusterAccess,
    folder: &Path,
) -> iotorch_helm::Result<HelmBinary> {
    let config = HelmBinaryConfig::builder()
        .program(program)
        .access(access)
        .locks(folder.join("locks"))
        .cache(folder.join("cache"))
        .build();
    HelmBinary::open(config).await
}

/// A program that says that it is a helm of this version, and otherwise does what `body` (of `sh`) says.
pub(crate) fn fake_helm(folder: &Path, version: &str, body: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("helm");
    let script =
        format!("#!/bin/sh\nif [ \"$1\" = version ]; then printf %s '{version}'; exit 0; fi\n{body}\n");
    // Renamed when it is complete, as what is being written cannot be run.
    let draft = folder.join("helm.new");
    std::fs::write(&draft, script).unwrap();
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::rename(&draft, &path).unwrap();
    path
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

/// A namespace for one test. It is made as a helm can make one, and removed as far as a cluster removes it.
pub(crate) struct Namespace {
    name: String,
    helm: Helm,
    cluster: (PathBuf, Option<String>),
}

impl Namespace {
    pub(crate) async fn make(helm: &Helm, cluster: &(PathBuf, Option<String>)) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("iotorch-{}-{}-{count}", helm.name, std::process::id());
        let namespace = Self { name, helm: helm.clone(), cluster: cluster.clone() };
        let object =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace.name } });
        let (chart, objects) = (test_chart("gateway"), format!("objects={}", json!([object])));
        // Kept in a namespace that every cluster has.
        let arguments = ["install", &*namespace.name, chart.to_str().unwrap(), "--set-json", &*objects];
        namespace.run(&arguments, "default").await.unwrap();
        namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs helm beside the engine.
    pub(crate) async fn run(&self, arguments: &[&str], namespace: &str) -> Result<String, String> {
        let output = self.command(arguments, namespace).output().await.unwrap();
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout).unwrap());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    pub(crate) fn command(&self, arguments: &[&str], namespace: &str) -> Command {
        let (kubeconfig, context) = &self.cluster;
        let mut command = Command::new(&self.helm.program);
        command.args(arguments).arg("--namespace").arg(namespace).arg("--kubeconfig").arg(kubeconfig);
        if let Some(context) = context {
            command.arg("--kube-context").arg(context);
        }
        command
    }

    /// Waits until a release is being installed.
    pub(crate) async fn until_pending(&self, engine: &HelmBinary, release: &Release) {
        let pending = async {
            loop {
                match engine.status(&call(), release).await {
                    Ok(state) if state.revision.status.is_pending() => break,
                    Ok(_) => tokio::task::yield_now().await,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{}", chain(&error)),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), pending).await.unwrap();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let (kubeconfig, context) = &self.cluster;
        let mut command = std::process::Command::new(&self.helm.program);
        command.args(["uninstall", &self.name, "--namespace", "default", "--kubeconfig"]).arg(kubeconfig);
        command.args(context.iter().flat_map(|context| ["--kube-context", context]));
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || std::thread::panicking(), "{told}");
    }
}
