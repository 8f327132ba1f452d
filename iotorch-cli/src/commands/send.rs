//! `iotorch send`

use std::{
    io::BufRead,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use iotorch_core::{
    Error, ErrorKind,
    model::{DeviceProtocol, PartName, SliceName},
};
use iotorch_lite::{
    api::DeviceStatus,
    device::{Answer, Message, Qos},
};
use serde::Serialize;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    cli::Setting,
    device::{Connector, Device, Software, typed},
    exit::Exit,
    failure::{Failure, Result, cannot},
    installation::{self, Purpose, Session},
    management::{self, Gateway},
    render,
    screen::Format,
};

/// Act as a device: send readings to its gateway
///
/// Over the device's own protocol, with its own credential, and to the gateway directly, as the device itself would. It says what the
/// gateway made of each message; over MQTT, which has no answer for that, it looks at the gateway's account of the device. EdgeX keeps no
/// such account: there a message is acknowledged at most, and whether it was taken is seen with iotorch messages.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch send greenhouse bench-1 temperature=21.5 humidity=40
  iotorch send greenhouse bench-1 --senml pack.json      a file of RFC 8428, in JSON or CBOR
  sensor-program | iotorch send greenhouse bench-1 -     lines such as temperature=21.5, or JSON
  iotorch send greenhouse bench-1 temperature=21.5 --output json")]
pub(crate) struct SendArgs {
    /// The slice
    #[arg(value_name = "SLICE")]
    slice: SliceName,
    /// The device
    #[arg(value_name = "DEVICE")]
    device: PartName,
    /// What it measures, all of it in one message; - for --stdin
    #[arg(value_name = "RESOURCE=VALUE", required_unless_present_any = ["stdin", "senml"])]
    readings: Vec<String>,
    /// Send each line of standard input as a message
    #[arg(long, conflicts_with_all = ["readings", "senml"])]
    stdin: bool,
    /// Send a file that holds a SenML pack
    #[arg(long, value_name = "FILE", conflicts_with = "readings")]
    senml: Option<PathBuf>,
    /// What MQTT promises: 0 sends and knows nothing more, 1 has it acknowledged
    #[arg(long, value_name = "0|1", default_value = "1", hide_possible_values = true)]
    qos: QosArg,
}

/// The quality of service of MQTT, as a person types it.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum QosArg {
    #[value(name = "0")]
    AtMostOnce,
    #[default]
    #[value(name = "1")]
    AtLeastOnce,
}

impl From<QosArg> for Qos {
    fn from(typed: QosArg) -> Self {
        match typed {
            QosArg::AtMostOnce => Self::AtMostOnce,
            QosArg::AtLeastOnce => Self::AtLeastOnce,
        }
    }
}

/// What became of a message.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sent {
    /// Its number, from 1.
    pub(crate) message: usize,
    /// What was said of it.
    pub(crate) answer: Said,
    /// How many of its readings were taken, where that is known and not all of them were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accepted: Option<u64>,
    /// Why readings were not taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rejected: Vec<String>,
    /// How long the answer took, in seconds.
    pub(crate) seconds: f64,
}

/// What was said of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Said {
    /// Nothing: it has left this process.
    Sent,
    /// That it arrived.
    Acknowledged,
    /// That all of it was taken.
    Accepted,
    /// That some of it was not.
    Rejected,
}

pub(crate) async fn exec(args: SendArgs, setting: &Setting) -> Result<Exit> {
    let prepared = installation::with(setting, Purpose::Look, async |session| prepare(session, &args).await);
    let Prepared { device, connector, mut judge } = prepared.await?;
    let failed = |error: Error| sending(&device, error);
    let mut messages = messages(&args, &device)?;
    let link = connector.connect(args.qos.into()).await.map_err(failed)?;
    let mut all = Vec::new();
    while let Some(message) = messages.recv().await {
        let message = message?;
        if let Some(judge) = &mut judge {
            judge.look().await;
        }
        let began = Instant::now();
        let answer = link.send(&message).await.map_err(failed)?;
        let took = began.elapsed();
        let answer = match &mut judge {
            Some(judge) if answer == Answer::Acknowledged => judge.judge().await,
            _ => answer,
        };
        let sent = Sent::new(all.len() + 1, answer, took);
        tell(&args, &sent, &device, setting)?;
        all.push(sent);
    }
    link.close().await;
    if !args.is_streamed() && setting.screen.format() != Format::Table {
        setting.screen.data(&all)?;
    }
    if all.iter().any(|sent| sent.answer == Said::Rejected) {
        return Err(refused(&device, &all).into());
    }
    Ok(Exit::Done)
}

/// What sending needs. The state directory is let go of meanwhile.
struct Prepared {
    device: Device,
    connector: Connector,
    judge: Option<Judge>,
}

async fn prepare(session: &Session, args: &SendArgs) -> Result<Prepared> {
    let status = super::status_of(session.orchestrator(), &args.slice, "send to").await?;
    let device = super::device_of(&status, &args.device, "send as")?;
    let connector = device.connector(session).await?;
    let judge = match (device.protocol, device.software) {
        (DeviceProtocol::Mqtt, Software::Lite) => {
            management::gateway(session, &status, &device.gateway).await?
        }
        _ => None,
    };
    let judge = judge.map(|gateway| Judge { gateway, user: device.user.clone(), before: None });
    Ok(Prepared { device, connector, judge })
}

impl SendArgs {
    /// Whether messages come one by one, and so do the results.
    fn is_streamed(&self) -> bool {
        self.stdin || self.readings == ["-"]
    }
}

