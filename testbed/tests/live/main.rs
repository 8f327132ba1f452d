//! The clusters themselves, brought up for real.
//!
//! A testbed that somebody has brought up is used, and left up; otherwise tests have their own, which is taken down at the
//! end. The tests run one after another, as some stop what others need.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod stage;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use iotorch_testbed::{Component, Image, Kind, Link, Testbed};
use libtest_mimic::{Arguments, Trial};
use stage::{Namespace, cloud, cut, edge, kill, tell, testbed};

const BUSYBOX: &str = "iotorch.test/busybox:1";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);

    let is_somebody_elses = Testbed::open().is_ok_and(|testbed| !testbed.is_for_tests());
    // They take minutes, and root: somebody has to ask for them.
    let absent = (!is_required("kubernetes")).then_some("not asked for by IOTORCH_REQUIRE=kubernetes");
    let trial = |name: &str, reason: Option<&'static str>, test: fn()| {
        let test = Trial::test(name, move || {
            test();
            Ok(())
        });
        test.with_kind(reason.unwrap_or("kubernetes")).with_ignored_flag(reason.is_some())
    };
    let with = |name, test| trial(name, absent, test);
    // Others would take away what somebody uses.
    let in_use = is_somebody_elses.then_some("a testbed was up before");
    let without = |name, test| trial(name, absent.or(in_use), test);
    let trials = vec![
        with("pods_of_an_image_built_here_run_in_both_clusters", built_image),
        with("names_are_resolved_in_pods", names),
        with("a_pod_reaches_a_node_port_of_the_other_cluster_unless_the_link_is_cut", node_port),
        with("this_machine_does_not_reach_a_cluster_whose_uplink_is_cut", uplink),
        with("a_pod_is_reached_only_where_a_network_policy_lets_it", network_policies),
        with("a_network_policy_holds_from_the_first_instant_of_a_pod", first_instant),
        with("claims_are_bound_to_volumes_that_go_with_them", claims),
        with("a_user_without_groups_has_no_rights", nobody),
        with("charts_are_installed_by_both_versions_of_helm", helm),
        with("what_was_killed_is_started_again_and_pods_go_on", killed),
        with("up_leaves_a_whole_testbed_as_it_is", up_again),
        without("up_after_everything_was_killed_makes_the_testbed_anew", up_after_crash),
        without("nothing_is_left_of_a_testbed_that_was_taken_down", down),
        without("simulated_nodes_run_pods", simulated),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials);
    if absent.is_none() && Testbed::open().is_ok_and(|testbed| testbed.is_for_tests()) {
        Testbed::down(&tell).unwrap();
    }
    conclusion.exit_code()
}

/// Whether this system must be there, as CONTRIBUTING.md says.
#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what must be there")]
fn is_required(system: &str) -> bool {
    let required = env::var("IOTORCH_REQUIRE").unwrap_or_default();
    required.split(',').any(|word| ["all", system].contains(&word.trim()))
}

fn built_image() {
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words");
    fs::write(&words, "from a file\n").unwrap();
    let image = Image::builder("iotorch.test/live:1")
        .file("/bin/busybox", "/bin/busybox", 0o755)
        .file("/words", words, 0o644)
        .owner("/words", 1000)
        .entrypoint(["/bin/busybox", "sh", "-c"])
        .arguments(["busybox cat /words; busybox id -u; echo $PLACE; exec busybox sleep 600"])
        .user("1000:1000")
        .env("PLACE", "here")
        .env("PATH", "/bin")
        .build()
        .unwrap();
    for cluster in testbed().clusters() {
        assert!(cluster.nodes().unwrap().iter().all(|node| node.is_ready));
        let range = cluster.kubectl(["get", "nodes", "--output=jsonpath={.items[*].spec.podCIDR}"]).unwrap();
        assert_eq!(range, cluster.addresses().pods());
        cluster.load(&image).unwrap();
        assert!(cluster.images().unwrap().contains(&"iotorch.test/live:1".to_owned()));
        let space = Namespace::new(cluster, "built-image");
        space.run("live", image.reference(), &[]);
        assert_eq!(space.kubectl(&["logs", "live"]).unwrap(), "from a file\n1000\nhere\n");
        space.run("pause", "iotorch.test/pause:1", &[]);
    }
}

