//! Documents: read from files, checked, and written back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;

use super::{
    API_VERSION, Infrastructure, InfrastructureName, Slice, SliceName,
    conform::Conform,
    problem::{Fault, Findings, Problem, Problems, Source},
    schema, served,
    suggest::{nearest, quoted},
    tree::{Node, Value},
    validate, yaml,
};
use crate::{
    driver::Drivers,
    error::{Error, ErrorKind, Result},
};

/// The largest file that is read, in bytes (8 MiB): some 50,000 devices.
pub const MAX_SOURCE: usize = 8 << 20;

const KINDS: [&str; 2] = ["Infrastructure", "Slice"];

/// What a document is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKey {
    /// The infrastructure of this name.
    Infrastructure(InfrastructureName),
    /// The slice of this name.
    Slice(SliceName),
}

impl fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Infrastructure(name) => write!(f, "infrastructure \"{name}\""),
            Self::Slice(name) => write!(f, "slice \"{name}\""),
        }
    }
}

/// Infrastructures and slices as they were read, known to be right in themselves, with their places in the files.
///
/// # Examples
/// ```
/// use iotorch_core::model::{Documents, Source};
///
/// let text = "
/// apiVersion: iotorch.dev/v1alpha1
/// kind: Slice
/// metadata: { name: greenhouse }
/// spec:
///   gateways: [ { name: gw } ]
///   devices:
///     - { name: bench-1, gatway: gw, resources: [ { name: temperature, type: float } ] }
/// ";
/// let problems = Documents::read(vec![Source::new("greenhouse.yaml", text)]).unwrap_err();
/// assert_eq!(problems.to_string(), "greenhouse.yaml:8:24: unknown field \"gatway\"");
///
/// let text = text.replace("gatway", "gateway");
/// let documents = Documents::read(vec![Source::new("greenhouse.yaml", text)])?;
/// assert_eq!(documents.slices().count(), 1);
/// # Ok::<(), iotorch_core::model::Problems>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Documents {
    list: Vec<Document>,
}

/// One document and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Document {
    source: Arc<Source>,
    order: usize,
    pub(super) tree: Node,
    pub(super) item: Item,
}

#[derive(Clone, Debug)]
pub(super) enum Item {
    Infrastructure(Box<Infrastructure>),
    Slice(Box<Slice>),
}

impl Document {
    fn key(&self) -> DocumentKey {
        match &self.item {
            Item::Infrastructure(infrastructure) => DocumentKey::Infrastructure(infrastructure.name.clone()),
            Item::Slice(slice) => DocumentKey::Slice(slice.name.clone()),
        }
    }
}

impl Documents {
    /// Reads files of any number of YAML or JSON documents each, and checks all that can be checked without knowing the drivers
    /// and the places of an installation; [`check`](Self::check) does the rest.
    ///
    /// # Errors
    /// All faults of all files at once. A file may have [`MAX_SOURCE`] bytes, values that lie 64 deep in each other, and about
    /// a million values with its aliases written out.
    pub fn read(sources: Vec<Source>) -> Result<Self, Problems> {
        let mut list = Vec::new();
        let mut problems = Vec::new();
        let mut seen = BTreeMap::new();
        for (order, source) in sources.into_iter().enumerate() {
            let source = Arc::new(source);
            let mut findings = Findings::new(Arc::clone(&source), order);
            for tree in trees(&mut findings) {
                find_repeated(&tree, &mut seen, &mut findings);
                if let Some(item) = item(&tree, &mut findings) {
                    list.push(Document { source: Arc::clone(&source), order, tree, item });
                }
            }
            problems.push(findings.into_problems());
        }
        Problems::gather(problems).map(|()| Self { list })
    }

    /// Takes what was built in Rust, and checks it as if it had been read.
    ///
    /// # Errors
    /// All faults at once, in the text that [`Slice::to_yaml`] and [`Infrastructure::to_yaml`] give.
    pub fn from_parts(infrastructures: &[Infrastructure], slices: &[Slice]) -> Result<Self, Problems> {
        let infrastructures = infrastructures.iter().map(|infrastructure| {
            (DocumentKey::Infrastructure(infrastructure.name.clone()), infrastructure.to_yaml())
        });
        let slices = slices.iter().map(|slice| (DocumentKey::Slice(slice.name.clone()), slice.to_yaml()));
        let printed = infrastructures.chain(slices);
        // What cannot be printed is an empty text, which is no document.
        let source = |(key, text): (DocumentKey, Result<String>)| {
            Source::new(key.to_string(), text.unwrap_or_default())
        };
        Self::read(printed.map(source).collect())
    }

