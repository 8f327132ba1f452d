//! The plans that tests go through: what is there at first, and what is wanted then.

use iotorch_core::{
    Drivers, Intent,
    declared::DeclaredDriver,
    model::{
        DriverName, FailurePolicy, Infrastructure, InfrastructureName, InfrastructureSpec, PartName,
        Placement, Slice, Tier,
    },
    resource::KindName,
    sim::{SimDriver, World},
};

/// The drivers of the corpus: those that the contracts know, simulated.
pub(crate) fn drivers(world: &World) -> Drivers {
    let name = |name: &str| DriverName::new(name).unwrap();
    Drivers::default()
        .with(SimDriver::infrastructure(world, &name("kubernetes")))
        .with(SimDriver::infrastructure(world, &name("local")))
        .with(SimDriver::gateway(world, &name("edgex")).without(KindName::Credential))
        .with(SimDriver::server(world, &name("mainflux")))
        .with(SimDriver::application(world, &name("lite")).replacing(KindName::Profile))
        .with(SimDriver::network(world, &name("linux-vxlan")))
        .with(DeclaredDriver)
}

pub(crate) fn infrastructure(name: &str, driver: &str, tier: Tier) -> Infrastructure {
    Infrastructure {
        name: InfrastructureName::new(name).unwrap(),
        spec: InfrastructureSpec::builder().driver(DriverName::new(driver).unwrap()).tier(tier).build(),
    }
}

pub(crate) fn infrastructures() -> Vec<Infrastructure> {
    vec![
        infrastructure("edge-1", "kubernetes", Tier::Edge),
        infrastructure("edge-2", "kubernetes", Tier::Edge),
        infrastructure("cloud-1", "kubernetes", Tier::Cloud),
        infrastructure("here", "local", Tier::Edge),
    ]
}

fn parse(name: &str, spec: &str) -> Slice {
    Slice {
        name: iotorch_core::model::SliceName::new(name).unwrap(),
        spec: serde_json::from_str(spec).unwrap(),
    }
}

/// Snapshot (a): EdgeX on a Kubernetes edge, Mainflux in a Kubernetes cloud, two devices of one profile, a transport segment, a UPF.
pub(crate) fn across_clusters() -> Slice {
    parse(
        "greenhouse",
        r#"{
        "service": { "type": "miot", "devices": 2, "latency": "250ms" },
        "gateways": [ { "name": "gw", "application": "edgex",
            "placement": { "infrastructure": "edge-1" },
            "chart": { "source": "oci://charts/edgex", "version": "4.0.0", "digest": "sha256:41c9" },
            "servers": [ { "name": "hub", "latency": "100ms" } ] } ],
        "servers": [ { "name": "hub", "application": "mainflux",
            "placement": { "infrastructure": "cloud-1" },
            "chart": { "source": "oci://charts/mainflux", "version": "0.12.1", "digest": "sha256:77ab" } } ],
        "profiles": [ { "name": "climate", "resources": [
            { "name": "temperature", "type": "float", "unit": "Cel", "range": [-40, 85] },
            { "name": "vent", "type": "bool", "access": "write" } ] } ],
        "devices": [
            { "name": "bench-1", "gateway": "gw", "protocol": "mqtt", "profile": "climate" },
            { "name": "bench-2", "gateway": "gw", "protocol": "mqtt", "profile": "climate" } ],
        "network": {
            "snssai": { "sst": 3, "sd": "00001a" },
            "transport": [ { "between": ["gw", "hub"], "driver": "linux-vxlan",
                "bandwidth": { "guaranteed": "2Mbit/s", "max": "5Mbit/s" } } ],
            "core": { "functions": [ { "name": "upf", "type": "upf",
                "placement": { "infrastructure": "edge-1" },
                "chart": { "source": "oci://charts/upf", "digest": "sha256:90fe" },
                "binding": { "dnn": "iot.greenhouse", "sgi": "gw" } } ] } } }"#,
    )
}

