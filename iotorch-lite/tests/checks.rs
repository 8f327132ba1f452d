//! What the drivers refuse before anything is planned, and what they take for the same.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::world::*;
use iotorch_core::{
    Claim, Driver, Drivers, Target, Verdict,
    model::{Capacity, DeviceProtocol, Documents, External, Settings, Sink, SinkKind, Source},
    resource::{
        ApplicationSpec, DeviceSpec, ExportSpec, ExportTarget, NetAddress, PortSpec, Role, SpaceSpec, Spec,
        WorkloadSpec,
    },
    secret::MemorySecretStore,
};
use iotorch_lite::{LiteDriver, LocalDriver, LocalHost};
use std::{collections::BTreeSet, path::Path, sync::Arc};

fn local(dir: &Path) -> LocalDriver {
    LocalDriver::new(LocalHost::open(dir, Arc::new(MemorySecretStore::default())).unwrap())
}

fn settings(json: serde_json::Value) -> Settings {
    json.as_object().unwrap().clone()
}

fn application(role: Role, change: impl Fn(&mut ApplicationSpec)) -> Spec {
    let mut spec = ApplicationSpec {
        name: "a".to_owned(),
        role,
        application: "lite".parse().unwrap(),
        external: None,
        admin: secret("a/admin"),
        settings: Settings::new(),
    };
    change(&mut spec);
    spec.into()
}

fn sink(change: impl Fn(&mut Sink)) -> Spec {
    let endpoint = NetAddress { host: "broker".to_owned(), port: 1883, tls: false };
    let mut sink =
        Sink::builder().name(name("s")).kind(SinkKind::Mqtt).endpoint(endpoint).target("readings").build();
    change(&mut sink);
    ExportSpec { name: "s".to_owned(), target: ExportTarget::Sink(sink) }.into()
}

/// Each specification with what is wrong with it.
fn findings(driver: &dyn Driver, specs: Vec<(&str, Spec)>) -> String {
    let mut text = String::new();
    for (what, spec) in specs {
        let issues = driver.check(&spec);
        text += &format!("{what}: {}\n", if issues.is_empty() { "ok" } else { "" });
        for issue in issues {
            text += &format!("  \"{}\" {}\n", issue.pointer, issue.message);
        }
    }
    text.replace(": \n", ":\n")
}

#[test]
fn what_this_process_cannot_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let workload = |change: &dyn Fn(&mut WorkloadSpec)| -> Spec {
        let mut spec = workload_spec("gw", Role::Gateway);
        change(&mut spec);
        spec.into()
    };
    let chart = iotorch_core::model::Chart::builder().source("./chart").build();
    let quota = Capacity { cpu: Some("1cpu".parse().unwrap()), ..Capacity::default() };
    let space = |quota| Spec::from(SpaceSpec { name: "greenhouse".to_owned(), quota });
    let specs = vec![
        ("space", space(Capacity::default())),
        ("space with a quota", space(quota)),
        ("gateway", workload(&|_| {})),
        ("gateway that is placed before its secret is named", workload(&|spec| spec.admin = None)),
        ("server with a chart", workload(&|spec| spec.chart = Some(chart.clone()))),
        (
            "gateway of another application",
            workload(&|spec| spec.application = Some("edgex".parse().unwrap())),
        ),
        ("network function", workload(&|spec| (spec.role, spec.application) = (Role::Function, None))),
        ("device", device_spec("d1").into()),
    ];
    insta::assert_snapshot!(findings(&local(dir.path()), specs));
}

