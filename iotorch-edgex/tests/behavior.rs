//! The behaviour suite of core, on gateways of each generation that are played, with a real broker (mosquitto) and a real bridge.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::process::ExitCode;

use common::{
    runtime,
    subject::{Exporter, OnGateway, Services, absent},
};
use iotorch_core::testing::domain::{Ability, Subject, trials};
use iotorch_edgex_fake::Release;
use libtest_mimic::{Arguments, Trial};

fn of(name: &'static str, release: Release, exporter: Exporter) -> impl Iterator<Item = Trial> {
    let make = move || {
        Box::pin(async move {
            let subject = OnGateway::new(Services::Played(release), exporter).await?;
            Ok(Box::new(subject) as Box<dyn Subject>)
        }) as _
    };
    // What version 1 has could not be given back as it was, so it does not tell what that is like.
    let lacks = (release == Release::V1).then_some(Ability::Adoption);
    trials(lacks, make).into_iter().map(move |trial| {
        let name = format!("{name}::{}", trial.name().replace(' ', "_"));
        common::trial(absent(), name, move || {
            runtime().block_on(trial.run()).map_err(|failure| failure.to_string().into())
        })
    })
}

fn main() -> ExitCode {
    let trials = of("v4_bridge", Release::V4, Exporter::Bridge)
        .chain(of("v4_edgex", Release::V4, Exporter::Edgex))
        .chain(of("v3_1_bridge", Release::V3_1, Exporter::Bridge))
        .chain(of("v3_1_edgex", Release::V3_1, Exporter::Edgex))
        .chain(of("v1_bridge", Release::V1, Exporter::Bridge))
        .chain(of("v1_edgex", Release::V1, Exporter::Edgex));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}
