//! Objects over HTTP: what the management APIs of gateway and server do alike.

use crate::{
    Error, Result, Secret,
    api::{Device, DeviceProtocol, Kind, LogEntry, LogPage, LogQuery, Managed, Nothing, Put},
    following,
    log::Log,
    metrics::Metrics,
    objects::{self, Kept, OBJECTS, Object, check_name, name_of, unreadable},
    openapi::{Calls, Described, Operation},
    parameter::given,
    store::Store,
    web::query,
};
use async_trait::async_trait;
use axum::{
    Json,
    body::Bytes,
    extract::{Query, State, rejection::QueryRejection},
    http::{StatusCode, Uri},
    response::Response,
    routing::get,
};
use redb::WriteTransaction;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{future::Future, sync::Arc};
use tokio::sync::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What manages objects: a gateway or a server.
#[async_trait]
pub(crate) trait Manages: Send + Sync + 'static {
    fn store(&self) -> &Store;

    fn changes(&self) -> &Changes;

    fn log(&self) -> &Log;

    /// Cancelled when it stops, so that what would go on for ever ends.
    fn stopped(&self) -> &CancellationToken;

    fn metrics(&self) -> Result<Metrics>;

    /// The user name that the holder of credentials logs in with, if the holder is there.
    fn user(txn: &WriteTransaction, holder: &str) -> Result<Option<String>>;

    /// Does what has to happen once a change of the object at `path` is durable.
    async fn settle(&self, path: &str, ended: Ended) -> Result<()>;
}

/// Sessions to end: user names, each with one generation of its credential or with all of them.
pub(crate) type Ended = Vec<(String, Option<u64>)>;

/// How one kind of object is kept.
#[derive(Clone, Copy)]
pub(crate) struct Sort {
    pub(crate) kind: Kind,
    pub(crate) secret: Rule,
    /// Checks an object, puts it in place, and gives it as it is stored.
    pub(crate) put: fn(&WriteTransaction, &str, Object, bool) -> Result<Object>,
    pub(crate) delete: fn(&WriteTransaction, &str, Option<&str>) -> Result<Ended>,
}

/// What becomes of the secret in the body of a PUT.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    /// There must be none.
    None,
    /// There may be one; it is kept like this.
    Optional(fn(&Secret) -> Kept),
    /// There must be one; it is kept like this.
    Required(fn(&Secret) -> Kept),
}

type ChangeOptions = Result<Query<ChangeQuery>, QueryRejection>;

/// The query of a PUT or DELETE.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ChangeQuery {
    #[serde(deserialize_with = "given")]
    adopt: bool,
    mark: Option<String>,
    #[serde(deserialize_with = "given")]
    release: bool,
}

/// What [`ChangeQuery`] means in a PUT.
#[derive(JsonSchema)]
#[schemars(inline)]
#[allow(dead_code, reason = "it is there for its schema")]
struct PutQuery {
    /// Take over an object that carries another mark.
    adopt: Option<bool>,
}

/// What [`ChangeQuery`] means in a DELETE.
#[derive(JsonSchema)]
#[schemars(inline)]
#[allow(dead_code, reason = "it is there for its schema")]
struct DeleteQuery {
    /// Only if the object carries this mark.
    mark: Option<String>,
    /// Delete nothing, and give an object with this mark back to whom it was adopted from.
    release: Option<bool>,
}

/// What the management APIs of gateway and server have in common.
pub(crate) fn router<A: Manages>() -> Described<Arc<A>> {
    let objects = Operation::get("Everything that is managed").gives::<Vec<Managed<serde_json::Value>>>();
    let log = Operation::get("Entries of the log").query::<LogQuery>().gives::<LogPage>();
    let lines = Operation::get("New entries of the log, a line each").gives_as::<LogEntry>(following::LINES);
    let numbers = Operation::get("Numbers for Prometheus").gives_plain("application/openmetrics-text");
    Described::new()
        .route("/objects", Calls::get(all::<A>, objects))
        .route("/log", Calls::get(read_log::<A>, log))
        .route("/log/stream", Calls::get(follow_log::<A>, lines))
        .route("/metrics", Calls::get(metrics::<A>, numbers))
}

async fn metrics<A: Manages>(State(app): State<Arc<A>>) -> Result<Metrics> {
    app.metrics()
}

