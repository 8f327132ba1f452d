//! A broker of Eclipse Mosquitto.

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Command, Stdio},
};

use crate::home::{Running, eventually};

const PROGRAM: &str = "mosquitto";

/// Where programs for administrators are, which are not always in `PATH`.
const ELSEWHERE: &str = "/usr/sbin:/usr/local/sbin";

/// Whether it must be there, as CONTRIBUTING.md says.
#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what must be there")]
pub(crate) fn is_required() -> bool {
    let required = env::var("IOTORCH_REQUIRE").unwrap_or_default();
    required.split(',').any(|word| ["all", PROGRAM].contains(&word.trim()))
}

#[allow(clippy::disallowed_methods, reason = "a test looks for programs where a shell does")]
fn path() -> String {
    format!("{}:{ELSEWHERE}", env::var("PATH").unwrap_or_default())
}

/// Whether the program is there.
pub(crate) fn is_there() -> bool {
    env::split_paths(&path()).any(|folder| folder.join(PROGRAM).is_file())
}

/// A broker on a port of the loopback interface that knows no passwords, until it is dropped.
pub(crate) struct Mosquitto {
    pub(crate) port: u16,
    _process: Running,
}

impl Mosquitto {
    pub(crate) fn start(folder: &Path) -> Self {
        let (configuration, log) = (folder.join("mosquitto.conf"), folder.join("mosquitto.log"));
        loop {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n");
            fs::write(&configuration, text).unwrap();
            let mut command = Command::new(PROGRAM);
            command.arg("-c").arg(&configuration).env("PATH", path());
            command.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
            let mut process = Running::of(&mut command);
            let mut ended = None;
            eventually("mosquitto runs", || {
                ended = process.has_ended();
                ended.is_some() || fs::read_to_string(&log).unwrap().contains(" running")
            });
            // Where it has ended, somebody else has taken the port meanwhile.
            if ended.is_none() {
                return Self { port, _process: process };
            }
        }
    }
}
