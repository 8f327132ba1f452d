//! `test`: runs the tests and ends with one line that counts them.

mod clusters;
mod tally;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::build_dir::BuildDir;
use crate::cli::TestOptions;
use crate::failure::Failure;
use crate::systems::{self, Required};
use crate::terminal;

use self::clusters::Clusters;
use self::tally::Tally;

pub(crate) fn run(build: &BuildDir, options: &TestOptions) -> Result<ExitCode, Failure> {
    let required = Required::choose();
    systems::provide(&required)?;
    let clusters = Clusters::provide(build, &required, &options.packages)?;
    // Every test program runs even if one fails, so that the count covers them all.
    let mut command = build
        .cargo("test")
        .env("IOTORCH_REQUIRE", required.as_str())
        .args(["--all-features", "--no-fail-fast"])
        .args(options.packages.iter().flat_map(|package| ["--package", package]));
    for (name, value) in clusters.variables() {
        command = command.env(name, value);
    }
    if options.packages.is_empty() {
        command = command.arg("--workspace");
    }
    if !options.arguments.is_empty() {
        command = command.arg("--").args(&options.arguments);
    }

    let mut tally = Tally::default();
    let mut stdout = io::stdout().lock();
    let succeeded = command.stream(|line| {
        tally.read(line);
        stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).map_err(not_written)
    });
    // Nothing that goes wrong here keeps the summary from being the last line.
    let taken_down = clusters.down();
    for failure in succeeded.as_ref().err().into_iter().chain(taken_down.as_ref().err()) {
        terminal::failure(failure);
    }
    let summary = tally.finish(succeeded.unwrap_or(false));
    for problem in &summary.problems {
        terminal::warning(problem);
    }
    writeln!(stdout, "{summary}").map_err(not_written)?;
    Ok(if summary.has_failed() || taken_down.is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn not_written(error: io::Error) -> Failure {
    Failure::new("cannot write to standard output").with_source(error)
}
