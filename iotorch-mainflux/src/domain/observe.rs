//! Looking at a server and at all that is in it.

use super::{
    Admins, MainfluxDomain, application,
    application::{away, silent},
    delete_channels, failed,
    tenant::{self, State},
    unknown_release,
};
use crate::{
    client::{Account, Api, Dialect, Failure, Object, Rule, Service, Sort, asked_release},
    config::quoted,
    convert::{Found, Note, attachment_outputs, credential_outputs, email_of, id_of, resource_in, spec_of},
};
use iotorch_core::{
    Context, ErrorKind, Health, Mark, Observed, Result, Scope,
    resource::{
        ApplicationOutputs, AttachmentSpec, KindName, Location, Outputs, ResourceId, Spec, TenantOutputs,
        TenantSpec,
    },
    secret::SecretRef,
};
use std::{collections::HashMap, sync::Arc};

pub(super) async fn observe(
    domain: &MainfluxDomain,
    cx: &Context,
    scope: &Scope,
) -> Result<Vec<(ResourceId, Observed)>> {
    let root = &scope.root;
    let Some((spec, application)) = scope.reachable() else {
        return Ok(scope.known.iter().map(|id| (id.clone(), Observed::Absent)).collect());
    };
    let what = format!("observe server \"{}\"", spec.name);
    let fail = |failure| failed(&what, failure);
    let endpoints = &application.endpoints;
    let settings = domain.learn(root, spec);
    let services = domain.services(cx, root, endpoints).map_err(fail)?;
    let asked = asked_release(&services).await.map_err(fail)?;
    let version = application::release(spec, &settings, asked, Some(&application.version))?;
    let dialect = Dialect::of(&version).ok_or_else(|| unknown_release(&version))?;
    let mut silent = silent(&services, dialect).await;
    let vital = silent.extract_if(.., |service, _| service.is_vital()).collect::<application::Silent>();
    if !vital.is_empty() {
        let error = away(spec, vital);
        let kind = if error.kind() == ErrorKind::NotReady { ErrorKind::Unavailable } else { error.kind() };
        return Err(iotorch_core::Error::new(kind, format!("cannot {what}")).with_source(error));
    }
    let names: Vec<_> = silent.keys().map(|service| service.name()).collect();
    let health = match names.as_slice() {
        [] => Health::Ready,
        names => Health::Degraded { reason: format!("it does not answer at {}", quoted(names)) },
    };
    let api = domain.api_of(services, dialect);
    let outputs = ApplicationOutputs { version, ..application.clone() };
    let are_rules_away = silent.contains_key(&Service::Rules);
    let admins = Admins { domain, cx, id: root, secret: &application.admin };
    let mut eye = Eye { cx, scope, api, admins, are_rules_away, what: &what, seen: Vec::new() };
    eye.see(root, Observed::Present { spec: spec.clone().into(), outputs: outputs.clone().into(), health });
    eye.look().await?;
    Ok(eye.seen)
}

/// What looks at a server.
struct Eye<'a> {
    cx: &'a Context,
    scope: &'a Scope,
    api: Api,
    admins: Admins<'a>,
    are_rules_away: bool,
    what: &'a str,
    seen: Vec<(ResourceId, Observed)>,
}

/// All that is in the account of a tenant.
struct Inside<'a> {
    account: &'a Account,
    email: &'a str,
    things: Vec<Object>,
    channels: Vec<Object>,
    /// None while what knows them is away.
    rules: Option<Vec<Rule>>,
    /// The things that are connected, by channel.
    connected: HashMap<String, Arc<[Object]>>,
}

