//! Exports to InfluxDB, as Debian has it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{
    systems::{System, is_required, is_there},
    *,
};
use iotorch_lite::api::{Export, ExportKind};
use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};
use std::process::ExitCode;

fn main() -> ExitCode {
    let absent = !is_there("influxd") && !is_required("influxdb");
    let name = "readings_are_points_of_a_database_and_those_that_it_refuses_stop_nothing";
    let test = Trial::test(name, || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(points());
        Ok(())
    });
    let test = test.with_kind(if absent { "influxdb is absent" } else { "" }).with_ignored_flag(absent);
    libtest_mimic::run(&Arguments::from_args(), vec![test]).exit_code()
}

/// What the database answers.
async fn ask(database: &System, query: &str) -> Value {
    let asked = plain_http()
        .post(format!("http://{}/query", database.address))
        .query(&[("db", "plant"), ("epoch", "ns"), ("q", query)])
        .basic_auth("root", Some("secret"))
        .send();
    asked.await.unwrap().json().await.unwrap()
}

async fn points() {
    let dir = tempfile::tempdir().unwrap();
    let database = System::influxd(dir.path()).await;
    ask(&database, "CREATE USER root WITH PASSWORD 'secret' WITH ALL PRIVILEGES").await;
    ask(&database, "CREATE DATABASE plant").await;
    let gateway = start_gateway(dir.path()).await;
    let client = gateway_client(&gateway);
    add_devices(&client, &["d1"]).await;
    let export = Export {
        kind: ExportKind::Influxdb,
        host: "127.0.0.1".to_owned(),
        port: database.address.port(),
        tls: false,
        user_name: None,
        topic: "plant".to_owned(),
        client_id: None,
    };
    client.put_export("main", &put_secret(export.clone(), "root:guess"), false).await.unwrap();
    let device = Mqtt::device(&gateway, "d1").await;
    device.publish("devices/d1", r#"[{"n":"temperature","v":21.5,"t":1795409404.510374078}]"#).await.unwrap();
    let status = await_status(&client, |status| status.exports["main"].last_error.is_some()).await;
    let refused = status.exports["main"].last_error.clone().unwrap();
    assert!(refused.starts_with("the target refused the login: 401 Unauthorized"), "{refused}");
    assert_eq!(status.exports["main"].pending, 1);

    // Another program has written a text where numbers belong.
    let written = plain_http()
        .post(format!("http://{}/write", database.address))
        .query(&[("db", "plant")])
        .basic_auth("root", Some("secret"))
        .body("count,device=d1 value=\"many\" 1795409404000000000")
        .send();
    assert!(written.await.unwrap().status().is_success());
    client.put_export("main", &put_secret(export, "root:secret"), false).await.unwrap();
    let pack = r#"[{"bt":1795409405,"n":"label","vs":"say \"hi\", all"},{"n":"count","v":7},{"n":"open","vb":true}]"#;
    device.publish("devices/d1", pack).await.unwrap();
    let status = await_status(&client, |status| status.exports["main"].pending == 0).await;
    let main = &status.exports["main"];
    assert_eq!((main.acknowledged, main.unsendable, &main.last_error), (3, 1, &None));
    let why = main.last_unsendable.as_deref().unwrap();
    assert!(why.starts_with("\"d1:count\": it was refused: partial write: field type conflict"), "{why}");

    let found = |answer: Value| answer["results"][0]["series"][0]["values"][0].clone();
    let temperature = ask(&database, "SELECT value, device, unit FROM temperature").await;
    assert_eq!(found(temperature), json!([1_795_409_404_510_374_078_i64, 21.5, "d1", "Cel"]));
    let label = ask(&database, "SELECT text FROM label").await;
    assert_eq!(found(label), json!([1_795_409_405_000_000_000_i64, "say \"hi\", all"]));
    assert_eq!(found(ask(&database, "SELECT state FROM open").await)[1], json!(true));
    gateway.stop().await;
}
