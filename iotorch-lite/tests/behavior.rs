//! The drivers `local` and `lite`, step by step as core has them work.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{eventually, world::*};
use iotorch_core::{
    Driver, ErrorKind, Health, Observed, Target, Verdict,
    model::DeviceProtocol,
    resource::{
        Application, ApplicationInputs, Change, Device, DeviceInputs, DeviceSpec, Endpoint, Export,
        ExportInputs, ExportSpec, ExportTarget, Job, Outputs, Ownership, Profile, ProfileOutputs,
        ProfileSpec, Role, Spec, Tenant, TenantSpec, Work,
    },
};
use iotorch_lite::{
    Secret,
    api::{self, Put},
};
use std::{net::TcpListener, path::Path};

fn with_spec(work: &Work, change: impl Fn(&mut Spec)) -> Spec {
    let mut spec = spec_of(work);
    change(&mut spec);
    spec
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[tokio::test]
async fn what_is_observed_is_what_was_applied_and_readings_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.build().await;
    assert_eq!(world.made.len(), 13);
    a_reading_arrives(&world, 21.5, 1).await;
    assert_eq!(world.differences().await, [""; 0]);
    let connected = async || {
        let health = world.health(&gateway().export(&name("hub"))).await;
        (health == Health::Ready).then_some(())
    };
    eventually("the export", connected).await;
    for made in &world.made {
        assert_eq!(world.apply(made.work.clone()).await.unwrap(), made.outputs, "{}", made.work.id());
    }
    assert_eq!(world.differences().await, [""; 0]);
    a_reading_arrives(&world, 22.0, 2).await;
    let domain = world.domain(gateway().kind());
    assert!(domain.is_quiescent(&world.cx(), &device("d1")).await, "everything runs in this process");
    world.host.stop().await;
}

#[tokio::test]
async fn deleting_twice_leaves_an_empty_directory_and_free_ports() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.build().await;
    let ports: Vec<_> = [gateway(), server()].iter().map(|app| world.url(app, "mqtt")).collect();
    for made in world.made.iter().rev() {
        for _ in 0..2 {
            let gone = world.delete(made.work.id()).await.unwrap();
            assert_eq!(gone, Outputs::Removed { residue: Vec::new() });
            // What is gone takes its contents along; the application itself goes with its workload.
            if made.work.id().kind() == iotorch_core::resource::KindName::Workload {
                break;
            }
        }
        let id = made.work.id();
        if !matches!(id.kind(), iotorch_core::resource::KindName::Application) {
            assert_eq!(world.look_at(id).await, Observed::Absent, "{id}");
        }
    }
    assert!(is_empty(dir.path()));
    for port in ports {
        TcpListener::bind(port).unwrap();
    }
}

#[tokio::test]
async fn what_others_changed_is_seen_and_put_right() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.build().await;
    let (at_gateway, at_server) = (world.gateway().await, world.server().await);

    let mut profile = at_gateway.object::<api::Profile>("profiles/sensor").await.unwrap();
    profile.settings.resources.get_mut("temperature").unwrap().max = Some(50.0);
    let put = Put { mark: profile.mark, spec: profile.spec, settings: profile.settings, secret: None };
    at_gateway.put_profile("sensor", &put, false).await.unwrap();
    let export = at_gateway.object::<api::Export>("exports/hub").await.unwrap();
    let settings = api::Export { topic: "elsewhere".to_owned(), ..export.settings };
    let put = Put { mark: export.mark, spec: export.spec, settings, secret: Some(Secret::new("x")) };
    at_gateway.put_export("hub", &put, false).await.unwrap();
    at_gateway.delete("devices/d1", None).await.unwrap();
    at_server.delete("tenants/greenhouse/attachments/gw/credentials/1", None).await.unwrap();

    let drift = [
        "greenhouse/cloud/space/hub/app/tenant/attachment/gw/credential/1: absent",
        "greenhouse/edge-1/space/gw/app/profile/sensor: spec",
        "greenhouse/edge-1/space/gw/app/device/d1: absent",
        "greenhouse/edge-1/space/gw/app/device/d1/credential/1: absent",
        "greenhouse/edge-1/space/gw/app/export/hub: outputs",
    ];
    assert_eq!(world.differences().await, drift);
    let Observed::Present { spec, .. } = world.look_at(&gateway().profile(&name("sensor"))).await else {
        panic!()
    };
    let Spec::Profile(seen) = &spec else { panic!() };
    assert_eq!(seen.resources.iter().find_map(|resource| resource.range).unwrap().1, 50.0);
    let driver = iotorch_lite::LiteDriver;
    assert_eq!(driver.compare(&spec, &profile_spec().into()), Verdict::Update);

    for made in &world.made {
        assert_eq!(world.apply(made.work.clone()).await.unwrap(), made.outputs, "{}", made.work.id());
    }
    assert_eq!(world.differences().await, [""; 0]);
    a_reading_arrives(&world, 60.0, 1).await;
    world.host.stop().await;
}