fn names() {
    let space = Namespace::new(edge(), "names");
    space.run("shell", BUSYBOX, &["sleep", "600"]);
    space.kubectl(&["create", "service", "clusterip", "named", "--tcp=80"]).unwrap();
    let address = space.get("service/named", ".spec.clusterIP");
    let resolved = |name: &str| space.exec("shell", &format!("nslookup {name}"));
    // The name server needs a moment for a new service.
    until(|| {
        resolved(&format!("named.{}.svc.cluster.local", space.name))
            .is_ok_and(|answer| answer.contains(&address))
    });
    assert!(resolved("cloud-1.iotorch.test").unwrap().contains("198.19.0.2"));
    assert!(resolved(&format!("missing.{}.svc.cluster.local", space.name)).is_err());
}

/// A server of the other cluster, at a node port; it gives the port.
fn serve(space: &Namespace<'_>) -> u16 {
    let script = "mkdir /tmp/www; echo hello > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www";
    space.run("server", BUSYBOX, &["sh", "-c", script]);
    let expose = ["expose", "pod", "server", "--type=NodePort", "--port=80", "--target-port=8080"];
    space.kubectl(&expose).unwrap();
    space.get("service/server", ".spec.ports[0].nodePort").parse().unwrap()
}

fn node_port() {
    let server = Namespace::new(cloud(), "node-port");
    let port = serve(&server);
    let client = Namespace::new(edge(), "node-port");
    client.run("client", BUSYBOX, &["sleep", "600"]);
    let fetch = format!("timeout 3 wget -q -O - http://cloud-1.iotorch.test:{port}/");
    // The proxy needs a moment for a new service.
    until(|| client.exec("client", &fetch).is_ok_and(|text| text == "hello\n"));

    let cut = cut(cloud(), Link::Direct);
    assert!(client.exec("client", &fetch).is_err());
    // Only this link is cut.
    assert!(cloud().nodes().is_ok());
    drop(cut);
    assert_eq!(client.exec("client", &fetch).unwrap(), "hello\n");

    // In its own cluster by the service, also by the pod itself; its short name would be the pod's.
    let fetch = format!("timeout 5 wget -q -O - http://server.{}/", server.name);
    until(|| server.exec("server", &fetch).is_ok_and(|text| text == "hello\n"));
}

/// What a server answers to this machine, within a second.
fn http_get(address: &SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn uplink() {
    let server = Namespace::new(cloud(), "uplink");
    let address = SocketAddr::from((cloud().addresses().node(), serve(&server)));
    let fetch = || http_get(&address);
    until(|| fetch().is_ok_and(|answer| answer.ends_with("hello\n")));
    let cut = cut(cloud(), Link::Uplink);
    // Twice, which is as good as once.
    cloud().cut(Link::Uplink).unwrap();
    let error = fetch().unwrap_err();
    drop(cut);
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(fetch().unwrap().ends_with("hello\n"));
}

/// Two namespaces, each with a server at port 8080 and a client, and what a policy may change for the first of them.
struct Neighbours<'a> {
    own: Namespace<'a>,
    other: Namespace<'a>,
    service: String,
    node_port: SocketAddr,
}

