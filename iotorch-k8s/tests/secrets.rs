//! The suite of secret stores, on a cluster in memory and, where there is one, on a real cluster.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod fake;

use std::{process::ExitCode, sync::Arc};

use common::{System, paused, runtime};
use iotorch_core::{
    secret::SecretStore,
    testing::{Trial, secret::trials},
};
use iotorch_k8s::KubernetesSecretStore;
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use libtest_mimic::{Arguments, Failed};

fn main() -> ExitCode {
    let system = System::find();
    let names: Vec<String> = {
        // Nothing is made to list them.
        let suite = trials(|| unreachable!("a list of trials makes nothing"));
        suite.iter().map(|trial| trial.name().replace(' ', "_")).collect()
    };
    let on_fake = names.iter().enumerate().map(|(index, name)| {
        libtest_mimic::Trial::test(format!("fake::{name}"), move || {
            paused().block_on(async {
                let cluster = fake::Cluster::start();
                told(suite(&cluster.client(), "default").swap_remove(index).run().await)
            })
        })
    });
    let on_cluster = names.iter().enumerate().map(|(index, name)| {
        common::trial(&system, name, move |system| runtime().block_on(on_cluster(&system, index)))
    });
    let trials = on_fake.chain(on_cluster).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The trials of a store in a namespace that is empty.
fn suite(client: &Client, namespace: &str) -> Vec<Trial> {
    let (client, namespace) = (client.clone(), namespace.to_owned());
    trials(move || {
        let store = KubernetesSecretStore::new(client.clone(), &namespace);
        Box::pin(async move { Arc::new(store) as Arc<dyn SecretStore> })
    })
}

/// Runs a trial in a namespace of its own.
async fn on_cluster(system: &System, index: usize) -> Result<(), Failed> {
    let client = system.client().await;
    let name = format!("secrets-{}-{index}", std::process::id());
    let namespaces = Api::<Namespace>::all(client.clone());
    let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let outcome = suite(&client, &name).swap_remove(index).run().await;
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
    told(outcome)
}

fn told(outcome: iotorch_core::testing::Outcome) -> Result<(), Failed> {
    outcome.map_err(|failure| failure.to_string().into())
}
