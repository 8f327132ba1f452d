//! helm as a child process.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use tokio::{io::AsyncWriteExt, process::Command, task::JoinHandle};

use super::{
    access::absolute,
    desk::{Desk, Said},
    turns::Turn,
};
use crate::{
    error::{Error, ErrorKind, Result},
    request::Call,
};

/// What helm would read from its environment: access to a cluster, repositories and plugins that are somebody else's.
const FOREIGN: [&str; 27] = [
    "HELM_BIN",
    "HELM_BURST_LIMIT",
    "HELM_COLOR",
    "HELM_CONTENT_CACHE",
    "HELM_DEBUG",
    "HELM_DRIVER_SQL_CONNECTION_STRING",
    "HELM_KUBEAPISERVER",
    "HELM_KUBEASGROUPS",
    "HELM_KUBEASUSER",
    "HELM_KUBECAFILE",
    "HELM_KUBECONTEXT",
    "HELM_KUBEINSECURE_SKIP_TLS_VERIFY",
    "HELM_KUBETLS_SERVER_NAME",
    "HELM_KUBETOKEN",
    "HELM_MAX_HISTORY",
    "HELM_MEMORY_DRIVER_DATA",
    "HELM_NAMESPACE",
    "HELM_PLUGINS",
    "HELM_PPROF_CPU_PROFILE",
    "HELM_PPROF_MEM_PROFILE",
    "HELM_QPS",
    "HELM_REGISTRY_CONFIG",
    "HELM_REPOSITORY_CACHE",
    "HELM_REPOSITORY_CONFIG",
    "KUBECONFIG",
    "NO_COLOR",
    "SOURCE_DATE_EPOCH",
];

/// How Go collects garbage in a helm: late, as it soon ends and gives all back, which saves a fifth of its processor time; but not so
/// late that a large chart takes a board's memory.
const GARBAGE: [(&str, &str); 2] = [("GOGC", "400"), ("GOMEMLIMIT", "256MiB")];

/// What helm said, and how it ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) said: Said,
}

/// The program, and where it may keep things.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
    home: PathBuf,
}

impl Program {
    /// Makes the folders that take the place of those in the home of the user.
    pub(super) fn new(path: &Path, cache: &Path) -> Result<Self> {
        let home = absolute(cache)?.join("helm");
        fs::create_dir_all(&home)
            .map_err(|error| Error::io(format!("cannot make the folder \"{}\"", home.display()), error))?;
        // A name without a slash is looked for on the search path.
        let path = if path.components().count() > 1 { absolute(path)? } else { path.to_owned() };
        Ok(Self { path, home })
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    fn command(&self, arguments: &[OsString]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(arguments);
        for name in FOREIGN {
            command.env_remove(name);
        }
        for (name, folder) in [
            ("HELM_CACHE_HOME", "cache"),
            ("HELM_CONFIG_HOME", "config"),
            ("HELM_DATA_HOME", "data"),
            ("KUBECACHEDIR", "discovery"),
        ] {
            command.env(name, self.home.join(folder));
        }
        // Releases are kept in Secrets; plugins of version 3 can be switched off, those of 4 are not found.
        command.env("HELM_DRIVER", "secret").env("HELM_NO_PLUGINS", "1").envs(GARBAGE);
        // A terminal's Ctrl-C is for this process, which decides what is finished.
        command.process_group(0);
        command
    }

    fn cannot_start(&self, error: std::io::Error) -> Error {
        let error = Error::io(format!("cannot run \"{}\"", self.path.display()), error);
        error.with_help("install Helm (https://helm.sh), version 3.17 or later, or say where it is")
    }

    /// Runs what changes nothing. It ends with this call: when that is dropped, cancelled, or out of time.
    pub(super) async fn read(
        &self,
        call: &Call,
        arguments: &[OsString],
        input: Option<&str>,
    ) -> Result<Ended> {
        let work = async {
            let mut command = self.command(arguments);
            command.current_dir(&self.home).kill_on_drop(true);
            command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().map_err(|error| self.cannot_start(error))?;
            let stdin = child.stdin.take();
            let feed = async {
                if let (Some(mut stdin), Some(input)) = (stdin, input) {
                    // A helm that does not want to read says why.
                    let _ = stdin.write_all(input.as_bytes()).await;
                }
            };
            let (output, ()) = tokio::join!(child.wait_with_output(), feed);
            let output = output.map_err(|error| Error::io("cannot wait for helm", error))?;
            let said = Said { output: output.stdout, errors: output.stderr };
            Ok(Ended { status: output.status, said })
        };
        tokio::select! {
            biased;
            () = call.cancelled.cancelled() => {
                Err(Error::new(ErrorKind::Cancelled, "cannot go on asking helm").with_source("it was cancelled"))
            }
            ended = work => ended,
            () = tokio::time::sleep_until(call.deadline) => {
                Err(Error::new(ErrorKind::TimedOut, "cannot wait for helm any longer")
                    .with_source("the time of the call is up"))
            }
        }
    }

    /// Starts what changes something. It goes on until it has ended, whatever becomes of this process; the desk is freed after that, and
    /// the turn is over.
    pub(super) fn start(
        &self,
        mut desk: Desk,
        turn: Turn,
        arguments: &[OsString],
    ) -> Result<JoinHandle<Result<Ended>>> {
        let mut command = self.command(arguments);
        let mut prepare = || {
            let (output, errors) = desk.output()?;
            command.current_dir(desk.folder()).stdin(desk.lock()?).stdout(output).stderr(errors);
            Ok(())
        };
        prepare().map_err(|error: std::io::Error| Error::io("cannot hand over work to helm", error))?;
        let mut child = command.spawn().map_err(|error| self.cannot_start(error))?;
        desk.hand_over();
        Ok(tokio::spawn(async move {
            let status = child.wait().await.map_err(|error| Error::io("cannot wait for helm", error))?;
            drop(turn);
            desk.take_back();
            let said = desk.said().map_err(|error| Error::io("cannot read what helm said", error))?;
            Ok(Ended { status, said })
        }))
    }
}
