//! The behaviour suite of core, on a fake of each release.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{OnServer, Place, World, start};
use iotorch_core::testing::{
    self, Failures,
    domain::{Subject, trials},
};
use iotorch_mainflux_fake::Release;

async fn behaves(release: Release) -> Result<(), Failures> {
    let make = move || {
        Box::pin(async move {
            let fake = start(release).await;
            let world = World::new(Place::of(&fake, release), "greenhouse").await;
            Ok(Box::new(OnServer { world, fake: Some((fake, release)) }) as Box<dyn Subject>)
        }) as _
    };
    testing::run(trials([], make)).await
}

#[tokio::test]
async fn mainflux_0_12_behaves() -> Result<(), Failures> {
    behaves(Release::Mainflux012).await
}

#[tokio::test]
async fn mainflux_0_13_behaves() -> Result<(), Failures> {
    behaves(Release::Mainflux013).await
}

#[tokio::test]
async fn supermq_0_17_behaves() -> Result<(), Failures> {
    behaves(Release::SuperMq017).await
}

#[tokio::test]
async fn supermq_0_19_behaves() -> Result<(), Failures> {
    behaves(Release::SuperMq019).await
}

#[tokio::test]
async fn magistrala_0_30_behaves() -> Result<(), Failures> {
    behaves(Release::Magistrala030).await
}
