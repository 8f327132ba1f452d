//! What the fake cluster is like, and the writes that both its callers and its own controllers make.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    admission,
    controllers::Image,
    faults::Faults,
    kinds::{self, Kind},
    owners::{self, Writer},
    refusal::Refusal,
    rules,
    store::{Key, Store},
};

/// The first node port that is given out, and the first address of a Service and of a pod.
const FIRST_NODE_PORT: u16 = 30_000;

/// Everything of a fake cluster.
#[derive(Debug)]
pub struct State {
    pub store: Store,
    pub faults: Faults,
    /// What becomes of containers, by their images.
    pub images: BTreeMap<String, Image>,
    /// What was asked, such as `create namespaces "greenhouse"`.
    pub asked: Vec<String>,
    began: (Timestamp, Instant),
    made: u32,
    node_ports: u16,
}

/// What a delete asks for.
#[derive(Clone, Debug, Default)]
pub struct Deletion {
    pub uid: Option<String>,
    pub version: Option<String>,
    /// `Background`, `Foreground` or `Orphan`.
    pub propagation: Option<String>,
    pub grace: Option<i64>,
}

impl State {
    pub fn new() -> Self {
        let mut state = Self {
            store: Store::default(),
            faults: Faults::default(),
            images: BTreeMap::new(),
            asked: Vec::new(),
            began: (Timestamp::now(), Instant::now()),
            made: 0,
            node_ports: FIRST_NODE_PORT,
        };
        for name in ["default", "kube-system"] {
            state.set_up(&kinds::NAMESPACE, "", json!({ "metadata": { "name": name } }));
        }
        state.set_up(&kinds::NODE, "", node("node-1", "192.0.2.10", "10.244.0.0/24"));
        let class = json!({ "metadata": { "name": "folders" }, "provisioner": "example.org/folders",
            "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate" });
        state.set_up(&kinds::STORAGE_CLASS, "", class);
        state
    }

    /// Puts an object of the cluster itself in place.
    pub fn set_up(&mut self, kind: &'static Kind, namespace: &str, object: Value) {
        let status = object["status"].clone();
        let writer = self.writer("fake", None);
        let made =
            self.create(kind, namespace, object, &writer).expect("objects of the cluster itself are right");
        if !status.is_null() {
            let name = made["metadata"]["name"].as_str().unwrap_or_default();
            self.modify(&Key::new(kind, namespace, name), |object| object["status"] = status);
        }
    }

    /// The time, which goes with that of the runtime; it may be paused.
    pub fn now(&self) -> String {
        let (began, then) = self.began;
        let now = began + then.elapsed();
        now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// How long ago a time was that was told by [`now`](Self::now).
    pub fn since(&self, time: &Value) -> Duration {
        let (began, then) = self.began;
        let now = began + then.elapsed();
        let time = time.as_str().and_then(|time| time.parse::<Timestamp>().ok()).unwrap_or(now);
        Duration::try_from(now.duration_since(time)).unwrap_or_default()
    }

    pub fn writer(&self, manager: &str, subresource: Option<&str>) -> Writer {
        Writer { manager: manager.to_owned(), subresource: subresource.map(str::to_owned), now: self.now() }
    }

    /// A name, unlike all others, for what is made.
    pub fn suffix(&mut self) -> String {
        // Without vowels and what looks like them, as the API server does.
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        self.made += 1;
        let mut rest = self.made as usize;
        let letter = |_| {
            let letter = LETTERS[rest % LETTERS.len()];
            rest /= LETTERS.len();
            char::from(letter)
        };
        (0..5).map(letter).collect()
    }

    fn uid(&mut self) -> String {
        self.made += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.made)
    }

    pub fn create(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        object: Value,
        writer: &Writer,
    ) -> Result<Value, Refusal> {
        let (key, object) = self.prepare(kind, namespace, object)?;
        self.insert(&key, object, |object| owners::note_update(kind, None, object, writer))
    }

    /// Makes what is applied and is not there yet.
    pub fn create_applied(&mut self, key: &Key, applied: Value, writer: &Writer) -> Result<Value, Refusal> {
        let nothing = json!({ "metadata": {} });
        let merged = owners::apply(key.kind, &nothing, &applied, writer, true)?;
        let managed = merged["metadata"]["managedFields"].clone();
        let (key, object) = self.prepare(key.kind, &key.namespace, merged)?;
        self.insert(&key, object, |object| object["metadata"]["managedFields"] = managed)
    }

