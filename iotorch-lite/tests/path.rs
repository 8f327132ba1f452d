//! Readings on their way from a device to whoever reads them at the server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use iotorch_lite::{
    Gateway, GatewayConfig, Limits,
    api::{Export, ExportStatus, MessageQuery, Nothing},
    senml::Value,
};
use std::collections::BTreeSet;
use tokio::process::Command;

fn numbers<'a>(records: impl IntoIterator<Item = &'a iotorch_lite::senml::Record>) -> Vec<f64> {
    let number = |record: &iotorch_lite::senml::Record| match record.value {
        Some(Value::Number(number)) => number,
        _ => panic!("{record:?} has no number"),
    };
    records.into_iter().map(number).collect()
}

#[tokio::test]
async fn readings_of_every_form_are_read_back_at_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, server) = (start_gateway(dir.path()).await, start_server(dir.path()).await);
    let (at_gateway, at_server) = (gateway_client(&gateway), server_client(&server));
    add_devices(&at_gateway, &["d1"]).await;
    let attachment = attach(&at_server).await;
    export(&at_gateway, &server, &attachment).await;

    let device = Mqtt::device(&gateway, "d1").await;
    device.publish("devices/d1/temperature", "21.5").await.unwrap();
    device.publish("devices/d1", r#"{"count":7,"open":true}"#).await.unwrap();
    let pack = r#"[{"bt":1600000000,"n":"label","vs":"wärm"},{"n":"temperature","v":-3,"t":1}]"#;
    device.publish("devices/d1", pack).await.unwrap();

    let records = await_messages(&at_server, &attachment, 5).await;
    let found: BTreeSet<_> =
        records.iter().map(|r| format!("{} {:?}", r.name, r.value.as_ref().unwrap())).collect();
    let expected = [
        r#"d1:count Number(7.0)"#,
        r#"d1:label Text("wärm")"#,
        r#"d1:open Bool(true)"#,
        r#"d1:temperature Number(-3.0)"#,
        r#"d1:temperature Number(21.5)"#,
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
    assert_eq!(records[3].time, 1_600_000_001.0, "the newest come first");
    assert_eq!(records[3].unit.as_deref(), Some("Cel"));
    assert!(records.iter().all(|record| record.extensions.is_empty()));

    let stats = at_server.stats("acme", &attachment.channel).await.unwrap();
    assert_eq!((stats.count, stats.names["d1:temperature"].count), (5, 2));
    assert_eq!(stats.names["d1:temperature"].last.value, Some(Value::Number(21.5)));
    let status = await_status(&at_gateway, |status| status.exports["main"].acknowledged == 5).await;
    assert_eq!((status.devices["d1"].accepted, status.outbox.records), (5, 0));
    assert_eq!(status.devices["d1"].last["temperature"].value, Some(Value::Number(-3.0)));
    gateway.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn mosquitto_pub_is_a_device() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, server) = (start_gateway(dir.path()).await, start_server(dir.path()).await);
    let (at_gateway, at_server) = (gateway_client(&gateway), server_client(&server));
    add_devices(&at_gateway, &["d1"]).await;
    let attachment = attach(&at_server).await;
    export(&at_gateway, &server, &attachment).await;

    let port = gateway.mqtt_address().port().to_string();
    for (version, value) in [("311", "20.25"), ("5", "20.5")] {
        let publish = Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &port, "-V", version, "-u", "d1", "-P", PASSWORD, "-q", "1"])
            .args(["-t", "devices/d1/temperature", "-m", value])
            .status();
        assert!(publish.await.expect("mosquitto_pub is installed").success());
    }
    let wrong = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port, "-u", "d1", "-P", "guess", "-q", "1"])
        .args(["-t", "devices/d1/temperature", "-m", "1"])
        .output();
    assert!(!wrong.await.unwrap().status.success());
    assert_eq!(numbers(&await_messages(&at_server, &attachment, 2).await), [20.5, 20.25]);
    gateway.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn readings_wait_for_the_server_and_for_the_gateway_and_arrive_once() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, server) = (start_gateway(dir.path()).await, start_server(dir.path()).await);
    let (at_gateway, at_server) = (gateway_client(&gateway), server_client(&server));
    add_devices(&at_gateway, &["d1"]).await;
    let attachment = attach(&at_server).await;
    export(&at_gateway, &server, &attachment).await;

    let device = Mqtt::device(&gateway, "d1").await;
    device.publish("devices/d1/count", "0").await.unwrap();
    await_messages(&at_server, &attachment, 1).await;
    server.stop().await;
    for count in 1..=300 {
        device.publish("devices/d1/count", count.to_string()).await.unwrap();
    }
    let status = await_status(&at_gateway, |status| status.exports["main"].last_error.is_some()).await;
    assert_eq!(status.exports["main"].pending, 300);
    assert!(!status.exports["main"].connected);
    gateway.stop().await;

    let gateway = start_gateway(dir.path()).await;
    let device = Mqtt::device(&gateway, "d1").await;
    device.publish("devices/d1/count", "301").await.unwrap();
    let server = start_server(dir.path()).await;
    let records = await_messages(&server_client(&server), &attachment, 302).await;
    assert_eq!(numbers(records.iter().rev()), (0..302).map(f64::from).collect::<Vec<_>>());
    let status = await_status(&gateway_client(&gateway), |status| status.exports["main"].pending == 0).await;
    assert_eq!(status.exports["main"].last_error, None);
    gateway.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn an_export_that_is_connected_again_is_sound_also_when_nothing_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, server) = (start_gateway(dir.path()).await, start_server(dir.path()).await);
    let at_gateway = gateway_client(&gateway);
    let attachment = attach(&server_client(&server)).await;
    export(&at_gateway, &server, &attachment).await;
    await_status(&at_gateway, |status| status.exports["main"].connected).await;
    server.stop().await;
    let is_away = |export: &ExportStatus| !export.connected && export.last_error.is_some();
    await_status(&at_gateway, |status| is_away(&status.exports["main"])).await;

    let server = start_server(dir.path()).await;
    let sound = ExportStatus { connected: true, ..ExportStatus::default() };
    await_status(&at_gateway, |status| status.exports["main"] == sound).await;
    gateway.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_pack_that_is_sent_again_is_stored_once_even_after_a_restart_of_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = start_server(dir.path()).await;
    let attachment = attach(&server_client(&server)).await;
    let (thing, topic) = (attachment.thing.as_str(), attachment.topic());
    let first =
        r#"[{"n":"a","t":1600000000,"v":1,"seq":1,"origin":"x"},{"n":"a","t":1600000000,"v":1,"seq":2}]"#;
    let more =
        r#"[{"n":"a","t":1600000000,"v":1,"seq":2,"origin":"x"},{"n":"a","t":1600000000,"v":1,"seq":3}]"#;
    let other = r#"[{"n":"a","t":1600000000,"v":1,"seq":1,"origin":"y"}]"#;
    let plain = r#"[{"n":"b","t":1600000000,"v":1},{"n":"b","t":1600000000,"v":2}]"#;

    let mqtt = Mqtt::connect(server.mqtt_address(), thing, thing, KEY).await.unwrap();
    for pack in [first, first, plain] {
        mqtt.publish(&topic, pack).await.unwrap();
    }
    assert_eq!(messages(&server_client(&server), &attachment).await.len(), 4);
    server.stop().await;

    let server = start_server(dir.path()).await;
    let mqtt = Mqtt::connect(server.mqtt_address(), thing, thing, KEY).await.unwrap();
    for pack in [first, more, other, plain] {
        mqtt.publish(&topic, pack).await.unwrap();
    }
    assert_eq!(messages(&server_client(&server), &attachment).await.len(), 6);

    mqtt.publish(&topic, r#"[{"v":1}]"#).await.unwrap();
    let stats = server_client(&server).stats("acme", &attachment.channel).await.unwrap();
    assert_eq!((stats.count, stats.rejected), (6, 1));
    assert_eq!(stats.last_rejection.as_deref(), Some("record 1 has no name"));
    server.stop().await;
}

