//! The graph of resources that a slice is made of.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    driver::{Drivers, Issue},
    model::{DriverName, SliceName},
    resource::{KindName, ResourceId, Spec},
};

/// A resource that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) driver: DriverName,
    pub(crate) spec: Arc<Spec>,
    pub(crate) uses: Vec<ResourceId>,
    /// Where in the slice's document it comes from, as a JSON pointer.
    pub(crate) origin: String,
}

/// What a slice is made of; merging equal resources is inserting them once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Graph {
    pub(crate) nodes: BTreeMap<ResourceId, Node>,
}

/// A fault in what a document asks for, found by a driver or by the placer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The slice.
    pub slice: SliceName,
    /// Where in the slice's document, as a JSON pointer.
    pub pointer: String,
    /// The fault.
    pub issue: Issue,
}

impl Graph {
    pub(crate) fn insert(&mut self, id: ResourceId, node: Node) {
        self.nodes.entry(id).or_insert(node);
    }

    /// Whether a resource has a secret that can be rotated: credentials of its own, or as a tenant.
    pub(crate) fn holds_secret(&self, id: &ResourceId) -> bool {
        let after = self.nodes.range(id.clone()..).map(|(other, _)| other);
        let mut near = after.take_while(|other| other.as_str().starts_with(id.as_str()));
        let is_tenant = self.nodes.get(id).is_some_and(|node| matches!(*node.spec, Spec::Tenant(_)));
        is_tenant
            || near.any(|other| other.kind() == KindName::Credential && other.host().as_ref() == Some(id))
    }

    /// Hosts and used resources before those that need them. Ids sort hosts first, so only `uses` needs a search.
    pub(crate) fn in_order(&self) -> Vec<&ResourceId> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut placed = std::collections::HashSet::with_capacity(self.nodes.len());
        for id in self.nodes.keys() {
            self.visit(id, &mut placed, &mut order);
        }
        order
    }

    fn visit<'a>(
        &'a self,
        id: &'a ResourceId,
        placed: &mut std::collections::HashSet<&'a ResourceId>,
        order: &mut Vec<&'a ResourceId>,
    ) {
        let Some((id, node)) = self.nodes.get_key_value(id) else { return };
        if !placed.insert(id) {
            return;
        }
        if let Some((host, _)) = id.host().and_then(|host| self.nodes.get_key_value(&host)) {
            self.visit(host, placed, order);
        }
        for used in &node.uses {
            self.visit(used, placed, order);
        }
        order.push(id);
    }

    /// What the drivers find wrong.
    pub(crate) fn findings(&self, slice: &SliceName, drivers: &Drivers) -> Vec<Finding> {
        let mut findings = Vec::new();
        for node in self.nodes.values() {
            let Ok(driver) = drivers.find(&node.driver) else { continue };
            findings.extend(driver.check(&node.spec).into_iter().map(|issue| Finding {
                slice: slice.clone(),
                // A sink stands in the document as it does in the specification, two levels further up.
                pointer: format!("{}{}", node.origin, issue.pointer.trim_start_matches("/target/sink")),
                issue,
            }));
        }
        findings
    }
}
