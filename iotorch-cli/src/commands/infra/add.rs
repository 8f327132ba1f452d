//! `iotorch infra add`

use clap::{Args, ValueEnum};
use iotorch_core::{
    Intent,
    model::{DriverName, Infrastructure, InfrastructureName, InfrastructureSpec, Labels, Settings, Tier},
};

use super::check::inspect;
use crate::{
    cli::Setting,
    clusters::Clusters,
    commands::{
        apply::Policy,
        get,
        prototype::{edit::Edit, tell_unused},
    },
    exit::Exit,
    failure::Result,
    installation::{self, Purpose},
    screen::Format,
};

/// The driver whose infrastructures are reached by a kubeconfig.
pub(crate) const KUBERNETES: &str = "kubernetes";

/// Check an infrastructure and add it
///
/// It is checked as by iotorch infra check, and its document stored as by iotorch apply -f. --context and --kubeconfig become
/// part of the document; without them the cluster is the one of the current context, whichever that is when it is used.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch infra add edge-1 --tier edge --context edge-1
  iotorch infra add edge-1 --tier edge --context edge-1 --kubeconfig /etc/site/kubeconfig --label site=north
  iotorch infra add edge-1 --tier edge --context edge-1 --dry-run > edge-1.yaml
  iotorch infra add desk --driver local --tier edge")]
pub(crate) struct AddArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: InfrastructureName,
    /// What manages it: kubernetes, or local for the process of iotorch run
    #[arg(long, value_name = "DRIVER", default_value = KUBERNETES)]
    driver: DriverName,
    /// Where in the network it stands
    #[arg(long, value_name = "TIER")]
    tier: TierName,
    /// A label that placements can ask for; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// The host name or address at which node ports of the cluster are reached from elsewhere
    #[arg(long, value_name = "HOST")]
    node_address: Option<String>,
    /// Store it although it may not be usable yet
    #[arg(long)]
    no_check: bool,
    /// Print the document and store nothing
    #[arg(long)]
    dry_run: bool,
}

/// Where in the network an infrastructure stands.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TierName {
    /// Beside the devices
    Edge,
    /// A data centre
    Cloud,
}

impl From<TierName> for Tier {
    fn from(name: TierName) -> Self {
        match name {
            TierName::Edge => Self::Edge,
            TierName::Cloud => Self::Cloud,
        }
    }
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("a label is written KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// An infrastructure that is added.
#[derive(Debug)]
pub(crate) struct Addition {
    /// What it is.
    pub(crate) infrastructure: Infrastructure,
    /// What is being done, as in `create cluster "pc"`.
    pub(crate) doing: String,
    /// What helps where the name is taken.
    pub(crate) taken: String,
    /// Whether it has to be usable.
    pub(crate) is_checked: bool,
    /// Whether its document is only printed.
    pub(crate) is_dry: bool,
}

/// The settings of an infrastructure by the options of the command line; those that mean nothing to its driver are said not to be used.
pub(crate) fn settings(
    driver: &DriverName,
    context: Option<&str>,
    node_address: Option<&str>,
    setting: &Setting,
) -> Settings {
    let Clusters { named, .. } = &setting.clusters;
    let mut settings = Settings::new();
    if driver.as_str() != KUBERNETES {
        const WHY: &str = "the driver reaches no cluster";
        let unused = [
            ("--kubeconfig", named.is_some(), WHY),
            ("--context", context.is_some(), WHY),
            ("--node-address", node_address.is_some(), WHY),
        ];
        tell_unused(&setting.screen, &unused);
        return settings;
    }
    let kubeconfig = named.as_ref().map(|path| path.to_string_lossy().into_owned());
    let given = [
        ("kubeconfig", kubeconfig),
        ("context", context.map(str::to_owned)),
        ("nodeAddress", node_address.map(str::to_owned)),
    ];
    settings.extend(given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))));
    settings
}

pub(crate) async fn exec(args: AddArgs, setting: &Setting) -> Result<Exit> {
    let AddArgs { name, driver, tier, labels, node_address, no_check, dry_run } = args;
    let context = setting.clusters.context.as_deref();
    let settings = settings(&driver, context, node_address.as_deref(), setting);
    let spec = InfrastructureSpec::builder()
        .driver(driver)
        .tier(tier.into())
        .labels(labels.into_iter().collect::<Labels>())
        .settings(settings)
        .build();
    let addition = Addition {
        doing: format!("add infrastructure \"{name}\""),
        taken: format!(
            "iotorch get infrastructures {name} shows it; iotorch apply -f with its document changes it"
        ),
        infrastructure: Infrastructure { name, spec },
        is_checked: !no_check,
        is_dry: dry_run,
    };
    add(addition, setting).await
}

/// Checks an infrastructure and stores it.
pub(crate) async fn add(addition: Addition, setting: &Setting) -> Result<Exit> {
    let Addition { infrastructure, doing, taken, is_checked, is_dry } = addition;
    installation::with(setting, Purpose::Work, async |session| {
        // The document is the result where a document is asked for, else what came of storing it.
        let shows_document = is_dry || setting.screen.format() != Format::Table;
        let applying = if shows_document { setting.silent() } else { setting.clone() };
        let edit = Edit::begin(doing, session, &applying, Policy::default()).await?;
        let known = session.orchestrator().infrastructures().await?;
        if known.iter().any(|place| place.name == infrastructure.name) {
            return edit.taken(taken);
        }
        let infrastructures = vec![infrastructure.clone()];
        let plan = edit.plan(&Intent { infrastructures, ..Intent::default() }).await?;
        if is_checked {
            let checked = inspect(&infrastructure, &setting.clusters).await;
            for warning in checked.warnings() {
                setting.screen.note(format_args!("warning: {warning}"));
            }
            if let Some(refusal) = checked.refusal() {
                return Err(edit.refusal(refusal, "to store it all the same: --no-check").into());
            }
        }
        if !is_dry {
            edit.apply(plan).await?;
        }
        if shows_document {
            get::print_infrastructure(&infrastructure, setting)?;
        }
        Ok(Exit::Done)
    })
    .await
}