impl Neighbours<'_> {
    fn new() -> Self {
        let [own, other] = ["policies-own", "policies-other"].map(|name| Namespace::new(edge(), name));
        let port = serve(&own);
        serve(&other);
        for space in [&own, &other] {
            space.run("client", BUSYBOX, &["sleep", "600"]);
        }
        let service = own.get("service/server", ".spec.clusterIP");
        Self { own, other, service, node_port: SocketAddr::from((edge().addresses().node(), port)) }
    }

    /// Who gets through to whom, in words.
    fn passing(&self) -> Vec<&'static str> {
        let (own, other) = (format!("{}:8080", address(&self.own)), format!("{}:8080", address(&self.other)));
        let node_port = self.node_port.to_string();
        let fetch = |space: &Namespace<'_>, pod, from: &str| {
            space
                .exec(pod, &format!("timeout 2 wget -q -O - http://{from}/"))
                .is_ok_and(|text| text == "hello\n")
        };
        let resolve = || {
            let script = format!("timeout 2 nslookup server.{}.svc.cluster.local", self.own.name);
            self.own.exec("client", &script).is_ok_and(|text| text.contains(&self.service))
        };
        let ways: [(&str, &(dyn Fn() -> bool + Sync)); 9] = [
            ("own to own", &|| fetch(&self.own, "client", &own)),
            ("own to own by the service", &|| fetch(&self.own, "client", &self.service)),
            ("own to itself by the service", &|| fetch(&self.own, "server", &self.service)),
            ("own to other", &|| fetch(&self.own, "client", &other)),
            ("own to names", &resolve),
            ("other to own", &|| fetch(&self.other, "client", &own)),
            ("other to own by the service", &|| fetch(&self.other, "client", &self.service)),
            ("other to own by the node port", &|| fetch(&self.other, "client", &node_port)),
            ("machine to own by the node port", &|| http_get(&self.node_port).is_ok()),
        ];
        // At once, as what does not pass takes its time to tell.
        thread::scope(|scope| {
            let running = ways.map(|(what, passes)| (what, scope.spawn(passes)));
            running.into_iter().filter_map(|(what, way)| way.join().unwrap().then_some(what)).collect()
        })
    }

    /// Waits until just this passes: the rules change a moment after a policy has.
    fn pass_only(&self, expected: &[&str]) {
        let mut passing = Vec::new();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(30) {
            passing = self.passing();
            if passing == expected {
                return;
            }
        }
        assert_eq!(passing, expected);
    }

    /// Puts a policy for all pods of the first namespace.
    fn policy(&self, name: &str, kinds: &str, rules: &str) {
        let (space, api) = (&self.own.name, "networking.k8s.io/v1");
        edge()
            .apply(&format!(
                "apiVersion: {api}\nkind: NetworkPolicy\nmetadata: {{ name: {name}, namespace: {space} }}\n\
                 spec: {{ podSelector: {{}}, policyTypes: [{kinds}], {rules} }}\n"
            ))
            .unwrap();
    }
}

/// The address of the server of a namespace.
fn address(space: &Namespace<'_>) -> String {
    space.get("pod/server", ".status.podIP")
}

fn network_policies() {
    let neighbours = Neighbours::new();
    // The proxy needs a moment for a new service.
    neighbours.pass_only(&[
        "own to own",
        "own to own by the service",
        "own to itself by the service",
        "own to other",
        "own to names",
        "other to own",
        "other to own by the service",
        "other to own by the node port",
        "machine to own by the node port",
    ]);

    neighbours.policy("deny", "Ingress, Egress", "");
    // A pod cannot be kept from itself, nor the kubelet from it, by which these pods are asked.
    neighbours.pass_only(&["own to itself by the service"]);

    let same = "[{ podSelector: {} }]";
    let rules = format!("ingress: [{{ from: {same} }}], egress: [{{ to: {same} }}]");
    neighbours.policy("same", "Ingress, Egress", &rules);
    let within = ["own to own", "own to own by the service", "own to itself by the service"];
    neighbours.pass_only(&within);

    let system = "namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: kube-system } }";
    let rules = format!("egress: [{{ to: [{{ {system} }}], ports: [{{ port: 53, protocol: UDP }}] }}]");
    neighbours.policy("names", "Egress", &rules);
    neighbours.pass_only(&[&within[..], &["own to names"]].concat());

    let pods = edge().addresses().pods();
    let rules = format!("ingress: [{{ from: [{{ ipBlock: {{ cidr: 0.0.0.0/0, except: [{pods}] }} }}] }}]");
    neighbours.policy("elsewhere", "Ingress", &rules);
    let expected = [&within[..], &["own to names", "machine to own by the node port"]].concat();
    neighbours.pass_only(&expected);

    // What holds while the component is away also holds when it is back.
    let killed = kill(edge(), Component::Policies);
    assert_eq!(neighbours.passing(), expected);
    drop(killed);
    neighbours.policy("elsewhere", "Ingress", "ingress: [{ ports: [{ port: 8080, endPort: 8081 }] }]");
    neighbours.pass_only(&[
        "own to own",
        "own to own by the service",
        "own to itself by the service",
        "own to names",
        "other to own",
        "other to own by the service",
        "other to own by the node port",
        "machine to own by the node port",
    ]);
}

