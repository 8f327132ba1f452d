//! The command line as it is typed.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use iotorch_testbed::{Component, DEFAULT_NODES, Kind, Link, Module};

use crate::machine::Machine;

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
        cargo xtask dist                      what is handed out, in target/dist\n  \
        cargo xtask testbed up k8s            two whole Kubernetes clusters on this machine\n  \
        cargo xtask image --load              the image of gateways and servers, loaded into them"
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

    /// Build the container image of this clone's gateways and servers, and print the archive it is in
    #[command(
        after_help = "The image is called iotorch:dev and holds the static program. The archive is as `docker save` writes \
        it, for `docker load`, `ctr images import` and `cargo xtask testbed load`. With --load come those that tests need \
        beside it: iotorch.test/edgex-fake:dev, iotorch.test/mainflux-fake:dev and iotorch.test/mosquitto:1.\n\nExamples:\n  \
        cargo xtask image --load              build them, and load them into the clusters of the testbed\n  \
        cargo xtask image --target aarch64    for another machine"
    )]
    Image(ImageOptions),

    /// Run whole Kubernetes clusters on this machine, for tests and for trying iotorch
    #[command(
        subcommand,
        after_help = "Takes root, and Go 1.26 or newer. Programs are built from pinned Go modules into \
        $XDG_CACHE_HOME/iotorch/testbed, or ~/.cache/iotorch/testbed, once: the first time this takes many minutes. \
        docs/testbed.md tells what is in the clusters.\n\nExamples:\n  \
        cargo xtask testbed up k8s                       clusters edge-1 and cloud-1; prints the kubeconfig\n  \
        eval \"$(cargo xtask testbed env)\"               kubectl, helm and helm3 with this kubeconfig\n  \
        cargo xtask testbed status                       what runs\n  \
        cargo xtask testbed logs edge-1 kubelet -f       follow a log\n  \
        cargo xtask testbed load image.tar               load an image into all clusters\n  \
        cargo xtask testbed down                         remove everything but the programs"
    )]
    Testbed(TestbedTask),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TestbedTask {
    /// Bring the clusters up, or make sure that they are, and print the path of their kubeconfig
    #[command(
        after_help = "A testbed that is up and whole is left as it is. Of one that is not, after a crash or a \
        reboot, what is left is removed, and it is made anew.\n\nExamples:\n  \
        cargo xtask testbed up k8s               two clusters, edge-1 and cloud-1, with a node each\n  \
        cargo xtask testbed up sim --nodes 100   one control plane with simulated nodes"
    )]
    Up {
        /// k8s: two whole clusters; sim: one control plane with simulated nodes
        #[arg(value_name = "KIND", value_parser = parse::<Kind>)]
        kind: Kind,

        #[arg(long, value_name = "COUNT", help = format!("How many nodes the kind sim has [default: {DEFAULT_NODES}]"))]
        nodes: Option<u32>,
    },

    /// Show components, nodes and images of the clusters that are up
    Status,

    /// Print lines for a shell that lead kubectl, helm (4) and helm3 to the clusters
    #[command(
        after_help = "Examples:\n  eval \"$(cargo xtask testbed env)\"\n  kubectl --context cloud-1 get pods -A"
    )]
    Env,

    /// Show what components log
    #[command(after_help = "Examples:\n  \
        cargo xtask testbed logs                       the end of all logs\n  \
        cargo xtask testbed logs cloud-1 api-server    of one component\n  \
        cargo xtask testbed logs edge-1 --follow       go on with what is added")]
    Logs {
        /// Of this cluster only
        cluster: Option<String>,

        /// Of this component only, as `status` lists it
        #[arg(value_parser = parse::<Component>)]
        component: Option<Component>,

        /// How many lines of each
        #[arg(short = 'n', long, default_value_t = 20)]
        lines: u64,

        /// Go on with what is added, until interrupted
        #[arg(short, long)]
        follow: bool,
    },

    /// Load images from archives as `docker save` writes them
    Load {
        /// The archives
        #[arg(value_name = "TAR", required = true)]
        archives: Vec<PathBuf>,

        /// Into this cluster only
        #[arg(long)]
        cluster: Option<String>,
    },

    /// End a component at once, as by `kill -9`
    #[command(after_help = "Examples:\n  \
        cargo xtask testbed kill edge-1 api-server\n  cargo xtask testbed start edge-1 api-server")]
    Kill {
        /// The cluster
        cluster: String,

        /// The component, as `status` lists it
        #[arg(value_parser = parse::<Component>)]
        component: Component,
    },

    /// Start a component that was ended
    Start {
        /// The cluster
        cluster: String,

        /// The component, as `status` lists it
        #[arg(value_parser = parse::<Component>)]
        component: Component,
    },

    /// Have a link of a cluster lose every packet
    #[command(after_help = "Examples:\n  \
        cargo xtask testbed cut edge-1            between this machine and edge-1\n  \
        cargo xtask testbed cut edge-1 direct     between edge-1 and cloud-1")]
    Cut {
        /// The cluster
        cluster: String,

        /// Which link
        #[arg(value_enum, default_value_t = LinkName::Uplink)]
        link: LinkName,
    },

    /// End what `cut` has done
    Mend {
        /// The cluster
        cluster: String,

        /// Which link
        #[arg(value_enum, default_value_t = LinkName::Uplink)]
        link: LinkName,
    },

    /// Only build programs, and print the folders they are in
    #[command(after_help = "Modules: helm4, helm3, parts, etcd, coredns, kwok, kubernetes.\n\nExamples:\n  \
        cargo xtask testbed build\n  cargo xtask testbed build helm4 helm3")]
    Build {
        /// These modules only
        #[arg(value_name = "MODULE", value_parser = module)]
        modules: Vec<Module>,
    },

    /// Remove every process, mount, namespace and file of the clusters
    Down,
}

/// A link, as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LinkName {
    /// Between the cluster and this machine
    Uplink,
    /// Between the cluster and the other one
    Direct,
}

impl From<LinkName> for Link {
    fn from(name: LinkName) -> Self {
        match name {
            LinkName::Uplink => Self::Uplink,
            LinkName::Direct => Self::Direct,
        }
    }
}

fn parse<T: FromStr<Err = iotorch_testbed::Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| match error.help() {
        Some(help) => format!("{error}; {help}"),
        None => error.to_string(),
    })
}

fn module(name: &str) -> Result<Module, String> {
    Module::ALL
        .into_iter()
        .find(|module| module.name() == name)
        .ok_or_else(|| "there is no such module".to_owned())
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

#[derive(Debug, Args)]
pub(crate) struct ImageOptions {
    /// For this machine [default: this one]
    #[arg(long, value_name = "MACHINE")]
    pub(crate) target: Option<Machine>,

    /// Load it into the clusters of the testbed that is up
    #[arg(long)]
    pub(crate) load: bool,
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
