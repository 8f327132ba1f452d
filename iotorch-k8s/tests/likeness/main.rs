//! The fake answers as a real API server does: the same questions are put to both, and the answers are compared, word by word where
//! that can be. Where there is no real cluster (`IOTORCH_KUBECONFIG`), the fake is held against the codes and reasons alone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../fake/mod.rs"]
mod fake;
mod scenes;
mod talk;

use std::process::ExitCode;

use common::{System, paused, runtime};
use fake::Image;
use futures::future::BoxFuture;
use kube::Client;
use libtest_mimic::{Arguments, Trial};

use self::talk::{Talk, compare};

/// Questions, and what the answers have to be.
type Scene = for<'a> fn(&'a mut Talk) -> BoxFuture<'a, ()>;

macro_rules! scenes {
    ($($name:ident),+ $(,)?) => {
        [$((stringify!($name), (|talk| Box::pin(scenes::$name(talk))) as Scene)),+]
    };
}

fn main() -> ExitCode {
    let system = System::find();
    let scenes = scenes![
        objects_are_made_changed_and_removed,
        what_is_wrong_is_refused,
        versions_and_preconditions_are_kept,
        fields_belong_to_who_applies_them,
        lists_are_selected_paged_and_cut_to_metadata,
        what_is_left_out_is_set,
        what_may_not_change_stays,
        quotas_refuse_pods,
        finalizers_hold_objects,
        namespaces_end_with_all_that_is_in_them,
        rights_that_are_missing_are_named,
        a_token_that_is_not_known_is_refused,
        watches_tell_what_enters_and_leaves_a_selection,
        what_belongs_to_what_is_gone_goes_too,
        a_deployment_becomes_ready,
        a_set_gets_its_claims_one_pod_after_the_other,
        pods_that_cannot_run_say_why,
        a_job_ends,
    ];
    let mut trials = Vec::new();
    for (number, (name, scene)) in scenes.into_iter().enumerate() {
        trials.push(Trial::test(format!("fake::{name}"), move || {
            paused().block_on(async { drop(on_fake(scene).await) });
            Ok(())
        }));
        trials.push(common::trial(&system, name, move |system| {
            let theirs = runtime().block_on(on_cluster(&system, scene, number));
            let ours = paused().block_on(on_fake(scene));
            compare(&ours, &theirs).map_err(Into::into)
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

async fn on_fake(scene: Scene) -> Talk {
    let cluster = fake::Cluster::start();
    cluster.image("iotorch.test/absent:1", Image::Absent);
    let log = "it is broken\n".to_owned();
    cluster.image("iotorch.test/busybox:1", Image::Crashes { log });
    let mut talk = Talk::new(cluster.client(), "likeness".to_owned(), Some(cluster));
    scene(&mut talk).await;
    talk
}

async fn on_cluster(system: &System, scene: Scene, number: usize) -> Talk {
    // Scenes at the same time have namespaces of their own.
    let space = format!("likeness-{}-{number}", std::process::id());
    let mut config = system.config().await;
    config.default_retry = false;
    let mut talk = Talk::new(Client::try_from(config.clone()).unwrap(), space, None);
    let mut tester = config.clone();
    tester.auth_info.impersonate = Some("tester".to_owned());
    talk.as_tester = Some(Client::try_from(tester).unwrap());
    let mut stranger = config;
    stranger.auth_info = kube::config::AuthInfo::default();
    stranger.auth_info.token = Some("wrong".to_owned().into());
    talk.as_stranger = Some(Client::try_from(stranger).unwrap());
    let outcome = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(scene(&mut talk))).await;
    talk.clean_up().await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
    talk
}
