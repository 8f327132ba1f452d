//! What a person sees of a testbed that is up.

use std::time::SystemTime;

use iotorch_testbed::{Cluster, Component, Testbed};

pub(super) fn of(testbed: &Testbed) -> String {
    let whole = if testbed.is_complete() { "" } else { " (did not come up as a whole)" };
    let mut text =
        format!("testbed {}{whole}, kubeconfig {}\n", testbed.kind(), testbed.kubeconfig().display());
    for cluster in testbed.clusters() {
        text.push_str(&of_cluster(cluster));
    }
    text
}

fn of_cluster(cluster: &Cluster) -> String {
    let mut text = format!(
        "\n{} at {}\n  {:<20}{:>8}{:>12}{:>12}\n",
        cluster.name(),
        cluster.addresses().node(),
        "component",
        "pid",
        "running",
        "memory"
    );
    let now = SystemTime::now();
    for component in cluster.components() {
        text.push_str(&of_component(cluster, *component, now));
    }
    text.push_str(&format!("  nodes   {}\n", nodes(cluster)));
    if cluster.components().contains(&Component::Containerd) {
        let images =
            cluster.images().map_or_else(|error| error.to_string(), |images| images.join("\n          "));
        text.push_str(&format!("  images  {images}\n"));
    }
    text
}

fn of_component(cluster: &Cluster, component: Component, now: SystemTime) -> String {
    let Some(process) = cluster.process(component) else {
        return format!("  {component:<20}{:>8}\n", "ended");
    };
    let running = process.since().and_then(|since| now.duration_since(since).ok());
    let running = running.map_or_else(String::new, |duration| duration_text(duration.as_secs()));
    let memory = process.memory().map_or_else(String::new, |bytes| format!("{} MiB", bytes >> 20));
    format!("  {component:<20}{:>8}{running:>12}{memory:>12}\n", process.pid())
}

/// A simulated cluster has many, so only what stands out is named.
fn nodes(cluster: &Cluster) -> String {
    let nodes = match cluster.nodes() {
        Ok(nodes) => nodes,
        Err(error) => return error.to_string(),
    };
    let unready: Vec<&str> =
        nodes.iter().filter(|node| !node.is_ready).map(|node| node.name.as_str()).collect();
    let ready = nodes.len() - unready.len();
    if unready.is_empty() {
        format!("{ready} ready")
    } else {
        format!("{ready} ready, not ready: {}", unready.join(", "))
    }
}

fn duration_text(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (hours, minutes, _) => format!("{hours}h {minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_something_runs_is_told_in_two_units() {
        let texts = [59, 60, 3599, 3600, 90_061].map(duration_text);
        assert_eq!(texts, ["59s", "1m 0s", "59m 59s", "1h 0m", "25h 1m"]);
    }
}