#[tokio::test]
async fn objects_of_others_are_named_left_alone_adopted_and_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.build().await;
    let client = world.gateway().await;
    let foreign = |mark: &str| Put {
        mark: mark.to_owned(),
        spec: serde_json::Value::Null,
        settings: api::Device { profile: "sensor".to_owned(), protocol: api::DeviceProtocol::Mqtt },
        secret: None,
    };
    client.put_device("d2", &foreign("other/greenhouse/edge-1/space/gw/app/device/d2"), false).await.unwrap();
    client.put_device("d3", &foreign(""), false).await.unwrap();
    // Ours by its mark, though nobody knows it any more; and one of another slice of ours.
    client.put_device("d4", &foreign("test/greenhouse/edge-1/space/gw/app/device/d4"), false).await.unwrap();
    client.put_device("d5", &foreign("test/other/edge-1/space/gw/app/device/d5"), false).await.unwrap();

    let seen = world.look(&gateway(), &[device("d2"), device("d3"), device("d5")]).await.unwrap();
    let owner = |id: &str| match &seen[&device(id)] {
        Observed::Foreign { owner, spec: Some(Spec::Device(spec)) } => {
            assert_eq!(spec.profile, "sensor");
            owner.clone()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(owner("d2"), "other/greenhouse/edge-1/space/gw/app/device/d2");
    assert_eq!(owner("d3"), "nobody (no mark)");
    assert_eq!(owner("d5"), "test/other/edge-1/space/gw/app/device/d5");
    assert!(matches!(seen[&device("d4")], Observed::Present { .. }), "to be tidied up");

    let before = client.object::<api::Device>("devices/d2").await.unwrap();
    let Observed::Foreign { spec: Some(Spec::Device(found)), .. } = seen[&device("d2")].clone() else {
        panic!()
    };
    let profile = ProfileOutputs { name: "sensor".to_owned() };
    let job = |ownership, change| Job::<Device> {
        id: device("d2"),
        change,
        inputs: DeviceInputs { application: world.application(&gateway()), profile: profile.clone() },
        ownership,
    };
    let adopt = Change::Update { before: found, after: device_spec("d2") };
    let refused = world.apply(job(Ownership::Ours, adopt.clone()).into()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let remove = Change::Delete { before: device_spec("d2") };
    let refused = world.apply(job(Ownership::Ours, remove).into()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    for _ in 0..2 {
        world.apply(job(Ownership::Adopt, adopt.clone()).into()).await.unwrap();
    }
    assert!(
        matches!(world.look_at(&device("d2")).await, Observed::Present { spec, .. } if spec == device_spec("d2").into())
    );
    for _ in 0..2 {
        world.apply(job(Ownership::Release, adopt.clone().inverse()).into()).await.unwrap();
    }
    assert_eq!(client.object::<api::Device>("devices/d2").await.unwrap(), before);
    world.host.stop().await;
}

#[tokio::test]
async fn a_batch_has_one_result_for_each_step_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.build().await;
    let application = world.application(&gateway());
    let names: Vec<_> = (0..60).map(|n| format!("m{n}")).collect();
    let work = |text: &String| -> Work {
        let profile = if text == "m30" { "absent" } else { "sensor" };
        let spec = iotorch_core::resource::DeviceSpec { profile: profile.to_owned(), ..device_spec(text) };
        let profile = ProfileOutputs { name: profile.to_owned() };
        let inputs = DeviceInputs { application: application.clone(), profile };
        create::<Device>(&device(text), spec, inputs).into()
    };
    let results = world.domain(gateway().kind()).apply(&world.cx(), names.iter().map(work).collect()).await;
    assert_eq!(results.len(), 60);
    for (name, result) in names.iter().zip(results) {
        match result {
            Ok(Outputs::Device(outputs)) => assert_eq!(&outputs.name, name),
            Err(error) if name == "m30" => {
                assert_eq!((error.kind(), error.help()), (ErrorKind::Invalid, None));
                assert_eq!(error.to_cause().root(), "there is no profile \"absent\"");
            }
            other => panic!("{other:?}"),
        }
    }
    world.host.stop().await;
}

#[tokio::test]
async fn an_application_that_is_away_strange_or_locked_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.deploy("edge-1", "gw", Role::Gateway).await;
    let made = world.made.iter().find(|made| *made.work.id() == gateway()).unwrap().work.clone();
    let Work::Application(job) = &made else { panic!() };
    let with = |change: &dyn Fn(&mut Job<Application>)| {
        let mut job = job.clone();
        change(&mut job);
        Work::from(job)
    };
    let respec = |role: Role, admin: &str| {
        let (Spec::Application(mut spec), admin) = (spec_of(&made), secret(admin)) else { panic!() };
        (spec.role, spec.admin) = (role, admin);
        Change::Create { after: spec }
    };
    let wrong = world.apply(with(&|job| job.change = respec(Role::Gateway, "wrong"))).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Denied);
    assert_eq!(wrong.help(), Some("the secret \"wrong#1\" must hold the token that it was started with"));
    let strange = world.apply(with(&|job| job.change = respec(Role::Server, "gw/admin"))).await.unwrap_err();
    assert_eq!(
        (strange.kind(), strange.to_string()),
        (ErrorKind::Invalid, "cannot use \"gw\" as a server".into())
    );

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nowhere = |job: &mut Job<Application>| {
        let workload = job.inputs.workload.as_mut().unwrap();
        workload.endpoints.insert("management".to_owned(), Endpoint::net("127.0.0.1", port));
    };
    let starting = world.apply(with(&nowhere)).await.unwrap_err();
    assert_eq!(
        (starting.kind(), starting.to_string()),
        (ErrorKind::NotReady, "the gateway is starting".into())
    );
    let external = with(&|job| {
        let mut spec = job.change.after().unwrap().clone();
        let address = iotorch_core::resource::NetAddress { host: "127.0.0.1".to_owned(), port, tls: false };
        let endpoints = [("management".to_owned(), address)].into();
        spec.external = Some(iotorch_core::model::External { endpoints, credentials: secret("gw/admin") });
        job.change = Change::Create { after: spec };
        job.inputs = ApplicationInputs { workload: None };
    });
    assert_eq!(world.apply(external).await.unwrap_err().kind(), ErrorKind::Unavailable);
    world.host.stop().await;
    assert_eq!(world.look(&gateway(), &[]).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn names_in_an_application_outside_are_qualified_by_the_slice() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.deploy("edge-1", "gw", Role::Gateway).await;
    let application = world.application(&gateway());
    let outside = iotorch_lite::LiteDriver.connect(&Target::External).unwrap();
    let id = iotorch_core::resource::ResourceId::external(
        &iotorch_core::model::SliceName::new("greenhouse").unwrap(),
        &name("gw"),
    );
    let spec = ProfileSpec { name: "greenhouse.sensor".to_owned(), ..profile_spec() };
    let inputs = iotorch_core::resource::InApplication { application };
    let work = create::<Profile>(&id.profile(&name("sensor")), spec, inputs).into();
    let made = outside.apply(&world.cx(), vec![work]).await.remove(0).unwrap();
    assert_eq!(made, ProfileOutputs { name: "greenhouse.sensor".to_owned() }.into());
    let client = world.gateway().await;
    assert_eq!(client.objects().await.unwrap()[0].path, "profiles/greenhouse.sensor");
    // A call that makes something in it may arrive late; that it answers is only looked at.
    assert!(!outside.is_quiescent(&world.cx(), &id.profile(&name("sensor"))).await);
    assert!(outside.is_quiescent(&world.cx(), &id).await);
    world.host.stop().await;
}

#[tokio::test]
async fn a_gateway_exports_to_a_plain_broker_with_a_user_name_and_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.build().await;
    // The server stands for a broker that asks for both, and shows what it got.
    let Outputs::Attachment(attached) = world.outputs(&attachment()).clone() else { panic!() };
    let key = world.token("hub/gw/key").await;
    let login = format!("{}:{}", attached.thing, key.expose());
    let store = &world.secrets;
    use iotorch_core::secret::SecretStore;
    store.put(&secret("broker"), iotorch_core::secret::SecretValue::new(login.clone())).await.unwrap();
    let hub = gateway().export(&name("hub"));
    world.delete(&hub).await.unwrap();
    world.made.retain(|made| *made.work.id() != hub);

    let Endpoint::Net(endpoint) = world.application(&server()).endpoints["mqtt"].clone() else { panic!() };
    let sink = iotorch_core::model::Sink::builder()
        .name(name("broker"))
        .kind(iotorch_core::model::SinkKind::Mqtt)
        .endpoint(endpoint.clone())
        .target(format!("channels/{}/messages", attached.channel))
        .credentials(secret("broker"))
        .build();
    let spec = ExportSpec { name: "broker".to_owned(), target: ExportTarget::Sink(sink) };
    let inputs = ExportInputs { application: world.application(&gateway()), server: None };
    let made = world.make::<Export>(&gateway().export(&name("broker")), spec, inputs).await;
    let expected = format!("mqtt {endpoint} channels/{}/messages", attached.channel);
    assert_eq!(made, iotorch_core::resource::ExportOutputs { destination: expected }.into());
    a_reading_arrives(&world, 7.0, 1).await;
    assert_eq!(world.differences().await, [""; 0]);
    let shown = serde_json::to_string(&world.gateway().await.objects().await.unwrap()).unwrap();
    assert!(!shown.contains(&login) && !shown.contains(key.expose()));
    world.host.stop().await;
}