fn first_instant() {
    let server = Namespace::new(edge(), "first-other");
    serve(&server);
    let closed = Namespace::new(edge(), "first-closed");
    edge()
        .apply(&format!(
            "{{ apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{ name: deny, namespace: {} }}, \
             spec: {{ podSelector: {{}}, policyTypes: [Egress] }} }}",
            closed.name
        ))
        .unwrap();
    let fetch = format!("wget -q -O - http://{}:8080/ && echo reached", address(&server));
    // From before it is ready, and for longer than the cluster needs to tell its address.
    let script = format!("for turn in $(seq 8); do timeout 1 {fetch}; usleep 50000; done; echo ended");
    let logs = |space: &Namespace<'_>| {
        let command =
            ["run", "early", "--image", BUSYBOX, "--image-pull-policy=Never", "--restart=Never", "--command"];
        space.kubectl(&[&command[..], &["--", "sh", "-c", &script]].concat()).unwrap();
        until(|| space.kubectl(&["logs", "early"]).is_ok_and(|text| text.ends_with("ended\n")));
        space.kubectl(&["logs", "early"]).unwrap()
    };
    assert!(!logs(&closed).contains("reached"));
    // The same pod, where no policy selects it.
    assert!(logs(&server).contains("reached"));
}

fn claims() {
    let space = Namespace::new(edge(), "claims");
    let documents = r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: data, namespace: NAMESPACE }
spec:
  accessModes: [ReadWriteOnce]
  resources: { requests: { storage: 5Mi } }
---
apiVersion: v1
kind: Pod
metadata: { name: writer, namespace: NAMESPACE }
spec:
  securityContext: { runAsUser: 999, runAsGroup: 999, fsGroup: 999 }
  containers:
    - name: writer
      image: iotorch.test/busybox:1
      imagePullPolicy: Never
      args: [sh, -c, "echo kept > /data/file; exec sleep 600"]
      volumeMounts: [{ name: data, mountPath: /data }]
  volumes: [{ name: data, persistentVolumeClaim: { claimName: data } }]
"#;
    edge().apply(&documents.replace("NAMESPACE", &space.name)).unwrap();
    let started = Instant::now();
    space.kubectl(&["wait", "--for=jsonpath={.status.phase}=Bound", "pvc/data", "--timeout=1m"]).unwrap();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    space.ready("writer");
    until(|| space.exec("writer", "cat /data/file").is_ok_and(|text| text == "kept\n"));

    let volume = space.get("pvc/data", ".spec.volumeName");
    let folder = space.get(&format!("pv/{volume}"), ".spec.local.path");
    assert_eq!(fs::read_to_string(Path::new(&folder).join("file")).unwrap(), "kept\n");
    space.kubectl(&["delete", "pod/writer", "pvc/data", "--now"]).unwrap();
    space.kubectl(&["wait", "--for=delete", &format!("pv/{volume}"), "--timeout=1m"]).unwrap();
    assert!(!Path::new(&folder).exists());
}

