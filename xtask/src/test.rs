//! `test`: runs the tests and ends with one line that counts them.

mod tally;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::build_dir::BuildDir;
use crate::cli::TestOptions;
use crate::failure::Failure;
use crate::systems;
use crate::terminal;

use self::tally::Tally;

pub(crate) fn run(build: &BuildDir, options: &TestOptions) -> Result<ExitCode, Failure> {
    let required = systems::provide()?;
    // Every test program runs even if one fails, so that the count covers them all.
    let mut command = build
        .cargo("test")
        .env("IOTORCH_REQUIRE", required)
        .args(["--all-features", "--no-fail-fast"])
        .args(options.packages.iter().flat_map(|package| ["--package", package]));
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
    })?;
    let summary = tally.finish(succeeded);
    for problem in &summary.problems {
        terminal::warning(problem);
    }
    writeln!(stdout, "{summary}").map_err(not_written)?;
    Ok(if summary.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn not_written(error: io::Error) -> Failure {
    Failure::new("cannot write to standard output").with_source(error)
}