#[tokio::test]
async fn a_gateway_exports_to_a_plain_broker_that_asks_for_nothing() {
    use iotorch_core::model::{Sink, SinkKind};
    use mqtt5::broker::{BrokerConfig, MqttBroker, StorageBackendType, StorageConfig};
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

    let config = BrokerConfig::default()
        .with_bind_address("127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap())
        .with_storage(StorageConfig::new().with_backend(StorageBackendType::Memory));
    let mut broker = MqttBroker::with_config(config).await.unwrap();
    let (at, shutdown) = (broker.local_addr().unwrap(), broker.shutdown_handle());
    let running = tokio::spawn(async move { broker.run().await });
    let options = MqttOptions::new("reader", (at.ip().to_string(), at.port()));
    let (reader, mut events) = AsyncClient::builder(options).capacity(1).build();
    reader.subscribe("readings", QoS::AtLeastOnce).await.unwrap();
    while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}

    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.build().await;
    let endpoint =
        iotorch_core::resource::NetAddress { host: "127.0.0.1".to_owned(), port: at.port(), tls: false };
    let sink = Sink::builder()
        .name(name("broker"))
        .kind(SinkKind::Mqtt)
        .endpoint(endpoint)
        .target("readings")
        .build();
    let spec = ExportSpec { name: "broker".to_owned(), target: ExportTarget::Sink(sink) };
    let inputs = ExportInputs { application: world.application(&gateway()), server: None };
    world.make::<Export>(&gateway().export(&name("broker")), spec, inputs).await;
    a_reading_arrives(&world, 9.5, 1).await;
    let pack = loop {
        if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.unwrap() {
            break String::from_utf8(publish.payload.to_vec()).unwrap();
        }
    };
    assert!(pack.contains("d1:temperature") && pack.contains("9.5"), "{pack}");
    assert_eq!(world.differences().await, [""; 0]);
    world.host.stop().await;
    shutdown.shutdown();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_device_is_told_where_its_protocol_is_spoken() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.build().await;
    let application = world.application(&gateway());
    let Outputs::Profile(profile) = world.outputs(&gateway().profile(&name("sensor"))).clone() else {
        panic!()
    };
    for protocol in [DeviceProtocol::Mqtt, DeviceProtocol::Http, DeviceProtocol::Coap] {
        let inputs = DeviceInputs { application: application.clone(), profile: profile.clone() };
        let (text, spec) =
            (protocol.to_string(), DeviceSpec { protocol, ..device_spec(&protocol.to_string()) });
        let Outputs::Device(made) = world.make::<Device>(&device(&text), spec, inputs).await else {
            panic!()
        };
        assert_eq!(made.endpoint.as_ref(), Some(&application.endpoints[&text]), "{text}");
    }
    let speaks_tls = |name| matches!(&application.endpoints[name], Endpoint::Net(address) if address.tls);
    assert_eq!(["mqtt", "http", "coap", "management"].map(speaks_tls), [false, false, true, false]);
    assert_eq!(world.differences().await, [""; 0]);
    world.host.stop().await;
}

#[tokio::test]
async fn a_tenant_is_changed_by_a_new_secret_only_where_it_differs() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path()).await;
    world.deploy("cloud", "hub", Role::Server).await;
    let inputs = iotorch_core::resource::InApplication { application: world.application(&server()) };
    let spec = TenantSpec::new("greenhouse", secret("hub/tenant"));
    world.make::<Tenant>(&server().tenant(), spec, inputs).await;
    let work = world.made.last().unwrap().work.clone();
    let other = with_spec(&work, |spec| {
        let Spec::Tenant(spec) = spec else { panic!() };
        spec.secret = secret("absent");
    });
    let driver = iotorch_lite::LiteDriver;
    assert_eq!(driver.compare(&spec_of(&work), &other), Verdict::Update);
    let (Spec::Tenant(after), Work::Tenant(job)) = (other, work) else { panic!() };
    let missing = Job { change: Change::Create { after }, ..job };
    assert_eq!(world.apply(missing.into()).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(world.differences().await, [""; 0], "nothing was half done");
    world.host.stop().await;
}
