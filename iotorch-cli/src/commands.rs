//! The verbs, one module each: what can be typed after it, and what it does.

pub(crate) mod adopt;
pub(crate) mod apply;
pub(crate) mod command;
pub(crate) mod completions;
pub(crate) mod credentials;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod events;
pub(crate) mod forget;
pub(crate) mod gateway;
pub(crate) mod get;
pub(crate) mod infra;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod messages;
pub(crate) mod plan;
pub(crate) mod prototype;
pub(crate) mod resume;
pub(crate) mod rotate;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schema;
pub(crate) mod send;
pub(crate) mod server;
pub(crate) mod simulate;
pub(crate) mod standalone;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod validate;

use std::{
    collections::BTreeSet,
    io::{Write, stderr, stdin},
};

use iotorch_core::{
    Error, ErrorKind, Intent, Orchestrator,
    model::{Infrastructure, InfrastructureName, PartName, SliceName},
    resource::ResourceId,
    status::SliceStatus,
};

use crate::{
    cli::Setting,
    device::{self, Device},
    failure::{Failure, Result, cannot},
    installation::{self, Purpose, Session},
};

/// The driver of the infrastructure that lives in the process of `iotorch run`.
const LOCAL: &str = "local";

/// More names than this are no help.
const SHOWN: usize = 10;

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
    Error::new(ErrorKind::NotFound, format!("cannot {verb} slice \"{slice}\": there is none of that name"))
        .with_help(slices_there_are(known))
}

/// What helps somebody who has named a slice that is not there.
fn slices_there_are(known: &[SliceName]) -> String {
    let names: Vec<&str> = known.iter().take(SHOWN).map(SliceName::as_str).collect();
    match known.len() {
        0 => "there are no slices yet; iotorch apply -f FILE makes one".to_owned(),
        1..=SHOWN => format!("the slices are: {}", names.join(", ")),
        n => format!("there are {n} slices; iotorch get slices lists them"),
    }
}

/// How a slice is that a person named.
async fn status_of(orchestrator: &dyn Orchestrator, slice: &SliceName, verb: &str) -> Result<SliceStatus> {
    let known = orchestrator.slices().await?;
    if !known.contains(slice) {
        return Err(no_such_slice(verb, slice, &known).into());
    }
    Ok(orchestrator.status(slice).await?)
}

/// The error for an infrastructure that is not known.
fn no_such_infrastructure(verb: &str, name: &InfrastructureName) -> Error {
    let message = format!("cannot {verb} infrastructure \"{name}\": there is none of that name");
    Error::new(ErrorKind::NotFound, message).with_help("iotorch get infrastructures lists them")
}

/// Whether an infrastructure lives in the process of `iotorch run`.
fn is_local(place: &Infrastructure) -> bool {
    place.spec.driver.as_str() == LOCAL
}

/// Adds the way out to a failure whose cause is that nobody hosts what the slices have on a `local` infrastructure.
async fn or_host<T>(done: Result<T>, slices: &[SliceName], setting: &Setting) -> Result<T> {
    let error = match done {
        Err(Failure::Error(error)) if error.kind() == ErrorKind::Unavailable && error.help().is_none() => {
            error
        }
        done => return done,
    };
    let unhosted = async |session: &Session| unhosted(session, slices).await;
    let place = installation::with(setting, Purpose::Look, unhosted).await.ok().flatten();
    Err(Failure::Error(match place {
        Some(place) => error.with_help(format!(
            "\"{place}\" is in the process of iotorch run, and none is running\n\
             start it, and leave it running:  iotorch run"
        )),
        None => error,
    }))
}

/// An infrastructure that slices have something on and that nobody hosts.
async fn unhosted(session: &Session, slices: &[SliceName]) -> Result<Option<String>> {
    if session.is_hosted() {
        return Ok(None);
    }
    let orchestrator = session.orchestrator();
    let places = orchestrator.infrastructures().await?;
    for slice in slices {
        let status = orchestrator.status(slice).await?;
        let is_used =
            |place: &&Infrastructure| status.resources.iter().any(|it| it.id.place() == place.name.as_str());
        if let Some(place) = places.iter().filter(|place| is_local(place)).find(is_used) {
            return Ok(Some(place.name.to_string()));
        }
    }
    Ok(None)
}

/// The device that a person named.
fn device_of(status: &SliceStatus, name: &PartName, verb: &str) -> Result<Device> {
    let mut all = device::devices(status);
    if let Some(found) = all.iter().position(|device| device.name == *name) {
        return Ok(all.swap_remove(found));
    }
    let names: Vec<&str> = all.iter().take(SHOWN).map(|device| device.name.as_str()).collect();
    let help = match all.len() {
        0 => format!("none of its devices is ready; iotorch describe {} says why", status.slice),
        1..=SHOWN => format!("those that are ready are: {}", names.join(", ")),
        n => format!("{n} devices are ready; iotorch credentials {} lists them", status.slice),
    };
    let why = format!(
        "cannot {verb} device \"{name}\": slice \"{}\" has none of that name that is ready",
        status.slice
    );
    Err(Error::new(ErrorKind::NotFound, why).with_help(help).into())
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
