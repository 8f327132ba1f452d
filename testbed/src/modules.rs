//! Programs built from Go modules, once.
//!
//! Each folder below `testbed/go` is a module whose `go.mod` pins the programs' versions and whose `go.sum` pins all
//! their sources. They are modules of their own because their dependencies disagree. What is built lies in the cache, in a
//! folder named for all that decides it, so what is there is right.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::command::Tool;
use crate::environment;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// The file beside the programs that holds the module's documents.
const SHARED: &str = "documents.yaml";

/// Programs that are built together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Module {
    /// Helm 4.
    Helm4,
    /// Helm 3.
    Helm3,
    /// The API server, controller manager, scheduler, kubelet, kube-proxy and kubectl.
    Kubernetes,
    /// The store of the API server.
    Etcd,
    /// The cluster's name server.
    Coredns,
    /// Simulated nodes.
    Kwok,
    /// The testbed's own: the process of a pod's sandbox, certificates, volumes, and network policies.
    Parts,
}

/// How a module becomes programs.
struct Recipe {
    /// The name of its folder.
    folder: &'static str,
    /// The module that the programs are from, whose version they tell.
    main: &'static str,
    /// Packages, with the name of the program that each becomes.
    programs: &'static [(&'static str, &'static str)],
    /// YAML documents of the main module that are needed too.
    files: &'static [&'static str],
}

impl Module {
    /// All of them, the quick ones first.
    pub const ALL: [Self; 7] =
        [Self::Helm4, Self::Helm3, Self::Parts, Self::Etcd, Self::Coredns, Self::Kwok, Self::Kubernetes];

