//! `iotorch simulate`

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use iotorch_core::{
    Error, ErrorKind,
    model::{MessageRate, PartName, SliceName, TimeSpan},
    status::SliceStatus,
};
use jiff::Timestamp;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::send::QosArg;
use crate::{
    cli::Setting,
    device::{self, Device, Software},
    exit::Exit,
    failure::Result,
    installation::{self, Purpose, Session},
    interrupt::Interrupt,
    load::{
        self, Account, Accounts, Latencies, Messages, Outcome, Payload, Pending, Random, Readings, Recording,
        Schedule, Sender, Start, Tally,
    },
    management,
    readings::Readers,
    render,
    screen::Format,
};

/// How long to send where nothing says so.
const DEFAULT_TIME: Duration = Duration::from_secs(10);

/// The time between two drawings of the line of progress.
const TICK: Duration = Duration::from_millis(200);

/// Let many devices send at once, and measure
///
/// The devices are those of the slices; each has its own connection, over its own protocol. It tells how many messages were sent and
/// acknowledged, how many readings the gateways accepted and the servers stored, and how long that took, counted from when a message
/// was due. EdgeX does not tell what it accepts, and gives readings its own times: there stored ones are found by their values. Readers
/// of Mainflux are asked once a second, so these times are up to a second too long.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch simulate greenhouse                  all devices, one message a second each, for 10s
  iotorch simulate greenhouse --devices 20 --rate 10/s --for 1min
  iotorch simulate paper --devices 1000 --rate 24/min --for 1min --payload plain
  iotorch simulate greenhouse --csv day.csv    columns: time or offset, device, then resources
  iotorch simulate greenhouse orchard --seed 7 --output json")]
pub(crate) struct SimulateArgs {
    /// The slices
    #[arg(value_name = "SLICE", required = true)]
    slices: Vec<SliceName>,
    /// Only this device; may be repeated
    #[arg(long = "device", value_name = "NAME")]
    only: Vec<PartName>,
    /// Only devices of this gateway
    #[arg(long, value_name = "NAME")]
    gateway: Option<PartName>,
    /// Only so many devices of each slice
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    devices: Option<u32>,
    /// How many messages each device sends, such as 10/s or 6/min
    #[arg(long, value_name = "RATE", default_value = "1/s")]
    rate: MessageRate,
    /// How long to send: 10s, or to the end of --csv, if not set
    #[arg(long = "for", value_name = "TIME")]
    time: Option<TimeSpan>,
    /// Send the rows of this file in place of random values; --rate is for files without times
    #[arg(long, value_name = "FILE", conflicts_with = "seed")]
    csv: Option<PathBuf>,
    /// What random values come from: the same number gives the same values
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// What MQTT promises: 0 sends and knows nothing more, 1 has it acknowledged
    #[arg(long, value_name = "0|1", default_value = "1", hide_possible_values = true)]
    qos: QosArg,
    /// What messages are: SenML packs, or plain values without a time; what each gateway takes, if not set
    #[arg(long, value_name = "senml|plain", hide_possible_values = true)]
    payload: Option<PayloadArg>,
    /// How long to wait at the end until gateways have handed everything to servers
    #[arg(long, value_name = "TIME", default_value = "30s")]
    settle: TimeSpan,
}

/// What messages are, as a person types it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PayloadArg {
    Senml,
    Plain,
}

impl PayloadArg {
    /// What messages of a device are, where this was asked for.
    fn of(asked: Option<Self>, device: &Device) -> Result<Payload> {
        match (asked, device.software) {
            (Some(Self::Senml), Software::Edgex) => {
                let why = format!(
                    "cannot send SenML as device \"{}\": gateway \"{}\" is EdgeX",
                    device.name, device.gateway
                );
                Err(Error::new(ErrorKind::Unsupported, why)
                    .with_help("EdgeX takes plain values; they are SenML where they leave it")
                    .into())
            }
            (Some(Self::Senml), Software::Lite) | (None, Software::Lite) => Ok(Payload::Senml),
            (Some(Self::Plain), _) | (None, Software::Edgex) => Ok(Payload::Plain),
        }
    }
}

