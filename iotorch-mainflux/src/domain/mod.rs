//! Servers as a management domain, through their HTTP APIs.

mod application;
mod attachment;
mod credential;
mod observe;
mod stopped;
mod tenant;

use crate::{
    MainfluxSettings,
    client::{Account, Api, Dialect, Endpoints, Failure, Object, Rule, Services, Sort, Tokens, http},
    config::{ADMIN_USER, KNOWN_RELEASES},
    convert::{self, account, dialect_of},
};
use async_trait::async_trait;
use iotorch_core::{
    Context, Domain, Error, ErrorKind, Mark, Observed, Result, Scope,
    resource::{
        ApplicationOutputs, ApplicationSpec, Inputs, KindName, Location, Outputs, Ownership, ResourceId,
        TenantOutputs, Work,
    },
    secret::SecretRef,
};
use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// Servers in one place.
#[derive(Debug, Default)]
pub(crate) struct MainfluxDomain {
    tokens: Arc<Tokens>,
    clients: Mutex<HashMap<Option<PathBuf>, reqwest::Client>>,
    /// The settings of servers, by the application: slices that share one may have their own. Only an application's specification has
    /// them, so they are kept for the steps in it.
    settings: Mutex<HashMap<ResourceId, MainfluxSettings>>,
}

impl MainfluxDomain {
    /// The settings of a server, which are kept for the steps in it.
    fn learn(&self, id: &ResourceId, application: &ApplicationSpec) -> MainfluxSettings {
        let settings = MainfluxSettings::read(&application.settings).unwrap_or_default();
        let mut known = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(id.scope(), settings.clone());
        settings
    }

    /// The settings of the server that `id` is or lives in.
    fn settings_of(&self, id: &ResourceId) -> MainfluxSettings {
        let known = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&id.scope()).cloned().unwrap_or_default()
    }

    /// The services of the server that `id` is or lives in.
    fn services(&self, cx: &Context, id: &ResourceId, endpoints: &Endpoints) -> Result<Services, Failure> {
        let trust = self.settings_of(id).trust;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = match clients.get(&trust) {
            Some(client) => client.clone(),
            None => {
                let client = http(trust.as_deref())?;
                clients.insert(trust, client.clone());
                client
            }
        };
        Ok(Services::new(client, cx.places.clone(), endpoints.clone()))
    }

    /// A server that was found to speak a dialect.
    fn api(&self, cx: &Context, id: &ResourceId, application: &ApplicationOutputs) -> Result<Api> {
        let dialect = dialect_of(application).ok_or_else(|| unknown_release(&application.version))?;
        let services = self.services(cx, id, &application.endpoints);
        let services = services.map_err(|failure| failed("make a client", failure))?;
        Ok(self.api_of(services, dialect))
    }

    fn api_of(&self, services: Services, dialect: Dialect) -> Api {
        Api::new(services, dialect, Arc::clone(&self.tokens))
    }

    /// Who administers the server that `id` is or lives in. The credentials of one outside of iotorch can name the user.
    async fn admin(&self, cx: &Context, id: &ResourceId, admin: &SecretRef) -> Result<Account> {
        let secret = cx.secret(admin).await?;
        let usual = self.settings_of(id).admin_user.unwrap_or_else(|| ADMIN_USER.to_owned());
        let (login, password) = match secret.expose().split_once(':') {
            Some((user, password)) if id.location() == Location::External && !user.is_empty() => {
                (user.to_owned(), password.to_owned())
            }
            _ => (usual, secret.expose().to_owned()),
        };
        Ok(Account { login, password: iotorch_core::secret::SecretValue::new(password), domain: None })
    }
}

/// Who administers a server.
#[derive(Clone, Copy)]
struct Admins<'a> {
    domain: &'a MainfluxDomain,
    cx: &'a Context,
    /// The server, or what lives in it.
    id: &'a ResourceId,
    secret: &'a SecretRef,
}

impl Admins<'_> {
    /// The administrator as of now.
    async fn current(&self) -> Result<Account> {
        self.domain.admin(self.cx, self.id, self.secret).await
    }

    /// The administrator with the passwords that its secret has in other versions, which users that are left behind may still follow.
    async fn others(&self) -> Result<Vec<Account>> {
        let mut others = Vec::new();
        let versions = versions(self.cx, self.secret.name()).await?;
        for secret in versions.iter().filter(|version| *version != self.secret) {
            match self.domain.admin(self.cx, self.id, secret).await {
                Ok(admin) => others.push(admin),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(others)
    }
}

/// The versions of a secret that are known, the newest first.
async fn versions(cx: &Context, name: &str) -> Result<Vec<SecretRef>> {
    let mut versions = cx.secrets.list(name).await?;
    versions.retain(|other| other.name() == name);
    versions.sort_by_key(|version| std::cmp::Reverse(version.version()));
    Ok(versions)
}

fn unknown_release(release: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("cannot use release {release:?} of a server"))
        .with_source("its API is not known")
        .with_help(KNOWN_RELEASES)
}