fn nobody() {
    let config = edge().kubeconfig("nobody");
    let kubectl = |arguments: &[&str]| {
        let output =
            Command::new(testbed().kubectl()).arg("--kubeconfig").arg(&config).args(arguments).output();
        let output = output.unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    assert!(kubectl(&["auth", "whoami", "--output=jsonpath={.status.userInfo.username}"]) == "nobody");
    assert!(kubectl(&["get", "secrets"]).contains("Forbidden"));
}

fn helm() {
    let folder = tempfile::tempdir().unwrap();
    let chart = folder.path().join("chart");
    fs::create_dir_all(chart.join("templates")).unwrap();
    fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: chart\nversion: 0.1.0\n").unwrap();
    let deployment = r#"
apiVersion: apps/v1
kind: Deployment
metadata: { name: "{{ .Release.Name }}" }
spec:
  selector: { matchLabels: { app: "{{ .Release.Name }}" } }
  template:
    metadata: { labels: { app: "{{ .Release.Name }}" } }
    spec:
      containers:
        - { name: pause, image: "iotorch.test/pause:1", imagePullPolicy: Never }
"#;
    fs::write(chart.join("templates/deployment.yaml"), deployment).unwrap();

    let space = Namespace::new(cloud(), "helm");
    for (program, version) in [(testbed().helm4(), "v4."), (testbed().helm3(), "v3.")] {
        let helm = |arguments: &[&str]| {
            let output = Command::new(&program)
                .env("KUBECONFIG", testbed().kubeconfig())
                .env("HELM_CACHE_HOME", folder.path())
                .env("HELM_CONFIG_HOME", folder.path())
                .args(["--kube-context", "cloud-1", "--namespace", &space.name])
                .args(arguments)
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(helm(&["version", "--template={{.Version}}"]).starts_with(version));
        helm(&["install", "release", chart.to_str().unwrap(), "--wait", "--timeout=1m"]);
        assert_eq!(space.get("deployment/release", ".status.readyReplicas"), "1");
        helm(&["uninstall", "release", "--wait", "--timeout=1m"]);
    }
}

fn killed() {
    let cluster = edge();
    let space = Namespace::new(cluster, "killed");
    space.run("pod", BUSYBOX, &["sleep", "600"]);
    let identity = || space.get("pod/pod", ".status.containerStatuses[0].containerID");
    let before = identity();
    for component in cluster.components() {
        let killed = kill(cluster, *component);
        assert!(cluster.process(*component).is_none(), "{component}");
        if *component == Component::ApiServer {
            assert!(cluster.nodes().is_err());
        }
        drop(killed);
        cluster.wait_until_ready().unwrap();
    }
    // They still work together.
    until(|| space.exec("pod", "echo alive").is_ok_and(|text| text == "alive\n"));
    assert_eq!(identity(), before);
    space.run("other", BUSYBOX, &["sleep", "600"]);
}

fn processes() -> BTreeMap<String, i32> {
    let clusters = testbed().clusters().iter();
    let components =
        clusters.flat_map(|cluster| cluster.components().iter().map(move |known| (cluster, *known)));
    components
        .map(|(cluster, component)| {
            (format!("{} {component}", cluster.name()), cluster.process(component).unwrap().pid())
        })
        .collect()
}

fn up_again() {
    let before = processes();
    let testbed = Testbed::up_for_tests(Kind::K8s, None, &tell).unwrap();
    assert_eq!(processes(), before);
    let error = Testbed::up_for_tests(Kind::Sim, None, &tell).unwrap_err();
    assert_eq!(error.to_string(), "cannot bring up the testbed \"sim\": \"k8s\" is up");
    assert_eq!(testbed.kubeconfig(), Testbed::open().unwrap().kubeconfig());
}

fn up_after_crash() {
    let before = processes();
    // Their containers go on, and everything stays mounted.
    for cluster in testbed().clusters() {
        for component in cluster.components() {
            cluster.kill(*component).unwrap();
        }
    }
    let testbed = Testbed::up_for_tests(Kind::K8s, None, &tell).unwrap();
    for cluster in testbed.clusters() {
        assert!(cluster.nodes().unwrap().iter().all(|node| node.is_ready));
    }
    assert!(processes().iter().all(|(name, pid)| before[name] != *pid));
}

fn down() {
    let before: Vec<i32> = processes().into_values().collect();
    assert!(!Testbed::remains().unwrap().is_empty());
    Testbed::down(&tell).unwrap();
    assert_eq!(Testbed::remains().unwrap(), Vec::<String>::new());
    assert!(before.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
    assert!(Testbed::open().is_err());
    // Nothing is there to take down, which is no failure.
    Testbed::down(&tell).unwrap();
}

fn simulated() {
    if Testbed::open().is_ok() {
        Testbed::down(&tell).unwrap();
    }
    let testbed = Testbed::up_for_tests(Kind::Sim, Some(20), &tell).unwrap();
    let cluster = testbed.cluster("sim").unwrap();
    assert_eq!(cluster.nodes().unwrap().len(), 20);
    cluster.kubectl(["create", "deployment", "crowd", "--image=any.test/image:1", "--replicas=200"]).unwrap();
    cluster.kubectl(["rollout", "status", "deployment/crowd", "--timeout=2m"]).unwrap();
    Testbed::down(&tell).unwrap();
    assert_eq!(Testbed::remains().unwrap(), Vec::<String>::new());
}

/// Waits for what takes a moment.
fn until(mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(60), "this did not become so");
    }
}