    /// The name of its folder below `testbed/go`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.recipe().folder
    }

    fn recipe(self) -> Recipe {
        match self {
            Self::Helm4 => Recipe {
                folder: "helm4",
                main: "helm.sh/helm/v4",
                programs: &[("helm.sh/helm/v4/cmd/helm", "helm")],
                files: &[],
            },
            Self::Helm3 => Recipe {
                folder: "helm3",
                main: "helm.sh/helm/v3",
                programs: &[("helm.sh/helm/v3/cmd/helm", "helm3")],
                files: &[],
            },
            Self::Kubernetes => Recipe {
                folder: "kubernetes",
                main: "k8s.io/kubernetes",
                programs: &[
                    ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
                    ("k8s.io/kubernetes/cmd/kube-controller-manager", "kube-controller-manager"),
                    ("k8s.io/kubernetes/cmd/kube-scheduler", "kube-scheduler"),
                    ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
                    ("k8s.io/kubernetes/cmd/kube-proxy", "kube-proxy"),
                    ("k8s.io/kubernetes/cmd/kubectl", "kubectl"),
                ],
                files: &[],
            },
            Self::Etcd => Recipe {
                folder: "etcd",
                main: "go.etcd.io/etcd/server/v3",
                programs: &[("go.etcd.io/etcd/server/v3", "etcd")],
                files: &[],
            },
            Self::Coredns => Recipe {
                folder: "coredns",
                main: "github.com/coredns/coredns",
                programs: &[("github.com/coredns/coredns", "coredns")],
                files: &[],
            },
            Self::Kwok => Recipe {
                folder: "kwok",
                main: "sigs.k8s.io/kwok",
                programs: &[("sigs.k8s.io/kwok/cmd/kwok", "kwok")],
                files: &[
                    "kustomize/stage/node/fast/node-initialize.yaml",
                    "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
                    "kustomize/stage/pod/fast/pod-ready.yaml",
                    "kustomize/stage/pod/fast/pod-complete.yaml",
                    "kustomize/stage/pod/fast/pod-delete.yaml",
                ],
            },
            Self::Parts => Recipe {
                folder: "parts",
                main: "",
                programs: &[
                    ("iotorch.dev/testbed/parts/pause", "pause"),
                    ("iotorch.dev/testbed/parts/certificates", "certificates"),
                    ("iotorch.dev/testbed/parts/volumes", "volumes"),
                    ("iotorch.dev/testbed/parts/policies", "policies"),
                ],
                files: &[],
            },
        }
    }

    fn source(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("go").join(self.name())
    }

    /// Whether its programs are built already.
    #[must_use]
    pub fn is_built(self) -> bool {
        Toolchain::find().and_then(|go| self.folder(&go)).is_ok_and(|folder| folder.is_dir())
    }

    /// Gives the folder of its programs, which are built first where they are not there.
    ///
    /// # Errors
    ///
    /// Go is absent, or the module cannot be downloaded or built.
    pub fn build(self, progress: Progress<'_>) -> Result<PathBuf> {
        let go = Toolchain::find()?;
        let folder = self.folder(&go)?;
        if !folder.is_dir() {
            self.build_into(&folder, progress)?;
        }
        Ok(folder.join("bin"))
    }

    fn folder(self, go: &Toolchain) -> Result<PathBuf> {
        let digest = self.digest(go)?;
        Ok(environment::cache_folder()?.join(format!("{}-{digest}", self.name())))
    }

    /// Of everything that decides what is built.
    fn digest(self, go: &Toolchain) -> Result<String> {
        let mut digest = Sha256::new();
        digest.update(&go.version);
        digest.update(self.flags()?);
        for file in self.decisive_files()? {
            let contents = fs::read(&file).map_err(|error| Error::file("read", &file, error))?;
            digest.update(Sha256::digest(contents));
        }
        Ok(hexadecimal(&digest.finalize()[..8]))
    }

    fn decisive_files(self) -> Result<Vec<PathBuf>> {
        let source = self.source();
        let mut files = vec![source.join("go.mod"), source.join("go.sum")];
        if self == Self::Parts {
            files.extend(go_files(&source)?);
        }
        Ok(files)
    }

    /// What the linker is told: no symbols for debuggers, and the versions that programs tell.
    fn flags(self) -> Result<String> {
        let mut flags = "-s -w".to_owned();
        for (variable, value) in self.stamps()? {
            flags.push_str(&format!(" -X {variable}={value}"));
        }
        Ok(flags)
    }

    /// A program that is built as a dependency does not know its own version.
    fn stamps(self) -> Result<Vec<(String, String)>> {
        let mut stamps = Vec::new();
        match self {
            Self::Kubernetes => {
                let version = self.version()?;
                let mut parts = version.trim_start_matches('v').split('.');
                for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
                    stamps.push((format!("{package}.gitVersion"), version.clone()));
                }
                for (name, value) in ["gitMajor", "gitMinor"].into_iter().zip(&mut parts) {
                    stamps.push((format!("k8s.io/component-base/version.{name}"), value.to_owned()));
                }
            }
            Self::Helm4 => {
                stamps.push(("helm.sh/helm/v4/internal/version.version".to_owned(), self.version()?));
            }
            Self::Helm3 => {
                stamps.push(("helm.sh/helm/v3/internal/version.version".to_owned(), self.version()?));
                // What `helm template` takes a cluster for; Kubernetes 1.N has libraries of version 0.N.
                let libraries = self.version_of("k8s.io/client-go")?;
                let minor = libraries.split('.').nth(1).unwrap_or_default().to_owned();
                for package in ["pkg/chartutil", "pkg/lint/rules"] {
                    stamps.push((format!("helm.sh/helm/v3/{package}.k8sVersionMajor"), "1".to_owned()));
                    stamps.push((format!("helm.sh/helm/v3/{package}.k8sVersionMinor"), minor.clone()));
                }
            }
            Self::Etcd | Self::Coredns | Self::Kwok | Self::Parts => {}
        }
        Ok(stamps)
    }

    /// The version that `go.mod` pins.
    fn version(self) -> Result<String> {
        self.version_of(self.recipe().main)
    }

    fn version_of(self, module: &str) -> Result<String> {
        let file = self.source().join("go.mod");
        let text = fs::read_to_string(&file).map_err(|error| Error::file("read", &file, error))?;
        required_version(&text, module).map(str::to_owned).ok_or_else(|| {
            Error::new(format!("cannot find the version of \"{module}\" in \"{}\"", file.display()))
        })
    }

    fn build_into(self, folder: &Path, progress: Progress<'_>) -> Result<()> {
        let cache = environment::cache_folder()?;
        fs::create_dir_all(&cache).map_err(|error| Error::file("make", &cache, error))?;
        // Whoever comes second waits, and then finds the programs.
        let path = cache.join(format!("{}.lock", self.name()));
        let lock = File::create(&path).map_err(|error| Error::file("open", &path, error))?;
        lock.lock().map_err(|error| Error::file("lock", &path, error))?;
        if folder.is_dir() {
            return Ok(());
        }
        let started = Instant::now();
        progress(&format!("building \"{}\" from its Go module: this takes some minutes, once", self.name()));

        // A folder has its name only when it is complete.
        let partial = folder.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(|error| Error::file("remove", &partial, error))?;
        }
        let bin = partial.join("bin");
        fs::create_dir_all(&bin).map_err(|error| Error::file("make", &bin, error))?;
        let flags = self.flags()?;
        let recipe = self.recipe();
        for (package, program) in recipe.programs {
            self.go()
                .env("CGO_ENABLED", "0")
                .args(["build", "-mod=readonly", "-trimpath", "-ldflags", &flags, "-o"])
                .arg(bin.join(program))
                .arg(package)
                .run_in_sight(progress)?;
        }
        self.join_files(&recipe, &partial.join(SHARED))?;
        fs::rename(&partial, folder).map_err(|error| Error::file("rename", &partial, error))?;
        progress(&format!("built \"{}\" in {} s", self.name(), started.elapsed().as_secs()));
        Ok(())
    }

    /// Keeps files of the main module as the documents of one.
    fn join_files(self, recipe: &Recipe, joined: &Path) -> Result<()> {
        if recipe.files.is_empty() {
            return Ok(());
        }
        let answer = self.go().args(["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", recipe.main]).ask()?;
        let mut text = String::new();
        for file in recipe.files {
            let path = Path::new(answer.trim()).join(file);
            let document = fs::read_to_string(&path).map_err(|error| Error::file("read", &path, error))?;
            text.push_str(&format!("---\n{document}\n"));
        }
        fs::write(joined, text).map_err(|error| Error::file("write", joined, error))
    }

    fn go(self) -> Tool {
        // Always for this machine.
        Tool::new("go").arg("-C").arg(self.source()).without_env("GOOS").without_env("GOARCH")
    }
}

