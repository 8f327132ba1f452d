//! The address plan.
//!
//! Everything lies in 198.18.0.0/15, which RFC 2544 sets aside for tests of networks, so it meets neither the addresses
//! of offices and homes nor those that Docker and other clusters choose.

use std::net::Ipv4Addr;

/// Where all addresses of all clusters are.
pub const ADDRESSES: &str = "198.18.0.0/15";

/// The ranges of one cluster: 198.*N*.0.0/16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses(u8);

impl Addresses {
    /// Those of the first cluster, or of the second.
    pub(crate) fn of(index: u8) -> Self {
        Self(18 + index)
    }

    /// The node: its API server (port 6443) and node ports are reached here, from this machine and the other cluster.
    #[must_use]
    pub fn node(self) -> Ipv4Addr {
        self.at(0, 2)
    }

    /// This machine, as the cluster sees it.
    #[must_use]
    pub fn machine(self) -> Ipv4Addr {
        self.at(0, 1)
    }

    /// Where services have their addresses.
    #[must_use]
    pub fn services(self) -> String {
        format!("{}/18", self.at(64, 0))
    }

    /// The service `kubernetes`, which always is the first.
    #[must_use]
    pub fn api_service(self) -> Ipv4Addr {
        self.at(64, 1)
    }

    /// The service of the cluster's name server.
    #[must_use]
    pub fn dns(self) -> Ipv4Addr {
        self.at(64, 10)
    }

    /// Where pods have their addresses.
    #[must_use]
    pub fn pods(self) -> String {
        format!("{}/17", self.at(128, 0))
    }

    fn at(self, third: u8, fourth: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, self.0, third, fourth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First and last address of `a.b.c.d/n`.
    fn range(text: &str) -> (u32, u32) {
        let (address, length) = text.split_once('/').unwrap();
        let first = u32::from(address.parse::<Ipv4Addr>().unwrap());
        let size = 1_u32 << (32 - length.parse::<u32>().unwrap());
        assert_eq!(first % size, 0, "{text} begins in the middle of a range");
        (first, first + (size - 1))
    }

    #[test]
    fn no_two_ranges_meet_and_all_are_in_the_range_for_tests() {
        let mut ranges: Vec<(u32, u32)> = [0, 1]
            .map(Addresses::of)
            .into_iter()
            .flat_map(|cluster| [format!("{}/24", cluster.at(0, 0)), cluster.services(), cluster.pods()])
            .map(|text| range(&text))
            .collect();
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
        let (first, last) = range(ADDRESSES);
        assert!(ranges.iter().all(|range| range.0 >= first && range.1 <= last), "{ranges:?}");
    }

    #[test]
    fn services_of_the_cluster_itself_are_in_the_range_of_services() {
        for cluster in [0, 1].map(Addresses::of) {
            let (first, last) = range(&cluster.services());
            for address in [cluster.api_service(), cluster.dns()].map(u32::from) {
                assert!((first..=last).contains(&address));
            }
        }
    }
}
