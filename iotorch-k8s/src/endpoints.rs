//! Where what a release consists of listens, as its Services and Ingresses tell.
//!
//! An endpoint has the name of the Service's port. Where several have it, one that is reached from outside of the cluster goes
//! first. TLS is what the port's `appProtocol` says (`https`, `mqtts` and the like), or its name.

use std::collections::BTreeMap;

use iotorch_core::{
    model::InfrastructureName,
    resource::{Endpoint, NetAddress},
};
use k8s_openapi::api::{
    core::v1::{Node, Service, ServicePort},
    networking::v1::Ingress,
};

use crate::place;

/// What addresses are made of.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) infrastructure: &'a InfrastructureName,
    pub(crate) namespace: &'a str,
    /// Where node ports are reached.
    pub(crate) node_address: Option<&'a str>,
}

/// The endpoints of Services and Ingresses.
pub(crate) fn of(
    services: &[Service],
    ingresses: &[Ingress],
    around: &Surroundings<'_>,
) -> BTreeMap<String, Endpoint> {
    let mut endpoints: BTreeMap<String, (Reach, Endpoint)> = BTreeMap::new();
    let listed = services.iter().flat_map(|service| of_service(service, around));
    let routed = ingresses.iter().flat_map(|ingress| of_ingress(ingress, services));
    for (name, reach, endpoint) in listed.chain(routed) {
        match endpoints.get(&name) {
            Some((known, _)) if *known >= reach => {}
            _ => drop(endpoints.insert(name, (reach, endpoint))),
        }
    }
    endpoints.into_iter().map(|(name, (_, endpoint))| (name, endpoint)).collect()
}

/// From where an endpoint is reached, the farthest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Cluster,
    Node,
    Balancer,
    Ingress,
}

fn of_service(service: &Service, around: &Surroundings<'_>) -> Vec<(String, Reach, Endpoint)> {
    let name = service.metadata.name.clone().unwrap_or_default();
    let spec = service.spec.clone().unwrap_or_default();
    let balancer = balancer(service);
    let endpoint = |port: &ServicePort| {
        let called = port.name.clone().unwrap_or_else(|| port.port.to_string());
        let net = |host: String, number: i32| {
            let port = u16::try_from(number).ok()?;
            Some(Endpoint::Net(NetAddress {
                host,
                port,
                tls: speaks_tls(&called, port_protocol(&spec.ports, number)),
            }))
        };
        let outside = match spec.type_.as_deref() {
            Some("LoadBalancer") => balancer
                .clone()
                .and_then(|host| net(host, port.port))
                .map(|endpoint| (Reach::Balancer, endpoint))
                .or_else(|| node_port(port, around, &net)),
            Some("NodePort") => node_port(port, around, &net),
            _ => None,
        };
        let (reach, endpoint) = outside.unwrap_or_else(|| {
            let endpoint = Endpoint::Service {
                infrastructure: around.infrastructure.clone(),
                namespace: around.namespace.to_owned(),
                name: name.clone(),
                port: called.clone(),
            };
            (Reach::Cluster, endpoint)
        });
        (called, reach, endpoint)
    };
    spec.ports.iter().flatten().map(endpoint).collect()
}

fn node_port(
    port: &ServicePort,
    around: &Surroundings<'_>,
    net: &dyn Fn(String, i32) -> Option<Endpoint>,
) -> Option<(Reach, Endpoint)> {
    Some((Reach::Node, net(around.node_address?.to_owned(), port.node_port?)?))
}

fn port_protocol(ports: &Option<Vec<ServicePort>>, number: i32) -> Option<&str> {
    let with = |port: &&ServicePort| port.port == number || port.node_port == Some(number);
    ports.iter().flatten().find(with)?.app_protocol.as_deref()
}

fn speaks_tls(name: &str, protocol: Option<&str>) -> bool {
    [Some(name), protocol]
        .into_iter()
        .flatten()
        .any(|word| ["https", "mqtts", "coaps", "wss", "tls"].contains(&word))
}

fn balancer(service: &Service) -> Option<String> {
    let ingress = service.status.clone()?.load_balancer?.ingress?;
    let first = ingress.into_iter().next()?;
    first.ip.or(first.hostname)
}

