//! What must hold between the parts of one slice.
//!
//! It looks at the tree, not at the typed slice, so that a fault in one part does not hide those in others. Values of a wrong
//! type have been complained about before and are passed over.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Bandwidth,
    problem::{Fault, Findings},
    schema,
    suggest::{listed, nearest, quoted},
    tree::{Node, Value},
};

/// Checks the `spec` of a slice.
pub(super) fn slice(spec: &Node, findings: &mut Findings) {
    // A field of another name may be a misspelt one; nothing is said of what that would hold.
    let fields = &schema::SLICE["$defs"]["SliceSpec"]["properties"];
    let known = spec.entries().iter().all(|entry| fields.get(&entry.key).is_some());
    let whole = |node: &Node, list| {
        known && matches!(node.get(list).map(|list| &list.value), None | Some(Value::List(_)))
    };
    let network = spec.at("network");
    let core = network.at("core");
    let (gateways, servers, functions) =
        (spec.items("gateways"), spec.items("servers"), core.items("functions"));

    let (gateways_whole, servers_whole) = (whole(spec, "gateways"), whole(spec, "servers"));
    let gateway_names = Names::of("gateway", gateways, gateways_whole);
    let server_names = Names::of("server", servers, servers_whole);
    let profile_names = Names::of("shared profile", spec.items("profiles"), whole(spec, "profiles"));
    let parts = || gateways.iter().chain(servers).chain(functions);
    let part_names = Names::of(
        "gateway, server or network function",
        parts(),
        gateways_whole && servers_whole && whole(core, "functions"),
    );

    find_repeated(parts(), "gateways, servers and network functions", findings);
    for part in parts() {
        placement(part, findings);
    }
    for part in gateways.iter().chain(servers) {
        excludes(part, "external", &["placement", "chart"], "what runs already is not deployed", findings);
    }
    for gateway in gateways {
        connections(gateway, &server_names, findings);
    }
    for function in functions {
        network_function(function, findings);
    }
    profiles(spec, findings);
    devices(spec, &gateway_names, &profile_names, findings);
    transport(network, &part_names, findings);
    exits(functions, &part_names, findings);
}

/// The names of some parts, to refer to.
struct Names<'a> {
    noun: &'static str,
    names: BTreeSet<&'a str>,
    /// Whether all of them could be read; if not, a reference may be right after all.
    complete: bool,
}

impl<'a> Names<'a> {
    fn of(noun: &'static str, parts: impl IntoIterator<Item = &'a Node>, complete: bool) -> Self {
        let mut all = Self { noun, names: BTreeSet::new(), complete };
        for part in parts {
            match part.text("name") {
                Some(name) => all.names.extend([name]),
                None => all.complete = false,
            }
        }
        all
    }

    fn iter(&self) -> impl Iterator<Item = &'a str> {
        self.names.iter().copied()
    }

    /// Complains about a reference to a part that does not exist.
    fn refer(&self, reference: &Node, findings: &mut Findings) {
        let Some(name) = reference.as_text() else { return };
        if !self.complete || self.names.contains(name) {
            return;
        }
        findings.add(reference.span.clone(), || {
            let meant =
                nearest(name, self.iter()).map(|near| format!("did you mean {near:?}? ")).unwrap_or_default();
            let there = if self.names.is_empty() {
                format!("the slice has no {}", self.noun)
            } else {
                format!("there is: {}", listed(self.iter()))
            };
            Fault::new(format!("there is no {} {}", self.noun, quoted(name)))
                .label("not in this slice")
                .help(format!("{meant}{there}"))
        });
    }
}

/// Complains about each part whose name another has before it.
fn find_repeated<'a>(parts: impl IntoIterator<Item = &'a Node>, among: &str, findings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for part in parts {
        let Some(name) = part.text("name") else { continue };
        let span = &part.at("name").span;
        match seen.get(name) {
            None => drop(seen.insert(name, span)),
            Some(first) => {
                let source = Arc::clone(findings.source());
                findings.add(span.clone(), || {
                    let first = source.position(first.start);
                    Fault::new(format!("the name {} is taken", quoted(name)))
                        .label("again here")
                        .help(format!("the first is at {first}; {among} have different names"))
                });
            }
        }
    }
}