async fn read_log<A: Manages>(
    State(app): State<Arc<A>>,
    options: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Json<LogPage>> {
    let options = query(options)?;
    let read = tokio::task::spawn_blocking(move || app.log().read(&options)).await;
    read.map_err(|error| Error::store("cannot read the log").caused_by(error))?.map(Json)
}

async fn follow_log<A: Manages>(State(app): State<Arc<A>>) -> Result<Response> {
    Ok(following::lines(app.log().follow()?, app.stopped().clone()))
}

/// The calls on one object of this sort, whose settings are put as a `T` and given as a `G`.
pub(crate) fn object<A: Manages, T, G>(sort: Sort) -> Calls<Arc<A>>
where
    T: Serialize + DeserializeOwned + JsonSchema + 'static,
    G: JsonSchema,
{
    let Sort { kind, secret, put, delete } = sort;
    let methods = get(show::<A>)
        .put(async move |State(app): State<Arc<A>>, uri: Uri, options: ChangeOptions, body: Bytes| {
            check_name(kind.as_str(), name_of(uri.path()))?;
            let (object, _, adopt) = wanted::<T>(kind, options, &body, secret)?;
            change(app, &uri, move |txn, path| {
                let before = objects::find(&txn.open_table(OBJECTS)?, path)?;
                let object = put(txn, path, object, adopt)?;
                let turned = before.is_some_and(|before| protocol(&before) != protocol(&object));
                let user = if turned { A::user(txn, path)? } else { None };
                let ended = user.into_iter().map(|user| (user, None)).collect();
                Ok((Json(object.shown(path)), ended))
            })
            .await
        })
        .delete(async move |State(app): State<Arc<A>>, uri: Uri, options: ChangeOptions| {
            let no_session = |_: &WriteTransaction, _: &str| Ok(Ended::new());
            remove(app, &uri, options, delete, no_session).await
        });
    Calls(methods, operations::<T, G>())
}

fn operations<T: JsonSchema, G: JsonSchema>() -> Vec<Operation> {
    vec![
        Operation::get("The object, without its secret").gives::<Managed<G>>(),
        Operation::new("put", "Puts the object in place")
            .query::<PutQuery>()
            .takes::<Put<T>>()
            .gives::<Managed<G>>(),
        Operation::new("delete", "Deletes the object and everything below it").query::<DeleteQuery>(),
    ]
}

/// The calls on the list of generations of a credential.
pub(crate) fn credentials<A: Manages>() -> Calls<Arc<A>> {
    Calls::get(generations::<A>, Operation::get("The generations there are").gives::<Vec<u64>>())
}

/// The calls on one generation of a credential.
pub(crate) fn credential<A: Manages>() -> Calls<Arc<A>> {
    let methods = get(show::<A>)
        .put(async |State(app): State<Arc<A>>, uri: Uri, options: ChangeOptions, body: Bytes| {
            generation(uri.path())?;
            let rule = Rule::Required(Kept::hash);
            let (mut object, secret, adopt) = wanted::<Nothing>(Kind::Credential, options, &body, rule)?;
            change(app, &uri, move |txn, path| {
                let holder = objects::get(&txn.open_table(OBJECTS)?, holder(path))?;
                // Keys of DTLS are proved, not sent, so they have to be known here.
                if protocol(&holder) == Some(DeviceProtocol::Coap) {
                    object.secret = secret.as_ref().map(Kept::clear);
                }
                let shown = Json(object.clone().shown(path));
                let previous = objects::put(txn, path, object, adopt)?;
                let key = secret.as_ref().map_or(&[][..], |secret| secret.expose().as_bytes());
                let replaced = previous.is_some_and(|previous| !previous.recognises(key));
                Ok((shown, if replaced { sessions::<A>(txn, path)? } else { Ended::new() }))
            })
            .await
        })
        .delete(async |State(app): State<Arc<A>>, uri: Uri, options: ChangeOptions| {
            let delete = |txn: &WriteTransaction, path: &str, mark: Option<&str>| {
                objects::delete(txn, path, mark)?;
                sessions::<A>(txn, path)
            };
            remove(app, &uri, options, delete, sessions::<A>).await
        });
    Calls(methods, operations::<Nothing, Nothing>())
}

/// Answers `GET /objects`.
async fn all<A: Manages>(State(app): State<Arc<A>>) -> Result<Json<Vec<Managed<serde_json::Value>>>> {
    let all = app.store().read(|txn| objects::below(&txn.open_table(OBJECTS)?, ""))?;
    Ok(Json(all.into_iter().map(|(path, object)| object.shown(&path)).collect()))
}

/// Answers GET of the credentials of an object.
async fn generations<A: Manages>(State(app): State<Arc<A>>, uri: Uri) -> Result<Json<Vec<u64>>> {
    app.store().read(|txn| {
        let objects = txn.open_table(OBJECTS)?;
        let path = path_of(&uri).trim_end_matches("/credentials");
        objects::get(&objects, path)?;
        let generations = objects::generations(&objects, path)?;
        Ok(Json(generations.into_iter().map(|(generation, _)| generation).collect()))
    })
}

/// Answers GET of one object.
async fn show<A: Manages>(State(app): State<Arc<A>>, uri: Uri) -> Result<Json<Managed<serde_json::Value>>> {
    let object = app.store().read(|txn| objects::get(&txn.open_table(OBJECTS)?, path_of(&uri)))?;
    Ok(Json(object.shown(path_of(&uri))))
}

/// Carries out a change; `work` gives its answer and the sessions to end once it is durable.
async fn change<A: Manages, T: Send + 'static>(
    app: Arc<A>,
    uri: &Uri,
    work: impl FnOnce(&WriteTransaction, &str) -> Result<(T, Ended)> + Send + 'static,
) -> Result<T> {
    let (path, running) = (path_of(uri).to_owned(), Arc::clone(&app));
    let change = async move {
        let at = path.clone();
        let (answer, ended) = running.store().write(move |txn| work(txn, &at)).await?;
        running.settle(&path, ended).await?;
        Ok(answer)
    };
    app.changes().run(change).await
}

