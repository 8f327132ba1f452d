//! The tools that checks need beside cargo itself, at pinned versions, in a folder of their own.

use std::path::PathBuf;

use crate::command_line::CommandLine;
use crate::environment;
use crate::failure::Failure;
use crate::terminal;

/// A cargo plugin from crates.io.
#[derive(Debug)]
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
}

pub(crate) const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };
pub(crate) const CARGO_MACHETE: Tool = Tool { name: "cargo-machete", version: "0.9.2" };

impl Tool {
    /// A command line of this tool, which is installed first where it is missing.
    pub(crate) fn command(&self) -> Result<CommandLine, Failure> {
        // A folder for each version: what is there is right, and clones that pin others do not disturb each other.
        let folder =
            environment::cache_folder()?.join("tools").join(format!("{}-{}", self.name, self.version));
        let program = folder.join("bin").join(self.name);
        if !program.is_file() {
            terminal::note(&format!(
                "installing {} {}: this takes some minutes, once",
                self.name, self.version
            ));
            self.install(folder)?;
        }
        Ok(CommandLine::new(program))
    }

    fn install(&self, folder: PathBuf) -> Result<(), Failure> {
        CommandLine::new("cargo")
            // A caller's folder would keep the tool's intermediate files for good.
            .without_env("CARGO_TARGET_DIR")
            .without_env("CARGO_BUILD_TARGET_DIR")
            .without_env("CARGO_BUILD_BUILD_DIR")
            // These tools run for seconds, so time spent on optimising them is never won back.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .args(["install", "--locked", "--root"])
            .arg(folder)
            .arg(format!("{}@{}", self.name, self.version))
            .run()
    }
}

/// Makes sure that the toolchain in use has a component, such as `clippy`, whose cargo subcommand is given.
pub(crate) fn component(name: &str, subcommand: &str) -> Result<(), Failure> {
    if CommandLine::new("cargo").args([subcommand, "--version"]).answers() {
        return Ok(());
    }
    CommandLine::new("rustup").args(["component", "add", name]).run()
}
