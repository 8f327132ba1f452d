//! What carries the readings of EdgeX gateways north.

use iotorch_lite::api::BusStatus;

use super::table::table;
use crate::bridge::Bridge;

/// A row for each destination of each bridge, then what is wrong.
pub(crate) fn bridges(bridges: &[Bridge]) -> String {
    let rows = bridges.iter().flat_map(|bridge| {
        let (reads, taken) = match &bridge.bus {
            Some(BusStatus { connected, taken, .. }) => {
                (if *connected { "connected" } else { "away" }, taken.to_string())
            }
            None => ("-", "-".into()),
        };
        let own = move |to: &str, waiting: String, sent: String| {
            [bridge.gateway.to_string(), reads.to_owned(), taken.clone(), to.to_owned(), waiting, sent]
        };
        let mut rows: Vec<[String; 6]> = bridge
            .exports
            .iter()
            .map(|(name, export)| own(name, export.pending.to_string(), export.acknowledged.to_string()))
            .collect();
        if rows.is_empty() {
            rows.push(own("-", "-".into(), "-".into()));
        }
        rows
    });
    let mut text = table(["GATEWAY", "BUS", "TAKEN", "SENDS TO", "WAITING", "SENT"], rows);
    for bridge in bridges {
        for complaint in bridge.complaints() {
            text.push_str(&format!("\n{}: {complaint}", bridge.gateway));
        }
    }
    text
}

/// What is wrong with the bridges of a slice, a line each.
pub(crate) fn complaints(slice: &str, bridges: &[Bridge]) -> Vec<String> {
    let of = |bridge: &Bridge| {
        let gateway = bridge.gateway.clone();
        bridge
            .complaints()
            .into_iter()
            .map(move |complaint| format!("{slice}: gateway \"{gateway}\": {complaint}"))
    };
    bridges.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::tests::bridge;

    #[test]
    fn a_bridge_shows_what_it_reads_and_where_it_sends_to() {
        let idle = Bridge { gateway: "gw-2".parse().unwrap(), bus: None, exports: [].into(), ..bridge() };
        let all = [bridge(), idle];
        insta::assert_snapshot!([bridges(&all), complaints("paper", &all).join("\n")].join("\n\n"));
    }
}
