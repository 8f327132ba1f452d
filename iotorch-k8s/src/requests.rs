//! What pods ask a node for, as the scheduler counts it:
//! <https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers>.

use std::collections::BTreeMap;

use iotorch_core::model::{ByteSize, Capacity, Cpu};
use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use crate::quantity;

/// An amount of processor time, in thousandths, and of memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    millis: u64,
    bytes: u64,
}

impl Amount {
    fn of(quantities: Option<&BTreeMap<String, Quantity>>) -> Self {
        let find = |resource: &str| quantities.and_then(|quantities| quantities.get(resource));
        Self {
            millis: find("cpu").and_then(quantity::millis).unwrap_or_default(),
            bytes: find("memory").and_then(quantity::bytes).unwrap_or_default(),
        }
    }

    fn requested(resources: Option<&ResourceRequirements>) -> Self {
        Self::of(resources.and_then(|resources| resources.requests.as_ref()))
    }

    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            millis: self.millis.saturating_add(other.millis),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    fn max(self, other: Self) -> Self {
        Self { millis: self.millis.max(other.millis), bytes: self.bytes.max(other.bytes) }
    }

    /// What is left of a capacity; what that does not limit stays so.
    pub(crate) fn taken_from(self, capacity: Capacity) -> Capacity {
        let left = |total: u64, taken: u64| total.saturating_sub(taken);
        Capacity {
            cpu: capacity.cpu.map(|cpu| Cpu::from_millis(left(cpu.millis(), self.millis))),
            memory: capacity.memory.map(|size| ByteSize::from_bytes(left(size.bytes(), self.bytes))),
            storage: capacity.storage,
        }
    }
}

/// What a pod asks its node for.
pub(crate) fn of(pod: &Pod) -> Amount {
    let Some(spec) = &pod.spec else { return Amount::default() };
    let own = containers(spec);
    // What is set for the pod as a whole goes first.
    let whole = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let whole_amount = Amount::of(whole);
    let has = |resource: &str| whole.is_some_and(|requests| requests.contains_key(resource));
    let asked = Amount {
        millis: if has("cpu") { whole_amount.millis } else { own.millis },
        bytes: if has("memory") { whole_amount.bytes } else { own.bytes },
    };
    asked.plus(Amount::of(spec.overhead.as_ref()))
}

/// All containers at once, with those that stay from the start on; or what an earlier one needs alone, if that is more.
fn containers(spec: &PodSpec) -> Amount {
    let asked = |container: &Container| Amount::requested(container.resources.as_ref());
    let (mut staying, mut most) = (Amount::default(), Amount::default());
    for container in spec.init_containers.iter().flatten() {
        if container.restart_policy.as_deref() == Some("Always") {
            staying = staying.plus(asked(container));
            most = most.max(staying);
        } else {
            most = most.max(staying.plus(asked(container)));
        }
    }
    spec.containers.iter().map(asked).fold(staying, Amount::plus).max(most)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(spec: Value) -> (u64, u64) {
        let pod: Pod = serde_json::from_value(json!({ "spec": spec })).unwrap();
        let Amount { millis, bytes } = of(&pod);
        (millis, bytes >> 20)
    }

    fn container(cpu: &str, memory: &str) -> Value {
        json!({ "name": "c", "resources": { "requests": { "cpu": cpu, "memory": memory } } })
    }

    #[test]
    fn containers_add_up_and_one_that_goes_first_counts_if_it_needs_more() {
        let two = json!([container("100m", "64Mi"), container("1", "1Gi"), { "name": "free" }]);
        assert_eq!(asked(json!({ "containers": two })), (1100, 1088));
        let init = json!([container("2", "64Mi")]);
        assert_eq!(asked(json!({ "containers": two, "initContainers": init })), (2000, 1088));
        let mut sidecar = container("500m", "32Mi");
        sidecar["restartPolicy"] = json!("Always");
        let init = json!([sidecar, container("2", "64Mi")]);
        assert_eq!(asked(json!({ "containers": two, "initContainers": init })), (2500, 1120));
    }

    #[test]
    fn what_is_set_for_the_whole_pod_goes_first_and_its_overhead_is_added() {
        let spec = json!({ "containers": [container("100m", "64Mi")], "overhead": { "memory": "16Mi" },
            "resources": { "requests": { "cpu": "2" } } });
        assert_eq!(asked(spec), (2000, 80));
    }
}
