//! How clusters that cannot be used are told, and that the permissions of the documentation are enough, on two real clusters.
//!
//! `IOTORCH_KUBECONFIG` has the contexts `edge-1` and `cloud-1` with users that may do everything, and the users `edge-1-nobody` and
//! `cloud-1-nobody` that may do nothing; `IOTORCH_HELM4` is a helm, `IOTORCH_HELM3` another if it is there, `IOTORCH_KUBECTL` a
//! kubectl, and `IOTORCH_LITE_IMAGE` an image of iotorch that both clusters have; `cargo xtask testbed up k8s` brings up such
//! clusters.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    env, fs,
    io::Write,
    path::PathBuf,
    process::{Command, ExitCode, Output, Stdio},
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How soon what stands in the way has to be told: a connection is waited for 5 s, and the machine may be busy.
const SOON: Duration = Duration::from_secs(15);

const CLUSTERS: [&str; 2] = ["edge-1", "cloud-1"];

fn main() -> ExitCode {
    let system = System::find();
    let is_ignored = system.as_ref().is_err_and(|missing| !is_required(missing));
    let trial = |name: &str, test: fn(&Bench)| {
        let kind = system
            .as_ref()
            .err()
            .map_or_else(|| "kubernetes".to_owned(), |missing| format!("{missing} is absent"));
        let found = system.clone();
        let trial = Trial::test(name, move || {
            test(&Bench::new(found.map_err(|missing| format!("{missing} is absent"))?));
            Ok(())
        });
        trial.with_kind(kind).with_ignored_flag(is_ignored)
    };
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

/// What there is to test with.
#[derive(Clone, Debug)]
struct System {
    kubeconfig: PathBuf,
    helm4: PathBuf,
    helm3: Option<PathBuf>,
    kubectl: PathBuf,
    image: String,
}

impl System {
    #[allow(clippy::disallowed_methods, reason = "a test is told by the environment what there is")]
    fn find() -> Result<Self, &'static str> {
        let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let helm3 = set("IOTORCH_HELM3").map(PathBuf::from);
        if helm3.is_none() && is_required("helm3") {
            return Err("helm3");
        }
        Ok(Self {
            kubeconfig: set("IOTORCH_KUBECONFIG").ok_or("kubernetes")?.into(),
            helm4: set("IOTORCH_HELM4").ok_or("helm4")?.into(),
            helm3,
            kubectl: set("IOTORCH_KUBECTL").unwrap_or_else(|| "kubectl".to_owned()).into(),
            image: set("IOTORCH_LITE_IMAGE").ok_or("kubernetes")?,
        })
    }
}

/// Whether this system must be there, as CONTRIBUTING.md says.
#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what must be there")]
fn is_required(system: &str) -> bool {
    let required = env::var("IOTORCH_REQUIRE").unwrap_or_default();
    required.split(',').any(|word| ["all", system].contains(&word.trim()))
}

/// A home directory with a kubeconfig of its own, and a name that nobody else has: that of its slice, and of a user and a role.
struct Bench {
    system: System,
    home: TempDir,
    name: String,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Whatever a test has left when it failed; those that are in order have no namespace.
        for cluster in CLUSTERS {
            for object in ["namespace", "clusterrolebinding", "clusterrole"] {
                let _ = self.kubectl(
                    cluster,
                    &["delete", object, &self.name, "--wait=false", "--ignore-not-found"],
                    "",
                );
            }
        }
    }
}

impl Bench {
    fn new(system: System) -> Self {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().file_name().unwrap().to_string_lossy().to_lowercase();
        let name = format!("access-{}", own.trim_matches(|c: char| !c.is_ascii_alphanumeric()));
        let bench = Self { system, home, name };
        bench.kubeconfig(|_| {});
        bench.documents(|_| {});
        let resource = json!({ "name": "temperature", "type": "float", "unit": "Cel" });
        let on = |place: &str| json!({ "infrastructure": place });
        let spec = json!({ "gateways": [{ "name": "gw", "placement": on("edge-1") }],
            "servers": [{ "name": "hub", "placement": on("cloud-1") }],
            "devices": [{ "name": "bench-1", "protocol": "http", "resources": [resource] }] });
        bench.write(
            "slice.json",
            &json!({ "apiVersion": "iotorch.dev/v1alpha1", "kind": "Slice",
            "metadata": { "name": bench.name }, "spec": spec }),
        );
        bench
    }

