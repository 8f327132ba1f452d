//! Credentials: each generation of a key is a thing of its own, since a key that was used stays valid after it was changed.

use super::{
    Desk,
    stopped::{Step, Stopped, take},
};
use crate::{
    client::{Account, Api, Failure, Made, New, Object, Sort},
    convert::{Found, Note, credential_outputs, given_back, id_of, thing_name},
};
use iotorch_core::{
    Context, ErrorKind, Mark, Result,
    resource::{
        AttachmentOutputs, Change, Credential, CredentialHolder, CredentialSpec, Job, KindName, Outputs,
        Ownership, TenantOutputs, Work,
    },
    secret::SecretValue,
};
use serde_json::Map;
use std::sync::Arc;

pub(super) async fn apply(desk: &mut Desk<'_>, job: &Job<Credential>) -> Result<Outputs> {
    let (tenant, attachment) = holder(job)?;
    let application = &job.inputs.application;
    let api = desk.api(&job.id, application)?;
    let account = desk.account(&api, tenant).await?;
    let key = key_of(desk.cx, job).await?;
    let at = At { job, mark: desk.mark(&job.id), api: &api, account: &account, attachment, key };
    let done = match (job.change.after(), job.ownership) {
        (after, Ownership::Release) => at.release(desk, after).await,
        (Some(after), ownership) => at.ensure(desk, after, ownership == Ownership::Adopt).await,
        (None, _) => at.delete(desk).await,
    };
    match done {
        Ok(outputs) => Ok(outputs),
        Err(stopped) => {
            let (id, is_delete) = (&job.id, job.change.is_delete());
            stopped.end(desk, &api, Step { id, application, tenant, is_delete, what: &at.what() }).await
        }
    }
}

fn holder(job: &Job<Credential>) -> Result<(&TenantOutputs, &AttachmentOutputs)> {
    match &job.inputs.holder {
        CredentialHolder::Attachment { tenant, attachment } => Ok((tenant, attachment)),
        CredentialHolder::Device(_) => Err(super::unsupported(KindName::Device)),
    }
}

/// The key that the thing is to have. One that is to be given back keeps its key if the old one is not known any more.
async fn key_of(cx: &Context, job: &Job<Credential>) -> Result<Option<SecretValue>> {
    let Some(after) = job.change.after() else { return Ok(None) };
    match cx.secret(&after.secret).await {
        Err(error) if error.kind() == ErrorKind::NotFound && job.ownership == Ownership::Release => Ok(None),
        key => key.map(Some),
    }
}

/// Makes the new things of a batch in one request. Whatever goes wrong shows when each is seen to by itself.
pub(super) async fn make_together(desk: &mut Desk<'_>, batch: &[Work]) {
    let mut news = Vec::new();
    let mut place = None;
    for work in batch {
        let Work::Credential(job) = work else { return };
        let (Change::Create { after }, Ownership::Ours) = (&job.change, job.ownership) else { continue };
        let Ok((tenant, attachment)) = holder(job) else { continue };
        let Ok(api) = desk.api(&job.id, &job.inputs.application) else { return };
        let Ok(account) = desk.account(&api, tenant).await else { return };
        let Ok(key) = key_of(desk.cx, job).await else { continue };
        let Ok(things) = desk.objects(&api, &account, Sort::Thing).await else { return };
        let at = At { job, mark: desk.mark(&job.id), api: &api, account: &account, attachment, key };
        let found = at.find(&things);
        if found.ours.is_empty() && found.foreign.is_none() {
            news.push(at.new_thing(after));
        }
        place = Some((api, account));
    }
    let Some((api, account)) = place.filter(|_| news.len() > 1) else { return };
    desk.forget();
    // Whatever was made: everything is looked at again.
    drop(api.create_things(&account, &news).await);
}

struct At<'a> {
    job: &'a Job<Credential>,
    mark: Mark,
    api: &'a Api,
    account: &'a Account,
    attachment: &'a AttachmentOutputs,
    key: Option<SecretValue>,
}

