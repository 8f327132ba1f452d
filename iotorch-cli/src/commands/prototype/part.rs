//! Servers, gateways and devices, wherever they are: the prototype named them without their slice.

use clap::Args;
use iotorch_core::{
    Error, ErrorKind, Orchestrator,
    model::{PartName, Placement, Slice, SliceName},
};
use serde::Serialize;

use super::ConfigFile;
use crate::{
    cli::Setting,
    commands::slices_there_are,
    exit::Exit,
    failure::Result,
    installation::{self, Purpose},
    render::table::table,
    screen::Format,
};

/// A kind of part of a slice.
pub(super) trait Part: Serialize {
    /// What one is called.
    const NOUN: &'static str;
    /// The verb that is about it.
    const VERB: &'static str;
    /// The heading of a list.
    const HEADING: [&'static str; 5];

    /// Those of a slice.
    fn of(slice: &Slice) -> &[Self]
    where
        Self: Sized;

    /// Its name.
    fn name(&self) -> &PartName;

    /// Its line in a list; the slice has its defaults written out.
    fn row(&self, slice: &Slice) -> [String; 5];
}

/// Which part is meant.
#[derive(Clone, Debug, Args)]
pub(super) struct Which {
    /// Its slice; needed where several slices have one of that name
    #[arg(long, value_name = "SLICE")]
    pub(super) slice: Option<SliceName>,
    #[command(flatten)]
    pub(super) configfile: ConfigFile,
}

/// The slice that has the part `name`, for what is called as in `create device "bench-1"`.
pub(super) async fn slice_of<P: Part>(
    orchestrator: &dyn Orchestrator,
    name: &PartName,
    slice: Option<&SliceName>,
    doing: &str,
) -> Result<Slice> {
    let mut having = documents(orchestrator, slice, doing).await?;
    having.retain(|slice| P::of(slice).iter().any(|part| part.name() == name));
    if having.len() == 1 {
        return Ok(having.swap_remove(0));
    }
    let part = format!("{} \"{name}\"", P::NOUN);
    let error = if having.is_empty() {
        let there = if doing.ends_with(&part) { "none of that name".into() } else { format!("no {part}") };
        Error::new(ErrorKind::NotFound, format!("cannot {doing}: there is {there}"))
            .with_help(format!("iotorch {} list shows those there are", P::VERB))
    } else {
        let slices: Vec<&str> = having.iter().map(|slice| slice.name.as_str()).collect();
        let what = format!("cannot {doing}: {} slices have a {part}", slices.len());
        Error::new(ErrorKind::Invalid, what)
            .with_help(format!("name one of them with --slice: {}", slices.join(", ")))
    };
    Err(error.into())
}

/// The documents of all slices, or of the one that is named.
async fn documents(
    orchestrator: &dyn Orchestrator,
    slice: Option<&SliceName>,
    doing: &str,
) -> Result<Vec<Slice>> {
    let mut known = orchestrator.slices().await?;
    if let Some(slice) = slice {
        if !known.contains(slice) {
            return Err(no_such(slice, &known, doing).into());
        }
        known.retain(|name| name == slice);
    }
    let mut documents = Vec::new();
    for name in known {
        documents.extend(orchestrator.document(&name).await?);
    }
    Ok(documents)
}

/// The error for a slice that is not known.
pub(super) fn no_such(slice: &SliceName, known: &[SliceName], doing: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("cannot {doing}: there is no slice \"{slice}\""))
        .with_help(slices_there_are(known))
}

/// A part beside the name of its slice.
#[derive(Serialize)]
struct Located<'a, P> {
    slice: &'a SliceName,
    #[serde(flatten)]
    part: &'a P,
}

/// Prints a part as it stands in the document.
pub(super) async fn get<P: Part>(name: &PartName, which: &Which, setting: &Setting) -> Result<Exit> {
    let setting = which.configfile.apply(setting)?;
    let doing = format!("get {} \"{name}\"", P::NOUN);
    let slice = installation::with(&setting, Purpose::Look, async |session| {
        slice_of::<P>(session.orchestrator(), name, which.slice.as_ref(), &doing).await
    })
    .await?;
    for part in P::of(&slice).iter().filter(|part| part.name() == name) {
        setting.screen.data(&Located { slice: &slice.name, part })?;
    }
    Ok(Exit::Done)
}

/// Lists the parts of all slices, or of one.
pub(super) async fn list<P: Part>(which: &Which, setting: &Setting) -> Result<Exit> {
    let setting = which.configfile.apply(setting)?;
    let doing = format!("list {}s", P::NOUN);
    let slices = installation::with(&setting, Purpose::Look, async |session| {
        documents(session.orchestrator(), which.slice.as_ref(), &doing).await
    })
    .await?;
    match setting.screen.format() {
        Format::Json | Format::Yaml => {
            let located = slices
                .iter()
                .flat_map(|slice| P::of(slice).iter().map(|part| Located { slice: &slice.name, part }));
            setting.screen.data(&located.collect::<Vec<_>>())?;
        }
        Format::Table => setting.screen.result(rows::<P>(slices))?,
    }
    Ok(Exit::Done)
}

fn rows<P: Part>(slices: Vec<Slice>) -> String {
    let full = slices.into_iter().map(Slice::with_defaults);
    let rows: Vec<_> = full
        .flat_map(|slice| P::of(&slice).iter().map(|part| part.row(&slice)).collect::<Vec<_>>())
        .collect();
    if rows.is_empty() { format!("no {}s", P::NOUN) } else { table(P::HEADING, rows) }
}

/// Where a part goes, in a list.
pub(super) fn cluster(placement: &Placement) -> String {
    placement.infrastructure.as_ref().map_or_else(|| "-".into(), ToString::to_string)
}
