//! SuperMQ 0.19.1.

use std::time::Duration;

use iotorch_mainflux_fake::{Config, Dependency, Release, Service};
use iotorch_transcript::{Answer, Line, Request, call};
use serde_json::{Value, json};

use crate::play::{ALL, Exception, Midst, NEEDS, Play, Scenario, at_once, left_out, seconds, start};

const USER: &str = "usera6b03c873";
const PASSWORD: &str = "correct horse 1";
const DOMAIN: &str = "0224483c-3b3c-4b32-b99f-59d233ec8f35";
const TOKEN: &str = "Bearer token-18";

const EXCEPTIONS: &[Exception] = &[
    ("*", "role_id", "it has random signs that are no UUID"),
    ("measure.create_connect_publish_at_once", "create_client_ms_median", NEEDS),
    ("measure.http_publish", ALL, NEEDS),
    ("measure.rss*", ALL, NEEDS),
    ("measure.auth_back", ALL, NEEDS),
    ("measure.nats_back", ALL, NEEDS),
    ("measure.start", ALL, NEEDS),
];

const MIDST: &[Midst] = &[
    ("mqtt.raw.subscribe_sees_http", 1, &["http.publish.for_subscriber"]),
    ("mqtt.raw.secret_changed_while_connected", 1, &["clients.secret.update.while_connected"]),
    ("mqtt.raw.disconnected_while_connected", 1, &["disconnect.while_mqtt_connected"]),
    ("deleting.mqtt_over_the_delete", 1, &["deleting.client_delete"]),
];

struct SuperMq;

impl Scenario for SuperMq {
    async fn before(&mut self, play: &mut Play, line: &Line) {
        match line.name.as_str() {
            "clients.list.limit_0" => add_fillers(play, DOMAIN, TOKEN).await,
            "expiry.login_4s" => play.fake.set_token_lifetime(seconds(4)),
            "expiry.expired.GET.clients" => play.fake.pass(seconds(4)),
            "down.auth.clients_list" => {
                play.fake.set_token_lifetime(seconds(60 * 60));
                log_in(play, "token-32").await;
                play.fake.lose(Service::Auth).await;
            }
            "measure.auth_back" => play.fake.mend(Service::Auth).await.unwrap(),
            "down.spicedb.clients_list" => play.fake.lose(Dependency::SpiceDb).await,
            "down.clients.connect" => {
                play.fake.mend(Dependency::SpiceDb).await.unwrap();
                play.fake.lose(Service::Clients).await;
            }
            "down.nats.http_publish" => {
                play.fake.mend(Service::Clients).await.unwrap();
                log_in(play, "token-33").await;
                play.fake.lose(Dependency::Nats).await;
            }
            "down.nats.clients_create" => {
                // It is made, though the answer does not say so.
                let made = play.line("down.nats.clients_list_after").response.body["clients"][0].clone();
                let identities = [&made["id"], &made["credentials"]["secret"]];
                play.fake.choose_identities(identities.map(|it| it.as_str().unwrap().to_owned()));
            }
            "measure.nats_back" => play.fake.mend(Dependency::Nats).await.unwrap(),
            _ => {}
        }
    }

    async fn measure(&mut self, play: &mut Play, line: &Line) -> Option<Answer> {
        match line.name.as_str() {
            "measure.parallel_same_secret" => {
                let path = format!("/{DOMAIN}/clients");
                let body = json!({ "name": "par", "credentials": { "secret": "par" } });
                Some(at_once(play, line, &path, TOKEN, &body, 16).await)
            }
            "measure.create_connect_publish_at_once" => Some(create_and_publish(play).await),
            _ => None,
        }
    }
}

#[tokio::test]
async fn all_that_supermq_was_asked_is_answered_as_it_answered() {
    let release = Release::SuperMq019;
    let config = Config::new(release).with_clock_at(start()).with_bus_patience(Duration::ZERO);
    Play::start(config, release, EXCEPTIONS, MIDST).await.run(SuperMq).await;
}

async fn log_in(play: &mut Play, token: &str) {
    let body = json!({ "username": USER, "password": PASSWORD });
    let recorded = json!({ "access_token": token, "refresh_token": format!("{token}000") });
    play.also_as("users", "POST", "/users/tokens/issue", "", body, &recorded).await;
}

/// Clients with a channel each that publish at once.
async fn create_and_publish(play: &mut Play) -> Answer {
    let last = play.line("down.clients.channels_list").response.body["channels"][0]["id"].clone();
    let token = play.here(TOKEN);
    let mut statuses = Vec::new();
    for number in 0..20 {
        let ask = async |service: Service, method: &str, path: String, authorization: &str, body: Value| {
            let headers = [
                ("Authorization".to_owned(), json!(authorization)),
                ("Content-Type".to_owned(), json!("application/json")),
            ];
            let request = Request { method: method.to_owned(), path, headers: headers.into(), body };
            let answer = call(&play.http, &play.fake.url(service), &request).await.unwrap();
            (answer.status.unwrap(), answer.body["id"].as_str().unwrap_or_default().to_owned())
        };
        let name = format!("lat{number}");
        let wanted = json!({ "name": name, "credentials": { "secret": name } });
        let (created, client) =
            ask(Service::Clients, "POST", format!("/{DOMAIN}/clients"), &token, wanted).await;
        let mut wanted = json!({ "name": name });
        if number == 19 {
            wanted["id"] = last.clone();
        }
        let (opened, channel) =
            ask(Service::Channels, "POST", format!("/{DOMAIN}/channels"), &token, wanted).await;
        let wanted =
            json!({ "channel_ids": [channel], "client_ids": [client], "types": ["publish", "subscribe"] });
        let path = format!("/{DOMAIN}/channels/connect");
        let (connected, _) = ask(Service::Channels, "POST", path, &token, wanted).await;
        let (seen, _) =
            ask(Service::Clients, "GET", format!("/{DOMAIN}/clients/{client}"), &token, Value::Null).await;
        let path = format!("/m/{DOMAIN}/c/{channel}");
        let (published, _) = ask(Service::Http, "POST", path, &format!("Client {name}"), json!([])).await;
        statuses.push(format!("({created}, {opened}, {connected}, {seen}, {published})"));
    }
    statuses.dedup();
    let body = json!({ "statuses": statuses, "create_client_ms_median": 0 });
    Answer { status: Some(200), headers: Default::default(), body }
}

/// The clients that fill more than a page, as later lists tell them: what was made last is first there.
pub(crate) async fn add_fillers(play: &mut Play, domain: &str, token: &str) {
    let pages = ["clients.list.limit_100", "clients.list.offset"].map(|name| play.line(name));
    let clients = pages.iter().flat_map(|line| line.response.body["clients"].as_array().unwrap());
    let is_filler = |client: &&Value| {
        client.as_str().is_some() || client["name"].as_str().is_some_and(|name| name.starts_with("fill-"))
    };
    let mut fillers: Vec<Value> = clients.filter(is_filler).flat_map(several).collect();
    // There were eleven before.
    fillers.truncate(120);
    fillers.reverse();
    for wanted in fillers.chunks(40) {
        play.also("clients", "POST", &format!("/{domain}/clients/bulk"), token, json!(wanted)).await;
    }
}

/// As many clients as an item of a list stands for.
fn several(item: &Value) -> Vec<Value> {
    match left_out(item) {
        Some(count) => vec![json!({ "name": "fill" }); count],
        None => vec![json!({
            "id": item["id"],
            "name": item["name"],
            "credentials": { "secret": item["credentials"]["secret"] },
        })],
    }
}