/// The files below a folder that programs are made from, in order.
fn go_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::file("read", folder, error);
    let entries = fs::read_dir(folder).map_err(failed)?.map(|entry| Ok(entry?.path()));
    let mut entries = entries.collect::<io::Result<Vec<_>>>().map_err(failed)?;
    entries.sort_unstable();
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        if entry.is_dir() {
            files.extend(go_files(&entry)?);
        } else if name.ends_with(".go") && !name.ends_with("_test.go") {
            files.push(entry);
        }
    }
    Ok(files)
}

/// The Go that is on the search path.
struct Toolchain {
    version: String,
}

impl Toolchain {
    fn find() -> Result<Self> {
        if environment::find_program("go").is_none() {
            return Err(Error::new("cannot find the program \"go\", which builds the clusters' programs")
                .with_help("install Go 1.26 or newer: https://go.dev/doc/install"));
        }
        // Within a module, as its `go.mod` may ask for a newer Go, which Go then fetches by itself.
        let version = Module::Kubernetes.go().args(["env", "GOVERSION", "GOOS", "GOARCH"]).ask()?;
        Ok(Self { version })
    }
}

/// The version that a `go.mod` requires of a module.
fn required_version<'a>(text: &'a str, module: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut words = line.trim_start().trim_start_matches("require ").split_whitespace();
        (words.next() == Some(module)).then(|| words.next()).flatten().filter(|word| word.starts_with('v'))
    })
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the programs of a testbed are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Programs(BTreeMap<Module, PathBuf>);

