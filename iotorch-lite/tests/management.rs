//! The management APIs, their clients, and the data directory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use iotorch_lite::{
    ErrorKind, Gateway, GatewayConfig, Ports, Secret, Server,
    api::{Attachment, Device, DeviceProtocol, Kind, MessageQuery, Nothing, Put},
    client::{Error, GatewayClient, ServerClient},
};
use std::{
    error::Error as _, fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path, time::Duration,
};

fn device() -> Put<Device> {
    put(Device { profile: "sensor".to_owned(), protocol: DeviceProtocol::Mqtt })
}

#[tokio::test]
async fn every_call_but_health_needs_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = start_gateway(dir.path()).await;
    let url = format!("http://{}", gateway.management_address());
    let stranger = GatewayClient::new(&url, Secret::new("guess")).unwrap();
    let health = stranger.health().await.unwrap();
    assert_eq!((health.application.as_str(), health.role.as_str()), ("iotorch-lite", "gateway"));
    assert!(matches!(stranger.objects().await, Err(Error::Refused)));
    assert!(matches!(stranger.status().await, Err(Error::Refused)));
    assert!(matches!(stranger.delete("devices/d1", None).await, Err(Error::Refused)));
    let bare = plain_http();
    for path in ["objects", "nothing/here", "health/x"] {
        let answer = bare.get(format!("{url}/{path}")).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
        let error: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(error["error"]["kind"], "unauthorized");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn puts_and_deletes_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, server) = (start_gateway(dir.path()).await, start_server(dir.path()).await);
    let (at_gateway, at_server) = (gateway_client(&gateway), server_client(&server));
    for _ in 0..2 {
        add_devices(&at_gateway, &["d1"]).await;
    }
    let (first, again) = (attach(&at_server).await, attach(&at_server).await);
    assert_eq!(first, again, "the identifiers stay");
    for _ in 0..2 {
        export(&at_gateway, &server, &first).await;
    }
    let mut objects: Vec<_> =
        at_gateway.objects().await.unwrap().into_iter().map(|o| (o.path, o.kind)).collect();
    objects.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        ("devices/d1", Kind::Device),
        ("devices/d1/credentials/1", Kind::Credential),
        ("exports/main", Kind::Export),
        ("profiles/sensor", Kind::Profile),
    ];
    assert_eq!(objects, expected.map(|(path, kind)| (path.to_owned(), kind)));
    let attachment = at_server.object::<Attachment>("tenants/acme/attachments/gw").await.unwrap();
    assert_eq!((attachment.mark.as_str(), attachment.settings), (MARK, first));
    assert_eq!(attachment.spec["from"], "a test");

    for _ in 0..2 {
        for path in ["exports/main", "devices/d1", "profiles/sensor"] {
            at_gateway.delete(path, Some(MARK)).await.unwrap();
        }
        at_server.delete("tenants/acme", Some(MARK)).await.unwrap();
    }
    assert!(at_gateway.objects().await.unwrap().is_empty());
    assert!(at_server.objects().await.unwrap().is_empty());
    assert!(matches!(at_gateway.object::<Device>("devices/d1").await, Err(Error::NotFound { .. })));
    gateway.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn objects_of_others_are_left_alone_unless_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = start_gateway(dir.path()).await;
    let client = gateway_client(&gateway);
    add_devices(&client, &["d1"]).await;
    let theirs = Put { mark: "somebody/else".to_owned(), ..device() };
    match client.put_device("d1", &theirs, false).await {
        Err(Error::Conflict { owner }) => assert_eq!(owner, MARK),
        other => panic!("{other:?}"),
    }
    assert!(matches!(client.delete("devices/d1", Some("somebody/else")).await, Err(Error::Conflict { .. })));
    assert_eq!(client.put_device("d1", &theirs, true).await.unwrap().mark, "somebody/else");
    assert_eq!(client.credentials("d1").await.unwrap(), [1], "its contents stay");
    assert!(matches!(client.put_device("d1", &device(), false).await, Err(Error::Conflict { .. })));
    gateway.stop().await;
}