    /// Checks what depends on the installation: that every driver is there and serves what it is named for, that settings fit its
    /// schema, and that every named infrastructure is in these documents or in `known`.
    ///
    /// # Errors
    /// All faults at once.
    pub fn check(&self, drivers: &Drivers, known: &BTreeSet<InfrastructureName>) -> Result<(), Problems> {
        let places = self.infrastructures().map(|place| &place.name).chain(known).collect();
        Problems::gather(self.list.iter().map(|document| {
            let mut findings = Findings::new(Arc::clone(&document.source), document.order);
            served::check(document, drivers, &places, &mut findings);
            findings.into_problems()
        }))
    }

    /// The infrastructures, in the order they were written.
    pub fn infrastructures(&self) -> impl Iterator<Item = &Infrastructure> {
        self.list.iter().filter_map(|document| match &document.item {
            Item::Infrastructure(infrastructure) => Some(&**infrastructure),
            Item::Slice(_) => None,
        })
    }

    /// The slices, in the order they were written.
    pub fn slices(&self) -> impl Iterator<Item = &Slice> {
        self.list.iter().filter_map(|document| match &document.item {
            Item::Slice(slice) => Some(&**slice),
            Item::Infrastructure(_) => None,
        })
    }

    /// The infrastructures and the slices themselves, without their places in the files.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Infrastructure>, Vec<Slice>) {
        let (mut infrastructures, mut slices) = (Vec::new(), Vec::new());
        for document in self.list {
            match document.item {
                Item::Infrastructure(infrastructure) => infrastructures.push(*infrastructure),
                Item::Slice(slice) => slices.push(*slice),
            }
        }
        (infrastructures, slices)
    }

    /// A fault that was found later, by a driver or in planning, at its place in the file: where the JSON pointer (RFC 6901,
    /// into the whole document, as in `/spec/gateways/0/settings/port`) leads, or as much of it as was written.
    /// `None` when no document here is about `key`.
    pub fn problem(
        &self,
        key: &DocumentKey,
        pointer: &str,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Option<Problem> {
        let document = self.list.iter().find(|document| document.key() == *key)?;
        let fault = Fault::new(message).or_help(|| help);
        Some(Problem::new(
            Arc::clone(&document.source),
            document.order,
            &document.tree.locate(pointer),
            fault,
        ))
    }
}

fn trees(findings: &mut Findings) -> Vec<Node> {
    let size = findings.source().text().len();
    if size > MAX_SOURCE {
        findings.add(0..0, || {
            Fault::new(format!("the file has {size} bytes, more than {MAX_SOURCE}")).help("split the file")
        });
        return Vec::new();
    }
    let trees = yaml::read(findings);
    if trees.is_empty() && findings.count() == 0 {
        findings.add(0..0, || {
            Fault::new("there is no document in this file").label("nothing to read").help(format!(
                "a slice begins with apiVersion: {API_VERSION}, kind: Slice, metadata: {{ name: … }}, and then its spec"
            ))
        });
    }
    trees
}

/// Complains about a second document of one kind and name, in whichever file.
fn find_repeated(tree: &Node, seen: &mut BTreeMap<(String, String), String>, findings: &mut Findings) {
    let metadata = tree.at("metadata");
    let (Some(kind), Some(name)) = (tree.text("kind"), metadata.text("name")) else { return };
    let span = metadata.at("name").span.clone();
    let here = findings.source().position(span.start);
    if let Some(first) = seen.get(&(kind.to_owned(), name.to_owned())) {
        findings.add(span, || {
            Fault::new(format!("{} {} is described twice", kind.to_lowercase(), quoted(name)))
                .label("again here")
                .help(format!("it is already at {first}; rename or remove one"))
        });
    } else {
        seen.insert((kind.to_owned(), name.to_owned()), here);
    }
}

