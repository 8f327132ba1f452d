//! `iotorch infra check`

use clap::Args;
use futures::future::join_all;
use iotorch_core::{
    Cause, Error, ErrorKind, Inspection, Limits,
    model::{DriverName, Infrastructure, InfrastructureName, InfrastructureSpec, MAX_NAME, Tier},
};
use serde::Serialize;

use crate::{
    check::place,
    cli::Setting,
    clusters::Clusters,
    commands::{is_local, no_such_infrastructure},
    exit::Exit,
    failure::Result,
    input::Files,
    installation::{self, Purpose, Session},
    render,
    screen::Format,
};

/// What is said of an infrastructure of the driver local where nobody hosts it.
const UNHOSTED: &str = "no iotorch run hosts it";

/// Check whether slices can be made on infrastructures
///
/// Of each it tells whether it is reached, its version, the permissions that are missing, and its nodes with what is left of them.
/// Without a name all that are stored are checked, or with -f those of the documents. Nothing is changed. The exit code is 0
/// where all can be used.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch infra check
  iotorch infra check edge-1 --output json
  iotorch infra check -f clusters.yaml                  before they are applied
  iotorch infra check --context edge-1                  a cluster without a document")]
pub(crate) struct CheckArgs {
    /// Only these
    #[arg(value_name = "INFRASTRUCTURE")]
    names: Vec<InfrastructureName>,
    #[command(flatten)]
    files: Files,
}

/// What came of checking an infrastructure.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Checked {
    /// Its name.
    pub(crate) name: InfrastructureName,
    /// What manages it.
    pub(crate) driver: DriverName,
    /// Where in the network it stands; none of a cluster without a document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tier: Option<Tier>,
    /// Whether slices can be made on it.
    pub(crate) is_usable: bool,
    /// What was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) inspection: Option<Inspection>,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<Cause>,
}

impl Checked {
    /// The error of an infrastructure that cannot be used.
    pub(crate) fn refusal(&self) -> Option<Error> {
        self.cause.clone().map(Error::from)
    }

    /// What may surprise.
    pub(crate) fn warnings(&self) -> &[String] {
        self.inspection.as_ref().map_or(&[], |inspection| &inspection.warnings)
    }
}

pub(crate) async fn exec(args: CheckArgs, setting: &Setting) -> Result<Exit> {
    let is_undocumented =
        args.names.is_empty() && args.files.paths.is_empty() && setting.clusters.are_named();
    if is_undocumented {
        let place = undocumented(setting.clusters.context.as_deref())?;
        let checked = Checked { tier: None, ..inspect(&place, &setting.clusters).await };
        return tell(&[checked], setting);
    }
    let (places, is_hosted) = installation::with(setting, Purpose::Look, async |session| {
        Ok((meant(args, session).await?, session.is_hosted()))
    })
    .await?;
    tell(&all(&places, &setting.clusters, is_hosted).await, setting)
}

/// Prints the reports; what cannot be used is an error.
fn tell(checked: &[Checked], setting: &Setting) -> Result<Exit> {
    match setting.screen.format() {
        Format::Json | Format::Yaml => setting.screen.data(&checked)?,
        Format::Table => setting.screen.result(render::inspection::reports(checked, setting.screen.out))?,
    }
    match verdict(checked) {
        None => Ok(Exit::Done),
        Some(error) => Err(error.into()),
    }
}

/// The infrastructures that a person means.
async fn meant(args: CheckArgs, session: &Session) -> Result<Vec<Infrastructure>> {
    let CheckArgs { names, files } = args;
    let documents = files.read()?;
    let mut places: Vec<_> = documents.infrastructures().cloned().collect();
    session.check(&documents).await?;
    if files.paths.is_empty() || !names.is_empty() {
        let stored = session.orchestrator().infrastructures().await?;
        let is_new = |place: &Infrastructure| places.iter().all(|other| other.name != place.name);
        let stored: Vec<_> = stored.into_iter().filter(is_new).collect();
        places.extend(stored);
    }
    if let Some(unknown) = names.iter().find(|name| places.iter().all(|place| place.name != **name)) {
        return Err(no_such_infrastructure("check", unknown).into());
    }
    places.retain(|place| names.is_empty() || names.contains(&place.name));
    places.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(places)
}

/// The cluster that the command line alone names, called as its context.
fn undocumented(context: Option<&str>) -> Result<Infrastructure> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = context.unwrap_or("current-context").chars().map(plain).collect();
    let name: String = name.trim_matches('-').chars().take(MAX_NAME).collect();
    let spec = InfrastructureSpec::builder().driver("kubernetes".parse()?).tier(Tier::Cloud).build();
    Ok(Infrastructure { name: name.trim_matches('-').parse()?, spec })
}

/// Checks all of these at once.
pub(crate) async fn all(places: &[Infrastructure], clusters: &Clusters, is_hosted: bool) -> Vec<Checked> {
    let looks = places.iter().map(|place| async move {
        let mut checked = inspect(place, clusters).await;
        if let Some(inspection) = checked.inspection.as_mut().filter(|_| is_local(place) && !is_hosted) {
            inspection.warnings.push(UNHOSTED.to_owned());
        }
        checked
    });
    join_all(looks).await
}

/// Checks one.
pub(crate) async fn inspect(infrastructure: &Infrastructure, clusters: &Clusters) -> Checked {
    let look = async { place(infrastructure, clusters)?.inspect().await };
    let seen = tokio::time::timeout(Limits::default().observe_deadline, look).await;
    let seen = seen.unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "it does not answer in time")));
    let (inspection, error) = match seen {
        Ok(inspection) => {
            let refusal = inspection.refusal();
            (Some(inspection), refusal)
        }
        Err(error) => (None, Some(error)),
    };
    Checked {
        name: infrastructure.name.clone(),
        driver: infrastructure.spec.driver.clone(),
        tier: Some(infrastructure.spec.tier),
        is_usable: error.is_none(),
        inspection,
        cause: error.map(|error| error.to_cause()),
    }
}

/// The error for those that cannot be used; the report says why.
fn verdict(checked: &[Checked]) -> Option<Error> {
    let unusable: Vec<(&Checked, &Cause)> =
        checked.iter().filter_map(|one| Some((one, one.cause.as_ref()?))).collect();
    let (_, first) = unusable.first()?;
    let names: Vec<_> = unusable.iter().map(|(one, _)| format!("\"{}\"", one.name)).collect();
    let noun = if names.len() == 1 { "infrastructure" } else { "infrastructures" };
    Some(Error::new(first.kind, format!("cannot use {noun} {}", names.join(", "))))
}
