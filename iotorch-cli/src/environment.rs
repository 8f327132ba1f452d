//! The process's environment, read in this one place.

use std::{
    io::{IsTerminal, stderr, stdin, stdout},
    path::PathBuf,
};

/// What the environment says. It has no [`Debug`]: variables can hold secrets.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    /// `IOTORCH_STATE`: the state directory.
    pub(crate) state: Option<PathBuf>,
    /// `XDG_STATE_HOME`, else `~/.local/state`: where state directories are.
    pub(crate) state_home: Option<PathBuf>,
    /// The first file of `KUBECONFIG`, else `~/.kube/config` if it is there: the kubeconfig of clusters that name none.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// `IOTORCH_HELM`: the program `helm`.
    pub(crate) helm: Option<PathBuf>,
    /// `IOTORCH_LOG`: what to log, in the words of `tracing_subscriber::EnvFilter`.
    pub(crate) log: Option<String>,
    /// Whether `NO_COLOR` asks for plain text (<https://no-color.org>).
    pub(crate) no_color: bool,
    /// All variables that are UTF-8: secrets can be referred to by their names.
    pub(crate) variables: Vec<(String, String)>,
    /// Whether a person can be asked.
    pub(crate) can_ask: bool,
    /// Whether results go to a terminal.
    pub(crate) stdout_is_terminal: bool,
    /// Whether messages go to a terminal.
    pub(crate) stderr_is_terminal: bool,
}

impl Environment {
    /// The state directory where none is asked for.
    pub(crate) fn state_directory(&self) -> Option<PathBuf> {
        self.state.clone().or_else(|| self.state_home.as_ref().map(|home| home.join("iotorch")))
    }

    /// Reads it.
    #[allow(clippy::disallowed_methods, reason = "this is the place where the environment is read")]
    pub(crate) fn read() -> Self {
        // An empty variable counts as unset, as the XDG base directory specification and NO_COLOR ask for.
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let in_home = |path: &str| set("HOME").map(|home| PathBuf::from(home).join(path));
        let kubeconfig = set("KUBECONFIG").and_then(|files| std::env::split_paths(&files).next());
        // A relative XDG_STATE_HOME is invalid and ignored (XDG base directory specification 0.8).
        let state_home = set("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            state: set("IOTORCH_STATE").map(PathBuf::from),
            state_home: state_home.or_else(|| in_home(".local/state")),
            kubeconfig: kubeconfig.or_else(|| in_home(".kube/config").filter(|path| path.exists())),
            helm: set("IOTORCH_HELM").map(PathBuf::from),
            log: set("IOTORCH_LOG").and_then(|value| value.into_string().ok()),
            no_color: set("NO_COLOR").is_some(),
            variables: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            can_ask: stdin().is_terminal() && stderr().is_terminal(),
            stdout_is_terminal: stdout().is_terminal(),
            stderr_is_terminal: stderr().is_terminal(),
        }
    }
}