#[tokio::test]
async fn wrong_requests_say_what_is_wrong_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, server) = (start_gateway(dir.path()).await, start_server(dir.path()).await);
    let (at_gateway, at_server) = (gateway_client(&gateway), server_client(&server));
    let invalid = |error: Error| match error {
        Error::Invalid { message } => message,
        other => panic!("{other:?}"),
    };
    let orphan = at_gateway.put_device("d1", &device(), false).await.unwrap_err();
    assert_eq!(invalid(orphan), "there is no profile \"sensor\"");
    add_devices(&at_gateway, &["d1"]).await;
    for name in ["", "..", "a/b", "-a", "a b", "ä"] {
        let message = invalid(at_gateway.put_device(name, &device(), false).await.unwrap_err());
        assert!(message.contains("cannot be the name"), "{message}");
    }
    let secretless = at_gateway.put_credential("d1", 2, &put(Nothing {}), false).await.unwrap_err();
    assert_eq!(invalid(secretless), "the object needs a secret");
    let absent = at_gateway.put_credential("d2", 1, &put_secret(Nothing {}, "x"), false).await;
    assert!(matches!(absent, Err(Error::NotFound { message }) if message == "there is no \"devices/d2\""));
    match at_gateway.delete("profiles/sensor", None).await {
        Err(Error::InUse { message }) => assert_eq!(message, "profile \"sensor\" is used by \"devices/d1\""),
        other => panic!("{other:?}"),
    }
    let attachment = at_server.put_attachment("acme", "gw", &put(Nothing {}), false).await;
    assert!(matches!(attachment, Err(Error::NotFound { .. })));
    let attachment = attach(&at_server).await;
    let query = MessageQuery { limit: Some(0), ..MessageQuery::default() };
    let messages = at_server.messages("acme", &attachment.channel, &query).await;
    assert_eq!(invalid(messages.unwrap_err()), "limit: use 1 to 1000");

    let http = plain_http();
    let url = format!("{}/devices/d1/credentials/3", at_gateway.base_url());
    for (body, message) in [
        (r#"{"mark":"m","settings":{},"secret":"hush-hush"#, "the body is not JSON at line 1"),
        (r#"{"mark":"m","settings":{},"secret":["hush-hush"]}"#, "the secret must be a string"),
        (
            r#"{"mark":"m","settings":{},"secret":"hush-hush","more":1}"#,
            "the body is wrong: unknown field `more`",
        ),
    ] {
        let answer = http.put(&url).bearer_auth(ADMIN).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 400);
        let text = answer.text().await.unwrap();
        assert!(text.contains(message) && !text.contains("hush"), "{text}");
    }
    let answer = http.post(&url).bearer_auth(ADMIN).send().await.unwrap();
    assert_eq!(answer.status(), 405);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = GatewayClient::new(format!("http://127.0.0.1:{port}"), admin()).unwrap();
    assert!(matches!(nobody.health().await, Err(Error::Unreachable(_))));
    gateway.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_tenants_token_reads_the_channels_of_its_tenant_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let server = start_server(dir.path()).await;
    let client = server_client(&server);
    let attachment = attach(&client).await;
    client.put_tenant("acme", &put_secret(Nothing {}, "token-of-acme"), false).await.unwrap();
    client.put_tenant("other", &put_secret(Nothing {}, "token-of-other"), false).await.unwrap();
    let with = |token: &str| ServerClient::new(client.base_url(), Secret::new(token)).unwrap();

    let (own, other) = (with("token-of-acme"), with("token-of-other"));
    let all = MessageQuery::default();
    assert!(own.messages("acme", &attachment.channel, &all).await.unwrap().messages.is_empty());
    assert_eq!(own.stats("acme", &attachment.channel).await.unwrap().count, 0);
    assert!(matches!(own.objects().await, Err(Error::Refused)));
    assert!(matches!(own.delete("tenants/acme", None).await, Err(Error::Refused)));
    assert!(matches!(other.messages("acme", &attachment.channel, &all).await, Err(Error::Refused)));
    let elsewhere = other.messages("other", &attachment.channel, &all).await;
    assert!(matches!(elsewhere, Err(Error::NotFound { .. })), "the channel of another tenant");
    assert!(matches!(with("guess").stats("acme", &attachment.channel).await, Err(Error::Refused)));
    server.stop().await;
}