    fn write(&self, name: &str, value: &Value) {
        fs::write(self.home.path().join(name), value.to_string()).unwrap();
    }

    /// Changes the kubeconfig: that of the clusters, as it is at first.
    fn kubeconfig(&self, change: impl FnOnce(&mut Value)) {
        let text = fs::read_to_string(&self.system.kubeconfig).unwrap();
        let mut config = serde_json::from_str(&text).unwrap();
        change(&mut config);
        self.write("kubeconfig", &config);
    }

    /// Writes the documents of both clusters, with their settings changed.
    fn documents(&self, change: impl Fn(&mut Value)) {
        let (repository, tag) = self.system.image.rsplit_once(':').unwrap();
        let image = json!({ "repository": repository, "tag": tag, "pullPolicy": "Never" });
        for (name, tier) in CLUSTERS.into_iter().zip(["edge", "cloud"]) {
            let mut settings = json!({ "context": name, "lite": { "image": image } });
            change(&mut settings);
            let spec = json!({ "driver": "kubernetes", "tier": tier, "settings": settings });
            self.write(
                &format!("{name}.json"),
                &json!({ "apiVersion": "iotorch.dev/v1alpha1", "kind": "Infrastructure", "metadata": { "name": name },
                    "spec": spec }),
            );
        }
    }

    fn iotorch_by(&self, helm: &PathBuf, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iotorch"));
        command.args(arguments).current_dir(self.home.path()).env_clear().env("HOME", self.home.path());
        command.env("KUBECONFIG", self.home.path().join("kubeconfig"));
        command.env("IOTORCH_HELM", helm).output().unwrap()
    }

    fn iotorch(&self, arguments: &[&str]) -> Output {
        self.iotorch_by(&self.system.helm4, arguments)
    }

