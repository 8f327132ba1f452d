//! Which objects a list or a watch is about.

use serde_json::Value;

use super::{kinds::Kind, refusal::Refusal, store::Key};

/// A namespace, labels and fields.
#[derive(Clone, Debug)]
pub struct Selector {
    kind: &'static Kind,
    namespace: Option<String>,
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

#[derive(Clone, Debug)]
struct Requirement {
    name: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Requirement {
    fn holds(&self, value: Option<&str>) -> bool {
        let is_among = |values: &[String]| value.is_some_and(|value| values.iter().any(|it| it == value));
        match &self.test {
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
            Test::In(values) => is_among(values),
            Test::NotIn(values) => !is_among(values),
        }
    }
}

/// The fields that can be selected by, beside those of every kind.
fn selectable(kind: &Kind) -> &'static [&'static str] {
    match kind.kind {
        "Pod" => {
            &["spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "status.phase", "status.podIP"]
        }
        "Secret" => &["type"],
        "Namespace" => &["status.phase"],
        "Event" => &[
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.uid",
            "reason",
            "type",
        ],
        "Node" => &["spec.unschedulable"],
        "Service" => &["spec.clusterIP", "spec.type"],
        "Job" => &["status.successful"],
        _ => &[],
    }
}

impl Selector {
    pub fn new(
        kind: &'static Kind,
        namespace: Option<String>,
        labels: &str,
        fields: &str,
    ) -> Result<Self, Refusal> {
        let labels = terms(labels).iter().map(|term| label(term)).collect::<Result<_, _>>()?;
        let fields: Vec<_> = terms(fields).iter().map(|term| equality(term)).collect::<Result<_, _>>()?;
        let known = ["metadata.name", "metadata.namespace"];
        let unknown = |field: &&Requirement| {
            !known.contains(&field.name.as_str()) && !selectable(kind).contains(&field.name.as_str())
        };
        if let Some(field) = fields.iter().find(unknown) {
            let known = known.iter().chain(selectable(kind)).map(|field| format!("\"{field}\""));
            let known = known.collect::<Vec<_>>().join(", ");
            let message = format!("\"{}\" is not a known field selector: only {known}", field.name);
            return Err(Refusal::bad_request(message));
        }
        Ok(Self { kind, namespace, labels, fields })
    }

    pub fn matches(&self, key: &Key, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        key.kind == self.kind
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
            && self.labels.iter().all(|label| label.holds(labels[&label.name].as_str()))
            && self.fields.iter().all(|field| {
                let value = object.pointer(&format!("/{}", field.name.replace('.', "/")));
                field.holds(Some(value.and_then(Value::as_str).unwrap_or_default()))
            })
    }
}

/// The terms between commas that are not in parentheses.
fn terms(text: &str) -> Vec<String> {
    let (mut terms, mut depth) = (vec![String::new()], 0);
    for c in text.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        match (c, depth, terms.last_mut()) {
            (',', 0, _) => terms.push(String::new()),
            (c, _, Some(term)) => term.push(c),
            _ => {}
        }
    }
    terms.iter().map(|term| term.trim().to_owned()).filter(|term| !term.is_empty()).collect()
}

/// A label by `a`, `!a`, `a=b`, `a==b`, `a!=b`, `a in (b, c)` or `a notin (b, c)`.
fn label(term: &str) -> Result<Requirement, Refusal> {
    let named = |name: &str, test| Requirement { name: name.trim().to_owned(), test };
    if let Some(name) = term.strip_prefix('!') {
        return Ok(named(name, Test::Absent));
    }
    for (word, is_in) in [(" notin ", false), (" in ", true)] {
        if let Some((name, values)) = term.split_once(word) {
            let values = values.trim().trim_start_matches('(').trim_end_matches(')');
            let values = values.split(',').map(|value| value.trim().to_owned()).collect();
            return Ok(named(name, if is_in { Test::In(values) } else { Test::NotIn(values) }));
        }
    }
    if term.contains('=') { equality(term) } else { Ok(named(term, Test::Exists)) }
}

fn equality(term: &str) -> Result<Requirement, Refusal> {
    let (name, value) = term.split_once('=').ok_or_else(|| {
        Refusal::bad_request(format!("invalid selector: '{term}'; can't understand '{term}'"))
    })?;
    let value = value.strip_prefix('=').unwrap_or(value);
    if value.contains('=') {
        let why = "unable to parse requirement: found '=', expected: identifier";
        return Err(Refusal::bad_request(why));
    }
    let (name, is_not) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
    let values = vec![value.trim().to_owned()];
    let test = if is_not { Test::NotIn(values) } else { Test::In(values) };
    Ok(Requirement { name: name.trim().to_owned(), test })
}
