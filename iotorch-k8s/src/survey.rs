//! What a cluster is like: reached, allowed and there. It takes six requests at once, and more only for what is not allowed.

use std::collections::{BTreeMap, BTreeSet};

use iotorch_core::{
    Error, ErrorKind, Facts, Inspection, Missing, NodeState, Result,
    model::{ByteSize, Capacity, Cpu},
};
use k8s_openapi::{
    api::core::v1::{Namespace, Node, NodeCondition, Pod},
    apimachinery::pkg::{api::resource::Quantity, version::Info},
};
use kube::{Api, Client, api::ListParams};

use crate::{
    cluster::Cluster,
    error::failed,
    mark::{IOTORCH, MANAGED_BY},
    permissions, place,
    policy::PodRanges,
    quantity,
    requests::{self, Amount},
};

/// The oldest minor version of Kubernetes 1 that works: since then all have Pod Security, and all else that is used.
const OLDEST: u32 = 25;

/// The minor versions that are supported: from the oldest that the types are made for to the newest that tests run with.
const SUPPORTED: std::ops::RangeInclusive<u32> = 33..=37;

/// What the images of `lite` are built for.
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

/// The way out where permissions are missing.
const ROLE: &str = "bind it a ClusterRole that has all of it, such as the one in docs/kubernetes.md";

const NOT_APART: &str = "the nodes do not tell the addresses of pods, so that slices are not kept apart: name them in \"podRanges\"";

/// How many pods come with one answer.
const PAGE: u32 = 500;

/// What was seen of a cluster.
#[derive(Debug)]
pub(crate) struct Survey {
    version: Info,
    user: Option<String>,
    nodes: Vec<Node>,
    pods: Option<Vec<Pod>>,
    /// The namespaces of slices.
    slices: BTreeSet<String>,
    missing: Vec<Missing>,
    warnings: Vec<String>,
}

/// Looks at a cluster.
///
/// # Errors
/// Where it cannot be reached, does not know us, or answers nothing.
pub(crate) async fn of(cluster: &Cluster) -> Result<Survey> {
    let what = || format!("cannot survey infrastructure \"{}\"", cluster.name);
    let client = &cluster.client().await?;
    let (version, user, missing, nodes, pods, slices) = futures::join!(
        client.apiserver_version(),
        permissions::user(client),
        permissions::missing(client),
        place::nodes(client),
        pods(client),
        slices(client),
    );
    // Whatever stands in the way of everything stands in the way of this too.
    let expired = cluster.expired().await;
    let version = version.map_err(|error| match (&error, &expired) {
        (kube::Error::Api(status), Some(why)) if status.code == 401 => Error::new(ErrorKind::Denied, what())
            .with_help("fetch a new one")
            .with_source(Error::new(ErrorKind::Denied, why)),
        _ => failed(what(), error),
    })?;
    let mut warnings = Vec::new();
    let mut missing = match missing {
        Ok(missing) => missing,
        Err(error) => {
            let error = failed("permissions cannot be checked", error).to_cause();
            warnings.push(error.to_string());
            Vec::new()
        }
    };
    let minor = minor(&version);
    if minor.is_some_and(|minor| minor < OLDEST) {
        missing.push(Missing::Version { oldest: format!("1.{OLDEST}") });
    } else if minor.is_none_or(|minor| !SUPPORTED.contains(&minor)) {
        let (from, to) = (SUPPORTED.start(), SUPPORTED.end());
        warnings
            .push(format!("version {} was not tried: 1.{from} to 1.{to} are supported", version.git_version));
    }
    // Where something is missing, that is the reason, and it is told.
    let is_told = !missing.is_empty();
    let nodes = nodes.or_else(|error| none_if(is_told, error)).map_err(|error| failed(what(), error))?;
    let slices = slices.or_else(|error| none_if(is_told, error)).map_err(|error| failed(what(), error))?;
    if !nodes.is_empty() && PodRanges::of(&nodes, &cluster.config.pod_ranges).is_empty() {
        warnings.push(NOT_APART.to_owned());
    }
    let slices = slices.into_iter().collect();
    let pods = match pods {
        Ok(pods) => Some(pods),
        Err(_) if is_told => None,
        Err(error) => {
            warnings.push(failed("pods cannot be counted", error).to_cause().to_string());
            None
        }
    };
    Ok(Survey { version, user, nodes, pods, slices, missing, warnings })
}

/// Nothing in place of an error whose reason is told.
fn none_if<T>(is_told: bool, error: kube::Error) -> kube::Result<Vec<T>> {
    if is_told { Ok(Vec::new()) } else { Err(error) }
}

