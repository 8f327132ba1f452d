//! What no transcript has: large arrays, requests that are held or lost, restarts, secure mode, and the other releases.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::ask;
use iotorch_edgex_fake::{Config, Fake, Fault, Loss, Release, Secure, Service};
use iotorch_transcript::Answer;
use serde_json::{Value, json};

const DEVICE: &str = "/api/v3/device";

fn device(name: &str) -> Value {
    json!({
        "apiVersion": "v3",
        "device": {
            "name": name, "adminState": "UNLOCKED", "operatingState": "UP", "labels": ["iotorch"],
            "serviceName": "device-mqtt", "profileName": "sensor",
            "protocols": { "mqtt": { "CommandTopic": format!("command/{name}") } },
        },
    })
}

fn devices(count: usize) -> Value {
    (0..count).map(|number| device(&format!("d{number}"))).collect()
}

async fn start(config: Config) -> Fake {
    let fake = Fake::start(config).await.unwrap();
    let profile = json!([{
        "apiVersion": "v3",
        "profile": {
            "name": "sensor",
            "deviceResources": [
                { "name": "temperature", "properties": { "valueType": "Float64", "readWrite": "RW", "units": "Cel" } },
            ],
        },
    }]);
    let answer = metadata(&fake, "POST", "/api/v3/deviceprofile", profile).await;
    assert_eq!(answer.body[0]["statusCode"], 201, "{answer:?}");
    fake.forget();
    fake
}

async fn metadata(fake: &Fake, method: &str, path: &str, body: Value) -> Answer {
    ask(fake.address(Service::Metadata).unwrap(), method, path, body).await
}

async fn total(fake: &Fake) -> i64 {
    let answer = metadata(fake, "GET", "/api/v3/device/all?labels=iotorch&limit=0", Value::Null).await;
    answer.body["totalCount"].as_i64().unwrap()
}

#[tokio::test]
async fn a_thousand_devices_are_one_request() {
    let fake = start(Config::default()).await;
    let answer = metadata(&fake, "POST", DEVICE, devices(1000)).await;
    let items = answer.body.as_array().unwrap();
    assert!(items.len() == 1000 && items.iter().all(|item| item["statusCode"] == 201));
    assert_eq!(fake.asked().len(), 1);
    assert_eq!(fake.devices().len(), 1000);
}

#[tokio::test]
async fn an_array_that_takes_too_long_goes_on_after_its_answer() {
    let config = Config { device_takes: Duration::from_millis(44), ..Config::default() };
    let fake = start(config).await;
    let answer = metadata(&fake, "POST", DEVICE, devices(1000)).await;
    assert_eq!((answer.status, &answer.body), (Some(503), &json!("request timeout")));
    assert_eq!(total(&fake).await, 114, "as many as were counted on a running gateway");
    assert_eq!(total(&fake).await, 1000);
}

#[tokio::test]
async fn work_goes_on_when_a_test_says_so() {
    let fake = start(Config { late_after: None, ..Config::default() }).await;
    fake.exceed(2);
    assert_eq!(metadata(&fake, "POST", DEVICE, devices(5)).await.status, Some(503));
    assert_eq!((total(&fake).await, fake.late_work()), (2, 3));
    fake.finish_late_work(1);
    assert_eq!(total(&fake).await, 3);
    fake.finish_late_work(usize::MAX);
    assert_eq!((total(&fake).await, fake.late_work()), (5, 0));
}