impl At<'_> {
    fn what(&self) -> String {
        let verb = match (self.job.change.is_delete(), self.job.ownership) {
            (_, Ownership::Release) => "give back",
            (true, _) => "remove",
            (false, _) => "set up",
        };
        format!("{verb} key {} of attachment \"{}\"", self.job.id.name(), self.attachment.thing)
    }

    fn name(&self) -> String {
        thing_name(self.attachment, &self.job.id)
    }

    fn chosen_id(&self) -> Option<String> {
        id_of(self.api.dialect, &self.account.login, &self.job.id)
    }

    fn find<'o>(&self, things: &'o [Object]) -> Found<'o> {
        Found::among(things, &self.mark, Some(&self.name()), self.chosen_id().as_deref())
    }

    async fn things(&self, desk: &mut Desk<'_>) -> Result<Arc<[Object]>, Failure> {
        desk.objects(self.api, self.account, Sort::Thing).await
    }

    fn new_thing(&self, after: &CredentialSpec) -> New {
        let id = self.chosen_id();
        let note = Note { id: id.clone(), ..Note::new(&self.mark, after.clone()) };
        New { id, name: self.name(), key: self.key.clone(), metadata: note.write(&Map::new()) }
    }

    async fn ensure(
        &self,
        desk: &mut Desk<'_>,
        after: &CredentialSpec,
        adopt: bool,
    ) -> Result<Outputs, Stopped> {
        let (api, account) = (self.api, self.account);
        let mut things = self.things(desk).await?;
        let mut found = self.find(&things);
        let made;
        if found.ours.is_empty() && found.foreign.is_none() {
            desk.forget();
            let new = self.new_thing(after);
            match api.create(account, Sort::Thing, &new).await? {
                Made::New(id) => {
                    made = Object::made(id, new);
                    found.ours.push(&made);
                }
                // A call that came late has made it, or somebody else has the key.
                Made::Refused(failure) => {
                    things = self.things(desk).await?;
                    found = self.find(&things);
                    if found.ours.is_empty() && found.foreign.is_none() {
                        let holder = things.iter().find(|thing| thing.key.is_some() && thing.key == self.key);
                        return Err(holder.map_or(Stopped::Failed(failure), Stopped::at_key_of));
                    }
                }
            }
        }
        let (thing, mut note) = take(&found, Sort::Thing, Note::new(&self.mark, after.clone()), adopt)?;
        let channel = &self.attachment.channel;
        if found.ours.is_empty() {
            note.before.apart = !desk.connected(api, account, channel).await?.contains(&thing.id);
        }
        note.rekeyed |= api.dialect.is_mainflux() && self.has_other_key(thing);
        // Nothing else of it can be changed before.
        if thing.is_disabled {
            desk.forget();
            api.switch(account, Sort::Thing, &thing.id, true).await?;
        }
        if thing.name != self.name() || Note::read(&thing.metadata) != note {
            desk.forget();
            let metadata = note.write(&thing.metadata);
            api.update(account, Sort::Thing, &thing.id, &self.name(), &metadata).await?;
        }
        // One of them may have the key.
        for left_over in found.ours.iter().skip(1) {
            desk.forget();
            api.delete(account, Sort::Thing, &left_over.id).await?;
        }
        self.set_key(desk, thing).await?;
        desk.connect(api, account, channel, &thing.id).await?;
        Ok(credential_outputs(thing, after).into())
    }

    /// Whether somebody has given the thing another key, as far as both are known.
    fn has_other_key(&self, thing: &Object) -> bool {
        matches!((&self.key, &thing.key), (Some(key), Some(other)) if key != other)
    }

    /// Gives the thing its key, if somebody has changed it.
    async fn set_key(&self, desk: &mut Desk<'_>, thing: &Object) -> Result<(), Failure> {
        match &self.key {
            Some(key) if self.has_other_key(thing) => {
                desk.forget();
                self.api.change_key(self.account, &thing.id, key).await
            }
            _ => Ok(()),
        }
    }

    async fn delete(&self, desk: &mut Desk<'_>) -> Result<Outputs, Stopped> {
        let things = self.things(desk).await?;
        let found = self.find(&things);
        if let (true, Some(foreign)) = (found.ours.is_empty(), found.foreign) {
            return Err(Stopped::at(Sort::Thing, foreign));
        }
        let mut residue = Vec::new();
        for thing in found.ours {
            desk.forget();
            self.api.delete(self.account, Sort::Thing, &thing.id).await?;
            if Note::read(&thing.metadata).rekeyed {
                let name = &thing.name;
                residue.push(format!("the key that somebody else gave to thing \"{name}\": Mainflux never forgets one that was used"));
            }
        }
        Ok(Outputs::Removed { residue })
    }

    /// Gives the thing back as it was found. One that was given back before is left alone.
    async fn release(&self, desk: &mut Desk<'_>, after: Option<&CredentialSpec>) -> Result<Outputs, Stopped> {
        let things = self.things(desk).await?;
        let found = self.find(&things);
        let tells = |thing: &Object| match after {
            Some(after) => credential_outputs(thing, after).into(),
            None => Outputs::Removed { residue: Vec::new() },
        };
        let Some(thing) = found.ours.first() else {
            return Ok(found.foreign.map_or(Outputs::Removed { residue: Vec::new() }, tells));
        };
        let (api, account) = (self.api, self.account);
        let before = Note::read(&thing.metadata).before;
        if thing.is_disabled {
            desk.forget();
            api.switch(account, Sort::Thing, &thing.id, true).await?;
        }
        self.set_key(desk, thing).await?;
        if before.apart {
            desk.disconnect(api, account, &self.attachment.channel, &thing.id).await?;
        }
        desk.forget();
        let metadata = given_back(&thing.metadata, api.dialect);
        api.update(account, Sort::Thing, &thing.id, &thing.name, &metadata).await?;
        if before.disabled {
            api.switch(account, Sort::Thing, &thing.id, false).await?;
        }
        Ok(tells(thing))
    }
}
