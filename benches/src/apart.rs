//! Processes apart: what they take is not mixed with what the benchmark takes. Each is this same program, given a task.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Result,
    attack::{self, Attack},
    hosted,
};

/// What a process does, as its command line says it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Task {
    Gateway(hosted::Hosting),
    Server(hosted::Hosting),
    Attack(Attack),
}

/// A process with a task; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Apart {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Apart {
    pub(crate) fn start(task: &Task) -> Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .arg(serde_json::to_string(task)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let output = process.stdout.take().ok_or("cannot read what a process prints")?;
        Ok(Self { process, output: BufReader::new(output) })
    }

    /// Waits for what it [tells](tell) next.
    pub(crate) fn told<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(serde_json::from_str(&line).map_err(|error| format!("a process told \"{line}\": {error}"))?)
    }

    /// Asks it to end; what it tells then can still be read.
    pub(crate) fn end(&mut self) {
        drop(self.process.stdin.take());
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.end();
        // It is waited for so that its folder can be removed.
        let _ = self.process.wait();
    }
}

/// Does what the command line of this process says, if it is the task of a process apart.
///
/// # Errors
/// When the task fails.
pub fn task() -> Result<bool> {
    // Cargo passes --bench.
    let Some(task) = env::args().skip(1).find(|argument| argument != "--bench") else { return Ok(false) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match serde_json::from_str(&task)? {
            Task::Gateway(hosting) => hosted::gateway(hosting).await,
            Task::Server(hosting) => hosted::server(hosting).await,
            Task::Attack(attack) => attack::carry_out(attack).await,
        }
    })?;
    Ok(true)
}

/// Tells who started this process.
pub(crate) fn tell(what: &impl Serialize) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(what)?)?;
    Ok(stdout.flush()?)
}

/// Waits until this process is asked to end.
pub(crate) async fn until_ended() -> Result<()> {
    tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}
