//! The charts that come with iotorch, looked at by both versions of `helm` (`IOTORCH_HELM3`, `IOTORCH_HELM4`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "charts/rendered.rs"]
mod rendered;

use std::{
    collections::BTreeSet,
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

use libtest_mimic::{Arguments, Trial};
use rendered::Rendered;

const HELMS: [(&str, &str); 2] = [("helm3", "IOTORCH_HELM3"), ("helm4", "IOTORCH_HELM4")];

/// The Secret that charts are told of.
const SECRET: &str = "adminSecret.name=token";

/// The fewest values with which an image may play all services.
const TOGETHER: [&str; 3] =
    ["allInOne.enabled=true", "allInOne.image.repository=example.org/all", "allInOne.image.tag=one"];

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for (version, variable) in HELMS {
        let helm = program(variable);
        let is_ignored = helm.is_none() && !is_required(version);
        let mut trial = |name: String, test: Box<dyn FnOnce(&Helm) + Send>| {
            let helm = helm.clone();
            let trial = Trial::test(name, move || {
                test(&Helm(helm.ok_or("it is absent")?));
                Ok(())
            });
            trials.push(trial.with_kind(version).with_ignored_flag(is_ignored));
        };
        for chart in ["iotorch-gateway", "iotorch-server", "edgex", "mainflux"] {
            trial(format!("{chart}_passes_a_strict_lint"), Box::new(move |helm| lint(helm, chart)));
            trial(
                format!("{chart}_refuses_values_that_it_does_not_have"),
                Box::new(move |helm| refusals(helm, chart)),
            );
        }
        for (name, chart, values) in SHAPES {
            trial(
                format!("{name}_is_made_of_these_objects"),
                Box::new(move |helm| shape(helm, name, chart, values)),
            );
            trial(
                format!("{name}_has_secrets_from_the_secret_alone"),
                Box::new(move |helm| secrets(helm, chart, values)),
            );
            trial(
                format!("{name}_names_nothing_twice_in_a_list"),
                Box::new(move |helm| assert_eq!(helm.render("gw", chart, values).named_twice(), None)),
            );
            trial(
                format!("{name}_has_only_fields_that_kubernetes_knows"),
                Box::new(move |helm| assert_eq!(helm.render("gw", chart, values).unknown_field(), None)),
            );
            trial(
                format!("{name}_shares_no_object_with_another_release"),
                Box::new(move |helm| apart(helm, chart, values)),
            );
        }
        for (chart, file) in [("edgex", "edgex-fake.yaml"), ("mainflux", "mainflux-fake.yaml")] {
            trial(
                format!("{chart}_takes_its_images_from_the_values_of_tests"),
                Box::new(move |helm| fake(helm, chart, file)),
            );
        }
        trial("every_endpoint_of_an_application_is_a_port".to_owned(), Box::new(endpoints));
        trial("permissions_may_be_decided_by_files_of_the_values".to_owned(), Box::new(authorization));
        trial("files_for_compose_have_the_images_of_the_charts".to_owned(), Box::new(compose));
        trial("each_part_can_be_other_than_it_is".to_owned(), Box::new(parts));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what there is")]
fn program(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Whether this system must be there, as CONTRIBUTING.md says.
#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what must be there")]
fn is_required(system: &str) -> bool {
    let required = env::var("IOTORCH_REQUIRE").unwrap_or_default();
    required.split(',').any(|word| ["all", system].contains(&word.trim()))
}

/// A `helm`.
struct Helm(PathBuf);

impl Helm {
    fn run(&self, verb: &[&str], chart: &str, values: &[&str]) -> Output {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts").join(chart);
        let mut helm = Command::new(&self.0);
        helm.args(verb).arg(folder).args(values.iter().flat_map(|value| ["--set", value]));
        helm.output().unwrap()
    }

    fn render(&self, release: &str, chart: &str, values: &[&str]) -> Rendered {
        let values: Vec<_> = [SECRET].iter().chain(values).copied().collect();
        let output = self.run(&["template", release], chart, &values);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Rendered::of(&String::from_utf8(output.stdout).unwrap())
    }
}

fn lint(helm: &Helm, chart: &str) {
    let output = helm.run(&["lint", "--strict"], chart, &[SECRET]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn refusals(helm: &Helm, chart: &str) {
    const LITE: &[(&[&str], &str)] = &[
        (&[SECRET, "image.pullPolicy=Sometimes"], "pullPolicy"),
        (&[SECRET, "imagee.tag=1"], "imagee"),
        (&[], "adminSecret"),
    ];
    const PARTS: &[(&[&str], &str)] = &[
        (&[SECRET, "pullPolicy=Sometimes"], "pullPolicy"),
        (&[SECRET, "components.redis2.enabled=true"], "redis2"),
        (&[SECRET, "components.mqtt.imagee.tag=a"], "imagee"),
        (&[SECRET, "components.mqtt.data.size=much"], "size"),
        // An image that nobody has named cannot be run.
        (&[SECRET, "allInOne.enabled=true"], "allInOne"),
        (&[], "adminSecret"),
    ];
    const EDGEX: &[(&[&str], &str)] = &[
        (&[SECRET, "settings.deviceServices={device-modbus}"], "deviceServices"),
        (&[SECRET, "settings.export=kafka"], "export"),
    ];
    const MAINFLUX: &[(&[&str], &str)] = &[
        (&[SECRET, "settings.release=0.13.0"], "release"),
        // It is a part of another release.
        (&[SECRET, "settings.release=0.19.1", "components.things.enabled=true"], "things"),
        (&[SECRET, "settings.release=0.19.1", "authorization.schema=definition"], "go together"),
    ];
    let refused = match chart {
        "edgex" => [PARTS, EDGEX].concat(),
        "mainflux" => [PARTS, MAINFLUX].concat(),
        _ => LITE.to_vec(),
    };
    for (values, fault) in refused {
        let output = helm.run(&["template", "gw"], chart, values);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(fault), "{values:?}: {told}");
    }
}

type Shape = (&'static str, &'static str, &'static [&'static str]);

const SHAPES: [Shape; 7] = [
    ("edgex", "edgex", &[]),
    (
        "edgex_with_all_services",
        "edgex",
        &["settings.export=edgex", "settings.deviceServices={device-mqtt,device-rest,device-coap}"],
    ),
    ("edgex_in_one_pod", "edgex", &TOGETHER),
    ("mainflux", "mainflux", &[]),
    ("supermq", "mainflux", &["settings.release=0.19.1"]),
    ("magistrala", "mainflux", &["settings.release=0.30.0"]),
    ("mainflux_in_one_pod", "mainflux", &TOGETHER),
];

fn shape(helm: &Helm, name: &str, chart: &str, values: &[&str]) {
    insta::assert_snapshot!(name, helm.render("gw", chart, values).to_string());
}

fn secrets(helm: &Helm, chart: &str, values: &[&str]) {
    let rendered = helm.render("gw", chart, values);
    let mut found = 0;
    for (name, value) in rendered.variables() {
        let is_secret = ["PASS", "PASSWORD", "_SECRET", "_SECRET_KEY", "_TOKEN", "SHARED_KEY"]
            .iter()
            .any(|end| name.ends_with(end));
        if is_secret {
            found += 1;
            assert!(["<token>", "<inner>"].contains(&value.as_str()), "{name} is {value}");
        }
    }
    assert!(found > 0);
}

fn apart(helm: &Helm, chart: &str, values: &[&str]) {
    let [one, other] = ["gw", "gw-2"].map(|release| helm.render(release, chart, values).names());
    assert!(!one.is_empty() && one.is_disjoint(&other), "{:?}", one.intersection(&other).collect::<Vec<_>>());
    // What a release calls is its own.
    let told = helm.render("gw-2", chart, values).to_string();
    assert!(one.iter().all(|(_, name)| !told.contains(&format!("{name}:"))), "{told}");
}

/// Names of ports, as the drivers of the applications know them.
fn endpoints(helm: &Helm) {
    let family = ["auth", "users", "domains", "groups", "channels", "clients", "http", "mqtt"];
    let with = |more: &[&'static str]| [&family[..], more].concat();
    for (chart, values, expected) in [
        ("edgex", &[][..], vec!["metadata", "command", "keeper", "device-mqtt", "mqtt", "bridge"]),
        (
            "edgex",
            &["settings.export=edgex", "settings.deviceServices={device-mqtt,device-rest,device-coap}"],
            vec!["device-rest", "device-coap", "coap", "app-mqtt-export"],
        ),
        ("mainflux", &[], vec!["auth", "users", "things", "http", "mqtt", "reader"]),
        ("mainflux", &["settings.release=0.19.1"], with(&[])),
        ("mainflux", &["settings.release=0.30.0"], with(&["rules", "reader"])),
    ] {
        let apart = helm.render("gw", chart, values).ports();
        let together = helm.render("gw", chart, &[&TOGETHER, values].concat()).ports();
        for name in expected {
            assert!(apart.contains_key(name) && together.contains_key(name), "{chart} {values:?}: {name}");
        }
        let outside: BTreeSet<_> =
            apart.iter().filter(|(_, kind)| *kind == "NodePort").map(|(name, _)| name.as_str()).collect();
        assert!(outside.is_subset(&["mqtt", "coap"].into()), "{outside:?}");
        assert!(outside.contains("mqtt"));
    }
}

fn authorization(helm: &Helm) {
    let release = "settings.release=0.19.1";
    let fetched = helm.render("hub", "mainflux", &[release]).to_string();
    assert!(fetched.contains("curlimages/curl"));
    let values =
        [release, "authorization.schema=definition user {}", "authorization.permissions=clients: {}"];
    let given = helm.render("hub", "mainflux", &values).to_string();
    assert!(!given.contains("curlimages/curl") && given.contains("definition user {}"), "{given}");
}

fn parts(helm: &Helm) {
    let values = [
        "components.keeper.image.tag=4.0.9",
        "components.config.image.repository=registry.example.org/config",
        "components.command.enabled=false",
        "components.device-rest.enabled=true",
        "components.device-rest.service.type=NodePort",
        "components.device-mqtt.env.MQTTBROKERINFO_HOST=broker.example.org",
        "components.mqtt.data.size=1Gi",
        "bridge.settings.outboxLimit=5000",
        "persistence.storageClass=fast",
    ];
    let told = helm.render("gw", "edgex", &values).to_string();
    for expected in [
        "edgexfoundry/core-keeper:4.0.9",
        "registry.example.org/config:4.0.1",
        "MQTTBROKERINFO_HOST=broker.example.org",
        "Service gw-device-rest, NodePort",
        "PersistentVolumeClaim gw-mqtt: 1Gi of fast",
        "outboxLimit: 5000",
        "IOTORCH_BUS_CREDENTIALS=edgex:",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    assert!(!told.contains("gw-command"), "{told}");
}

/// The values with which tests have the fakes in the place of the applications.
fn fake(helm: &Helm, chart: &str, file: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charts").join(file);
    let output = helm.run(&["template", "gw", "--values", file.to_str().unwrap()], chart, &[SECRET]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rendered = Rendered::of(&String::from_utf8(output.stdout).unwrap());
    for image in rendered.images() {
        assert!(image.starts_with("iotorch.test/") || image == "iotorch:dev", "{image}");
    }
    assert!(rendered.names().contains(&("StatefulSet".to_owned(), "gw-all".to_owned())));
}

fn compose(helm: &Helm) {
    let all = ["settings.deviceServices={device-mqtt,device-rest}", "settings.export=edgex"];
    for (chart, values) in [("edgex", &all[..]), ("mainflux", &[])] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/compose/{chart}.yaml"));
        let file: serde_json::Value =
            serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let services = file["services"].as_object().unwrap();
        let known = helm.render("gw", chart, values).images();
        for (name, service) in services {
            let image = service["image"].as_str().unwrap();
            assert!(known.iter().any(|known| known == image), "{name} of {chart} is {image}");
        }
    }
}
