//! The names of what is stored, quickly and quietly: who presses a key does not want to wait or to read of errors.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap_complete::engine::CompletionCandidate;
use futures::future::join_all;
use iotorch_core::{
    ErrorKind, Orchestrator,
    model::{PartName, Slice, SliceName, SliceSpec},
    orchestrator::RunFilter,
    store::RedbStore,
};

use crate::{
    events::Hub,
    installation::STORE,
    remote::{Attachment, RemoteOrchestrator},
    wire::SOCKET,
};

/// How long the process that holds the store may take: longer is felt as a key that hangs.
const PATIENCE: Duration = Duration::from_millis(100);

/// The most slices whose parts are looked for when none is named.
const SLICES: usize = 100;

/// Where names come from.
#[derive(Debug)]
pub(super) struct Source {
    /// The state directory.
    pub(super) state: Option<PathBuf>,
    /// The kubeconfig.
    pub(super) kubeconfig: Option<PathBuf>,
    /// What has been typed.
    pub(super) typed: Vec<String>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Slices,
    Documents,
    Infrastructures,
    Runs,
}

/// What was found of it.
#[derive(Debug, Default)]
struct Found {
    slices: Vec<SliceName>,
    documents: Vec<Slice>,
    infrastructures: Vec<String>,
    /// Each open run with its slice.
    runs: Vec<(String, SliceName)>,
}

impl Source {
    pub(super) fn slices(&self) -> Vec<CompletionCandidate> {
        candidates(self.find(Wanted::Slices).slices)
    }

    pub(super) fn infrastructures(&self) -> Vec<CompletionCandidate> {
        candidates(self.find(Wanted::Infrastructures).infrastructures)
    }

    pub(super) fn servers(&self) -> Vec<CompletionCandidate> {
        self.names(|spec| spec.servers.iter().map(|server| &server.name).collect())
    }

    pub(super) fn gateways(&self) -> Vec<CompletionCandidate> {
        self.names(|spec| spec.gateways.iter().map(|gateway| &gateway.name).collect())
    }

    /// Gateways and servers.
    pub(super) fn parts(&self) -> Vec<CompletionCandidate> {
        let mut parts = self.gateways();
        parts.extend(self.servers());
        parts
    }

    pub(super) fn devices(&self) -> Vec<CompletionCandidate> {
        self.names(|spec| spec.devices.iter().map(|device| &device.name).collect())
    }

    pub(super) fn runs(&self) -> Vec<CompletionCandidate> {
        let runs = self.find(Wanted::Runs).runs.into_iter();
        runs.map(|(run, slice)| CompletionCandidate::new(run).help(Some(format!("of slice {slice}").into())))
            .collect()
    }

    /// The contexts of the kubeconfig
    /// (<https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/>).
    pub(super) fn contexts(&self) -> Vec<CompletionCandidate> {
        let text = self.kubeconfig.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let read = text.and_then(|text| serde_saphyr::from_str::<serde_json::Value>(&text).ok());
        let contexts = read.as_ref().and_then(|config| config["contexts"].as_array());
        candidates(contexts.into_iter().flatten().filter_map(|context| context["name"].as_str()))
    }

    /// Names in the slices that were typed, or in all of them.
    fn names(&self, of: fn(&SliceSpec) -> Vec<&PartName>) -> Vec<CompletionCandidate> {
        let documents = self.find(Wanted::Documents).documents;
        let mut names: Vec<&PartName> = documents.iter().flat_map(|slice| of(&slice.spec)).collect();
        names.sort();
        names.dedup();
        candidates(names)
    }

    /// Nothing when it cannot be found in time, or at all.
    fn find(&self, wanted: Wanted) -> Found {
        let Some(state) = &self.state else { return Found::default() };
        match RedbStore::peek(state.join(STORE)) {
            Ok(seen) => self.of_snapshot(seen),
            Err(error) if error.kind() == ErrorKind::Conflict => self.ask(state, wanted).unwrap_or_default(),
            Err(_) => Found::default(),
        }
    }

    fn of_snapshot(&self, seen: iotorch_core::store::Snapshot) -> Found {
        let slices: Vec<SliceName> = seen.slices.keys().cloned().collect();
        let meant = self.meant(&slices);
        let document = |name: &SliceName| seen.slices.get(name)?.document.as_deref().cloned();
        let run = |(name, state): (&SliceName, &std::sync::Arc<iotorch_core::store::SliceState>)| {
            Some((state.open_run?.to_string(), name.clone()))
        };
        Found {
            documents: meant.iter().filter_map(document).collect(),
            infrastructures: seen.infrastructures.keys().map(ToString::to_string).collect(),
            runs: seen.slices.iter().filter_map(run).collect(),
            slices,
        }
    }

    /// Asks the process that holds the store.
    fn ask(&self, state: &Path, wanted: Wanted) -> Option<Found> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(async {
            tokio::time::timeout(PATIENCE, self.answer(&state.join(SOCKET), wanted)).await.ok().flatten()
        })
    }

    async fn answer(&self, socket: &Path, wanted: Wanted) -> Option<Found> {
        let attached = RemoteOrchestrator::attach(socket, Hub::default()).await.ok()?;
        let Attachment::Attached(holder) = attached else { return None };
        let mut found = Found::default();
        match wanted {
            Wanted::Slices => found.slices = holder.slices().await.ok()?,
            Wanted::Documents => {
                let meant = self.meant(&holder.slices().await.ok()?);
                let documents = join_all(meant.iter().map(|name| holder.document(name))).await;
                found.documents =
                    documents.into_iter().filter_map(|document| document.ok().flatten()).collect();
            }
            Wanted::Infrastructures => {
                let places = holder.infrastructures().await.ok()?;
                found.infrastructures = places.iter().map(|place| place.name.to_string()).collect();
            }
            Wanted::Runs => {
                let open = RunFilter { open: true, ..RunFilter::default() };
                let runs = holder.runs(&open).await.ok()?;
                found.runs = runs.into_iter().map(|run| (run.id.to_string(), run.slice)).collect();
            }
        }
        Some(found)
    }

    /// The slices that were typed; where none was, all of them, up to a number that can be looked at in time.
    fn meant(&self, known: &[SliceName]) -> Vec<SliceName> {
        let is_typed = |name: &&SliceName| {
            self.typed.iter().any(|word| word.strip_prefix("--slice=").unwrap_or(word) == name.as_str())
        };
        let typed: Vec<SliceName> = known.iter().filter(is_typed).cloned().collect();
        if typed.is_empty() { known.iter().take(SLICES).cloned().collect() } else { typed }
    }
}

fn candidates(names: impl IntoIterator<Item = impl ToString>) -> Vec<CompletionCandidate> {
    names.into_iter().map(|name| CompletionCandidate::new(name.to_string())).collect()
}