#[tokio::test]
async fn a_request_that_is_held_is_done_though_nobody_waits_for_it() {
    let fake = start(Config::default()).await;
    let mut hold = fake.hold(Service::Metadata, "POST /api/v3/device");
    let address = fake.address(Service::Metadata).unwrap();
    let asking = tokio::spawn(async move { ask(address, "POST", DEVICE, devices(1)).await });
    hold.arrived().await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    assert_eq!(total(&fake).await, 0);
    hold.let_go();
    tokio::time::timeout(Duration::from_secs(20), async {
        while total(&fake).await == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_request_can_fail_before_or_after_it_was_done() {
    let fake = start(Config::default()).await;
    for (fault, status, made) in
        [(Fault::Refused(500), Some(500), 0), (Fault::Lost, None, 0), (Fault::LostAnswer, None, 1)]
    {
        fake.fail(Service::Metadata, "POST /api/v3/device", fault);
        assert_eq!(metadata(&fake, "POST", DEVICE, devices(1)).await.status, status);
        assert_eq!(total(&fake).await, made, "{fault:?}");
    }
}

#[tokio::test]
async fn nobody_listens_at_a_service_that_is_lost() {
    let fake = start(Config::default()).await;
    fake.lose(Loss::Killed(Service::Metadata)).await;
    assert_eq!(metadata(&fake, "GET", "/api/v3/ping", Value::Null).await.status, None);
    fake.regain(Loss::Killed(Service::Metadata)).await;
    assert_eq!(metadata(&fake, "GET", "/api/v3/ping", Value::Null).await.status, Some(200));
}

#[tokio::test]
async fn two_changes_of_the_pipeline_without_a_pause_end_the_application_service() {
    let fake = start(Config { strict_gap: true, ..Config::default() }).await;
    let keeper = fake.address(Service::Keeper).unwrap();
    let path = "/api/v3/kvs/key/edgex/v4/app-mqtt-export/Writable/Pipeline/Functions/MQTTExport/Parameters?flatten=true";
    for number in 0..2 {
        let change = json!({ "value": { "ClientId": format!("client-{number}") } });
        assert_eq!(ask(keeper, "PUT", path, change).await.status, Some(200));
    }
    let app = fake.address(Service::AppMqttExport).unwrap();
    assert_eq!(ask(app, "GET", "/api/v3/ping", Value::Null).await.status, None);
}

#[tokio::test]
async fn a_change_right_after_the_application_service_answers_is_not_heard() {
    let fake = start(Config { deaf_at_first: true, ..Config::default() }).await;
    let (keeper, app) =
        (fake.address(Service::Keeper).unwrap(), fake.address(Service::AppMqttExport).unwrap());
    assert_eq!(ask(app, "GET", "/api/v3/ping", Value::Null).await.status, Some(200));
    let path = "/api/v3/kvs/key/edgex/v4/app-mqtt-export/Writable/Pipeline/Functions/MQTTExport/Parameters?flatten=true";
    let change = json!({ "value": { "Topic": "plant/1" } });
    assert_eq!(ask(keeper, "PUT", path, change).await.status, Some(200));
    let told = ask(app, "GET", "/api/v3/config", Value::Null).await;
    let topic = told.body.pointer("/config/Writable/Pipeline/Functions/MQTTExport/Parameters/topic").unwrap();
    assert_eq!(topic, "edgex-export");
}

#[tokio::test]
async fn a_secret_without_a_value_is_refused() {
    let fake = start(Config::default()).await;
    let app = fake.address(Service::AppMqttExport).unwrap();
    let secret = |value: &str| json!({ "apiVersion": "v3", "secretName": "s", "secretData": [{ "key": "password", "value": value }] });
    for (value, status) in [("", 400), ("-", 201)] {
        assert_eq!(ask(app, "POST", "/api/v3/secret", secret(value)).await.status, Some(status));
    }
}

#[tokio::test]
async fn what_is_kept_in_a_directory_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { data: Some(directory.path().to_owned()), ..Config::default() };
    let fake = start(config.clone()).await;
    metadata(&fake, "POST", DEVICE, devices(3)).await;
    let before = metadata(&fake, "GET", "/api/v3/device/name/d1", Value::Null).await.body;
    drop(fake);
    let fake = Fake::start(config).await.unwrap();
    assert_eq!(fake.profiles(), ["sensor"]);
    assert_eq!(metadata(&fake, "GET", "/api/v3/device/name/d1", Value::Null).await.body, before);
}

#[tokio::test]
async fn release_3_1_has_consul_and_knows_no_way_around_a_device_service() {
    let fake = start(Config::of(Release::V3_1)).await;
    let version = metadata(&fake, "GET", "/api/v3/version", Value::Null).await;
    assert_eq!(version.body["version"], "3.1.0");
    fake.lose(Loss::Killed(Service::DeviceMqtt)).await;
    let answer = metadata(&fake, "POST", &format!("{DEVICE}?bypassValidation=true"), devices(1)).await;
    assert_eq!(answer.status, Some(503));

    let consul = fake.address(Service::Consul).unwrap();
    let key = "/v1/kv/edgex/v3/app-mqtt-export/Writable/Pipeline/Functions/MQTTExport/Parameters/Topic";
    assert_eq!(ask(consul, "PUT", key, "channels/c1".into()).await.body, json!(true));
    assert_eq!(ask(consul, "GET", &format!("{key}?raw"), Value::Null).await.body, "channels/c1");
    let read = ask(consul, "GET", key, Value::Null).await;
    assert_eq!(read.body[0]["Value"], "Y2hhbm5lbHMvYzE=");
    let app = ask(fake.address(Service::AppMqttExport).unwrap(), "GET", "/api/v3/config", Value::Null).await;
    let parameters = "/config/Writable/Pipeline/Functions/MQTTExport/Parameters/topic";
    assert_eq!(app.body.pointer(parameters).unwrap(), "channels/c1");
    assert_eq!(app.body["config"]["Registry"]["Type"], "consul");
    let health = ask(consul, "GET", "/v1/health/service/device-mqtt", Value::Null).await;
    assert_eq!(health.body[0]["Checks"][0]["Status"], "critical");
    assert_eq!(ask(consul, "GET", "/v1/kv/edgex/v3/nothing", Value::Null).await.status, Some(404));
}

#[tokio::test]
async fn version_1_has_addressables_and_registrations() {
    let fake = Fake::start(Config::of(Release::V1)).await.unwrap();
    assert_eq!(metadata(&fake, "GET", "/api/v1/ping", Value::Null).await.body, "pong");
    assert_eq!(metadata(&fake, "GET", "/api/v3/version", Value::Null).await.status, Some(404));
    let made = |answer: Answer| assert_eq!(answer.status, Some(200), "{answer:?}");
    let address =
        json!({ "name": "a1", "protocol": "TCP", "address": "broker", "port": 1883, "topic": "command/d1" });
    made(metadata(&fake, "POST", "/api/v1/addressable", address).await);
    made(metadata(&fake, "POST", "/api/v1/deviceprofile", json!({ "name": "sensor" })).await);
    let device = json!({
        "name": "d1", "adminState": "unlocked", "operatingState": "enabled", "labels": ["iotorch"],
        "addressable": { "name": "a1" }, "service": { "name": "device-mqtt" }, "profile": { "name": "sensor" },
    });
    made(metadata(&fake, "POST", "/api/v1/device", device.clone()).await);
    let again = metadata(&fake, "POST", "/api/v1/device", device.clone()).await;
    assert_eq!((again.status, again.body), (Some(409), json!("Duplicate name for device\n")));
    let mut lost = device;
    lost["profile"]["name"] = "nope".into();
    let answer = metadata(&fake, "POST", "/api/v1/device", lost).await;
    let why = "Item not found: A device must be associated with a device profile\n";
    assert_eq!((answer.status, answer.body), (Some(400), json!(why)));
    let read = metadata(&fake, "GET", "/api/v1/device/name/d1", Value::Null).await.body;
    assert_eq!(
        (&read["adminState"], &read["addressable"]["topic"]),
        (&json!("UNLOCKED"), &json!("command/d1"))
    );
    for in_use in ["/api/v1/deviceprofile/name/sensor", "/api/v1/addressable/name/a1"] {
        assert_eq!(metadata(&fake, "DELETE", in_use, Value::Null).await.status, Some(409), "{in_use}");
    }
    for path in ["device/name/d1", "deviceprofile/name/sensor", "addressable/name/a1"] {
        let path = format!("/api/v1/{path}");
        assert_eq!(metadata(&fake, "DELETE", &path, Value::Null).await.body, json!(true));
        assert_eq!(metadata(&fake, "DELETE", &path, Value::Null).await.status, Some(404));
    }

    let client = fake.address(Service::ExportClient).unwrap();
    let path = "/api/v1/registration";
    let registration = json!({ "name": "r1", "format": "JSON", "destination": "MQTT_TOPIC", "enable": true });
    made(ask(client, "POST", path, registration.clone()).await);
    let taken = ask(client, "POST", path, registration).await;
    assert_eq!((taken.status, taken.body), (Some(400), json!("Name already taken\n")));
    let wrong = ask(client, "POST", path, json!({ "name": "r2" })).await;
    assert_eq!((wrong.status, wrong.body), (Some(400), json!("Could not validate json fields\n")));
    assert_eq!(ask(client, "PUT", path, json!({ "name": "r1", "enable": false })).await.body, json!(true));
    let read = ask(client, "GET", "/api/v1/registration/name/r1", Value::Null).await;
    assert_eq!(read.body["enable"], false);
}

#[tokio::test]
async fn the_door_of_secure_mode_asks_for_a_token() {
    let secure = Some(Secure::new("iotorch", "secret"));
    let fake = start(Config { secure, ..Config::default() }).await;
    let roots = reqwest::Certificate::from_pem(fake.certificate().unwrap().as_bytes()).unwrap();
    let provider = tokio_rustls::rustls::crypto::ring::default_provider();
    // Another test of this process may have set it.
    let _ = provider.install_default();
    let client = reqwest::Client::builder().tls_certs_only([roots]).build().unwrap();
    let url = fake.url(Service::Gateway);
    let ping = format!("{url}/core-metadata/api/v3/ping");
    assert_eq!(client.get(&ping).send().await.unwrap().status(), 401);

    let log_in = format!("{url}/vault/v1/auth/userpass/login/iotorch");
    let wrong = client.post(&log_in).json(&json!({ "password": "nope" })).send().await.unwrap();
    assert_eq!(wrong.status(), 400);
    let right = client.post(&log_in).json(&json!({ "password": "secret" })).send().await.unwrap();
    let login: Value = right.json().await.unwrap();
    let token = client.get(format!("{url}/vault/v1/identity/oidc/token/iotorch"));
    let token = token.bearer_auth(login["auth"]["client_token"].as_str().unwrap()).send().await.unwrap();
    let token: Value = token.json().await.unwrap();
    let token = token["data"]["token"].as_str().unwrap();
    let asked = client.get(&ping).bearer_auth(token).send().await.unwrap();
    let answer: Value = asked.json().await.unwrap();
    assert_eq!(answer["serviceName"], "core-metadata");
    fake.expire_tokens();
    assert_eq!(client.get(&ping).bearer_auth(token).send().await.unwrap().status(), 401);
}
