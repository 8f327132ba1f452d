//! Amounts as Kubernetes writes them:
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

use std::collections::BTreeMap;

use iotorch_core::model::Capacity;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Thousandths of a processor.
pub(crate) fn millis(quantity: &Quantity) -> Option<u64> {
    whole(read(&quantity.0)? * 1000.0)
}

pub(crate) fn bytes(quantity: &Quantity) -> Option<u64> {
    whole(read(&quantity.0)?)
}

/// The amount itself, in whatever it counts.
pub(crate) fn amount(quantity: &Quantity) -> Option<f64> {
    read(&quantity.0)
}

fn whole(amount: f64) -> Option<u64> {
    // Amounts are far below 2^53, from where on a double would not be exact.
    (0.0..9e15).contains(&amount).then(|| amount.ceil() as u64)
}

fn read(text: &str) -> Option<f64> {
    let unit = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let number: f64 = number.parse().ok()?;
    let factor = match unit {
        "" => 1.0,
        // Divided, so that the nearest double comes out.
        "n" => return Some(number / 1e9),
        "u" => return Some(number / 1e6),
        "m" => return Some(number / 1e3),
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "Ki" => 1024.0,
        "Mi" => 1024.0_f64.powi(2),
        "Gi" => 1024.0_f64.powi(3),
        "Ti" => 1024.0_f64.powi(4),
        "Pi" => 1024.0_f64.powi(5),
        // 5e3
        exponent => 10.0_f64.powi(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    Some(number * factor)
}

/// What a slice may take of a cluster, as a ResourceQuota has it. Requests are counted, which nodes set aside: with limits each container
/// would need one, and there is none that fits all.
pub(crate) fn hard(capacity: &Capacity) -> BTreeMap<String, Quantity> {
    let amounts = [
        ("requests.cpu", capacity.cpu.map(|cpu| format!("{}m", cpu.millis()))),
        ("requests.memory", capacity.memory.map(|memory| memory.bytes().to_string())),
        ("requests.storage", capacity.storage.map(|storage| storage.bytes().to_string())),
    ];
    amounts.into_iter().filter_map(|(name, amount)| Some((name.to_owned(), Quantity(amount?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_all_their_forms() {
        for (text, expected) in [
            ("2", Some(2.0)),
            ("250m", Some(0.25)),
            ("1.5", Some(1.5)),
            ("16393244Ki", Some(16_393_244.0 * 1024.0)),
            ("1Gi", Some(1_073_741_824.0)),
            ("12e6", Some(12e6)),
            ("1E3", Some(1e3)),
            ("100n", Some(1e-7)),
            ("", None),
            ("1Xi", None),
            ("Gi", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        assert_eq!(millis(&Quantity("1930m".into())), Some(1930));
        assert_eq!(bytes(&Quantity("1Mi".into())), Some(1_048_576));
    }
}
