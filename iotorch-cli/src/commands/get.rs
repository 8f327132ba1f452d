//! `iotorch get`

use clap::{Args, Subcommand};
use iotorch_core::{
    Orchestrator,
    model::{API_VERSION, Infrastructure, InfrastructureName, Slice, SliceName},
};
use serde_json::json;

use crate::{
    cli::Setting,
    exit::Exit,
    failure::Result,
    installation::{self, Purpose},
    render::table::table,
    screen::Format,
};

/// Print the documents that were applied last
///
/// One that is named is printed as a YAML document that `iotorch apply -f` takes again; a list is a table unless --output says
/// otherwise.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch get slices
  iotorch get slices greenhouse > greenhouse.yaml
  iotorch get infrastructures --output json")]
pub(crate) struct GetArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Slices
    #[command(
        visible_alias = "slice",
        after_long_help = "Examples:
  iotorch get slices
  iotorch get slices greenhouse > greenhouse.yaml"
    )]
    Slices {
        /// Only these
        #[arg(value_name = "SLICE")]
        names: Vec<SliceName>,
    },
    /// Infrastructures
    #[command(
        visible_alias = "infrastructure",
        after_long_help = "Examples:
  iotorch get infrastructures
  iotorch get infrastructures edge-1 > edge-1.yaml"
    )]
    Infrastructures {
        /// Only these
        #[arg(value_name = "INFRASTRUCTURE")]
        names: Vec<InfrastructureName>,
    },
}

impl GetArgs {
    /// These slices, or all of them.
    pub(crate) const fn of_slices(names: Vec<SliceName>) -> Self {
        Self { what: What::Slices { names } }
    }

    /// These infrastructures, or all of them.
    pub(crate) const fn of_infrastructures(names: Vec<InfrastructureName>) -> Self {
        Self { what: What::Infrastructures { names } }
    }
}

pub(crate) async fn exec(args: GetArgs, setting: &Setting) -> Result<Exit> {
    installation::with(setting, Purpose::Look, async |session| match args.what {
        What::Slices { names } => get_slices(session.orchestrator(), names, setting).await,
        What::Infrastructures { names } => get_infrastructures(session.orchestrator(), names, setting).await,
    })
    .await?;
    Ok(Exit::Done)
}

async fn get_slices(orchestrator: &dyn Orchestrator, names: Vec<SliceName>, setting: &Setting) -> Result<()> {
    let known = orchestrator.slices().await?;
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        return Err(super::no_such_slice("get", unknown, &known).into());
    }
    let is_named = !names.is_empty();
    let mut slices: Vec<Slice> = Vec::new();
    for name in if is_named { names } else { known } {
        slices.extend(orchestrator.document(&name).await?);
    }
    match form(setting, is_named) {
        Format::Table => setting.screen.result(slice_table(&slices)),
        Format::Yaml => print_yaml(setting, slices.iter().map(Slice::to_yaml)),
        Format::Json => print_json(
            setting,
            slices.iter().map(|slice| document("Slice", &json!(slice.name), &json!(slice.spec))).collect(),
            is_named,
        ),
    }
}

async fn get_infrastructures(
    orchestrator: &dyn Orchestrator,
    names: Vec<InfrastructureName>,
    setting: &Setting,
) -> Result<()> {
    let mut places = orchestrator.infrastructures().await?;
    let is_named = !names.is_empty();
    if let Some(unknown) = names.iter().find(|name| !places.iter().any(|place| place.name == **name)) {
        return Err(super::no_such_infrastructure("get", unknown).into());
    }
    places.retain(|place| !is_named || names.contains(&place.name));
    match form(setting, is_named) {
        Format::Table => setting.screen.result(infrastructure_table(&places)),
        Format::Yaml => print_yaml(setting, places.iter().map(Infrastructure::to_yaml)),
        Format::Json => print_json(setting, places.iter().map(infrastructure).collect(), is_named),
    }
}

/// A document that was named is wanted as such, unless somebody asks for something else.
fn form(setting: &Setting, is_named: bool) -> Format {
    setting.screen.format.unwrap_or(if is_named { Format::Yaml } else { Format::Table })
}

/// Prints the document of an infrastructure.
pub(super) fn print_infrastructure(place: &Infrastructure, setting: &Setting) -> Result<()> {
    match form(setting, true) {
        Format::Json => setting.screen.data(&infrastructure(place)),
        Format::Yaml | Format::Table => print_yaml(setting, std::iter::once(place.to_yaml())),
    }
}

/// The document of an infrastructure.
fn infrastructure(place: &Infrastructure) -> serde_json::Value {
    document("Infrastructure", &json!(place.name), &json!(place.spec))
}

fn document(kind: &str, name: &serde_json::Value, spec: &serde_json::Value) -> serde_json::Value {
    json!({ "apiVersion": API_VERSION, "kind": kind, "metadata": { "name": name }, "spec": spec })
}

fn print_yaml(
    setting: &Setting,
    documents: impl Iterator<Item = iotorch_core::Result<String>>,
) -> Result<()> {
    let documents = documents.collect::<iotorch_core::Result<Vec<_>>>()?;
    if documents.is_empty() {
        return Ok(());
    }
    setting.screen.result(documents.join("---\n").trim_end())
}

fn print_json(setting: &Setting, mut documents: Vec<serde_json::Value>, is_named: bool) -> Result<()> {
    match documents.as_mut_slice() {
        [one] if is_named => setting.screen.data(&one.take()),
        _ => setting.screen.data(&documents),
    }
}

fn slice_table(slices: &[Slice]) -> String {
    if slices.is_empty() {
        return "no slices".into();
    }
    table(
        ["SLICE", "GATEWAYS", "SERVERS", "DEVICES", "ON FAILURE"],
        slices.iter().map(|slice| {
            let spec = &slice.spec;
            [
                slice.name.to_string(),
                spec.gateways.len().to_string(),
                spec.servers.len().to_string(),
                spec.devices.len().to_string(),
                spec.on_failure.to_string(),
            ]
        }),
    )
}

fn infrastructure_table(places: &[Infrastructure]) -> String {
    if places.is_empty() {
        return "no infrastructures".into();
    }
    table(
        ["INFRASTRUCTURE", "DRIVER", "TIER", "LABELS"],
        places.iter().map(|place| {
            let labels: Vec<String> =
                place.spec.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            [
                place.name.to_string(),
                place.spec.driver.to_string(),
                place.spec.tier.to_string(),
                labels.join(","),
            ]
        }),
    )
}