/// Complains about each of `others` that is written beside `field`.
fn excludes(part: &Node, field: &str, others: &[&str], because: &str, findings: &mut Findings) {
    if part.get(field).is_none() {
        return;
    }
    for other in others.iter().filter(|other| part.get(other).is_some()) {
        findings.add(part.locate(&format!("/{other}")), || {
            Fault::new(format!("{field:?} and {other:?} exclude each other"))
                .label(format!("beside {field:?}"))
                .help(format!("{because}: leave one of them out"))
        });
    }
}

fn placement(part: &Node, findings: &mut Findings) {
    if let Some(placement) = part.get("placement") {
        let others = ["tier", "labels", "near"];
        excludes(placement, "infrastructure", &others, "a named place needs no choosing", findings);
    }
}

fn connections(gateway: &Node, servers: &Names<'_>, findings: &mut Findings) {
    let (attached, sinks) = (gateway.items("servers"), gateway.items("sinks"));
    for connection in attached {
        if let Some(name) = connection.get("name") {
            servers.refer(name, findings);
        }
        bandwidth(connection, findings);
    }
    find_repeated(attached.iter().chain(sinks), "servers and sinks of a gateway", findings);
    let names_none = ["servers", "sinks"].iter().all(|list| {
        gateway.get(list).is_none_or(|list| matches!(&list.value, Value::List(items) if items.is_empty()))
    });
    if names_none && servers.names.len() > 1 {
        findings.add(gateway.at("name").span.clone(), || {
            Fault::new("this gateway names no server")
                .label("attached to which of several?")
                .help(format!("add servers: [ {{ name: … }} ] with one of: {}", listed(servers.iter())))
        });
    }
}

fn network_function(function: &Node, findings: &mut Findings) {
    let others = ["placement", "chart"];
    excludes(function, "physical", &others, "a physical function is only referred to", findings);
    let says_nothing = ["physical", "chart"].iter().all(|field| function.get(field).is_none());
    if says_nothing {
        findings.add(function.at("name").span.clone(), || {
            Fault::new("a virtual function needs a chart")
                .label("nothing to deploy")
                .help("add chart: { source: … }, or physical: { address: … } if it stands somewhere")
        });
    }
}

fn profiles(spec: &Node, findings: &mut Findings) {
    let shared = spec.items("profiles");
    let devices = spec.items("devices");
    let own =
        devices.iter().filter(|device| device.get("profile").is_none() && device.get("resources").is_some());
    let among = "profiles, and devices with resources of their own,";
    find_repeated(shared.iter().chain(own), among, findings);
    for profile in shared.iter().chain(devices) {
        let resources = profile.items("resources");
        find_repeated(resources, "the resources of a profile", findings);
        for resource in resources {
            range(resource, findings);
        }
    }
}

fn range(resource: &Node, findings: &mut Findings) {
    let Some(range) = resource.get("range") else { return };
    if let Some(kind @ ("bool" | "string")) = resource.text("type") {
        findings.add(resource.locate("/range"), || {
            Fault::new(format!("a {kind} has no range"))
                .label("numbers only")
                .help("leave it out, or make the type float or integer")
        });
    } else if let [low, high] = resource.items("range")
        && let (Some(lowest), Some(highest)) = (low.as_number(), high.as_number())
    {
        let is_whole = resource.text("type") == Some("integer");
        if lowest > highest {
            findings.add(range.span.clone(), || {
                Fault::new("the range is empty")
                    .label(format!("{lowest} is more than {highest}"))
                    .help(format!("the lowest value comes first: [{highest}, {lowest}]"))
            });
        } else if is_whole && lowest.ceil() > highest.floor() {
            findings.add(range.span.clone(), || {
                Fault::new("the range holds no integer")
                    .label(format!("nothing whole from {lowest} to {highest}"))
                    .help("make it wider, or make the type float")
            });
        }
    }
}

/// Whether an unknown field is there that is likely meant for the device's profile: then that it is unknown says enough.
fn misspells_profile(device: &Node) -> bool {
    let properties = schema::SLICE["$defs"]["Device"]["properties"].as_object();
    let fields = || properties.into_iter().flatten().map(|(name, _)| name.as_str());
    let meant = |key: &str| nearest(key, fields()).filter(|_| fields().all(|field| field != key));
    device.entries().iter().any(|entry| matches!(meant(&entry.key), Some("profile" | "resources")))
}

