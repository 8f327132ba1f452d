//! What can be typed, and how it becomes a command.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, error::ErrorKind as ClapError};
use tracing_subscriber::EnvFilter;

use crate::{
    clusters::Clusters,
    commands::{self, prototype},
    completion,
    environment::Environment,
    exit::{self, Exit},
    failure::{Failure, Result, cannot},
    render,
    screen::{Format, Ink, Screen},
};

/// IoT slices as one durable transaction.
#[derive(Debug, Parser)]
#[command(
    name = "iotorch",
    version,
    after_help = exit::HELP,
    disable_help_subcommand = true,
    max_term_width = 110
)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every verb understands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
struct Global {
    /// The state directory [env: IOTORCH_STATE] [default: $XDG_STATE_HOME/iotorch or ~/.local/state/iotorch]
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The kubeconfig of clusters whose documents name none [env: KUBECONFIG] [default: ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE", hide = !cfg!(feature = "kubernetes"))]
    kubeconfig: Option<PathBuf>,
    /// The context of clusters whose documents name neither a context nor a kubeconfig [default: the current one]
    #[arg(long, global = true, value_name = "CONTEXT", hide = !cfg!(feature = "kubernetes"))]
    context: Option<String>,
    /// The form of the result: for a person, a program (errors too: a line of JSON on standard error) or a file
    #[arg(long, short, global = true, value_name = "FORM")]
    output: Option<Format>,
    /// Print results and errors only
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Print without colours [env: NO_COLOR]
    #[arg(long, global = true)]
    no_color: bool,
    /// Log what happens to standard error; twice for more [env: IOTORCH_LOG]
    #[arg(long, short, global = true, action = ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(commands::run::RunArgs),
    Validate(commands::validate::ValidateArgs),
    Plan(commands::plan::PlanArgs),
    Apply(commands::apply::ApplyArgs),
    Delete(commands::delete::DeleteArgs),
    Get(commands::get::GetArgs),
    Describe(commands::describe::DescribeArgs),
    Status(commands::status::StatusArgs),
    Messages(commands::messages::MessagesArgs),
    Logs(commands::logs::LogsArgs),
    Credentials(commands::credentials::CredentialsArgs),
    Send(commands::send::SendArgs),
    Simulate(commands::simulate::SimulateArgs),
    #[command(name = "command")]
    Order(commands::command::CommandArgs),
    Runs(commands::runs::RunsArgs),
    Events(commands::events::EventsArgs),
    Resume(commands::resume::ResumeArgs),
    Infra(commands::infra::InfraArgs),
    Adopt(commands::adopt::AdoptArgs),
    Rotate(commands::rotate::RotateArgs),
    Forget(commands::forget::ForgetArgs),
    Gateway(commands::gateway::GatewayArgs),
    Server(commands::server::ServerArgs),
    State(commands::state::StateArgs),
    Schema(commands::schema::SchemaArgs),
    #[command(name = "k8scluster")]
    K8sCluster(prototype::k8scluster::K8sClusterArgs),
    #[command(name = "iotslice")]
    IotSlice(prototype::iotslice::IotSliceArgs),
    #[command(name = "iotserver")]
    IotServer(prototype::iotserver::IotServerArgs),
    #[command(name = "iotgateway")]
    IotGateway(prototype::iotgateway::IotGatewayArgs),
    #[command(name = "iotdevice")]
    IotDevice(prototype::iotdevice::IotDeviceArgs),
    Completions(commands::completions::CompletionsArgs),
    Man(commands::man::ManArgs),
}

/// What every command works with. It has no [`Debug`]: variables can hold secrets.
#[derive(Clone)]
pub(crate) struct Setting {
    /// Where output goes.
    pub(crate) screen: Screen,
    /// Whether a person can be asked.
    pub(crate) can_ask: bool,
    /// The variables of the environment that secrets can be referred to by.
    pub(crate) variables: Vec<(String, String)>,
    /// How clusters are reached and worked on where documents say nothing.
    pub(crate) clusters: Clusters,
    state: Option<PathBuf>,
}

impl Setting {
    /// The same with another state directory.
    pub(crate) fn with_state(self, directory: PathBuf) -> Self {
        Self { state: Some(directory), ..self }
    }

    /// The same, printing no results.
    pub(crate) fn silent(&self) -> Self {
        let screen = Screen { format: None, quiet: true, ..self.screen.clone() };
        Self { screen, ..self.clone() }
    }

    /// The state directory.
    pub(crate) fn state(&self) -> Result<&PathBuf> {
        self.state.as_ref().ok_or_else(|| {
            iotorch_core::Error::new(
                iotorch_core::ErrorKind::Invalid,
                "cannot find a state directory: neither HOME nor XDG_STATE_HOME is set",
            )
            .with_help("name one with --state DIR or IOTORCH_STATE")
            .into()
        })
    }
}

/// Does what the command line says.
pub(crate) fn run(environment: Environment) -> Exit {
    if let Some(exit) = completion::answer(&environment) {
        return exit;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Printing can only fail when nobody reads.
            let _ = error.print();
            return match error.kind() {
                ClapError::DisplayHelp | ClapError::DisplayVersion => Exit::Done,
                _ => Exit::Invalid,
            };
        }
    };
    let setting = setting(&cli.global, &environment);
    log(&cli.global, environment.log.as_deref(), setting.screen.err);
    let ended = execute(cli.command, &setting);
    ended.unwrap_or_else(|failure| {
        let screen = &setting.screen;
        match screen.format() {
            Format::Json => screen.complain(render::failure::line(&failure)),
            Format::Table | Format::Yaml => {
                screen.complain(render::failure::failure(&failure, screen.err).trim_end());
            }
        }
        failure.exit()
    })
}