pub(crate) async fn exec(args: SimulateArgs, setting: &Setting) -> Result<Exit> {
    let slices = args.slices.clone();
    super::or_host(measure(args, setting).await, &slices, setting).await
}

async fn measure(args: SimulateArgs, setting: &Setting) -> Result<Exit> {
    let recording = args.csv.as_deref().map(Recording::read).transpose()?;
    let seed = recording.is_none().then(|| args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>())));
    let interrupt = Interrupt::watch(&setting.screen, "stopping early; Ctrl-C again ends at once")?;
    let counted = Counted::default();
    let prepared = installation::with(setting, Purpose::Look, async |session| {
        prepare(session, &args, recording.as_ref(), seed, &counted).await
    });
    let Prepared { senders, accounts } = prepared.await?;
    let devices = senders.len();
    let before = accounts.read().await?;
    let following = counted.follow(&accounts).await?;
    let start = Instant::now();
    send(senders, start, interrupt.token(), setting, &counted).await;
    let seconds = start.elapsed().as_secs_f64();
    let deadline = Instant::now() + args.settle.duration();
    let account = match came_of(&accounts, &counted, deadline).await {
        Ok(account) => Some(account.since(&before)),
        // What was measured up to here is worth telling.
        Err(error) => {
            let why = error.to_cause();
            setting.screen.complain(format!("warning: what gateways and servers have is not known: {why}"));
            None
        }
    };
    counted.arrived().await;
    drop(following);
    let outcome =
        counted.outcome(&accounts, account, seed, devices, seconds, interrupt.token().is_cancelled());
    match setting.screen.format() {
        Format::Table => setting.screen.result(render::simulation::outcome(&outcome))?,
        Format::Json | Format::Yaml => setting.screen.data(&outcome)?,
    }
    Ok(match &outcome {
        outcome if outcome.interrupted => Exit::Interrupted,
        outcome if outcome.messages.failed == outcome.messages.sent => Exit::Unavailable,
        _ => Exit::Done,
    })
}

/// What gateways and servers have in the end.
async fn came_of(accounts: &Accounts, counted: &Counted, deadline: Instant) -> iotorch_core::Result<Account> {
    accounts.settle(deadline).await?;
    if accounts.are_silent() {
        counted.quiet(deadline).await;
    }
    accounts.read().await
}

struct Prepared {
    senders: Vec<Sender>,
    accounts: Accounts,
}

/// Finds devices, ways and passwords. The state directory is let go of while they send.
async fn prepare(
    session: &Session,
    args: &SimulateArgs,
    recording: Option<&Recording>,
    seed: Option<u64>,
    counted: &Counted,
) -> Result<Prepared> {
    let mut chosen = Vec::new();
    let mut accounts = Accounts::default();
    for slice in &args.slices {
        let status = super::status_of(session.orchestrator(), slice, "simulate").await?;
        let devices = choose(&status, args)?;
        enlist(session, &status, &devices, &mut accounts).await?;
        chosen.extend(devices);
    }
    if let Some(recording) = recording {
        recording.check(&chosen)?;
    }
    let mut senders = Vec::new();
    for device in chosen {
        let payload = PayloadArg::of(args.payload, &device)?;
        senders.push(Sender {
            connector: device.connector(session).await?,
            qos: args.qos.into(),
            payload,
            schedule: schedule(&device, args, payload, recording, seed)?,
            tally: Arc::clone(&counted.tally),
            pending: Arc::clone(&counted.pending),
            device,
        });
    }
    Ok(Prepared { senders, accounts })
}

