//! `cargo xtask`: everything a developer of iotorch does, in one place.
//!
//! Every command prints the command lines it runs on standard error before it runs them, so each can be repeated by
//! hand, and stops at the first that fails. [`cli`] lists the commands; each has a module of its own.

mod bench;
mod build_dir;
mod check;
mod cli;
mod command_line;
mod dist;
mod environment;
mod failure;
mod image;
mod machine;
mod program;
mod schema;
mod systems;
mod terminal;
mod test;
mod testbed;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

use crate::build_dir::BuildDir;
use crate::cli::{Cli, Task};
use crate::failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match perform(&cli) {
        Ok(code) => code,
        Err(failure) => {
            terminal::failure(&failure);
            ExitCode::FAILURE
        }
    }
}

fn perform(cli: &Cli) -> Result<ExitCode, Failure> {
    let build = || BuildDir::choose(cli.here);
    match &cli.task {
        Task::Check => check::run(&build()?).map(|()| ExitCode::SUCCESS),
        Task::Test(options) => test::run(&build()?, options),
        Task::Bench(options) => bench::run(&build()?, options).map(|()| ExitCode::SUCCESS),
        Task::Dist(options) => dist::run(options).map(|()| ExitCode::SUCCESS),
        Task::Image(options) => {
            let images = image::run(&build()?, options)?;
            images.iter().try_for_each(|image| terminal::print(&image.path.display().to_string()))?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Schema { check: true } => schema::check(&build()?).map(|()| ExitCode::SUCCESS),
        Task::Schema { check: false } => schema::generate(&build()?).map(|()| ExitCode::SUCCESS),
        Task::Testbed(task) => testbed::run(task).map(|()| ExitCode::SUCCESS),
    }
}