impl Programs {
    /// Builds what is not there.
    pub(crate) fn build(modules: &[Module], progress: Progress<'_>) -> Result<Self> {
        let built = modules.iter().map(|module| Ok((*module, module.build(progress)?)));
        built.collect::<Result<_>>().map(Self)
    }

    pub(crate) fn path(&self, module: Module, program: &str) -> PathBuf {
        self.folder(module).join(program)
    }

    /// The documents of a module, in one file.
    pub(crate) fn documents(&self, module: Module) -> PathBuf {
        self.folder(module).with_file_name(SHARED)
    }

    /// Whether both are built from the same, wherever they are.
    pub(crate) fn are_those(&self, other: &Self) -> bool {
        let names = |programs: &Self| -> BTreeMap<Module, Option<OsString>> {
            let named = |(module, bin): (&Module, &PathBuf)| {
                (*module, bin.parent().and_then(Path::file_name).map(OsStr::to_owned))
            };
            programs.0.iter().map(named).collect()
        };
        names(self) == names(other)
    }

    fn folder(&self, module: Module) -> PathBuf {
        // Kinds name the modules of all their components; otherwise the program is not found, and named.
        self.0.get(&module).cloned().unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn at(folders: impl IntoIterator<Item = (Module, PathBuf)>) -> Self {
        Self(folders.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_is_required_not_from_what_replaces_it() {
        let text = "\
module m

replace (
\tk8s.io/api => k8s.io/api v0.37.2
)

require k8s.io/one v1.0.0

require (
\tk8s.io/api v0.0.0 // indirect
\tk8s.io/api-more v0.9.0 // indirect
)
";
        assert_eq!(required_version(text, "k8s.io/api"), Some("v0.0.0"));
        assert_eq!(required_version(text, "k8s.io/one"), Some("v1.0.0"));
        assert_eq!(required_version(text, "k8s.io/ap"), None);
    }

    #[test]
    fn programs_are_told_the_versions_that_are_pinned() {
        for module in [Module::Helm4, Module::Helm3, Module::Kubernetes] {
            let flags = module.flags().unwrap();
            assert!(flags.contains(&format!("ersion={}", module.version().unwrap())), "{flags}");
        }
    }

    #[test]
    fn every_file_of_our_own_programs_but_their_tests_decides_what_is_built() {
        let source = Module::Parts.source();
        let files = Module::Parts.decisive_files().unwrap();
        for file in ["go.mod", "api/api.go", "policies/main.go", "policies/rules.go", "volumes/main.go"] {
            assert!(files.contains(&source.join(file)), "{file}");
        }
        assert!(source.join("policies/rules_test.go").exists());
        assert!(!files.contains(&source.join("policies/rules_test.go")));
    }

    #[test]
    fn programs_in_another_cache_are_the_same_if_they_are_built_from_the_same() {
        let programs = |bin: &str| Programs::at([(Module::Etcd, PathBuf::from(bin))]);
        let etcd = programs("/cache/etcd-1a/bin");
        assert!(etcd.are_those(&programs("/home/a/etcd-1a/bin")));
        assert!(!etcd.are_those(&programs("/cache/etcd-1b/bin")));
        assert!(!etcd.are_those(&Programs::at([])));
    }

    #[test]
    fn every_program_of_a_module_is_one_of_its_tools() {
        for module in Module::ALL.into_iter().filter(|module| *module != Module::Parts) {
            let text = fs::read_to_string(module.source().join("go.mod")).unwrap();
            let tools: Vec<&str> = text
                .lines()
                .map(|line| line.trim_start_matches("tool "))
                .map(str::trim)
                .filter(|line| module.recipe().programs.iter().any(|(package, _)| package == line))
                .collect();
            assert_eq!(tools.len(), module.recipe().programs.len(), "{}", module.name());
        }
    }
}
