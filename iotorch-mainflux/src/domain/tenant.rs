//! Tenants: a user of the slice's own, and where there are domains one of these.
//!
//! Neither can be deleted. What is left behind gets a password that only the administrator can tell, and the next create takes it over:
//! its e-mail address follows from the installation and the resource.

use super::{Admins, Desk, conflict, delete_contents, failed, versions};
use crate::{
    client::{Account, Api, Failure, Login, Made},
    convert::{Note, account, domain_of, email_of, names_of, parked},
};
use iotorch_core::{
    Context, Error, ErrorKind, Mark, Result,
    resource::{ApplicationOutputs, Job, Outputs, Ownership, ResourceId, Tenant, TenantOutputs, TenantSpec},
    secret::SecretRef,
};
use serde_json::Map;

/// How many bytes of a password SuperMQ and Magistrala take: they hash it by bcrypt. Mainflux, which does so too, leaves out the rest.
const LONGEST_PASSWORD: usize = 72;

/// How a person is told of a user that has neither the tenant's password nor that of one left behind.
const STRANGER: &str = "somebody who has given it another password";

/// How a person is told of a user that is not let in.
const DISABLED: &str = "somebody who has disabled it";

/// How a person is told of a domain that the user of a tenant has no part in.
const CLOSED: &str = "somebody who does not let this user in";

