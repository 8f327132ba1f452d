//! The users of the broker: one for each generation of a device's password.

use std::collections::BTreeMap;

use iotorch_core::{
    Error, ErrorKind, Mark, Result,
    resource::{
        CredentialHolder, CredentialOutputs, CredentialSpec, KindName, Outputs, Ownership, ResourceId, Spec,
        Work,
    },
    secret::SecretRef,
};
use serde::{Deserialize, Serialize};

use super::session::Session;
use crate::{
    client::broker::{Order, User},
    convert::{NOBODY, device::command_topic, name_of},
    error::Failure,
};

/// What is written into the note of a user, which the broker keeps and does not read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Note {
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<String>,
    /// What it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<CredentialSpec>,
    /// The note that it had before it was adopted.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
}

impl Note {
    pub(super) fn of(user: &User) -> Self {
        serde_json::from_str(&user.note).unwrap_or_default()
    }

    fn is_of(&self, mark: &Mark) -> bool {
        self.mark.as_deref() == Some(&mark.to_string())
    }

    pub(super) fn owner(&self) -> String {
        self.mark.clone().unwrap_or_else(|| NOBODY.to_owned())
    }

    /// The resource that a user of this installation is.
    pub(super) fn resource(&self, installation: &str) -> Option<ResourceId> {
        let mark = Mark::parse(self.mark.as_deref()?)?;
        (*mark.installation == *installation && mark.resource.kind() == KindName::Credential)
            .then_some(mark.resource)
    }

    pub(super) fn spec(&self) -> Option<Spec> {
        self.spec.clone().map(Spec::Credential)
    }

    fn written(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| {
            Error::new(ErrorKind::Unexpected, "cannot write the note of a user").with_source(error)
        })
    }
}

/// The name of a device's user: its own for the first password, and one of its own for every other.
pub(super) fn user_of(id: &ResourceId) -> Option<String> {
    let device = name_of(&id.host()?);
    Some(match id.name() {
        "1" => device,
        generation => format!("{device}.{generation}"),
    })
}

pub(super) fn outputs_of(user: &str, secret: &SecretRef) -> CredentialOutputs {
    CredentialOutputs { user_name: user.to_owned(), secret: secret.clone() }
}

/// What a step comes to before anything is asked of the broker.
enum Decision {
    Done(Outputs),
    Order(Order, Outputs),
}

pub(super) async fn apply(session: &Session<'_>, works: &[Work]) -> Vec<Result<Outputs>> {
    match decide_all(session, works).await {
        Ok(results) => results,
        Err(error) => {
            let cause = error.to_cause();
            works.iter().map(|_| Err(Error::from(cause.clone()))).collect()
        }
    }
}

async fn decide_all(session: &Session<'_>, works: &[Work]) -> Result<Vec<Result<Outputs>>> {
    let Some(opened) = session.broker().await? else {
        let unmanaged = || {
            Error::new(ErrorKind::Unsupported, "cannot make a user of the MQTT broker")
                .with_source("its users are not made by iotorch")
                .with_help(
                    "settings of the gateway: { broker: managed }, where it has the dynamic security plug-in",
                )
        };
        return Ok(works.iter().map(|_| Err(unmanaged())).collect());
    };
    let broker = &opened.broker;
    let names: Vec<_> = works.iter().map(|work| user_of(work.id()).unwrap_or_default()).collect();
    let found =
        broker.find(&names).await.map_err(|failure| failure.to("look at the users of the MQTT broker"))?;
    let (mut orders, mut waiting, mut results) = (Vec::new(), BTreeMap::new(), Vec::new());
    for ((work, name), found) in works.iter().zip(&names).zip(&found) {
        results.push(match decide(session, work, name, found.as_ref()).await {
            Ok(Decision::Done(outputs)) => Ok(outputs),
            Ok(Decision::Order(order, outputs)) => {
                waiting.insert(results.len(), orders.len());
                orders.push(order);
                Ok(outputs)
            }
            Err(error) => Err(error),
        });
    }
    let done = broker
        .carry_out(&orders)
        .await
        .map_err(|failure| failure.to("change the users of the MQTT broker"))?;
    for (result, order) in waiting {
        if let Some(Err(failure)) = done.get(order) {
            let verb = if works[result].change().is_delete() { "remove" } else { "set up" };
            results[result] = Err(failure.to(format!("{verb} credential \"{}\"", names[result])));
        }
    }
    Ok(results)
}

