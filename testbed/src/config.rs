//! The files that components read, and the people and programs they know.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::addresses::Addresses;
use crate::command::Tool;
use crate::component::{Component, api_url};
use crate::error::{Error, Result};
use crate::kind::Kind;
use crate::layout::Layout;
use crate::modules::{Module, Programs, hexadecimal};
use crate::pieces::PAUSE;
use crate::progress::Progress;

/// What every file of the clusters names the domain of services.
pub(crate) const DOMAIN: &str = "cluster.local";

/// Who may do everything.
pub(crate) const ADMIN: &str = "admin";

/// Who has no rights but those of everyone whom the cluster knows.
pub(crate) const NOBODY: &str = "nobody";

/// A user of the API: the name of its token's file, the name it has in the cluster, and its groups.
struct User {
    file: &'static str,
    name: String,
    groups: &'static str,
}

/// The names and groups are those that Kubernetes gives rights to by itself (its RBAC reference, "core component roles").
fn users(node: &str, components: &[Component]) -> Vec<User> {
    let user = |file, name: &str, groups| User { file, name: name.to_owned(), groups };
    let people = [user(ADMIN, ADMIN, "system:masters"), user(NOBODY, NOBODY, "")];
    let programs = components.iter().filter_map(|component| {
        let file = component.name();
        Some(match component {
            Component::ControllerManager => user(file, "system:kube-controller-manager", ""),
            Component::Scheduler => user(file, "system:kube-scheduler", ""),
            Component::Proxy => user(file, "system:kube-proxy", ""),
            Component::Kubelet => user(file, &format!("system:node:{node}"), "system:nodes"),
            Component::Volumes | Component::Policies | Component::Kwok => {
                user(file, &format!("iotorch:{file}"), "system:masters")
            }
            Component::Containerd | Component::Etcd | Component::ApiServer => return None,
        })
    });
    people.into_iter().chain(programs).collect()
}

/// Makes all folders and files of a cluster that was not there.
pub(crate) fn write(
    kind: Kind,
    layout: &Layout,
    addresses: Addresses,
    programs: &Programs,
    progress: Progress<'_>,
) -> Result<()> {
    for folder in layout.folders(kind.components()) {
        fs::create_dir_all(&folder).map_err(|error| Error::file("make", &folder, error))?;
    }
    // Tokens, keys and the sockets that rule containers are root's alone.
    for folder in [layout.folder(), &layout.run()] {
        fs::set_permissions(folder, Permissions::from_mode(0o700))
            .map_err(|error| Error::file("protect", folder, error))?;
    }
    certificates(layout, addresses, programs, progress)?;
    credentials(kind, layout, addresses)?;
    for component in kind.components() {
        match component {
            Component::Containerd => containerd(layout, addresses)?,
            Component::Kubelet => kubelet(layout, addresses)?,
            Component::Proxy => proxy(layout, addresses)?,
            _ => {}
        }
    }
    Ok(())
}

fn certificates(
    layout: &Layout,
    addresses: Addresses,
    programs: &Programs,
    progress: Progress<'_>,
) -> Result<()> {
    Tool::new(programs.path(Module::Parts, "certificates"))
        .arg(layout.certificates())
        .args([addresses.node(), addresses.api_service()].map(|address| address.to_string()))
        .args(["127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"])
        .arg(format!("kubernetes.default.svc.{DOMAIN}"))
        .run(progress)
        .map(drop)
}

fn credentials(kind: Kind, layout: &Layout, addresses: Addresses) -> Result<()> {
    let mut tokens = String::new();
    for user in users(layout.node(), kind.components()) {
        let token = token()?;
        tokens.push_str(&format!("{token},{0},{0},\"{1}\"\n", user.name, user.groups));
        file(&layout.token(user.file), token.as_bytes())?;
        let config = kubeconfig(&[access(layout, addresses, &[user.file])?]);
        file(&layout.kubeconfig(user.file), &text(&config))?;
    }
    file(&layout.config("tokens.csv"), tokens.as_bytes())
}

/// 128 bits that nobody can guess.
fn token() -> Result<String> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    File::open(path)
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| Error::file("read", path, error))?;
    Ok(hexadecimal(&bytes))
}

/// How a cluster is reached by users, of whom the first is the one of its context.
pub(crate) struct Access {
    name: String,
    url: String,
    authority: Vec<u8>,
    /// Names and tokens.
    users: Vec<(String, String)>,
}

pub(crate) fn access(layout: &Layout, addresses: Addresses, users: &[&str]) -> Result<Access> {
    let authority = layout.certificate("ca.crt");
    let users = users.iter().map(|user| {
        let path = layout.token(user);
        let token = fs::read_to_string(&path).map_err(|error| Error::file("read", &path, error))?;
        Ok((format!("{}-{user}", layout.node()), token))
    });
    Ok(Access {
        name: layout.node().to_owned(),
        url: api_url(addresses),
        authority: fs::read(&authority).map_err(|error| Error::file("read", &authority, error))?,
        users: users.collect::<Result<_>>()?,
    })
}

