//! Applications: whether a server answers, and whether it can be administered.

use super::{Desk, failed, unknown_release};
use crate::{
    MainfluxSettings,
    client::{
        Account, Api, Dialect, Endpoints, Failure, Login, Service, Services, ask_health, asked_release, plain,
    },
    config::quoted,
    convert::{MAIL_HOST, parked},
    error::TIMEOUT,
};
use futures::future::join_all;
use iotorch_core::{
    Error, ErrorKind, Result,
    resource::{Application, ApplicationOutputs, ApplicationSpec, Endpoint, Job, Outputs},
    secret::SecretRef,
};
use std::collections::BTreeMap;

/// The service that does not answer, and why, for each that does not.
pub(super) type Silent = BTreeMap<Service, Failure>;

/// Finds out whether the server answers as it should, and sees that the administrator's password is the one that is wanted. To make
/// the server and to remove it is the business of its place.
pub(super) async fn apply(desk: &Desk<'_>, job: &Job<Application>) -> Result<Outputs> {
    let Some(after) = job.change.after() else { return Ok(Outputs::Removed { residue: Vec::new() }) };
    let endpoints = match (&after.external, &job.inputs.workload) {
        (Some(external), _) => {
            let net = |(name, address): (&String, &_)| (name.clone(), Endpoint::Net(Clone::clone(address)));
            external.endpoints.iter().map(net).collect()
        }
        (None, Some(workload)) => workload.endpoints.clone(),
        (None, None) => Endpoints::new(),
    };
    let what = format!("use server \"{}\"", after.name);
    let settings = desk.domain.learn(&job.id, after);
    let services =
        desk.domain.services(desk.cx, &job.id, &endpoints).map_err(|failure| failed(&what, failure))?;
    let release = match asked_release(&services).await {
        Ok(asked) => release(after, &settings, asked, None)?,
        Err(failure) => return Err(away(after, [(Service::Users, failure)].into())),
    };
    let dialect = Dialect::of(&release).ok_or_else(|| unknown_release(&release))?;
    let silent = silent(&services, dialect).await;
    if !silent.is_empty() {
        return Err(away(after, silent));
    }
    administer(desk, job, after, &desk.domain.api_of(services, dialect)).await?;
    Ok(ApplicationOutputs { version: release, endpoints, admin: after.admin.clone() }.into())
}

/// The release of a server: what it says, or else what the settings say, or else what was known.
pub(super) fn release(
    spec: &ApplicationSpec,
    settings: &MainfluxSettings,
    asked: Option<String>,
    known: Option<&str>,
) -> Result<String> {
    let set = settings.release.as_deref().map(plain);
    let asked = asked.as_deref().map(plain);
    match (asked, set) {
        (Some(asked), Some(set)) if Dialect::of(asked) != Dialect::of(set) => {
            Err(Error::new(ErrorKind::Invalid, format!("cannot use server \"{}\"", spec.name))
                .with_source(format!("its settings say that it is release {set}, and it says {asked}")))
        }
        (Some(release), _) | (None, Some(release)) => Ok(release.to_owned()),
        (None, None) => match known.filter(|known| !known.is_empty()) {
            Some(known) => Ok(known.to_owned()),
            None => Err(Error::new(ErrorKind::Invalid, format!("cannot use server \"{}\"", spec.name))
                .with_source("what answers there does not say which release it is")
                .with_help("say it in the settings of the server, as in: release: \"0.12.1\"")),
        },
    }
}

/// The services that are needed, or have an endpoint of their own, and do not answer.
pub(super) async fn silent(services: &Services, dialect: Dialect) -> Silent {
    let needed = Service::needed(dialect).iter().copied();
    let others = Service::others(dialect).iter().copied().filter(|service| services.is_apart(*service));
    let asked = needed.chain(others).filter(|service| *service != Service::Users);
    let asked: Vec<_> = asked.chain([Service::Users, Service::Mqtt]).collect();
    let answers = join_all(asked.iter().map(|service| answers(services, *service))).await;
    asked.into_iter().zip(answers).filter_map(|(service, answer)| Some((service, answer.err()?))).collect()
}