/// The pods that take something of their nodes.
async fn pods(client: &Client) -> kube::Result<Vec<Pod>> {
    let mut pods = Vec::new();
    let mut page = ListParams::default().fields("status.phase!=Succeeded,status.phase!=Failed").limit(PAGE);
    loop {
        let found = Api::<Pod>::all(client.clone()).list(&page).await?;
        pods.extend(found.items);
        match found.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(pods),
        }
    }
}

async fn slices(client: &Client) -> kube::Result<Vec<String>> {
    let ours = ListParams::default().labels(&format!("{MANAGED_BY}={IOTORCH}"));
    let found = Api::<Namespace>::all(client.clone()).list_metadata(&ours).await?;
    Ok(found.items.into_iter().filter_map(|namespace| namespace.metadata.name).collect())
}

/// The minor version; some providers write `31+`.
fn minor(version: &Info) -> Option<u32> {
    let digits = version.minor.trim_end_matches(|c: char| !c.is_ascii_digit());
    digits.parse().ok().filter(|_| version.major == "1")
}

impl Survey {
    /// What planning needs to know.
    ///
    /// # Errors
    /// When something is missing: all of it.
    pub(crate) fn facts(self, cluster: &Cluster) -> Result<Facts> {
        let nodes = self.nodes.iter();
        let nodes = nodes.filter_map(|node| place::address(node)?.address.parse().ok()).collect();
        let inspection = self.inspection();
        let Some(refusal) = inspection.refusal() else {
            return Ok(Facts { version: inspection.version, capacity: inspection.capacity, nodes });
        };
        let error = Error::new(refusal.kind(), format!("cannot use infrastructure \"{}\"", cluster.name));
        let error = match refusal.help() {
            Some(help) => error.with_help(format!("{help}\n{ROLE}")),
            None => error,
        };
        Err(error.with_source(refusal))
    }

    /// What a person wants to know.
    pub(crate) fn inspection(self) -> Inspection {
        let mut inspection = Inspection::new(self.version.git_version.clone());
        inspection.capacity = self.capacity();
        inspection.nodes = self.nodes.iter().map(|node| self.state(node)).collect();
        inspection.nodes.sort_by(|a, b| a.name.cmp(&b.name));
        inspection.warnings = self.warnings;
        inspection.warnings.extend(warnings(&inspection.nodes, self.missing.is_empty()));
        inspection.warnings.extend(self.nodes.iter().flat_map(pressure));
        inspection.missing = self.missing;
        inspection.user = self.user;
        inspection
    }

    /// What slices can have: what nodes that take pods have for these, without what pods of others ask for. What those of slices
    /// need is accounted for by their reservations.
    fn capacity(&self) -> Capacity {
        let usable: BTreeMap<&str, &Node> = self
            .nodes
            .iter()
            .filter(|node| unready(node).is_none())
            .filter_map(|node| Some((node.metadata.name.as_deref()?, node)))
            .collect();
        if usable.is_empty() {
            return Capacity::default();
        }
        let all: Vec<Capacity> = usable.values().map(|node| capacity(node)).collect();
        let total = Capacity {
            cpu: all.iter().map(|one| one.cpu.map(Cpu::millis)).sum::<Option<u64>>().map(Cpu::from_millis),
            memory: all
                .iter()
                .map(|one| one.memory.map(ByteSize::bytes))
                .sum::<Option<u64>>()
                .map(ByteSize::from_bytes),
            // What volumes can have is up to their storage class, not to the nodes.
            storage: None,
        };
        let is_foreign = |pod: &&Pod| {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            node_of(pod).is_some_and(|node| usable.contains_key(node)) && !self.slices.contains(namespace)
        };
        asked(self.pods.iter().flatten().filter(is_foreign)).taken_from(total)
    }

    fn state(&self, node: &Node) -> NodeState {
        let name = node.metadata.name.clone().unwrap_or_default();
        let capacity = capacity(node);
        let free = match &self.pods {
            Some(pods) => {
                asked(pods.iter().filter(|pod| node_of(pod) == Some(name.as_str()))).taken_from(capacity)
            }
            None => Capacity::default(),
        };
        let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
        let architecture = info.map(|info| info.architecture.clone()).unwrap_or_default();
        NodeState { name, architecture, unready: unready(node), capacity, free }
    }
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

fn asked<'a>(pods: impl Iterator<Item = &'a Pod>) -> Amount {
    pods.map(requests::of).fold(Amount::default(), Amount::plus)
}

fn conditions(node: &Node) -> impl Iterator<Item = &NodeCondition> {
    node.status.iter().flat_map(|status| status.conditions.iter().flatten())
}

/// Why new pods cannot go to a node.
fn unready(node: &Node) -> Option<String> {
    let ready = conditions(node).find(|condition| condition.type_ == "Ready");
    match ready {
        Some(ready) if ready.status == "True" => {
            let cordoned = node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true));
            cordoned.then(|| "cordoned".to_owned())
        }
        Some(ready) => Some(match ready.message.as_deref() {
            Some(message) if !message.is_empty() => message.to_owned(),
            _ => "not ready".to_owned(),
        }),
        None => Some("it has not told yet how it is".to_owned()),
    }
}