/// A kubeconfig with a context for each cluster, the first of which is the current one.
pub(crate) fn kubeconfig(accesses: &[Access]) -> Value {
    let clusters = accesses.iter().map(|access| {
        let authority = BASE64_STANDARD.encode(&access.authority);
        json!({
            "name": access.name,
            "cluster": { "server": access.url, "certificate-authority-data": authority }
        })
    });
    let contexts = accesses.iter().map(|access| {
        let user = access.users.first().map(|(name, _)| name);
        json!({ "name": access.name, "context": { "cluster": access.name, "user": user } })
    });
    let users = accesses.iter().flat_map(|access| &access.users);
    let users = users.map(|(name, token)| json!({ "name": name, "user": { "token": token } }));
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": accesses.first().map(|access| &access.name),
        "clusters": clusters.collect::<Vec<_>>(),
        "contexts": contexts.collect::<Vec<_>>(),
        "users": users.collect::<Vec<_>>(),
    })
}

fn containerd(layout: &Layout, addresses: Addresses) -> Result<()> {
    let run = layout.run();
    let config = format!(
        r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = "{socket}"

# Its own place for what nobody installs here; the usual one is /opt/containerd.
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  stream_server_address = "127.0.0.1"
  # Where even root may not lower what the machine gave to this process, pods start all the same.
  restrict_oom_score_adj = true
  # Below a folder of this cluster, so that all its mounts are.
  netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{cni}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  Root = "{runc}"
  SystemdCgroup = false
"#,
        root = layout.data(Component::Containerd).display(),
        state = run.join("containerd").display(),
        socket = layout.containerd_socket().display(),
        cni = layout.cni().display(),
        runc = run.join("runc").display(),
    );
    file(&layout.config("containerd.toml"), config.as_bytes())?;
    let network = json!({
        "cniVersion": "1.0.0",
        // Some state on this machine is kept by this name.
        "name": layout.unique_name(),
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods",
                "isGateway": true,
                "ipMasq": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": addresses.pods() }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                    "dataDir": layout.folder().join("pod-addresses"),
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    });
    file(&layout.cni().join("10-iotorch.conflist"), &text(&network))
}

fn kubelet(layout: &Layout, addresses: Addresses) -> Result<()> {
    // The machine's own name servers cannot be reached from the cluster.
    let resolution = layout.config("resolv.conf");
    file(&resolution, b"")?;
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": addresses.node(),
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": layout.certificate("ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "containerRuntimeEndpoint": format!("unix://{}", layout.containerd_socket().display()),
        "clusterDNS": [addresses.dns()],
        "clusterDomain": DOMAIN,
        "resolvConf": resolution,
        // Two kubelets that share a folder for logs delete each other's.
        "podLogsDir": layout.pod_logs(),
        "failSwapOn": false,
        "failCgroupV1": false,
        "oomScoreAdj": 0,
        // The groups of containers are below one of their cluster, by which they are found.
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", layout.unique_name()),
        // Images cannot be pulled again, so none is ever removed, and a disk that is rather full is the machine's affair.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": { "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
    });
    file(&layout.config("kubelet.json"), &text(&config))
}

fn proxy(layout: &Layout, addresses: Addresses) -> Result<()> {
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": { "kubeconfig": layout.kubeconfig(Component::Proxy.name()) },
        "hostnameOverride": layout.node(),
        "clusterCIDR": addresses.pods(),
        // The limits of connection tracking are the machine's.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    });
    file(&layout.config("proxy.json"), &text(&config))
}

pub(crate) fn text(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// Writes a file that others may not read.
pub(crate) fn file(path: &Path, contents: &[u8]) -> Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(contents)
    };
    write().map_err(|error| Error::file("write", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_has_a_context_by_the_name_of_each_cluster() {
        let access = |name: &str| Access {
            name: name.to_owned(),
            url: format!("https://{name}"),
            authority: b"certificate".to_vec(),
            users: [ADMIN, NOBODY].map(|user| (format!("{name}-{user}"), format!("secret of {user}"))).into(),
        };
        let config = kubeconfig(&[access("edge-1"), access("cloud-1")]);
        assert_eq!(config["current-context"], "edge-1");
        assert_eq!(config["contexts"][1]["name"], "cloud-1");
        assert_eq!(config["contexts"][1]["context"]["user"], "cloud-1-admin");
        assert_eq!(config["users"][3]["name"], "cloud-1-nobody");
        assert_eq!(config["users"][3]["user"]["token"], "secret of nobody");
        assert_eq!(config["clusters"][0]["cluster"]["certificate-authority-data"], "Y2VydGlmaWNhdGU=");
    }

    #[test]
    fn only_people_and_programs_of_the_cluster_have_tokens() {
        let files = |kind: Kind| -> Vec<&str> {
            users("edge-1", kind.components()).iter().map(|user| user.file).collect()
        };
        assert_eq!(
            files(Kind::K8s),
            ["admin", "nobody", "controller-manager", "scheduler", "volumes", "policies", "kubelet", "proxy"]
        );
        assert!(!files(Kind::Sim).contains(&"kubelet"));
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(token().unwrap(), token().unwrap());
    }
}