/// What a document describes, if nothing is wrong with it.
fn item(tree: &Node, findings: &mut Findings) -> Option<Item> {
    let before = findings.count();
    let kind = kind(tree, findings)?;
    let schema = if kind == "Slice" { &*schema::SLICE } else { &*schema::INFRASTRUCTURE };
    let mut json = Conform::new(schema, findings).check(tree, "document");
    if kind == "Slice" {
        validate::slice(tree.at("spec"), findings);
    }
    if findings.count() > before || tree.is_broken() {
        return None;
    }
    let name = json["metadata"]["name"].take();
    let spec = json["spec"].take();
    let item = if kind == "Slice" {
        typed(name, spec).map(|(name, spec)| Item::Slice(Box::new(Slice { name, spec })))
    } else {
        typed(name, spec).map(|(name, spec)| Item::Infrastructure(Box::new(Infrastructure { name, spec })))
    };
    // The schema is made from the types, so only what it cannot express is left to find here.
    item.map_err(|error| findings.add(tree.locate("/spec"), || Fault::new(error.to_string()))).ok()
}

fn typed<Name: DeserializeOwned, Spec: DeserializeOwned>(
    name: Json,
    spec: Json,
) -> Result<(Name, Spec), serde_json::Error> {
    Ok((serde_json::from_value(name)?, serde_json::from_value(spec)?))
}

/// The kind of a document of a version that is known.
fn kind<'a>(tree: &'a Node, findings: &mut Findings) -> Option<&'a str> {
    if !matches!(tree.value, Value::Map(_)) {
        findings.add(tree.span.clone(), || {
            Fault::new("expected a document with its fields")
                .label("not a document")
                .help("a document has: apiVersion, kind, metadata, spec; a line --- stands between two")
        });
        return None;
    }
    if let Some(version) = tree.text("apiVersion")
        && version != API_VERSION
        && version.starts_with("iotorch.dev/v")
    {
        findings.add(tree.at("apiVersion").span.clone(), || {
            Fault::new(format!("version {} of the format is not known", quoted(version)))
                .label("another version")
                .help(format!("this iotorch reads {API_VERSION}"))
        });
        return None;
    }
    let kind = tree.text("kind").filter(|kind| KINDS.contains(kind));
    if kind.is_none() {
        let help = format!("the kinds are: {}", KINDS.join(", "));
        findings.add(tree.at("kind").span.clone(), || match tree.text("kind") {
            Some(kind) => {
                let meant =
                    nearest(kind, KINDS).map(|near| format!("did you mean {near:?}? ")).unwrap_or_default();
                Fault::new(format!("unknown kind {}", quoted(kind)))
                    .label("not a kind of document")
                    .help(format!("{meant}{help}"))
            }
            None => Fault::new("field \"kind\" is missing").label("a document of which kind?").help(help),
        });
    }
    kind
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a, Name, Spec> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a, Name>,
    spec: &'a Spec,
}

#[derive(Serialize)]
struct Metadata<'a, Name> {
    name: &'a Name,
}

fn to_yaml(kind: &'static str, name: &impl Serialize, spec: &impl Serialize) -> Result<String> {
    let document = Written { api_version: API_VERSION, kind, metadata: Metadata { name }, spec };
    serde_saphyr::to_string(&document).map_err(|error| {
        Error::new(ErrorKind::Unexpected, "cannot write a document").with_source(error.to_string())
    })
}

impl Slice {
    /// The slice as a YAML document; reading it gives the slice again.
    ///
    /// # Errors
    /// [`ErrorKind::Unexpected`] for a value that YAML cannot hold.
    pub fn to_yaml(&self) -> Result<String> {
        to_yaml("Slice", &self.name, &self.spec)
    }
}

impl Infrastructure {
    /// The infrastructure as a YAML document; reading it gives the infrastructure again.
    ///
    /// # Errors
    /// [`ErrorKind::Unexpected`] for a value that YAML cannot hold.
    pub fn to_yaml(&self) -> Result<String> {
        to_yaml("Infrastructure", &self.name, &self.spec)
    }
}