/// The devices of a slice that were asked for.
fn choose(status: &SliceStatus, args: &SimulateArgs) -> Result<Vec<Device>> {
    let mut devices = device::devices(status);
    for name in &args.only {
        super::device_of(status, name, "simulate")?;
    }
    devices.retain(|device| {
        (args.only.is_empty() || args.only.contains(&device.name))
            && args.gateway.as_ref().is_none_or(|gateway| device.gateway == *gateway)
            && device.resources.iter().any(|resource| resource.access.can_read())
    });
    let wanted = args.devices.unwrap_or(1) as usize;
    if devices.len() < wanted {
        return Err(too_few(status, args, &devices, wanted).into());
    }
    if let Some(count) = args.devices {
        devices.truncate(count as usize);
    }
    Ok(devices)
}

fn too_few(status: &SliceStatus, args: &SimulateArgs, devices: &[Device], wanted: usize) -> Error {
    let of = args.gateway.as_ref().map(|gateway| format!(" of gateway \"{gateway}\"")).unwrap_or_default();
    let found = devices.len();
    let profile = status.resources.iter().find_map(|resource| match &resource.spec {
        Some(iotorch_core::resource::Spec::Device(device)) => Some(device.profile.as_str()),
        _ => None,
    });
    let profile = profile.unwrap_or("PROFILE");
    let plural = if wanted == 1 { "a device" } else { &format!("{wanted} devices") };
    Error::new(
        ErrorKind::Infeasible,
        format!("cannot simulate {plural} of slice \"{}\": {found}{of} can send", status.slice),
    )
    .with_help(format!(
        "add devices to its document and apply it again, such as\n  devices:\n    - {{ name: simulated-{}, profile: {profile} }}",
        found + 1
    ))
}

/// Finds who can say what came of the messages of these devices.
async fn enlist(
    session: &Session,
    status: &SliceStatus,
    devices: &[Device],
    accounts: &mut Accounts,
) -> Result<()> {
    let is_wanted =
        |_: &PartName, gateway: &PartName| devices.iter().any(|device| device.gateway == *gateway);
    let channels = match Readers::new(session).channels(status, is_wanted).await {
        // Then what was stored is not known.
        Err(error) if error.kind() == ErrorKind::Unsupported => Vec::new(),
        channels => channels?,
    };
    let mut by_gateway: BTreeMap<&PartName, Vec<Device>> = BTreeMap::new();
    for device in devices {
        by_gateway.entry(&device.gateway).or_default().push(device.clone());
    }
    for (gateway, devices) in by_gateway {
        let own = channels.iter().filter(|channel| channel.gateway == *gateway).cloned().collect();
        accounts.add(management::gateway(session, status, gateway).await?, own, devices);
    }
    Ok(())
}

/// What a device sends, and when.
fn schedule(
    device: &Device,
    args: &SimulateArgs,
    payload: Payload,
    recording: Option<&Recording>,
    seed: Option<u64>,
) -> Result<Schedule> {
    let every = Duration::try_from_secs_f64(1.0 / args.rate.per_second())
        .map_err(|_| Error::new(ErrorKind::Invalid, format!("cannot send at a rate of {}", args.rate)))?;
    let Some(recording) = recording else {
        let random = Random::new(seed.unwrap_or_default(), device);
        let mut random = Box::new(if payload == Payload::Plain { random.distinct() } else { random });
        // Devices in the field are not in step.
        let first = every.mul_f64(random.share());
        let until = args.time.map_or(DEFAULT_TIME, TimeSpan::duration);
        return Ok(Schedule::Random { random, first, every, count: 0, until });
    };
    let rows = recording
        .of(device)?
        .into_iter()
        .zip(0_u32..)
        .map(|((at, readings), index)| (at.unwrap_or(every * index), readings));
    let until = args.time.map_or(Duration::MAX, TimeSpan::duration);
    Ok(Schedule::Rows(rows.filter(|(due, _)| *due < until).collect::<VecDeque<_>>()))
}

/// Lets all of them send, and draws how it goes.
async fn send(
    senders: Vec<Sender>,
    start: Instant,
    stop: &CancellationToken,
    setting: &Setting,
    counted: &Counted,
) {
    let start = Start { at: start, micros: Timestamp::now().as_microsecond() };
    let mut tasks = JoinSet::new();
    for sender in senders {
        tasks.spawn(sender.run(start, stop.clone()));
    }
    let bar = progress(setting);
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            ended = tasks.join_next() => if ended.is_none() { break },
            _ = ticks.tick() => bar.set_message(counted.line(start.at.elapsed())),
        }
    }
    bar.finish_and_clear();
}

