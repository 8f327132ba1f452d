//! The command line as it is typed.

use clap::{Args, Parser, Subcommand};

use crate::dist::Machine;

const ABOUT: &str = "\
Everything a developer of iotorch does.

Every command prints the command lines it runs, and stops at the first that fails.

Builds share one folder of intermediate files among all clones, so that a fresh clone is warm: \
$XDG_CACHE_HOME/iotorch/build, or ~/.cache/iotorch/build. Finished programs stay in the clone's own target folder, where intermediate files go too \
while another clone uses the shared one. CARGO_BUILD_BUILD_DIR or CARGO_TARGET_DIR, where set, take its place.";

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Everything a developer of iotorch does",
    long_about = ABOUT,
    after_help = "Examples:\n  \
        cargo xtask test                      all tests\n  \
        cargo xtask test -p iotorch-core      the tests of one crate\n  \
        cargo xtask check                     what must hold before a change is merged\n  \
        cargo xtask bench plan --json         one benchmark, a JSON object a line\n  \
        cargo xtask schema                    bring docs/schema and docs/reference.md up to date\n  \
        cargo xtask dist                      what is handed out, in target/dist"
)]
pub(crate) struct Cli {
    /// Build in this clone's own target folder instead of the one all clones share
    #[arg(long, global = true)]
    pub(crate) here: bool,

    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Check format, lints, docs, dependencies, packages and the schema
    #[command(after_help = "Runs rustfmt, clippy, rustdoc, cargo-machete, cargo-deny, cargo package and \
        `schema --check`. Warnings are errors. Missing tools are installed into $XDG_CACHE_HOME/iotorch/tools, \
        or ~/.cache/iotorch/tools.\n\nExamples:\n  cargo xtask check")]
    Check,

    /// Run the tests and print one summary line: `N passed, N failed, N skipped`
    #[command(
        after_help = "The real systems that tests need are installed where this is possible (root, apt-get). \
        Where one is still absent the command stops; IOTORCH_REQUIRE, a list of names with commas, narrows what must be \
        there, and tests of other absent systems are ignored with the reason.\n\nExamples:\n  \
        cargo xtask test                                   all tests of all crates\n  \
        cargo xtask test -p iotorch-core -- saga           tests of one crate whose name contains `saga`\n  \
        cargo xtask test -- --nocapture                    show what tests print\n  \
        IOTORCH_REQUIRE= cargo xtask test                  demand no real system"
    )]
    Test(TestOptions),

    /// Run benchmarks and show each measurement beside its goal
    #[command(after_help = "A missed goal is shown, and is not a failure of the command.\n\nExamples:\n  \
        cargo xtask bench                 all benchmarks\n  \
        cargo xtask bench plan saga       two of them\n  \
        cargo xtask bench plan --json     {\"bench\",\"metric\",\"value\",\"unit\",\"goal\",\"met\"}, one object a line")]
    Bench(BenchOptions),

    /// Generate docs/schema and docs/reference.md from the Rust types
    #[command(after_help = "Examples:\n  \
        cargo xtask schema            write docs/schema/*.json and docs/reference.md\n  \
        cargo xtask schema --check    fail, naming each file that is not current")]
    Schema {
        /// Write nothing; fail if a file is not current
        #[arg(long)]
        check: bool,
    },

    /// Build what is handed out: static programs in archives, with checksums and bills of materials
    #[command(
        after_help = "Each program is tried before it is packed, one for another machine under an emulator: it \
        checks the examples, brings them up, has a reading stored, and takes them away again. It is refused past 25 MB, or \
        if it is not static. Compilers and the emulator are installed where that is possible (rustup; root, apt-get).\n\n\
        All files bear the time of the commit, or SOURCE_DATE_EPOCH.\n\nExamples:\n  \
        cargo xtask dist                     all machines, into target/dist; takes minutes\n  \
        cargo xtask dist --target aarch64    one of them"
    )]
    Dist(DistOptions),
}

#[derive(Debug, Args)]
pub(crate) struct TestOptions {
    /// Test only this crate (may be repeated)
    #[arg(short, long = "package", value_name = "CRATE")]
    pub(crate) packages: Vec<String>,

    /// Passed on to the test programs: a filter, or flags such as --nocapture
    #[arg(last = true, value_name = "FILTER")]
    pub(crate) arguments: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchOptions {
    /// The benchmarks to run, in this order [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// Print each measurement as one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DistOptions {
    /// Only for this machine (may be repeated)
    #[arg(long = "target", value_name = "MACHINE")]
    pub(crate) targets: Vec<Machine>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_two_dashes_is_kept_for_the_test_programs() {
        let cli = Cli::parse_from(["xtask", "test", "-p", "iotorch-core", "--", "saga", "--nocapture"]);
        let Task::Test(options) = cli.task else { panic!("not the test task: {:?}", cli.task) };
        assert_eq!(options.packages, ["iotorch-core"]);
        assert_eq!(options.arguments, ["saga", "--nocapture"]);
    }
}
