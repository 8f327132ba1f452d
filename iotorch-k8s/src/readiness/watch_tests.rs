//! Watches that are broken off, by an API server that answers as it is told to.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use iotorch_core::{Context, ErrorKind, Places, secret::MemorySecretStore};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::*;

/// What the server does about a request.
#[derive(Clone, Debug)]
enum Answer {
    /// A status code and a body.
    With(u16, Value),
    /// A watch with these events, which then goes on.
    Events(Vec<Value>),
    /// It closes the connection.
    Nothing,
}

/// The answers that are still to be given, by path and whether it is a watch; the last one stays.
type Script = Arc<Mutex<BTreeMap<(String, bool), VecDeque<Answer>>>>;

const PODS: &str = "/api/v1/namespaces/orchard/pods";
const EVENTS: &str = "/api/v1/namespaces/orchard/events";

struct Server {
    client: Client,
    _serving: AbortOnDropHandle<()>,
}

impl Server {
    /// A server that gives these answers to lists and watches of pods, and has no events.
    async fn start(lists: Vec<Answer>, watches: Vec<Answer>) -> Self {
        let script = BTreeMap::from([
            ((PODS.to_owned(), false), lists.into()),
            ((PODS.to_owned(), true), watches.into()),
            ((EVENTS.to_owned(), false), VecDeque::from([list("1", &[])])),
            ((EVENTS.to_owned(), true), VecDeque::from([Answer::Events(Vec::new())])),
            ((format!("{PODS}/gw"), false), VecDeque::from([Answer::With(200, pod("gw", false))])),
        ]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(serve(listener, Arc::new(Mutex::new(script))));
        let mut config = Config::new(url.parse().unwrap());
        config.default_retry = false;
        Self { client: Client::try_from(config).unwrap(), _serving: AbortOnDropHandle::new(serving) }
    }
}

async fn serve(listener: TcpListener, script: Script) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream, Arc::clone(&script)));
    }
}

async fn answer(mut stream: TcpStream, script: Script) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let next = {
        let mut script = script.lock().unwrap();
        let answers = script.get_mut(&(path.to_owned(), query.contains("watch=true")));
        let answers = answers.unwrap_or_else(|| panic!("nobody has asked for {target} before"));
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
    };
    let (status, body, goes_on) = match next.unwrap() {
        Answer::With(status, body) => (status, format!("{body}\n"), false),
        Answer::Events(events) => (200, events.iter().map(|event| format!("{event}\n")).collect(), true),
        Answer::Nothing => return,
    };
    let head =
        format!("HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n");
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    if goes_on {
        // Until the other side has enough of it.
        let _ = stream.read_u8().await;
    }
}

fn pod(name: &str, is_ready: bool) -> Value {
    let status = if is_ready { "True" } else { "False" };
    json!({ "metadata": { "name": name, "uid": name, "resourceVersion": "3" }, "status": { "phase": "Running", "conditions": [
        { "type": "Ready", "status": status } ] } })
}

fn list(version: &str, pods: &[Value]) -> Answer {
    Answer::With(200, json!({ "metadata": { "resourceVersion": version }, "items": pods }))
}

fn failure(code: u16, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "reason": "" })
}

/// What the API server says in a watch when it does not know any more what has changed since.
fn gone() -> Value {
    json!({ "type": "ERROR", "object": failure(410, "too old resource version: 1 (9)") })
}

/// Waits for the pod as core does: whoever is told why it is not ready yet asks again.
async fn wait_for_pod(server: &Server, limit: Duration) -> (Result<(), iotorch_core::Error>, Vec<String>) {
    let cx = Context {
        installation: "test".into(),
        deadline: Instant::now() + limit,
        cancelled: CancellationToken::new(),
        secrets: Arc::new(MemorySecretStore::default()),
        places: Places::default(),
    };
    let view = View::new(server.client.clone(), "orchard");
    let parts = [Part { kind: Kind::Pod, name: "gw".to_owned() }];
    let mut told = Vec::new();
    loop {
        match wait(&cx, &server.client, "orchard", "gw", &parts, &view).await {
            Err(error)
                if error.kind() == ErrorKind::NotReady
                    && Instant::now() + Duration::from_millis(600) < cx.deadline =>
            {
                told.push(error.to_cause().to_string());
            }
            ended => return (ended, told),
        }
    }
}