/// Says what could not be done.
fn failed(what: &str, failure: Failure) -> Error {
    failure.into_error(format!("cannot {what}"))
}

/// Says that something is somebody else's.
fn conflict(what: &str, thing: &str, owner: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("cannot {what}"))
        .with_source(format!("{thing} belongs to {owner}"))
}

fn unsupported(kind: KindName) -> Error {
    Error::new(ErrorKind::Unsupported, format!("cannot make a {kind} with driver \"mainflux\""))
}

#[async_trait]
impl Domain for MainfluxDomain {
    async fn observe(&self, cx: &Context, scope: &Scope) -> Result<Vec<(ResourceId, Observed)>> {
        observe::observe(self, cx, scope).await
    }

    fn recall(&self, scope: &Scope) {
        if let Some((spec, _)) = scope.reachable() {
            self.learn(&scope.root, spec);
        }
    }

    async fn apply(&self, cx: &Context, batch: Vec<Work>) -> Vec<Result<Outputs>> {
        let mut desk = Desk { domain: self, cx, server: None, book: None };
        credential::make_together(&mut desk, &batch).await;
        let mut results = Vec::with_capacity(batch.len());
        // One after the other: what takes long, to make many things, was done together.
        for work in batch {
            results.push(step(&mut desk, work).await);
        }
        results
    }

    /// All that is ever changed of a server as a whole is its administrator's password.
    fn only_asks(&self, call: &Work) -> bool {
        let Work::Application(job) = call else { return false };
        let (before, after) = (job.change.before(), job.change.after());
        before.zip(after).is_none_or(|(before, after)| before.admin == after.admin)
    }

    /// Passwords change only from the one that was meant, keys and ids are chosen here, and all else is put whole. The
    /// exceptions are channels of Mainflux, whose ids it chooses, and the rules of Magistrala: of these a second one would appear.
    fn repeats_at_once(&self, call: &Work) -> bool {
        if call.id().kind() == KindName::Application {
            return true;
        }
        if call.ownership() != Ownership::Ours || call.change().is_delete() {
            return false;
        }
        match call.inputs() {
            Inputs::Attachment(inputs) => dialect_of(&inputs.application) == Some(Dialect::SuperMq),
            _ => true,
        }
    }
}

/// What the steps of one call share: they are all on one server, and as a rule in one account.
struct Desk<'a> {
    domain: &'a MainfluxDomain,
    cx: &'a Context,
    server: Option<(ResourceId, ApplicationOutputs, Arc<Api>)>,
    book: Option<Book>,
}

/// What is known of a tenant's account.
struct Book {
    tenant: TenantOutputs,
    account: Account,
    things: Option<Arc<[Object]>>,
    channels: Option<Arc<[Object]>>,
    /// The things that are connected, by channel.
    connected: HashMap<String, HashSet<String>>,
}

