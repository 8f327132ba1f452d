//! `kill -9` at random instants: of `iotorch run`, and of commands in the middle of their work. Whatever was cut off, the
//! next start ends it, and afterwards nothing is orphaned and nothing is lost.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot be set up fails"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tempfile::TempDir;

/// Kills in all, over the workers.
const KILLS: u32 = 200;

const WORKERS: u32 = 2;

/// How long a command may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A state directory, and documents that change.
struct Bench {
    directory: TempDir,
    random: StdRng,
    /// The process that hosts.
    hosting: Option<Child>,
    kills: u32,
    /// Kills that hit a run in the middle.
    interrupted: u32,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.kill_host();
    }
}

impl Bench {
    fn new(seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("documents")).unwrap();
        let place = "apiVersion: iotorch.dev/v1alpha1\nkind: Infrastructure\nmetadata: { name: here }\n\
                     spec: { driver: local, tier: edge }\n";
        fs::write(directory.path().join("documents/here.yaml"), place).unwrap();
        Self { directory, random: StdRng::seed_from_u64(seed), hosting: None, kills: 0, interrupted: 0 }
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn documents(&self) -> PathBuf {
        self.directory.path().join("documents")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iotorch"));
        command
            .arg("--state")
            .arg(self.state())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let begun = Instant::now();
        let output = self.command().args(arguments).output().unwrap();
        assert!(begun.elapsed() < PATIENCE, "iotorch {arguments:?} took {:?}", begun.elapsed());
        output
    }

