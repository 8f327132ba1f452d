//! `iotorch iotserver`

use clap::{Args, Subcommand};
use iotorch_core::{
    Error, ErrorKind, Intent,
    model::{Connection, Gateway, PartName, Server, Slice, SliceName},
    plan::Plan,
    resource::{KindName, ResourceId, Spec},
    secret::{SecretRef, SecretValue},
};

use super::{
    ConfigFile,
    deployment::Deployment,
    edit::Edit,
    part::{self, Part, Which},
    password::Password,
    tell_unused,
};
use crate::{
    cli::Setting,
    commands::apply::Policy,
    exit::Exit,
    failure::{Failure, Result},
    installation::{self, Purpose, Session},
};

/// Create, delete, get and list servers, and set the password of a slice on one
///
/// A verb of the paper's prototype. A server stores what the devices of its slice measure.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotserver create --name hub --slice greenhouse --cluster cloud
  iotorch iotserver set --name hub --password - < password.txt
  iotorch iotserver list")]
pub(crate) struct IotServerArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(Creation),
    Set(Account),
    Delete(Deletion),
    Get(Lookup),
    List(Listing),
}

/// Create a server in a slice, and wait until it is ready
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotserver create --name hub --slice greenhouse --cluster cloud
  iotorch iotserver create --name hub --slice greenhouse       on the cloud cluster of the slice")]
struct Creation {
    /// Its name, unique in the slice
    #[arg(long, value_name = "NAME")]
    name: PartName,
    #[command(flatten)]
    deployment: Deployment,
    #[command(flatten)]
    configfile: ConfigFile,
    #[command(flatten)]
    policy: Policy,
}

/// Set the password of the slice's account on a server
///
/// The new password takes the place of the one before in one run, which is undone as a whole if it fails. It is kept in the store of
/// secrets only: no document, plan or journal has it.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotserver set --name hub --password - < password.txt
  iotorch iotserver set --name hub --user testuser@test.com --password -")]
struct Account {
    /// The server
    #[arg(long, value_name = "SERVER")]
    name: PartName,
    /// The name of the account; accepted and not used, it is the slice's
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// The password, or - to read it from standard input, where no process list shows it
    #[arg(long, value_name = "PASSWORD|-", allow_hyphen_values = true)]
    password: Password,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    policy: Policy,
}

/// Delete a server with what it has stored
///
/// Gateways that are attached to it are detached first. One that is left with no server is attached to the slice's only other one.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotserver delete --name hub
  iotorch iotserver delete --name hub --slice greenhouse --yes")]
struct Deletion {
    /// The server
    #[arg(long, value_name = "SERVER")]
    name: PartName,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    policy: Policy,
}

/// Print a server as it stands in the document of its slice
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotserver get --name hub
  iotorch iotserver get --name hub --output json")]
struct Lookup {
    /// The server
    #[arg(long, value_name = "SERVER")]
    name: PartName,
    #[command(flatten)]
    which: Which,
}

/// List the servers of all slices
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotserver list
  iotorch iotserver list --slice greenhouse")]
struct Listing {
    #[command(flatten)]
    which: Which,
}