#[tokio::test]
async fn ports_and_state_are_the_same_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, server) = (start_gateway(dir.path()).await, start_server(dir.path()).await);
    add_devices(&gateway_client(&gateway), &["d1"]).await;
    let attachment = attach(&server_client(&server)).await;
    let ports = |gateway: &Gateway, server: &Server| {
        let of_gateway = [gateway.mqtt_address(), gateway.management_address()];
        (of_gateway, [server.mqtt_address(), server.management_address()])
    };
    let before = ports(&gateway, &server);
    gateway.stop().await;
    server.stop().await;

    let (gateway, server) = (start_gateway(dir.path()).await, start_server(dir.path()).await);
    assert_eq!(ports(&gateway, &server), before);
    Mqtt::device(&gateway, "d1").await.publish("devices/d1/count", "1").await.unwrap();
    let thing = attachment.thing.as_str();
    let mqtt = Mqtt::connect(server.mqtt_address(), thing, thing, KEY).await.unwrap();
    mqtt.publish(&attachment.topic(), r#"[{"n":"a","v":1}]"#).await.unwrap();
    assert_eq!(messages(&server_client(&server), &attachment).await.len(), 1);
    gateway.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_taken_port_and_a_taken_directory_are_clear_errors() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        |dir: &Path| GatewayConfig::builder().data_dir(dir.join("gateway")).admin_token(admin()).build();
    let gateway = start_gateway(dir.path()).await;
    let second = Gateway::start(config(dir.path())).await.unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Taken);
    assert!(second.to_string().starts_with("cannot open store \""), "{second}");
    assert_eq!(second.source().unwrap().to_string(), "another process has it open");

    let (mqtt, http, management) =
        (gateway.mqtt_address(), gateway.http_address(), gateway.management_address());
    let coap = gateway.coap_address();
    for (address, setting, ports) in [
        (mqtt, "mqttPort", Ports::builder().mqtt(mqtt.port()).build()),
        (http, "httpPort", Ports::builder().http(http.port()).build()),
        (coap, "coapPort", Ports::builder().coap(coap.port()).build()),
        (management, "managementPort", Ports::builder().management(management.port()).build()),
    ] {
        let other = tempfile::tempdir().unwrap();
        let config = || GatewayConfig::builder().data_dir(other.path()).admin_token(admin());
        let taken = config().ports(ports).patience(Duration::ZERO).build();
        let error = Gateway::start(taken).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (ErrorKind::Taken, format!("cannot listen on {address}"))
        );
        let help = format!("another program has the port: end it, or set another port with {setting}");
        assert_eq!(error.help(), Some(&*help));
        Gateway::start(config().build()).await.expect("nothing is left of the failed start").stop().await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn files_are_private_and_hold_no_secret_that_only_has_to_be_recognised() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, server) = (start_gateway(dir.path()).await, start_server(dir.path()).await);
    let (at_gateway, at_server) = (gateway_client(&gateway), server_client(&server));
    add_devices(&at_gateway, &["d1"]).await;
    attach(&at_server).await;
    at_server.put_tenant("acme", &put_secret(Nothing {}, "token-of-acme"), false).await.unwrap();
    let shown = format!(
        "{gateway:?} {server:?} {at_gateway:?} {:?} {}",
        put_secret(Nothing {}, PASSWORD),
        serde_json::to_string(&at_server.objects().await.unwrap()).unwrap(),
    );
    gateway.stop().await;
    server.stop().await;

    let secrets = [ADMIN, PASSWORD, KEY, "token-of-acme"];
    assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{shown}");
    for role in ["gateway", "server"] {
        let role = dir.path().join(role);
        assert_eq!(fs::metadata(&role).unwrap().permissions().mode() & 0o777, 0o700);
        for file in fs::read_dir(role).unwrap() {
            let path = file.unwrap().path();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
            let bytes = fs::read(&path).unwrap();
            let holds = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(secrets.iter().all(|secret| !holds(secret)), "{path:?}");
        }
    }
}

#[tokio::test]
async fn what_was_adopted_is_given_back_as_it_was_with_its_secret() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = start_gateway(dir.path()).await;
    let client = gateway_client(&gateway);
    add_devices(&client, &["d1"]).await;
    let path = "devices/d1/credentials/1";
    let found = client.object::<Nothing>(path).await.unwrap();
    let ours = Put { mark: "somebody/else".to_owned(), ..put_secret(Nothing {}, "another password") };
    for _ in 0..2 {
        client.put_credential("d1", 1, &ours, true).await.unwrap();
    }
    let login = async |password: &str| Mqtt::connect(gateway.mqtt_address(), "d1", "d1", password).await;
    let mut adopted = login("another password").await.unwrap();
    assert!(login(PASSWORD).await.is_err());

    client.release(path, "not/the/owner").await.unwrap();
    assert_eq!(client.object::<Nothing>(path).await.unwrap().mark, "somebody/else");
    for _ in 0..2 {
        client.release(path, "somebody/else").await.unwrap();
    }
    adopted.disconnected().await;
    assert_eq!(client.object::<Nothing>(path).await.unwrap(), found);
    login(PASSWORD).await.unwrap();

    client.release("devices/d1", MARK).await.unwrap();
    assert_eq!(client.object::<Device>("devices/d1").await.unwrap().mark, "", "it never had another mark");
    client.release("devices/d2", MARK).await.unwrap();
    gateway.stop().await;
}