/// Snapshot (b): the same on `lite` and `local`, the core function physical.
pub(crate) fn in_one_process() -> Slice {
    parse(
        "greenhouse",
        r#"{
        "service": { "type": "miot", "devices": 2, "latency": "250ms" },
        "gateways": [ { "name": "gw", "placement": { "infrastructure": "here" },
            "servers": [ { "name": "hub", "latency": "100ms" } ] } ],
        "servers": [ { "name": "hub", "placement": { "infrastructure": "here" } } ],
        "profiles": [ { "name": "climate", "resources": [
            { "name": "temperature", "type": "float", "unit": "Cel", "range": [-40, 85] },
            { "name": "vent", "type": "bool", "access": "write" } ] } ],
        "devices": [
            { "name": "bench-1", "gateway": "gw", "profile": "climate" },
            { "name": "bench-2", "gateway": "gw", "profile": "climate" } ],
        "network": {
            "snssai": { "sst": 3, "sd": "00001a" },
            "transport": [ { "between": ["gw", "hub"], "bandwidth": { "guaranteed": "2Mbit/s" } } ],
            "core": { "functions": [ { "name": "upf", "type": "upf", "physical": { "address": "192.0.2.7" },
                "binding": { "dnn": "iot.greenhouse", "sgi": "gw" } } ] } } }"#,
    )
}

pub(crate) fn want(slice: Slice) -> Intent {
    Intent {
        infrastructures: infrastructures(),
        slices: vec![slice],
        allow_replace: true,
        ..Intent::default()
    }
}

/// A plan of the corpus.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What is applied before; nothing when there is none.
    pub(crate) start: Option<Slice>,
    /// What is wanted then.
    pub(crate) goal: Intent,
}

fn with_policy(mut slice: Slice, policy: FailurePolicy) -> Slice {
    slice.spec.on_failure = policy;
    slice
}

/// All plans, each slice with the given failure policy.
pub(crate) fn cases(policy: FailurePolicy) -> Vec<Case> {
    let across = || with_policy(across_clusters(), policy);
    let inside = || with_policy(in_one_process(), policy);
    let create = |name, slice| Case { name, start: None, goal: want(slice) };
    let change = |name, start: Slice, edit: &dyn Fn(&mut Slice)| {
        let mut goal = start.clone();
        edit(&mut goal);
        Case { name, start: Some(start), goal: want(goal) }
    };
    let delete = |name, start: Slice| {
        let goal = Intent { delete: vec![start.name.clone()], ..Intent::default() };
        Case { name, start: Some(start), goal }
    };
    let rotate = |name, start: Slice, ids: &[&str]| {
        let mut goal = want(start.clone());
        goal.rotate = ids.iter().map(|id| id.parse().unwrap()).collect();
        Case { name, start: Some(start), goal }
    };
    vec![
        create("create across clusters", across()),
        create("create in one process", inside()),
        change("device added and removed", inside(), &|slice| {
            slice.spec.devices.remove(0);
            let mut new = slice.spec.devices[0].clone();
            new.name = PartName::new("bench-3").unwrap();
            slice.spec.devices.push(new);
        }),
        change("chart changed", across(), &|slice| {
            slice.spec.servers[0].chart.as_mut().unwrap().digest = Some("sha256:beef".into());
        }),
        change("profile replaced", inside(), &|slice| {
            slice.spec.profiles[0].resources.pop();
        }),
        change("gateway moved", across(), &|slice| {
            slice.spec.gateways[0].placement =
                Placement::builder().infrastructure(InfrastructureName::new("edge-2").unwrap()).build();
        }),
        change("network removed", across(), &|slice| slice.spec.network = None),
        delete("delete across clusters", across()),
        delete("delete in one process", inside()),
        rotate(
            "rotate",
            inside(),
            &[
                "greenhouse/here/space/hub/app/tenant/attachment/gw",
                "greenhouse/here/space/gw/app/device/bench-1",
                "greenhouse/here/space/hub/app/tenant",
            ],
        ),
    ]
}
