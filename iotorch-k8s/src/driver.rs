//! The driver `kubernetes`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use iotorch_core::{
    Domain, Driver, DriverInfo, Error, ErrorKind, Issue, Place, Result, Serves, Target, Verdict,
    model::{DriverName, Infrastructure, InfrastructureName},
    resource::{KindName, Spec, WorkloadSpec},
};
use iotorch_helm::{ClusterAccess, HelmBinary, HelmBinaryConfig, HelmEngine, Turns};
use kube::Client;

use crate::{
    charts::HelmCharts, cluster::Cluster, config::KubernetesConfig, domain::KubernetesDomain, error::of_helm,
    own_charts, place::KubernetesPlace,
};

/// The name of the driver.
const KUBERNETES: &str = "kubernetes";

/// The most workloads in one call.
const BATCH: usize = 16;

/// Where a service account of a pod has its files, and the API server its name.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const API_SERVER: &str = "https://kubernetes.default.svc";

/// Opens the Helm engine of a cluster.
///
/// # Contract
/// [`open`](Self::open) is called once for a cluster, when the first release on it is made or removed.
///
/// # Guarantees
/// The engine is used for this cluster only.
///
/// # Errors
/// Those of the engine, as errors of iotorch.
///
/// # Examples
/// [`HelmPrograms`] runs the `helm` program.
#[async_trait]
pub trait Engines: Send + Sync {
    /// The engine of a cluster.
    async fn open(&self, name: &InfrastructureName, config: &KubernetesConfig)
    -> Result<Arc<dyn HelmEngine>>;
}

/// Engines that run the `helm` program.
#[derive(Clone, Debug)]
pub struct HelmPrograms {
    program: PathBuf,
    folder: PathBuf,
    turns: Turns,
}

impl HelmPrograms {
    /// Runs `program` (a name without a slash is looked for on the search path), and keeps locks and what helm keeps in `folder`. All
    /// processes that work on the same releases name the same folder, on a disk of this machine.
    pub fn new(program: impl Into<PathBuf>, folder: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), folder: folder.into(), turns: Turns::default() }
    }

    /// How many of them change something at once, on all clusters together.
    #[must_use]
    pub fn with_turns(self, turns: Turns) -> Self {
        Self { turns, ..self }
    }
}

#[async_trait]
impl Engines for HelmPrograms {
    async fn open(
        &self,
        name: &InfrastructureName,
        config: &KubernetesConfig,
    ) -> Result<Arc<dyn HelmEngine>> {
        let what = || format!("cannot use helm for infrastructure \"{name}\"");
        let access = match &config.kubeconfig {
            _ if config.in_cluster => ClusterAccess::token_file(
                API_SERVER,
                format!("{SERVICE_ACCOUNT}/ca.crt"),
                format!("{SERVICE_ACCOUNT}/token"),
            ),
            Some(kubeconfig) => ClusterAccess::kubeconfig(kubeconfig),
            None => {
                let why = Error::new(ErrorKind::Invalid, "it is not known which kubeconfig is meant");
                return Err(Error::new(ErrorKind::Invalid, what())
                    .with_help("set \"kubeconfig\" in its settings")
                    .with_source(why));
            }
        };
        let access = match &config.context {
            Some(context) => access.with_context(context),
            None => access,
        };
        let access = match &config.impersonate {
            Some(whom) => access.acting_as(&whom.user, &whom.groups),
            None => access,
        };
        let config = HelmBinaryConfig::builder()
            .program(&self.program)
            .access(access)
            .locks(self.folder.join("locks").join(name.as_str()))
            .cache(self.folder.join("cache"))
            .turns(self.turns.clone())
            .build();
        let helm = HelmBinary::open(config).await.map_err(|error| of_helm(what(), error))?;
        Ok(Arc::new(helm))
    }
}

/// The driver called `kubernetes`: its infrastructures are clusters; spaces are namespaces and workloads releases of Helm charts.
#[derive(Clone)]
pub struct KubernetesDriver {
    charts: HelmCharts,
    engines: Arc<dyn Engines>,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    clients: BTreeMap<InfrastructureName, Client>,
}

impl std::fmt::Debug for KubernetesDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubernetesDriver").field("charts", &self.charts).finish_non_exhaustive()
    }
}

impl KubernetesDriver {
    /// A driver that finds charts with `charts` and makes releases with `engines`.
    pub fn new(charts: HelmCharts, engines: impl Engines + 'static) -> Self {
        Self { charts, engines: Arc::new(engines), kubeconfig: None, context: None, clients: BTreeMap::new() }
    }

    /// The kubeconfig of infrastructures that name none.
    #[must_use]
    pub fn with_kubeconfig(mut self, path: impl Into<PathBuf>) -> Self {
        self.kubeconfig = Some(path.into());
        self
    }

