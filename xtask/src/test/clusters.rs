//! The clusters that tests run against, with the programs and the image they need.

use std::ffi::OsString;
use std::path::PathBuf;

use iotorch_testbed::{ADDRESSES, Kind, Module, Testbed};

use crate::build_dir::BuildDir;
use crate::environment;
use crate::failure::Failure;
use crate::image;
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
    /// Whether the testbed was brought up for tests, and is to go with these.
    is_own: bool,
}

impl Clusters {
    /// Brings up what is required and not there, if any of the crates needs it; no crate stands for all.
    pub(super) fn provide(build: &BuildDir, required: &Required, crates: &[String]) -> Result<Self, Failure> {
        let mut clusters = Self::default();
        if !(crates.is_empty() || crates.iter().any(|name| CRATES.contains(&name.as_str()))) {
            return Ok(clusters);
        }
        clusters.provide_helms(required).map_err(|failure| failure.or_help(HOW_TO_DO_WITHOUT))?;
        if !required.has("kubernetes") || environment::is_set("IOTORCH_KUBECONFIG") {
            return Ok(clusters);
        }
        match clusters.bring_up(build) {
            Ok(()) => Ok(clusters),
            Err(failure) => {
                // What came first is what is told of last.
                if let Err(failure) = clusters.down() {
                    terminal::failure(&failure);
                }
                Err(failure.or_help(HOW_TO_DO_WITHOUT))
            }
        }
    }

    fn provide_helms(&mut self, required: &Required) -> Result<(), Failure> {
        for (name, module, program, variable) in HELMS {
            if required.has(name) {
                self.tell(variable, || Ok(module.build(&terminal::note)?.join(program)))?;
            }
        }
        Ok(())
    }

    fn bring_up(&mut self, build: &BuildDir) -> Result<(), Failure> {
        systems::require(&testbed::requirements())?;
        let images = image::make_for_tests(build)?;
        let testbed = Testbed::up_for_tests(Kind::K8s, None, &terminal::note)?;
        self.is_own = testbed.is_for_tests();
        image::load(&testbed, &images)?;
        self.variables.push(("IOTORCH_KUBECONFIG", testbed.kubeconfig().into()));
        self.variables.push(("IOTORCH_KUBECTL", testbed.kubectl().into()));
        self.variables.extend(image::variables());
        // The testbed has both.
        self.tell("IOTORCH_HELM3", || Ok(testbed.helm3()))?;
        self.tell("IOTORCH_HELM4", || Ok(testbed.helm4()))?;
        self.variables.push(("NO_PROXY", environment::no_proxy_with(ADDRESSES)));
        Ok(())
    }

    /// Tells tests of a program, unless they are told already.
    fn tell(
        &mut self,
        variable: &'static str,
        program: impl FnOnce() -> Result<PathBuf, Failure>,
    ) -> Result<(), Failure> {
        if !environment::is_set(variable) && self.variables.iter().all(|(known, _)| *known != variable) {
            self.variables.push((variable, program()?.into()));
        }
        Ok(())
    }

    /// Variables of the environment of tests.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, &OsString)> {
        self.variables.iter().map(|(name, value)| (*name, value))
    }

    /// Takes down what [`Clusters::provide`] has brought up, unless somebody has asked for it since.
    pub(super) fn down(self) -> Result<(), Failure> {
        let is_somebodys = || Testbed::open().is_ok_and(|testbed| !testbed.is_for_tests());
        if self.is_own && !is_somebodys() { Ok(Testbed::down(&terminal::note)?) } else { Ok(()) }
    }
}