    fn prepare(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        mut object: Value,
    ) -> Result<(Key, Value), Refusal> {
        let metadata = &mut object["metadata"];
        if metadata["name"].is_null() {
            let Some(prefix) = metadata["generateName"].as_str().map(str::to_owned) else {
                let missing =
                    super::refusal::Cause::required("metadata.name", "name or generateName is required");
                return Err(Refusal::invalid(kind.group, kind.kind, "", &[missing]));
            };
            metadata["name"] = format!("{prefix}{}", self.suffix()).into();
        }
        if kind.is_namespaced {
            match metadata["namespace"].as_str() {
                Some(own) if own != namespace => {
                    let why = "the namespace of the provided object does not match the namespace sent on the request";
                    return Err(Refusal::bad_request(why));
                }
                _ => metadata["namespace"] = namespace.into(),
            }
        }
        let name = metadata["name"].as_str().unwrap_or_default().to_owned();
        for field in [
            "resourceVersion",
            "managedFields",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
        ] {
            metadata[field] = Value::Null;
        }
        metadata["uid"] = self.uid().into();
        metadata["creationTimestamp"] = self.now().into();
        if kind.has_generation {
            metadata["generation"] = 1.into();
        }
        if let Some(fields) = object.as_object_mut() {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        Ok((Key::new(kind, if kind.is_namespaced { namespace } else { "" }, name), object))
    }

    fn insert(
        &mut self,
        key: &Key,
        mut object: Value,
        own: impl FnOnce(&mut Value),
    ) -> Result<Value, Refusal> {
        let kind = key.kind;
        if kind.has_status {
            object["status"] = Value::Null;
        }
        admission::space(&self.store, key)?;
        admission::set_limits(&self.store, key, &mut object);
        rules::set_defaults(kind, &mut object);
        let mut object = rules::without_nulls(object);
        rules::check(kind, None, &object)?;
        admission::quotas(&self.store, key, &object)?;
        if let Some(there) = self.store.get(key) {
            let is_going = !there["metadata"]["deletionTimestamp"].is_null();
            return Err(Refusal::already_exists(kind, &key.name, is_going));
        }
        own(&mut object);
        rules::complete(kind, &mut object);
        if kind == &kinds::CLAIM {
            object["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
        }
        self.give_addresses(key, &mut object);
        if let Some(status) = rules::first_status(kind) {
            object["status"] = status;
        }
        Ok(self.store.put(key, object))
    }

    /// Replaces an object. `status` tells whether it is its status that is written, and nothing else, or all else.
    pub fn update(&mut self, key: &Key, object: Value, writer: &Writer) -> Result<Value, Refusal> {
        let kind = key.kind;
        let before = self.live(key)?;
        let metadata = &object["metadata"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if let Some(name) = text(&metadata["name"]).filter(|name| *name != key.name) {
            let why =
                format!("the name of the object ({name}) does not match the name on the URL ({})", key.name);
            return Err(Refusal::bad_request(why));
        }
        if let Some(uid) = text(&metadata["uid"]).filter(|uid| before["metadata"]["uid"] != **uid) {
            let there = before["metadata"]["uid"].as_str().unwrap_or_default();
            let place = if key.namespace.is_empty() { String::new() } else { format!("{}/", key.namespace) };
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: /registry/{}/{place}{}, ResourceVersion: 0, AdditionalErrorMsg: \
                 Precondition failed: UID in precondition: {uid}, UID in object meta: {there}",
                kind.plural, key.name
            );
            return Err(Refusal::conflicting(kind, &key.name, &why));
        }
        let version = text(&metadata["resourceVersion"]).filter(|version| !version.is_empty());
        if version.is_some_and(|version| before["metadata"]["resourceVersion"] != *version) {
            return Err(Refusal::modified(kind, &key.name));
        }
        let mut after = object;
        if writer.subresource.as_deref() == Some("status") {
            let status = after["status"].take();
            after = before.clone();
            after["status"] = status;
        } else if kind.has_status {
            after["status"] = before["status"].clone();
        }
        let own = |after: &mut Value| owners::note_update(kind, Some(&before), after, writer);
        self.replace(key, &before, after, own)
    }

    /// Lays what a manager applies over an object that is there.
    pub fn apply(
        &mut self,
        key: &Key,
        applied: &Value,
        writer: &Writer,
        is_forced: bool,
    ) -> Result<Value, Refusal> {
        let before = self.live(key)?;
        let after = owners::apply(key.kind, &before, applied, writer, is_forced)?;
        let managed = after["metadata"]["managedFields"].clone();
        self.replace(key, &before, after, |after| after["metadata"]["managedFields"] = managed)
    }

    pub fn live(&self, key: &Key) -> Result<Value, Refusal> {
        self.store.get(key).cloned().ok_or_else(|| Refusal::not_found(key.kind, &key.name))
    }

    fn replace(
        &mut self,
        key: &Key,
        before: &Value,
        mut after: Value,
        own: impl FnOnce(&mut Value),
    ) -> Result<Value, Refusal> {
        let kind = key.kind;
        if let Some(fields) = after.as_object_mut() {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        // What only the server sets stays.
        for field in [
            "name",
            "namespace",
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "managedFields",
        ] {
            after["metadata"][field] = before["metadata"][field].clone();
        }
        if kind.kind == "Service" {
            keep_addresses(before, &mut after);
        }
        rules::set_defaults(kind, &mut after);
        let mut after = rules::without_nulls(after);
        rules::check(kind, Some(before), &after)?;
        own(&mut after);
        rules::complete(kind, &mut after);
        self.give_addresses(key, &mut after);
        let mut after = rules::without_nulls(after);
        if without_owners(&after) == without_owners(before) {
            return Ok(before.clone());
        }
        count(kind, before, &mut after);
        Ok(self.settle(key, after))
    }

    /// A write of one of the cluster's own controllers. What is as it was is not written.
    pub fn modify(&mut self, key: &Key, change: impl FnOnce(&mut Value)) {
        let Some(before) = self.store.get(key).cloned() else { return };
        let mut after = before.clone();
        change(&mut after);
        let mut after = rules::without_nulls(after);
        if after != before {
            count(key.kind, &before, &mut after);
            self.settle(key, after);
        }
    }

    /// Keeps what was written, or removes it if that is what it waited for.
    fn settle(&mut self, key: &Key, object: Value) -> Value {
        let metadata = &object["metadata"];
        let is_going = !metadata["deletionTimestamp"].is_null();
        let finalizers = metadata["finalizers"].as_array().map_or(0, Vec::len);
        let grace = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or_default();
        if is_going && finalizers == 0 && grace == 0 && key.kind != &kinds::NAMESPACE {
            self.store.remove(key);
            return object;
        }
        self.store.put(key, object)
    }

    /// Removes an object, or begins to. Gives what is answered.
    pub fn delete(&mut self, key: &Key, deletion: &Deletion) -> Result<Value, Refusal> {
        let kind = key.kind;
        let mut object = self.live(key)?;
        let metadata = &object["metadata"];
        let uid = metadata["uid"].as_str().unwrap_or_default().to_owned();
        if let Some(wanted) = deletion.uid.as_ref().filter(|wanted| **wanted != uid) {
            let why = format!(
                "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been \
                 deleted and then recreated"
            );
            return Err(Refusal::precondition(kind, &key.name, &why));
        }
        let version = metadata["resourceVersion"].as_str().unwrap_or_default();
        if let Some(wanted) = deletion.version.as_ref().filter(|wanted| *wanted != version) {
            let why = format!(
                "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). \
                 The object might have been modified"
            );
            return Err(Refusal::precondition(kind, &key.name, &why));
        }
        if !metadata["deletionTimestamp"].is_null() && deletion.grace != Some(0) {
            return Ok(object);
        }
        let mut finalizers = metadata["finalizers"].as_array().cloned().unwrap_or_default();
        match deletion.propagation.as_deref() {
            Some("Foreground") => finalizers.push("foregroundDeletion".into()),
            Some("Orphan") => finalizers.push("orphan".into()),
            _ => {}
        }
        let grace = match kind.kind {
            "Pod" if !object["spec"]["nodeName"].is_null() => {
                let own = object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
                deletion.grace.unwrap_or(own)
            }
            _ => 0,
        };
        let now = self.now();
        let is_namespace = key.kind == &kinds::NAMESPACE;
        if finalizers.is_empty() && grace == 0 && !is_namespace {
            self.store.remove(key);
            // Services tell what they were, for a reason that nobody remembers.
            return Ok(if ["Service", "Pod"].contains(&kind.kind) { object } else { success(key, &uid) });
        }
        object["metadata"]["deletionTimestamp"] = now.into();
        if is_namespace {
            object["status"]["phase"] = "Terminating".into();
        } else {
            object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        }
        if !finalizers.is_empty() {
            object["metadata"]["finalizers"] = finalizers.into();
        }
        if kind.has_generation {
            let generation = object["metadata"]["generation"].as_i64().unwrap_or_default();
            object["metadata"]["generation"] = (generation + 1).into();
        }
        Ok(self.store.put(key, object))
    }

    /// Addresses of Services, and node ports where they have some.
    fn give_addresses(&mut self, key: &Key, object: &mut Value) {
        if key.kind != &kinds::SERVICE {
            return;
        }
        let spec = &mut object["spec"];
        if spec["clusterIP"].is_null() {
            self.made += 1;
            let address = format!("10.96.{}.{}", self.made / 250 % 250, self.made % 250 + 1);
            spec["clusterIP"] = address.clone().into();
            spec["clusterIPs"] = json!([address]);
        }
        let has_node_ports =
            ["NodePort", "LoadBalancer"].contains(&spec["type"].as_str().unwrap_or_default());
        for port in spec["ports"].as_array_mut().into_iter().flatten() {
            if has_node_ports && port["nodePort"].is_null() {
                port["nodePort"] = self.node_ports.into();
                self.node_ports += 1;
            }
        }
    }
}

/// A Service keeps its address, and its node ports as long as it has some.
fn keep_addresses(before: &Value, after: &mut Value) {
    for field in ["clusterIP", "clusterIPs"] {
        if after["spec"][field].is_null() {
            after["spec"][field] = before["spec"][field].clone();
        }
    }
    let had: Vec<Value> = before["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let has_node_ports =
        ["NodePort", "LoadBalancer"].contains(&after["spec"]["type"].as_str().unwrap_or_default());
    for port in after["spec"]["ports"].as_array_mut().into_iter().flatten().filter(|_| has_node_ports) {
        let same = had.iter().find(|other| other["port"] == port["port"]);
        if let Some(same) = same.filter(|_| port["nodePort"].is_null()) {
            port["nodePort"] = same["nodePort"].clone();
        }
    }
}

/// What was written without who has, and when.
fn without_owners(object: &Value) -> Value {
    let mut object = object.clone();
    for entry in object["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
        entry["time"] = Value::Null;
    }
    object
}

fn count(kind: &Kind, before: &Value, after: &mut Value) {
    // A pod that gets its node is not changed.
    let is_bound = kind == &kinds::POD && before["spec"]["nodeName"] != after["spec"]["nodeName"];
    if kind.has_generation && !is_bound && before["spec"] != after["spec"] {
        let generation = before["metadata"]["generation"].as_i64().unwrap_or_default();
        after["metadata"]["generation"] = (generation + 1).into();
    }
}

fn success(key: &Key, uid: &str) -> Value {
    let mut details = json!({ "name": key.name, "kind": key.kind.plural, "uid": uid });
    if !key.kind.group.is_empty() {
        details["group"] = key.kind.group.into();
    }
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}

/// A node that is ready, with the room of a small machine.
pub fn node(name: &str, address: &str, pods: &str) -> Value {
    let room = json!({ "cpu": "4", "memory": "8Gi", "pods": "110" });
    json!({
        "metadata": { "name": name },
        "spec": { "podCIDR": pods, "podCIDRs": [pods] },
        "status": {
            "addresses": [{ "type": "InternalIP", "address": address }, { "type": "Hostname", "address": name }],
            "capacity": room, "allocatable": room,
            "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady",
                "message": "kubelet is posting ready status" }],
            "nodeInfo": { "architecture": "amd64", "operatingSystem": "linux", "kubeletVersion": "v1.37.2",
                "bootID": "", "containerRuntimeVersion": "fake://1", "kernelVersion": "", "kubeProxyVersion": "",
                "machineID": "", "osImage": "", "systemUUID": "" },
        },
    })
}
