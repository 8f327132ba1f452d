//! The verbs of the prototype that the paper describes: thin edits of the stored documents, each followed by plan and apply.
//!
//! | the prototype's word | here |
//! |---|---|
//! | cluster | an infrastructure |
//! | slice, with its edge and its cloud cluster | a slice, with its [places](iotorch_core::model::Places) |
//! | server, gateway, device | a part of the document of a slice |
//! | the user and password of a server | the secret of the slice's account on it |
//! | configuration file | the state directory |

mod deployment;
pub(in crate::commands) mod edit;
pub(crate) mod iotdevice;
pub(crate) mod iotgateway;
pub(crate) mod iotserver;
pub(crate) mod iotslice;
pub(crate) mod k8scluster;
mod part;
mod password;

use std::path::PathBuf;

use clap::Args;
use iotorch_core::{Error, ErrorKind};

use crate::{cli::Setting, failure::Result, screen::Screen};

/// Where the prototype kept what it made.
#[derive(Clone, Debug, Default, Args)]
struct ConfigFile {
    /// The state directory, as --state; the prototype kept its state in a file of this name
    #[arg(long = "configfile", value_name = "DIR", conflicts_with = "state")]
    directory: Option<PathBuf>,
}

impl ConfigFile {
    /// The setting with the state directory that was asked for.
    fn apply(&self, setting: &Setting) -> Result<Setting> {
        let Some(directory) = &self.directory else { return Ok(setting.clone()) };
        if directory.is_file() {
            let what = format!("cannot use \"{}\" as the state directory: it is a file", directory.display());
            return Err(Error::new(ErrorKind::Invalid, what)
                .with_help("the prototype kept its state in such a file; name a directory, or leave --configfile out")
                .into());
        }
        Ok(setting.clone().with_state(directory.clone()))
    }
}

/// Says of options that were given and mean nothing here that they do, and why.
pub(in crate::commands) fn tell_unused(screen: &Screen, unused: &[(&str, bool, &str)]) {
    let mut given = unused.to_vec();
    given.retain(|(_, is_given, _)| *is_given);
    let reasons = given.chunk_by(|(_, _, one), (_, _, other)| one == other).map(|same| {
        let options: Vec<&str> = same.iter().map(|(option, _, _)| *option).collect();
        format!("{} ({})", options.join(" and "), same[0].2)
    });
    let told: Vec<String> = reasons.collect();
    if !told.is_empty() {
        note(screen, format!("not used: {}", told.join(", ")));
    }
}

/// Tells a person something in one line that sets itself off from results.
fn note(screen: &Screen, text: impl std::fmt::Display) {
    screen.note(format!("{} {text}", screen.err.bold("note:")));
}
