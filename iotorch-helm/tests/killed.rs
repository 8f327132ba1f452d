//! A process that is killed while its helm is at work: helm goes on, and whoever comes next is told so.
//!
//! The test starts its own program again, with a folder as argument, as the process to be killed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use iotorch_helm::{ClusterAccess, ErrorKind, HelmEngine, Install, Release, ReleaseStatus, Uninstall};
use libtest_mimic::{Arguments, Trial};
use serde_json::json;
use std::{
    env,
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().collect();
    if let [_, role, folder, program, kubeconfig, context] = arguments.as_slice()
        && role == "install"
    {
        let access = (PathBuf::from(kubeconfig), (!context.is_empty()).then(|| context.clone()));
        run(install(Path::new(folder), Path::new(program), access));
        return ExitCode::SUCCESS;
    }
    let mut trials = vec![Trial::test("the_lock_of_a_release_is_held_until_its_helm_has_ended", || {
        run(held());
        Ok(())
    })];
    for helm in helms() {
        let test = "a_hook_goes_on_when_the_process_that_installs_is_killed";
        trials.push(common::trial(test, &helm, |helm, cluster| run(hooked(helm, cluster))));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// What the process does that is killed.
async fn install(folder: &Path, program: &Path, cluster: (PathBuf, Option<String>)) {
    let helm = open(program, access(&cluster), folder).await.unwrap();
    let chart = packed("gateway", folder).await;
    let release = fs::read_to_string(folder.join("release")).unwrap();
    let (name, namespace) = release.split_once(' ').unwrap();
    let install = Install::builder().release(common::release(name, namespace)).chart(chart);
    let install = install.values(values(json!({ "hook": true, "data": { "word": "hunter2" } }))).build();
    let call = iotorch_helm::Call::within(Duration::from_secs(20));
    // It never gets there, or is too late to be of interest.
    drop(helm.install(&call, &install).await);
}

/// Starts that process.
fn start(
    folder: &Path,
    program: &Path,
    (kubeconfig, context): &(PathBuf, Option<String>),
    release: &Release,
) -> Child {
    fs::write(folder.join("release"), format!("{} {}", release.name, release.namespace)).unwrap();
    Command::new(env::current_exe().unwrap())
        .arg("install")
        .args([folder, program, kubeconfig])
        .arg(context.as_deref().unwrap_or_default())
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

fn lock_of(folder: &Path, release: &Release) -> PathBuf {
    folder.join("locks").join(release.namespace.as_str()).join(release.name.as_str()).join("lock")
}

/// Waits until nobody holds it.
async fn released(lock: PathBuf) {
    let wait = tokio::task::spawn_blocking(move || File::open(lock).unwrap().lock().unwrap());
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap().unwrap();
}

/// Pipes that have names. Whoever still waits for one goes on when they are dropped, also when the test has failed.
struct Pipes<'a>(&'a Path);

const PIPES: [&str; 2] = ["begun", "end"];

impl<'a> Pipes<'a> {
    fn make(folder: &'a Path) -> Self {
        for pipe in PIPES {
            assert!(Command::new("mkfifo").arg(folder.join(pipe)).status().unwrap().success());
        }
        Self(folder)
    }
}

impl Drop for Pipes<'_> {
    fn drop(&mut self) {
        for pipe in PIPES {
            // Open for both, it waits for nobody (`man 7 fifo`).
            let both = File::options().read(true).write(true).open(self.0.join(pipe));
            drop(both.and_then(|mut pipe| pipe.write_all(b"end\n")));
        }
    }
}

/// With a helm that begins and ends when it is told to, by pipes that have names.
async fn held() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let _pipes = Pipes::make(folder);
    let at = folder.display();
    // Some words in between show that nobody has to listen.
    let body = format!(
        "echo begun > '{at}/begun'; read word < '{at}/end'; echo $word; echo $word >&2; touch '{at}/ended'"
    );
    let program = fake_helm(folder, "v4.1.0", &body);
    let release = release("gw", "space");
    let cluster = (PathBuf::from("/no/such/kubeconfig"), None);
    let mut process = start(folder, &program, &cluster, &release);
    let pipe = folder.join("begun");
    tokio::task::spawn_blocking(|| File::open(pipe).unwrap().read_to_string(&mut String::new()).unwrap())
        .await
        .unwrap();

    let helm = open(&program, ClusterAccess::kubeconfig("/no/such/kubeconfig"), folder).await.unwrap();
    assert!(!helm.is_idle(&release).await.unwrap(), "its process is there");
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(!helm.is_idle(&release).await.unwrap(), "its process is gone, helm is not");
    let remove = Uninstall::builder().release(release.clone()).build();
    let error = helm.uninstall(&call(), &remove).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(chain(&error).matches("an earlier helm is still at work on it").count(), 1);
    let values = lock_of(folder, &release).with_file_name("values.json");
    assert!(fs::read_to_string(&values).unwrap().contains("hunter2"), "helm may not have read it yet");
    assert!(helm.is_idle(&common::release("gw", "elsewhere")).await.unwrap());

    fs::write(folder.join("end"), "end\n").unwrap();
    released(lock_of(folder, &release)).await;
    assert!(folder.join("ended").exists(), "helm has ended by itself");
    assert!(helm.is_idle(&release).await.unwrap());
    open(&program, ClusterAccess::kubeconfig("/no/such/kubeconfig"), folder).await.unwrap();
    assert!(!values.exists(), "what was left behind is removed");
}

/// With the real helm, and a hook that nobody carries out.
async fn hooked(helm: Helm, cluster: (PathBuf, Option<String>)) {
    let namespace = Namespace::make(&helm, &cluster).await;
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&helm.program, access(&cluster), dir.path()).await.unwrap();
    let release = release("hooked", namespace.name());
    let mut process = start(dir.path(), &helm.program, &cluster, &release);
    namespace.until_pending(&engine, &release).await;
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(!engine.is_idle(&release).await.unwrap(), "helm waits for its hook");
    let remove = Uninstall::builder().release(release.clone()).build();
    assert_eq!(engine.uninstall(&call(), &remove).await.unwrap_err().kind(), ErrorKind::Busy);

    released(lock_of(dir.path(), &release)).await;
    assert!(engine.is_idle(&release).await.unwrap());
    // It ended as helm ends when a hook takes too long.
    let state = engine.status(&call(), &release).await.unwrap();
    assert_eq!(state.revision.status, ReleaseStatus::Failed, "{}", state.revision.description);
    engine.uninstall(&call(), &remove).await.unwrap();
}