    /// A command that has to succeed.
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "iotorch {arguments:?}: {:?}\n{out}\n{err}", output.status);
        out.into_owned()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments)).unwrap()
    }

    /// Writes a slice with some devices and a policy.
    fn write_slice(&mut self, name: &str) {
        let devices = self.random.random_range(1..25);
        let policy = ["rollback", "keep"][self.random.random_range(0..2)];
        let top = self.random.random_range(50..60);
        let mut text = format!(
            "apiVersion: iotorch.dev/v1alpha1\nkind: Slice\nmetadata: {{ name: {name} }}\nspec:\n  onFailure: {policy}\n  \
             gateways: [ {{ name: gw }} ]\n  servers: [ {{ name: hub }} ]\n  profiles:\n    - name: climate\n      \
             resources: [ {{ name: temperature, type: float, unit: Cel, range: [-40, {top}] }} ]\n  devices:\n"
        );
        for device in 0..devices {
            text.push_str(&format!("    - {{ name: d{device}, profile: climate }}\n"));
        }
        fs::write(self.documents().join(format!("{name}.yaml")), text).unwrap();
    }

    /// Starts `iotorch run` on what is stored, and waits until it has ended what was open.
    fn host(&mut self) {
        let log = fs::File::create(self.directory.path().join("run.log")).unwrap();
        let mut command = self.command();
        command.args(["run", "-f"]).arg(self.documents().join("here.yaml"));
        self.hosting = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    fn kill_host(&mut self) {
        if let Some(mut host) = self.hosting.take() {
            let _ = host.kill();
            let _ = host.wait();
        }
    }

    /// Waits until the host has ended every open run.
    fn settle(&mut self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let output = self.output(&["runs", "--open", "-o", "json"]);
            let open: Option<Vec<Value>> = serde_json::from_slice(&output.stdout).ok();
            let hosted = self.state().join("iotorch.sock").exists();
            if open.as_ref().is_some_and(Vec::is_empty) && hosted {
                return;
            }
            let log = || fs::read_to_string(self.directory.path().join("run.log")).unwrap_or_default();
            assert!(
                Instant::now() < until,
                "runs stay open: {open:?}\n{}\n{}",
                String::from_utf8_lossy(&output.stderr),
                log()
            );
            std::thread::yield_now();
        }
    }

    /// Every directory that is hosted belongs to a slice that is known, and every secret has a use.
    fn check_nothing_is_orphaned(&self) {
        let export = self.run(&["state", "export"]);
        let known: BTreeSet<String> = serde_json::from_str::<Value>(&export).unwrap()["records"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|record| record["id"].as_str().map(str::to_owned))
            .collect();
        for slice in names(&self.state().join("local/here")) {
            assert!(
                known.contains(&format!("{slice}/here/space")),
                "the directory of {slice} is left over: {known:?}"
            );
            for workload in names(&self.state().join("local/here").join(&slice)) {
                if !workload.contains('.') {
                    let id = format!("{slice}/here/space/{workload}");
                    assert!(known.contains(&id), "the directory of {id} is left over");
                }
            }
        }
        for secret in self.secrets() {
            assert!(export.contains(&secret), "the secret {secret} is left over");
        }
    }

    fn secrets(&self) -> Vec<String> {
        let text = fs::read_to_string(self.state().join("secrets.json")).unwrap_or_else(|_| "{}".into());
        let stored: Value = serde_json::from_str(&text).unwrap();
        stored["secrets"].as_object().into_iter().flat_map(|secrets| secrets.keys().cloned()).collect()
    }

    /// One command, cut off at a random instant: itself, or the process that hosts.
    fn cut_off(&mut self, arguments: &[&str]) {
        let mut child =
            self.command().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.pass_time(130_000);
        if self.random.random_bool(0.7) {
            self.kill_host();
        } else {
            child.kill().unwrap();
        }
        // A command whose host died ends by itself, with an error; one that was killed is gone.
        let until = Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "iotorch {arguments:?} does not end after its host died");
            std::thread::yield_now();
        }
        self.kills += 1;
        if self.hosting.is_none() && !self.open_runs().is_empty() {
            self.interrupted += 1;
        }
    }

    /// Lets a random time pass. The instant itself is what is tested: there is no condition to wait for.
    fn pass_time(&mut self, most_micros: u64) {
        std::thread::park_timeout(Duration::from_micros(self.random.random_range(0..most_micros)));
    }

    fn open_runs(&self) -> Vec<Value> {
        serde_json::from_value(self.json(&["runs", "--open", "-o", "json"])).unwrap()
    }

    /// From wherever a cut left things, an apply reaches what is wanted. The host may still be at work for a command that was
    /// killed; then the apply is refused, and comes again when that is over.
    fn reach(&mut self, documents: &str) {
        const CONFLICT: i32 = 4;
        let until = Instant::now() + PATIENCE;
        loop {
            let applied = self.output(&["apply", "-f", documents, "--allow-replace"]);
            let told = String::from_utf8_lossy(&applied.stderr);
            match applied.status.code() {
                Some(0) => return,
                Some(CONFLICT) if told.contains("another run is under way") && Instant::now() < until => {
                    self.settle()
                }
                _ => panic!("{:?}: {told}", applied.status),
            }
        }
    }

    /// Goes on until there were `kills` kills; gives how many hit a run in the middle.
    fn live(&mut self, kills: u32) -> u32 {
        self.write_slice("alpha");
        self.write_slice("beta");
        self.host();
        self.settle();
        while self.kills < kills {
            let documents = self.documents();
            let documents = documents.to_str().unwrap();
            let slice = ["alpha", "beta"][self.random.random_range(0..2)];
            match self.random.random_range(0..4) {
                0 => self.cut_off(&["delete", "--yes", slice]),
                1 => self.cut_off(&["apply", "-f", documents]),
                _ => {
                    self.write_slice(slice);
                    self.cut_off(&["apply", "-f", documents, "--allow-replace"]);
                }
            }
            if self.hosting.is_none() {
                self.host();
                if self.random.random_bool(0.3) {
                    // Ending what is open can be cut off too.
                    self.pass_time(60_000);
                    self.kill_host();
                    self.kills += 1;
                    self.host();
                }
            }
            self.settle();
            self.check_nothing_is_orphaned();
            self.reach(documents);
            let plan = self.output(&["plan", "-f", documents, "--exit-code"]);
            assert_eq!(plan.status.code(), Some(0), "{}", String::from_utf8_lossy(&plan.stdout));
        }
        assert!(self.listening().len() >= 14, "two gateways listen on four ports each, two servers on three");
        self.run(&["delete", "--yes", "alpha", "beta"]);
        assert_eq!(names(&self.state().join("local/here")), Vec::<String>::new());
        assert_eq!(self.secrets(), Vec::<String>::new());
        assert_eq!(self.json(&["state", "export"])["records"], Value::Array(Vec::new()));
        assert_eq!(self.listening(), BTreeSet::new());
        self.kill_host();
        self.interrupted
    }

    /// The ports of TCP and UDP that the host listens on (`proc_pid_fd(5)`, `proc_pid_net(5)`). Whether a port can be taken would
    /// say less: others may have it by now.
    fn listening(&self) -> BTreeSet<String> {
        /// The state of a TCP socket that listens, and of a UDP socket that is not connected (`tcp_states.h`).
        const LISTENS: [(&str, &str); 2] = [("tcp", "0A"), ("udp", "07")];
        let process = PathBuf::from(format!("/proc/{}", self.hosting.as_ref().unwrap().id()));
        let open = fs::read_dir(process.join("fd")).unwrap().flatten();
        let open: BTreeSet<_> = open.filter_map(|file| fs::read_link(file.path()).ok()).collect();
        let mut ports = BTreeSet::new();
        for (protocol, listens) in LISTENS {
            let sockets = fs::read_to_string(process.join("net").join(protocol)).unwrap();
            for socket in sockets.lines().skip(1) {
                let fields: Vec<&str> = socket.split_whitespace().collect();
                let is_own = open.contains(&PathBuf::from(format!("socket:[{}]", fields[9])));
                if is_own && fields[3] == listens {
                    ports.insert(format!("{protocol} {}", fields[1]));
                }
            }
        }
        ports
    }
}

/// The names in a directory; none when there is none.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn two_hundred_kills_at_random_instants_leave_nothing_orphaned_and_nothing_lost() {
    let seed =
        option_env!("IOTORCH_SEED").and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random::<u32>);
    eprintln!("IOTORCH_SEED={seed}");
    let interrupted: u32 = std::thread::scope(|scope| {
        let live = |worker| move || Bench::new(u64::from(seed) + u64::from(worker)).live(KILLS / WORKERS);
        let workers: Vec<_> = (0..WORKERS).map(|worker| scope.spawn(live(worker))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    eprintln!("{interrupted} of {KILLS} kills hit a run in the middle");
    assert!(interrupted >= KILLS / 10, "the kills miss what they are for: {interrupted}");
}
