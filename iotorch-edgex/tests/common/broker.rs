//! mosquitto with its dynamic security plug-in.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::net::TcpStream;

/// The user that manages the users.
pub const ADMIN: &str = "admin";

/// Where the plug-in is, if mosquitto is installed.
pub fn plugin() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut places =
        folders.chain([PathBuf::from("/usr/lib")]).map(|folder| folder.join("mosquitto_dynamic_security.so"));
    places.find(|place| place.exists()).filter(|_| Path::new("/usr/sbin/mosquitto").exists())
}

/// A broker. It ends when it is dropped.
#[derive(Debug)]
pub struct Mosquitto {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Mosquitto {
    pub async fn start(password: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let users = folder.path().join("users.json");
        let mut made = Command::new("mosquitto_ctrl");
        made.args(["dynsec", "init"]).arg(&users).args([ADMIN, password]);
        assert!(run(&mut made).success());
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let config = format!(
            "user root\nlistener {} 127.0.0.1\nallow_anonymous false\nset_tcp_nodelay true\nplugin {}\nplugin_opt_config_file {}\n",
            address.port(),
            plugin().unwrap().display(),
            users.display(),
        );
        let file = folder.path().join("mosquitto.conf");
        fs::write(&file, config).unwrap();
        let process = Command::new("/usr/sbin/mosquitto")
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let broker = Self { process, address, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).await.is_err() {
            assert!(Instant::now() < deadline, "the broker does not start");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        broker
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether somebody can publish to a topic, as mosquitto's own client finds.
    pub fn takes(&self, user: &str, password: &str, topic: &str) -> bool {
        let port = self.address.port().to_string();
        let args = ["-h", "127.0.0.1", "-p", &port, "-u", user, "-P", password, "-V", "5", "-q", "1"];
        // It calls a publish that was refused a warning.
        let said = Command::new("mosquitto_pub").args(args).args(["-t", topic, "-m", "1"]).output().unwrap();
        said.status.success() && !String::from_utf8_lossy(&said.stderr).contains("failed")
    }

    /// Whether somebody can subscribe to a topic, as mosquitto's own client finds.
    pub fn tells(&self, user: &str, password: &str, topic: &str) -> bool {
        let port = self.address.port().to_string();
        let args = ["-h", "127.0.0.1", "-p", &port, "-u", user, "-P", password, "-V", "5", "-E"];
        let said = Command::new("mosquitto_sub").args(args).args(["-t", topic]).output().unwrap();
        said.status.success() && !String::from_utf8_lossy(&said.stderr).contains("denied")
    }
}

fn run(command: &mut Command) -> std::process::ExitStatus {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
}