/// How the user of a tenant is.
#[derive(Debug)]
pub(super) enum State {
    /// It is in use: it has the password of this secret.
    Used(Account, SecretRef),
    /// It is left behind.
    Parked(Account),
    /// There is none.
    Absent,
    /// It is somebody else's, who has done this.
    Foreign(&'static str),
}

pub(super) async fn apply(desk: &mut Desk<'_>, job: &Job<Tenant>) -> Result<Outputs> {
    let application = &job.inputs.application;
    let api = desk.api(&job.id, application)?;
    let mark = desk.mark(&job.id);
    let email = email_of(&mark);
    // It is never seen as foreign with a specification, so nobody can ask to adopt it.
    if job.ownership != Ownership::Ours {
        return Err(Error::new(ErrorKind::Unsupported, format!("cannot take over user \"{email}\""))
            .with_source("a user belongs to who knows its password"));
    }
    let Some(after) = job.change.after() else { return delete(desk, job, &api, &mark, &email).await };
    let what = format!("set up user \"{email}\" of tenant \"{}\"", after.name);
    let password = desk.cx.secret(&after.secret).await?;
    let length = password.expose().len();
    if !api.dialect.is_mainflux() && length > LONGEST_PASSWORD {
        return Err(Error::new(ErrorKind::Invalid, format!("cannot {what}"))
            .with_source(format!("its password has {length} bytes, and {LONGEST_PASSWORD} are the most"))
            .with_help(format!("put a shorter one into secret \"{}\"", after.secret)));
    }
    let user = account(api.dialect, &email, password);
    let fail = |failure| failed(&what, failure);
    if matches!(api.login(&user).await.map_err(fail)?, Login::Refused { .. }) {
        admit(desk, job, &api, &user, after, &what).await?;
    }
    note(&api, &user, &mark, after).await.map_err(|failure| match failure.kind() {
        // Its identity is taken, and the user has no part in it.
        ErrorKind::Denied | ErrorKind::Conflict if failure.status().is_some() => {
            conflict(&what, &format!("domain \"{}\"", domain_of(&email)), CLOSED)
        }
        _ => fail(failure),
    })?;
    desk.book = None;
    Ok(TenantOutputs { id: email, secret: after.secret.clone() }.into())
}

/// Makes the user, or takes it over from before.
async fn admit(
    desk: &Desk<'_>,
    job: &Job<Tenant>,
    api: &Api,
    user: &Account,
    after: &TenantSpec,
    what: &str,
) -> Result<()> {
    let fail = |failure| failed(what, failure);
    let mark = desk.mark(&job.id);
    let admins = desk.admins(&job.id, &job.inputs.application);
    let admin = admins.current().await?;
    let noted = Note::new(&mark, after.clone()).write(&Map::new());
    let made = api.create_user(user, &names_of(&user.login), noted, &admin).await.map_err(fail)?;
    let Made::Refused(refused) = made else { return Ok(()) };
    let first = job.change.before().map_or(&after.secret, |before| &before.secret);
    let mut candidates = candidates(desk.cx, &job.id, Some(first)).await?;
    candidates.retain(|known| *known != after.secret);
    let found =
        look(desk.cx, api, &user.login, &candidates, admins).await.map_err(|error| error.into_error(what))?;
    match found {
        State::Used(old, _) | State::Parked(old) => {
            api.change_password(&old, &user.password).await.map_err(fail)
        }
        State::Foreign(owner) => {
            let user = format!("user \"{}\"", user.login);
            Err(conflict(what, &user, owner))
        }
        State::Absent => Err(fail(refused)),
    }
}

/// The secrets that the user of a tenant can have: the one that is recorded, and then the other versions that are known, the newest
/// first: a change of the password may have been interrupted. Where nothing is recorded, the name follows from the tenant. What a server
/// has noted is not asked: it could name any secret, and would be sent it.
pub(super) async fn candidates(
    cx: &Context,
    tenant: &ResourceId,
    recorded: Option<&SecretRef>,
) -> Result<Vec<SecretRef>> {
    let name = recorded.map(|recorded| recorded.name().to_owned()).or_else(|| tenant.own_secret());
    let mut candidates = match name {
        Some(name) => versions(cx, &name).await?,
        None => Vec::new(),
    };
    if let Some(recorded) = recorded {
        candidates.retain(|other| other != recorded);
        candidates.insert(0, recorded.clone());
    }
    Ok(candidates)
}

/// Why a user could not be looked at.
#[derive(Debug)]
pub(super) enum Unseen {
    Failed(Failure),
    NoSecret(Error),
}

impl Unseen {
    pub(super) fn into_error(self, what: &str) -> Error {
        match self {
            Self::Failed(failure) => failed(what, failure),
            Self::NoSecret(error) => error,
        }
    }
}

impl From<Failure> for Unseen {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Error> for Unseen {
    fn from(error: Error) -> Self {
        Self::NoSecret(error)
    }
}

/// Finds out how a user is, by logging in: with the secrets of `candidates`, and as left behind.
pub(super) async fn look(
    cx: &Context,
    api: &Api,
    email: &str,
    candidates: &[SecretRef],
    admins: Admins<'_>,
) -> Result<State, Unseen> {
    for candidate in candidates {
        if let Some(state) = try_secret(cx, api, email, candidate).await? {
            return Ok(state);
        }
    }
    let admin = admins.current().await?;
    let Some(user) = api.find_user(&admin, email).await? else { return Ok(State::Absent) };
    if user.is_disabled() {
        return Ok(State::Foreign(DISABLED));
    }
    if let Some(state) = try_parked(api, email, &admin).await? {
        return Ok(state);
    }
    // It was left behind under another password of the administrator's, if that was changed where iotorch did not see it.
    for admin in admins.others().await? {
        if let Some(state) = try_parked(api, email, &admin).await? {
            return Ok(state);
        }
    }
    Ok(State::Foreign(STRANGER))
}

async fn try_parked(api: &Api, email: &str, admin: &Account) -> Result<Option<State>, Failure> {
    let left = account(api.dialect, email, parked(&admin.password, email));
    let accepted = matches!(api.login(&left).await?, Login::Accepted);
    Ok(accepted.then_some(State::Parked(left)))
}

async fn try_secret(
    cx: &Context,
    api: &Api,
    email: &str,
    secret: &SecretRef,
) -> Result<Option<State>, Unseen> {
    let password = match cx.secret(secret).await {
        Ok(password) => password,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let user = account(api.dialect, email, password);
    let accepted = matches!(api.login(&user).await?, Login::Accepted);
    Ok(accepted.then(|| State::Used(user, secret.clone())))
}

/// Notes with the user or its domain whose it is, and makes the domain.
async fn note(api: &Api, user: &Account, mark: &Mark, spec: &TenantSpec) -> Result<(), Failure> {
    let note = Note::new(mark, spec.clone());
    let Some(domain) = &user.domain else {
        let noted = api.profile(user).await?.metadata.unwrap_or_default();
        if Note::read(&noted) == note {
            return Ok(());
        }
        return api.note_user(user, note.write(&noted)).await;
    };
    let names = names_of(&user.login);
    let mut found = api.domain(user, domain).await?;
    if found.is_none() {
        let made = api.create_domain(user, domain, &names, note.write(&Map::new())).await?;
        let Made::Refused(refused) = made else { return Ok(()) };
        found = api.domain(user, domain).await?;
        if found.is_none() {
            return Err(refused);
        }
    }
    let Some(found) = found else { return Ok(()) };
    if found.is_disabled() {
        api.enable_domain(user, domain).await?;
    }
    let noted = found.metadata.unwrap_or_default();
    if Note::read(&noted) == note {
        return Ok(());
    }
    api.note_domain(user, domain, &names, note.write(&noted)).await
}

async fn delete(
    desk: &mut Desk<'_>,
    job: &Job<Tenant>,
    api: &Api,
    mark: &Mark,
    email: &str,
) -> Result<Outputs> {
    let what = format!("remove user \"{email}\"");
    let fail = |failure| failed(&what, failure);
    desk.book = None;
    let recorded = job.change.before().map(|before| &before.secret);
    let candidates = candidates(desk.cx, &job.id, recorded).await?;
    let admins = desk.admins(&job.id, &job.inputs.application);
    let state =
        look(desk.cx, api, email, &candidates, admins).await.map_err(|error| error.into_error(&what))?;
    let user = match state {
        State::Absent => return Ok(Outputs::Removed { residue: Vec::new() }),
        State::Foreign(owner) => return Err(conflict(&what, &format!("user \"{email}\""), owner)),
        // In one that is left behind something may have arrived late.
        State::Used(user, _) | State::Parked(user) => user,
    };
    let admin = admins.current().await?;
    match &user.domain {
        Some(domain) if api.domain(&user, domain).await.map_err(fail)?.is_none() => {
            // What is in a domain that the user has no part in any more is not removed.
            if api.domain(&admin, domain).await.map_err(fail)?.is_some() {
                return Err(conflict(&what, &format!("domain \"{domain}\""), CLOSED));
            }
        }
        _ => delete_contents(api, &user, mark).await.map_err(fail)?,
    }
    let left = parked(&admin.password, email);
    if user.password != left {
        api.change_password(&user, &left).await.map_err(fail)?;
    }
    Ok(Outputs::Removed { residue: residue(api, email) })
}

/// What stays, in words.
fn residue(api: &Api, email: &str) -> Vec<String> {
    let server = api.dialect.name();
    let user = format!("user \"{email}\", which {server} cannot delete; it is used again");
    let domain = format!("domain \"{}\", which {server} cannot delete; it is used again", domain_of(email));
    if api.dialect.is_mainflux() { vec![user] } else { vec![user, domain] }
}

/// Whether nothing can be in the account of a tenant any more: there is no such user, or it is left behind.
pub(super) async fn is_gone(
    desk: &Desk<'_>,
    id: &ResourceId,
    application: &ApplicationOutputs,
    api: &Api,
    tenant: &TenantOutputs,
) -> Result<bool> {
    let what = format!("look at user \"{}\"", tenant.id);
    let candidates = candidates(desk.cx, &id.scope().tenant(), Some(&tenant.secret)).await?;
    let admins = desk.admins(id, application);
    let state =
        look(desk.cx, api, &tenant.id, &candidates, admins).await.map_err(|error| error.into_error(&what))?;
    Ok(matches!(state, State::Absent | State::Parked(_)))
}