impl Desk<'_> {
    /// The server that `id` lives in.
    fn api(&mut self, id: &ResourceId, application: &ApplicationOutputs) -> Result<Arc<Api>> {
        let scope = id.scope();
        if let Some((at, known, api)) = &self.server
            && (at, known) == (&scope, application)
        {
            return Ok(Arc::clone(api));
        }
        let api = Arc::new(self.domain.api(self.cx, id, application)?);
        (self.server, self.book) = (Some((scope, application.clone(), Arc::clone(&api))), None);
        Ok(api)
    }

    fn admins<'a>(&'a self, id: &'a ResourceId, application: &'a ApplicationOutputs) -> Admins<'a> {
        Admins { domain: self.domain, cx: self.cx, id, secret: &application.admin }
    }

    /// The account of a tenant.
    async fn account(&mut self, api: &Api, tenant: &TenantOutputs) -> Result<Account> {
        if let Some(book) = &self.book
            && book.tenant == *tenant
        {
            return Ok(book.account.clone());
        }
        let account = account(api.dialect, &tenant.id, self.cx.secret(&tenant.secret).await?);
        let (tenant, shared) = (tenant.clone(), account.clone());
        let connected = HashMap::new();
        self.book = Some(Book { tenant, account: shared, things: None, channels: None, connected });
        Ok(account)
    }

    /// Everything of a sort that an account has, as it was seen before in this call unless that was forgotten.
    async fn objects(&mut self, api: &Api, account: &Account, sort: Sort) -> Result<Arc<[Object]>, Failure> {
        let seen = |book: &Book| match sort {
            Sort::Thing => book.things.clone(),
            Sort::Channel => book.channels.clone(),
        };
        if let Some(objects) = self.book.as_ref().and_then(seen) {
            return Ok(objects);
        }
        let objects: Arc<[Object]> = api.objects(account, sort).await?.into();
        if let Some(book) = &mut self.book {
            let place = match sort {
                Sort::Thing => &mut book.things,
                Sort::Channel => &mut book.channels,
            };
            *place = Some(Arc::clone(&objects));
        }
        Ok(objects)
    }

    /// The things that are connected to a channel, as it was seen before in this call.
    async fn connected(
        &mut self,
        api: &Api,
        account: &Account,
        channel: &str,
    ) -> Result<HashSet<String>, Failure> {
        if let Some(seen) = self.book.as_ref().and_then(|book| book.connected.get(channel)) {
            return Ok(seen.clone());
        }
        let connected = api.connected(account, channel).await?.into_iter().map(|thing| thing.id);
        let connected: HashSet<String> = connected.collect();
        self.note_connected(channel, connected.clone());
        Ok(connected)
    }

    fn note_connected(&mut self, channel: &str, connected: HashSet<String>) {
        if let Some(book) = &mut self.book {
            book.connected.insert(channel.to_owned(), connected);
        }
    }

    /// Connects a thing to a channel, unless it is connected.
    async fn connect(
        &mut self,
        api: &Api,
        account: &Account,
        channel: &str,
        thing: &str,
    ) -> Result<(), Failure> {
        let mut connected = self.connected(api, account, channel).await?;
        if connected.insert(thing.to_owned()) {
            api.connect(account, channel, thing).await?;
            self.note_connected(channel, connected);
        }
        Ok(())
    }

    /// Disconnects a thing from a channel, if it is connected.
    async fn disconnect(
        &mut self,
        api: &Api,
        account: &Account,
        channel: &str,
        thing: &str,
    ) -> Result<(), Failure> {
        let mut connected = self.connected(api, account, channel).await?;
        if connected.remove(thing) {
            api.disconnect(account, channel, thing).await?;
            self.note_connected(channel, connected);
        }
        Ok(())
    }

    /// Forgets what was seen of an account, because it has changed.
    fn forget(&mut self) {
        if let Some(book) = &mut self.book {
            (book.things, book.channels) = (None, None);
        }
    }

    fn mark(&self, id: &ResourceId) -> Mark {
        self.cx.mark(id)
    }
}

async fn step(desk: &mut Desk<'_>, work: Work) -> Result<Outputs> {
    match work {
        Work::Application(job) => application::apply(desk, &job).await,
        Work::Tenant(job) => tenant::apply(desk, &job).await,
        Work::Attachment(job) => attachment::apply(desk, &job).await,
        Work::Credential(job) => credential::apply(desk, &job).await,
        other => Err(unsupported(other.id().kind())),
    }
}

/// Deletes everything of ours that lives in a resource: things, what stores messages, and channels.
async fn delete_contents(api: &Api, account: &Account, host: &Mark) -> Result<(), Failure> {
    let is_ours = |object: &&Object| convert::resource_in(object, host).is_some();
    for thing in api.objects(account, Sort::Thing).await?.iter().filter(is_ours) {
        api.delete(account, Sort::Thing, &thing.id).await?;
    }
    let channels = api.objects(account, Sort::Channel).await?;
    let channels: Vec<_> = channels.iter().filter(is_ours).collect();
    if host.resource.kind() == KindName::Tenant {
        // Those of channels that somebody has deleted are there too.
        api.delete_rules(account, Rule::is_ours).await?;
    }
    delete_channels(api, account, &channels).await
}

/// Deletes channels with the rules that store what is sent to them.
async fn delete_channels(api: &Api, account: &Account, channels: &[&Object]) -> Result<(), Failure> {
    if channels.is_empty() {
        return Ok(());
    }
    api.delete_rules(account, |rule| channels.iter().any(|channel| rule.is_for(&channel.id))).await?;
    for channel in channels {
        api.delete(account, Sort::Channel, &channel.id).await?;
    }
    Ok(())
}
