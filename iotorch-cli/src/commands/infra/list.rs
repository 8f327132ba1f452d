//! `iotorch infra list`

use clap::Args;
use iotorch_core::model::SliceName;
use serde::Serialize;

use super::check::{self, Checked};
use crate::{
    cli::Setting,
    exit::Exit,
    failure::Result,
    installation::{self, Purpose},
    render,
    screen::Format,
};

/// List infrastructures, how each is now, and how many slices are on it
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch infra list
  iotorch infra list --output json")]
pub(crate) struct ListArgs {}

/// An infrastructure in a list.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    /// How it is.
    #[serde(flatten)]
    pub(crate) checked: Checked,
    /// The slices that have something on it.
    pub(crate) slices: Vec<SliceName>,
}

pub(crate) async fn exec(setting: &Setting) -> Result<Exit> {
    let (places, mut uses, is_hosted) = installation::with(setting, Purpose::Look, async |session| {
        let places = session.orchestrator().infrastructures().await?;
        Ok((places, session.uses().await?, session.is_hosted()))
    })
    .await?;
    let checked = check::all(&places, &setting.clusters, is_hosted).await;
    let listed: Vec<Listed> = checked
        .into_iter()
        .map(|checked| {
            let slices = uses.remove(&checked.name).unwrap_or_default().into_iter().collect();
            Listed { checked, slices }
        })
        .collect();
    match setting.screen.format() {
        Format::Json | Format::Yaml => setting.screen.data(&listed)?,
        Format::Table => setting.screen.result(render::inspection::list(&listed))?,
    }
    Ok(Exit::Done)
}
