//! Who may speak with the pods of a slice: NetworkPolicies
//! (<https://kubernetes.io/docs/concepts/services-networking/network-policies/>), which the network of the cluster enforces, or does not.
//!
//! Everything is refused but: pods of the same namespace with each other; from pods to the cluster's DNS; from pods to addresses
//! that are no pod's, where servers elsewhere are; and from anywhere that is no pod of the cluster to the pods, which devices and
//! gateways elsewhere reach by node ports. So slices on one cluster do not reach each other's pods.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{
        core::v1::Node,
        networking::v1::{
            IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
            NetworkPolicyPort, NetworkPolicySpec,
        },
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};

use crate::{
    config::AddressRange,
    mark::{IOTORCH, labels},
};

/// The address ranges of the pods of a cluster: those that its nodes tell, and those that its settings name, as the nodes of some
/// networks tell none or others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodRanges {
    v4: BTreeSet<String>,
    v6: BTreeSet<String>,
}

impl PodRanges {
    pub(crate) fn of(nodes: &[Node], named: &[AddressRange]) -> Self {
        let specs = nodes.iter().filter_map(|node| node.spec.as_ref());
        let told = specs.flat_map(|spec| spec.pod_cidrs.iter().flatten().chain(&spec.pod_cidr)).cloned();
        let all = told.chain(named.iter().map(ToString::to_string));
        let (v6, v4) = all.partition(|range| range.contains(':'));
        Self { v4, v6 }
    }

    /// Whether no pod is known by its address, so that none is kept out.
    pub(crate) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Everything that is no pod.
    fn others(&self) -> Vec<NetworkPolicyPeer> {
        let block = |cidr: &str, except: &BTreeSet<String>| NetworkPolicyPeer {
            ip_block: Some(IPBlock {
                cidr: cidr.to_owned(),
                except: Some(except.iter().cloned().collect()).filter(|except: &Vec<_>| !except.is_empty()),
            }),
            ..NetworkPolicyPeer::default()
        };
        vec![block("0.0.0.0/0", &self.v4), block("::/0", &self.v6)]
    }
}

/// The policy of a slice's namespace.
pub(crate) fn policy(namespace: &str, pods: &PodRanges) -> NetworkPolicy {
    let within =
        NetworkPolicyPeer { pod_selector: Some(LabelSelector::default()), ..NetworkPolicyPeer::default() };
    let dns = NetworkPolicyEgressRule {
        to: Some(vec![cluster_dns()]),
        ports: Some(vec![port("UDP"), port("TCP")]),
    };
    let mut from = vec![within.clone()];
    from.extend(pods.others());
    let mut to = vec![within];
    to.extend(pods.others());
    NetworkPolicy {
        metadata: ObjectMeta {
            name: Some(IOTORCH.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels()),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector::default()),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule { from: Some(from), ports: None }]),
            egress: Some(vec![NetworkPolicyEgressRule { to: Some(to), ports: None }, dns]),
        }),
    }
}

/// The label that every namespace bears since Kubernetes 1.22.
fn cluster_dns() -> NetworkPolicyPeer {
    let name = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), "kube-system".to_owned())]);
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector { match_labels: Some(name), ..LabelSelector::default() }),
        ..NetworkPolicyPeer::default()
    }
}

fn port(protocol: &str) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(53)),
        ..NetworkPolicyPort::default()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::NodeSpec;
    use serde_json::{Value, json};

    use super::*;

    fn node(ranges: &[&str]) -> Node {
        let spec = NodeSpec {
            pod_cidr: ranges.first().map(|range| (*range).to_owned()),
            pod_cidrs: Some(ranges.iter().map(|range| (*range).to_owned()).collect()),
            ..NodeSpec::default()
        };
        Node { spec: Some(spec), ..Node::default() }
    }

    fn spec_of(nodes: &[Node], named: &[&str]) -> Value {
        let named: Vec<_> = named.iter().map(|range| range.parse().unwrap()).collect();
        json!(policy("greenhouse", &PodRanges::of(nodes, &named)).spec)
    }

    #[test]
    fn a_slice_is_closed_but_to_itself_to_names_and_to_what_is_no_pod() {
        let spec = spec_of(&[node(&["10.1.0.0/24", "fd00:1::/64"]), node(&["10.1.1.0/24"])], &[]);
        let others = [
            json!({ "ipBlock": { "cidr": "0.0.0.0/0", "except": ["10.1.0.0/24", "10.1.1.0/24"] } }),
            json!({ "ipBlock": { "cidr": "::/0", "except": ["fd00:1::/64"] } }),
        ];
        let peers = json!([{ "podSelector": {} }, others[0], others[1]]);
        let system = json!({ "matchLabels": { "kubernetes.io/metadata.name": "kube-system" } });
        let ports = json!([{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }]);
        let expected = json!({
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{ "from": peers }],
            "egress": [{ "to": peers }, { "to": [{ "namespaceSelector": system }], "ports": ports }],
        });
        assert_eq!(spec, expected);
    }

    #[test]
    fn ranges_that_nodes_do_not_tell_are_those_of_the_settings() {
        let spec = spec_of(&[Node::default(), node(&["10.1.0.0/24"])], &["198.51.100.0/24", "10.1.0.0/24"]);
        let blocks = &spec["ingress"][0]["from"];
        assert_eq!(blocks[1]["ipBlock"]["except"], json!(["10.1.0.0/24", "198.51.100.0/24"]));
        assert_eq!(blocks[2]["ipBlock"], json!({ "cidr": "::/0" }));
    }
}
