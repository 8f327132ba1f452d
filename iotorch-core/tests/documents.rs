//! What the document reader accepts, what it says of the rest, and that nothing makes it fall over.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "documents/strategies.rs"]
mod strategies;

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc, time::Instant};

use iotorch_core::{
    Domain, Driver, DriverInfo, Drivers, Error, ErrorKind, Issue, Serves, Target,
    declared::DeclaredDriver,
    model::{
        Device, DocumentKey, Documents, Gateway, Infrastructure, InfrastructureSpec, MAX_SOURCE, Problem,
        Problems, Slice, SliceSpec, Source, Tier, schema,
    },
    resource::{Role, Spec},
};
use proptest::prelude::*;
use serde_json::json;

/// No input may take longer than this, even in a build without optimisation on a busy machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/documents").join(name)
}

/// The documents of a folder, in the order of their names.
fn files(name: &str) -> Vec<(String, String)> {
    let mut files = fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "json"))
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap())
        })
        .collect::<Vec<_>>();
    files.sort();
    files
}

fn read(name: &str, text: impl Into<String>) -> Result<Documents, Problems> {
    Documents::read(vec![Source::new(name, text)])
}

fn slice_named(name: &str) -> String {
    format!("apiVersion: iotorch.dev/v1alpha1\nkind: Slice\nmetadata: {{ name: {name} }}\nspec: {{}}\n")
}

#[test]
fn every_fault_of_a_broken_document_is_named_with_its_place_and_the_way_out() {
    let files = files("broken");
    assert!(files.len() >= 30);
    for (name, text) in files {
        let problems = read(&name, text).expect_err(&name);
        for problem in &problems {
            assert!(problem.help().is_some_and(|help| !help.is_empty()), "{problem} shows no way out");
        }
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(folder("broken"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(name, problems.render()));
    }
}

#[test]
fn good_documents_are_read_without_a_word_whatever_ends_their_lines() {
    let unix = files("good").into_iter();
    let dos = files("good").into_iter().map(|(name, text)| (name, text.replace('\n', "\r\n")));
    for (name, text) in unix.chain(dos) {
        if let Err(problems) = read(&name, text) {
            panic!("{}", problems.render());
        }
    }
}

#[test]
fn a_rate_alone_is_one_to_guarantee() {
    let text = fs::read_to_string(folder("good/greenhouse.yaml")).unwrap();
    let (_, slices) = read("greenhouse.yaml", text).unwrap().into_parts();
    let bandwidth = slices[0].spec.gateways[0].servers[0].bandwidth.unwrap();
    assert_eq!(bandwidth.guaranteed, Some("2Mbit/s".parse().unwrap()));
    assert_eq!(bandwidth.max, None);
}

#[test]
fn faults_come_in_the_order_of_the_files_and_a_name_is_taken_across_files() {
    let first = format!("{}---\nkind: Slice\n", slice_named("b"));
    let second = format!("{}---\n{}", slice_named("a"), slice_named("b"));
    let problems =
        Documents::read(vec![Source::new("z.yaml", first), Source::new("a.yaml", second)]).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "z.yaml:6:1: field \"apiVersion\" is missing\n\
         z.yaml:6:1: field \"metadata\" is missing\n\
         z.yaml:6:1: field \"spec\" is missing\n\
         a.yaml:8:19: slice \"b\" is described twice"
    );
    assert_eq!(
        problems.iter().last().and_then(|problem| problem.help()),
        Some("it is already at z.yaml:3:19; rename or remove one")
    );
}

#[test]
fn a_fault_found_later_is_placed_at_as_much_of_its_pointer_as_was_written() {
    let text = fs::read_to_string(folder("good/greenhouse.yaml")).unwrap();
    let documents = read("greenhouse.yaml", text).unwrap();
    let key = DocumentKey::Slice("greenhouse".parse().unwrap());
    for (pointer, place, marked) in [
        ("/spec/gateways/0/servers/0/latency", (12, 40), "100ms"),
        ("/spec/gateways/0/placement", (11, 7), "placement"),
        ("/spec/gateways/0/settings/port", (9, 7), "name"),
        ("/spec/network/transport/0/settings", (28, 18), "{"),
        ("/status", (1, 1), "apiVersion"),
        ("", (1, 1), "apiVersion"),
    ] {
        let problem = documents.problem(&key, pointer, "wrong", Some("change it".into())).unwrap();
        assert_eq!((problem.line(), problem.column()), place, "{pointer}");
        assert!(problem.source().text()[problem.span()].starts_with(marked), "{pointer}");
    }
    let found = ["/spec/servers", "/spec/gateways"]
        .map(|pointer| documents.problem(&key, pointer, "wrong", None).unwrap());
    let lines = Problems::of(found).unwrap().iter().map(Problem::line).collect::<Vec<_>>();
    assert_eq!(lines, [8, 13]);
    assert!(Problems::of([]).is_none());
    let other = DocumentKey::Slice("carpark".parse().unwrap());
    assert!(documents.problem(&other, "", "wrong", None).is_none());
}

