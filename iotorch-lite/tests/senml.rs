//! SenML packs: the examples of RFC 8428, its rules, and laws for any pack.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use iotorch_lite::senml::{Format, Record, Value, parse, write};
use proptest::{collection::vec, option, prelude::*};
use serde_json::json;
use std::collections::BTreeMap;

const NOW: f64 = 1_700_000_000.0;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn read(pack: impl AsRef<[u8]>) -> Vec<Record> {
    parse(pack.as_ref(), NOW).unwrap()
}

fn refusal(pack: impl AsRef<[u8]>) -> String {
    parse(pack.as_ref(), NOW).unwrap_err().to_string()
}

fn named(names: &[Record]) -> Vec<&str> {
    names.iter().map(|record| record.name.as_str()).collect()
}

mod examples {
    use super::*;

    // RFC 8428 section 5.1.
    const SINGLE: &str = include_str!("senml/single.json");
    const CURRENTS: &str = include_str!("senml/currents.json");
    const PLACES: &str = include_str!("senml/places.json");
    const TYPES: &str = include_str!("senml/types.json");
    const COLLECTION: &str = include_str!("senml/collection.json");

    /// The second of them in RFC 8428 section 6.
    const CURRENTS_IN_CBOR: &str = "
        87 a7 21 78 1b 75 72 6e 3a 64 65 76 3a 6f 77 3a 31 30 65 32 30 37 33 61 30 31 30 38 30 30 36 3a
        22 fb 41 d3 03 a1 5b 00 10 62 23 61 41 20 05 00 67 76 6f 6c 74 61 67 65 01 61 56 02 fb 40 5e 06
        66 66 66 66 66 a3 00 67 63 75 72 72 65 6e 74 06 24 02 fb 3f f3 33 33 33 33 33 33 a3 00 67 63 75
        72 72 65 6e 74 06 23 02 fb 3f f4 cc cc cc cc cc cd a3 00 67 63 75 72 72 65 6e 74 06 22 02 fb 3f
        f6 66 66 66 66 66 66 a3 00 67 63 75 72 72 65 6e 74 06 21 02 f9 3e 00 a3 00 67 63 75 72 72 65 6e
        74 06 20 02 fb 3f f9 99 99 99 99 99 9a a3 00 67 63 75 72 72 65 6e 74 06 00 02 fb 3f fb 33 33 33
        33 33 33";

    #[test]
    fn a_single_datapoint_is_of_now() {
        let records = read(SINGLE);
        let expected = Record {
            unit: Some("Cel".to_owned()),
            ..Record::new("urn:dev:ow:10e2073a01080063", NOW, Value::Number(23.1))
        };
        assert_eq!(records, [expected]);
    }

    #[test]
    fn datapoints_in_the_past_are_resolved_by_their_base() {
        let records = read(CURRENTS);
        let resolved: Vec<_> = records.iter().map(|r| (r.unit.as_deref().unwrap(), r.time)).collect();
        assert_eq!(resolved[0], ("V", 1_276_020_076.001));
        assert_eq!(resolved[1], ("A", 1_276_020_071.001));
        assert_eq!(resolved[6], ("A", 1_276_020_076.001));
        assert_eq!(records[5].value, Some(Value::Number(1.6)));
        assert!(named(&records)[1..].iter().all(|name| *name == "urn:dev:ow:10e2073a0108006:current"));
    }

    #[test]
    fn the_example_in_cbor_is_the_one_in_json() {
        assert_eq!(read(bytes(CURRENTS_IN_CBOR)), read(CURRENTS));
    }

    #[test]
    fn measurements_of_many_places_share_one_name() {
        let records = read(PLACES);
        assert!(named(&records).iter().all(|name| *name == "urn:dev:ow:10e2073a01080063"));
        let units: Vec<_> = records.iter().map(|r| r.unit.as_deref().unwrap()).collect();
        assert_eq!(units, ["%RH", "lon", "lat", "%RH"]);
        assert_eq!(records[3].time, 1_320_067_524.0);
    }