/// Deletes an object or gives it back to whom it was adopted from.
async fn remove<A: Manages>(
    app: Arc<A>,
    uri: &Uri,
    options: ChangeOptions,
    delete: impl FnOnce(&WriteTransaction, &str, Option<&str>) -> Result<Ended> + Send + 'static,
    released: impl FnOnce(&WriteTransaction, &str) -> Result<Ended> + Send + 'static,
) -> Result<StatusCode> {
    let ChangeQuery { mark, release, .. } = query(options)?;
    change(app, uri, move |txn, path| {
        let ended = match (release, mark) {
            (false, mark) => delete(txn, path, mark.as_deref())?,
            (true, None) => return Err(Error::invalid("a release needs the mark")),
            (true, Some(mark)) if objects::release(txn, path, &mark)? => released(txn, path)?,
            (true, Some(_)) => Ended::new(),
        };
        Ok((StatusCode::NO_CONTENT, ended))
    })
    .await
}

/// Reads a PUT: the object as it shall be, its secret, and whether it may be taken over. Errors show no part of the
/// secret.
fn wanted<T: Serialize + DeserializeOwned>(
    kind: Kind,
    options: ChangeOptions,
    body: &Bytes,
    rule: Rule,
) -> Result<(Object, Option<Secret>, bool)> {
    let adopt = query(options)?.adopt;
    let mut json: serde_json::Value = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Error::invalid(format!("the body is not JSON at line {line}, column {column}"))
    })?;
    let secret = match json.as_object_mut().and_then(|fields| fields.remove("secret")) {
        None | Some(serde_json::Value::Null) => None,
        Some(serde_json::Value::String(secret)) if !secret.is_empty() => Some(Secret::new(secret)),
        Some(_) => return Err(Error::invalid("the secret must be a string that is not empty")),
    };
    let Put { mark, spec, settings, .. } = serde_json::from_value::<Put<T>>(json)
        .map_err(|error| Error::invalid(format!("the body is wrong: {error}")))?;
    let kept = match (rule, &secret) {
        (Rule::None, Some(_)) => return Err(Error::invalid("the object takes no secret")),
        (Rule::Required(_), None) => return Err(Error::invalid("the object needs a secret")),
        (Rule::Optional(keep) | Rule::Required(keep), Some(secret)) => Some(keep(secret)),
        (Rule::None | Rule::Optional(_), None) => None,
    };
    let settings = serde_json::to_value(settings).map_err(unreadable)?;
    Ok((Object { kind, mark, spec, settings, secret: kept, found: None }, secret, adopt))
}

fn path_of(uri: &Uri) -> &str {
    uri.path().trim_start_matches('/')
}

/// The path of whom a credential belongs to.
fn holder(path: &str) -> &str {
    path.rsplit_once("/credentials/").map_or(path, |(holder, _)| holder)
}

/// The protocol of an object that is a device.
fn protocol(object: &Object) -> Option<DeviceProtocol> {
    let device = || object.settings::<Device>().ok();
    (object.kind == Kind::Device).then(device).flatten().map(|device| device.protocol)
}

/// The number at the end of a credential's path, written the one way it is stored.
fn generation(path: &str) -> Result<u64> {
    let text = name_of(path);
    text.parse()
        .ok()
        .filter(|number: &u64| number.to_string() == text)
        .ok_or_else(|| Error::invalid(format!("\"{text}\" is not a generation: use a whole number from 0")))
}

/// The sessions that rest on a credential.
fn sessions<A: Manages>(txn: &WriteTransaction, path: &str) -> Result<Ended> {
    let generation = generation(path)?;
    Ok(A::user(txn, holder(path))?.into_iter().map(|user| (user, Some(generation))).collect())
}

/// Changes of objects: one after the other, each with its effects, and to the end even if the client goes away in
/// the middle.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    turn: Arc<Mutex<()>>,
    tasks: TaskTracker,
}

impl Changes {
    async fn run<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let turn = Arc::clone(&self.turn);
        let task = self.tasks.spawn(async move {
            let _turn = turn.lock().await;
            change.await
        });
        task.await.map_err(|error| Error::store("the request failed").caused_by(error))?
    }

    /// Waits until no change is under way.
    pub(crate) async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
