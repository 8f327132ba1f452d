//! `bench`: runs the benchmarks and shows each measurement beside its goal.

mod measurement;

use crate::build_dir::BuildDir;
use crate::cli::BenchOptions;
use crate::command_line::CommandLine;
use crate::failure::Failure;
use crate::terminal;
use crate::workspace;

use self::measurement::{Measurement, table};

/// The crate whose `[[bench]]` targets are the benchmarks.
const CRATE: &str = "iotorch-benches";

pub(crate) fn run(build: &BuildDir, options: &BenchOptions) -> Result<(), Failure> {
    let known = known()?;
    let names = chosen(&known, &options.names)?;
    let mut measurements = Vec::new();
    let result = names.iter().try_for_each(|name| {
        let command = build.cargo("bench").args(["--locked", "--package", CRATE, "--bench", name]);
        measure(name, command, |line, measurement| {
            if options.json {
                terminal::print(line)?;
            }
            measurements.push(measurement);
            Ok(())
        })
    });
    // Also when a later benchmark failed: what was measured is worth minutes.
    if !options.json && !measurements.is_empty() {
        terminal::print(&table(&measurements))?;
        let missed = measurements.iter().filter(|measurement| measurement.misses_its_goal()).count();
        terminal::note(&format!("{} measured, {missed} missed their goal", measurements.len()));
    }
    result
}

fn known() -> Result<Vec<String>, Failure> {
    let benches = workspace::packages()?.into_iter().find(|package| package.name == CRATE);
    Ok(benches.map(|package| package.benches).unwrap_or_default())
}

/// The benchmarks to run: those asked for, or all.
fn chosen<'a>(known: &'a [String], asked: &'a [String]) -> Result<&'a [String], Failure> {
    let names = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    if let Some(unknown) = asked.iter().find(|name| !known.contains(name)) {
        return Err(Failure::new(format!("cannot find the benchmark \"{unknown}\""))
            .with_help(format!("there are: {names}")));
    }
    if known.is_empty() {
        return Err(Failure::new(format!("cannot find any benchmark in the crate \"{CRATE}\""))
            .with_help("a benchmark is a [[bench]] target with harness = false"));
    }
    Ok(if asked.is_empty() { known } else { asked })
}

fn measure(
    name: &str,
    command: CommandLine,
    mut take: impl FnMut(&str, Measurement) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let succeeded = command.stream(|line| {
        if line.trim().is_empty() {
            return Ok(());
        }
        let measurement = Measurement::parse(line).map_err(|cause| {
            Failure::new(format!(
                "cannot read a measurement of benchmark \"{name}\" from: {}",
                line.trim_end()
            ))
            .with_source(cause)
        })?;
        take(line, measurement)
    })?;
    if succeeded { Ok(()) } else { Err(Failure::new(format!("the benchmark \"{name}\" failed"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_benchmarks_run_unless_some_are_asked_for() {
        let known = names(&["plan", "saga"]);
        assert_eq!(chosen(&known, &[]).unwrap(), known);
        assert_eq!(chosen(&known, &names(&["saga"])).unwrap(), ["saga"]);
    }

    #[test]
    fn an_unknown_benchmark_is_refused_with_the_names_there_are() {
        let failure = chosen(&names(&["plan", "saga"]), &names(&["plam"])).unwrap_err();
        assert_eq!(failure.to_string(), "cannot find the benchmark \"plam\"");
        assert_eq!(failure.help(), Some("there are: plan, saga"));
    }

    #[test]
    fn a_line_that_is_no_measurement_is_shown_with_its_benchmark() {
        let command = CommandLine::new("echo").arg("warming up");
        let failure = measure("plan", command, |_, _| Ok(())).unwrap_err();
        assert_eq!(failure.to_string(), "cannot read a measurement of benchmark \"plan\" from: warming up");
    }

    #[test]
    fn a_benchmark_that_exits_with_an_error_fails_the_command() {
        let failure = measure("plan", CommandLine::new("false"), |_, _| Ok(())).unwrap_err();
        assert_eq!(failure.to_string(), "the benchmark \"plan\" failed");
    }
}