/// A driver that is asked for nothing but what it is.
struct Paper {
    name: &'static str,
    serves: Serves,
    settings_schema: serde_json::Value,
}

impl Driver for Paper {
    fn info(&self) -> DriverInfo {
        DriverInfo {
            name: self.name.parse().unwrap(),
            serves: self.serves.clone(),
            settings_schema: self.settings_schema.clone(),
            ..DeclaredDriver.info()
        }
    }

    fn check(&self, _: &Spec) -> Vec<Issue> {
        Vec::new()
    }

    fn connect(&self, _: &Target) -> iotorch_core::Result<Arc<dyn Domain>> {
        Err(Error::new(ErrorKind::Unsupported, "cannot connect paper"))
    }
}

fn drivers() -> Drivers {
    let anything = json!(true);
    let port = json!({
        "title": "PaperSettings",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "port": { "type": "integer", "minimum": 1, "maximum": 65535, "description": "The port to listen on." },
            "mode": { "enum": ["plain", "tls"] },
        },
    });
    let both = Serves::Applications(vec![Role::Gateway, Role::Server]);
    Drivers::default()
        .with(DeclaredDriver)
        .with(Paper { name: "local", serves: Serves::Infrastructure, settings_schema: anything.clone() })
        .with(Paper { name: "lite", serves: both, settings_schema: port })
        .with(Paper {
            name: "edgex",
            serves: Serves::Applications(vec![Role::Gateway]),
            settings_schema: anything,
        })
}

#[test]
fn what_the_installation_cannot_serve_is_refused_at_its_place() {
    let text = "
apiVersion: iotorch.dev/v1alpha1
kind: Infrastructure
metadata: { name: edge-1 }
spec: { driver: locale, tier: edge }
---
apiVersion: iotorch.dev/v1alpha1
kind: Infrastructure
metadata: { name: edge-2 }
spec: { driver: lite, tier: edge }
---
apiVersion: iotorch.dev/v1alpha1
kind: Slice
metadata: { name: greenhouse }
spec:
  gateways:
    - { name: a, application: edgexx, placement: { infrastructure: edge-3 } }
    - { name: b, settings: { prot: 8080, port: 0, mode: tsl }, placement: { infrastructure: nowhere } }
  servers:
    - { name: hub, application: edgex, placement: { infrastructure: cloud-1 } }
  network:
    access: { technology: nr, driver: lite }
    transport: [ { between: [a, hub], settings: { vni: 4097 } } ]
";
    let documents = read("farm.yaml", text).unwrap();
    let known = BTreeSet::from(["cloud-1".parse().unwrap()]);
    insta::assert_snapshot!(documents.check(&drivers(), &known).unwrap_err().render());
}

#[test]
fn what_the_installation_serves_passes() {
    let text = "
apiVersion: iotorch.dev/v1alpha1
kind: Slice
metadata: { name: greenhouse }
spec:
  gateways: [ { name: gw, application: edgex, placement: { infrastructure: edge-1 } } ]
  servers: [ { name: hub, settings: { port: 8080, mode: tls } } ]
  network: { access: { technology: nr }, core: {} }
";
    let documents = read("farm.yaml", text).unwrap();
    documents.check(&drivers(), &BTreeSet::from(["edge-1".parse().unwrap()])).unwrap();
}

#[test]
fn the_schemas_in_the_documentation_are_current() {
    for (name, schema) in [("slice", schema::slice()), ("infrastructure", schema::infrastructure())] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/schema/{name}.json"));
        let want = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let have = fs::read_to_string(&path).unwrap_or_default();
        assert!(have == want, "{} is out of date: run cargo xtask schema", path.display());
    }
}

#[test]
fn a_text_that_is_not_utf_8_is_refused_at_its_first_wrong_byte() {
    let problems = Source::from_bytes("latin1.yaml", b"kind: Slice\n# gr\xfcn\n".to_vec()).unwrap_err();
    assert_eq!(problems.to_string(), "latin1.yaml:2:5: the text is not UTF-8");
}

#[test]
fn an_infrastructure_that_was_printed_reads_as_itself() {
    let spec = InfrastructureSpec::builder().driver("local".parse().unwrap()).tier(Tier::Edge).build();
    let infrastructure = Infrastructure { name: "edge-1".parse().unwrap(), spec };
    let (again, _) = read("edge-1.yaml", infrastructure.to_yaml().unwrap()).unwrap().into_parts();
    assert_eq!(again, [infrastructure]);
}