async fn decide(session: &Session<'_>, work: &Work, name: &str, found: Option<&User>) -> Result<Decision> {
    let removed = Outputs::Removed { residue: Vec::new() };
    let mark = session.cx.mark(work.id());
    let note = found.map(Note::of);
    let is_ours = note.as_ref().is_some_and(|note| note.is_of(&mark));
    let change = work.change();
    let Some(Spec::Credential(after)) = change.after() else {
        return match note {
            None => Ok(Decision::Done(removed)),
            Some(_) if is_ours => Ok(Decision::Order(Order::Remove { name: name.to_owned() }, removed)),
            Some(_) if work.ownership() == Ownership::Release => Ok(Decision::Done(removed)),
            Some(note) => Err(conflict("remove", name, &note)),
        };
    };
    let outputs: Outputs = outputs_of(name, &after.secret).into();
    let written = match (work.ownership(), note) {
        (Ownership::Release, None) => return Ok(Decision::Done(removed)),
        (Ownership::Release, Some(_)) if !is_ours => return Ok(Decision::Done(outputs)),
        // A broker tells nobody a password, so the one from before has to be known.
        (Ownership::Release, Some(note)) => note.before.unwrap_or_default(),
        (Ownership::Ours, Some(note)) if !is_ours => return Err(conflict("set up", name, &note)),
        (_, note) => {
            let before = match (is_ours, note) {
                (true, Some(note)) => note.before,
                (_, _) => found.map(|user| user.note.clone()),
            };
            Note { mark: Some(mark.to_string()), spec: Some(after.clone()), before }.written()?
        }
    };
    let host = work.id().host().map(|host| name_of(&host)).unwrap_or_default();
    let password = session.cx.secret(&after.secret).await?;
    let user = User { name: name.to_owned(), note: written };
    let commands = topic_of(work).unwrap_or_else(|| command_topic(&host));
    Ok(Decision::Order(Order::Put { user, device: host, commands, password }, outputs))
}

/// The topic under which the device takes commands, where that is not the usual one.
fn topic_of(work: &Work) -> Option<String> {
    let Work::Credential(job) = work else { return None };
    match &job.inputs.holder {
        CredentialHolder::Device(device) => device.commands.clone(),
        CredentialHolder::Attachment { .. } => None,
    }
}

fn conflict(verb: &str, name: &str, note: &Note) -> Error {
    Error::new(ErrorKind::Conflict, format!("cannot {verb} credential \"{name}\""))
        .with_source(format!("user \"{name}\" of the MQTT broker belongs to {}", note.owner()))
}

/// Removes the users of devices that are to go.
pub(super) async fn remove_of(session: &Session<'_>, devices: &[&ResourceId]) -> Result<()> {
    if devices.is_empty() {
        return Ok(());
    }
    let Some(opened) = session.broker().await? else { return Ok(()) };
    let failed = |failure: Failure| failure.to("remove the users of devices from the MQTT broker");
    let users = opened.broker.users().await.map_err(failed)?;
    let is_theirs = |user: &User| {
        let resource = Note::of(user).resource(&session.cx.installation);
        resource.is_some_and(|resource| devices.iter().any(|device| device.contains(&resource)))
    };
    let orders: Vec<_> =
        users.into_iter().filter(is_theirs).map(|user| Order::Remove { name: user.name }).collect();
    let done = opened.broker.carry_out(&orders).await.map_err(failed)?;
    done.into_iter().collect::<std::result::Result<(), _>>().map_err(failed)
}
