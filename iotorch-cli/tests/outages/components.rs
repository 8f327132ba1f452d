//! Parts of a cluster that are killed, and helm.

use iotorch_testbed::{Cluster, Component};
use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::{
    bench::{Bench, System, Working},
    common::{apply, eventually},
    expect_whole, lite_on,
};

const PARTS: [(&str, &[&str]); 1] = [("edge-1", &["gw", "hub"])];

/// How `iotorch apply` ends when what it began is undone.
const ROLLED_BACK: i32 = 5;

pub(crate) fn killed(system: &System) {
    let bench = Bench::new(system.clone());
    let edge = system.cluster("edge-1");
    let spec = |rate: u32| {
        let mut spec = lite_on("edge-1", rate);
        spec["offline"] = json!({ "policy": "wait", "limit": "2min" });
        spec
    };
    let slice = bench.base.document("one", &spec(100));
    let mut create = bench.start(&apply(&["one"]));
    create.until("edge-1/space: created");
    lose_api_server(&bench, edge);
    succeed(create);
    expect_whole(&bench, "one", &PARTS);

    edge.kill(Component::Kubelet).unwrap();
    bench.base.document("one", &spec(200));
    let mut change = bench.start(&apply(&["one"]));
    change.until("edge-1/space/gw: waits:");
    edge.start(Component::Kubelet).unwrap();
    succeed(change);
    expect_whole(&bench, "one", &PARTS);

    bench.base.document("one", &spec(300));
    let change = bench.start(&apply(&["one"]));
    let kill = |helm| kill_process(helm, Signal::KILL).is_ok();
    eventually("helm is at work", || change.helm("upgrade").is_some_and(kill));
    let (status, said) = change.end();
    assert_eq!(status.code(), Some(ROLLED_BACK), "{said}");
    assert!(said.contains("helm ended with signal: 9"), "{said}");
    bench.base.document("one", &spec(200));
    expect_whole(&bench, "one", &PARTS);

    for (rate, with_helm) in [(400, false), (500, true)] {
        bench.base.document("one", &spec(rate));
        let change = bench.start(&apply(&["one"]));
        eventually("helm is at work", || change.helm("upgrade").is_some());
        change.kill(with_helm);
        bench.base.told(&["resume"]);
        expect_whole(&bench, "one", &PARTS);
    }

    let mut delete = bench.start(&["delete", &slice, "--yes"]);
    delete.until("edge-1/space: waits:");
    lose_api_server(&bench, edge);
    succeed(delete);
    bench.base.expect_gone(&slice);
}

/// Kills the API server, and starts it again once the run that needs it waits for it.
fn lose_api_server(bench: &Bench, cluster: &Cluster) {
    cluster.kill(Component::ApiServer).unwrap();
    eventually("the run waits", || bench.has_waiting_run());
    cluster.start(Component::ApiServer).unwrap();
}

fn succeed(working: Working) {
    let (status, said) = working.end();
    assert!(status.success(), "{said}");
}
