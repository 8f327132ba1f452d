//! Attachments: the channel of a gateway, and what stores its messages.

use super::{
    Desk, delete_channels, delete_contents,
    stopped::{Step, Stopped, take},
};
use crate::{
    client::{Account, Api, Failure, Made, New, Object, Sort},
    convert::{Found, Note, attachment_outputs, given_back, id_of},
};
use iotorch_core::{
    Mark, Result,
    resource::{Attachment, AttachmentSpec, Job, Outputs, Ownership},
};
use serde_json::Map;
use std::sync::Arc;

pub(super) async fn apply(desk: &mut Desk<'_>, job: &Job<Attachment>) -> Result<Outputs> {
    let (application, tenant) = (&job.inputs.application, &job.inputs.tenant);
    let api = desk.api(&job.id, application)?;
    let account = desk.account(&api, tenant).await?;
    let at = At { job, mark: desk.mark(&job.id), api: &api, account: &account };
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

struct At<'a> {
    job: &'a Job<Attachment>,
    mark: Mark,
    api: &'a Api,
    account: &'a Account,
}

impl At<'_> {
    fn what(&self) -> String {
        let verb = match (self.job.change.is_delete(), self.job.ownership) {
            (_, Ownership::Release) => "give back",
            (true, _) => "remove",
            (false, _) => "set up",
        };
        format!("{verb} attachment \"{}\"", self.job.id.name())
    }

    fn name(&self) -> Option<&str> {
        let spec = self.job.change.after().or_else(|| self.job.change.before());
        spec.map(|spec| spec.name.as_str())
    }

    fn chosen_id(&self) -> Option<String> {
        id_of(self.api.dialect, &self.account.login, &self.job.id)
    }

    fn find<'o>(&self, channels: &'o [Object]) -> Found<'o> {
        Found::among(channels, &self.mark, self.name(), self.chosen_id().as_deref())
    }

    fn outputs(&self, channel: &Object) -> Outputs {
        attachment_outputs(self.api.dialect, &self.account.login, channel).into()
    }

    async fn channels(&self, desk: &mut Desk<'_>) -> Result<Arc<[Object]>, Failure> {
        desk.objects(self.api, self.account, Sort::Channel).await
    }

    async fn ensure(
        &self,
        desk: &mut Desk<'_>,
        after: &AttachmentSpec,
        adopt: bool,
    ) -> Result<Outputs, Stopped> {
        let mut channels = self.channels(desk).await?;
        let mut found = self.find(&channels);
        let made;
        if found.ours.is_empty() && found.foreign.is_none() {
            desk.forget();
            match self.create(after).await? {
                Made::New(channel) => {
                    made = channel;
                    found.ours.push(&made);
                }
                // It may be there since: it is looked for again, once.
                Made::Refused(failure) => {
                    channels = self.channels(desk).await?;
                    found = self.find(&channels);
                    if found.ours.is_empty() && found.foreign.is_none() {
                        return Err(failure.into());
                    }
                }
            }
        }
        let (channel, note) = take(&found, Sort::Channel, Note::new(&self.mark, after.clone()), adopt)?;
        let (api, account) = (self.api, self.account);
        // Nothing else of it can be changed before.
        if channel.is_disabled {
            desk.forget();
            api.switch(account, Sort::Channel, &channel.id, true).await?;
        }
        if channel.name != after.name || Note::read(&channel.metadata) != note {
            desk.forget();
            let metadata = note.write(&channel.metadata);
            api.update(account, Sort::Channel, &channel.id, &after.name, &metadata).await?;
        }
        let left_over = found.ours.get(1..).unwrap_or_default();
        if !left_over.is_empty() {
            desk.forget();
            delete_channels(api, account, left_over).await?;
        }
        api.store(account, &channel.id).await?;
        Ok(self.outputs(&channel.renamed(&after.name)))
    }

    /// Makes the channel. Where the server chooses ids it is not the one before that is noted with it: a call that comes late makes
    /// one that nobody has confirmed.
    async fn create(&self, after: &AttachmentSpec) -> Result<Made<Object>, Failure> {
        let id = self.chosen_id();
        let note = Note { id: id.clone(), ..Note::new(&self.mark, after.clone()) };
        let new = New { id, name: after.name.clone(), key: None, metadata: note.write(&Map::new()) };
        Ok(match self.api.create(self.account, Sort::Channel, &new).await? {
            Made::New(id) => Made::New(Object::made(id, new)),
            Made::Refused(failure) => Made::Refused(failure),
        })
    }

    async fn delete(&self, desk: &mut Desk<'_>) -> Result<Outputs, Stopped> {
        desk.forget();
        let channels = self.channels(desk).await?;
        let found = self.find(&channels);
        if let (true, Some(foreign)) = (found.ours.is_empty(), found.foreign) {
            return Err(Stopped::at(Sort::Channel, foreign));
        }
        desk.forget();
        delete_contents(self.api, self.account, &self.mark).await?;
        if let Some(channel) = self.chosen_id() {
            // The rule stays where somebody has deleted the channel.
            self.api.delete_rules(self.account, |rule| rule.is_for(&channel)).await?;
        }
        delete_channels(self.api, self.account, &found.ours).await?;
        Ok(Outputs::Removed { residue: Vec::new() })
    }

    /// Gives the channel back as it was found. One that was given back before is left alone.
    async fn release(&self, desk: &mut Desk<'_>, after: Option<&AttachmentSpec>) -> Result<Outputs, Stopped> {
        let channels = self.channels(desk).await?;
        let found = self.find(&channels);
        let Some(channel) = found.ours.first() else {
            let outputs = found.foreign.filter(|_| after.is_some()).map(|foreign| self.outputs(foreign));
            return Ok(outputs.unwrap_or(Outputs::Removed { residue: Vec::new() }));
        };
        desk.forget();
        let (api, account) = (self.api, self.account);
        let name = after.map_or(&channel.name, |after| &after.name);
        let metadata = given_back(&channel.metadata, api.dialect);
        if Mark::parse(&Note::read(&metadata).mark).is_none() {
            // Another installation would call its rule the same.
            api.delete_rules(account, |rule| rule.is_for(&channel.id)).await?;
        }
        if channel.is_disabled {
            api.switch(account, Sort::Channel, &channel.id, true).await?;
        }
        api.update(account, Sort::Channel, &channel.id, name, &metadata).await?;
        if Note::read(&channel.metadata).before.disabled {
            api.switch(account, Sort::Channel, &channel.id, false).await?;
        }
        Ok(self.outputs(&channel.renamed(name)))
    }
}
