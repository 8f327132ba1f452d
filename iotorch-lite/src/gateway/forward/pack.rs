//! What can be sent to whom.

use crate::{
    api::ExportKind,
    senml::{self, Record, shown},
};
use std::fmt;

/// A reading that its target does not take.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsendable {
    pub(super) name: String,
    pub(super) why: String,
}

impl fmt::Display for Unsendable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\"{}\": it {}", shown(&self.name), self.why)
    }
}

impl Unsendable {
    pub(super) fn new(name: &str, why: impl Into<String>) -> Self {
        Self { name: name.to_owned(), why: why.into() }
    }
}

/// Writes a SenML pack of what can stand in one, if anything can: one wrong record would cost all the others of a pack. A server
/// other than ours gets records without fields that RFC 8428 does not name.
pub(super) fn senml(kind: ExportKind, records: Vec<Record>) -> (Option<Vec<u8>>, Vec<Unsendable>) {
    let (mut sendable, mut unsendable) = (Vec::with_capacity(records.len()), Vec::new());
    for mut record in records {
        if let Err(why) = senml::check_name(&record.name) {
            unsendable.push(Unsendable { name: record.name, why });
            continue;
        }
        if kind == ExportKind::Mqtt3 {
            if record.value.is_none() {
                unsendable.push(Unsendable::new(&record.name, "has a sum, but no value"));
                continue;
            }
            record.extensions.clear();
        }
        sendable.push(record);
    }
    let pack = (!sendable.is_empty()).then(|| senml::write(&sendable, senml::Format::Json));
    (pack, unsendable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::senml::Value;

    fn records() -> Vec<Record> {
        let record = |name: &str| {
            let mut record = Record::at_nanoseconds(name, 1_795_409_404_510_374_078, Value::Number(21.5));
            record.extensions.insert("seq".to_owned(), 7.into());
            record
        };
        let sum = Record { value: None, sum: Some(2.0), ..record("d1:energy") };
        vec![record("d1:t"), record("mf odd:t"), record("-d:t"), record("mf-é:t"), sum]
    }

    #[test]
    fn other_servers_get_resolved_records_with_values_and_plain_names() {
        let (pack, unsendable) = senml(ExportKind::Mqtt3, records());
        let pack = String::from_utf8(pack.unwrap()).unwrap();
        assert_eq!(pack, r#"[{"n":"d1:t","v":21.5,"t":1795409404.510374078}]"#);
        let names: Vec<_> = unsendable.iter().map(|unsendable| unsendable.name.as_str()).collect();
        assert_eq!(names, ["mf odd:t", "-d:t", "mf-é:t", "d1:energy"]);
        assert!(unsendable[0].why.starts_with("has the name \"mf odd:t\", but a name starts with"));
    }

    #[test]
    fn our_servers_get_sums_and_the_numbers_of_readings_too() {
        let (pack, unsendable) = senml(ExportKind::Mqtt, records());
        let pack = String::from_utf8(pack.unwrap()).unwrap();
        assert!(pack.contains(r#""seq":7"#) && pack.contains("d1:energy"), "{pack}");
        assert_eq!(unsendable.len(), 3);
        assert_eq!(senml(ExportKind::Mqtt, Vec::new()), (None, Vec::new()));
    }
}
