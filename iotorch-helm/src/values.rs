//! Values of charts, and which of them look like secrets.

use std::fmt;

use serde_json::{Map, Value};

/// Values that are given for a chart, beside its own.
///
/// They may be secrets although they should not, so `Debug` shows no more than the outermost keys.
#[derive(Clone, Default, PartialEq)]
pub struct Values(Map<String, Value>);

impl Values {
    /// The values as a map.
    #[must_use]
    pub const fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// JSON that is YAML, too, to every reader: characters that YAML does not take as they are ("Printable characters",
    /// YAML 1.2.2 section 5.1) are escaped. They can only be in strings.
    pub(crate) fn to_yaml(&self) -> String {
        let json = Value::Object(self.0.clone()).to_string();
        let mut yaml = String::with_capacity(json.len());
        for c in json.chars() {
            match c {
                '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                    yaml.push_str(&format!("\\u{:04x}", u32::from(c)));
                }
                c => yaml.push(c),
            }
        }
        yaml
    }
}

impl From<Map<String, Value>> for Values {
    fn from(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

impl From<Values> for Map<String, Value> {
    fn from(values: Values) -> Self {
        values.0
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Where values look like secrets: JSON pointers (RFC 6901) to texts and numbers whose keys say so, such as `password`, `apiKey`,
/// `clientSecret` or `DB_TOKEN`, or that are the `value` beside such a `name`, as in lists of environment variables.
///
/// What only refers to a secret (`existingSecret`, `secretName`, `passwordSecretRef`, `tokenFile`) is none, and neither is an
/// empty text. It is a guess from names; it finds what was not meant to be there, not what somebody hides.
///
/// # Examples
/// ```
/// use iotorch_helm::values;
/// use serde_json::json;
///
/// let given = json!({ "auth": { "password": "hunter2", "existingSecret": "db" }, "replicas": 2 });
/// assert_eq!(values::secrets(given.as_object().unwrap()), ["/auth/password"]);
/// ```
#[must_use]
pub fn secrets(values: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    in_map(values, "", false, &mut found);
    found
}

fn in_map(map: &Map<String, Value>, at: &str, is_inside: bool, found: &mut Vec<String>) {
    let named_by =
        map.get("name").and_then(Value::as_str).is_some_and(|name| Meaning::of(name) == Meaning::Secret);
    for (key, value) in map {
        let pointer = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        let is_secret = match Meaning::of(key) {
            Meaning::Secret => true,
            Meaning::Reference => false,
            Meaning::Other => is_inside || (named_by && key == "value"),
        };
        visit(value, &pointer, is_secret, found);
    }
}

fn visit(value: &Value, at: &str, is_secret: bool, found: &mut Vec<String>) {
    match value {
        Value::String(text) if is_secret && !text.is_empty() => found.push(at.to_owned()),
        Value::Number(_) if is_secret => found.push(at.to_owned()),
        Value::Object(map) => in_map(map, at, is_secret, found),
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                visit(item, &format!("{at}/{position}"), is_secret, found);
            }
        }
        _ => {}
    }
}

/// What a key says about its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Secret,
    /// It names or finds a secret, or says who, not what.
    Reference,
    Other,
}

/// Last words of keys of secrets.
const SECRET: [&str; 14] = [
    "password",
    "passwords",
    "passwd",
    "pwd",
    "pass",
    "passphrase",
    "token",
    "tokens",
    "secret",
    "secrets",
    "credential",
    "credentials",
    "psk",
    "apikey",
];

/// What makes a secret of a `…Key`.
const SECRET_KEY: [&str; 10] =
    ["secret", "api", "private", "access", "encryption", "signing", "shared", "auth", "master", "ssh"];

/// Last words of keys that refer to a secret, or stand beside one.
const REFERENCE: [&str; 16] = [
    "name",
    "names",
    "ref",
    "refs",
    "file",
    "files",
    "path",
    "key",
    "keys",
    "user",
    "username",
    "id",
    "namespace",
    "enabled",
    "type",
    "url",
];

impl Meaning {
    fn of(key: &str) -> Self {
        let words = words(key);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["existing", ..] | [.., "pull", "secret" | "secrets"] => Self::Reference,
            [.., before, "key"] if SECRET_KEY.contains(before) => Self::Secret,
            [.., last] if SECRET.contains(last) => Self::Secret,
            [.., last] if REFERENCE.contains(last) => Self::Reference,
            _ => Self::Other,
        }
    }
}

/// The words of `camelCase`, `SNAKE_CASE`, `kebab-case` and `dotted.names`, in lower case.
fn words(key: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    let mut follows_lower = false;
    for c in key.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && follows_lower) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        follows_lower = c.is_lowercase() || c.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(values: &Value) -> Vec<String> {
        secrets(values.as_object().unwrap())
    }

    #[test]
    fn keys_that_say_secret_are_found() {
        for key in [
            "password",
            "adminPassword",
            "DB_PASSWORD",
            "db-password",
            "token",
            "botToken",
            "secretKey",
            "apiKey",
            "api_key",
            "apikey",
            "APIKey",
            "privateKey",
            "secretAccessKey",
            "clientSecret",
            "credentials",
            "passphrase",
            "psk",
        ] {
            assert_eq!(found(&json!({ key: "x" })), [format!("/{key}")], "{key}");
        }
    }

    #[test]
    fn references_and_other_keys_are_not() {
        for key in [
            "existingSecret",
            "existingSecretPasswordKey",
            "secretName",
            "passwordSecretRef",
            "secretRef",
            "tokenFile",
            "imagePullSecrets",
            "pullSecret",
            "publicKey",
            "passwordKey",
            "secretKeys",
            "tokenEnabled",
            "user",
            "compass",
            "monkey",
            "tokens_per_second",
            "keyboard",
        ] {
            assert_eq!(found(&json!({ key: "x" })), [""; 0], "{key}");
        }
        let nothing =
            json!({ "password": "", "token": null, "automountServiceAccountToken": true, "secret": {} });
        assert_eq!(found(&nothing), [""; 0]);
    }

    #[test]
    fn they_are_found_where_they_lie() {
        let values = json!({
            "a/b": [{ "token": 42 }],
            "credentials": { "user": "x", "value": "y", "nested": ["z"] },
            "env": [{ "name": "DB_PASSWORD", "value": "x" }, { "name": "LEVEL", "value": "x" }],
            "imagePullSecrets": [{ "name": "regcred" }],
            "secrets": [{ "name": "db", "key": "password" }],
        });
        let mut expected =
            vec!["/a~1b/0/token", "/credentials/nested/0", "/credentials/value", "/env/0/value"];
        let mut found = found(&values);
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn values_are_not_shown() {
        let values = Values::from(json!({ "a": { "password": "hunter2" } }).as_object().unwrap().clone());
        assert_eq!(format!("{values:?}"), "{\"a\"}");
    }

    #[test]
    fn what_yaml_does_not_take_is_escaped() {
        let values = Values::from(json!({ "a": "\u{7f}ä\u{feff}😀\u{ffff}\n" }).as_object().unwrap().clone());
        let yaml = values.to_yaml();
        assert_eq!(yaml, "{\"a\":\"\\u007fä\\ufeff😀\\uffff\\n\"}");
        let read: Value = serde_json::from_str(&yaml).unwrap();
        assert_eq!(&read, &Value::Object(values.into()));
    }
}
