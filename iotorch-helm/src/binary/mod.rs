//! An engine that runs the `helm` program.

mod access;
mod answer;
mod child;
mod desk;
mod failure;
mod operations;
mod turns;
mod version;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use typed_builder::TypedBuilder;

pub use self::{access::ClusterAccess, turns::Turns};
use self::{
    child::{Ended, Program},
    desk::Desks,
    version::{HelmVersion, NEWEST_MAJOR, OLDEST},
};
use crate::{
    error::{Error, ErrorKind, Result},
    request::{Call, Release},
    values::Values,
};

/// How long helm may take to say which version it has; it asks nobody for that.
const VERSION_TIME: Duration = Duration::from_secs(20);

/// Settings of a [`HelmBinary`].
#[derive(Clone, Debug, TypedBuilder)]
pub struct HelmBinaryConfig {
    /// The program; a name without a slash is looked for on the search path.
    #[builder(default = "helm".into(), setter(into))]
    program: PathBuf,
    /// The cluster.
    access: ClusterAccess,
    /// A folder for the locks of the releases of this cluster. All processes that work on them and are to know of each other name
    /// the same one. It has to be on a disk of this machine, as locks over a network are not reliable.
    #[builder(setter(into))]
    locks: PathBuf,
    /// A folder for what can be made anew.
    #[builder(setter(into))]
    cache: PathBuf,
    /// How many helms change something at once; engines of several clusters can share them.
    #[builder(default)]
    turns: Turns,
}

/// An engine that runs the `helm` program of Helm 3 (from 3.17 on) or 4.
///
/// Each operation is a child process. It sees no repository, plugin or setting of the user, and gets values by files that only the
/// owner can read, or by its standard input. One that changes something is a process group of its own and holds the lock of its release
/// until it has ended, so that it is known of when this process is gone ([`HelmEngine::is_idle`](crate::HelmEngine::is_idle)).
///
/// # Examples
/// ```
/// use iotorch_helm::{ClusterAccess, ErrorKind, HelmBinary, HelmBinaryConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let config = HelmBinaryConfig::builder()
///     .program("/no/such/helm")
///     .access(ClusterAccess::kubeconfig("/etc/example/kubeconfig"))
///     .locks(dir.path().join("locks"))
///     .cache(dir.path().join("cache"))
///     .build();
/// let error = HelmBinary::open(config).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert_eq!(error.to_string(), "cannot run \"/no/such/helm\"");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HelmBinary {
    program: Program,
    version: HelmVersion,
    access: Vec<OsString>,
    desks: Desks,
    turns: Turns,
}

impl HelmBinary {
    /// Finds out which helm it is, and removes what calls left behind that were broken off. The cluster is not asked.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without the program, [`ErrorKind::Unsupported`] for a version that is not known, and
    /// [`ErrorKind::Unexpected`] when a folder cannot be used.
    pub async fn open(config: HelmBinaryConfig) -> Result<Self> {
        let program = Program::new(&config.program, &config.cache)?;
        let access = config.access.arguments(program.home())?;
        let desks = Desks::open(&config.locks)?;
        let asked = ["version", "--template", "{{.Version}}"].map(OsString::from);
        let answer = program.read(&Call::within(VERSION_TIME), &asked, None).await?;
        let text = String::from_utf8_lossy(&answer.said.output).trim().to_owned();
        let cannot = |why: String| {
            Error::new(ErrorKind::Unsupported, format!("cannot use \"{}\"", config.program.display()))
                .with_source(why)
                .with_help(format!("install Helm {OLDEST} or later"))
        };
        if !answer.status.success() {
            let why = format!("asked for its version, it ended with {}", answer.status);
            return Err(cannot(why));
        }
        let version = HelmVersion::parse(&text)
            .ok_or_else(|| cannot("it does not say which version of Helm it is".into()))?;
        if !version.is_known() {
            return Err(cannot(format!(
                "it is version {version} of Helm; versions {OLDEST} to {NEWEST_MAJOR} are understood"
            )));
        }
        Ok(Self { program, version, access, desks, turns: config.turns })
    }

    /// The version of Helm, such as `4.3`.
    #[must_use]
    pub fn version(&self) -> String {
        self.version.to_string()
    }

    /// Runs what changes nothing; `what` was not possible when it fails.
    async fn read(
        &self,
        call: &Call,
        what: &str,
        arguments: Vec<OsString>,
        values: Option<&Values>,
    ) -> Result<Vec<u8>> {
        let input = values.map(Values::to_yaml);
        let ended = self.program.read(call, &arguments, input.as_deref()).await;
        output(what, ended.map_err(|error| error.within(what))?)
    }

    /// Runs what changes a release.
    async fn change(
        &self,
        call: &Call,
        what: &str,
        release: &Release,
        arguments: Vec<OsString>,
        values: Option<&Values>,
    ) -> Result<Vec<u8>> {
        let turn = self.turns.take(call).await.map_err(|error| error.within(what))?;
        let begin = || {
            let desk = self.desks.take(release)?;
            if let Some(values) = values {
                desk.put_values(&values.to_yaml())
                    .map_err(|error| Error::io("cannot hand over values to helm", error))?;
            }
            self.program.start(desk, turn, &arguments)
        };
        let task = begin().map_err(|error| error.within(what))?;
        let ended = task.await.map_err(|error| Error::new(ErrorKind::Unexpected, what).with_source(error))?;
        output(what, ended.map_err(|error| error.within(what))?)
    }
}

/// What helm printed, or the error that it ended with.
fn output(what: &str, ended: Ended) -> Result<Vec<u8>> {
    if ended.status.success() {
        return Ok(ended.said.output);
    }
    Err(failure::read(what, &String::from_utf8_lossy(&ended.said.errors), ended.status))
}
