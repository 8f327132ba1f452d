//! Who may speak with the pods of a slice: NetworkPolicies
//! (<https://kubernetes.io/docs/concepts/services-networking/network-policies/>), which the network of the cluster enforces, or does not.
//!
//! Everything is refused but: pods of the same namespace with each other; from pods to the cluster's DNS; from pods to addresses
//! that are no pod's, where servers elsewhere are; and from anywhere that is no pod of the cluster to the pods, which devices and
//! gateways elsewhere reach by node ports. So slices on one cluster do not reach each other's pods.

use std::collections::BTreeMap;

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

use crate::mark::{IOTORCH, labels};

/// The address ranges of the pods of a cluster, as its nodes tell them; some networks keep them to themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodRanges {
    v4: Vec<String>,
    v6: Vec<String>,
}

impl PodRanges {
    pub(crate) fn of(nodes: &[Node]) -> Self {
        let mut ranges = Self::default();
        for node in nodes {
            let Some(spec) = &node.spec else { continue };
            let all = spec.pod_cidrs.iter().flatten().chain(&spec.pod_cidr);
            for range in all {
                let family = if range.contains(':') { &mut ranges.v6 } else { &mut ranges.v4 };
                if !family.contains(range) {
                    family.push(range.clone());
                }
            }
        }
        ranges.v4.sort_unstable();
        ranges.v6.sort_unstable();
        ranges
    }

    /// Everything that is no pod.
    fn others(&self) -> Vec<NetworkPolicyPeer> {
        let block = |cidr: &str, except: &[String]| NetworkPolicyPeer {
            ip_block: Some(IPBlock {
                cidr: cidr.to_owned(),
                except: Some(except.to_vec()).filter(|except| !except.is_empty()),
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
