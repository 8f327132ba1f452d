//! TLS on every listener and on the way to the targets of exports, and listening beyond this host.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{
    world::{World, create, gateway, name, profile_spec, secret},
    *,
};
use iotorch_core::{
    ErrorKind as Core,
    model::{External, Settings},
    resource::{
        Application, ApplicationInputs, ApplicationSpec, InApplication, NetAddress, Outputs, Profile, Role,
    },
};
use iotorch_lite::{
    ErrorKind, Gateway, GatewayConfig, Listen, Secret, Server, ServerConfig, Tls,
    api::{Device, DeviceProtocol, Export, Nothing},
    client::{Error, GatewayClient, ServerClient},
    device::{Answer, Link, Login, Message, Qos},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};
use tokio::net::TcpStream;

/// An authority, and a certificate of it for this host.
struct Certified {
    authority: PathBuf,
    tls: Tls,
}

fn certified(dir: &Path) -> Certified {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let write = |name: &str, text: String| {
        fs::write(dir.join(name), text).unwrap();
        dir.join(name)
    };
    Certified {
        authority: write("authority.pem", authority.as_ref().pem()),
        tls: Tls {
            certificate: write("host.pem", certificate.pem()),
            key: write("host.key", key.serialize_pem()),
        },
    }
}

fn with_tls(tls: &Tls) -> Listen {
    Listen::builder().tls(tls.clone()).build()
}

async fn secure_gateway(dir: &Path, certified: &Certified) -> (Gateway, GatewayClient) {
    let listen = with_tls(&certified.tls);
    let config = GatewayConfig::builder()
        .data_dir(dir.join("gateway"))
        .admin_token(admin())
        .management(listen.clone())
        .listen(listen)
        .trust(certified.authority.clone())
        .build();
    let gateway = Gateway::start(config).await.unwrap();
    let url = format!("https://{}", gateway.management_address());
    let client = GatewayClient::trusting(url, admin(), &certified.authority).unwrap();
    add_devices(&client, &["d1"]).await;
    (gateway, client)
}

/// Logs in over TLS as device `d1`.
async fn log_in(at: SocketAddr, authority: &Path) -> iotorch_core::Result<Link> {
    Link::connect(&login(DeviceProtocol::Mqtt, "d1", at, authority), Qos::default()).await
}

fn login(protocol: DeviceProtocol, name: &str, at: SocketAddr, authority: &Path) -> Login {
    Login::builder()
        .protocol(protocol)
        .address(NetAddress { host: at.ip().to_string(), port: at.port(), tls: true })
        .path(format!("devices/{name}/count"))
        .user(name)
        .password(Secret::new(PASSWORD))
        .trust(authority.to_owned())
        .build()
}

#[tokio::test]
async fn every_listener_speaks_tls_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let certified = certified(dir.path());
    let (gateway, client) = secure_gateway(dir.path(), &certified).await;
    assert_eq!(client.health().await.unwrap().role, "gateway");
    let url = format!("https://{}", gateway.management_address());
    let untrusting = GatewayClient::new(url, admin()).unwrap().health().await.unwrap_err();
    assert!(matches!(untrusting, Error::Unreachable(_)), "{untrusting:?}");
    let in_clear = GatewayClient::new(format!("http://{}", gateway.management_address()), admin()).unwrap();
    assert!(in_clear.health().await.is_err());

    log_in(gateway.mqtt_address(), &certified.authority).await.unwrap();
    assert!(Mqtt::connect(gateway.mqtt_address(), "d1", "d1", PASSWORD).await.is_err());

    let device = Device { profile: "sensor".to_owned(), protocol: DeviceProtocol::Http };
    client.put_device("d2", &put(device), false).await.unwrap();
    client.put_credential("d2", 1, &put_secret(Nothing {}, PASSWORD), false).await.unwrap();
    let login = login(DeviceProtocol::Http, "d2", gateway.http_address(), &certified.authority);
    let link = Link::connect(&login, Qos::default()).await.unwrap();
    assert_eq!(link.send(&Message::new("1")).await.unwrap(), Answer::Accepted);
    let by_the_system = Link::connect(&Login { trust: None, ..login }, Qos::default()).await.unwrap();
    let untrusted = by_the_system.send(&Message::new("1")).await.unwrap_err();
    assert_eq!(untrusted.kind(), Core::Unavailable);
    gateway.stop().await;
}

#[tokio::test]
async fn who_stalls_in_the_handshake_holds_up_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let certified = certified(dir.path());
    let (gateway, client) = secure_gateway(dir.path(), &certified).await;
    let mut stalled = Vec::new();
    for at in [gateway.mqtt_address(), gateway.http_address(), gateway.management_address()] {
        stalled.push(TcpStream::connect(at).await.unwrap());
        stalled.push(TcpStream::connect(at).await.unwrap());
    }
    log_in(gateway.mqtt_address(), &certified.authority).await.unwrap();
    assert_eq!(client.health().await.unwrap().role, "gateway");
    gateway.stop().await;
}