async fn answers(services: &Services, service: Service) -> Result<(), Failure> {
    if service.speaks_http() {
        return match ask_health(services, service).await {
            // Behind a proxy that stands for all it is enough that somebody answers.
            Err(Failure::Answer { status: 404, .. }) if !services.is_apart(service) => Ok(()),
            answer => answer.map(drop),
        };
    }
    // The MQTT adapter has no call that tells how it is.
    let route = services.route(service).await?;
    let address = route.address();
    let connect = tokio::net::TcpStream::connect((address.host.as_str(), address.port));
    match tokio::time::timeout(TIMEOUT, connect).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::Closed(service, error)),
        Err(_) => Err(Failure::Timeout(service)),
    }
}

/// Says which services do not answer. Those of a server that iotorch has deployed may be starting.
pub(super) fn away(spec: &ApplicationSpec, silent: Silent) -> Error {
    let names: Vec<_> = silent.keys().map(|service| service.name()).collect();
    let (names, plural) = (quoted(&names), if silent.len() > 1 { "s" } else { "" });
    let is_starting = spec.external.is_none() && silent.values().any(Failure::is_connect);
    let Some((_, first)) = silent.into_iter().next() else {
        return Error::new(ErrorKind::Unavailable, format!("cannot use server \"{}\"", spec.name));
    };
    if is_starting {
        let reason = format!("the server is starting: service{plural} {names} not answering yet");
        return Error::new(ErrorKind::NotReady, reason).with_source(first);
    }
    let kind = first.kind();
    Error::new(kind, format!("cannot reach service{plural} {names} of server \"{}\"", spec.name))
        .with_source(first)
}

/// Sees that the administrator's password is the one that is wanted. Where it was changed, it is the one of before.
async fn administer(
    desk: &Desk<'_>,
    job: &Job<Application>,
    after: &ApplicationSpec,
    api: &Api,
) -> Result<()> {
    let what = format!("administer server \"{}\"", after.name);
    let fail = |failure| failed(&what, failure);
    let admin = desk.domain.admin(desk.cx, &job.id, &after.admin).await?;
    let old = match job.change.before().filter(|before| before.admin != after.admin) {
        Some(before) => known(desk, job, &before.admin).await?,
        None => None,
    };
    if let Login::Refused { is_certain } = api.login(&admin).await.map_err(fail)? {
        let old = match old.as_ref().filter(|old| old.login == admin.login) {
            Some(old) if matches!(api.login(old).await.map_err(fail)?, Login::Accepted) => old,
            _ => {
                let help = format!(
                    "the secret \"{}\" must hold the password of the administrator, or for an external server \
                     USER:PASSWORD",
                    after.admin
                );
                return Err(fail(api.refused(&admin, is_certain)).with_help(help));
            }
        };
        api.change_password(old, &admin.password).await.map_err(fail)?;
    }
    match old {
        // Also where somebody else has changed the password, or a change of it was interrupted here.
        Some(old) => park_again(api, &old, &admin).await.map_err(fail),
        None => Ok(()),
    }
}

/// The administrator with a password of before, if that is still known.
async fn known(desk: &Desk<'_>, job: &Job<Application>, admin: &SecretRef) -> Result<Option<Account>> {
    match desk.domain.admin(desk.cx, &job.id, admin).await {
        Ok(account) => Ok(Some(account)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives the users that are left behind the passwords that follow from the administrator's new one.
async fn park_again(api: &Api, old: &Account, new: &Account) -> Result<(), Failure> {
    for user in api.users_at(new, MAIL_HOST).await? {
        let password = parked(&old.password, &user.email);
        let account = Account { login: user.email.clone(), password, domain: None };
        if matches!(api.login(&account).await?, Login::Accepted) {
            api.change_password(&account, &parked(&new.password, &user.email)).await?;
        }
    }
    Ok(())
}
