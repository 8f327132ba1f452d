//! Real systems that a test starts for itself, each in a directory of its own, and whose process ends with their guard.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Mutex,
};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

/// How often another free port is tried, if somebody else was quicker to take one.
const DRAWS: usize = 5;

#[allow(clippy::disallowed_methods, reason = "a test looks for the programs of this machine")]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian has servers where users do not look for programs.
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(program)).find(|program| program.is_file())
}

pub fn is_there(program: &str) -> bool {
    find(program).is_some()
}

/// Whether this system must be there, as CONTRIBUTING.md says.
#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what must be there")]
pub fn is_required(system: &str) -> bool {
    let required = env::var("IOTORCH_REQUIRE").unwrap_or_default();
    required.split(',').any(|word| ["all", system].contains(&word.trim()))
}

/// A program that listens on a port.
pub struct System {
    pub address: SocketAddr,
    _child: Child,
}

impl System {
    /// Starts a program with the configuration that `config` gives for a port, and returns when it listens there.
    async fn start(program: &str, options: &[&str], dir: &Path, config: impl Fn(u16) -> String) -> Self {
        let found = find(program).unwrap_or_else(|| panic!("{program} is not installed"));
        for _ in 0..DRAWS {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
            let file = dir.join(format!("{program}.conf"));
            std::fs::write(&file, config(free.port())).unwrap();
            let log = std::fs::File::create(dir.join(format!("{program}.log"))).unwrap();
            let child = Command::new(&found)
                .args(options)
                .arg(&file)
                .stdout(Stdio::null())
                .stderr(log)
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let child = Mutex::new(child);
            let listens = super::eventually(program, || async {
                let ended = child.lock().unwrap().try_wait().unwrap().is_some();
                let answers = TcpStream::connect(free).await.is_ok();
                (ended || answers).then_some(answers && !ended)
            });
            if listens.await {
                return Self { address: free, _child: child.into_inner().unwrap() };
            }
        }
        panic!("{program} does not start: {}", dir.join(format!("{program}.log")).display());
    }

    /// A broker that takes everybody, and forgets nothing that waits while it runs.
    pub async fn mosquitto(dir: &Path) -> Self {
        Self::mosquitto_with(dir, "").await
    }

    /// The same, with more lines in its configuration.
    pub async fn mosquitto_with(dir: &Path, more: &str) -> Self {
        let config = |port| {
            format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\n{more}"
            )
        };
        Self::start("mosquitto", &["-c"], dir, config).await
    }

    /// A database that asks for users, the first of whom can be made by everybody.
    pub async fn influxd(dir: &Path) -> Self {
        let config = |port| {
            let dir = dir.display();
            format!(
                "reporting-disabled = true\nbind-address = \"127.0.0.1:0\"\n\
                 [meta]\ndir = \"{dir}/meta\"\n[data]\ndir = \"{dir}/data\"\nwal-dir = \"{dir}/wal\"\n\
                 [http]\nbind-address = \"127.0.0.1:{port}\"\nauth-enabled = true\nlog-enabled = false\n\
                 [monitor]\nstore-enabled = false\n[ifql]\nenabled = false\n"
            )
        };
        Self::start("influxd", &["-config"], dir, config).await
    }
}