#[tokio::test]
async fn an_export_goes_over_tls_to_a_target_that_is_trusted_and_to_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let certified = certified(dir.path());
    let listen = with_tls(&certified.tls);
    let config = ServerConfig::builder()
        .data_dir(dir.path().join("server"))
        .admin_token(admin())
        .management(listen.clone())
        .listen(listen)
        .build();
    let server = Server::start(config).await.unwrap();
    let url = format!("https://{}", server.management_address());
    let at_server = ServerClient::trusting(url, admin(), &certified.authority).unwrap();
    let attachment = attach(&at_server).await;
    let export = Export { tls: true, ..export_to(&server, &attachment) };

    let (gateway, client) = secure_gateway(dir.path(), &certified).await;
    client.put_export("main", &put_secret(export.clone(), KEY), false).await.unwrap();
    await_status(&client, |status| status.exports["main"].connected).await;
    gateway.stop().await;

    // This one trusts the system's authorities.
    let elsewhere = tempfile::tempdir().unwrap();
    let gateway = start_gateway(elsewhere.path()).await;
    let client = gateway_client(&gateway);
    client.put_export("main", &put_secret(export, KEY), false).await.unwrap();
    let status = await_status(&client, |status| status.exports["main"].last_error.is_some()).await;
    let reason = status.exports["main"].last_error.clone().unwrap();
    assert!(reason.contains("certificate"), "{reason}");
    gateway.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn an_external_application_is_managed_over_tls_by_the_authority_that_its_settings_name() {
    let dir = tempfile::tempdir().unwrap();
    let certified = certified(dir.path());
    let mut world = World::open(&dir.path().join("host")).await;
    let listen = with_tls(&certified.tls);
    let config = GatewayConfig::builder()
        .data_dir(dir.path().join("gateway"))
        .admin_token(world.token("gw/admin").await)
        .management(listen.clone())
        .listen(listen)
        .build();
    let running = Gateway::start(config).await.unwrap();
    let at = |name: &str, address: SocketAddr| {
        (name.to_owned(), NetAddress { host: address.ip().to_string(), port: address.port(), tls: true })
    };
    let endpoints = [at("management", running.management_address()), at("mqtt", running.mqtt_address())];
    let spec = |settings| ApplicationSpec {
        name: "gw".to_owned(),
        role: Role::Gateway,
        application: "lite".parse().unwrap(),
        external: Some(External { endpoints: endpoints.clone().into(), credentials: secret("gw/admin") }),
        admin: secret("gw/admin"),
        settings,
    };
    let inputs = || ApplicationInputs { workload: None };
    let untrusted = create::<Application>(&gateway(), spec(Settings::new()), inputs());
    assert_eq!(world.apply(untrusted.into()).await.unwrap_err().kind(), Core::Unavailable);

    let trust = serde_json::json!(certified.authority);
    let trusted = spec(Settings::from_iter([("trust".to_owned(), trust)]));
    let made = world.make::<Application>(&gateway(), trusted, inputs()).await;
    let Outputs::Application(application) = made else { panic!() };
    let id = gateway().profile(&name("sensor"));
    world.make::<Profile>(&id, profile_spec(), InApplication { application }).await;
    assert_eq!(world.differences().await, [""; 0]);
    running.stop().await;
    world.host.stop().await;
}

#[tokio::test]
async fn listening_beyond_this_host_needs_tls_or_a_clear_word() {
    let dir = tempfile::tempdir().unwrap();
    let certified = certified(dir.path());
    let everywhere = IpAddr::from([0, 0, 0, 0]);
    let in_clear = Listen::builder().address(everywhere).build();
    let insecure = Listen { insecure: true, ..in_clear.clone() };
    let secure = Listen { tls: Some(certified.tls.clone()), ..in_clear.clone() };
    let start = async |listen: &Listen, management: Option<Listen>| {
        let mut config = GatewayConfig::builder().data_dir(dir.path().join("g")).admin_token(admin()).build();
        (config.listen, config.management) = (listen.clone(), management);
        Gateway::start(config).await
    };
    for (listen, management) in [(&in_clear, None), (&secure, Some(in_clear.clone()))] {
        let refused = start(listen, management).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(refused.to_string().starts_with("cannot listen on 0.0.0.0 without TLS: "), "{refused}");
    }
    for (listen, management) in [(&insecure, Some(insecure.clone())), (&secure, Some(secure.clone()))] {
        let gateway = start(listen, management).await.unwrap();
        assert_eq!(gateway.mqtt_address().ip(), IpAddr::from([127, 0, 0, 1]));
        gateway.stop().await;
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let Certified { authority, tls } = certified(dir.path());
    let missing = dir.path().join("missing.pem");
    let other = KeyPair::generate().unwrap().serialize_pem();
    let stranger = dir.path().join("stranger.key");
    fs::write(&stranger, other).unwrap();
    let start = async |tls: Tls, trust: Option<PathBuf>| {
        let mut config = GatewayConfig::builder().data_dir(dir.path().join("g")).admin_token(admin()).build();
        (config.listen, config.trust) = (with_tls(&tls), trust);
        let error = Gateway::start(config).await.unwrap_err();
        (error.kind(), error.to_string().replace(&dir.path().display().to_string(), "DIR"))
    };
    for (tls, trust, message) in [
        (
            Tls { certificate: missing.clone(), ..tls.clone() },
            None,
            "cannot read the certificate \"DIR/missing.pem\"",
        ),
        (Tls { key: authority, ..tls.clone() }, None, "cannot read the key \"DIR/authority.pem\""),
        (Tls { key: stranger, ..tls.clone() }, None, "cannot use the certificate \"DIR/host.pem\""),
        (tls, Some(missing), "cannot read the certificate \"DIR/missing.pem\""),
    ] {
        assert_eq!(start(tls, trust).await, (ErrorKind::Invalid, message.to_owned()));
    }
}
