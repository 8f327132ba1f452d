//! The alternative to a gateway and a server: brokers of Eclipse Mosquitto, each a process of its own.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::Result;

/// How long a broker may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a broker keeps of the messages it has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing on the disk.
    InMemory,
    /// Everything is written to the disk and flushed at each change: the most that `mosquitto.conf(5)` offers
    /// (`autosave_on_changes`).
    OnDisk,
}

/// A broker on a port of the loopback interface that knows no passwords; it ends when dropped.
#[derive(Debug)]
pub struct Mosquitto {
    process: Child,
    /// Where it listens.
    pub port: u16,
}

impl Mosquitto {
    /// Starts a broker with its files in `folder`, which forwards everything below `devices/` at QoS 1 to the broker on
    /// port `north`, if one is given.
    ///
    /// # Errors
    /// When there is no program `mosquitto`, or it does not start.
    pub fn start(folder: &Path, kept: Kept, north: Option<u16>) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let configuration = folder.join("mosquitto.conf");
        fs::write(&configuration, written(folder, port, kept, north)?)?;
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(&configuration).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().map_err(|error| {
            format!("cannot start mosquitto: {error} (it is the Debian package \"mosquitto\")")
        })?;
        let mut broker = Self { process, port };
        broker.await_listening()?;
        Ok(broker)
    }

    fn await_listening(&mut self) -> Result<()> {
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if let Some(ended) = self.process.try_wait()? {
                return Err(format!("cannot start mosquitto: it ended with {ended}").into());
            }
            if begun.elapsed() > PATIENCE {
                return Err("cannot start mosquitto: it does not listen".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It has ended by itself where this fails.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn written(folder: &Path, port: u16, kept: Kept, north: Option<u16>) -> Result<String> {
    let mut text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n\
         user root\nset_tcp_nodelay true\n"
    );
    if kept == Kept::OnDisk {
        let folder = folder.display();
        write!(
            text,
            "persistence true\npersistence_location {folder}/\nautosave_interval 1\nautosave_on_changes true\n"
        )?;
    }
    if let Some(north) = north {
        write!(
            text,
            "connection north\naddress 127.0.0.1:{north}\ntopic devices/# out 1\ncleansession false\n"
        )?;
    }
    Ok(text)
}