#[tokio::test]
async fn a_watch_goes_on_after_whatever_breaks_it_off() {
    let unready = list("1", &[pod("gw", false), pod("other", true)]);
    let ready = list("9", &[pod("gw", true)]);
    let goes_on = || Answer::Events(Vec::new());
    let scripts = [
        // The API server has forgotten what has changed since.
        (vec![unready.clone(), ready.clone()], vec![Answer::Events(vec![gone()]), goes_on()]),
        (
            vec![unready.clone(), ready.clone()],
            vec![Answer::With(410, failure(410, "too old resource version")), goes_on()],
        ),
        // It ends, refuses a while, and is there again.
        (
            vec![unready.clone(), Answer::Nothing, Answer::With(503, failure(503, "starting")), ready],
            vec![Answer::Nothing, goes_on()],
        ),
        // It has only ended the watch, and tells in the next what is new.
        (
            vec![unready],
            vec![
                Answer::With(200, json!({ "type": "MODIFIED", "object": pod("gw", false) })),
                Answer::Events(vec![json!({ "type": "MODIFIED", "object": pod("gw", true) })]),
            ],
        ),
    ];
    let waits = scripts.into_iter().map(|(lists, watches)| async {
        let script = format!("{lists:?} {watches:?}");
        let server = Server::start(lists, watches).await;
        let (ended, told) = wait_for_pod(&server, Duration::from_secs(60)).await;
        assert!(ended.is_ok(), "{ended:?} {script}");
        assert!(told.iter().all(|told| told == "it is not ready yet: pod \"gw\" is starting"), "{told:?}");
    });
    futures::future::join_all(waits).await;
}

#[tokio::test]
async fn a_wait_that_cannot_see_any_more_ends_at_its_deadline_with_why() {
    let lists =
        vec![list("1", &[pod("gw", false)]), Answer::With(503, failure(503, "etcdserver: no leader"))];
    let server = Server::start(lists, vec![Answer::Nothing]).await;
    let begun = Instant::now();
    let (ended, _) = wait_for_pod(&server, Duration::from_secs(4)).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let error = ended.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let told = error.to_cause().to_string();
    assert!(told.starts_with("cannot watch the objects of kind Pod in \"orchard\": "), "{told}");
}

#[tokio::test]
async fn a_right_that_is_missing_is_told_at_once() {
    let why = "pods is forbidden: User \"nobody\" cannot list resource \"pods\" in API group \"\" in the namespace \"orchard\"";
    let server = Server::start(vec![Answer::With(403, failure(403, why))], vec![Answer::Nothing]).await;
    let (ended, told) = wait_for_pod(&server, Duration::from_secs(60)).await;
    let error = ended.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(
        error.to_cause().to_string(),
        format!("cannot watch the objects of kind Pod in \"orchard\": {why}")
    );
    assert!(told.is_empty(), "{told:?}");

    // The same while it is waited for.
    let why = "pods is forbidden: User \"nobody\" cannot watch resource \"pods\" in API group \"\" in the namespace \"orchard\"";
    let watches = vec![Answer::With(403, failure(403, why))];
    let server = Server::start(vec![list("1", &[pod("gw", false)])], watches).await;
    let (ended, _) = wait_for_pod(&server, Duration::from_secs(60)).await;
    let error = ended.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(
        error.to_cause().to_string(),
        format!("cannot watch the objects of kind Pod in \"orchard\": {why}")
    );
}