#[test]
fn a_slice_built_in_rust_is_checked_like_one_that_was_read() {
    let device = Device::builder().name("bench".parse().unwrap()).gateway("gv".parse().unwrap()).build();
    let gateway = Gateway::builder().name("gw".parse().unwrap()).build();
    let spec = SliceSpec::builder().gateways(vec![gateway]).devices(vec![device]).build();
    let slice = Slice { name: "greenhouse".parse().unwrap(), spec };
    insta::assert_snapshot!(Documents::from_parts(&[], &[slice]).unwrap_err().render());
}

#[test]
fn inputs_made_to_exhaust_the_reader_are_refused_in_time() {
    let header = slice_named("a").replace("spec: {}\n", "spec:\n");
    let many = |count: usize, each: &str| each.repeat(count);
    let hostile = [
        ("too large", " ".repeat(MAX_SOURCE + 1)),
        ("deep flow", "[".repeat(1 << 20)),
        ("deep blocks", many(1 << 18, "- ")),
        ("wide", format!("{header}  devices: [{}]\n", many(1 << 20, "{},"))),
        ("same names", format!("{header}  gateways: [{}]\n", many(100_000, "{name: a},"))),
        (
            "unknown gateways",
            format!("{header}  gateways: [{{name: a}}]\n  devices: [{}]\n", many(100_000, "{gateway: b},")),
        ),
        (
            "unknown fields",
            format!("{header}{}", (0..100_000).map(|at| format!("  x{at}: 1\n")).collect::<String>()),
        ),
        ("documents", many(100_000, "---\na\n")),
        ("broken documents", many(50_000, "---\n[\n")),
        ("anchors", format!("a: {}x\n", (0..60).map(|at| format!("&a{at} [")).collect::<String>())),
        ("one long name", format!("{header}  {}: 1\n", "x".repeat(1 << 22))),
        ("one long text", format!("{header}  onFailure: \"{}\"\n", "x".repeat(1 << 22))),
        ("tabs", "\t".repeat(1 << 20)),
        ("quotes", "'".repeat((1 << 20) + 1)),
        ("question marks", many(1 << 18, "? ")),
    ];
    for (what, text) in hostile {
        let start = Instant::now();
        let problems = read("hostile.yaml", text).expect_err(what);
        assert!(!problems.to_string().is_empty());
        assert!(problems.render().len() < 1 << 20, "{what}");
        assert!(start.elapsed() < PATIENCE, "{what} took {:?}", start.elapsed());
    }
}

#[test]
fn a_slice_of_ten_thousand_devices_is_read() {
    let devices = (0..10_000)
        .map(|at| format!("    - {{ name: d-{at}, gateway: gw, protocol: mqtt, profile: climate, labels: {{ row: \"{at}\" }} }}\n"))
        .collect::<String>();
    let text = slice_named("field").replace(
        "spec: {}\n",
        &format!(
            "spec:\n  gateways: [ {{ name: gw }} ]\n  profiles: [ {{ name: climate, resources: [ {{ name: t, type: float }} ] }} ]\n  devices:\n{devices}"
        ),
    );
    let documents = read("field.yaml", text).unwrap();
    assert_eq!(documents.slices().next().unwrap().spec.devices.len(), 10_000);
}

/// A few edits of a text, each of which puts something else in place of some bytes.
fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, Vec<u8>)>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..4),
        prop::sample::select(vec![
            "\n", "\t", "\r", "\r\n", "  ", "- ", ": ", "{", "}", "[", "]", "*a", "&a ", "!!str ", "? ",
            "---\n", "|\n", "\"", "'", "#", "<<: ", "\u{feff}", "0", "é"
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, piece), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_slice_that_was_printed_reads_as_itself(slice in strategies::slice()) {
        let text = slice.to_yaml().unwrap();
        match read("printed.yaml", text.as_str()) {
            Ok(documents) => {
                let (_, again) = documents.into_parts();
                prop_assert_eq!(again, vec![slice]);
            }
            Err(problems) => prop_assert!(false, "{}\n{text}", problems.render()),
        }
    }

    #[test]
    fn no_edit_of_a_good_document_makes_the_reader_panic_or_hang(file in any::<prop::sample::Index>(), edits in edits()) {
        let files = files("good");
        let mut bytes = file.get(&files).1.clone().into_bytes();
        for (at, length, piece) in edits {
            let start = at.index(bytes.len() + 1);
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, piece);
        }
        let start = Instant::now();
        if let Err(problems) = Source::from_bytes("edited.yaml", bytes).and_then(|source| Documents::read(vec![source])) {
            prop_assert!(problems.len() > 0);
            prop_assert!(!problems.render().contains("invalid type"), "{}", problems.render());
        }
        prop_assert!(start.elapsed() < PATIENCE);
    }
}
