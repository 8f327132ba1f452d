//! Mainflux 0.12.1.

use iotorch_mainflux_fake::{Config, Dependency, Release, Service};
use iotorch_transcript::{Answer, Line};
use serde_json::{Value, json};

use crate::play::{ALL, Exception, Midst, NEEDS, Play, Scenario, at_once, seconds, start};

/// The thing, its channel and key, and the user's token that most lines are about.
const THING: &str = "30a27c14-b13a-4dce-b08c-3823fcd75f9d";
const CHANNEL: &str = "dfc38690-200d-4a3b-ae28-cc1db9b8aa67";
const KEY: &str = "e80d3754-2271-47de-90ae-2e454c6ae2e8";
const TOKEN: &str = "token-10";

const NOW: &str = "it is when the message came, as no time was told";

const EXCEPTIONS: &[Exception] = &[
    ("reader.after_http", "time", "some of it is when the message came, as no time was told"),
    ("payload.senml_one.read", "time", NOW),
    ("payload.senml_bver*", "time", NOW),
    ("payload.senml_base_value.read", "time", NOW),
    ("payload.senml_base_sum.read", "time", NOW),
    ("payload.senml_base_name_only.read", "time", NOW),
    ("payload.senml_string.read", "time", NOW),
    ("payload.senml_bool*", "time", NOW),
    ("payload.senml_data.read", "time", NOW),
    ("payload.senml_sum.read", "time", NOW),
    ("payload.senml_zero.read", "time", NOW),
    ("payload.senml_int_big.read", "time", NOW),
    ("payload.senml_name_slash.read", "time", NOW),
    ("payload.senml_update_time.read", "time", NOW),
    ("payload.senml_link.read", "time", NOW),
    ("payload.senml_unknown_field.read", "time", NOW),
    ("payload.senml_must_understand.read", "time", NOW),
    ("payload.senml_100_records.read", "time", NOW),
    ("payload.mqtt_senml.read", "time", NOW),
    ("down.*", "time", NOW),
    ("after_nats_restart.read", "time", NOW),
    ("nats_down3.read_all", "time", NOW),
    ("keycache.read", "time", NOW),
    ("measure.readable_after*", ALL, NEEDS),
    ("measure.burst_http", ALL, NEEDS),
    ("measure.create_thing", ALL, NEEDS),
    ("measure.rss*", ALL, NEEDS),
    ("measure.auth_back", ALL, NEEDS),
    ("measure.start*", ALL, NEEDS),
];

const MIDST: &[Midst] = &[
    ("mqtt.raw.subscribe_sees_http_publish", 1, &["http.publish.for_mqtt_subscriber"]),
    ("mqtt.raw.key_changed_while_connected", 1, &["things.key.update.while_connected"]),
    ("mqtt.raw.disconnected_while_connected", 1, &["disconnect.while_mqtt_connected"]),
    ("deleting.mqtt_over_the_delete", 1, &["deleting.thing_while_mqtt_connected"]),
    (
        "livesub.subscriber_after_disconnect",
        1,
        &["livesub.disconnect_subscriber", "livesub.publish_by_other"],
    ),
];

struct Mainflux;

impl Scenario for Mainflux {
    async fn before(&mut self, play: &mut Play, line: &Line) {
        let name = line.name.as_str();
        match name {
            "expired_api_key.GET.things/things" => play.fake.pass(seconds(2)),
            "things.list.limit_0" => add_fillers(play).await,
            "reader.default" => store_for_reader(play).await,
            // Some of the messages before have times that are a little ahead.
            "mqtt.pub.qos0" => play.fake.pass(seconds(10)),
            "down.auth.things_list" => play.fake.lose(Service::Auth).await,
            "measure.auth_back" => play.fake.mend(Service::Auth).await.unwrap(),
            "down.things.list" => play.fake.lose(Service::Things).await,
            "down.writer.channel" => {
                play.fake.mend(Service::Things).await.unwrap();
                // Whoever recorded it tried until it went well again.
                let path = format!("/channels/{CHANNEL}/messages");
                play.also("http", "POST", &path, KEY, json!([{ "n": "down", "v": 1 }])).await;
            }
            "down.writer.publish" => {
                connect(play, &line.request.path).await;
                play.fake.lose(Service::Writer).await;
            }
            "down.writer.read_after_restart" => play.fake.mend(Service::Writer).await.unwrap(),
            "down.broker.mqtt" => play.fake.lose(Dependency::MqttBroker).await,
            "down.broker.mqtt_after" => play.fake.mend(Dependency::MqttBroker).await.unwrap(),
            "down.nats.http_publish" | "down.nats2.http_publish" | "nats_down3.mqtt_publish_0" => {
                play.fake.lose(Dependency::Nats).await;
            }
            "down.nats.http_publish_after" | "down.nats2.read_http_after" | "nats_down3.mqtt_after_0" => {
                play.fake.mend(Dependency::Nats).await.unwrap();
            }
            // The adapter had not noticed yet that NATS was gone: it never came.
            "down.nats2.mqtt" => play.fake.lose_next_message(),
            "down.redis.things_list" => play.fake.lose(Dependency::Cache).await,
            "down.redis.publish_after" => play.fake.mend(Dependency::Cache).await.unwrap(),
            "login_token_3s.create" => play.fake.set_token_lifetime(seconds(3)),
            "login_token_3s.expired.GET.things/things" => play.fake.pass(seconds(3)),
            "down.postgres.things_list" => play.fake.lose(Dependency::Database).await,
            "down.postgres.things_list_after" => play.fake.mend(Dependency::Database).await.unwrap(),
            _ if name.starts_with("payload.") && name.ends_with(".publish") => {
                connect_new(play, &line.request.path).await;
            }
            _ => {}
        }
    }