#[test]
fn what_gateways_and_servers_cannot_do_is_refused() {
    let external = |endpoints: &[(&str, bool)]| {
        let address = |tls| NetAddress { host: "gw.example".to_owned(), port: 1883, tls };
        let endpoints = endpoints.iter().map(|(name, tls)| ((*name).to_owned(), address(*tls))).collect();
        Some(External { endpoints, credentials: secret("a/admin") })
    };
    let set =
        |role, json: serde_json::Value| application(role, |spec| spec.settings = settings(json.clone()));
    let device = |change: &dyn Fn(&mut DeviceSpec)| -> Spec {
        let mut spec = device_spec("d1");
        change(&mut spec);
        spec.into()
    };
    let specs = vec![
        ("gateway", application(Role::Gateway, |_| {})),
        (
            "gateway with settings",
            set(
                Role::Gateway,
                serde_json::json!({ "mqttPort": 1883, "managementPort": 8080, "outboxLimit": 10, "packetLimit": 2048 }),
            ),
        ),
        ("gateway with unknown settings", set(Role::Gateway, serde_json::json!({ "mqtPort": 1883 }))),
        ("gateway with port 0", set(Role::Gateway, serde_json::json!({ "mqttPort": 0 }))),
        (
            "gateway with one port for both",
            set(Role::Gateway, serde_json::json!({ "mqttPort": 1883, "managementPort": 1883 })),
        ),
        (
            "server with an outbox, CoAP, and nothing to keep",
            set(
                Role::Server,
                serde_json::json!({ "outboxLimit": 10, "packetLimit": 2048, "coapPort": 5684, "retention": "0s", "storedLimit": "0B" }),
            ),
        ),
        ("gateway with retention", set(Role::Gateway, serde_json::json!({ "retention": "30d" }))),
        (
            "gateway with the ports of MQTT and HTTP swapped with those of CoAP",
            set(Role::Gateway, serde_json::json!({ "mqttPort": 5684, "httpPort": 5683, "coapPort": 5684 })),
        ),
        (
            "gateway beyond this host in clear",
            set(Role::Gateway, serde_json::json!({ "listen": "0.0.0.0", "managementListen": "::" })),
        ),
        (
            "gateway beyond this host in clear, in as many words",
            set(
                Role::Gateway,
                serde_json::json!({ "listen": "0.0.0.0", "managementListen": "::", "insecure": true }),
            ),
        ),
        (
            "server with everything",
            set(
                Role::Server,
                serde_json::json!({
                    "mqttPort": 8883, "httpPort": 8443, "managementPort": 9443, "listen": "192.0.2.1",
                    "managementListen": "192.0.2.1", "tls": { "certificate": "a.pem", "key": "a.key" },
                    "trust": "authority.pem", "packetLimit": 65536, "connectionLimit": 10, "rateLimit": 5,
                    "storedLimit": "2GiB", "retention": "30d",
                }),
            ),
        ),
        (
            "gateway that reads a bus",
            set(
                Role::Gateway,
                serde_json::json!({ "bus": { "endpoint": { "host": "edgex-broker", "port": 8883, "tls": true }, "credentials": "bus-login" } }),
            ),
        ),
        (
            "gateway that reads nothing of a bus",
            set(
                Role::Gateway,
                serde_json::json!({ "bus": { "endpoint": { "host": "b", "port": 1883 }, "topics": [] } }),
            ),
        ),
        (
            "gateway that reads a topic that there cannot be",
            set(
                Role::Gateway,
                serde_json::json!({ "bus": { "endpoint": { "host": "b", "port": 1883 }, "topics": ["a", "a#"] } }),
            ),
        ),
        (
            "gateway that reads a bus of another sort",
            set(
                Role::Gateway,
                serde_json::json!({ "bus": { "endpoint": { "host": "b", "port": 1883 }, "format": "opcua" } }),
            ),
        ),
        (
            "gateway that reads a bus nowhere",
            set(Role::Gateway, serde_json::json!({ "bus": { "endpoint": { "host": "", "port": 0 } } })),
        ),
        (
            "server that reads a bus",
            set(Role::Server, serde_json::json!({ "bus": { "endpoint": { "host": "b", "port": 1883 } } })),
        ),
        (
            "external gateway",
            application(Role::Gateway, |spec| {
                spec.external = external(&[("management", false), ("mqtt", false)])
            }),
        ),
        (
            "external gateway with TLS, without MQTT, with settings",
            application(Role::Gateway, |spec| {
                spec.external = external(&[("management", true)]);
                spec.settings = settings(serde_json::json!({ "mqttPort": 1883 }));
            }),
        ),
        (
            "external gateway with TLS of a private authority",
            application(Role::Gateway, |spec| {
                spec.external = external(&[("management", true), ("mqtt", true), ("coap", true)]);
                spec.settings = settings(serde_json::json!({ "trust": "authority.pem" }));
            }),
        ),
        ("device", device(&|_| {})),
        ("device that speaks HTTP", device(&|spec| spec.protocol = DeviceProtocol::Http)),
        ("device that speaks CoAP", device(&|spec| spec.protocol = DeviceProtocol::Coap)),
        (
            "device with settings",
            device(&|spec| spec.settings = settings(serde_json::json!({ "interval": "1s" }))),
        ),
        ("export to a server", ExportSpec { name: "hub".to_owned(), target: ExportTarget::Server }.into()),
        ("MQTT sink", sink(|_| {})),
        ("MQTT sink with a wildcard", sink(|sink| sink.target = "readings/#".to_owned())),
        (
            "InfluxDB with TLS",
            sink(|sink| {
                sink.kind = SinkKind::Influxdb;
                sink.endpoint.tls = true;
            }),
        ),
        (
            "InfluxDB without a database",
            sink(|sink| (sink.kind, sink.target) = (SinkKind::Influxdb, String::new())),
        ),
        ("port", PortSpec { part: name("gw"), binding: None, snssai: None }.into()),
    ];
    insta::assert_snapshot!(findings(&LiteDriver, specs));
}