/// What a node is short of.
fn pressure(node: &Node) -> Vec<String> {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let short = conditions(node).filter(|condition| condition.status == "True");
    let short = short.filter_map(|condition| match condition.type_.as_str() {
        "MemoryPressure" => Some("memory"),
        "DiskPressure" => Some("disk space"),
        "PIDPressure" => Some("process ids"),
        _ => None,
    });
    short.map(|what| format!("node \"{name}\" is short of {what}")).collect()
}

/// What may surprise about nodes, all of which are seen where nothing is missing.
fn warnings(nodes: &[NodeState], are_all: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if are_all && nodes.iter().all(|node| node.unready.is_some()) {
        warnings.push("no node takes pods: workloads wait until one does".to_owned());
    }
    let foreign = nodes.iter().filter(|node| !ARCHITECTURES.contains(&node.architecture.as_str()));
    warnings.extend(foreign.map(|node| {
        let built = ARCHITECTURES.join(" and ");
        format!("node \"{}\" is {}: the images of lite are built for {built}", node.name, node.architecture)
    }));
    warnings
}

/// What pods can have of a node.
fn capacity(node: &Node) -> Capacity {
    let allocatable =
        |resource: &str| -> Option<&Quantity> { node.status.as_ref()?.allocatable.as_ref()?.get(resource) };
    Capacity {
        cpu: allocatable("cpu").and_then(quantity::millis).map(Cpu::from_millis),
        memory: allocatable("memory").and_then(quantity::bytes).map(ByteSize::from_bytes),
        storage: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, ready: &str, unschedulable: bool) -> Node {
        serde_json::from_value(json!({ "metadata": { "name": name }, "spec": { "unschedulable": unschedulable },
            "status": {
                "allocatable": { "cpu": "2", "memory": "4Gi" },
                "conditions": [{ "type": "Ready", "status": ready, "message": "the kubelet has stopped" }],
                "nodeInfo": { "architecture": "arm64", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
                    "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "", "osImage": "", "systemUUID": "" }
            } }))
        .unwrap()
    }

    fn pod(namespace: &str, node: &str, memory: &str) -> Pod {
        let requests: Value = json!({ "cpu": "500m", "memory": memory });
        serde_json::from_value(json!({ "metadata": { "namespace": namespace }, "spec": { "nodeName": node,
            "containers": [{ "name": "c", "resources": { "requests": requests } }] } }))
        .unwrap()
    }

    fn survey(minor: &str) -> Survey {
        let version = Info {
            major: "1".into(),
            minor: minor.into(),
            git_version: format!("v1.{minor}.0"),
            ..Info::default()
        };
        Survey {
            version,
            user: Some("me".into()),
            nodes: vec![node("a", "True", false), node("b", "Unknown", false), node("c", "True", true)],
            pods: Some(vec![
                pod("others", "a", "1Gi"),
                pod("greenhouse", "a", "512Mi"),
                pod("others", "b", "1Gi"),
                pod("others", "", "1Gi"),
            ]),
            slices: ["greenhouse".to_owned()].into(),
            missing: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn gibibytes(size: Option<ByteSize>) -> f64 {
        size.unwrap().bytes() as f64 / f64::from(1 << 30)
    }

    #[test]
    fn slices_can_have_what_others_leave_of_the_nodes_that_take_pods() {
        let capacity = survey("37").capacity();
        assert_eq!((capacity.cpu.unwrap().millis(), gibibytes(capacity.memory)), (1500, 3.0));
    }

    #[test]
    fn an_inspection_shows_each_node_with_all_that_runs_on_it() {
        let inspection = survey("37").inspection();
        let [a, b, c] = inspection.nodes.as_slice() else { unreachable!("there are three") };
        assert_eq!((gibibytes(a.free.memory), a.unready.as_deref()), (2.5, None));
        assert_eq!(b.unready.as_deref(), Some("the kubelet has stopped"));
        assert_eq!(c.unready.as_deref(), Some("cordoned"));
        assert_eq!((inspection.ready_nodes(), a.architecture.as_str()), (1, "arm64"));
        assert!(inspection.is_usable() && inspection.warnings.is_empty(), "{inspection:?}");
    }

    #[test]
    fn the_minor_version_is_read_as_providers_write_it() {
        for (text, expected) in [("37", Some(37)), ("31+", Some(31)), ("", None)] {
            let version = Info { major: "1".into(), minor: text.into(), ..Info::default() };
            assert_eq!(minor(&version), expected);
        }
    }
}
