//! Clusters that fail, and commands that are killed, while slices are made, changed and removed: whatever was cut off, `resume` ends
//! it, and afterwards everything is as documents say, nothing is orphaned, and in the end nothing is left.
//!
//! These trials hurt the clusters and count everything that is on them, so they are for the testbed (`cargo xtask testbed up k8s`,
//! `IOTORCH_KUBECONFIG`, `IOTORCH_LITE_IMAGE`) and need it to themselves: they run one after another, and cargo runs test programs one
//! after another. Whoever runs other live tests beside them by hand will see both fail.
//!
//! `IOTORCH_KILLS` says how many kills there are, 20 if not set; `IOTORCH_SEED` repeats the instants of an earlier time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a test that chooses at random tells its seed")]

#[path = "../common/mod.rs"]
mod common;

mod bench;
mod components;
mod kills;
mod network;

use std::process::ExitCode;

use libtest_mimic::Arguments;

use self::{
    bench::{Bench, System},
    common::eventually,
};

fn main() -> ExitCode {
    let system = System::find();
    let trial = |name: &str, test: fn(&System)| {
        common::trial(&system, name, move |system| {
            let (before, volumes) = (system.inventory(), system.volumes());
            test(&system);
            // What others were still removing may be gone.
            let left: Vec<_> = system.inventory().difference(&before).cloned().collect();
            assert!(left.is_empty(), "left over: {left:?}");
            // The cluster removes a volume after its claim, and later when its controllers have lost the API server meanwhile.
            eventually("no volume is left over", || system.volumes().is_subset(&volumes));
        })
    };
    let trials = vec![
        trial("kills_at_random_instants_leave_nothing_orphaned_and_nothing_lost", kills::at_random_instants),
        trial("what_a_killed_api_server_kubelet_or_helm_broke_off_is_recovered", components::killed),
        trial("a_cluster_out_of_reach_holds_up_no_other_and_is_waited_for_or_told", network::cut),
    ];
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The specification of a slice with a gateway and a server of `lite`: so many devices, so many messages a second of each.
fn lite(devices: u32, rate: u32) -> serde_json::Value {
    let mut spec = common::lite(devices);
    spec["gateways"][0]["settings"] = serde_json::json!({ "rateLimit": rate });
    spec
}

/// The same, all of it on one cluster.
fn lite_on(cluster: &str, rate: u32) -> serde_json::Value {
    let mut spec = lite(1, rate);
    for part in ["gateways", "servers"] {
        spec[part][0]["placement"] = serde_json::json!({ "infrastructure": cluster });
    }
    spec
}

/// The clusters are as the document of a slice says, and of the slice there is nothing on them but these parts.
fn expect_whole(bench: &Bench, name: &str, parts: &[(&str, &[&str])]) {
    assert!(bench.is_as_documented(name), "{}", bench.changes(name));
    for (cluster, parts) in parts {
        assert_eq!(
            bench.contents(cluster, &bench.base.slice(name)),
            Bench::contents_of(parts),
            "on {cluster}"
        );
    }
}
