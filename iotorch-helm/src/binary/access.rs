//! How helm gets at the cluster, without a secret in its command line or environment.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::error::{Error, ErrorKind, Result};

/// How an engine gets at its cluster, and as whom.
///
/// # Examples
/// ```
/// use iotorch_helm::ClusterAccess;
///
/// let access = ClusterAccess::kubeconfig("/etc/example/kubeconfig").with_context("edge-1");
///
/// // In a pod, as its service account:
/// let folder = "/var/run/secrets/kubernetes.io/serviceaccount";
/// let access = ClusterAccess::token_file(
///     "https://kubernetes.default.svc",
///     format!("{folder}/ca.crt"),
///     format!("{folder}/token"),
/// );
/// ```
#[derive(Clone, Debug)]
pub struct ClusterAccess {
    way: Way,
    context: Option<String>,
    user: Option<String>,
    groups: Vec<String>,
}

#[derive(Clone, Debug)]
enum Way {
    Kubeconfig(PathBuf),
    Token { server: String, authority: PathBuf, token: PathBuf },
}

impl ClusterAccess {
    /// By a kubeconfig. Its current context is meant unless [`with_context`](Self::with_context) says otherwise.
    #[must_use]
    pub fn kubeconfig(path: impl Into<PathBuf>) -> Self {
        Self::by(Way::Kubeconfig(path.into()))
    }

    /// By the URL of the API server, a file (PEM) with the authority that its certificate is of, and a file with a token, which may be
    /// renewed at any time.
    #[must_use]
    pub fn token_file(
        server: impl Into<String>,
        authority: impl Into<PathBuf>,
        token: impl Into<PathBuf>,
    ) -> Self {
        Self::by(Way::Token { server: server.into(), authority: authority.into(), token: token.into() })
    }

    const fn by(way: Way) -> Self {
        Self { way, context: None, user: None, groups: Vec::new() }
    }

    /// Another context of the kubeconfig than the current one.
    #[must_use]
    pub fn with_context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into());
        self
    }

    /// To act as another user, whose permissions count then, and as a member of these groups.
    #[must_use]
    pub fn acting_as(
        mut self,
        user: impl Into<String>,
        groups: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.user = Some(user.into());
        self.groups = groups.into_iter().map(Into::into).collect();
        self
    }

    /// The arguments that tell helm so. Where there is no kubeconfig one is written to `folder`, which names files with secrets
    /// and has none.
    pub(super) fn arguments(&self, folder: &Path) -> Result<Vec<OsString>> {
        let kubeconfig = match &self.way {
            Way::Kubeconfig(path) => absolute(path)?,
            Way::Token { server, authority, token } => {
                let path = folder.join("kubeconfig");
                write(&path, server, &absolute(authority)?, &absolute(token)?).map_err(|error| {
                    Error::new(ErrorKind::Unexpected, format!("cannot write \"{}\"", path.display()))
                        .with_source(error)
                })?;
                absolute(&path)?
            }
        };
        // Each in one piece, so that nothing can be taken for another option.
        let mut arguments = vec![option("--kubeconfig", kubeconfig)];
        arguments.extend(self.context.iter().map(|context| option("--kube-context", context)));
        arguments.extend(self.user.iter().map(|user| option("--kube-as-user", user)));
        arguments.extend(self.groups.iter().map(|group| option("--kube-as-group", group)));
        Ok(arguments)
    }
}

/// `--name=value`.
pub(super) fn option(name: &str, value: impl Into<OsString>) -> OsString {
    let mut option = OsString::from(name);
    option.push("=");
    option.push(value.into());
    option
}

/// helm runs in another directory.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::io(format!("cannot find \"{}\"", path.display()), error))
}

fn write(path: &Path, server: &str, authority: &Path, token: &Path) -> std::io::Result<()> {
    let named = |value: serde_json::Value, key: &str| json!([{ "name": "cluster", key: value }]);
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": named(json!({ "server": server, "certificate-authority": authority }), "cluster"),
        "users": named(json!({ "tokenFile": token }), "user"),
        "contexts": named(json!({ "cluster": "cluster", "user": "cluster" }), "context"),
        "current-context": "cluster",
    });
    fs::remove_file(path).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(kubeconfig.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_context_can_be_taken_for_an_option() {
        let access = ClusterAccess::kubeconfig("/k").with_context("--help").acting_as("-u", ["-g", "h"]);
        let arguments = access.arguments(Path::new("/nowhere")).unwrap();
        assert_eq!(
            arguments,
            [
                "--kubeconfig=/k",
                "--kube-context=--help",
                "--kube-as-user=-u",
                "--kube-as-group=-g",
                "--kube-as-group=h"
            ]
        );
    }

    #[test]
    fn a_token_stays_in_its_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("token"), "hunter2").unwrap();
        let access = ClusterAccess::token_file("https://[::1]:6443", "/ca.crt", dir.path().join("token"));
        for _ in 0..2 {
            let arguments = access.arguments(dir.path()).unwrap();
            assert_eq!(arguments, [option("--kubeconfig", dir.path().join("kubeconfig"))]);
        }
        let written = fs::read_to_string(dir.path().join("kubeconfig")).unwrap();
        let token = dir.path().join("token");
        assert!(written.contains(&*token.to_string_lossy()) && !written.contains("hunter2"), "{written}");
    }
}