    fn told(&self, arguments: &[&str]) -> String {
        let output = self.iotorch(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn kubectl(&self, cluster: &str, arguments: &[&str], input: &str) -> Output {
        let mut kubectl = Command::new(&self.system.kubectl);
        kubectl.args(["--context", cluster]).args(arguments).env("KUBECONFIG", &self.system.kubeconfig);
        kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut kubectl = kubectl.spawn().unwrap();
        kubectl.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        kubectl.wait_with_output().unwrap()
    }

    /// Applying the slice ends soon with this code and says all of this; nothing of it is anywhere.
    fn refuses(&self, code: i32, causes: &[&str]) {
        self.refuses_to(
            &["apply", "-f", "edge-1.json", "-f", "cloud-1.json", "-f", "slice.json"],
            code,
            causes,
        );
    }

    fn refuses_to(&self, arguments: &[&str], code: i32, causes: &[&str]) {
        let begun = Instant::now();
        let output = self.iotorch(arguments);
        let (took, told) = (begun.elapsed(), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{told}");
        let missing: Vec<_> = causes.iter().filter(|cause| !told.contains(**cause)).collect();
        assert!(missing.is_empty(), "it does not say {missing:?}:\n{told}");
        assert_eq!(told.matches("error:").count(), 1, "{told}");
        assert!(took < SOON, "it took {took:?}: {told}");
        self.expect_gone();
    }

    fn expect_gone(&self) {
        for cluster in CLUSTERS {
            let get = ["get", "namespace", &self.name, "--ignore-not-found", "--output", "name"];
            let found = self.kubectl(cluster, &get, "");
            assert_eq!(text(&found.stdout), "", "on {cluster}: {}", text(&found.stderr));
        }
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
            let made = self.kubectl(cluster, &["apply", "-f", "-"], &role);
            assert!(made.status.success(), "{}", text(&made.stderr));
            let role = format!("--clusterrole={}", self.name);
            let user = format!("--user={}", self.name);
            let bound =
                self.kubectl(cluster, &["create", "clusterrolebinding", &self.name, &role, &user], "");
            assert!(bound.status.success(), "{}", text(&bound.stderr));
        }
        self.documents(|settings| settings["impersonate"] = json!({ "user": self.name }));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "{what} does not come true");
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
    let check = bench.iotorch(&["infra", "check", "-f", "edge-1.json", "--output", "json"]);
    assert_eq!(check.status.code(), Some(7));
    let found: Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!((&found[0]["isUsable"], &found[0]["inspection"]["user"]), (&json!(false), &json!("nobody")));
    let permission = json!({ "permission": { "verb": "list", "object": "nodes" } });
    assert!(found[0]["inspection"]["missing"].as_array().unwrap().contains(&permission), "{found}");
}

fn taken_away(bench: &Bench) {
    let files = ["-f", "edge-1.json", "-f", "cloud-1.json", "-f", "slice.json"];
    bench.told(&[&["plan", "--out", "slice.plan"], &files[..]].concat());
    bench.kubeconfig(as_nobody);
    bench.refuses_to(
        &["apply", "--plan", "slice.plan"],
        7,
        &["cannot apply the plan", "user \"nobody\" lacks", "nodes: list"],
    );
    assert_eq!(bench.told(&["get", "infrastructures"]), "no infrastructures\n");
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
    bench.documents(|settings| settings["context"] = "edge-2".into());
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
    let check = bench.iotorch(&["infra", "check", "-f", "edge-1.json"]);
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
fn enough(bench: &Bench, helm: &PathBuf) {
    bench.restrict(("", ""));
    let told = |arguments: &[&str]| {
        let output = bench.iotorch_by(helm, arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let checked = told(&["infra", "check", "-f", "edge-1.json", "-f", "cloud-1.json"]);
    assert_eq!(checked.matches("Ready").count(), 2, "{checked}");
    assert!(!checked.contains("warning") && checked.contains(&bench.name), "{checked}");
    told(&["apply", "-f", "edge-1.json", "-f", "cloud-1.json", "-f", "slice.json"]);
    assert!(told(&["plan", "-f", "slice.json"]).starts_with("No changes"));
    let slice = bench.name.as_str();
    let send = || bench.iotorch_by(helm, &["send", slice, "bench-1", "temperature=21.5"]).status.success();
    eventually("the gateway takes a reading", send);
    eventually("the reading is at the server", || told(&["messages", slice]).contains("21.5"));
    let scale = ["--namespace", slice, "scale", "statefulset", "gw", "--replicas=0"];
    assert!(bench.kubectl("edge-1", &scale, "").status.success());
    eventually("the change is seen", || !told(&["status", slice]).contains("Ready"));
    told(&["apply", slice]);
    eventually("it is as it was", || told(&["status", slice]).contains("Ready"));
    told(&["delete", slice, "--yes"]);
    bench.expect_gone();
}

fn enough_for_helm_4(bench: &Bench) {
    enough(bench, &bench.system.helm4);
}

fn enough_for_helm_3(bench: &Bench) {
    enough(bench, bench.system.helm3.as_ref().unwrap());
}

fn one_less(bench: &Bench) {
    bench.restrict(("resources: [\"pods/log\"]", "resources: [\"pods/status\"]"));
    bench.refuses(7, &["lacks 1 permission", "  pods/log: get\n"]);
}

fn session(bench: &Bench) {
    bench.told(&["infra", "add", "edge-1", "--tier", "edge", "--context", "edge-1", "--label", "site=north"]);
    let listed = bench.told(&["infra", "list"]);
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
        bench.told(&["infra", "add", "cloud-1", "--tier", "cloud", "--context", "cloud-1", "--dry-run"]);
    assert!(!bench.told(&["get", "infrastructures"]).contains("cloud-1"));
    fs::write(bench.home.path().join("printed.yaml"), document).unwrap();
    bench.told(&["apply", "-f", "printed.yaml"]);
    let checked = bench.told(&["infra", "check"]);
    assert_eq!(checked.matches("  Ready\n").count(), 2, "{checked}");
    assert!(checked.contains("user        admin") && checked.contains("1 of 1 ready"), "{checked}");

    bench.kubeconfig(as_nobody);
    let here = bench.home.path().join("admin");
    fs::copy(&bench.system.kubeconfig, here).unwrap();
    let refused = bench.iotorch(&["infra", "check", "edge-1"]);
    assert_eq!(refused.status.code(), Some(7), "{}", text(&refused.stdout));
    bench.told(&["infra", "check", "edge-1", "--kubeconfig", "admin"]);
    bench.told(&["infra", "check", "--kubeconfig", "admin", "--context", "cloud-1"]);
    bench.told(&["k8scluster", "create", "--name", "pc", "--k8scontext", "edge-1", "--kubeconfig", "admin"]);
    let stored = bench.told(&["k8scluster", "get", "--name", "pc"]);
    assert!(stored.contains(&bench.home.path().join("admin").display().to_string()), "{stored}");
    assert!(bench.told(&["k8scluster", "list"]).contains("pc              kubernetes  cloud  Ready"));
}
