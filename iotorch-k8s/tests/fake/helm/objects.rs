//! The objects of releases, and the Secrets that keep their revisions, by way of the API.

use hyper::{Method, Request, header};
use iotorch_helm::{
    Error, ErrorKind, Release, Result,
    storage::{DATA_KEY, OWNER, SECRET_TYPE, StoredRelease, Written},
};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use kube::Client;
use serde_json::{Value, json};

use crate::fake::kinds::{self, Kind};

const MANAGER: &str = "helm";
const NAME: &str = "meta.helm.sh/release-name";
const NAMESPACE: &str = "meta.helm.sh/release-namespace";

/// Objects of one cluster.
#[derive(Clone)]
pub struct Objects(Client);

impl Objects {
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    async fn ask(&self, method: Method, path: &str, content: &str, body: Value) -> kube::Result<Value> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, content);
        self.0.request(request.body(body).expect("paths of objects are right")).await
    }

    /// Makes the objects of a release; those of somebody else are left alone.
    pub async fn apply(
        &self,
        release: &Release,
        objects: &[Value],
        is_new: bool,
        takes_back: bool,
    ) -> Result<()> {
        let what = || format!("cannot make the objects of release {release}");
        for object in objects {
            let (kind, path) = place(release, object)?;
            match self.ask(Method::GET, &path, JSON, Value::Null).await {
                Ok(there) if there["metadata"]["annotations"][NAME] != release.name.as_str() => {
                    let why = format!(
                        "{} \"{}\" in namespace \"{}\" exists and cannot be imported into the current release",
                        kind.kind,
                        object["metadata"]["name"].as_str().unwrap_or_default(),
                        release.namespace
                    );
                    return Err(Error::new(ErrorKind::Conflict, what()).with_source(why));
                }
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(failed(what(), error)),
            }
            let mut object = object.clone();
            object["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "Helm".into();
            object["metadata"]["annotations"][NAME] = release.name.as_str().into();
            object["metadata"]["annotations"][NAMESPACE] = release.namespace.as_str().into();
            let path = format!("{path}?fieldManager={MANAGER}&force={}", is_new || takes_back);
            self.ask(Method::PATCH, &path, "application/apply-patch+yaml", object)
                .await
                .map_err(|error| failed(what(), error))?;
        }
        Ok(())
    }

    /// Removes what an earlier revision has and the newest has not.
    pub async fn prune(&self, release: &Release, objects: &[Value], before: &StoredRelease) -> Result<()> {
        let named = |object: &Value| (object["kind"].clone(), object["metadata"]["name"].clone());
        let kept: Vec<_> = objects.iter().map(named).collect();
        let old: Vec<_> = of(before)?.into_iter().filter(|object| !kept.contains(&named(object))).collect();
        self.remove(release, &old).await
    }

    pub async fn remove(&self, release: &Release, objects: &[Value]) -> Result<()> {
        let stays = |object: &&Value| object["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep";
        for object in objects.iter().rev().filter(|object| !stays(object)) {
            let (_, path) = place(release, object)?;
            let options = json!({ "propagationPolicy": "Background" });
            match self.ask(Method::DELETE, &path, JSON, options).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => {
                    return Err(failed(format!("cannot remove the objects of release {release}"), error));
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// The revisions of a release, or of all in a namespace (or in all, where it is empty), oldest first.
    pub async fn revisions(&self, namespace: &str, name: Option<&str>) -> Result<Vec<StoredRelease>> {
        let what = || "cannot read releases".to_owned();
        let (owner, helm) = OWNER;
        let name = name.map(|name| format!("%2Cname%3D{name}")).unwrap_or_default();
        let path = format!("{}?labelSelector={owner}%3D{helm}{name}", path(&kinds::SECRET, namespace, ""));
        let list =
            self.ask(Method::GET, &path, JSON, Value::Null).await.map_err(|error| failed(what(), error))?;
        let mut revisions = Vec::new();
        for secret in list["items"].as_array().into_iter().flatten() {
            let data = serde_json::from_value(secret["data"][DATA_KEY].clone());
            let ByteString(data) =
                data.map_err(|error| Error::new(ErrorKind::Unexpected, what()).with_source(error))?;
            revisions.push(StoredRelease::decode(&data)?);
        }
        revisions.sort_by_key(|stored| (stored.release().clone(), stored.revision().number));
        Ok(revisions)
    }

    pub async fn create_revision(&self, stored: &StoredRelease, now: Timestamp) -> Result<()> {
        let what = || format!("cannot keep release {}", stored.release());
        let path = path(&kinds::SECRET, stored.release().namespace.as_str(), "");
        let secret = secret(stored, Written::Created(now));
        match self.ask(Method::POST, &path, JSON, secret).await {
            Ok(_) => Ok(()),
            Err(error) => Err(failed(what(), error)),
        }
    }

    pub async fn write_revision(&self, stored: &StoredRelease, written: Written) -> Result<()> {
        let what = || format!("cannot keep release {}", stored.release());
        let path = path(&kinds::SECRET, stored.release().namespace.as_str(), &stored.secret_name());
        let written = self.ask(Method::PUT, &path, JSON, secret(stored, written)).await;
        written.map(drop).map_err(|error| failed(what(), error))
    }

    pub async fn delete_revision(&self, stored: &StoredRelease) -> Result<()> {
        let path = path(&kinds::SECRET, stored.release().namespace.as_str(), &stored.secret_name());
        match self.ask(Method::DELETE, &path, JSON, Value::Null).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(failed(format!("cannot forget release {}", stored.release()), error)),
            Ok(_) => Ok(()),
        }
    }
}

const JSON: &str = "application/json";

fn secret(stored: &StoredRelease, written: Written) -> Value {
    json!({ "metadata": { "name": stored.secret_name(), "labels": stored.labels(written) }, "type": SECRET_TYPE,
        "data": { DATA_KEY: ByteString(stored.encode()) } })
}

/// The objects that a revision has.
pub fn of(stored: &StoredRelease) -> Result<Vec<Value>> {
    let manifests = stored.manifests();
    let documents = manifests.as_yaml().split("---\n").filter(|document| !document.trim().is_empty());
    let read = |document: &str| {
        serde_json::from_str(document)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "cannot read a manifest").with_source(error))
    };
    documents.map(read).collect()
}

fn place(release: &Release, object: &Value) -> Result<(&'static Kind, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let found = Kind::of(&version, &kind).ok_or_else(|| {
        let why = format!("no matches for kind \"{kind}\" in version \"{version}\"");
        Error::new(ErrorKind::Rejected, format!("cannot make the objects of release {release}"))
            .with_source(why)
    })?;
    Ok((found, path(found, release.namespace.as_str(), &text(&object["metadata"]["name"]))))
}

/// Where objects of a kind are; all of a namespace where the name is empty, and of all where that is.
pub fn path(kind: &Kind, namespace: &str, name: &str) -> String {
    let root = if kind.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group) };
    let space = match kind.is_namespaced && !namespace.is_empty() {
        true => format!("/namespaces/{namespace}"),
        false => String::new(),
    };
    let name = if name.is_empty() { String::new() } else { format!("/{name}") };
    format!("{root}/{}{space}/{}{name}", kind.version, kind.plural)
}

fn failed(what: String, error: kube::Error) -> Error {
    let kind = match &error {
        kube::Error::Api(status) => match status.code {
            401 => ErrorKind::Denied,
            403 if status.message.contains("exceeded quota") => ErrorKind::Rejected,
            403 => ErrorKind::Denied,
            404 => ErrorKind::NotFound,
            409 => ErrorKind::Conflict,
            400 | 422 => ErrorKind::Rejected,
            429 | 500.. => ErrorKind::Unreachable,
            _ => ErrorKind::Unexpected,
        },
        kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => {
            ErrorKind::Unreachable
        }
        _ => ErrorKind::Unexpected,
    };
    let why = match &error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    };
    Error::new(kind, what).with_source(why)
}
