//! Magistrala 0.30.0.

use iotorch_mainflux_fake::{Config, Release, Service};
use iotorch_transcript::{Answer, Line};
use serde_json::Value;

use crate::{
    client::Client,
    play::{ALL, Exception, Midst, NEEDS, Play, Scenario, seconds, start},
    supermq::add_fillers,
};

const DOMAIN: &str = "e1e8bb7d-61b3-4126-85ae-58ed9c1b33e2";
const CHANNEL: &str = "16833187-d950-4993-a9a0-b3f755ce4629";
const CLIENT: &str = "cf8eb035-4417-474d-b169-c7dd5e722a6f";
const SECRET: &str = "4f5faac0-53bc-4d6c-8872-2a699ca89584";
const TOKEN: &str = "Bearer token-1";

const EXCEPTIONS: &[Exception] = &[
    ("*", "role_id", "it has random signs that are no UUID"),
    ("measure.*", ALL, NEEDS),
    ("breaker.recovery", ALL, "it is how long a client tried, and here time is let pass"),
];

const MIDST: &[Midst] = &[];

struct Magistrala;

impl Scenario for Magistrala {
    async fn before(&mut self, play: &mut Play, line: &Line) {
        match line.name.as_str() {
            "clients.list.limit_0" => add_fillers(play, DOMAIN, TOKEN).await,
            // Five wrong secrets were before it, which refuse everyone for ten seconds.
            "mqtt.pub.not_connected_qos0" => play.fake.pass(seconds(10)),
            "stored.mqtt_publish" => publish_as_before(play).await,
            // Other rules of the same channel would store what the disabled one does not.
            "stored.rule_disabled" => {
                for name in ["rules.create.again", "rules.create.no_logic", "rules.create.no_outputs"] {
                    let made = play.line(name).response.body;
                    let path = format!("/{DOMAIN}/rules/{}/disable", made["id"].as_str().unwrap());
                    play.also("re", "POST", &path, TOKEN, Value::Null).await;
                }
            }
            _ => {}
        }
    }

    async fn measure(&mut self, play: &mut Play, line: &Line) -> Option<Answer> {
        if line.name == "breaker.recovery" {
            play.fake.pass(seconds(10));
        }
        None
    }
}

#[tokio::test]
async fn all_that_magistrala_was_asked_is_answered_as_it_answered() {
    let release = Release::Magistrala030;
    let config = Config::new(release).with_clock_at(start());
    Play::start(config, release, EXCEPTIONS, MIDST).await.run(Magistrala).await;
}

/// The messages of an earlier run, which the reader still tells.
async fn publish_as_before(play: &mut Play) {
    let address = play.fake.address(Service::Mqtt).unwrap();
    let mut client = Client::connect(address, 4, "before", Some(CLIENT), Some(SECRET)).await;
    for number in 1..=19 {
        let payload = format!(r#"[{{"n":"lat{number}x6b03ca49","v":{number}}}]"#);
        client.publish(&format!("m/{DOMAIN}/c/{CHANNEL}"), &payload, 1, false).await;
    }
    assert!(client.is_open());
    client.disconnect().await;
}