    #[test]
    fn values_have_four_types() {
        let records = read(TYPES);
        let values: Vec<_> = records.into_iter().map(|record| record.value.unwrap()).collect();
        assert_eq!(
            values,
            [
                Value::Number(23.1),
                Value::Text("Machine Room".to_owned()),
                Value::Bool(false),
                Value::Data(b"hi \n".to_vec())
            ]
        );
    }

    #[test]
    fn a_base_name_holds_until_the_next() {
        let records = read(COLLECTION);
        assert_eq!(
            named(&records),
            [
                "2001:db8::2/temperature",
                "2001:db8::2/humidity",
                "2001:db8::1/temperature",
                "2001:db8::1/humidity"
            ]
        );
    }
}

mod rules {
    use super::*;

    #[test]
    fn base_values_last_until_they_are_overridden() {
        let records = read(
            r#"[{"bn":"a:","bt":1600000000,"bu":"Cel","bv":20,"bs":5,"n":"x","v":1,"s":2},
            {"n":"y","t":1,"u":"V","v":2},{"bn":"b:","bu":"K","bv":0,"n":"x","v":3},{"n":"z"}]"#,
        );
        assert_eq!(named(&records), ["a:x", "a:y", "b:x", "b:z"]);
        let units: Vec<_> = records.iter().map(|r| r.unit.as_deref().unwrap()).collect();
        assert_eq!(units, ["Cel", "V", "K", "K"]);
        let values: Vec<_> = records.iter().map(|r| r.value.clone().unwrap()).collect();
        assert_eq!(values, [21.0, 22.0, 3.0, 0.0].map(Value::Number));
        assert_eq!(records.iter().map(|r| r.sum.unwrap()).collect::<Vec<_>>(), [7.0, 5.0, 5.0, 5.0]);
        assert_eq!(records[1].time, 1_600_000_001.0);
    }

    #[test]
    fn a_base_value_is_added_to_numbers_only() {
        let records = read(r#"[{"bv":20,"n":"a","v":1},{"n":"b","vb":true},{"n":"c","vs":"x"}]"#);
        let values: Vec<_> = records.into_iter().map(|record| record.value.unwrap()).collect();
        assert_eq!(values, [Value::Number(21.0), Value::Bool(true), Value::Text("x".to_owned())]);
    }

    #[test]
    fn small_times_are_relative_to_now_and_no_time_is_now() {
        let records = read(
            r#"[{"n":"a","v":1},{"n":"a","v":1,"t":-5.5},{"n":"a","v":1,"t":268435455},
            {"n":"a","v":1,"t":268435456},{"bt":268435450,"n":"a","v":1,"t":6},{"n":"a","v":1,"t":5}]"#,
        );
        let times: Vec<_> = records.iter().map(|record| record.time).collect();
        let (least, relative) = (268_435_456.0, NOW + 268_435_455.0);
        assert_eq!(times, [NOW, NOW - 5.5, relative, least, least, relative]);
    }

    #[test]
    fn times_keep_their_nanoseconds_in_both_formats() {
        let pack = r#"[{"bt":1795409404.5,"n":"a","v":1,"t":0.010374078},{"n":"b","v":1},{"bt":0,"n":"c","v":1,"t":1795409404510374079e-9}]"#;
        let records = read(pack);
        let nanoseconds: Vec<_> = records.iter().map(|record| record.nanoseconds).collect();
        let expected = [Some(1_795_409_404_510_374_078), None, Some(1_795_409_404_510_374_079)];
        assert_eq!(nanoseconds, expected, "a double tells the second one");
        assert_eq!(records[0].time, 1_795_409_404.510_374);
        for format in [Format::Json, Format::Cbor] {
            assert_eq!(parse(&write(&records, format), NOW).unwrap(), records);
        }
        let json = String::from_utf8(write(&records, Format::Json)).unwrap();
        assert!(
            json.contains(r#""t":1795409404.510374078}"#) && json.contains(r#""t":1795409404.5}"#),
            "{json}"
        );
        let moved = Record { time: 1.6e9, ..records[0].clone() };
        let json = String::from_utf8(write(&[moved], Format::Json)).unwrap();
        assert!(json.ends_with(r#""t":1600000000.0}]"#), "they are those of another time: {json}");
    }

    #[test]
    fn a_sum_needs_no_value() {
        let records = read(r#"[{"n":"energy","s":12.5}]"#);
        assert_eq!((records[0].value.clone(), records[0].sum), (None, Some(12.5)));
    }

    #[test]
    fn unknown_fields_are_kept_aside_unless_they_must_be_understood() {
        let records = read(r#"[{"n":"a","v":1,"seq":7,"more":{"x":[null]}}]"#);
        assert_eq!(records[0].extensions["seq"], 7);
        for format in [Format::Json, Format::Cbor] {
            assert_eq!(read(write(&records, format)), records);
        }
        assert_eq!(
            refusal(r#"[{"n":"a","v":1,"must_":7}]"#),
            "record 1 has the field \"must_\", which must be understood and is not"
        );
        assert!(refusal(bytes("81 a3 00 61 61 02 01 65 6d 75 73 74 5f 07")).contains("\"must_\""));
    }

    #[test]
    fn records_in_json_that_break_a_rule_refuse_the_pack() {
        let long = format!(r#"[{{"n":"{}","v":1}}]"#, "a".repeat(513));
        let wide = format!(r#"[{{"n":"a","u":"{}","v":1}}]"#, "a".repeat(65));
        let deep = format!(r#"[{{"n":"a","v":1,"x":{}1{}}}]"#, "[".repeat(16), "]".repeat(16));
        for (pack, because) in [
            ("[]", "the pack has no record"),
            ("", "not SenML JSON"),
            (r#"{"n":"a","v":1}"#, "not SenML JSON"),
            (r#"[{"n":"a","v":1}] x"#, "not SenML JSON"),
            ("[1]", "expected an object"),
            (r#"[{"n":"a","v":1e400}]"#, "not SenML JSON"),
            (r#"[{"n":"a","v":NaN}]"#, "not SenML JSON"),
            (r#"[{"n":"a","v":"1"}]"#, "record 1 has a \"v\" that is not a number"),
            (r#"[{"n":"a","u":null,"v":1}]"#, "record 1 has a \"u\" that is not a text"),
            (r#"[{"n":"a","vb":0}]"#, "has a \"vb\" that is not true or false"),
            (r#"[{"n":"a","vd":1}]"#, "has a \"vd\" that is not data"),
            (
                r#"[{"n":"a","v":9007199254740993}]"#,
                "of 9007199254740993, which a double does not hold exactly",
            ),
            (r#"[{"n":"a","n":"b","v":1}]"#, "has the field \"n\" twice"),
            (r#"[{"n":"a","v":1,"x":1,"x":1}]"#, "has the field \"x\" twice"),
            (r#"[{"n":"a","v":1,"v":1}]"#, "has more than one value"),
            (r#"[{"n":"a","v":1,"vb":true}]"#, "has more than one value"),
            (r#"[{"n":"a","v":1},{"n":"a"}]"#, "record 2 has neither a value nor a sum"),
            (r#"[{"v":1}]"#, "record 1 has no name"),
            (r#"[{"n":"-a","v":1}]"#, "starts with a letter or digit"),
            (r#"[{"n":"a b","v":1}]"#, "starts with a letter or digit"),
            (r#"[{"n":"a","vd":"+/=="}]"#, "base64"),
            (r#"[{"n":"a","v":1,"bver":11}]"#, "record 1 is of version 11, newer than 10"),
            (r#"[{"n":"a","v":1,"bver":0}]"#, "a version is a whole number from 1"),
            (r#"[{"n":"a","v":1,"bver":9.5}]"#, "a version is a whole number from 1"),
            (
                r#"[{"n":"a","v":1},{"bver":5,"n":"a","v":1}]"#,
                "record 2 is of another version than the first",
            ),
            (r#"[{"n":"a","v":1,"t":-1600000000}]"#, "time out of range"),
            (r#"[{"n":"a","v":1,"ut":-1}]"#, "an update time below 0"),
            (r#"[{"bv":1e308,"n":"a","v":1e308}]"#, "number out of range"),
            (&long, "a name of more than 512 bytes"),
            (&wide, "a unit of more than 64 bytes"),
            (&deep, "nested more than 16 deep"),
        ] {
            let why = refusal(pack);
            assert!(why.contains(because), "{pack}: {why}");
        }
    }
}

mod cbor {
    use super::*;

    #[test]
    fn numbers_come_in_every_width_and_as_big_and_decimal_ones() {
        for (value, expected) in [
            ("f9 3c00", 1.0),
            ("fa 47c35000", 100_000.0),
            ("fb 3ff199999999999a", 1.1),
            ("18 64", 100.0),
            ("1b 0020000000000000", 9_007_199_254_740_992.0),
            ("38 63", -100.0),
            ("c2 49 010000000000000000", 18_446_744_073_709_551_616.0),
            ("c3 49 00ffffffffffffffff", -18_446_744_073_709_551_616.0),
            ("c2 58 21 00000000000000000000000000000000000000000000000000000000000000007b", 123.0),
            ("c4 82 20 190111", 27.3),
        ] {
            let records = read(bytes(&format!("81 a2 00 61 61 02 {value}")));
            assert_eq!(records[0].value, Some(Value::Number(expected)), "{value}");
        }
    }

    #[test]
    fn labels_may_be_texts_and_lengths_indefinite() {
        let expected = read(r#"[{"n":"ab","vs":"x"}]"#);
        for pack in [
            "81 a2 00 62 61 62 03 61 78",
            "81 a2 61 6e 62 61 62 62 76 73 61 78",
            "9f bf 00 7f 61 61 61 62 ff 03 61 78 ff ff",
            "9b 0000000000000001 a2 00 62 61 62 03 61 78",
        ] {
            assert_eq!(read(bytes(pack)), expected, "{pack}");
        }
    }

    #[test]
    fn data_are_bytes() {
        let records = read(bytes("81 a2 00 61 61 08 43 01 02 03"));
        assert_eq!(records[0].value, Some(Value::Data(vec![1, 2, 3])));
        assert_eq!(write(&records, Format::Cbor)[..11], bytes("81 a3 00 61 61 08 43 01 02 03 06"));
    }

    #[test]
    fn an_unknown_field_that_json_cannot_hold_is_passed_over() {
        for value in ["41 00", "f9 7e00", "a1 01 01", "c1 01", "1b ffffffffffffffff"] {
            let records = read(bytes(&format!("81 a3 00 61 61 02 01 61 78 {value}")));
            assert_eq!(records[0].extensions.contains_key("x"), value.starts_with("1b"), "{value}");
        }
    }

    #[test]
    fn records_that_break_a_rule_refuse_the_pack() {
        let nested = format!("81 a3 00 61 61 02 01 61 78 {} 00", "81".repeat(60));
        for (pack, because) in [
            ("80", "the pack has no record"),
            ("81", "not SenML CBOR: it ends too early"),
            ("81 01", "record 1 is not a map"),
            ("81 a2 00 61 61 02 01 00", "something follows its end"),
            ("9f a2 00 61 61 02 01", "it ends too early"),
            ("81 1c", "byte 1 is wrong"),
            ("81 a2 00 62 c3 28 02 01", "is wrong"),
            ("81 a2 00 61 61 09 01", "has the label 9, which SenML does not have"),
            ("81 a2 00 61 61 41 76 01", "has a label that is neither an integer nor a text"),
            ("81 a3 00 61 61 02 01 61 6e 61 62", "has the field \"n\" twice"),
            ("81 a2 00 61 61 02 f9 7e00", "has a \"v\" that a double does not hold exactly"),
            ("81 a2 00 61 61 02 f9 7c00", "has a \"v\" that a double does not hold exactly"),
            ("81 a2 00 61 61 02 1b 0020000000000001", "has a \"v\" that a double does not hold exactly"),
            ("81 a2 00 61 61 02 c4 82 1a ffffffff 01", "has a \"v\" that a double does not hold exactly"),
            ("81 a2 00 61 61 02 c1 01", "has a \"v\" that is not a number"),
            ("81 a2 00 61 61 02 f6", "has a \"v\" that is not a number"),
            ("81 a2 00 61 61 08 61 78", "has a \"vd\" that is not data"),
            ("81 a3 00 61 61 02 01 20 0b", "record 1 is of version 11, newer than 10"),
            (&nested, "it is nested more than 32 deep"),
        ] {
            let why = refusal(bytes(pack));
            assert!(why.contains(because), "{pack}: {why}");
        }
    }

    #[test]
    fn a_length_that_nothing_follows_costs_nothing() {
        for start in ["9b", "81 bb", "81 a1 00 7b", "81 a1 08 5b", "81 a1 61 78 9b", "81 a1 02 c2 5b"] {
            for length in ["1000000000000000", "7fffffffffffffff", "ffffffffffffffff"] {
                assert!(refusal(bytes(&format!("{start} {length}"))).contains("not SenML CBOR"), "{start}");
            }
        }
    }
}

mod laws {
    use super::*;
    use sindit_senml::{SenMLResolvedRecord, SenMLValueField};

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            prop::num::f64::NORMAL.prop_map(Value::Number),
            (-1000_i32..1000).prop_map(|number| Value::Number(number.into())),
            any::<bool>().prop_map(Value::Bool),
            any::<String>().prop_map(Value::Text),
            vec(any::<u8>(), 0..40).prop_map(Value::Data),
        ]
    }

    fn extensions() -> impl Strategy<Value = BTreeMap<String, serde_json::Value>> {
        let number = prop_oneof![any::<u64>().prop_map(|n| json!(n)), any::<i64>().prop_map(|n| json!(n))];
        let text = any::<String>().prop_map(|text| json!(text));
        let double = prop::num::f64::NORMAL.prop_map(|n| json!(n));
        let leaf = prop_oneof![number, text, double, Just(json!(null)), Just(json!(true))];
        let nested = leaf.prop_recursive(4, 16, 4, |inner| {
            let items = vec(inner.clone(), 0..4).prop_map(serde_json::Value::from);
            let object = prop::collection::btree_map(any::<String>(), inner, 0..4);
            prop_oneof![items, object.prop_map(|object| json!(object))]
        });
        prop::collection::btree_map("origin|seq|x[a-z]{1,5}", nested, 0..3)
    }

    fn record() -> impl Strategy<Value = Record> {
        let sum = option::of(prop::num::f64::NORMAL);
        let times = (268_435_456.0..4e9, option::of(0.0..1e6));
        let name = "[A-Za-z0-9][A-Za-z0-9:./_-]{0,20}";
        (name, option::of("[A-Za-z/%]{1,6}"), value(), sum, times, extensions()).prop_map(
            |(name, unit, value, sum, (time, update_time), extensions)| Record {
                name,
                unit,
                value: Some(value),
                sum,
                time,
                nanoseconds: None,
                update_time,
                extensions,
            },
        )
    }

    /// Records as they are on the wire, base values included.
    fn fields() -> impl Strategy<Value = serde_json::Value> {
        let name = || option::of("[a-z]{1,3}:?");
        let unit = || option::of("[A-Z]{1,2}");
        let number = || option::of(-1e6..1e6);
        let time =
            || option::of(prop_oneof![-1000..1000, 268_435_400..268_435_500, 1_600_000_000..1_700_000_000]);
        let value = prop_oneof![
            (-1e6..1e6).prop_map(|v| ("v", json!(v))),
            any::<bool>().prop_map(|v| ("vb", json!(v))),
            any::<String>().prop_map(|v| ("vs", json!(v))),
            "([A-Za-z0-9_-]{4}){0,5}".prop_map(|v| ("vd", json!(v))),
            (-1e6..1e6).prop_map(|v| ("s", json!(v))),
        ];
        let base = (name(), time(), unit(), number(), number(), option::weighted(0.1, 5..=10));
        (base, name(), time(), unit(), value, option::of(0..1000)).prop_map(
            |((bn, bt, bu, bv, bs, bver), n, t, u, (label, value), ut)| {
                let mut fields = json!({ "bn": bn, "bt": bt, "bu": bu, "bv": bv, "bs": bs, "bver": bver,
                    "n": n, "t": t, "u": u, "ut": ut, label: value });
                fields.as_object_mut().unwrap().retain(|_, field| !field.is_null());
                fields
            },
        )
    }

    /// What another reader has read, as one of our records.
    fn translated(read: SenMLResolvedRecord) -> Record {
        let value = read.value.map(|value| match value {
            SenMLValueField::FloatingPoint(number) => Value::Number(number),
            SenMLValueField::BooleanValue(bool) => Value::Bool(bool),
            SenMLValueField::StringValue(text) => Value::Text(text),
            SenMLValueField::DataValue(data) => Value::Data(data),
        });
        Record {
            name: read.name,
            unit: read.unit,
            value,
            sum: read.sum,
            time: read.time.timestamp() as f64,
            nanoseconds: None,
            update_time: read.update_time,
            extensions: BTreeMap::new(),
        }
    }

    proptest! {
        #[test]
        fn another_reader_of_the_same_rules_reads_the_same(pack in vec(fields(), 1..5)) {
            let pack = serde_json::to_string(&pack).unwrap();
            let now = "2023-11-14T22:13:20Z".parse().ok();
            let theirs = sindit_senml::parse_json(&pack, now);
            match (parse(pack.as_bytes(), NOW), theirs) {
                (Ok(ours), Ok(theirs)) => {
                    prop_assert_eq!(ours, theirs.into_iter().map(translated).collect::<Vec<_>>());
                }
                (ours, theirs) => prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs),
            }
        }

        #[test]
        fn a_written_pack_is_read_back_unchanged_in_both_formats(records in vec(record(), 1..8)) {
            for format in [Format::Json, Format::Cbor] {
                let pack = write(&records, format);
                prop_assert_eq!(Format::of(&pack), format);
                prop_assert_eq!(&read(pack), &records);
            }
        }

        #[test]
        fn a_record_is_read_back_unchanged_from_any_json(record in record()) {
            let json = serde_json::to_string(&record).unwrap();
            prop_assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
        }

        #[test]
        fn moving_what_records_share_into_base_values_changes_nothing(
            prefix in "[a-z]{1,5}:",
            unit in "[A-Z]{1,3}",
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
            let in_json = |pack: &[serde_json::Value]| read(serde_json::to_vec(pack).unwrap());
            // With labels as texts, which CBOR allows.
            let in_cbor = |pack: &[serde_json::Value]| {
                let mut bytes = Vec::new();
                ciborium::into_writer(pack, &mut bytes).unwrap();
                read(bytes)
            };
            prop_assert_eq!(in_json(&based), in_json(&plain));
            prop_assert_eq!(in_cbor(&based), in_json(&plain));
        }

        #[test]
        fn no_text_is_read_into_a_record_that_breaks_the_rules(input in "[\\[\\]{}\":,a-z0-9.eE_-]{0,80}") {
            for record in parse(input.as_bytes(), NOW).unwrap_or_default() {
                prop_assert!(record.time.is_finite() && !record.name.is_empty());
                prop_assert!(record.value.is_some() || record.sum.is_some());
            }
        }

        #[test]
        fn whatever_bytes_are_read_can_be_written_and_read_again(
            mut input in vec(any::<u8>(), 0..60),
            first in 0x80_u8..=0x9f,
        ) {
            input.insert(0, first);
            let records = parse(&input, NOW).unwrap_or_default();
            if !records.is_empty() {
                prop_assert_eq!(&read(write(&records, Format::Json)), &records);
                prop_assert_eq!(&read(write(&records, Format::Cbor)), &records);
            }
        }
    }
}
