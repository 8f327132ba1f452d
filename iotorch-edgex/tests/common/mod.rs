//! Gateways to test with: the services of EdgeX, a broker and a bridge beside them, and a proxy in front of each.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

pub mod broker;
pub mod proxy;
pub mod subject;
pub mod world;

use std::env;

use libtest_mimic::{Failed, Trial};
use tokio::runtime::Runtime;

/// A variable of the environment, if it says something.
#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what there is")]
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether this system must be there, as CONTRIBUTING.md says: `all` has none that has to be brought up by hand, as EdgeX has.
pub fn is_required(system: &str) -> bool {
    let required = variable("IOTORCH_REQUIRE").unwrap_or_default();
    let mut words = required.split(',').map(str::trim);
    words.any(|word| word == system || (word == "all" && system != "edgex"))
}

/// A trial that is ignored, with the reason, where what it needs is absent and need not be there.
pub fn trial(
    absent: Option<&'static str>,
    name: impl Into<String>,
    body: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let kind = absent.map_or_else(|| "edgex".to_owned(), |absent| format!("{absent} is absent"));
    let is_ignored = absent.is_some_and(|absent| !is_required(absent));
    let trial = Trial::test(name, move || match absent {
        Some(absent) => Err(format!("{absent} is absent").into()),
        None => body(),
    });
    trial.with_kind(kind).with_ignored_flag(is_ignored)
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