fn progress(setting: &Setting) -> ProgressBar {
    if !setting.screen.is_live {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg}");
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

/// What all devices share while they send.
#[derive(Debug)]
struct Counted {
    tally: Arc<Mutex<Tally>>,
    pending: Arc<Pending>,
}

impl Default for Counted {
    fn default() -> Self {
        Self { tally: Arc::new(Mutex::new(Tally::new())), pending: Arc::default() }
    }
}

impl Counted {
    fn tally<T>(&self, look: impl FnOnce(&Tally) -> T) -> T {
        look(&self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn line(&self, elapsed: Duration) -> String {
        self.tally(|tally| {
            format!(
                "{}  sent {}  acknowledged {}  stored {}  failed {}",
                render::time::short(elapsed),
                tally.sent,
                tally.acknowledged,
                tally.found(),
                tally.failed
            )
        })
    }

    /// Takes the times of what arrives at servers, for as long as the tasks are held.
    async fn follow(&self, accounts: &Accounts) -> Result<JoinSet<()>> {
        let mut tasks = JoinSet::new();
        for channel in accounts.channels() {
            let (arriving, channel) = (channel.follow().await?, channel.clone());
            tasks.spawn(load::follow(channel, arriving, Arc::clone(&self.pending), Arc::clone(&self.tally)));
        }
        Ok(tasks)
    }

    /// Waits until all messages have arrived, or for a while none has.
    async fn quiet(&self, deadline: Instant) {
        const IDLE: Duration = Duration::from_secs(5);
        const LOOKS: Duration = Duration::from_millis(50);
        let (mut found, mut since) = (self.tally(Tally::found), Instant::now());
        while !self.pending.is_empty() && since.elapsed() < IDLE && Instant::now() < deadline {
            tokio::time::sleep(LOOKS).await;
            let now = self.tally(Tally::found);
            if now != found {
                (found, since) = (now, Instant::now());
            }
        }
    }

    /// Waits a moment for the last messages that are stored already, but of which this process has not been told.
    async fn arrived(&self) {
        const LATE: Duration = Duration::from_secs(3);
        const LOOKS: Duration = Duration::from_millis(20);
        let deadline = Instant::now() + LATE;
        while !self.pending.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(LOOKS).await;
        }
    }

    fn outcome(
        &self,
        accounts: &Accounts,
        account: Option<Account>,
        seed: Option<u64>,
        devices: usize,
        seconds: f64,
        interrupted: bool,
    ) -> Outcome {
        self.tally(|tally| {
            let mut errors = tally.errors.clone();
            for (reason, times) in account.iter().flat_map(Account::reasons) {
                *errors.entry(format!("rejected: {reason}")).or_default() += times;
            }
            let accepts = account.as_ref().filter(|_| accounts.knows_accepted());
            let stores = account.as_ref().filter(|_| accounts.knows_stored());
            #[allow(clippy::cast_precision_loss, reason = "a rate is shown with one digit")]
            let through = (tally.sent - tally.failed) as f64;
            Outcome {
                seed,
                interrupted,
                devices,
                seconds,
                messages: Messages {
                    sent: tally.sent,
                    acknowledged: tally.acknowledged,
                    failed: tally.failed,
                    per_second: if seconds > 0.0 { through / seconds } else { 0.0 },
                },
                readings: Readings {
                    sent: tally.readings,
                    accepted: accepts.map(|account| account.accepted),
                    rejected: accepts.map(|account| account.rejected),
                    stored: stores.map(|account| account.stored),
                    waiting: account.as_ref().map(|account| account.waiting),
                },
                latency: Latencies { acknowledged: tally.to_acknowledged(), stored: tally.to_stored() },
                errors,
            }
        })
    }
}
