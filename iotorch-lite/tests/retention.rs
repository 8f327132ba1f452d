//! What a server gives up: messages that are too old, and the oldest of a tenant that has too many.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use iotorch_lite::{
    Limits, Server, ServerConfig,
    api::{Attachment, Nothing, Usage},
    client::ServerClient,
};
use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

async fn start(dir: &Path, retention: Option<Duration>, stored: u64) -> Server {
    let config = ServerConfig::builder()
        .data_dir(dir.join("server"))
        .admin_token(admin())
        .retention(retention)
        .limits(Limits::builder().stored(stored).rate(f64::INFINITY).build());
    Server::start(config.build()).await.unwrap()
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn pack(name: &str, times: impl IntoIterator<Item = f64>) -> String {
    let records: Vec<_> =
        times.into_iter().map(|time| format!(r#"{{"n":"{name}","t":{time},"v":1}}"#)).collect();
    format!("[{}]", records.join(","))
}

async fn usage(client: &ServerClient, tenant: &str) -> Usage {
    client.status().await.unwrap().tenants[tenant]
}

/// The attachment of another tenant.
async fn attach_to(client: &ServerClient, tenant: &str) -> Attachment {
    client.put_tenant(tenant, &put(Nothing {}), false).await.unwrap();
    let attachment = client.put_attachment(tenant, "gw", &put(Nothing {}), false).await.unwrap().settings;
    client.put_credential(tenant, "gw", 1, &put_secret(Nothing {}, KEY), false).await.unwrap();
    attachment
}

#[tokio::test]
async fn messages_that_become_too_old_are_not_read_and_then_gone() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), None, u64::MAX).await;
    let attachment = attach(&server_client(&server)).await;
    let hour = 3600.0;
    {
        let mqtt = thing(&server, &attachment).await;
        // More than are given up in one transaction.
        for _ in 0..5 {
            let old = (0..500).map(|n| now() - 3.0 * hour - f64::from(n));
            mqtt.publish(&attachment.topic(), pack("old", old)).await.unwrap();
        }
        let both = [now() - 2.0 * hour, now() - 60.0];
        mqtt.publish(&attachment.topic(), pack("both", both)).await.unwrap();
    }
    assert_eq!(usage(&server_client(&server), "acme").await.messages, 2502);
    server.stop().await;

    let server = start(dir.path(), Some(Duration::from_secs(3600)), u64::MAX).await;
    let client = server_client(&server);
    let kept = messages(&client, &attachment).await;
    assert_eq!(kept.iter().map(|record| record.name.as_str()).collect::<Vec<_>>(), ["both"]);
    let stats = client.stats("acme", &attachment.channel).await.unwrap();
    assert_eq!(stats.names.keys().collect::<Vec<_>>(), ["both"]);
    let usage = eventually("the old messages to go", || async {
        Some(usage(&client, "acme").await).filter(|usage| usage.messages == 1)
    });
    assert_eq!(usage.await.dropped, 0, "what is too old is not dropped for room");

    let mqtt = thing(&server, &attachment).await;
    mqtt.publish(&attachment.topic(), pack("late", [now() - 2.0 * hour])).await.unwrap();
    let stats = client.stats("acme", &attachment.channel).await.unwrap();
    assert_eq!((stats.count, stats.rejected), (1, 1));
    let reason = stats.last_rejection.unwrap();
    assert!(reason.starts_with("\"late\" is 72"), "{reason}");
    server.stop().await;
}

#[tokio::test]
async fn a_tenant_with_too_many_bytes_loses_its_oldest_messages_and_no_other_loses_any() {
    let dir = tempfile::tempdir().unwrap();
    let limit = 20_000;
    let server = start(dir.path(), None, limit).await;
    let client = server_client(&server);
    let (flood, quiet) = (attach_to(&client, "flood").await, attach_to(&client, "quiet").await);
    let (flooding, still) = (thing(&server, &flood).await, thing(&server, &quiet).await);
    let start_time = now() - 1_000_000.0;
    // The quiet tenant's are the oldest of all.
    still.publish(&quiet.topic(), pack("q", [start_time - 1.0])).await.unwrap();
    for n in 0..50 {
        let times = (0..20).map(|k| start_time + f64::from(n * 20 + k));
        flooding.publish(&flood.topic(), pack(&format!("name{}", n % 7), times)).await.unwrap();
    }
    let of_flood = usage(&client, "flood").await;
    assert_eq!(of_flood.messages + of_flood.dropped, 1000);
    assert!(of_flood.bytes <= limit && of_flood.bytes > limit - 500, "{of_flood:?}");
    assert_eq!((usage(&client, "quiet").await.messages, usage(&client, "quiet").await.dropped), (1, 0));

    let query = iotorch_lite::api::MessageQuery { limit: Some(1000), ..Default::default() };
    let kept = client.messages("flood", &flood.channel, &query).await.unwrap().messages;
    assert_eq!(kept.len() as u64, of_flood.messages);
    let oldest = kept.last().unwrap().time;
    assert!((oldest - (start_time + of_flood.dropped as f64)).abs() < 0.001, "the newest are kept");
    server.stop().await;

    let server = start(dir.path(), None, limit / 2).await;
    let client = server_client(&server);
    let shrunk = eventually("the smaller limit to be kept", || async {
        Some(usage(&client, "flood").await).filter(|usage| usage.bytes <= limit / 2)
    });
    let shrunk = shrunk.await;
    assert_eq!(shrunk.messages + shrunk.dropped, 1000);
    client.delete("tenants/flood", None).await.unwrap();
    assert!(!client.status().await.unwrap().tenants.contains_key("flood"));
    server.stop().await;
}