fn devices(spec: &Node, gateways: &Names<'_>, profiles: &Names<'_>, findings: &mut Findings) {
    let devices = spec.items("devices");
    find_repeated(devices, "devices", findings);
    let no_gateway = gateways.complete && gateways.names.is_empty();
    if no_gateway && !devices.is_empty() {
        findings.add(spec.locate("/devices"), || {
            Fault::new("devices need a gateway")
                .label("the slice has none")
                .help("add gateways: [ { name: gw } ]")
        });
    }
    for device in devices {
        match device.get("gateway") {
            Some(gateway) if !no_gateway => gateways.refer(gateway, findings),
            None if gateways.names.len() > 1 => findings.add(device.at("name").span.clone(), || {
                Fault::new("this device names no gateway")
                    .label("speaks to which of several?")
                    .help(format!("add gateway: with one of: {}", listed(gateways.iter())))
            }),
            _ => {}
        }
        if let Some(profile) = device.get("profile") {
            profiles.refer(profile, findings);
        }
        excludes(
            device,
            "profile",
            &["resources"],
            "a device follows a shared profile or has its own",
            findings,
        );
        let is_empty = |list: &Node| matches!(&list.value, Value::List(items) if items.is_empty());
        let says_nothing = device.get("profile").is_none() && device.get("resources").is_none_or(is_empty);
        if says_nothing && !misspells_profile(device) {
            findings.add(device.at("name").span.clone(), || {
                Fault::new("this device has neither a profile nor resources")
                    .label("measures and does nothing")
                    .help("add profile: with a shared one, or resources: [ { name: temperature, type: float } ]")
            });
        }
    }
}

fn transport(network: &Node, parts: &Names<'_>, findings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for segment in network.items("transport") {
        bandwidth(segment, findings);
        let ends = segment.items("between");
        for end in ends {
            parts.refer(end, findings);
        }
        let [first, second] = ends else { continue };
        let (Some(a), Some(b)) = (first.as_text(), second.as_text()) else { continue };
        let place = segment.at("between").span.clone();
        if a == b {
            findings.add(place, || {
                Fault::new(format!("the segment joins {} to itself", quoted(a)))
                    .label("one part, twice")
                    .help("name two different parts")
            });
        } else if let Some(earlier) = seen.insert((a.min(b), a.max(b)), place.start) {
            let source = Arc::clone(findings.source());
            findings.add(place, || {
                let earlier = source.position(earlier);
                Fault::new(format!("{} and {} are joined already", quoted(a), quoted(b)))
                    .label("a second segment")
                    .help(format!("the first is at {earlier}; keep one"))
            });
        }
    }
}

fn bandwidth(part: &Node, findings: &mut Findings) {
    let Some(objective) = part.get("bandwidth") else { return };
    let rate = |field| objective.text(field).and_then(|text| text.parse::<Bandwidth>().ok());
    if let (Some(guaranteed), Some(max)) = (rate("guaranteed"), rate("max"))
        && guaranteed > max
    {
        findings.add(objective.at("guaranteed").span.clone(), || {
            Fault::new("more is guaranteed than is allowed")
                .label(format!("more than {max}"))
                .help("max is at least guaranteed")
        });
    }
}

/// The SGi sides of the network functions: each leads to a part of the slice, and at last out of the core.
fn exits(functions: &[Node], parts: &Names<'_>, findings: &mut Findings) {
    let mut next = BTreeMap::new();
    for function in functions {
        if let Some(exit) = function.at("binding").get("sgi") {
            parts.refer(exit, findings);
            if let (Some(name), Some(to)) = (function.text("name"), exit.as_text()) {
                next.insert(name, (to, exit));
            }
        }
    }
    let mut done = BTreeSet::new();
    for function in functions {
        let mut path = Vec::new();
        let mut at = function.text("name");
        while let Some(name) = at
            && done.insert(name)
        {
            path.push(name);
            at = next.get(name).map(|(to, _)| *to);
        }
        // The way came back to where it has been, now or in an earlier round; only now is news.
        let Some(start) = path.iter().position(|name| Some(*name) == at) else { continue };
        let circle = path[start..].iter().chain(&at).copied().collect::<Vec<_>>();
        if let Some((_, exit)) = circle.first().and_then(|name| next.get(name)) {
            findings.add(exit.span.clone(), || {
                Fault::new(format!("the way out of the core goes in a circle: {}", circle.join(" → ")))
                    .label("leads back here")
                    .help("let the last function's sgi be a gateway or server")
            });
        }
    }
}
