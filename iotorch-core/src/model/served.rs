//! Whether an installation's drivers and places can do what a document asks.

use std::collections::BTreeSet;

use super::{
    DriverName, Gateway, Infrastructure, InfrastructureName, Placement, Settings, Slice,
    conform::Conform,
    document::{Document, Item},
    problem::{Fault, Findings},
    suggest::{listed, nearest},
    tree::Node,
};
use crate::{
    driver::{DriverInfo, Drivers, Serves},
    resource::Role,
};

/// Checks one document.
pub(super) fn check(
    document: &Document,
    drivers: &Drivers,
    places: &BTreeSet<&InfrastructureName>,
    findings: &mut Findings,
) {
    let mut check = Check { drivers, places, findings };
    let spec = document.tree.at("spec");
    match &document.item {
        Item::Infrastructure(infrastructure) => check.infrastructure(infrastructure, spec),
        Item::Slice(slice) => check.slice(slice, spec),
    }
}

struct Check<'a> {
    drivers: &'a Drivers,
    places: &'a BTreeSet<&'a InfrastructureName>,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn infrastructure(&mut self, infrastructure: &Infrastructure, node: &Node) {
        let serves = |info: &DriverInfo| info.serves == Serves::Infrastructure;
        let driver = &infrastructure.spec.driver;
        self.driver(driver, "infrastructures", serves, node, "driver", &infrastructure.spec.settings);
    }

    fn slice(&mut self, slice: &Slice, node: &Node) {
        let places = &slice.spec.places;
        self.place(places.edge.as_ref(), node, "/places/edge");
        self.place(places.cloud.as_ref(), node, "/places/cloud");
        for (gateway, node) in slice.spec.gateways.iter().zip(node.items("gateways")) {
            let Gateway { application, settings, placement, .. } = gateway;
            let serves = |info: &DriverInfo| info.serves_role(Role::Gateway);
            self.driver(application, "gateways", serves, node, "application", settings);
            self.placement(placement, node);
        }
        for (server, node) in slice.spec.servers.iter().zip(node.items("servers")) {
            let serves = |info: &DriverInfo| info.serves_role(Role::Server);
            self.driver(&server.application, "servers", serves, node, "application", &server.settings);
            self.placement(&server.placement, node);
        }
        let Some(network) = &slice.spec.network else { return };
        let node = node.at("network");
        if let Some(access) = &network.access {
            self.segment(&access.driver, &access.settings, node.at("access"));
        }
        for (segment, node) in network.transport.iter().zip(node.items("transport")) {
            self.segment(&segment.driver, &segment.settings, node);
        }
        if let Some(core) = &network.core {
            let node = node.at("core");
            self.segment(&core.driver, &core.settings, node);
            for (function, node) in core.functions.iter().zip(node.items("functions")) {
                self.placement(&function.placement, node);
            }
        }
    }

    fn segment(&mut self, driver: &DriverName, settings: &Settings, node: &Node) {
        let serves = |info: &DriverInfo| info.serves == Serves::Network;
        self.driver(driver, "network segments", serves, node, "driver", settings);
    }

    fn driver(
        &mut self,
        name: &DriverName,
        what: &str,
        serves: impl Fn(&DriverInfo) -> bool,
        node: &Node,
        field: &str,
        settings: &Settings,
    ) {
        let place = node.at(field).span.clone();
        let fitting = || self.drivers.infos().filter(|info| serves(info)).map(|info| info.name.as_str());
        let help = || {
            let meant = nearest(name.as_str(), fitting()).map(|near| format!("did you mean {near:?}? "));
            format!("{}drivers for {what}: {}", meant.unwrap_or_default(), listed(fitting()))
        };
        match self.drivers.info(name) {
            None => self.findings.add(place, || {
                Fault::new(format!("there is no driver \"{name}\""))
                    .label("not in this installation")
                    .help(help())
            }),
            Some(info) if !serves(info) => self.findings.add(place, || {
                Fault::new(format!("driver \"{name}\" does not serve {what}"))
                    .label("serves something else")
                    .help(help())
            }),
            Some(info) if !settings.is_empty() => {
                if let Some(settings) = node.get("settings") {
                    let mut schema = info.settings_schema.clone();
                    // It may be the name of a Rust type, which says nothing to whoever wrote the document.
                    schema.as_object_mut().map(|keywords| keywords.remove("title"));
                    Conform::new(&schema, self.findings)
                        .check(settings, &format!("settings block of \"{name}\""));
                }
            }
            Some(_) => {}
        }
    }

    fn placement(&mut self, placement: &Placement, part: &Node) {
        self.place(placement.infrastructure.as_ref(), part, "/placement/infrastructure");
    }

    /// Complains about an infrastructure that is named at `pointer` in `node` and not known.
    fn place(&mut self, name: Option<&InfrastructureName>, node: &Node, pointer: &str) {
        let Some(name) = name.filter(|name| !self.places.contains(name)) else { return };
        let places = || self.places.iter().map(|place| place.as_str());
        let help = match nearest(name.as_str(), places()) {
            Some(near) => format!("did you mean {near:?}? the infrastructures are: {}", listed(places())),
            None if self.places.is_empty() => {
                "apply a document of kind Infrastructure first, or with this one".into()
            }
            None => format!("the infrastructures are: {}", listed(places())),
        };
        self.findings.add(node.locate(pointer), || {
            Fault::new(format!("there is no infrastructure \"{name}\"")).label("not known here").help(help)
        });
    }
}
