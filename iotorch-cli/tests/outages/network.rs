//! A cluster that cannot be reached.

use iotorch_testbed::Link;
use serde_json::{Value, json};

use crate::{
    bench::{Bench, System},
    common::{apply, eventually, text},
    expect_whole, lite_on,
};

const ON_THE_EDGE: [(&str, &[&str]); 1] = [("edge-1", &["gw", "hub"])];
const IN_THE_CLOUD: [(&str, &[&str]); 1] = [("cloud-1", &["gw", "hub"])];

pub(crate) fn cut(system: &System) {
    let bench = Bench::new(system.clone());
    let edge = system.cluster("edge-1");
    let put = |rate: u32, offline: Value| {
        let mut spec = lite_on("edge-1", rate);
        spec["offline"] = offline;
        bench.base.document("one", &spec)
    };
    let wait = json!({ "policy": "wait" });
    let one = put(100, wait.clone());
    let two = bench.base.document("two", &lite_on("cloud-1", 100));

    // In the middle of the work: for a while, requests that are on their way get no answer.
    let mut create = bench.start(&apply(&["one"]));
    create.until("edge-1/space: created");
    edge.cut(Link::Uplink).unwrap();
    assert!(bench.base.told(&["status", &one]).contains("Unknown since"));
    edge.mend(Link::Uplink).unwrap();
    let (status, said) = create.end();
    assert!(status.success(), "{said}");
    expect_whole(&bench, "one", &ON_THE_EDGE);

    edge.cut(Link::Uplink).unwrap();
    let since = |status: String| {
        let line = status.lines().find(|line| line.contains(&one)).unwrap_or_default().to_owned();
        let (_, since) = line.split_once("Unknown since ").unwrap_or_else(|| panic!("{status}"));
        since.split_once(" (edge-1)").unwrap_or_else(|| panic!("{status}")).0.to_owned()
    };
    let unknown = since(bench.base.told(&["status"]));

    // A process that hosts the engine waits, and others get on with their work by it.
    put(200, wait.clone());
    let change = bench.start(&apply(&["one"]));
    eventually("the run waits", || bench.has_waiting_run());
    bench.base.told(&apply(&["two"]));
    expect_whole(&bench, "two", &IN_THE_CLOUD);
    assert_eq!(since(bench.base.told(&["status"])), unknown);
    edge.mend(Link::Uplink).unwrap();
    let (status, said) = change.end();
    assert!(status.success(), "{said}");
    expect_whole(&bench, "one", &ON_THE_EDGE);

    // Those that wait no longer, or not at all, say so; nothing has come of them.
    edge.cut(Link::Uplink).unwrap();
    for (offline, told) in [
        (json!({ "policy": "wait", "limit": "3s" }), "could not be reached for 3s"),
        (json!({ "policy": "fail" }), "offline: { policy: wait }"),
    ] {
        put(300, offline);
        let output = bench.base.iotorch(&apply(&["one"]));
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(told), "{said}");
        assert!(said.contains("the API server does not answer"), "{said}");
        assert!(bench.open_runs().is_empty());
    }

    // Without a process that waits it goes on by resume.
    put(400, wait);
    let change = bench.start(&apply(&["one"]));
    eventually("the run waits", || bench.has_waiting_run());
    change.interrupt();
    let (status, said) = change.end();
    assert!(!status.success() && said.contains("iotorch resume"), "{said}");
    edge.mend(Link::Uplink).unwrap();
    bench.base.told(&["resume"]);
    expect_whole(&bench, "one", &ON_THE_EDGE);

    bench.base.told(&["delete", &one, &two, "--yes"]);
    bench.base.expect_gone(&one);
    bench.base.expect_gone(&two);
}
