//! The verbs, one module each: what can be typed after it, and what it does.

pub(crate) mod adopt;
pub(crate) mod apply;
pub(crate) mod completions;
pub(crate) mod credentials;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod forget;
pub(crate) mod get;
pub(crate) mod messages;
pub(crate) mod plan;
pub(crate) mod resume;
pub(crate) mod rotate;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schema;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod validate;

use std::{
    collections::BTreeSet,
    io::{Write, stderr, stdin},
};

use iotorch_core::{Error, ErrorKind, Intent, Orchestrator, model::SliceName, resource::ResourceId};

use crate::failure::{Result, cannot};

/// Asks a person, who has to say yes.
fn ask(question: &str) -> Result<bool> {
    let asking = |error| cannot("ask", error);
    write!(stderr().lock(), "{question} [y/N] ").map_err(asking)?;
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(asking)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// The error for a slice that is not known, with those that are.
fn no_such_slice(verb: &str, slice: &SliceName, known: &[SliceName]) -> Error {
    /// More names than this are no help.
    const SHOWN: usize = 10;
    let names: Vec<&str> = known.iter().take(SHOWN).map(SliceName::as_str).collect();
    let help = match known.len() {
        0 => "there are no slices yet; iotorch apply -f FILE makes one".to_owned(),
        1..=SHOWN => format!("the slices are: {}", names.join(", ")),
        n => format!("there are {n} slices; iotorch get slices lists them"),
    };
    Error::new(ErrorKind::NotFound, format!("cannot {verb} slice \"{slice}\": there is none of that name"))
        .with_help(help)
}

/// The slices that `ids` belong to and `wish` has no document for: they are planned again as they were applied last.
async fn slices_of(
    ids: &[ResourceId],
    wish: &Intent,
    orchestrator: &dyn Orchestrator,
    verb: &str,
) -> Result<Vec<SliceName>> {
    let known = orchestrator.slices().await?;
    let mut slices = BTreeSet::new();
    for id in ids {
        let slice = SliceName::new(id.slice())?;
        if wish.slices.iter().any(|document| document.name == slice) {
            continue;
        }
        if !known.contains(&slice) {
            return Err(no_such_slice(verb, &slice, &known).into());
        }
        slices.insert(slice);
    }
    Ok(slices.into_iter().collect())
}