impl Part for Server {
    const NOUN: &'static str = "server";
    const VERB: &'static str = "iotserver";
    const HEADING: [&'static str; 5] = ["SERVER", "SLICE", "APPLICATION", "CLUSTER", "CHART"];

    fn of(slice: &Slice) -> &[Self] {
        &slice.spec.servers
    }

    fn name(&self) -> &PartName {
        &self.name
    }

    fn row(&self, slice: &Slice) -> [String; 5] {
        [
            self.name.to_string(),
            slice.name.to_string(),
            self.application.to_string(),
            part::cluster(&self.placement),
            self.chart.as_ref().map_or_else(|| "-".into(), |chart| chart.source.clone()),
        ]
    }
}

pub(crate) async fn exec(args: IotServerArgs, setting: &Setting) -> Result<Exit> {
    match args.verb {
        Verb::Create(args) => create(args, setting).await,
        Verb::Set(args) => set(args, setting).await,
        Verb::Delete(args) => delete(args, setting).await,
        Verb::Get(args) => part::get::<Server>(&args.name, &args.which, setting).await,
        Verb::List(args) => part::list::<Server>(&args.which, setting).await,
    }
}

async fn create(args: Creation, setting: &Setting) -> Result<Exit> {
    let Creation { name, deployment, configfile, policy } = args;
    let setting = &configfile.apply(setting)?;
    installation::with(setting, Purpose::Work, async |session| {
        let edit = Edit::begin(format!("create server \"{name}\""), session, setting, policy).await?;
        let stored = edit.document(&deployment.slice).await?;
        let chart = deployment.chart(session, setting, stored.spec.places.cloud.as_ref()).await?;
        edit.slice(&deployment.slice, |slice| {
            if slice.spec.servers.iter().any(|server| server.name == name) {
                return edit
                    .taken(format!("iotorch iotserver get --name {name} --slice {} shows it", slice.name));
            }
            name_connections(slice);
            let server = Server::builder().name(name.clone()).application(deployment.application.clone());
            let server = server.placement(deployment.placement()).build();
            slice.spec.servers.push(Server { chart: chart.clone(), ..server });
            Ok(())
        })
        .await
    })
    .await
}

/// Writes out to which server gateways are attached that have named none, since it was the only one until now.
fn name_connections(slice: &mut Slice) {
    let [only] = slice.spec.servers.as_slice() else { return };
    let connection = Connection::builder().name(only.name.clone()).build();
    let names_none = |gateway: &&mut Gateway| gateway.servers.is_empty() && gateway.sinks.is_empty();
    for gateway in slice.spec.gateways.iter_mut().filter(names_none) {
        gateway.servers.push(connection.clone());
    }
}

async fn delete(args: Deletion, setting: &Setting) -> Result<Exit> {
    let Deletion { name, yes, which, policy } = args;
    let setting = &which.configfile.apply(setting)?;
    installation::with(setting, Purpose::End, async |session| {
        let edit = Edit::begin(format!("delete server \"{name}\""), session, setting, policy).await?;
        let slice = edit.slice_of::<Server>(&name, which.slice.as_ref()).await?;
        edit.take_out(&slice.name, yes, |slice| {
            slice.spec.servers.retain(|server| server.name != name);
            for gateway in &mut slice.spec.gateways {
                gateway.servers.retain(|connection| connection.name != name);
            }
            Ok(())
        })
        .await
    })
    .await
}

async fn set(args: Account, setting: &Setting) -> Result<Exit> {
    let Account { name, user, password, which, policy } = args;
    let setting = &which.configfile.apply(setting)?;
    tell_unused(&setting.screen, &[("--user", user.is_some(), "the account is called as the slice")]);
    let value = password.read(setting)?;
    installation::with(setting, Purpose::Work, async |session| {
        let doing = format!("set the password of server \"{name}\"");
        let edit = Edit::begin(doing.clone(), session, setting, policy).await?;
        let slice = edit.slice_of::<Server>(&name, which.slice.as_ref()).await?;
        let account = account(session, &slice.name, &name, &doing).await?;
        let rotate = Intent { rotate: [account.clone()].into(), ..Intent::default() };
        let plan = session.orchestrator().plan(&rotate).await?;
        let secret = new_secret(&plan, &account, &doing)?;
        replace(session, &secret, value).await?;
        let ended = edit.apply(plan).await;
        if ended.as_ref().is_err_and(began_no_run) {
            session.secrets().remove(&secret).await?;
        }
        ended
    })
    .await
}

/// The account of a slice on one of its servers.
async fn account(session: &Session, slice: &SliceName, server: &PartName, doing: &str) -> Result<ResourceId> {
    let status = session.orchestrator().status(slice).await?;
    if let Some(run) = status.open_run {
        let what = format!("cannot {doing}: run {run} of slice \"{slice}\" is open");
        return Err(Error::new(ErrorKind::Conflict, what)
            .with_help(format!("end it first: iotorch resume {run} --continue, --rollback or --abandon"))
            .into());
    }
    let ids = status.resources.into_iter().map(|resource| resource.id);
    let mut accounts = ids.filter(|id| id.kind() == KindName::Tenant && id.part() == Some(server.as_str()));
    Ok(accounts.next().ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("cannot {doing}: the slice has no account on it yet"))
            .with_help(format!("iotorch describe {slice} says how it is"))
    })?)
}

/// What a plan calls the new secret of an account.
fn new_secret(plan: &Plan, account: &ResourceId, doing: &str) -> Result<SecretRef> {
    let steps = plan.slices.iter().flat_map(|slice| &slice.steps);
    let mut planned = steps.filter(|step| step.resource == *account).filter_map(|step| step.change.after());
    match planned.next().map(AsRef::as_ref) {
        Some(Spec::Tenant(tenant)) => Ok(tenant.secret.clone()),
        _ => {
            Err(Error::new(ErrorKind::Unexpected, format!("cannot {doing}: the plan does not change it"))
                .into())
        }
    }
}

/// Stores the value of a secret that nothing uses yet; one that an earlier try has left goes.
async fn replace(session: &Session, secret: &SecretRef, value: SecretValue) -> Result<()> {
    let secrets = session.secrets();
    secrets.remove(secret).await?;
    Ok(secrets.put(secret, value).await?)
}

/// Whether nothing knows of the new secret, so that core will not remove it.
fn began_no_run(failure: &Failure) -> bool {
    match failure {
        Failure::Apply(failure) => failure.error.report.runs.is_empty(),
        Failure::Problems(_) | Failure::Error(_) => true,
    }
}