fn setting(global: &Global, environment: &Environment) -> Setting {
    // Documents keep it, and are used from other folders. A path that cannot be made absolute is told when it is opened.
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let named = global.kubeconfig.as_ref().map(absolute);
    let ink = |terminal: bool| {
        if terminal && !global.no_color && !environment.no_color { Ink::Colour } else { Ink::Plain }
    };
    Setting {
        screen: Screen {
            format: global.output,
            quiet: global.quiet,
            out: ink(environment.stdout_is_terminal),
            err: ink(environment.stderr_is_terminal),
            is_live: environment.stderr_is_terminal && !global.quiet,
            foot: std::sync::Arc::default(),
        },
        can_ask: environment.can_ask,
        variables: environment.variables.clone(),
        clusters: Clusters {
            kubeconfig: named.clone().or_else(|| environment.kubeconfig.clone()),
            context: global.context.clone(),
            named,
            helm: environment.helm.clone().unwrap_or_else(|| "helm".into()),
        },
        state: global.state.clone().or_else(|| environment.state_directory()),
    }
}

fn log(global: &Global, wanted: Option<&str>, ink: Ink) {
    let level = match global.verbose {
        // What the client of clusters complains of comes back as an error.
        0 => wanted.unwrap_or("error,kube_client=off"),
        1 => "iotorch=info,warn",
        _ => "iotorch=debug,info",
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_ansi(ink == Ink::Colour)
        .with_writer(std::io::stderr)
        .finish();
    // Only a second subscriber is refused, and there is none.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

fn execute(command: Command, setting: &Setting) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::from(cannot("start", error)))?;
    runtime.block_on(async {
        match command {
            Command::Run(args) => commands::run::exec(args, setting).await,
            Command::Validate(args) => commands::validate::exec(args, setting).await,
            Command::Plan(args) => commands::plan::exec(args, setting).await,
            Command::Apply(args) => commands::apply::exec(args, setting).await,
            Command::Delete(args) => commands::delete::exec(args, setting).await,
            Command::Get(args) => commands::get::exec(args, setting).await,
            Command::Describe(args) => commands::describe::exec(args, setting).await,
            Command::Status(args) => commands::status::exec(args, setting).await,
            Command::Messages(args) => commands::messages::exec(args, setting).await,
            Command::Logs(args) => commands::logs::exec(args, setting).await,
            Command::Credentials(args) => commands::credentials::exec(args, setting).await,
            Command::Send(args) => commands::send::exec(args, setting).await,
            Command::Simulate(args) => commands::simulate::exec(args, setting).await,
            Command::Order(args) => commands::command::exec(args, setting).await,
            Command::Runs(args) => commands::runs::exec(args, setting).await,
            Command::Events(args) => commands::events::exec(args, setting).await,
            Command::Resume(args) => commands::resume::exec(args, setting).await,
            Command::Infra(args) => commands::infra::exec(args, setting).await,
            Command::Adopt(args) => commands::adopt::exec(args, setting).await,
            Command::Rotate(args) => commands::rotate::exec(args, setting).await,
            Command::Forget(args) => commands::forget::exec(args, setting).await,
            Command::Gateway(args) => commands::gateway::exec(args, setting).await,
            Command::Server(args) => commands::server::exec(args, setting).await,
            Command::State(args) => commands::state::exec(args, setting).await,
            Command::Schema(args) => commands::schema::exec(args, setting),
            Command::K8sCluster(args) => prototype::k8scluster::exec(args, setting).await,
            Command::IotSlice(args) => prototype::iotslice::exec(args, setting).await,
            Command::IotServer(args) => prototype::iotserver::exec(args, setting).await,
            Command::IotGateway(args) => prototype::iotgateway::exec(args, setting).await,
            Command::IotDevice(args) => prototype::iotdevice::exec(args, setting).await,
            Command::Completions(args) => commands::completions::exec(args, setting),
            Command::Man(args) => commands::man::exec(args, setting),
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_put_together_right() {
        Cli::command().debug_assert();
    }

    /// The help of a command and of all below it.
    fn pages(command: &mut clap::Command) -> Vec<String> {
        let mut pages = vec![command.render_long_help().to_string()];
        command.get_subcommands_mut().for_each(|verb| pages.extend(self::pages(verb)));
        pages
    }

    #[test]
    fn every_verb_has_help_with_examples() {
        let mut command = Cli::command().term_width(100);
        command.build();
        insta::assert_snapshot!("help", command.render_long_help().to_string());
        for verb in command.get_subcommands_mut() {
            let pages = pages(verb);
            assert!(pages.iter().all(|page| page.contains("Examples:")), "{}", verb.get_name());
            let all = pages.join("\n────────────────────\n\n");
            insta::assert_snapshot!(format!("help_of_{}", verb.get_name()), all);
        }
    }
}
