//! The behaviour suite of core on real services: those that `IOTORCH_MAINFLUX_URL` names, administered as `IOTORCH_MAINFLUX_ADMIN`.
//!
//! | `IOTORCH_MAINFLUX_URL` | means |
//! |---|---|
//! | `http://HOST` | the usual ports of Mainflux, or of SuperMQ and Magistrala, whichever answers |
//! | `http://HOST:PORT` | one port for all that speak HTTP, MQTT at 1883 |
//! | `users=HOST:PORT,things=HOST:PORT,…` | each service by the name of its endpoint |
//!
//! `IOTORCH_MAINFLUX_ADMIN` is `USER:PASSWORD`; without it `admin@example.com:12345678`. Where nothing is named the tests are ignored, unless
//! `IOTORCH_REQUIRE` has `mainflux` in it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{ADMIN, ADMIN_PASSWORD, OnServer, Place, World};
use iotorch_core::{
    resource::NetAddress,
    testing::domain::{Ability, Subject, trials},
};
use libtest_mimic::{Arguments, Failed, Trial};
use std::{
    env,
    net::{TcpStream, ToSocketAddrs},
    process::ExitCode,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// The usual ports of Mainflux.
const MAINFLUX: &[(&str, u16)] =
    &[("auth", 8189), ("users", 8180), ("things", 8182), ("http", 8185), ("reader", 8905), ("mqtt", 1883)];

/// The usual ports of SuperMQ and Magistrala.
const SUPERMQ: &[(&str, u16)] = &[
    ("auth", 9001),
    ("users", 9002),
    ("domains", 9003),
    ("groups", 9004),
    ("channels", 9005),
    ("clients", 9006),
    ("rules", 9008),
    ("reader", 9009),
    ("http", 8008),
    ("mqtt", 1883),
];

fn main() -> ExitCode {
    let place = place();
    let found = place.clone();
    let make = move || {
        let place = found.clone();
        Box::pin(async move {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            // A slice of its own: users stay, and the next run is not to meet those of this one.
            let started = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
            let slice = format!("live-{started}-{}-{number}", std::process::id());
            let world = World::new(place.unwrap(), &slice).await;
            Ok(Box::new(OnServer { world, fake: None }) as Box<dyn Subject>)
        }) as _
    };
    let is_required = is_required();
    let trials = trials([Ability::Outage], make).into_iter().map(|trial| {
        let name = trial.name().replace(' ', "_");
        let place = place.clone();
        let body = move || {
            place?;
            runtime().block_on(trial.run()).map_err(|failure| Failed::from(failure.to_string()))
        };
        let trial = Trial::test(name, body);
        match &self::place() {
            Ok(_) => trial.with_kind("mainflux"),
            Err(missing) => trial.with_kind(missing.clone()).with_ignored_flag(!is_required),
        }
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what must be there")]
fn is_required() -> bool {
    let required = env::var("IOTORCH_REQUIRE").unwrap_or_default();
    // What has to be brought up by hand is not among `all`.
    required.split(',').any(|word| word.trim() == "mainflux")
}

/// The services that the environment names, or why there are none.
#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what there is")]
fn place() -> Result<Place, String> {
    let named = env::var("IOTORCH_MAINFLUX_URL").ok().filter(|named| !named.is_empty());
    let named = named.ok_or("mainflux is absent: IOTORCH_MAINFLUX_URL names nothing")?;
    let admin = env::var("IOTORCH_MAINFLUX_ADMIN").unwrap_or_else(|_| format!("{ADMIN}:{ADMIN_PASSWORD}"));
    let at = |host: &str, port: u16| NetAddress { host: host.to_owned(), port, tls: false };
    let all = |host: &str, ports: &[(&str, u16)]| {
        let open = ports
            .iter()
            .filter(|(name, port)| !matches!(*name, "reader" | "rules" | "groups") || is_open(host, *port));
        open.map(|(name, port)| ((*name).to_owned(), at(host, *port))).collect()
    };
    let address = |text: &str| {
        let (host, port) = text.rsplit_once(':')?;
        Some(at(host, port.parse().ok()?))
    };
    let wrong = || format!("IOTORCH_MAINFLUX_URL is {named:?}, which cannot be read");
    let endpoints: std::collections::BTreeMap<String, NetAddress> = match named.strip_prefix("http://") {
        Some(rest) => {
            let rest = rest.trim_end_matches('/');
            match address(rest) {
                Some(api) => [("mqtt".to_owned(), at(&api.host, 1883)), ("api".to_owned(), api)].into(),
                None if is_open(rest, 8180) => all(rest, MAINFLUX),
                None => all(rest, SUPERMQ),
            }
        }
        None => {
            let named = named.split(',').map(|pair| {
                let (name, at) = pair.trim().split_once('=')?;
                Some((name.to_owned(), address(at)?))
            });
            named.collect::<Option<_>>().ok_or_else(wrong)?
        }
    };
    let is_mainflux = endpoints.contains_key("things");
    Ok(Place { endpoints, admin, is_mainflux })
}

fn is_open(host: &str, port: u16) -> bool {
    let addresses = (host, port).to_socket_addrs().into_iter().flatten();
    addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok())
}
