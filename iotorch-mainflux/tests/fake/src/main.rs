//! Plays a release of Mainflux, SuperMQ or Magistrala: all of its services in one process, as they share what they keep.
//!
//! The administrator is taken from the variables that the real images have, such as `MF_USERS_ADMIN_EMAIL`.

use std::{error::Error, net::IpAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use iotorch_mainflux_fake::{Config, Fake, Release, Service};
use tokio::signal::unix::{SignalKind, signal};

/// Plays a release of Mainflux, SuperMQ or Magistrala.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The release, such as `mainflux-0.12`.
    #[arg(long, env = "MAINFLUX_FAKE_RELEASE", value_parser = release)]
    release: Release,

    /// The address that all services listen on.
    #[arg(long, env = "MAINFLUX_FAKE_BIND", default_value = "0.0.0.0")]
    bind: IpAddr,

    /// The port of a service, instead of its usual one: `users=8180`. May be given more than once.
    #[arg(long = "port", env = "MAINFLUX_FAKE_PORTS", value_delimiter = ',', value_parser = port)]
    ports: Vec<(Service, u16)>,

    /// A directory that keeps the state.
    #[arg(long, env = "MAINFLUX_FAKE_DATA")]
    data: Option<PathBuf>,

    /// How long tokens are valid, in seconds, instead of as long as those of the release.
    #[arg(long, env = "MAINFLUX_FAKE_TOKEN_SECONDS")]
    token_seconds: Option<u64>,
}

fn release(text: &str) -> Result<Release, String> {
    let known = Release::ALL.into_iter().find(|release| release.name() == text);
    known.ok_or_else(|| {
        let names: Vec<_> = Release::ALL.into_iter().map(Release::name).collect();
        format!("there is no release \"{text}\", only {}", names.join(", "))
    })
}

fn port(text: &str) -> Result<(Service, u16), String> {
    let (name, port) = text.split_once('=').ok_or("a port is told as SERVICE=PORT")?;
    let service = Service::ALL.into_iter().find(|service| service.name() == name);
    let service = service.ok_or_else(|| format!("there is no service \"{name}\""))?;
    Ok((service, port.parse().map_err(|_| format!("\"{port}\" is no port"))?))
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[allow(clippy::print_stderr, reason = "this is a command")]
            {
                eprintln!("error: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let release = arguments.release;
    let mut config = Config::new(release).with_bind(arguments.bind);
    for service in release.services() {
        config = config.with_port(*service, service.usual_port(release));
    }
    for (service, port) in arguments.ports {
        config = config.with_port(service, port);
    }
    let (email, name, password) = admin();
    config = config.with_admin(&email, &name, &password);
    if let Some(data) = arguments.data {
        config = config.with_data_dir(data);
    }
    if let Some(seconds) = arguments.token_seconds {
        config = config.with_token_lifetime(Duration::from_secs(seconds));
    }
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let fake = Fake::start(config).await?;
    for service in release.services() {
        #[allow(clippy::print_stdout, reason = "this is a command")]
        {
            println!("{}: {}", service.name(), fake.url(*service));
        }
    }
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    Ok(())
}

/// E-mail, name and password of the administrator, as the images of one of the releases are told them.
fn admin() -> (String, String, String) {
    let told = |what: &str, otherwise: &str| {
        let names = ["MF", "SMQ", "MG"].map(|prefix| format!("{prefix}_USERS_ADMIN_{what}"));
        #[allow(clippy::disallowed_methods, reason = "this is a command, and reads its environment here")]
        let value = names.iter().find_map(|name| std::env::var(name).ok());
        value.unwrap_or_else(|| otherwise.to_owned())
    };
    (told("EMAIL", "admin@example.com"), told("USERNAME", "admin"), told("PASSWORD", "12345678"))
}
