//! What a step in a tenant's account goes on with, why it stops, and what that comes to.

use super::{Desk, conflict, failed, tenant};
use crate::{
    client::{Api, Failure, Object, Sort},
    convert::{Found, Note, adopted},
};
use iotorch_core::{
    Result,
    resource::{ApplicationOutputs, Outputs, ResourceId, TenantOutputs},
};

/// Why a step did not come to its end.
pub(super) enum Stopped {
    /// A request failed.
    Failed(Failure),
    /// An object is somebody else's.
    Foreign { thing: String, owner: String },
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A step in a tenant's account.
pub(super) struct Step<'a> {
    pub(super) id: &'a ResourceId,
    pub(super) application: &'a ApplicationOutputs,
    pub(super) tenant: &'a TenantOutputs,
    pub(super) is_delete: bool,
    /// What it was to do.
    pub(super) what: &'a str,
}

impl Stopped {
    /// Because what is in the place of an object is somebody else's.
    pub(super) fn at(sort: Sort, object: &Object) -> Self {
        let owner = Note::read(&object.metadata).owner().to_owned();
        Self::Foreign { thing: format!("{} \"{}\" ({})", sort.word(), object.name, object.id), owner }
    }

    /// Because somebody else's thing has the key.
    pub(super) fn at_key_of(object: &Object) -> Self {
        match Self::at(Sort::Thing, object) {
            Self::Foreign { thing, owner } => {
                Self::Foreign { thing: format!("the key is in use: {thing}"), owner }
            }
            failed @ Self::Failed(_) => failed,
        }
    }

    /// What the step comes to. Nothing is in an account any more whose user is left behind, so there is nothing to remove.
    pub(super) async fn end(self, desk: &Desk<'_>, api: &Api, step: Step<'_>) -> Result<Outputs> {
        let failure = match self {
            Self::Failed(failure) if failure.is_refused() => failure,
            Self::Failed(failure) => return Err(failed(step.what, failure)),
            Self::Foreign { thing, owner } => return Err(conflict(step.what, &thing, &owner)),
        };
        let admin = desk.admins(step.id, step.application).current().await?;
        let failure = api.explained(failure, &admin).await;
        if step.is_delete
            && failure.is_refused()
            && tenant::is_gone(desk, step.id, step.application, api, step.tenant).await?
        {
            return Ok(Outputs::Removed { residue: Vec::new() });
        }
        Err(failed(step.what, failure))
    }
}

/// The object that a step goes on with, if somebody else's only to adopt it, and what is noted with it from now on.
pub(super) fn take<'o>(
    found: &Found<'o>,
    sort: Sort,
    note: Note,
    adopt: bool,
) -> Result<(&'o Object, Note), Stopped> {
    let (object, note) = match (found.ours.first(), found.foreign) {
        (Some(ours), _) => {
            let Note { was, before, rekeyed, .. } = Note::read(&ours.metadata);
            (*ours, Note { was, before, rekeyed, ..note })
        }
        (None, Some(foreign)) if adopt => (foreign, adopted(note, foreign)),
        (None, Some(foreign)) => return Err(Stopped::at(sort, foreign)),
        (None, None) => return Err(Failure::Invalid(format!("there is no {}", sort.word())).into()),
    };
    let note = Note { id: Some(object.id.clone()), ..note };
    Ok((object, note))
}
