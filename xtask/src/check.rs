//! `check`: what must hold before a change is merged, beside the tests.

mod packages;

use crate::build_dir::BuildDir;
use crate::command_line::CommandLine;
use crate::failure::Failure;
use crate::schema;
use crate::terminal;
use crate::tools::{self, CARGO_DENY, CARGO_MACHETE};

/// Runs every check, the quick ones first, up to the first that fails.
pub(crate) fn run(build: &BuildDir) -> Result<(), Failure> {
    format()?;
    unused_dependencies()?;
    dependencies()?;
    lints(build)?;
    docs(build)?;
    schema::check(build)?;
    packages::check(build)?;
    let advisories_were_checked = advisories()?;
    // Last, where it is seen: what could not be checked must not look like what passed.
    if advisories_were_checked {
        terminal::note("all checks passed");
    } else {
        terminal::warning("all checks passed but one: SECURITY ADVISORIES WERE NOT CHECKED");
    }
    Ok(())
}

fn format() -> Result<(), Failure> {
    tools::component("rustfmt", "fmt")?;
    CommandLine::new("cargo").args(["fmt", "--all", "--check"]).run()
}

fn unused_dependencies() -> Result<(), Failure> {
    CARGO_MACHETE.command()?.run()
}

fn dependencies() -> Result<(), Failure> {
    CARGO_DENY
        .command()?
        .args(["--workspace", "--all-features", "--locked", "check", "licenses", "bans", "sources"])
        .run()
}

/// Tells whether advisories could be checked: their database may be out of reach.
fn advisories() -> Result<bool, Failure> {
    if !CARGO_DENY.command()?.args(["fetch", "db"]).succeeds()? {
        terminal::warning("the database of security advisories cannot be fetched");
        return Ok(false);
    }
    CARGO_DENY.command()?.args(["--workspace", "--all-features", "--locked", "check", "advisories"]).run()?;
    Ok(true)
}

/// With the features that tests use, so that both share what is compiled of the dependencies; [`packages`] covers
/// the default ones.
fn lints(build: &BuildDir) -> Result<(), Failure> {
    tools::component("clippy", "clippy")?;
    build
        .cargo("clippy")
        .args(["--locked", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])
        .run()
}

fn docs(build: &BuildDir) -> Result<(), Failure> {
    build
        .cargo("doc")
        .env("RUSTDOCFLAGS", "-D warnings")
        .args(["--locked", "--workspace", "--all-features", "--no-deps"])
        .run()
}
