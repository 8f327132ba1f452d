//! Whether documents can be done with the drivers of this command, each fault at its place in a file.

use std::{path::Path, sync::Arc};

use iotorch_core::{
    Drivers, Engine, Error, Intent, Place,
    declared::DeclaredDriver,
    model::{DocumentKey, Documents, Infrastructure, Problems},
    plan::Finding,
    secret::MemorySecretStore,
    store::MemoryStore,
};
use iotorch_edgex::EdgexDriver;
use iotorch_lite::{LiteDriver, LocalDriver, LocalHost};
use iotorch_mainflux::MainfluxDriver;
use tempfile::TempDir;

use crate::{
    clusters::{Charts, Clusters},
    failure::{Result, cannot},
};

/// The drivers of this command, and what finds charts; the infrastructure `local` is on `host`, and what clusters need is kept in
/// `folder`.
pub(crate) fn drivers(
    host: Arc<LocalHost>,
    clusters: &Clusters,
    folder: &Path,
) -> Result<(Drivers, Charts), Error> {
    let drivers = Drivers::default().with(DeclaredDriver).with(LocalDriver::new(host));
    let drivers = drivers.with(LiteDriver).with(EdgexDriver).with(MainfluxDriver);
    clusters.join(drivers, folder)
}

/// The drivers, with an infrastructure `local` that hosts nothing, in a directory that has to outlive them: the real one has its
/// host already, which may be another process.
fn unhosted(clusters: &Clusters) -> Result<(TempDir, Drivers), Error> {
    let nowhere = tempfile::tempdir().map_err(|error| cannot("make a temporary directory", error))?;
    let host = LocalHost::open(nowhere.path().join("local"), Arc::new(MemorySecretStore::default()))?;
    let (drivers, _) = drivers(host, clusters, &nowhere.path().join("clusters"))?;
    Ok((nowhere, drivers))
}

/// What an infrastructure is as a place, seen from this process.
pub(crate) fn place(infrastructure: &Infrastructure, clusters: &Clusters) -> Result<Arc<dyn Place>, Error> {
    let (_nowhere, drivers) = unhosted(clusters)?;
    drivers.find(&infrastructure.spec.driver)?.place(infrastructure)
}

/// Checks documents together with the infrastructures that are known already. Nothing is opened or asked: the process that holds
/// the state may be another one.
pub(crate) async fn check(documents: &Documents, known: Vec<Infrastructure>) -> Result<()> {
    let (_nowhere, drivers) = unhosted(&Clusters::default())?;
    let names = known.iter().map(|place| place.name.clone()).collect();
    documents.check(&drivers, &names)?;

    let engine = Engine::builder()
        .store(Arc::new(MemoryStore::new()))
        .secrets(Arc::new(MemorySecretStore::default()))
        .drivers(drivers)
        .build();
    let is_new = |place: &Infrastructure| documents.infrastructures().all(|other| other.name != place.name);
    let intent = Intent {
        infrastructures: documents
            .infrastructures()
            .cloned()
            .chain(known.into_iter().filter(is_new))
            .collect(),
        slices: documents.slices().cloned().collect(),
        ..Intent::default()
    };
    let findings = engine.findings(&intent).await?;
    match Problems::of(findings.iter().filter_map(|finding| located(documents, finding))) {
        Some(problems) => Err(problems.into()),
        None => Ok(()),
    }
}

fn located(documents: &Documents, finding: &Finding) -> Option<iotorch_core::model::Problem> {
    let Finding { slice, pointer, issue, .. } = finding;
    documents.problem(&DocumentKey::Slice(slice.clone()), pointer, issue.message.clone(), issue.help.clone())
}

#[cfg(test)]
mod tests {
    use iotorch_core::model::Source;

    use super::*;
    use crate::{failure::Failure, render::problems::problems, screen::Ink};

    async fn faults(text: &str) -> String {
        let documents = Documents::read(vec![Source::new("slice.yaml", text)]).unwrap();
        match check(&documents, Vec::new()).await {
            Err(Failure::Problems(found)) => problems(&found, Ink::Plain),
            other => panic!("{other:?}"),
        }
    }

    const DESK: &str = "apiVersion: iotorch.dev/v1alpha1
kind: Infrastructure
metadata: { name: desk }
spec: { driver: local, tier: edge }
---
apiVersion: iotorch.dev/v1alpha1
kind: Slice
metadata: { name: greenhouse }
spec:
";

    #[tokio::test]
    async fn what_a_driver_cannot_do_is_shown_at_its_place() {
        insta::assert_snapshot!(
            faults(&format!(
                "{DESK}  gateways:
    - name: gw
      placement: {{ infrastructure: desk }}
      settings: {{ mqttPort: 1883, managementPort: 1883 }}
  servers:
    - name: hub
      placement: {{ infrastructure: desk }}
      settings: {{ packetLimit: 2000 }}
"
            ))
            .await
        );
    }

    #[tokio::test]
    async fn a_driver_that_is_not_there_is_shown_with_those_that_are() {
        insta::assert_snapshot!(
            faults(&DESK.replace("driver: local", "driver: locl").replace(
                "spec:\n",
                "spec: { gateways: [ { name: gw, application: chirpstack, placement: { infrastructure: desk } } ] }\n"
            ))
            .await
        );
    }
}
