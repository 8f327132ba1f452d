//! The clusters that tests run against, with the programs and the image they need.

use std::ffi::OsString;

use iotorch_testbed::{Kind, Module, Testbed};

use crate::build_dir::BuildDir;
use crate::environment;
use crate::failure::Failure;
use crate::image;
use crate::machine::Machine;
use crate::systems::{self, HOW_TO_DO_WITHOUT, Required};
use crate::terminal;
use crate::testbed;

/// The crates with tests that clusters or `helm` are for. Those of the testbed bring up their own.
const CRATES: [&str; 3] = ["iotorch-helm", "iotorch-k8s", "iotorch-cli"];

/// The two versions of `helm`: how `IOTORCH_REQUIRE` names them, the module and its program, and the variable that tells tests.
const HELMS: [(&str, Module, &str, &str); 2] =
    [("helm3", Module::Helm3, "helm3", "IOTORCH_HELM3"), ("helm4", Module::Helm4, "helm", "IOTORCH_HELM4")];

/// What tests are told of clusters and of programs for them, by variables that CONTRIBUTING.md lists.
#[derive(Debug, Default)]
pub(super) struct Clusters {
    variables: Vec<(&'static str, OsString)>,
    /// Whether the testbed was brought up for these tests, and is to go with them.
    is_own: bool,
}

impl Clusters {
    /// Brings up what is required and not there, if any of the crates needs it; no crate stands for all.
    pub(super) fn provide(build: &BuildDir, required: &Required, crates: &[String]) -> Result<Self, Failure> {
        let mut clusters = Self::default();
        if !(crates.is_empty() || crates.iter().any(|name| CRATES.contains(&name.as_str()))) {
            return Ok(clusters);
        }
        for (name, module, program, variable) in HELMS {
            if required.has(name) && !environment::is_set(variable) {
                clusters.variables.push((variable, module.build(&terminal::note)?.join(program).into()));
            }
        }
        if required.has("kubernetes") && !environment::is_set("IOTORCH_KUBECONFIG") {
            clusters.bring_up(build).map_err(|failure| failure.with_help(HOW_TO_DO_WITHOUT))?;
        }
        Ok(clusters)
    }

    fn bring_up(&mut self, build: &BuildDir) -> Result<(), Failure> {
        systems::require(&testbed::requirements())?;
        let image = image::make(build, Machine::of_this())?;
        self.is_own = Testbed::open().is_err();
        let testbed = Testbed::up(Kind::K8s, &terminal::note)?;
        image::load(&testbed, &image)?;
        self.variables.push(("IOTORCH_KUBECONFIG", testbed.kubeconfig().into()));
        self.variables.push(("IOTORCH_KUBECTL", testbed.kubectl().into()));
        self.variables.push(("IOTORCH_LITE_IMAGE", image::NAME.into()));
        if self.is_own {
            self.variables.push(("IOTORCH_TESTBED_IS_OURS", "1".into()));
        }
        Ok(())
    }

    /// Variables of the environment of tests.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, &OsString)> {
        self.variables.iter().map(|(name, value)| (*name, value))
    }

    /// Takes down what [`Clusters::provide`] has brought up.
    pub(super) fn down(self) -> Result<(), Failure> {
        if self.is_own { Ok(Testbed::down(&terminal::note)?) } else { Ok(()) }
    }
}