/// The ports behind the hosts of an Ingress: what it routes from the root of a host.
fn of_ingress(ingress: &Ingress, services: &[Service]) -> Vec<(String, Reach, Endpoint)> {
    let spec = ingress.spec.clone().unwrap_or_default();
    let secure: Vec<_> =
        spec.tls.iter().flatten().flat_map(|tls| tls.hosts.iter().flatten()).cloned().collect();
    let mut endpoints = Vec::new();
    for rule in spec.rules.iter().flatten() {
        let (Some(host), Some(http)) = (&rule.host, &rule.http) else { continue };
        for path in http.paths.iter().filter(|path| path.path.as_deref().unwrap_or("/") == "/") {
            let Some(backend) = &path.backend.service else { continue };
            let Some(port) = backend.port.as_ref().and_then(|port| called(services, &backend.name, port))
            else {
                continue;
            };
            let tls = secure.contains(host);
            let address = NetAddress { host: host.clone(), port: if tls { 443 } else { 80 }, tls };
            endpoints.push((port, Reach::Ingress, Endpoint::Net(address)));
        }
    }
    endpoints
}

/// The name of a Service's port that an Ingress refers to by name or number.
fn called(
    services: &[Service],
    service: &str,
    port: &k8s_openapi::api::networking::v1::ServiceBackendPort,
) -> Option<String> {
    if let Some(name) = &port.name {
        return Some(name.clone());
    }
    let service = services.iter().find(|it| it.metadata.name.as_deref() == Some(service))?;
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    let found = ports.iter().find(|it| Some(it.port) == port.number)?;
    Some(found.name.clone().unwrap_or_else(|| found.port.to_string()))
}

/// Where node ports are reached: what the configuration says, else a node's address.
pub(crate) fn node_address(configured: Option<&str>, nodes: &[Node]) -> Option<String> {
    configured
        .map(str::to_owned)
        .or_else(|| nodes.iter().find_map(place::address).map(|it| it.address.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn endpoints(services: &[Value], ingresses: &[Value]) -> BTreeMap<String, String> {
        let infrastructure = InfrastructureName::new("edge-1").unwrap();
        let around = Surroundings {
            infrastructure: &infrastructure,
            namespace: "farm",
            node_address: Some("10.0.0.5"),
        };
        let services: Vec<Service> =
            services.iter().map(|service| serde_json::from_value(service.clone()).unwrap()).collect();
        let ingresses: Vec<Ingress> =
            ingresses.iter().map(|ingress| serde_json::from_value(ingress.clone()).unwrap()).collect();
        of(&services, &ingresses, &around)
            .into_iter()
            .map(|(name, endpoint)| (name, endpoint.to_string()))
            .collect()
    }

    fn expect(found: BTreeMap<String, String>, expected: &[(&str, &str)]) {
        let expected: BTreeMap<_, _> =
            expected.iter().map(|(name, endpoint)| ((*name).to_owned(), (*endpoint).to_owned())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_port_that_is_reached_from_outside_goes_first() {
        let inside = json!({ "metadata": { "name": "gw" }, "spec": { "type": "ClusterIP", "ports": [
            { "name": "management", "port": 8080 }, { "name": "mqtt", "port": 1883 } ] } });
        let outside = json!({ "metadata": { "name": "gw-devices" }, "spec": { "type": "NodePort", "ports": [
            { "name": "mqtt", "port": 1883, "nodePort": 31883 } ] } });
        let expected = [("management", "gw.farm:management on edge-1"), ("mqtt", "10.0.0.5:31883")];
        expect(endpoints(&[inside.clone(), outside.clone()], &[]), &expected);
        expect(endpoints(&[outside, inside], &[]), &expected);
    }

    #[test]
    fn a_load_balancer_has_its_own_address_once_there_is_one() {
        let mut service = json!({ "metadata": { "name": "hub" }, "spec": { "type": "LoadBalancer", "ports": [
            { "port": 8883, "nodePort": 30000, "appProtocol": "mqtts" } ] } });
        expect(endpoints(&[service.clone()], &[]), &[("8883", "10.0.0.5:30000")]);
        service["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.7" }] } });
        expect(endpoints(&[service], &[]), &[("8883", "192.0.2.7:8883")]);
    }

    #[test]
    fn an_ingress_gives_the_host_of_what_is_behind_its_root() {
        let service =
            json!({ "metadata": { "name": "hub" }, "spec": { "ports": [{ "name": "http", "port": 80 }] } });
        let backend = json!({ "service": { "name": "hub", "port": { "number": 80 } } });
        let ingress = json!({ "spec": { "tls": [{ "hosts": ["hub.example.org"] }], "rules": [
            { "host": "hub.example.org", "http": { "paths": [{ "path": "/", "pathType": "Prefix", "backend": backend }] } } ] } });
        expect(endpoints(&[service], &[ingress]), &[("http", "hub.example.org:443")]);
    }
}
