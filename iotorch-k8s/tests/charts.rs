//! The charts that come with iotorch, looked at by both versions of `helm` (`IOTORCH_HELM3`, `IOTORCH_HELM4`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

use libtest_mimic::{Arguments, Trial};

const CHARTS: [&str; 2] = ["iotorch-gateway", "iotorch-server"];

const HELMS: [(&str, &str); 2] = [("helm3", "IOTORCH_HELM3"), ("helm4", "IOTORCH_HELM4")];

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for (version, variable) in HELMS {
        let helm = program(variable);
        let is_ignored = helm.is_none() && !is_required(version);
        let mut trial = |name: String, test: fn(&Helm, &str), chart: &'static str| {
            let helm = helm.clone();
            let trial = Trial::test(name, move || {
                test(&Helm(helm.ok_or("it is absent")?), chart);
                Ok(())
            });
            trials.push(trial.with_kind(version).with_ignored_flag(is_ignored));
        };
        for chart in CHARTS {
            trial(format!("{chart}_passes_a_strict_lint"), lint, chart);
            trial(format!("{chart}_refuses_values_that_it_does_not_have"), refusals, chart);
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what there is")]
fn program(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Whether this system must be there, as CONTRIBUTING.md says.
#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what must be there")]
fn is_required(system: &str) -> bool {
    let required = env::var("IOTORCH_REQUIRE").unwrap_or_default();
    required.split(',').any(|word| ["all", system].contains(&word.trim()))
}

/// A `helm`.
struct Helm(PathBuf);

impl Helm {
    fn run(&self, verb: &[&str], chart: &str, values: &[&str]) -> Output {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts").join(chart);
        let mut helm = Command::new(&self.0);
        helm.args(verb).arg(folder).args(values.iter().flat_map(|value| ["--set", value]));
        helm.output().unwrap()
    }
}

fn lint(helm: &Helm, chart: &str) {
    let output = helm.run(&["lint", "--strict"], chart, &["adminSecret.name=token"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn refusals(helm: &Helm, chart: &str) {
    for (values, fault) in [
        (&["adminSecret.name=token", "image.pullPolicy=Sometimes"][..], "pullPolicy"),
        (&["adminSecret.name=token", "imagee.tag=1"], "imagee"),
        (&[], "adminSecret"),
    ] {
        let output = helm.run(&["template", "gw"], chart, values);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(fault), "{values:?}: {told}");
    }
}
