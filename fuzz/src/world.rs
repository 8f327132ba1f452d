//! A gateway that takes one input after the other.

use iotorch_lite::{
    api::{DeviceProtocol, DeviceStatus},
    fuzzing::Gateway,
};
use std::{env, fs, process};
use tokio::runtime::{Builder, Runtime};

/// The commands that wait for the device at first.
const WAITING: u64 = 2;

/// A gateway in memory, and what it runs on. Time passes there when nothing else is to be done, so nobody waits.
pub struct World {
    gateway: Gateway,
    runtime: Runtime,
}

impl World {
    /// A gateway whose device speaks this protocol.
    pub fn start(protocol: DeviceProtocol) -> Self {
        let mut runtime = Builder::new_current_thread();
        // What comes over sockets is noticed at once.
        let runtime =
            runtime.enable_all().start_paused(true).event_interval(1).build().expect("a runtime starts");
        let log = env::temp_dir().join(format!("iotorch-fuzz-{}", process::id()));
        fs::create_dir_all(&log).expect("there is room for a log");
        let gateway = runtime.block_on(Gateway::start(&log, protocol)).expect("a gateway starts");
        // The log is open, and is gone when this process is.
        fs::remove_dir_all(&log).expect("what was made can be removed");
        Self { gateway, runtime }
    }

    /// The gateway.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Carries something out, and gives what has come from the device by it.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> (T, DeviceStatus) {
        self.runtime.block_on(async {
            let done = work.await;
            let status = self.gateway.status().expect("the store works");
            if status.last_seen.is_some() || status.commands_waiting != WAITING {
                self.gateway.reset().await.expect("the store works");
            }
            (done, status)
        })
    }
}