#[test]
fn a_document_with_wrong_settings_is_refused_where_they_stand() {
    let dir = tempfile::tempdir().unwrap();
    let drivers = Drivers::default().with(LiteDriver).with(local(dir.path()));
    let document = |settings: &str, place: &str| {
        let text = format!(
            "apiVersion: iotorch.dev/v1alpha1\nkind: Infrastructure\nmetadata: {{ name: here }}\n\
             spec: {{ driver: local, tier: edge, settings: {{ {place} }} }}\n---\n\
             apiVersion: iotorch.dev/v1alpha1\nkind: Slice\nmetadata: {{ name: greenhouse }}\nspec:\n  gateways:\n    - name: gw\n      settings: {{ {settings} }}\n"
        );
        let documents = Documents::read(vec![Source::new("a.yaml", text)]).unwrap();
        documents.check(&drivers, &BTreeSet::new()).map_err(|problems| problems.to_string())
    };
    document("mqttPort: 1883, outboxLimit: 10", "").unwrap();
    for (settings, place, line) in [
        ("mqtPort: 1883", "", 12),
        ("mqttPort: 0", "", 12),
        ("packetLimit: 10", "", 12),
        ("", "directory: x", 4),
    ] {
        let problem = document(settings, place).unwrap_err();
        assert!(problem.starts_with(&format!("a.yaml:{line}:")), "{problem}");
    }
    let mut strange = infrastructure("here");
    strange.spec.settings = settings(serde_json::json!({ "directory": "x" }));
    let driver = local(&dir.path().join("other"));
    let error = driver.connect(&Target::Infrastructure(strange)).map(drop).unwrap_err();
    assert_eq!(error.to_cause().root(), "the driver \"local\" has no setting \"directory\"");
}

#[test]
fn what_cannot_become_another_thing_is_replaced_and_the_rest_changed_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let local = local(dir.path());
    let gateway = Spec::from(workload_spec("gw", Role::Gateway));
    let mut roomy = workload_spec("gw", Role::Gateway);
    roomy.settings = settings(serde_json::json!({ "outboxLimit": 10 }));
    assert_eq!(local.compare(&gateway, &gateway), Verdict::Same);
    assert_eq!(local.compare(&gateway, &roomy.into()), Verdict::Update);
    let because = "gateway \"gw\" cannot become a server of \"lite\"".to_owned();
    let server = workload_spec("gw", Role::Server).into();
    assert_eq!(local.compare(&gateway, &server), Verdict::Replace { because });

    let because = "gateway \"a\" cannot become a server".to_owned();
    let (gateway, server) = (application(Role::Gateway, |_| {}), application(Role::Server, |_| {}));
    assert_eq!(LiteDriver.compare(&gateway, &server), Verdict::Replace { because });
    let mut turned = profile_spec();
    turned.resources.reverse();
    assert_eq!(LiteDriver.compare(&profile_spec().into(), &turned.clone().into()), Verdict::Same);
    turned.resources[0].unit = Some("K".to_owned());
    assert_eq!(LiteDriver.compare(&profile_spec().into(), &turned.into()), Verdict::Update);
}

#[test]
fn a_fixed_port_is_claimed_so_that_no_two_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = workload_spec("gw", Role::Gateway);
    spec.settings = settings(serde_json::json!({
        "mqttPort": 1883, "httpPort": 8080, "coapPort": 5684, "managementPort": 8081, "listen": "::1",
    }));
    let claims = local(dir.path()).claims(&spec.into());
    let expected = |resource: &str| Claim { resource: resource.to_owned(), amount: 1, capacity: 1 };
    let all = ["port 127.0.0.1:8081", "port [::1]:1883", "port [::1]:8080", "UDP port [::1]:5684"];
    assert_eq!(claims, all.map(expected));
}

#[tokio::test]
async fn a_survey_tells_what_this_machine_has() {
    let dir = tempfile::tempdir().unwrap();
    let place = local(dir.path()).place(&infrastructure("here")).unwrap();
    let facts = place.survey().await.unwrap();
    assert_eq!(facts.nodes, ["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert!(facts.capacity.cpu.is_some_and(|cpu| cpu.millis() >= 1000));
    let inspection = place.inspect().await.unwrap();
    assert_eq!((inspection.version, inspection.capacity), (facts.version, facts.capacity));
    let [node] = inspection.nodes.as_slice() else { panic!("{:?}", inspection.nodes) };
    assert!(node.unready.is_none() && !node.architecture.is_empty() && !node.name.is_empty());
}