    /// The context of infrastructures that name neither a context nor a kubeconfig.
    #[must_use]
    pub fn with_context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into());
        self
    }

    /// The client of an infrastructure that this process is connected to already; its settings of how to reach it are for helm.
    #[must_use]
    pub fn with_client(mut self, infrastructure: InfrastructureName, client: Client) -> Self {
        self.clients.insert(infrastructure, client);
        self
    }

    fn cluster(&self, infrastructure: &Infrastructure) -> Result<Arc<Cluster>> {
        let mut config = KubernetesConfig::of(infrastructure)?;
        if !config.in_cluster && config.kubeconfig.is_none() {
            config.kubeconfig.clone_from(&self.kubeconfig);
            // A context is one of a kubeconfig: that of another means nothing.
            config.context = config.context.or_else(|| self.context.clone());
        }
        let name = infrastructure.name.clone();
        Ok(Arc::new(match self.clients.get(&name) {
            Some(client) => Cluster::connected(name, config, client.clone()),
            None => Cluster::new(name, config),
        }))
    }
}

impl Driver for KubernetesDriver {
    fn info(&self) -> DriverInfo {
        DriverInfo {
            name: DriverName::new(KUBERNETES).expect("the name of this driver follows the rules for names"),
            serves: Serves::Infrastructure,
            kinds: vec![KindName::Space, KindName::Workload],
            settings_schema: schemars::schema_for!(KubernetesConfig).to_value(),
            settings_format: 1,
            batch_limits: [(KindName::Workload, BATCH)].into(),
            pause: Duration::ZERO,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<Issue> {
        match spec {
            Spec::Space(_) => Vec::new(),
            Spec::Workload(workload) => check_workload(workload),
            other => {
                vec![Issue::new("", format!("the driver \"kubernetes\" cannot make a {}", other.kind()))]
            }
        }
    }

    fn compare(&self, have: &Spec, want: &Spec) -> Verdict {
        match (have, want) {
            _ if have == want => Verdict::Same,
            (Spec::Space(have), Spec::Space(want)) if have.name != want.name => {
                Verdict::Replace { because: "a namespace cannot be renamed".to_owned() }
            }
            (Spec::Workload(have), Spec::Workload(want))
                if (have.role, &have.application) != (want.role, &want.application) =>
            {
                Verdict::Replace {
                    because: format!("{} \"{}\" cannot become another application", have.role, have.name),
                }
            }
            _ => Verdict::Update,
        }
    }

    fn connect(&self, to: &Target) -> Result<Arc<dyn Domain>> {
        match to {
            Target::Infrastructure(infrastructure) => {
                let cluster = self.cluster(infrastructure)?;
                Ok(Arc::new(KubernetesDomain::new(cluster, self.charts.clone(), Arc::clone(&self.engines))))
            }
            Target::External | Target::Network => Err(Error::new(
                ErrorKind::Unsupported,
                "cannot use driver \"kubernetes\" for what is not an infrastructure",
            )),
        }
    }

    fn place(&self, infrastructure: &Infrastructure) -> Result<Arc<dyn Place>> {
        Ok(Arc::new(KubernetesPlace { cluster: self.cluster(infrastructure)? }))
    }
}

/// The charts of `lite` have no way for the secret of a bus.
fn check_bus(workload: &WorkloadSpec) -> Vec<Issue> {
    let bus = workload.settings.get("bus").and_then(|bus| bus.get("credentials"));
    let issue = |_| {
        let message = "the chart of \"lite\" does not log in at a bus";
        Issue::new("/settings/bus/credentials", message)
            .with_help("add \"chart\" with one that sets IOTORCH_BUS_CREDENTIALS from a Secret")
    };
    bus.map(issue).into_iter().collect()
}

fn check_workload(workload: &WorkloadSpec) -> Vec<Issue> {
    let Some(chart) = &workload.chart else {
        let Some(own) = own_charts::of(workload.application.as_ref(), workload.role) else {
            let issue = Issue::new("", format!("{} \"{}\" has no chart", workload.role, workload.name));
            return vec![issue.with_help(own_charts::HELP)];
        };
        let mut issues = own.check(&workload.settings);
        for issue in &mut issues {
            issue.pointer.insert_str(0, "/settings");
        }
        // The checks of other charts know their own buses.
        if workload.application.as_ref().is_some_and(|application| application.as_str() == "lite") {
            issues.extend(check_bus(workload));
        }
        return issues;
    };
    let issue = |at: String| {
        let message = "this looks like a secret, and values of charts are kept where many can read them";
        Issue::new(format!("/chart/values{at}"), message)
            .with_help("put it into a Secret of the namespace, and give the chart the name of that")
    };
    iotorch_helm::values::secrets(&chart.values).into_iter().map(issue).collect()
}
