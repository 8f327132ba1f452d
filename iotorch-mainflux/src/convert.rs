//! Between the resources of iotorch and the objects of a server: names, marks, specifications and outputs.

use crate::client::{Account, Dialect, Object, UserNames};
use iotorch_core::{
    Mark,
    resource::{
        ApplicationOutputs, AttachmentOutputs, AttachmentSpec, CredentialOutputs, CredentialSpec, KindName,
        MqttVersion, ResourceId, Spec,
    },
    secret::SecretValue,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The one key of the metadata that is ours.
const KEY: &str = "iotorch";

/// What users of ours have their e-mail addresses at: nobody gets mail there (RFC 2606).
pub(crate) const MAIL_HOST: &str = "@iotorch.invalid";

/// How a person is told of what bears no mark.
pub(crate) const NOBODY: &str = "nobody (no mark)";

/// What is noted with an object.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Note {
    /// Whose it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) mark: String,
    /// What it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spec: Option<Spec>,
    /// The object's own id, once it is the one: others with the same mark are left over from calls that came late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// What was noted before it was adopted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) was: Option<Value>,
    /// How it was before it was adopted.
    #[serde(skip_serializing_if = "Before::is_as_ours")]
    pub(crate) before: Before,
    /// Somebody had given the thing another key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) rekeyed: bool,
}

/// What an object was, before it was adopted, that ours are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Before {
    pub(crate) disabled: bool,
    /// It was not connected to the channel.
    pub(crate) apart: bool,
}

impl Before {
    fn is_as_ours(&self) -> bool {
        *self == Self::default()
    }
}

impl Note {
    pub(crate) fn new(mark: &Mark, spec: impl Into<Spec>) -> Self {
        let mut spec = spec.into();
        // What somebody has done to it is mended, also when that is undone.
        match &mut spec {
            Spec::Tenant(tenant) => tenant.changed_outside = None,
            Spec::Attachment(attachment) => attachment.changed_outside = None,
            _ => {}
        }
        Self { mark: mark.to_string(), spec: Some(spec), ..Self::default() }
    }

    /// The note in metadata; what is not there, or cannot be read, is left out.
    pub(crate) fn read(metadata: &Map<String, Value>) -> Self {
        let Some(Value::Object(note)) = metadata.get(KEY) else { return Self::default() };
        let text = |name: &str| note.get(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            mark: text("mark").unwrap_or_default(),
            // An object of ours is ours also where a later version has noted more than this one knows.
            spec: note.get("spec").cloned().and_then(|spec| serde_json::from_value(spec).ok()),
            id: text("id"),
            was: note.get("was").cloned(),
            before: note
                .get("before")
                .cloned()
                .and_then(|before| serde_json::from_value(before).ok())
                .unwrap_or_default(),
            rekeyed: note.get("rekeyed").and_then(Value::as_bool).unwrap_or_default(),
        }
    }

    /// The metadata with this note, and all that others noted there.
    pub(crate) fn write(&self, metadata: &Map<String, Value>) -> Map<String, Value> {
        let mut metadata = metadata.clone();
        metadata.insert(KEY.to_owned(), serde_json::to_value(self).unwrap_or_default());
        metadata
    }

    /// The owner, as a person is told.
    pub(crate) fn owner(&self) -> &str {
        if self.mark.is_empty() { NOBODY } else { &self.mark }
    }
}

/// The metadata as it was before it was adopted. SuperMQ cannot take the last key away, so ours stays there, empty.
pub(crate) fn given_back(metadata: &Map<String, Value>, dialect: Dialect) -> Map<String, Value> {
    let was = Note::read(metadata).was.unwrap_or_default();
    let mut metadata = metadata.clone();
    metadata.remove(KEY);
    if !was.is_null() {
        metadata.insert(KEY.to_owned(), was);
    } else if metadata.is_empty() && !dialect.is_mainflux() {
        metadata.insert(KEY.to_owned(), Value::Object(Map::new()));
    }
    metadata
}

/// What is noted at first with an object that is adopted.
pub(crate) fn adopted(note: Note, object: &Object) -> Note {
    let was = object.metadata.get(KEY).cloned().unwrap_or_default();
    let before = Before { disabled: object.is_disabled, ..Before::default() };
    Note { was: Some(was), before, ..note }
}

/// The objects about a resource: those with its mark, and those of somebody else that are in its place.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    /// The one that counts comes first.
    pub(crate) ours: Vec<&'a Object>,
    pub(crate) foreign: Option<&'a Object>,
}

