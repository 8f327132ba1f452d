//! How clusters that cannot be used are told, and that the permissions of the documentation are enough, on two real clusters.
//!
//! The kubeconfig of `IOTORCH_KUBECONFIG` also has the users `edge-1-nobody` and `cloud-1-nobody`, that may do nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

use std::{
    ffi::OsStr,
    fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};

use common::{CLUSTERS, System, apply, eventually, is_required, lite, text, told};

/// How soon what stands in the way has to be told: a connection is waited for 5 s, and the machine may be busy.
const SOON: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let system = System::find().and_then(|system| match system.helm3 {
        None if is_required("helm3") => Err("helm3"),
        _ => Ok(system),
    });
    let trial =
        |name: &str, test: fn(&Bench)| common::trial(&system, name, move |system| test(&Bench::new(system)));
    let has_helm3 = system.as_ref().is_ok_and(|system| system.helm3.is_some());
    let helm3 = |trial: Trial| match has_helm3 || is_required("helm3") {
        true => trial,
        false => trial.with_kind("helm3 is absent").with_ignored_flag(true),
    };
    let trials = vec![
        trial("a_user_without_permissions_is_told_all_that_are_missing_on_all_clusters", nobody),
        trial("a_plan_is_refused_when_a_permission_was_taken_away_since", taken_away),
        trial("a_token_that_has_expired_is_told_as_that", expired),
        trial("a_context_that_is_not_there_is_told_with_those_that_are", wrong_context),
        trial("a_server_that_does_not_answer_is_told_within_seconds", unreachable),
        trial("a_certificate_authority_of_another_cluster_is_told_as_that", wrong_authority),
        trial("the_permissions_of_the_documentation_are_enough_for_a_slice_by_helm_4", enough_for_helm_4),
        helm3(trial(
            "the_permissions_of_the_documentation_are_enough_for_a_slice_by_helm_3",
            enough_for_helm_3,
        )),
        trial("one_permission_less_is_seen_by_the_check", one_less),
        trial("infrastructures_are_added_checked_and_listed", session),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A bench with a kubeconfig of its own, and one slice, whose name a user and a role have too.
struct Bench {
    base: common::Bench,
    name: String,
}

impl Drop for Bench {
    fn drop(&mut self) {
        for cluster in CLUSTERS {
            for object in ["clusterrolebinding", "clusterrole"] {
                let _ =
                    self.base.system.kubectl(cluster, &["delete", object, &self.name, "--ignore-not-found"]);
            }
        }
    }
}

impl Bench {
    fn new(system: System) -> Self {
        let mut base = common::Bench::new(system, "access");
        base.kubeconfig = base.home.path().join("kubeconfig.json");
        let mut spec = lite(1);
        for (parts, place) in [("gateways", "edge-1"), ("servers", "cloud-1")] {
            spec[parts][0]["placement"] = json!({ "infrastructure": place });
        }
        let name = base.document("slice", &spec);
        let bench = Self { base, name };
        bench.kubeconfig(|_| {});
        bench
    }

    /// Changes the kubeconfig: that of the clusters, as it is at first.
    fn kubeconfig(&self, change: impl FnOnce(&mut Value)) {
        let text = fs::read_to_string(&self.base.system.kubeconfig).unwrap();
        let mut config = serde_json::from_str(&text).unwrap();
        change(&mut config);
        self.base.write("kubeconfig", &config);
    }

    /// Applying the slice ends soon with this code and says all of this; nothing of it is anywhere.
    fn refuses(&self, code: i32, causes: &[&str]) {
        self.refuses_to(&apply(&["slice"]), code, causes);
    }

    fn refuses_to<S: AsRef<OsStr>>(&self, arguments: &[S], code: i32, causes: &[&str]) {
        let begun = Instant::now();
        let output = self.base.iotorch(arguments);
        let (took, told) = (begun.elapsed(), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{told}");
        let missing: Vec<_> = causes.iter().filter(|cause| !told.contains(**cause)).collect();
        assert!(missing.is_empty(), "it does not say {missing:?}:\n{told}");
        assert_eq!(told.matches("error:").count(), 1, "{told}");
        assert!(took < SOON, "it took {took:?}: {told}");
        self.expect_gone();
    }

    fn expect_gone(&self) {
        self.base.expect_gone(&self.name);
    }

    /// Makes a user on both clusters that has the role of the documentation but for what `without` takes from it, and has the
    /// documents use it.
    fn restrict(&self, without: (&str, &str)) {
        let docs = include_str!("../../../docs/kubernetes.md");
        let role = docs.split("```").find(|block| block.contains("kind: ClusterRole\n")).unwrap();
        let role =
            role.strip_prefix("yaml\n").unwrap().replace("name: iotorch", &format!("name: {}", self.name));
        let role = role.replace(without.0, without.1);
        for cluster in CLUSTERS {
            let made = self.base.system.kubectl_with(cluster, &["apply", "-f", "-"], &role);
            assert!(made.status.success(), "{}", text(&made.stderr));
            let role = format!("--clusterrole={}", self.name);
            let user = format!("--user={}", self.name);
            let bind = ["create", "clusterrolebinding", &self.name, &role, &user];
            self.base.system.kubectl_told(cluster, &bind);
        }
        self.base.places(|settings| settings["impersonate"] = json!({ "user": self.name }));
    }
}

/// Has the contexts of a kubeconfig be of users without permissions.
fn as_nobody(config: &mut Value) {
    for context in config["contexts"].as_array_mut().unwrap() {
        let name = context["name"].as_str().unwrap().to_owned();
        context["context"]["user"] = format!("{name}-nobody").into();
    }
}

fn nobody(bench: &Bench) {
    bench.kubeconfig(as_nobody);
    bench.refuses(
        7,
        &[
            "cannot place gateway \"gw\" and server \"hub\"",
            "edge-1   refuses: user \"nobody\" lacks",
            "cloud-1  refuses: user \"nobody\" lacks",
            "namespaces: create, delete, get, list, patch",
            "statefulsets.apps: create, delete, get, list, patch, update, watch",
            "pods/portforward: create, get",
            "docs/kubernetes.md",
        ],
    );
    let check = bench.base.iotorch(&["infra", "check", "-f", "edge-1.json", "--output", "json"]);
    assert_eq!(check.status.code(), Some(7));
    let found: Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!((&found[0]["isUsable"], &found[0]["inspection"]["user"]), (&json!(false), &json!("nobody")));
    let permission = json!({ "permission": { "verb": "list", "object": "nodes" } });
    assert!(found[0]["inspection"]["missing"].as_array().unwrap().contains(&permission), "{found}");
}

fn taken_away(bench: &Bench) {
    let files = ["-f", "edge-1.json", "-f", "cloud-1.json", "-f", "slice.json"];
    bench.base.told(&[&["plan", "--out", "slice.plan"], &files[..]].concat());
    bench.kubeconfig(as_nobody);
    bench.refuses_to(
        &["apply", "--plan", "slice.plan"],
        7,
        &["cannot apply the plan", "user \"nobody\" lacks", "nodes: list"],
    );
    assert_eq!(bench.base.told(&["get", "infrastructures"]), "no infrastructures\n");
}

fn expired(bench: &Bench) {
    // A signature is not looked at before a date that has passed: https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4. The
    // claims are {"exp":1700000000}.
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE3MDAwMDAwMDB9.c2lnbmF0dXJl";
    let with = |token: &str| {
        bench.kubeconfig(|config| {
            for user in config["users"].as_array_mut().unwrap() {
                user["user"] = json!({ "token": token });
            }
        });
    };
    with(token);
    bench.refuses(
        7,
        &["the token of the kubeconfig's user expired at 2023-11-14T22:13:20Z", "fetch a new one"],
    );
    with("nobody-knows-this");
    bench.refuses(7, &["the API server does not accept the credentials (401)", "fetch a new one"]);
}

fn wrong_context(bench: &Bench) {
    bench.base.places(|settings| settings["context"] = "edge-2".into());
    bench.refuses(
        3,
        &["cannot be used: the kubeconfig has no context \"edge-2\"", "it has \"edge-1\", \"cloud-1\""],
    );
}

fn unreachable(bench: &Bench) {
    let at = |server: &str| {
        bench.kubeconfig(|config| {
            for cluster in config["clusters"].as_array_mut().unwrap() {
                cluster["cluster"]["server"] = server.into();
            }
        });
    };
    // Nobody listens at the first; the second is for documentation and routed nowhere (RFC 5737).
    at("https://127.0.0.1:9");
    bench.refuses(7, &["cannot be reached: ", "onnection refused"]);
    at("https://192.0.2.1:6443");
    bench.refuses(7, &["cannot be reached: "]);
    let check = bench.base.iotorch(&["infra", "check", "-f", "edge-1.json"]);
    assert_eq!(check.status.code(), Some(7), "{}", text(&check.stderr));
    assert!(text(&check.stdout).contains("Unreachable: "), "{}", text(&check.stdout));
}

fn wrong_authority(bench: &Bench) {
    bench.kubeconfig(|config| {
        let other = config["clusters"][1]["cluster"]["certificate-authority-data"].clone();
        assert!(other.is_string(), "the kubeconfig holds its authorities");
        config["clusters"][0]["cluster"]["certificate-authority-data"] = other;
    });
    bench.refuses(
        3,
        &[
            "infrastructure \"edge-1\" cannot be used: the certificate of the API server is not accepted",
            "may be one of another cluster",
        ],
    );
}

/// A slice from its making to its end, with a change that somebody else makes, which needs an upgrade.
fn enough(bench: &Bench, helm: &Path) {
    bench.restrict(("", ""));
    let iotorch = |arguments: &[&str]| bench.base.command(helm, arguments).output().unwrap();
    let told = |arguments: &[&str]| told(&iotorch(arguments));
    let checked = told(&["infra", "check", "-f", "edge-1.json", "-f", "cloud-1.json"]);
    assert_eq!(checked.matches("Ready").count(), 2, "{checked}");
    assert!(!checked.contains("warning") && checked.contains(&bench.name), "{checked}");
    let apply = apply(&["slice"]);
    told(&apply.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(told(&["plan", "-f", "slice.json"]).starts_with("No changes"));
    let slice = bench.name.as_str();
    let send = || iotorch(&["send", slice, "bench-1", "temperature=21.5"]).status.success();
    eventually("the gateway takes a reading", send);
    eventually("the reading is at the server", || told(&["messages", slice]).contains("21.5"));
    let scale = ["--namespace", slice, "scale", "statefulset", "gw", "--replicas=0"];
    assert!(bench.base.system.kubectl("edge-1", &scale).status.success());
    eventually("the change is seen", || !told(&["status", slice]).contains("Ready"));
    told(&["apply", slice]);
    eventually("it is as it was", || told(&["status", slice]).contains("Ready"));
    told(&["delete", slice, "--yes"]);
    bench.expect_gone();
}

fn enough_for_helm_4(bench: &Bench) {
    enough(bench, &bench.base.system.helm4);
}

fn enough_for_helm_3(bench: &Bench) {
    enough(bench, bench.base.system.helm3.as_ref().unwrap());
}

fn one_less(bench: &Bench) {
    bench.restrict(("resources: [\"pods/log\"]", "resources: [\"pods/status\"]"));
    bench.refuses(7, &["lacks 1 permission", "  pods/log: get\n"]);
}

fn session(bench: &Bench) {
    bench.base.told(&[
        "infra",
        "add",
        "edge-1",
        "--tier",
        "edge",
        "--context",
        "edge-1",
        "--label",
        "site=north",
    ]);
    let listed = bench.base.told(&["infra", "list"]);
    assert!(listed.contains("edge-1          kubernetes  edge  Ready  v1."), "{listed}");
    assert!(listed.contains("1/1    0"), "{listed}");
    bench.refuses_to(
        &["infra", "add", "edge-1", "--tier", "edge"],
        4,
        &["cannot add infrastructure \"edge-1\": there is one of that name already"],
    );
    bench.refuses_to(
        &["infra", "add", "cloud-1", "--tier", "cloud", "--context", "cloud-2"],
        3,
        &["cannot add infrastructure \"cloud-1\": the kubeconfig has no context \"cloud-2\"", "--no-check"],
    );
    let document =
        bench.base.told(&["infra", "add", "cloud-1", "--tier", "cloud", "--context", "cloud-1", "--dry-run"]);
    assert!(!bench.base.told(&["get", "infrastructures"]).contains("cloud-1"));
    fs::write(bench.base.home.path().join("printed.yaml"), document).unwrap();
    bench.base.told(&["apply", "-f", "printed.yaml"]);
    let checked = bench.base.told(&["infra", "check"]);
    assert_eq!(checked.matches("  Ready\n").count(), 2, "{checked}");
    assert!(checked.contains("user        admin") && checked.contains("1 of 1 ready"), "{checked}");

    bench.kubeconfig(as_nobody);
    let here = bench.base.home.path().join("admin");
    fs::copy(&bench.base.system.kubeconfig, here).unwrap();
    let refused = bench.base.iotorch(&["infra", "check", "edge-1"]);
    assert_eq!(refused.status.code(), Some(7), "{}", text(&refused.stdout));
    bench.base.told(&["infra", "check", "edge-1", "--kubeconfig", "admin"]);
    bench.base.told(&["infra", "check", "--kubeconfig", "admin", "--context", "cloud-1"]);
    bench.base.told(&[
        "k8scluster",
        "create",
        "--name",
        "pc",
        "--k8scontext",
        "edge-1",
        "--kubeconfig",
        "admin",
    ]);
    let stored = bench.base.told(&["k8scluster", "get", "--name", "pc"]);
    assert!(stored.contains(&bench.base.home.path().join("admin").display().to_string()), "{stored}");
    assert!(bench.base.told(&["k8scluster", "list"]).contains("pc              kubernetes  cloud  Ready"));
}
