//! Plays the services of an EdgeX gateway in a container.
//!
//! One process plays all of them, at their usual ports. In a chart with a pod a service, the pod of core-metadata does so, and the
//! others pass on what they are asked: `edgex-fake --play device-mqtt --of core-metadata:59881`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, ValueEnum};
use iotorch_edgex_fake::{Config, Fake, Release, Secure, Service, pass_on};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Parser)]
#[command(name = "edgex-fake", about = "Answers as the services of an EdgeX gateway do", version)]
struct Arguments {
    /// The release that is played.
    #[arg(long, env = "EDGEX_FAKE_RELEASE", default_value = "4.0")]
    release: Named,
    /// The only service of this process, which passes on what it is asked.
    #[arg(long, env = "EDGEX_FAKE_PLAY", requires = "of")]
    play: Option<String>,
    /// Host and port of core-metadata in the process that plays all services.
    #[arg(long, env = "EDGEX_FAKE_OF")]
    of: Option<String>,
    /// The address to listen at.
    #[arg(long, env = "EDGEX_FAKE_HOST", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    host: IpAddr,
    /// The port of a service, such as `core-metadata=59881`; the usual one, unless this is given.
    #[arg(long, env = "EDGEX_FAKE_PORTS", value_delimiter = ',')]
    port: Vec<String>,
    /// Where services say that they are, such as `core-metadata=metadata.example:59881`.
    #[arg(long, env = "EDGEX_FAKE_TOLD", value_delimiter = ',')]
    told: Vec<String>,
    /// Host and port of the gateway's broker.
    #[arg(long, env = "EDGEX_FAKE_BROKER")]
    broker: Option<String>,
    /// User and password at the broker, with a colon between.
    #[arg(long, env = "EDGEX_FAKE_BROKER_LOGIN", hide_env_values = true)]
    broker_login: Option<String>,
    /// The quality of service on the bus.
    #[arg(long, env = "MESSAGEBUS_OPTIONAL_QOS", default_value_t = 0)]
    qos: u8,
    /// Whether the samples of the device services are there.
    #[arg(long, env = "EDGEX_FAKE_SAMPLES")]
    samples: bool,
    /// Whether things take the time that they take in EdgeX.
    #[arg(long, env = "EDGEX_FAKE_REAL_TIME")]
    real_time: bool,
    /// What a device costs of the time that an array has, in microseconds.
    #[arg(long, env = "EDGEX_FAKE_DEVICE_TAKES", default_value_t = 2300)]
    device_takes: u64,
    /// The directory that keeps everything for the next start.
    #[arg(long, env = "EDGEX_FAKE_DATA")]
    data: Option<PathBuf>,
    /// User and password of secure mode, with a colon between: its door listens as well then.
    #[arg(long, env = "EDGEX_FAKE_SECURE", hide_env_values = true)]
    secure: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Named {
    #[value(name = "4.0")]
    V4,
    #[value(name = "3.1")]
    V3_1,
    #[value(name = "1")]
    V1,
}

impl From<Named> for Release {
    fn from(named: Named) -> Self {
        match named {
            Named::V4 => Self::V4,
            Named::V3_1 => Self::V3_1,
            Named::V1 => Self::V1,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match play(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // It has no log: this is all it says.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{why}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

async fn play(arguments: Arguments) -> Result<(), String> {
    let release = arguments.release.into();
    let ports = arguments.port.iter().map(|text| {
        let (service, port) = named(text)?;
        Ok((service, port.parse().map_err(|_| format!("\"{text}\" has no port"))?))
    });
    let ports: Vec<(Service, u16)> = ports.collect::<Result<_, String>>()?;
    let port = |service: Service| {
        let given = ports.iter().find(|(of, _)| *of == service);
        given.map_or_else(|| service.usual_port(release), |(_, port)| *port)
    };
    let mut end = signal(SignalKind::terminate()).map_err(|why| why.to_string())?;
    if let (Some(name), Some(of)) = (&arguments.play, &arguments.of) {
        let service = Service::named(name).ok_or_else(|| format!("there is no service \"{name}\""))?;
        let listen = SocketAddr::new(arguments.host, port(service));
        return tokio::select! {
            _ = end.recv() => Ok(()),
            passed = pass_on(service, listen, of.clone()) => {
                passed.map_err(|why| format!("cannot listen at \"{listen}\": {why}"))
            }
        };
    }
    let mut config = Config::of(release);
    let told = arguments.told.iter().map(|text| {
        let (service, address) = named(text)?;
        let (host, port) = host_and_port(address)?;
        Ok((service, host, port))
    });
    config.told = told.collect::<Result<_, String>>()?;
    config.ports = Service::ALL.into_iter().map(|service| (service, port(service))).collect();
    config.host = arguments.host;
    config.bus = arguments.broker.as_deref().map(host_and_port).transpose()?;
    config.login = arguments.broker_login.as_deref().map(pair).transpose()?;
    config.qos = arguments.qos;
    config.samples = arguments.samples;
    config.real_time = arguments.real_time;
    config.device_takes = Duration::from_micros(arguments.device_takes);
    config.data = arguments.data;
    config.records = false;
    if let Some((user, password)) = arguments.secure.as_deref().map(pair).transpose()? {
        config.secure = Some(Secure::new(&user, &password));
    }
    let fake = Fake::start(config).await.map_err(|why| format!("cannot play EdgeX: {why}"))?;
    tokio::select! {
        _ = end.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    drop(fake);
    Ok(())
}

fn named(text: &str) -> Result<(Service, &str), String> {
    let (name, rest) = text.split_once('=').ok_or_else(|| format!("\"{text}\" is not SERVICE=VALUE"))?;
    Ok((Service::named(name).ok_or_else(|| format!("there is no service \"{name}\""))?, rest))
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let wrong = || format!("\"{text}\" is not HOST:PORT");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    Ok((host.to_owned(), port.parse().map_err(|_| wrong())?))
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (user, password) = text.split_once(':').ok_or("a user and its password have a colon between them")?;
    Ok((user.to_owned(), password.to_owned()))
}