impl<'a> Found<'a> {
    /// Looks for a resource that is called `name` or has the id `id` at the server, by its mark.
    pub(crate) fn among(objects: &'a [Object], mark: &Mark, name: Option<&str>, id: Option<&str>) -> Self {
        let own = mark.to_string();
        let (mut ours, mut foreign) = (Vec::new(), Vec::new());
        for object in objects {
            let note = Note::read(&object.metadata);
            let is_about = Mark::parse(&note.mark).is_some_and(|other| other.resource == mark.resource);
            let is_namesake = note.mark.is_empty() && name == Some(object.name.as_str());
            if note.mark == own {
                ours.push((note.id.as_deref() != Some(object.id.as_str()), object));
            } else if is_about || is_namesake || id == Some(object.id.as_str()) {
                foreign.push(object);
            }
        }
        // Confirmed ones first, then by id, so that everybody who looks comes to the same.
        ours.sort_by(|(a_new, a), (b_new, b)| (a_new, &a.id).cmp(&(b_new, &b.id)));
        foreign.sort_by(|a, b| a.id.cmp(&b.id));
        Self { ours: ours.into_iter().map(|(_, object)| object).collect(), foreign: foreign.first().copied() }
    }
}

/// The resource that an object of ours is about, if it lives in `host`.
pub(crate) fn resource_in(object: &Object, host: &Mark) -> Option<ResourceId> {
    let mark = Mark::parse(&Note::read(&object.metadata).mark)?;
    let is_inside = mark.installation == host.installation && host.resource.contains(&mark.resource);
    is_inside.then_some(mark.resource)
}

/// The dialect that a server was found to speak.
pub(crate) fn dialect_of(application: &ApplicationOutputs) -> Option<Dialect> {
    Dialect::of(&application.version)
}

/// The e-mail address of a tenant's user. It follows from the installation and the resource, so that the next create finds the user
/// that could not be deleted.
pub(crate) fn email_of(mark: &Mark) -> String {
    // What is before the @ has at most 64 characters.
    let slice: String = mark.resource.slice().chars().take(40).collect();
    format!("{slice}.{}{MAIL_HOST}", &digest(&[&mark.to_string()])[..16])
}

/// What the user of a tenant and its domain are called, by the user's e-mail address.
pub(crate) fn names_of(email: &str) -> UserNames {
    let local = email.strip_suffix(MAIL_HOST).unwrap_or(email);
    let shown = local.rsplit_once('.').map_or(local, |(slice, _)| slice).to_owned();
    UserNames { shown, user_name: format!("iotorch-{}", &digest(&["user", email])[..24]) }
}

/// The id of the domain of a tenant, by the user's e-mail address.
pub(crate) fn domain_of(email: &str) -> String {
    uuid(&["domain", email])
}

/// A tenant's account at a server.
pub(crate) fn account(dialect: Dialect, email: &str, password: SecretValue) -> Account {
    let domain = (!dialect.is_mainflux()).then(|| domain_of(email));
    Account { login: email.to_owned(), password, domain }
}

/// The id of the object of a resource in the domain of a tenant, where ids can be chosen. It does not tell installations apart: what
/// two of them make of the same resource excludes each other.
pub(crate) fn id_of(dialect: Dialect, email: &str, id: &ResourceId) -> Option<String> {
    let path = id.as_str().split_once("/tenant/").map_or(id.as_str(), |(_, path)| path);
    (!dialect.is_mainflux()).then(|| uuid(&["object", email, path]))
}

/// The name of the thing of a credential.
pub(crate) fn thing_name(attachment: &AttachmentOutputs, id: &ResourceId) -> String {
    format!("{}-{}", attachment.thing, id.name())
}

/// What an attachment tells. Each key has a thing of its own, so the gateway is known by its name.
pub(crate) fn attachment_outputs(dialect: Dialect, email: &str, channel: &Object) -> AttachmentOutputs {
    let topic = (!dialect.is_mainflux()).then(|| format!("m/{}/c/{}", domain_of(email), channel.id));
    let usual = AttachmentOutputs::new(channel.name.clone(), channel.id.clone());
    AttachmentOutputs { topic, mqtt: MqttVersion::V3_1_1, ..usual }
}

/// What a credential tells.
pub(crate) fn credential_outputs(thing: &Object, spec: &CredentialSpec) -> CredentialOutputs {
    CredentialOutputs { user_name: thing.id.clone(), secret: spec.secret.clone() }
}

/// What the object of a resource is, as iotorch would want it; `None` where that cannot be told.
pub(crate) fn spec_of(id: &ResourceId, object: &Object) -> Option<Spec> {
    match id.kind() {
        KindName::Attachment => Some(AttachmentSpec::new(object.name.clone()).into()),
        KindName::Credential => {
            Note::read(&object.metadata).spec.filter(|spec| matches!(spec, Spec::Credential(_)))
        }
        _ => None,
    }
}

/// The password of a user that could not be deleted: only who has the administrator's can log in with it.
pub(crate) fn parked(admin: &SecretValue, email: &str) -> SecretValue {
    SecretValue::new(hex(&hmac(admin.expose().as_bytes(), format!("parked user {email}").as_bytes())))
}