/// The messages that were asked for. Of standard input each is given as soon as its line is there.
fn messages(args: &SendArgs, device: &Device) -> Result<mpsc::Receiver<Result<Message>>> {
    let (sender, receiver) = mpsc::channel(1);
    if args.is_streamed() {
        let profile = device.resources.clone();
        // A read of standard input cannot be cancelled: a thread of its own does not hold up the end of the command.
        std::thread::spawn(move || {
            for (line, number) in std::io::stdin().lock().lines().zip(1_usize..) {
                let message = match line {
                    Ok(line) if line.trim().is_empty() => continue,
                    Ok(line) => typed::line(&line, &profile).map_err(|error| unreadable(number, error)),
                    Err(error) => Err(cannot("read standard input", error).into()),
                };
                if sender.blocking_send(message).is_err() {
                    return;
                }
            }
        });
        return Ok(receiver);
    }
    let message = match &args.senml {
        Some(path) => read_pack(path)?,
        None => typed::message(args.readings.iter().map(String::as_str), &device.resources)?,
    };
    // The channel has room for one.
    let _ = sender.try_send(Ok(message));
    Ok(receiver)
}

/// Says which line of standard input is no message.
fn unreadable(line: usize, error: Error) -> Failure {
    let wrong = Error::new(error.kind(), format!("cannot send line {line} of standard input"));
    let wrong = match error.help() {
        Some(help) => wrong.with_help(help.to_owned()),
        None => wrong,
    };
    wrong.with_source(error).into()
}

fn read_pack(path: &Path) -> Result<Message> {
    let bytes = std::fs::read(path).map_err(|error| cannot(format!("read \"{}\"", path.display()), error))?;
    Ok(Message::new(bytes))
}

fn tell(args: &SendArgs, sent: &Sent, device: &Device, setting: &Setting) -> Result<()> {
    match setting.screen.format() {
        Format::Table if setting.screen.quiet && sent.answer != Said::Rejected => Ok(()),
        Format::Table => setting.screen.result(render::sent::sent(sent, device, args.is_streamed())),
        Format::Json | Format::Yaml if args.is_streamed() => setting.screen.item(sent),
        Format::Json | Format::Yaml => Ok(()),
    }
}

impl Sent {
    fn new(message: usize, answer: Answer, took: Duration) -> Self {
        let (answer, accepted, rejected) = match answer {
            Answer::Sent => (Said::Sent, None, Vec::new()),
            Answer::Acknowledged => (Said::Acknowledged, None, Vec::new()),
            Answer::Accepted => (Said::Accepted, None, Vec::new()),
            Answer::Rejected { accepted, rejected } => (Said::Rejected, Some(accepted), rejected),
        };
        Self { message, answer, accepted, rejected, seconds: took.as_secs_f64() }
    }
}

/// Finds out from a gateway's account of a device what became of a message that was only acknowledged.
struct Judge {
    gateway: Gateway,
    user: String,
    before: Option<DeviceStatus>,
}

impl Judge {
    /// Reads the account before a message is sent.
    async fn look(&mut self) {
        self.before = self.account().await;
    }

    async fn account(&self) -> Option<DeviceStatus> {
        match self.gateway.client.status().await {
            Ok(mut status) => status.devices.remove(&self.user),
            Err(error) => {
                tracing::warn!(%error, "cannot read what the gateway made of the messages");
                None
            }
        }
    }

    /// What the account says after the message was acknowledged.
    async fn judge(&self) -> Answer {
        let (Some(before), Some(after)) = (&self.before, self.account().await) else {
            return Answer::Acknowledged;
        };
        let accepted = after.accepted.saturating_sub(before.accepted);
        match (accepted, after.rejected.saturating_sub(before.rejected)) {
            (0, 0) => Answer::Acknowledged,
            (_, 0) => Answer::Accepted,
            (accepted, times) => {
                let last = after.last_rejection.unwrap_or_default();
                let rejected = match times {
                    1 => last,
                    times => format!("{times} readings, the last because: {last}"),
                };
                Answer::Rejected { accepted, rejected: vec![rejected] }
            }
        }
    }
}

/// Says for whom it failed, and what helps.
fn sending(device: &Device, error: Error) -> Error {
    let message = format!("cannot send as device \"{}\" of slice \"{}\"", device.name, device.slice);
    let (kind, help) = (error.kind(), error.help().map(str::to_owned));
    let failed = Error::new(kind, message).with_source(error);
    if let Some(help) = help {
        return failed.with_help(help);
    }
    match kind {
        ErrorKind::Denied => failed
            .with_help(format!("iotorch describe {} shows what the gateway refused, and why", device.slice)),
        ErrorKind::Unavailable | ErrorKind::Timeout => {
            failed.with_help(format!("iotorch status {} says how its gateway is", device.slice))
        }
        _ => failed,
    }
}

/// The error for messages that the gateway did not take, with what the device can measure.
fn refused(device: &Device, sent: &[Sent]) -> Error {
    let rejected = sent.iter().filter(|sent| sent.answer == Said::Rejected).count();
    let what = match sent {
        [Sent { accepted: None | Some(0), .. }] => "it".into(),
        [_] => "a part of it".into(),
        many => format!("{rejected} of {} messages, or a part of them", many.len()),
    };
    let message = format!("cannot send as device \"{}\": its gateway rejects {what}", device.name);
    Error::new(ErrorKind::Invalid, message).with_help(render::sent::profile(device))
}
