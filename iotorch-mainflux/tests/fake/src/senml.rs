//! SenML as the writers of Mainflux resolve it: RFC 8428 with quirks.
//!
//! A pack with one record that is not right is dropped as a whole. A base value and a base sum apply to their own record only, the other
//! base fields also to those after. A time is what is told: one that is relative without a base time stays so.

use serde::{Deserialize, Serialize};

/// A record of a pack.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Record {
    bn: String,
    bt: f64,
    bu: String,
    bv: f64,
    bs: f64,
    n: String,
    u: String,
    t: f64,
    ut: f64,
    v: Option<f64>,
    vs: Option<String>,
    vb: Option<bool>,
    vd: Option<String>,
    s: Option<f64>,
}

/// A record with all that it inherits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Resolved {
    pub(crate) name: String,
    pub(crate) unit: String,
    /// Seconds; 0 where no time was told.
    pub(crate) time: f64,
    pub(crate) update_time: f64,
    pub(crate) value: Option<f64>,
    pub(crate) string: Option<String>,
    pub(crate) boolean: Option<bool>,
    pub(crate) data: Option<String>,
    pub(crate) sum: Option<f64>,
}

/// The records of a pack in JSON; none if it is no SenML, or one of them is not right.
pub(crate) fn resolve(payload: &[u8]) -> Option<Vec<Resolved>> {
    let records: Vec<Record> = serde_json::from_slice(payload).ok()?;
    let (mut name, mut time, mut unit) = (String::new(), 0.0, String::new());
    let mut resolved = Vec::new();
    for record in records {
        if !record.bn.is_empty() {
            name = record.bn;
        }
        if record.bt != 0.0 {
            time = record.bt;
        }
        if !record.bu.is_empty() {
            unit = record.bu;
        }
        let full_name = format!("{name}{}", record.n);
        let values = [record.v.is_some(), record.vs.is_some(), record.vb.is_some(), record.vd.is_some()];
        let values = values.into_iter().filter(|is_there| *is_there).count();
        if !is_name(&full_name) || values > 1 || (values == 0 && record.s.is_none()) {
            return None;
        }
        resolved.push(Resolved {
            name: full_name,
            unit: if record.u.is_empty() { unit.clone() } else { record.u },
            time: time + record.t,
            update_time: record.ut,
            value: record.v.map(|value| record.bv + value),
            string: record.vs,
            boolean: record.vb,
            data: record.vd,
            sum: record.s.map(|sum| record.bs + sum),
        });
    }
    Some(resolved)
}

/// Whether a name is one of RFC 8428 section 4.5.1: ASCII letters, digits and a few signs, of which none is the first.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|sign| sign.is_ascii_alphanumeric() || "-:./_".contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_with_one_wrong_record_is_none() {
        for pack in [
            r#"{"n":"a","v":1}"#,
            r#"[{"v":1}]"#,
            r#"[{"n":"a"}]"#,
            r#"[{"n":"a b","v":1}]"#,
            r#"[{"n":"-a","v":1}]"#,
            r#"[{"n":"é","v":1}]"#,
            r#"[{"n":"a","v":1},{"n":"b","v":"x"}]"#,
            r#"[{"n":"a","v":1,"vs":"x"}]"#,
            r#"[{"bn":"dev","bt":1},{"n":"a","v":1}]"#,
        ] {
            assert_eq!(resolve(pack.as_bytes()), None, "{pack}");
        }
    }

    #[test]
    fn a_base_value_is_only_that_of_its_own_record() {
        let pack = r#"[{"bn":"x:","bv":100,"bt":10,"n":"a","v":1},{"n":"b","v":2,"t":5}]"#;
        let resolved = resolve(pack.as_bytes()).unwrap();
        let told: Vec<_> = resolved.iter().map(|it| (it.name.as_str(), it.value, it.time)).collect();
        assert_eq!(told, [("x:a", Some(101.0), 10.0), ("x:b", Some(2.0), 15.0)]);
    }
}
