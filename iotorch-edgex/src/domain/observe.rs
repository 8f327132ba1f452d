//! Looking at everything in a gateway.

use std::collections::BTreeMap;

use iotorch_core::{
    Context, Health, Mark, Observed, Result, Scope,
    resource::{ApplicationOutputs, KindName, ResourceId, Spec},
};

use super::{
    EdgexDomain,
    application::{endpoints_of, health_of},
    credentials::{self, Note, user_of},
    kept::Kept,
    objects::{Found, look},
    session::Session,
};
use crate::{
    client::object::{DeviceObject, ProfileObject},
    convert::{Marked, name_of, within},
    dialect::Dialect,
    driver::settings_of,
};

type Sights = Vec<(ResourceId, Observed)>;

impl EdgexDomain {
    pub(super) async fn look(&self, cx: &Context, scope: &Scope) -> Result<Sights> {
        let root = &scope.root;
        let Some((spec, application)) = scope.reachable() else {
            return Ok(scope.known.iter().map(|id| (id.clone(), Observed::Absent)).collect());
        };
        let settings = settings_of(&spec.settings);
        let endpoints = endpoints_of(spec, &settings, application.endpoints.clone());
        let asked = ApplicationOutputs { version: String::new(), endpoints, ..application.clone() };
        self.known.learn(spec, &asked);
        let version = Session::new(cx, asked.clone(), &self.known).ask_version().await?;
        let dialect = Dialect::served(&version)?;
        let outputs = ApplicationOutputs { version, ..asked };
        let session = Session::new(cx, outputs.clone(), &self.known);
        let health = health_of(session.missing(&settings, dialect).await?);
        let present = Observed::Present { spec: spec.clone().into(), outputs: outputs.into(), health };
        let mut seen = vec![(root.clone(), present)];
        seen.extend(objects::<ProfileObject>(&session, scope, KindName::Profile).await?);
        seen.extend(objects::<DeviceObject>(&session, scope, KindName::Device).await?);
        seen.extend(users(&session, scope).await?);
        seen.extend(self.exports(&session, scope).await?);
        Ok(seen)
    }
}

fn of_kind(scope: &Scope, kind: KindName) -> impl Iterator<Item = &ResourceId> {
    scope.known.iter().filter(move |id| id.kind() == kind)
}

/// What is seen of profiles or devices: those that are known, and those of ours that are not.
async fn objects<T: Kept>(session: &Session<'_>, scope: &Scope, kind: KindName) -> Result<Sights> {
    let metadata = session.metadata().await?;
    let names: BTreeMap<&ResourceId, String> = of_kind(scope, kind).map(|id| (id, name_of(id))).collect();
    let wanted: Vec<_> = names.values().map(String::as_str).collect();
    let label = within(&session.cx.mark(&scope.root));
    let found: Found<T> = look(&metadata, &label, &wanted)
        .await
        .map_err(|failure| failure.to(format!("look at the {}s of the gateway", T::WORD)))?;
    let mut seen: BTreeMap<ResourceId, Observed> = names
        .into_iter()
        .map(|(id, name)| {
            let sight = found.get(&name).map(|object| sight(session, id, object));
            (id.clone(), sight.unwrap_or(Observed::Absent))
        })
        .collect();
    for object in found.values() {
        let mark = Marked::read(object.labels()).mark.as_deref().and_then(Mark::parse);
        let Some(Mark { installation, resource: id }) = mark else { continue };
        let is_stray = installation == session.cx.installation
            && id.kind() == kind
            && id.scope() == scope.root
            && name_of(&id) == object.name();
        if is_stray && !seen.contains_key(&id) {
            let sight = sight(session, &id, object);
            seen.insert(id, sight);
        }
    }
    Ok(seen.into_iter().collect())
}

fn sight<T: Kept>(session: &Session<'_>, id: &ResourceId, object: &T) -> Observed {
    let marked = Marked::read(object.labels());
    let spec = object.spec();
    let outputs = spec.as_ref().and_then(|spec| T::outputs(spec, &session.application));
    match (spec, outputs) {
        (Some(spec), Some(outputs)) if marked.is_of(&session.cx.mark(id)) => {
            Observed::Present { spec, outputs, health: object.health() }
        }
        (spec, _) => {
            // Version 1 has more to a device and a profile than is kept of them, so they could not be given back as they were.
            let is_kept_whole = Dialect::of(&session.application.version) != Some(Dialect::V1);
            Observed::Foreign { owner: marked.owner(), spec: spec.filter(|_| is_kept_whole) }
        }
    }
}

/// What is seen of the users of the broker.
async fn users(session: &Session<'_>, scope: &Scope) -> Result<Sights> {
    let known: Vec<_> = of_kind(scope, KindName::Credential).collect();
    let Some(opened) = session.broker().await? else {
        return Ok(known.into_iter().map(|id| (id.clone(), Observed::Absent)).collect());
    };
    let users = opened.broker.users().await;
    let users = users.map_err(|failure| failure.to("look at the users of the MQTT broker"))?;
    let users: BTreeMap<_, _> = users.into_iter().map(|user| (user.name.clone(), Note::of(&user))).collect();
    let mut seen: BTreeMap<ResourceId, Observed> = BTreeMap::new();
    let strays = users.values().filter_map(|note| note.resource(&session.cx.installation));
    let strays: Vec<_> = strays.filter(|id| id.scope() == scope.root).collect();
    for id in known.into_iter().chain(&strays) {
        let Some((name, note)) = user_of(id).and_then(|name| users.get_key_value(&name)) else {
            seen.entry(id.clone()).or_insert(Observed::Absent);
            continue;
        };
        let is_ours = note.resource(&session.cx.installation).as_ref() == Some(id);
        let observed = match note.spec() {
            Some(Spec::Credential(spec)) if is_ours => {
                let outputs = credentials::outputs_of(name, &spec.secret);
                Observed::Present { spec: spec.into(), outputs: outputs.into(), health: Health::Ready }
            }
            spec => Observed::Foreign { owner: note.owner(), spec },
        };
        seen.insert(id.clone(), observed);
    }
    Ok(seen.into_iter().collect())
}