/// The SHA-256 digest of texts, in hexadecimal digits.
fn digest(texts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    }
    hex(&digest.finalize())
}

fn hex(bytes: &[u8]) -> String {
    let digits =
        |byte: &u8| [byte >> 4, byte & 0xf].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'));
    bytes.iter().flat_map(digits).collect()
}

/// A UUID of version 8 (RFC 9562): its bits are those of a digest.
fn uuid(texts: &[&str]) -> String {
    let digits = digest(texts);
    let (a, b, c, d, e) = (&digits[..8], &digits[8..12], &digits[13..16], &digits[17..20], &digits[20..32]);
    format!("{a}-{b}-8{c}-8{d}-{e}")
}

/// HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = [0_u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(installation: &str, resource: &str) -> Mark {
        Mark { installation: installation.into(), resource: resource.parse().unwrap() }
    }

    fn object(id: &str, name: &str, note: Value) -> Object {
        let listed =
            serde_json::json!({ "id": id, "name": name, "metadata": { "iotorch": note, "theirs": 1 } });
        crate::client::object_of(listed)
    }

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(hex(&hmac(&[0x0b; 20], b"Hi There")), expected);
        let long = hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex(&long), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    #[test]
    fn names_follow_from_the_installation_and_the_resource_alone() {
        let ours = mark("a1", "greenhouse/external/hub/app/tenant");
        let email = email_of(&ours);
        insta::assert_snapshot!(format!("{email}\n{:?}\n{}", names_of(&email), domain_of(&email)));
        assert_ne!(email, email_of(&mark("b2", "greenhouse/external/hub/app/tenant")));
        assert_ne!(email, email_of(&mark("a1", "greenhouse/external/hub-2/app/tenant")));
        let attachment = mark("a1", "greenhouse/external/hub/app/tenant/attachment/gw").resource;
        let id = id_of(Dialect::SuperMq, &email, &attachment).unwrap();
        assert_eq!(id.len(), 36);
        assert_ne!(Some(&id), id_of(Dialect::SuperMq, &email, &attachment.credential(1)).as_ref());
        assert_eq!(id_of(Dialect::MainfluxRaw, &email, &attachment), None, "Mainflux chooses ids itself");
    }

    #[test]
    fn the_confirmed_object_counts_then_the_first_by_id_and_strangers_only_without_any() {
        let own = mark("a1", "s/external/hub/app/tenant/attachment/gw");
        let other = mark("b2", "s/external/hub/app/tenant/attachment/gw");
        let objects = [
            object("3", "gw", serde_json::json!({ "mark": own.to_string() })),
            object("2", "gw", serde_json::json!({ "mark": own.to_string() })),
            object("4", "gw", serde_json::json!({ "mark": own.to_string(), "id": "4" })),
            object("1", "gw", serde_json::json!({ "mark": other.to_string() })),
            object("0", "gw-extra", serde_json::json!({})),
        ];
        let found = Found::among(&objects, &own, Some("gw"), None);
        let ids: Vec<_> = found.ours.iter().map(|object| object.id.as_str()).collect();
        assert_eq!((ids, found.foreign.map(|object| object.id.as_str())), (vec!["4", "2", "3"], Some("1")));
        let namesake = [object("7", "gw", serde_json::json!({}))];
        let found = Found::among(&namesake, &own, Some("gw"), None);
        assert_eq!(Note::read(&found.foreign.unwrap().metadata).owner(), NOBODY);
        assert!(Found::among(&namesake, &own, Some("gw-2"), None).foreign.is_none());
    }

    #[test]
    fn what_others_noted_stays_and_what_was_adopted_is_given_back() {
        let own = mark("a1", "s/external/hub/app/tenant/attachment/gw");
        let mut found = object("1", "gw", serde_json::json!({ "mark": "b2/s/external/hub/app" }));
        found.is_disabled = true;
        let before = &found.metadata;
        let note = adopted(Note::new(&own, AttachmentSpec::new("gw")), &found);
        assert!(note.before.disabled);
        let after = note.write(before);
        assert_eq!((&after["theirs"], Note::read(&after)), (&serde_json::json!(1), note));
        assert_eq!(given_back(&after, Dialect::MainfluxRaw), *before);
        let touched =
            AttachmentSpec { changed_outside: Some("disabled".to_owned()), ..AttachmentSpec::new("gw") };
        assert_eq!(Note::new(&own, touched), Note::new(&own, AttachmentSpec::new("gw")));
        let bare = Note::new(&own, AttachmentSpec::new("gw")).write(&Map::new());
        assert!(given_back(&bare, Dialect::MainfluxRaw).is_empty());
        assert_eq!(given_back(&bare, Dialect::SuperMq)["iotorch"], serde_json::json!({}));
    }
}
