//! What an API server says when it does not do what it was asked, in its own words
//! (<https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#response-status-kind>).

use serde_json::{Map, Value, json};

use super::kinds::Kind;

/// A `Status` that tells of a failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    pub details: Option<Value>,
}

/// One of several reasons why an object is invalid.
#[derive(Clone, Debug)]
pub struct Cause {
    pub reason: &'static str,
    pub message: String,
    pub field: String,
}

impl Cause {
    pub fn invalid(field: &str, value: &Value, why: &str) -> Self {
        let message = format!("Invalid value: {value}: {why}");
        Self { reason: "FieldValueInvalid", message, field: field.to_owned() }
    }

    pub fn forbidden(field: &str, why: &str) -> Self {
        let message = format!("Forbidden: {why}");
        Self { reason: "FieldValueForbidden", message, field: field.to_owned() }
    }

    pub fn required(field: &str, why: &str) -> Self {
        let message =
            if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
        Self { reason: "FieldValueRequired", message, field: field.to_owned() }
    }

    fn json(&self) -> Value {
        json!({ "reason": self.reason, "message": self.message, "field": self.field })
    }
}

impl Refusal {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None }
    }

    fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    fn about(code: u16, reason: &'static str, message: String, kind: &Kind, name: &str) -> Self {
        Self::new(code, reason, message).with_details(details(kind.group, kind.plural, name))
    }

    pub fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.resource());
        Self::about(404, "NotFound", message, kind, name)
    }

    pub fn no_such_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource").with_details(json!({}))
    }

    pub fn already_exists(kind: &Kind, name: &str, is_going: bool) -> Self {
        let going = if is_going { "object is being deleted: " } else { "" };
        let message = format!("{going}{} \"{name}\" already exists", kind.resource());
        Self::about(409, "AlreadyExists", message, kind, name)
    }

    pub fn modified(kind: &Kind, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, kind.plural, name, why)
    }

    pub fn conflicting(kind: &Kind, name: &str, why: &str) -> Self {
        Self::conflict(kind, kind.plural, name, why)
    }

    pub fn precondition(kind: &Kind, name: &str, why: &str) -> Self {
        Self::conflict(kind, kind.kind, name, why)
    }

    fn conflict(kind: &Kind, called: &str, name: &str, why: &str) -> Self {
        let resource =
            if kind.group.is_empty() { called.to_owned() } else { format!("{called}.{}", kind.group) };
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}");
        Self::new(409, "Conflict", message).with_details(details(kind.group, called, name))
    }

    /// Fields that others have applied.
    pub fn taken_fields(conflicts: &[(String, String)]) -> Self {
        let causes = conflicts.iter().map(|(manager, field)| {
            json!({ "reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": field })
        });
        let causes: Vec<_> = causes.collect();
        let message = match conflicts {
            [(manager, field)] => format!("Apply failed with 1 conflict: conflict with {manager}: {field}"),
            several => {
                let mut managers: Vec<_> = several.iter().map(|(manager, _)| manager).collect();
                managers.dedup();
                let told = managers.into_iter().map(|manager| {
                    let fields = several.iter().filter(|(other, _)| other == manager);
                    let fields: String = fields.map(|(_, field)| format!("\n- {field}")).collect();
                    format!("conflicts with {manager}:{fields}")
                });
                format!(
                    "Apply failed with {} conflicts: {}",
                    several.len(),
                    told.collect::<Vec<_>>().join("\n")
                )
            }
        };
        Self::new(409, "Conflict", message).with_details(json!({ "causes": causes }))
    }

    pub fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let told =
            causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect::<Vec<_>>();
        let told = match told.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut details = details(group, kind, name);
        details["causes"] = causes.iter().map(Cause::json).collect();
        Self::new(422, "Invalid", format!("{qualified} \"{name}\" is invalid: {told}")).with_details(details)
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub fn unsupported_media() -> Self {
        Self::new(415, "UnsupportedMediaType", "415: Unsupported Media Type").with_details(json!({}))
    }

    /// What an admission refuses.
    pub fn forbidden(kind: &Kind, name: &str, why: &str) -> Self {
        let object =
            if name.is_empty() { kind.resource() } else { format!("{} \"{name}\"", kind.resource()) };
        Self::about(403, "Forbidden", format!("{object} is forbidden: {why}"), kind, name)
    }

    /// A right that is missing.
    pub fn no_right(user: &str, verb: &str, kind: &Kind, namespace: Option<&str>, name: &str) -> Self {
        let place = match namespace {
            Some(namespace) => format!("in the namespace \"{namespace}\""),
            None => "at the cluster scope".to_owned(),
        };
        let why = format!(
            "User \"{user}\" cannot {verb} resource \"{}\" in API group \"{}\" {place}",
            kind.plural, kind.group
        );
        Self::forbidden(kind, name, &why)
    }

    pub fn namespace_is_going(kind: &Kind, name: &str, namespace: &str) -> Self {
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut refusal = Self::forbidden(kind, name, &why);
        let cause = json!({ "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"), "field": "metadata.namespace" });
        if let Some(details) = &mut refusal.details {
            details["causes"] = json!([cause]);
        }
        refusal
    }

    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub fn too_many_requests(seconds: u32) -> Self {
        let message = "Too many requests, please try again later.";
        Self::new(429, "TooManyRequests", message).with_details(json!({ "retryAfterSeconds": seconds }))
    }

    pub fn unavailable(seconds: Option<u32>) -> Self {
        let refusal =
            Self::new(503, "ServiceUnavailable", "the server is currently unable to handle the request");
        match seconds {
            Some(seconds) => refusal.with_details(json!({ "retryAfterSeconds": seconds })),
            None => refusal,
        }
    }

    /// A watch from a version that is forgotten.
    pub fn too_old(wanted: u64, oldest: u64) -> Self {
        Self::new(410, "Expired", format!("too old resource version: {wanted} ({oldest})"))
    }

    /// The next page of a list that is forgotten.
    pub fn expired_page() -> Self {
        Self::new(
            410,
            "Expired",
            "The provided continue parameter is too old to display a consistent list result. You must start a new list \
             without the continue parameter.",
        )
    }

    pub fn too_new(wanted: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
        let cause = json!({ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" });
        Self::new(504, "Timeout", message).with_details(json!({ "causes": [cause], "retryAfterSeconds": 1 }))
    }

    /// How long the caller is asked to wait.
    pub fn retry_after(&self) -> Option<u64> {
        self.details.as_ref()?.get("retryAfterSeconds")?.as_u64()
    }

    pub fn json(&self) -> Value {
        let mut status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code });
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status
    }
}

fn details(group: &str, kind: &str, name: &str) -> Value {
    let all = [("name", name), ("group", group), ("kind", kind)];
    let told = all.into_iter().filter(|(_, value)| !value.is_empty());
    Value::Object(told.map(|(key, value)| (key.to_owned(), value.into())).collect::<Map<_, _>>())
}
