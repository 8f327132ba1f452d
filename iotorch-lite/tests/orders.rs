//! How commands reach devices that speak MQTT.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use iotorch_lite::{
    Gateway,
    api::{Access, CommandState, NewCommand, Profile, Resource, ValueType},
    client::GatewayClient,
};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, QoS};
use serde_json::{Value, json};
use std::time::Duration;

struct World {
    _dir: tempfile::TempDir,
    gateway: Gateway,
    client: GatewayClient,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let gateway = start_gateway(dir.path()).await;
        let client = gateway_client(&gateway);
        add_devices(&client, &["d1", "d2"]).await;
        let mut profile: Profile = profile();
        let screen = Resource {
            value_type: ValueType::String,
            unit: None,
            min: None,
            max: None,
            access: Access::Write,
        };
        profile.resources.insert("screen".to_owned(), screen);
        client.put_profile("sensor", &put(profile), false).await.unwrap();
        Self { _dir: dir, gateway, client }
    }

    async fn order(&self, resource: &str, value: Value) -> u64 {
        let order = NewCommand { resource: resource.to_owned(), value, expires_in: 60.0 };
        self.client.send_command("d1", &order).await.unwrap().id
    }

    async fn states(&self) -> Vec<CommandState> {
        let commands = self.client.commands("d1").await.unwrap();
        commands.into_iter().map(|command| command.state).collect()
    }

    async fn are(&self, states: &[CommandState]) {
        eventually("states of commands", async || (self.states().await == states).then_some(())).await;
    }

    fn options(&self, client: &str) -> MqttOptions {
        let at = self.gateway.mqtt_address();
        let mut options = MqttOptions::new(client, (at.ip().to_string(), at.port()));
        options.set_credentials("d1", PASSWORD).set_keep_alive(20);
        options
    }
}

/// A device that has subscribed to its commands.
struct Subscribed {
    client: AsyncClient,
    events: EventLoop,
}

impl Subscribed {
    async fn new(options: MqttOptions, qos: QoS) -> Self {
        let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
        client.subscribe("devices/d1/commands/#", qos).await.unwrap();
        while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}
        Self { client, events }
    }

    async fn next(&mut self) -> Publish {
        loop {
            let event = tokio::time::timeout(Duration::from_secs(20), self.events.poll()).await.unwrap();
            if let Event::Incoming(Packet::Publish(publish)) = event.unwrap() {
                return publish;
            }
        }
    }

    /// What the next command says: where, what, and at which quality of service.
    async fn told(&mut self) -> (String, String, QoS) {
        let Publish { topic, payload, qos, .. } = self.next().await;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(&topic), text(&payload), qos)
    }

    /// Goes on with the connection, so that acknowledgements are sent.
    async fn go_on(mut self, until: impl Future<Output = ()>) {
        tokio::select! {
            () = until => {}
            () = async { while self.events.poll().await.is_ok() {} } => panic!("disconnected"),
        }
    }
}

fn told(resource: &str, value: &str, qos: QoS) -> (String, String, QoS) {
    (format!("devices/d1/commands/{resource}"), value.to_owned(), qos)
}

#[tokio::test]
async fn what_waits_is_sent_in_order_and_acknowledged_one_by_one() {
    let world = World::new().await;
    world.order("valve", json!(0.5)).await;
    world.order("screen", json!("hello \"you\"")).await;
    let mut device = Subscribed::new(world.options("d1"), QoS::AtLeastOnce).await;
    assert_eq!(device.told().await, told("valve", "0.5", QoS::AtLeastOnce));
    assert_eq!(device.told().await, told("screen", "hello \"you\"", QoS::AtLeastOnce));
    world.order("valve", json!(1)).await;
    assert_eq!(device.told().await, told("valve", "1", QoS::AtLeastOnce));
    device.go_on(world.are(&[CommandState::Delivered; 3])).await;
    world.gateway.stop().await;
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_and_nothing_else_before_it() {
    let world = World::new().await;
    world.order("valve", json!(1)).await;
    world.order("valve", json!(2)).await;
    let mut options = world.options("d1");
    options.set_ack_mode(rumqttc::AckMode::Manual);
    let mut device = Subscribed::new(options.clone(), QoS::AtLeastOnce).await;
    assert_eq!(device.told().await.1, "1");
    drop(device);
    assert_eq!(world.states().await, [CommandState::Waiting; 2]);

    let mut device = Subscribed::new(options, QoS::AtLeastOnce).await;
    let first = device.next().await;
    assert_eq!(&first.payload[..], b"1");
    device.client.ack(&first).await.unwrap();
    assert_eq!(device.told().await.1, "2");
    assert_eq!(world.states().await, [CommandState::Delivered, CommandState::Waiting]);
    world.gateway.stop().await;
}

#[tokio::test]
async fn without_acknowledgements_a_command_is_sent_once_a_connection_and_goes_on_to_wait() {
    let world = World::new().await;
    world.order("valve", json!(1)).await;
    let mut device = Subscribed::new(world.options("d1"), QoS::AtMostOnce).await;
    assert_eq!(device.told().await, told("valve", "1", QoS::AtMostOnce));
    world.order("valve", json!(2)).await;
    assert_eq!(device.told().await.1, "2");
    assert_eq!(world.states().await, [CommandState::Waiting; 2]);
    drop(device);
    let mut device = Subscribed::new(world.options("d1"), QoS::AtMostOnce).await;
    assert_eq!(device.told().await.1, "1");
    world.gateway.stop().await;
}

#[tokio::test]
async fn what_was_withdrawn_before_it_could_be_sent_is_left_out() {
    let world = World::new().await;
    let first = world.order("valve", json!(1)).await;
    world.order("valve", json!(2)).await;
    world.client.withdraw_command("d1", first).await.unwrap();
    let mut device = Subscribed::new(world.options("d1"), QoS::ExactlyOnce).await;
    assert_eq!(device.told().await, told("valve", "2", QoS::AtLeastOnce));
    device.go_on(world.are(&[CommandState::Withdrawn, CommandState::Delivered])).await;
    world.gateway.stop().await;
}
