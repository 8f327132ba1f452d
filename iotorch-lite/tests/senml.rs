//! Laws of SenML packs, for any pack.

use iotorch_lite::senml::{Record, Value, parse, write};
use proptest::{collection::vec, option, prelude::*};
use serde_json::json;
use std::collections::BTreeMap;

const NOW: f64 = 1_700_000_000.0;

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9][A-Za-z0-9:./_-]{0,20}"
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::num::f64::NORMAL.prop_map(Value::Number),
        any::<bool>().prop_map(Value::Bool),
        any::<String>().prop_map(Value::Text),
        vec(any::<u8>(), 0..40).prop_map(Value::Data),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let sum = option::of(prop::num::f64::NORMAL);
    let times = (268_435_456.0..4e9, option::of(0.0..1e6));
    let extensions =
        prop_oneof![Just(BTreeMap::new()), any::<u64>().prop_map(|n| [("seq".to_owned(), json!(n))].into())];
    (name(), option::of("[A-Za-z/%]{1,6}"), value(), sum, times, extensions).prop_map(
        |(name, unit, value, sum, (time, update_time), extensions)| Record {
            name,
            unit,
            value: Some(value),
            sum,
            time,
            update_time,
            extensions,
        },
    )
}

proptest! {
    #[test]
    fn a_written_pack_is_read_back_unchanged(records in vec(record(), 0..8)) {
        prop_assert_eq!(parse(write(&records).as_bytes(), NOW).unwrap(), records);
    }

    #[test]
    fn moving_what_records_share_into_base_values_changes_nothing(
        prefix in "[a-z]{1,5}:",
        unit in option::of("[A-Z]{1,3}"),
        base in (300_000_000_i64..2_000_000_000, -1000_i64..1000, -1000_i64..1000),
        readings in vec(("[a-z]{1,5}", 0_i64..100_000, -1000_i64..1000, -1000_i64..1000), 1..8),
    ) {
        let (time, value, sum) = base;
        let mut plain = Vec::new();
        let mut based = Vec::new();
        for (n, t, v, s) in readings {
            let name = format!("{prefix}{n}");
            plain.push(json!({ "n": name, "u": unit, "t": time + t, "v": value + v, "s": sum + s }));
            based.push(json!({ "n": n, "t": t, "v": v, "s": s }));
        }
        let shared = json!({ "bn": prefix, "bu": unit, "bt": time, "bv": value, "bs": sum });
        for (label, field) in shared.as_object().unwrap() {
            based[0][label] = field.clone();
        }
        let read = |pack: Vec<serde_json::Value>| parse(json!(pack).to_string().as_bytes(), NOW).unwrap();
        prop_assert_eq!(read(based), read(plain));
    }

    #[test]
    fn no_input_is_read_into_a_record_that_breaks_the_rules(input in "[\\[\\]{}\":,a-z0-9.eE_-]{0,80}") {
        for record in parse(input.as_bytes(), NOW).unwrap_or_default() {
            prop_assert!(record.time.is_finite() && !record.name.is_empty());
            prop_assert!(record.value.is_some() || record.sum.is_some());
        }
    }
}
