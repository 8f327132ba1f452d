//! Random readings that a profile allows.

use iotorch_core::model::{ProfileResource, Range, ValueType};
use iotorch_lite::device::Reading;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;

use crate::device::Device;

/// What numbers are taken from where the profile has no range.
const DEFAULT_RANGE: Range = Range(0.0, 100.0);

/// Integers are exact up to here in JSON.
const EXACT: f64 = 9_007_199_254_740_991.0;

/// Random readings of one device, the same for the same seed, whatever other devices do.
#[derive(Debug)]
pub(crate) struct Random {
    rng: StdRng,
    resources: Vec<ProfileResource>,
    /// How many decimals numbers have; all that they can have if not set.
    decimals: Option<u8>,
}

/// The decimals of numbers that a person may look at.
const DECIMALS: u8 = 2;

impl Random {
    /// Readings of all resources that the device reports.
    pub(crate) fn new(seed: u64, device: &Device) -> Self {
        let resources = device.resources.iter().filter(|resource| resource.access.can_read());
        let resources = resources.cloned().collect();
        Self { rng: StdRng::from_seed(own_seed(seed, device)), resources, decimals: Some(DECIMALS) }
    }

    /// Numbers with all their decimals, so that hardly any comes twice.
    pub(crate) fn distinct(self) -> Self {
        Self { decimals: None, ..self }
    }

    /// A share of a whole, from 0 up to but not including 1.
    pub(crate) fn share(&mut self) -> f64 {
        self.rng.random()
    }

    /// One reading of each resource.
    pub(crate) fn readings(&mut self) -> Vec<Reading> {
        let (rng, decimals) = (&mut self.rng, self.decimals);
        let reading =
            |resource: &ProfileResource| Reading::new(resource.name.as_str(), value(rng, resource, decimals));
        self.resources.iter().map(reading).collect()
    }
}

/// The seed of one device: the seed of all, and over the rest of the bytes its slice and name.
fn own_seed(seed: u64, device: &Device) -> [u8; 32] {
    let mut own = [0; 32];
    own[..8].copy_from_slice(&seed.to_le_bytes());
    let name = device.slice.as_str().bytes().chain([b'/']).chain(device.name.as_str().bytes());
    for (index, byte) in name.enumerate() {
        let at = 8 + index % 24;
        own[at] = own[at].rotate_left(3) ^ byte;
    }
    own
}

fn value(rng: &mut StdRng, resource: &ProfileResource, decimals: Option<u8>) -> Value {
    let Range(low, high) = resource.range.unwrap_or(DEFAULT_RANGE);
    match resource.value_type {
        ValueType::Float => Value::from(within(rng, low, high, decimals)),
        ValueType::Integer => {
            // A range beyond what is exact has its end that is next to it, and one between two integers the upper of them.
            let (least, most) = (low.max(-EXACT).min(high).ceil(), high.min(EXACT).max(low).floor());
            let most = most.max(least);
            #[allow(clippy::cast_possible_truncation, reason = "both are whole, and it saturates")]
            Value::from(within(rng, least, most, decimals).round().clamp(least, most) as i64)
        }
        ValueType::Bool => Value::from(rng.random::<bool>()),
        ValueType::String => Value::from(format!("{:08x}", rng.random::<u32>())),
    }
}

/// A number of the range, with so many decimals where the range has room for them.
fn within(rng: &mut StdRng, low: f64, high: f64, decimals: Option<u8>) -> f64 {
    let share: f64 = rng.random();
    let exact = low * (1.0 - share) + high * share;
    let Some(decimals) = decimals else { return exact.clamp(low, high) };
    let scale = 10_f64.powi(decimals.into());
    let rounded = (exact * scale).round() / scale;
    if (low..=high).contains(&rounded) { rounded } else { exact.clamp(low, high) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tests::bench;

    fn resource(value_type: ValueType, range: Range) -> ProfileResource {
        ProfileResource::builder().name("it".parse().unwrap()).value_type(value_type).range(range).build()
    }

    #[test]
    fn the_same_seed_gives_the_same_readings_and_each_device_has_its_own() {
        let mut other = bench();
        other.name = "bench-2".parse().unwrap();
        let ten = |seed, device: &Device| {
            let mut random = Random::new(seed, device);
            (0..10).map(|_| random.readings()).collect::<Vec<_>>()
        };
        assert_eq!(ten(7, &bench()), ten(7, &bench()));
        assert_ne!(ten(7, &bench()), ten(8, &bench()));
        assert_ne!(ten(7, &bench()), ten(7, &other));
        assert!(ten(7, &bench()).iter().all(|readings| readings.len() == 1), "an actuator reports nothing");
    }

    #[test]
    fn distinct_readings_differ_from_each_other() {
        let mut random = Random::new(7, &bench()).distinct();
        let values: std::collections::BTreeSet<u64> =
            (0..10_000).map(|_| random.readings()[0].value.as_f64().unwrap().to_bits()).collect();
        assert_eq!(values.len(), 10_000);
    }

    #[test]
    fn an_integer_comes_from_ranges_too_that_have_none_or_none_that_is_exact() {
        let mut rng = StdRng::seed_from_u64(1);
        let ranges = [
            (Range(0.2, 0.8), 1),
            (Range(1e16, 2e16), 10_000_000_000_000_000),
            (Range(-2e16, -1e16), -10_000_000_000_000_000),
            (Range(1e300, 2e300), i64::MAX),
        ];
        for (range, wanted) in ranges {
            for decimals in [None, Some(2)] {
                let it = value(&mut rng, &resource(ValueType::Integer, range), decimals);
                assert_eq!(it.as_i64(), Some(wanted), "{range:?}");
            }
        }
    }

    #[test]
    fn values_lie_in_the_range_of_the_profile() {
        let mut rng = StdRng::seed_from_u64(1);
        let ranges = [Range(-40.0, 85.0), Range(0.001, 0.002), Range(5.0, 5.0), Range(f64::MIN, f64::MAX)];
        for range in ranges {
            for _ in 0..1000 {
                let float = value(&mut rng, &resource(ValueType::Float, range), Some(2)).as_f64().unwrap();
                assert!((range.0..=range.1).contains(&float), "{float} is not in {range:?}");
            }
        }
        for _ in 0..1000 {
            let integer =
                value(&mut rng, &resource(ValueType::Integer, Range(-1.5, 2.5)), None).as_i64().unwrap();
            assert!((-1..=2).contains(&integer), "{integer}");
        }
    }
}