#[tokio::test]
async fn pages_go_through_a_channel_without_gap_or_repetition() {
    let dir = tempfile::tempdir().unwrap();
    let server = start_server(dir.path()).await;
    let client = server_client(&server);
    let attachment = attach(&client).await;
    let thing = attachment.thing.as_str();
    let mqtt = Mqtt::connect(server.mqtt_address(), thing, thing, KEY).await.unwrap();
    let record = |n: u32| {
        // Names share times, and one name has several values at a time.
        let (name, time) = (["a", "b", "c"][n as usize % 3], 1_600_000_000 + n / 6);
        format!(r#"{{"n":"{name}","t":{time},"v":{n}}}"#)
    };
    let pack: Vec<_> = (0..100).map(record).collect();
    mqtt.publish(&attachment.topic(), format!("[{}]", pack.join(","))).await.unwrap();

    for name in [None, Some("b".to_owned())] {
        for limit in [1, 7, 100] {
            let mut query =
                MessageQuery { name: name.clone(), limit: Some(limit), ..MessageQuery::default() };
            let mut read = Vec::new();
            loop {
                let page = client.messages("acme", &attachment.channel, &query).await.unwrap();
                assert!(page.messages.len() <= limit);
                read.extend(page.messages);
                query.cursor = page.next;
                if query.cursor.is_none() {
                    break;
                }
            }
            let values: BTreeSet<_> = numbers(&read).into_iter().map(|number| number as u32).collect();
            let expected: BTreeSet<_> = (0..100).filter(|n| name.is_none() || n % 3 == 1).collect();
            assert_eq!((read.len(), &values), (expected.len(), &expected), "limit {limit}");
            assert!(read.windows(2).all(|pair| pair[0].time >= pair[1].time));
        }
    }
    let (from, to) = (Some(1_600_000_003.0), Some(1_600_000_005.0));
    let window = MessageQuery { from, to, ..MessageQuery::default() };
    let values = numbers(&client.messages("acme", &attachment.channel, &window).await.unwrap().messages);
    assert_eq!(values.into_iter().map(|n| n as u32).collect::<BTreeSet<_>>(), (18..30).collect());
    server.stop().await;
}

#[tokio::test]
async fn a_full_outbox_drops_the_oldest_readings_and_counts_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = start_server(dir.path()).await;
    let at_server = server_client(&server);
    let attachment = attach(&at_server).await;
    let config = GatewayConfig::builder()
        .data_dir(dir.path().join("gateway"))
        .admin_token(admin())
        .outbox_limit(10u64);
    let gateway = Gateway::start(config.build()).await.unwrap();
    let at_gateway = gateway_client(&gateway);
    add_devices(&at_gateway, &["d1"]).await;
    let device = Mqtt::device(&gateway, "d1").await;
    device.publish("devices/d1/count", "0").await.unwrap();
    assert_eq!(at_gateway.status().await.unwrap().outbox.records, 0, "nothing is kept without an export");

    export(&at_gateway, &server, &attachment).await;
    await_status(&at_gateway, |status| status.exports["main"].connected).await;
    server.stop().await;
    for count in 1..=25 {
        device.publish("devices/d1/count", count.to_string()).await.unwrap();
    }
    let status = at_gateway.status().await.unwrap();
    assert_eq!((status.outbox.records, status.outbox.dropped, status.exports["main"].pending), (10, 15, 10));
    let server = start_server(dir.path()).await;
    let records = await_messages(&server_client(&server), &attachment, 10).await;
    assert_eq!(numbers(records.iter().rev()), (16..26).map(f64::from).collect::<Vec<_>>());
    gateway.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn an_outbox_with_too_many_bytes_drops_the_oldest_readings_and_counts_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = start_server(dir.path()).await;
    let attachment = attach(&server_client(&server)).await;
    let start = async |stored: u64| {
        let config = GatewayConfig::builder()
            .data_dir(dir.path().join("gateway"))
            .admin_token(admin())
            .limits(Limits::builder().stored(stored).build());
        Gateway::start(config.build()).await.unwrap()
    };
    let limit = 10_000;
    let gateway = start(limit).await;
    let at_gateway = gateway_client(&gateway);
    add_devices(&at_gateway, &["d1"]).await;
    export(&at_gateway, &server, &attachment).await;
    await_status(&at_gateway, |status| status.exports["main"].connected).await;
    server.stop().await;
    let device = Mqtt::device(&gateway, "d1").await;
    for letter in "abcdefgh".chars() {
        device.publish("devices/d1/label", letter.to_string().repeat(3000)).await.unwrap();
    }
    let full = at_gateway.status().await.unwrap().outbox;
    assert_eq!((full.records, full.dropped), (3, 5));
    assert!((9000..=limit).contains(&full.bytes), "{full:?}");
    gateway.stop().await;

    let gateway = start(limit / 2).await;
    let at_gateway = gateway_client(&gateway);
    let device = Mqtt::device(&gateway, "d1").await;
    assert_eq!(at_gateway.status().await.unwrap().outbox, full, "the bytes are known after a restart");
    device.publish("devices/d1/count", "1").await.unwrap();
    let smaller = at_gateway.status().await.unwrap().outbox;
    assert_eq!((smaller.records, smaller.dropped), (2, 7));
    let server = start_server(dir.path()).await;
    let records = await_messages(&server_client(&server), &attachment, 2).await;
    assert_eq!(records[1].value, Some(Value::Text("h".repeat(3000))));
    let empty = await_status(&at_gateway, |status| status.outbox.records == 0).await.outbox;
    assert_eq!((empty.bytes, empty.dropped), (0, 7));
    device.publish("devices/d1/label", "x".repeat(6000)).await.unwrap();
    let empty = at_gateway.status().await.unwrap().outbox;
    assert_eq!(
        (empty.records, empty.bytes, empty.dropped),
        (0, 0, 8),
        "one that is larger than all the room"
    );
    gateway.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_message_that_a_device_sends_again_is_at_the_server_once_if_it_says_when_it_measured() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, server) = (start_gateway(dir.path()).await, start_server(dir.path()).await);
    let (at_gateway, at_server) = (gateway_client(&gateway), server_client(&server));
    add_devices(&at_gateway, &["d1", "d2"]).await;
    let attachment = attach(&at_server).await;
    export(&at_gateway, &server, &attachment).await;

    let timed = r#"[{"bt":1600000000,"n":"count","v":1},{"n":"count","v":2,"t":1},{"n":"open","v":3}]"#;
    for _ in 0..2 {
        let device = Mqtt::device(&gateway, "d1").await;
        device.publish("devices/d1", timed).await.unwrap();
        // Two equal values in one message are two readings.
        let twice = r#"[{"n":"count","v":7,"t":1600000100},{"n":"count","v":7,"t":1600000100}]"#;
        device.publish("devices/d1", twice).await.unwrap();
    }
    Mqtt::device(&gateway, "d2").await.publish("devices/d2", timed).await.unwrap();
    let status = await_status(&at_gateway, |status| status.exports["main"].pending == 0).await;
    let (d1, d2) = (&status.devices["d1"], &status.devices["d2"]);
    assert_eq!((d1.accepted, d1.rejected, d2.accepted, d2.rejected), (4, 1, 2, 1));
    assert_eq!(messages(&at_server, &attachment).await.len(), 6);

    gateway.stop().await;
    let gateway = start_gateway(dir.path()).await;
    let device = Mqtt::device(&gateway, "d1").await;
    device.publish("devices/d1", timed).await.unwrap();
    for again in ["5", r#"{"count":5}"#, r#"[{"n":"count","v":5}]"#, r#"[{"n":"count","v":5,"t":-60}]"#] {
        let topic = if again == "5" { "devices/d1/count" } else { "devices/d1" };
        for _ in 0..2 {
            device.publish(topic, again).await.unwrap();
        }
    }
    let all = await_messages(&at_server, &attachment, 14).await;
    assert_eq!(all.len(), 14, "without a time of the device each is one more reading");
    let status = gateway_client(&gateway).status().await.unwrap();
    assert_eq!((status.devices["d1"].accepted, status.devices["d1"].rejected), (12, 1));
    gateway.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn each_export_gets_every_reading_and_a_removed_one_holds_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, server) = (start_gateway(dir.path()).await, start_server(dir.path()).await);
    let (at_gateway, at_server) = (gateway_client(&gateway), server_client(&server));
    add_devices(&at_gateway, &["d1"]).await;
    let attachment = attach(&at_server).await;
    export(&at_gateway, &server, &attachment).await;
    let wrong = put_secret(export_to(&server, &attachment), "another key");
    at_gateway.put_export("wrong", &wrong, false).await.unwrap();

    let elsewhere =
        at_server.put_attachment("acme", "other", &put(Nothing {}), false).await.unwrap().settings;
    let astray = Export {
        topic: elsewhere.topic(),
        client_id: Some(format!("{}:2", attachment.thing)),
        ..export_to(&server, &attachment)
    };
    at_gateway.put_export("astray", &put_secret(astray, KEY), false).await.unwrap();

    let device = Mqtt::device(&gateway, "d1").await;
    for count in 0..5 {
        device.publish("devices/d1/count", count.to_string()).await.unwrap();
    }
    let status = await_status(&at_gateway, |status| {
        let failed = |export: &str| status.exports[export].last_error.is_some();
        status.exports["main"].pending == 0 && failed("wrong") && failed("astray")
    });
    let status = status.await;
    let refused = "the target refused the login: BadUserNamePassword".to_owned();
    let expected = ExportStatus { pending: 5, last_error: Some(refused), ..ExportStatus::default() };
    assert_eq!((&status.exports["wrong"], status.outbox.records), (&expected, 5));
    let at_target = &at_server.status().await.unwrap().refused[&attachment.thing];
    assert!(at_target.logins > 0 && at_target.requests > 0, "{at_target:?}");

    let astray = status.exports["astray"].last_error.as_deref().unwrap_or_default();
    assert!(astray.starts_with("the target refused readings"), "{astray}");

    at_gateway.delete("exports/wrong", None).await.unwrap();
    at_gateway.delete("exports/astray", None).await.unwrap();
    let status = at_gateway.status().await.unwrap();
    assert_eq!((status.outbox.records, status.exports.len()), (0, 1));
    assert_eq!(messages(&at_server, &attachment).await.len(), 5);
    gateway.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn long_texts_are_spread_over_packs_that_fit_a_packet() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, server) = (start_gateway(dir.path()).await, start_server(dir.path()).await);
    let (at_gateway, at_server) = (gateway_client(&gateway), server_client(&server));
    add_devices(&at_gateway, &["d1"]).await;
    let attachment = attach(&at_server).await;
    export(&at_gateway, &server, &attachment).await;
    server.stop().await;
    let device = Mqtt::device(&gateway, "d1").await;
    for letter in "abcdefghij".chars() {
        device.publish("devices/d1/label", letter.to_string().repeat(16_000)).await.unwrap();
    }
    let server = start_server(dir.path()).await;
    let records = await_messages(&server_client(&server), &attachment, 10).await;
    assert_eq!(records[9].value, Some(Value::Text("a".repeat(16_000))));
    gateway.stop().await;
    server.stop().await;
}
