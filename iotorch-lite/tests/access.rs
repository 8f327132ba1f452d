//! Who may do what over MQTT, and what becomes of what is refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use iotorch_lite::{
    Gateway,
    api::{Device, DeviceProtocol, Nothing},
    client::GatewayClient,
};

async fn gateway_with(devices: &[&str]) -> (tempfile::TempDir, Gateway, GatewayClient) {
    let dir = tempfile::tempdir().unwrap();
    let gateway = start_gateway(dir.path()).await;
    let client = gateway_client(&gateway);
    add_devices(&client, devices).await;
    (dir, gateway, client)
}

#[tokio::test]
async fn strangers_and_wrong_passwords_are_refused_and_counted() {
    let (_dir, gateway, client) = gateway_with(&["d1"]).await;
    let at = gateway.mqtt_address();
    for (user, password) in [("d1", "guess"), ("d1", ""), ("d2", PASSWORD), ("../d1", PASSWORD)] {
        assert!(Mqtt::connect(at, "", user, password).await.is_err(), "{user}");
    }
    let refused = client.status().await.unwrap().refused;
    assert_eq!((refused["d1"].logins, refused["d1"].last_reason.as_str()), (2, "the password is wrong"));
    assert_eq!((refused["d2"].logins, refused["d2"].last_reason.as_str()), (1, "there is no such device"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_device_has_its_own_topics_only() {
    let (_dir, gateway, client) = gateway_with(&["d1", "d2"]).await;
    let device = Mqtt::device(&gateway, "d1").await;
    for topic in ["devices/d2/count", "devices/d2", "devices/d1/count/x", "elsewhere"] {
        assert!(device.publish(topic, "1").await.is_err(), "{topic}");
    }
    device.subscribe("devices/d1/commands/#").await.unwrap();
    for filter in
        ["devices/d2/commands/#", "devices/#", "#", "devices/d1/count", "$share/g/devices/d2/commands/#"]
    {
        assert!(device.subscribe(filter).await.is_err(), "{filter}");
    }
    let status = client.status().await.unwrap();
    assert_eq!(status.refused["d1"].requests, 9);
    assert_eq!((status.devices["d1"].accepted, status.devices["d2"].accepted), (0, 0));
    gateway.stop().await;
}

#[tokio::test]
async fn a_device_cannot_push_another_one_off() {
    let (_dir, gateway, client) = gateway_with(&["d1", "d2"]).await;
    let device = Mqtt::device(&gateway, "d1").await;
    let at = gateway.mqtt_address();
    assert!(Mqtt::connect(at, "d1", "d2", PASSWORD).await.is_err());
    assert!(Mqtt::connect(at, "d1:two", "d2", PASSWORD).await.is_err());
    let second = Mqtt::connect(at, "d1:two", "d1", PASSWORD).await.unwrap();
    second.publish("devices/d1/count", "1").await.unwrap();
    device.publish("devices/d1/count", "2").await.unwrap();
    assert_eq!(client.status().await.unwrap().refused["d2"].logins, 2);
    gateway.stop().await;
}

#[tokio::test]
async fn what_the_profile_does_not_allow_is_rejected_and_counted() {
    let (_dir, gateway, client) = gateway_with(&["d1"]).await;
    let device = Mqtt::device(&gateway, "d1").await;
    for (resource, value, reason) in [
        ("temperature", "99", "\"temperature\" is 99, above 85"),
        ("pressure", "1", "the profile has no resource \"pressure\""),
        ("valve", "1", "\"valve\" can only be written"),
        ("open", "perhaps", "\"open\" is not true or false"),
    ] {
        device.publish(&format!("devices/d1/{resource}"), value).await.unwrap();
        let status = client.status().await.unwrap();
        assert_eq!(status.devices["d1"].last_rejection.as_deref(), Some(reason));
    }
    device.publish("devices/d1", r#"{"temperature":20,"count":1.5}"#).await.unwrap();
    let status = &client.status().await.unwrap().devices["d1"];
    assert_eq!((status.accepted, status.rejected, status.last.len()), (1, 5, 1));
    gateway.stop().await;
}

#[tokio::test]
async fn a_password_is_changed_without_a_gap_and_the_old_one_ends_its_sessions() {
    let (_dir, gateway, client) = gateway_with(&["d1"]).await;
    let at = gateway.mqtt_address();
    let mut old = Mqtt::connect(at, "d1:old", "d1", PASSWORD).await.unwrap();
    client.put_credential("d1", 2, &put_secret(Nothing {}, "the next password"), false).await.unwrap();
    assert_eq!(client.credentials("d1").await.unwrap(), [1, 2]);
    let new = Mqtt::connect(at, "d1:new", "d1", "the next password").await.unwrap();
    old.publish("devices/d1/count", "1").await.unwrap();
    new.publish("devices/d1/count", "2").await.unwrap();

    client.delete("devices/d1/credentials/1", None).await.unwrap();
    old.disconnected().await;
    assert!(Mqtt::connect(at, "d1:old", "d1", PASSWORD).await.is_err());
    new.publish("devices/d1/count", "3").await.unwrap();
    assert!(new.is_connected());

    // The same secret again changes nothing; another one in its place ends the sessions that rest on it.
    client.put_credential("d1", 2, &put_secret(Nothing {}, "the next password"), false).await.unwrap();
    new.publish("devices/d1/count", "4").await.unwrap();
    client.put_credential("d1", 2, &put_secret(Nothing {}, "yet another"), false).await.unwrap();
    let mut new = new;
    new.disconnected().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_device_that_shall_speak_another_protocol_is_disconnected_and_refused() {
    let (_dir, gateway, client) = gateway_with(&["d1"]).await;
    let mut device = Mqtt::device(&gateway, "d1").await;
    let settings = |protocol| put(Device { profile: "sensor".to_owned(), protocol });
    client.put_device("d1", &settings(DeviceProtocol::Mqtt), false).await.unwrap();
    device.publish("devices/d1/count", "1").await.unwrap();
    client.put_device("d1", &settings(DeviceProtocol::Coap), false).await.unwrap();
    device.disconnected().await;
    assert!(Mqtt::connect(gateway.mqtt_address(), "d1", "d1", PASSWORD).await.is_err());
    let refused = &client.status().await.unwrap().refused["d1"];
    assert_eq!(refused.last_reason, "the device speaks coap, not mqtt");
    gateway.stop().await;
}

#[tokio::test]
async fn a_removed_device_is_disconnected_and_forgotten() {
    let (_dir, gateway, client) = gateway_with(&["d1", "d10"]).await;
    let (mut first, other) = (Mqtt::device(&gateway, "d1").await, Mqtt::device(&gateway, "d10").await);
    first.publish("devices/d1/count", "1").await.unwrap();
    other.publish("devices/d10/count", "1").await.unwrap();
    client.delete("devices/d1", None).await.unwrap();
    first.disconnected().await;
    assert!(Mqtt::connect(gateway.mqtt_address(), "d1", "d1", PASSWORD).await.is_err());
    other.publish("devices/d10/count", "2").await.unwrap();

    client
        .put_device(
            "d1",
            &put(Device { profile: "sensor".to_owned(), protocol: DeviceProtocol::Mqtt }),
            false,
        )
        .await
        .unwrap();
    assert!(client.credentials("d1").await.unwrap().is_empty());
    let status = client.status().await.unwrap();
    assert_eq!((status.devices["d1"].accepted, status.devices["d10"].accepted), (0, 2));
    assert!(status.devices["d1"].last.is_empty() && status.devices["d10"].last.len() == 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_thing_has_the_topic_of_its_channel_only_and_ends_with_its_attachment() {
    let dir = tempfile::tempdir().unwrap();
    let server = start_server(dir.path()).await;
    let client = server_client(&server);
    let attachment = attach(&client).await;
    let other = client.put_attachment("acme", "other", &put(Nothing {}), false).await.unwrap().settings;
    let (at, thing) = (server.mqtt_address(), attachment.thing.as_str());
    assert!(Mqtt::connect(at, &other.thing, &other.thing, KEY).await.is_err(), "it has no key yet");

    let pack = r#"[{"n":"a","v":1}]"#;
    let mut mqtt = Mqtt::connect(at, thing, thing, KEY).await.unwrap();
    mqtt.publish(&attachment.topic(), pack).await.unwrap();
    assert!(mqtt.publish(&other.topic(), pack).await.is_err());
    assert!(mqtt.subscribe(&attachment.topic()).await.is_err());
    assert_eq!(client.status().await.unwrap().refused[thing].requests, 2);

    client.put_credential("acme", "gw", 2, &put_secret(Nothing {}, "the next key"), false).await.unwrap();
    client.delete("tenants/acme/attachments/gw/credentials/1", None).await.unwrap();
    mqtt.disconnected().await;
    let mut mqtt = Mqtt::connect(at, thing, thing, "the next key").await.unwrap();
    client.delete("tenants/acme", None).await.unwrap();
    mqtt.disconnected().await;
    assert!(client.objects().await.unwrap().is_empty());
    server.stop().await;
}
