//! What clients that behave badly take from those that do not: on every listener of a gateway and of a server, slow, stalled,
//! flooding and malformed ones, while others go on at their own rate.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use iotorch_benches::{
    Bench, Goal, Result, apart,
    attack::{Attack, Attackers, Done, Known, Manner},
    good::{Good, Kept},
    hosted::{Allowed, Hosted},
    note,
    pair::{Client, Listener, Pair},
    run,
};

const BENCH: Bench = Bench("crowd");
/// How often everything is measured.
const ROUNDS: usize = 2;
/// How long an attack goes on before it is measured, and how long it is measured.
const SETTLED: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(4);
/// How long what attackers took may stay taken after them: longer than any deadline of a listener.
const RELEASED_WITHIN: Duration = Duration::from_secs(45);
/// Files that come and go by themselves.
const FILES: usize = 16;

fn main() -> ExitCode {
    run(|| {
        if apart::task()? {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(measure())
    })
}

async fn measure() -> Result<()> {
    // Beside the programs that cargo builds: the folder for temporary files is often no disk.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(target)?;
    let folder = tempfile::tempdir_in(target)?;
    let pair = Pair::start(folder.path(), Allowed::AsShipped).await?;
    let good = Good::start(&pair).await?;
    let targets = targets(&pair).await?;
    let mut hosts = [Host::new("gateway", &pair.gateway)?, Host::new("server", &pair.server)?];

    let mut kept: BTreeMap<(Listener, Manner), f64> = BTreeMap::new();
    for round in 1..=ROUNDS {
        for (listener, (at, known)) in &targets {
            let alone = good.during(WINDOW).await;
            for manner in Manner::ALL {
                note(&format!("crowd: round {round} of {ROUNDS}: {listener}, {manner}"));
                let attack = Attack { manner, protocol: listener.protocol(), at: *at, known: known.clone() };
                let part = beside(&good, attack).await?.part_of(&alone);
                let least = kept.entry((*listener, manner)).or_insert(part);
                *least = least.min(part);
            }
        }
        for host in &mut hosts {
            host.round_ended().await?;
        }
    }
    for ((listener, manner), part) in kept {
        let metric = format!("{listener}, {manner}: rate that others keep, the lowest");
        BENCH.figure(&metric, 100.0 * part, "%", Some(Goal::AtLeast(80.0)))?;
    }
    hosts.iter().try_for_each(Host::figures)
}

/// Where attackers go, and whose credentials they have there.
type Targets = BTreeMap<Listener, (SocketAddr, Option<Known>)>;

async fn targets(pair: &Pair) -> Result<Targets> {
    let mut targets = Targets::new();
    for listener in Listener::ALL {
        let known = match pair.add_client("bad", listener).await? {
            Client::Sender { login, message } => Some(Known::new(&login, &message)),
            Client::GatewayManager(_) | Client::ServerManager(_) => None,
        };
        targets.insert(listener, (pair.address(listener)?, known));
    }
    Ok(targets)
}

/// What good clients do beside an attack.
async fn beside(good: &Good, attack: Attack) -> Result<Kept> {
    let attackers = Attackers::start(attack)?;
    tokio::time::sleep(SETTLED).await;
    let kept = good.during(WINDOW).await;
    let Done { connections, bytes } = attackers.stop()?;
    note(&format!("crowd:   {connections} connections and {bytes} bytes of attackers; others: {kept}"));
    Ok(kept)
}

/// What a process that is attacked takes.
struct Host<'a> {
    name: &'static str,
    hosted: &'a Hosted,
    files_before: usize,
    memory_before: u64,
    /// After each round.
    memory: Vec<u64>,
    files: usize,
}

impl<'a> Host<'a> {
    fn new(name: &'static str, hosted: &'a Hosted) -> Result<Self> {
        let (files_before, memory_before) = (hosted.open_files()?, hosted.resident()?.now);
        Ok(Self { name, hosted, files_before, memory_before, memory: Vec::new(), files: files_before })
    }

    /// Waits until the attackers' connections are closed, and notes what is still taken.
    async fn round_ended(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.files = self.hosted.open_files()?;
        while self.files > self.files_before + FILES && begun.elapsed() < RELEASED_WITHIN {
            tokio::time::sleep(Duration::from_millis(200)).await;
            self.files = self.hosted.open_files()?;
        }
        self.memory.push(self.hosted.resident()?.now);
        Ok(())
    }

    fn figures(&self) -> Result<()> {
        let name = self.name;
        let (first, last) = (
            self.memory.first().copied().unwrap_or_default(),
            self.memory.last().copied().unwrap_or_default(),
        );
        BENCH.figure(&format!("{name}: memory before"), megabytes(self.memory_before), "MB", None)?;
        BENCH.figure(
            &format!("{name}: peak memory"),
            megabytes(self.hosted.resident()?.peak),
            "MB",
            Some(Goal::AtMost(150.0)),
        )?;
        let grown = megabytes(last) - megabytes(first);
        BENCH.figure(
            &format!("{name}: memory that a second round adds"),
            grown,
            "MB",
            Some(Goal::AtMost(5.0)),
        )?;
        #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 files")]
        let left = self.files as f64 - self.files_before as f64;
        BENCH.figure(&format!("{name}: connections left open"), left, "", Some(Goal::AtMost(FILES as f64)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
