//! What a fake does beside answering: things go wrong, state is kept, and a command plays it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{io, process::Stdio, time::Duration};

use iotorch_mainflux_fake::{Config, Dependency, Fake, Release, Service};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

fn client() -> Client {
    // A client has to know a provider, though none of it is used. It may be there already.
    _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

async fn ask(
    url: &str,
    method: Method,
    path: &str,
    token: &str,
    body: &Value,
) -> Result<(StatusCode, Value), reqwest::Error> {
    let request = client().request(method, format!("{url}{path}"));
    let answer = request.header("Authorization", token).json(body).send().await?;
    let status = answer.status();
    Ok((status, answer.json().await.unwrap_or_default()))
}

/// The token of the administrator of Mainflux.
async fn token(fake: &Fake) -> String {
    let login = json!({ "email": "admin@example.com", "password": "12345678" });
    let (status, body) = ask(&fake.url(Service::Users), Method::POST, "/tokens", "", &login).await.unwrap();
    assert_eq!(status, StatusCode::CREATED);
    body["token"].as_str().unwrap().to_owned()
}

async fn names(fake: &Fake, token: &str) -> Vec<Value> {
    let listed = ask(&fake.url(Service::Things), Method::GET, "/things", token, &Value::Null).await;
    let (status, body) = listed.unwrap();
    assert_eq!(status, StatusCode::OK);
    body["things"].as_array().unwrap().iter().map(|thing| thing["name"].clone()).collect()
}

#[tokio::test]
async fn a_request_that_is_held_acts_although_who_has_asked_is_gone() {
    let fake = Fake::start(Config::new(Release::Mainflux012)).await.unwrap();
    let token = token(&fake).await;
    let held = fake.hold_next("POST", "/things");
    let asking = tokio::spawn({
        let (url, token) = (fake.url(Service::Things), token.clone());
        async move { ask(&url, Method::POST, "/things", &token, &json!({ "name": "late" })).await }
    });
    held.arrived().await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    assert_eq!(names(&fake, &token).await, Vec::<Value>::new());
    held.let_go();
    held.done().await;
    assert_eq!(names(&fake, &token).await, [json!("late")]);
}

#[tokio::test]
async fn a_call_whose_answer_is_lost_has_acted() {
    let fake = Fake::start(Config::new(Release::Mainflux012)).await.unwrap();
    let token = token(&fake).await;
    fake.lose_next_answer("POST", "/things");
    let url = fake.url(Service::Things);
    let made = ask(&url, Method::POST, "/things", &token, &json!({ "name": "made", "key": "k" })).await;
    assert!(made.is_err());
    assert_eq!(names(&fake, &token).await, [json!("made")]);
    let asked = fake.asked();
    let made = asked.iter().find(|it| it.method == "POST" && it.path == "/things").unwrap();
    assert_eq!((made.status, made.service), (None, Service::Things));
    assert_eq!(made.body, r#"{"key":"k","name":"made"}"#);
    assert_eq!(made.authorization.as_ref(), Some(&token));
}

#[tokio::test]
async fn a_call_that_fails_has_not_acted() {
    let fake = Fake::start(Config::new(Release::Mainflux012)).await.unwrap();
    let token = token(&fake).await;
    fake.fail_next("POST", "/things", 502);
    let url = fake.url(Service::Things);
    let (status, _) = ask(&url, Method::POST, "/things", &token, &json!({ "name": "x" })).await.unwrap();
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert_eq!(names(&fake, &token).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_service_that_is_lost_refuses_connections_until_it_is_back_at_its_address() {
    let fake = Fake::start(Config::new(Release::Mainflux012)).await.unwrap();
    let url = fake.url(Service::Users);
    let version = || ask(&url, Method::GET, "/version", "", &Value::Null);
    assert_eq!(version().await.unwrap().0, StatusCode::OK);
    fake.lose(Service::Users).await;
    assert!(version().await.unwrap_err().is_connect());
    fake.mend(Service::Users).await.unwrap();
    assert_eq!(version().await.unwrap().0, StatusCode::OK);
    fake.restart(Service::Users).await.unwrap();
    assert_eq!(version().await.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn a_token_is_refused_when_its_time_is_over() {
    let fake = Fake::start(Config::new(Release::Mainflux012)).await.unwrap();
    fake.set_token_lifetime(Duration::from_secs(60));
    let token = token(&fake).await;
    names(&fake, &token).await;
    fake.pass(Duration::from_secs(60));
    let listed = ask(&fake.url(Service::Things), Method::GET, "/things", &token, &Value::Null).await;
    assert_eq!(listed.unwrap().0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_was_made_is_still_there_after_a_restart_with_the_same_directory() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::new(Release::Mainflux012).with_data_dir(directory.path());
    let fake = Fake::start(config.clone()).await.unwrap();
    let token = token(&fake).await;
    let url = fake.url(Service::Things);
    ask(&url, Method::POST, "/things", &token, &json!({ "name": "kept" })).await.unwrap();
    drop(fake);
    let fake = Fake::start(config).await.unwrap();
    assert_eq!(names(&fake, &token).await, [json!("kept")]);
}

#[tokio::test]
async fn a_state_that_is_none_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("state.json"), "no state").unwrap();
    let config = Config::new(Release::Mainflux012).with_data_dir(directory.path());
    assert_eq!(Fake::start(config).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(std::fs::read_to_string(directory.path().join("state.json")).unwrap(), "no state");
}

#[tokio::test]
async fn mainflux_0_13_wants_a_word_before_a_token() {
    let fake = Fake::start(Config::new(Release::Mainflux013)).await.unwrap();
    let token = token(&fake).await;
    let url = fake.url(Service::Things);
    let raw = ask(&url, Method::GET, "/things", &token, &Value::Null).await.unwrap();
    assert_eq!(raw.0, StatusCode::UNAUTHORIZED);
    assert_eq!(names(&fake, &format!("Bearer {token}")).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_user_that_is_there_already_is_a_conflict_until_supermq_made_it_a_bad_request() {
    for (release, wanted) in
        [(Release::SuperMq017, StatusCode::CONFLICT), (Release::SuperMq019, StatusCode::BAD_REQUEST)]
    {
        let fake = Fake::start(Config::new(release)).await.unwrap();
        let user = json!({
            "first_name": "A",
            "last_name": "B",
            "email": "a@example.com",
            "credentials": { "username": "a", "secret": "12345678" },
        });
        let url = fake.url(Service::Users);
        let create = || ask(&url, Method::POST, "/users", "", &user);
        assert_eq!(create().await.unwrap().0, StatusCode::CREATED);
        assert_eq!(create().await.unwrap().0, wanted);
    }
}

#[tokio::test]
async fn a_service_of_supermq_waits_for_a_bus_that_is_down() {
    let config = Config::new(Release::SuperMq019).with_bus_patience(Duration::from_millis(20));
    let fake = Fake::start(config).await.unwrap();
    fake.lose(Dependency::Nats).await;
    let login = json!({ "username": "admin", "password": "12345678" });
    let url = fake.url(Service::Users);
    let start = std::time::Instant::now();
    let (status, _) = ask(&url, Method::POST, "/users/tokens/issue", "", &login).await.unwrap();
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(start.elapsed() >= Duration::from_millis(20));
}

#[tokio::test]
async fn the_command_plays_a_release_with_the_administrator_of_its_environment() {
    let ports: Vec<String> =
        Release::Mainflux012.services().iter().map(|service| format!("{}=0", service.name())).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainflux-fake"));
    command.args(["--release", "mainflux-0.12", "--bind", "127.0.0.1", "--port", &ports.join(",")]);
    command.env("MF_USERS_ADMIN_EMAIL", "root@example.com").env("MF_USERS_ADMIN_PASSWORD", "correct horse");
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut url = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(told) = line.strip_prefix("users: ") {
            told.clone_into(&mut url);
            break;
        }
    }
    let login = json!({ "email": "root@example.com", "password": "correct horse" });
    let (status, _) = ask(&url, Method::POST, "/tokens", "", &login).await.unwrap();
    assert_eq!(status, StatusCode::CREATED);
    child.kill().await.unwrap();
}