impl Eye<'_> {
    fn see(&mut self, id: &ResourceId, observed: Observed) {
        self.seen.push((id.clone(), observed));
    }

    fn is_seen(&self, id: &ResourceId) -> bool {
        self.seen.iter().any(|(seen, _)| seen == id)
    }

    async fn look(&mut self) -> Result<()> {
        let tenant = self.scope.root.tenant();
        let email = email_of(&self.cx.mark(&tenant));
        let state = self.tenant(&tenant, &email).await?;
        let is_known = self.scope.known.contains(&tenant);
        if let State::Used(account, secret) = &state {
            let mut spec = TenantSpec::new(self.scope.root.slice(), secret.clone());
            let outputs = TenantOutputs { id: email.clone(), secret: secret.clone() };
            let domain = match &account.domain {
                Some(domain) => Some(
                    self.api.domain(account, domain).await.map_err(|failure| failed(self.what, failure))?,
                ),
                None => None,
            };
            spec.changed_outside = match &domain {
                Some(Some(domain)) if domain.is_disabled() => Some("its domain is disabled".to_owned()),
                Some(None) => Some("its user has no domain".to_owned()),
                _ => None,
            };
            let failed = |reason| Health::Failed { reason };
            let health = spec.changed_outside.clone().map_or(Health::Ready, failed);
            self.see(&tenant, Observed::Present { spec: spec.into(), outputs: outputs.into(), health });
            if !matches!(domain, Some(None)) {
                self.contents(account, &email).await?;
            }
        } else if is_known {
            let seen = match state {
                State::Foreign(owner) => Observed::Foreign { owner: owner.to_owned(), spec: None },
                _ => Observed::Absent,
            };
            self.see(&tenant, seen);
        }
        // What was not come across is not there.
        for id in &self.scope.known {
            if !self.is_seen(id) {
                self.see(id, Observed::Absent);
            }
        }
        Ok(())
    }

    /// How the tenant's user is. Only where its secret does not open it, the administrator has to be asked.
    async fn tenant(&self, tenant: &ResourceId, email: &str) -> Result<State> {
        let recorded = match self.scope.recorded.get(tenant).map(AsRef::as_ref) {
            Some(Spec::Tenant(recorded)) => Some(&recorded.secret),
            _ => None,
        };
        let candidates = tenant::candidates(self.cx, tenant, recorded).await?;
        let state = tenant::look(self.cx, &self.api, email, &candidates, self.admins).await;
        state.map_err(|error| error.into_error(self.what))
    }

    async fn contents(&mut self, account: &Account, email: &str) -> Result<()> {
        let what = self.what;
        let fail = |failure: Failure| failed(what, failure);
        let mut inside = Inside {
            account,
            email,
            things: self.api.objects(account, Sort::Thing).await.map_err(fail)?,
            channels: self.api.objects(account, Sort::Channel).await.map_err(fail)?,
            rules: match self.are_rules_away {
                true => None,
                false => Some(self.api.rules(account).await.map_err(fail)?),
            },
            connected: HashMap::new(),
        };
        let mut ids: Vec<ResourceId> = self.scope.known.iter().cloned().collect();
        let host = self.cx.mark(&self.scope.root);
        let strays =
            inside.channels.iter().chain(&inside.things).filter_map(|object| resource_in(object, &host));
        ids.extend(strays);
        ids.sort();
        ids.dedup();
        for id in ids.into_iter().filter(|id| id.scope() == self.scope.root) {
            let seen = match id.kind() {
                KindName::Attachment => self.attachment(&id, &inside).await.map_err(fail)?,
                KindName::Credential => self.credential(&id, &mut inside).await?,
                _ => continue,
            };
            self.see(&id, seen);
        }
        Ok(())
    }

    async fn attachment(&self, id: &ResourceId, inside: &Inside<'_>) -> Result<Observed, Failure> {
        let found = self.channels_of(id, inside);
        let Some((channel, left_over)) = found.ours.split_first() else {
            return Ok(foreign(id, found.foreign));
        };
        // Calls that came late have made them, when nobody asked any more: nothing refers to them.
        if is_confirmed(channel) && inside.rules.is_some() {
            delete_channels(&self.api, inside.account, left_over).await?;
        }
        let rules = inside.rules.as_ref().map(|rules| Rule::of(rules, &channel.id));
        for left_over in rules.iter().flatten().skip(1) {
            self.api.delete_rule(inside.account, &left_over.id).await?;
        }
        let degraded = |reason: &str| Health::Degraded { reason: reason.to_owned() };
        let mut spec = AttachmentSpec::new(channel.name.clone());
        let health = match &rules {
            _ if channel.is_disabled => {
                let reason = "its channel is disabled".to_owned();
                spec.changed_outside = Some(reason.clone());
                Health::Failed { reason }
            }
            // Neither of these can be mended by making it again.
            _ if !self.api.is_storage_known() => {
                degraded("what is stored is not known: the server has no endpoint \"rules\"")
            }
            None => degraded("what is stored is not known: it does not answer at \"rules\""),
            Some(rules)
                if self.api.has_rules() && !rules.first().is_some_and(|rule| rule.stores(&channel.id)) =>
            {
                let reason = "no rule stores what is sent to its channel";
                spec.changed_outside = Some(reason.to_owned());
                degraded(reason)
            }
            Some(_) => Health::Ready,
        };
        let outputs = attachment_outputs(self.api.dialect, inside.email, channel).into();
        Ok(Observed::Present { spec: spec.into(), outputs, health })
    }

    /// The channels of an attachment.
    fn channels_of<'o>(&self, id: &ResourceId, inside: &'o Inside<'_>) -> Found<'o> {
        let name = self.attachment_name(id);
        let chosen = id_of(self.api.dialect, inside.email, id);
        Found::among(&inside.channels, &self.cx.mark(id), Some(&name), chosen.as_deref())
    }

    /// The name of an attachment at the server: as it was recorded, or as it would be.
    fn attachment_name(&self, id: &ResourceId) -> String {
        match self.scope.recorded.get(id).map(AsRef::as_ref) {
            Some(Spec::Attachment(spec)) => spec.name.clone(),
            _ if id.location() == Location::External => format!("{}.{}", id.slice(), id.name()),
            _ => id.name().to_owned(),
        }
    }

    async fn credential(&self, id: &ResourceId, inside: &mut Inside<'_>) -> Result<Observed> {
        let Some(attachment) = id.host() else { return Ok(Observed::Absent) };
        let mark: Mark = self.cx.mark(id);
        let name = format!("{}-{}", self.attachment_name(&attachment), id.name());
        let chosen = id_of(self.api.dialect, inside.email, id);
        let found = Found::among(&inside.things, &mark, Some(&name), chosen.as_deref());
        let Some((thing, left_over)) = found.ours.split_first() else {
            return Ok(foreign(id, found.foreign));
        };
        for left_over in left_over.iter().filter(|_| is_confirmed(thing)) {
            let deleted = self.api.delete(inside.account, Sort::Thing, &left_over.id).await;
            deleted.map_err(|failure| failed(self.what, failure))?;
        }
        let recorded = self.scope.recorded.get(id).map(|spec| (**spec).clone());
        let Some(Spec::Credential(spec)) = spec_of(id, thing).or(recorded) else {
            return Ok(Observed::Absent);
        };
        let channel = self.channels_of(&attachment, inside).ours.first().map(|channel| channel.id.clone());
        let is_connected = match channel {
            Some(channel) => {
                let connected = match inside.connected.get(&channel) {
                    Some(connected) => Arc::clone(connected),
                    None => {
                        let connected = self.api.connected(inside.account, &channel).await;
                        connected.map_err(|failure| failed(self.what, failure))?.into()
                    }
                };
                let is_connected = connected.iter().any(|other| other.id == thing.id);
                inside.connected.insert(channel, connected);
                is_connected
            }
            None => false,
        };
        // A key that opens nothing is no key: the next plan makes it good. One that nobody wants is there, and goes.
        let is_wanted = self.scope.known.contains(id);
        if is_wanted
            && (!is_connected || thing.is_disabled || self.has_other_key(thing, &spec.secret).await?)
        {
            return Ok(Observed::Absent);
        }
        let outputs: Outputs = credential_outputs(thing, &spec).into();
        Ok(Observed::Present { spec: spec.into(), outputs, health: Health::Ready })
    }

    /// Whether somebody has given the thing another key than that of the secret, as far as both are known.
    async fn has_other_key(&self, thing: &Object, secret: &SecretRef) -> Result<bool> {
        let Some(key) = &thing.key else { return Ok(false) };
        match self.cx.secret(secret).await {
            Ok(wanted) => Ok(wanted != *key),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether an object is the one of its resource: others with the same mark are left over from calls that came late.
fn is_confirmed(object: &Object) -> bool {
    Note::read(&object.metadata).id.as_deref() == Some(object.id.as_str())
}

/// What is in the place of a resource and is somebody else's, if anything.
fn foreign(id: &ResourceId, object: Option<&Object>) -> Observed {
    object.map_or(Observed::Absent, |object| Observed::Foreign {
        owner: Note::read(&object.metadata).owner().to_owned(),
        spec: spec_of(id, object),
    })
}