    async fn measure(&mut self, play: &mut Play, line: &Line) -> Option<Answer> {
        match line.name.as_str() {
            "measure.parallel_same_key" => {
                // An identity that is before all others, so that the order of what is listed stays.
                play.fake.choose_identities([low(0)]);
                let body = json!({ "name": "par", "key": "parkey" });
                Some(at_once(play, line, &line.request.path, TOKEN, &body, 16).await)
            }
            "measure.parallel_same_user" => {
                let body = json!({ "email": "par@example.com", "password": "12345678" });
                Some(at_once(play, line, &line.request.path, TOKEN, &body, 8).await)
            }
            "measure.parallel_connect" => {
                let made =
                    play.also("things", "POST", "/channels/bulk", TOKEN, json!([{ "name": "par" }])).await;
                let channel = made["channels"][0]["id"].as_str().unwrap();
                let path = format!("/channels/{channel}/things/{THING}");
                Some(at_once(play, line, &path, TOKEN, &Value::Null, 16).await)
            }
            "measure.create_thing" => {
                play.fake.choose_identities((1..=400).map(low));
                for _ in 0..2 {
                    let wanted: Vec<Value> =
                        (0..100).map(|number| json!({ "name": format!("m{number}") })).collect();
                    play.also("things", "POST", "/things/bulk", TOKEN, json!(wanted)).await;
                }
                None
            }
            "measure.nats_outage_loss" => {
                let path = format!("/channels/{CHANNEL}/messages?limit=1000");
                let read = play.also("reader", "GET", &path, KEY, Value::Null).await;
                let names = read["messages"].as_array().into_iter().flatten();
                let mut names: Vec<&str> =
                    names.filter_map(|it| it["name"].as_str()?.strip_prefix("an1795409798")).collect();
                names.sort_unstable();
                Some(Answer { status: Some(200), headers: Default::default(), body: json!(names) })
            }
            _ => None,
        }
    }
}

#[tokio::test]
async fn all_that_mainflux_was_asked_is_answered_as_it_answered() {
    let release = Release::Mainflux012;
    Play::start(Config::new(release).with_clock_at(start()), release, EXCEPTIONS, MIDST)
        .await
        .run(Mainflux)
        .await;
}

/// An identity that is before all that were recorded.
fn low(number: u32) -> String {
    format!("00000000-0000-4000-8000-1000{number:08}")
}

/// The things that fill more than a page, as later lists tell them.
async fn add_fillers(play: &mut Play) {
    let pages = ["things.list.limit_100", "things.list.offset_100"].map(|name| play.line(name));
    let things = pages.iter().flat_map(|line| line.response.body["things"].as_array().unwrap().clone());
    let is_filler = |thing: &Value| thing["name"].as_str().is_some_and(|name| name.starts_with("fill-"));
    let fillers: Vec<Value> = things.filter(is_filler).collect();
    let text = |thing: &Value, name: &str| thing[name].as_str().unwrap().to_owned();
    play.fake.choose_identities(fillers.iter().map(|thing| text(thing, "id")));
    let wanted: Vec<Value> =
        fillers.iter().map(|thing| json!({ "name": thing["name"], "key": thing["key"] })).collect();
    play.also("things", "POST", "/things/bulk", TOKEN, json!(wanted)).await;
}

/// The channel of a path that nobody made, and the thing's connection to it.
async fn connect_new(play: &mut Play, path: &str) {
    let channel = path.split('/').find(|part| part.len() == 36).unwrap().to_owned();
    play.fake.choose_identities([channel]);
    play.also("things", "POST", "/channels", TOKEN, json!({ "name": "payload" })).await;
    connect(play, path).await;
}

async fn connect(play: &mut Play, path: &str) {
    let channel = path.split('/').find(|part| part.len() == 36).unwrap();
    let path = format!("/channels/{channel}/things/{THING}");
    play.also("things", "PUT", &path, TOKEN, Value::Null).await;
}

/// The messages that the reader is asked for.
async fn store_for_reader(play: &mut Play) {
    let line = play.line("reader.limit_100");
    let path = line.request.path.split_once('?').unwrap().0.to_owned();
    for message in line.response.body["messages"].as_array().unwrap().iter().rev() {
        let key = if message["publisher"] == THING { KEY } else { "my-own-key-6b03c5c0" };
        let mut record = json!({ "n": message["name"], "t": message["time"] });
        for (long, short) in [("value", "v"), ("string_value", "vs"), ("bool_value", "vb")] {
            if let Some(value) = message.get(long) {
                record[short] = value.clone();
            }
        }
        let subtopic = message["subtopic"].as_str().map(|it| format!("/{it}")).unwrap_or_default();
        play.also("http", "POST", &format!("{path}{subtopic}"), key, json!([record])).await;
    }
}
