//! The behaviour suite of core, on services of EdgeX that run already.
//!
//! `IOTORCH_EDGEX_URL` is where core-metadata is, such as `http://127.0.0.1:59881`; the other services are looked for at the same host and
//! their usual ports, unless `IOTORCH_EDGEX_ENDPOINTS` says otherwise (`command=HOST:PORT,keeper=HOST:PORT`; an empty address leaves one out).
//! Without the first all is ignored, with the reason; `IOTORCH_REQUIRE=edgex` makes that a failure. The broker of the devices and
//! the bridge are started beside: what EdgeX itself has as its bus is left alone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{collections::BTreeMap, process::ExitCode};

use common::{
    runtime,
    subject::{Exporter, OnGateway, Services, absent},
    variable,
};
use iotorch_core::testing::domain::{Subject, trials};
use libtest_mimic::{Arguments, Trial};

/// The usual ports of 4.0.
const PORTS: [(&str, u16); 5] = [
    ("command", 59882),
    ("keeper", 59890),
    ("device-mqtt", 59982),
    ("device-rest", 59986),
    ("app-mqtt-export", 59703),
];

/// Where the services are, if the environment says so.
fn services() -> Option<BTreeMap<String, String>> {
    let url = variable("IOTORCH_EDGEX_URL")?;
    let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host).to_owned();
    let metadata = if address.contains(':') { address } else { format!("{host}:59881") };
    let mut services: BTreeMap<_, _> =
        PORTS.iter().map(|(name, port)| ((*name).to_owned(), format!("{host}:{port}"))).collect();
    services.insert("metadata".to_owned(), metadata);
    for said in variable("IOTORCH_EDGEX_ENDPOINTS").unwrap_or_default().split(',') {
        if let Some((name, address)) = said.split_once('=') {
            services.insert(name.trim().to_owned(), address.trim().to_owned());
        }
    }
    services.retain(|_, address| !address.is_empty());
    Some(services)
}

fn of(name: &'static str, exporter: Exporter) -> impl Iterator<Item = Trial> {
    let there = services();
    let missing = if there.is_none() { Some("edgex") } else { absent() };
    let make = move || {
        let there = there.clone().unwrap_or_default();
        Box::pin(async move {
            let subject = OnGateway::new(Services::Real(there), exporter).await?;
            Ok(Box::new(subject) as Box<dyn Subject>)
        }) as _
    };
    trials([], make).into_iter().map(move |trial| {
        let name = format!("{name}::{}", trial.name().replace(' ', "_"));
        common::trial(missing, name, move || {
            runtime().block_on(trial.run()).map_err(|failure| failure.to_string().into())
        })
    })
}

fn main() -> ExitCode {
    // A real application service has one pipeline, so what works on it does not run beside itself.
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = of("bridge", Exporter::Bridge).chain(of("edgex", Exporter::Edgex));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
