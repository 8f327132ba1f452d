//! The testbed's own programs, which are in Go and have tests beside their code.
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let absent = !is_required("kubernetes") && Command::new("go").arg("version").output().is_err();
    let trial = |name: &str, test: fn() -> Result<(), Failed>| {
        let trial = Trial::test(name, test).with_ignored_flag(absent);
        trial.with_kind(if absent { "there is no program \"go\"" } else { "go" })
    };
    let trials = vec![
        trial("our_own_programs_pass_their_tests", || go("go", &["test", "./..."]).map(drop)),
        trial("our_own_programs_pass_the_checks_of_go", || go("go", &["vet", "./..."]).map(drop)),
        trial("our_own_programs_are_formatted", || match go("gofmt", &["-l", "."])?.as_str() {
            "" => Ok(()),
            files => Err(format!("gofmt would change:\n{files}").into()),
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Whether this system must be there, as CONTRIBUTING.md says.
#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what must be there")]
fn is_required(system: &str) -> bool {
    let required = env::var("IOTORCH_REQUIRE").unwrap_or_default();
    required.split(',').any(|word| ["all", system].contains(&word.trim()))
}

/// Runs a program of Go on the module, and gives what it printed.
fn go(program: &str, arguments: &[&str]) -> Result<String, Failed> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("go/parts");
    let output = Command::new(program).args(arguments).current_dir(module).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr)).into())
}
