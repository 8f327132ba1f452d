//! Events as they were recorded on the bus of EdgeX 4.0, and as other versions are documented to write them.

use super::*;
use ciborium::Value as Cbor;
use serde_json::json;

const NOW: f64 = 1_795_409_999.5;

/// Messages seen by a subscriber of everything, one a line.
const RECORDED: &str = include_str!("../../../../tests/bus/edgex-4.0-events.jsonl");

fn shown(message: &[u8]) -> String {
    match read(message, NOW) {
        Ok(event) => {
            let readings = event.readings.into_iter().map(|reading| match reading {
                Ok(Reading { record, as_text }) => {
                    let record = String::from_utf8(senml::keep(&record)).unwrap();
                    format!("{record}{}", if as_text { " as text" } else { "" })
                }
                Err(why) => format!("refused: {why}"),
            });
            readings.collect::<Vec<_>>().join("\n")
        }
        Err(why) => format!("refused: {why}"),
    }
}

/// The first reading of an event with one.
fn reading(reading: serde_json::Value) -> String {
    let mut reading = reading;
    reading["resourceName"] = json!("r");
    let event = json!({ "id": "e", "deviceName": "d", "origin": 1_795_409_404_510_374_078_i64, "readings": [reading] });
    shown(json!({ "apiVersion": "v3", "payload": { "event": event } }).to_string().as_bytes())
}

#[test]
fn recorded_events_become_records_and_other_messages_are_refused() {
    let mut all = String::new();
    for line in RECORDED.lines() {
        let recorded: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| recorded[name].as_str().unwrap();
        all += &format!("{} on {}\n{}\n\n", text("step"), text("topic"), shown(text("payload").as_bytes()));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn every_type_of_value_keeps_its_meaning() {
    let of = |kind: &str, value: &str| reading(json!({ "valueType": kind, "value": value }));
    let all = [
        of("Bool", "true"),
        of("Bool", "maybe"),
        of("Int8", "-128"),
        of("Uint64", "9007199254740992"),
        of("Uint64", "18446744073709551615"),
        of("Int64", "-9223372036854775808"),
        of("Int64", "-9007199254740993"),
        of("Int16", "1.5"),
        of("Float32", "1e-01"),
        of("Float64", "-2.2250738585072014e-308"),
        of("Float64", "NaN"),
        of("Float64", "1e999"),
        of("Float64", "warm"),
        of("String", ""),
        of("String", "21.5"),
        of("Int32Array", "[1, -2, 3]"),
        of("Float64Array", "[1.5e+00, 2e+00]"),
        of("BoolArray", "[true, false]"),
        of("StringArray", "[\"a\", \"b\"]"),
        reading(
            json!({ "valueType": "Object", "objectValue": { "big": 18_446_744_073_709_551_615_u64, "list": [1, null] } }),
        ),
        reading(json!({ "valueType": "ObjectArray", "objectValue": [{ "a": 1 }] })),
        reading(json!({ "valueType": "Object", "objectValue": "{\"a\":1}" })),
        reading(json!({ "valueType": "Object" })),
        reading(json!({ "valueType": "Binary", "binaryValue": "AP/+", "mediaType": "image/png" })),
        reading(json!({ "valueType": "Binary" })),
        reading(json!({ "valueType": "Float64", "value": "", "isNull": true })),
        reading(json!({ "valueType": "Float64" })),
        reading(json!({ "valueType": "Float64", "value": "1e+00", "units": "Cel" })),
        reading(json!({ "valueType": "Float64", "value": "1e+00", "units": "" })),
        reading(json!({ "valueType": "Float64", "value": "1e+00", "units": "u".repeat(65) })),
        reading(json!({ "valueType": "String", "value": "x".repeat(LARGEST) })),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_time_is_that_of_the_reading_then_of_the_event_then_of_its_arrival() {
    let of = |event: serde_json::Value, reading: serde_json::Value| {
        let reading = json!({ "resourceName": "r", "valueType": "Int8", "value": "1", "origin": reading });
        let event = json!({ "deviceName": "d", "readings": [reading], "origin": event });
        shown(json!({ "payload": { "event": event } }).to_string().as_bytes())
    };
    let at = |time: &str| format!(r#"{{"n":"d:r","v":1.0,"t":{time}}}"#);
    let exact = 1_795_409_404_510_374_078_i64;
    assert_eq!(of(json!(null), json!(exact)), at("1795409404.510374078"));
    assert_eq!(of(json!(exact), json!(1_795_409_404_510_374_079_i64)), at("1795409404.510374079"));
    assert_eq!(of(json!(exact), json!(0)), at("1795409404.510374078"));
    assert_eq!(of(json!(0), json!(null)), at("1795409999.5"));
    assert_eq!(of(json!(-5), json!(-5)), at("1795409999.5"));
    assert_eq!(of(json!(null), json!(1_795_409_404_510_i64)), at("1795409404.51"), "milliseconds");
    assert!(of(json!(null), json!(1.5)).starts_with("refused: it is no event: invalid type: floating point"));
}

#[test]
fn the_envelope_of_version_3_holds_base64_of_json_or_cbor() {
    let event = json!({ "apiVersion": "v3", "requestId": "1", "event": {
        "apiVersion": "v3", "id": "e1", "deviceName": "camera", "origin": 1_795_409_404_510_374_078_i64,
        "readings": [{ "id": "r1", "resourceName": "level", "valueType": "Uint8", "value": "7", "units": "%" }],
    }});
    let level = r#"{"n":"camera:level","u":"%","v":7.0,"t":1795409404.510374078}"#;
    let envelope =
        |payload: String| json!({ "contentType": "application/json", "payload": payload }).to_string();
    assert_eq!(shown(envelope(STANDARD.encode(event.to_string())).as_bytes()), level);
    assert_eq!(shown(envelope(event.to_string()).as_bytes()), level, "the text itself");
    assert_eq!(shown(event["event"].to_string().as_bytes()), level, "without an envelope");

    let map = |entries: Vec<(&str, Cbor)>| {
        Cbor::Map(entries.into_iter().map(|(name, value)| (Cbor::from(name), value)).collect())
    };
    let picture = map(vec![
        ("resourceName", "picture".into()),
        ("valueType", "Binary".into()),
        ("binaryValue", Cbor::Bytes(vec![0, 255, 254])),
        ("mediaType", "image/png".into()),
        ("origin", 1_795_409_404_510_374_079_i64.into()),
    ]);
    let object = map(vec![
        ("resourceName", "place".into()),
        ("valueType", "Object".into()),
        ("objectValue", map(vec![("x", 2.into())])),
    ]);
    let event = map(vec![
        ("id", "e2".into()),
        ("deviceName", "camera".into()),
        ("origin", 1_795_409_404_510_374_078_i64.into()),
        ("readings", Cbor::Array(vec![picture, object])),
    ]);
    let mut cbor = Vec::new();
    ciborium::into_writer(&map(vec![("apiVersion", "v3".into()), ("event", event)]), &mut cbor).unwrap();
    insta::assert_snapshot!(shown(envelope(STANDARD.encode(cbor)).as_bytes()), @r#"
    {"n":"camera:picture","vd":"AP_-","t":1795409404.510374079}
    {"n":"camera:place","vs":"{\"x\":2}","t":1795409404.510374078} as text
    "#);
}

#[test]
fn events_of_version_1_have_other_names_and_no_types() {
    let event = json!({ "id": "5d8", "device": "Sensor-1", "origin": 1_545_200_000_123_i64, "readings": [
        { "origin": 1_545_200_000_124_i64, "device": "Sensor-1", "name": "temperature", "value": "21.5" },
        { "device": "Sensor-1", "name": "open", "value": "true" },
        { "device": "Sensor-1", "name": "note", "value": "hello" },
        { "device": "Sensor-1", "name": "serial", "value": "9007199254740993" },
    ]});
    insta::assert_snapshot!(shown(event.to_string().as_bytes()), @r#"
    {"n":"Sensor-1:temperature","v":21.5,"t":1545200000.124}
    {"n":"Sensor-1:open","vb":true,"t":1545200000.123}
    {"n":"Sensor-1:note","vs":"hello","t":1545200000.123}
    {"n":"Sensor-1:serial","vs":"9007199254740993","t":1545200000.123}
    "#);
    let envelope = json!({ "Checksum": "", "CorrelationID": "c", "ContentType": "application/json",
        "Payload": STANDARD.encode(event.to_string()) });
    assert_eq!(shown(envelope.to_string().as_bytes()), shown(event.to_string().as_bytes()));
}

#[test]
fn what_is_no_event_is_refused_with_the_reason() {
    for (message, why) in [
        ("", "it is no event: EOF while parsing a value"),
        ("21.5", "it is no event: invalid type: floating point"),
        ("{}", "it is no event: missing field `deviceName`"),
        (r#"{"payload":"%"}"#, "it is no event: Invalid symbol"),
        (r#"{"payload":"gQE="}"#, "it is no event: "),
        (r#"{"payload":{"event":{"deviceName":"d"}}}"#, "it is no event: missing field `readings`"),
    ] {
        let refusal = read(message.as_bytes(), NOW).unwrap_err();
        assert!(refusal.starts_with(why), "{message}: {refusal}");
    }
    let nameless = json!({ "deviceName": "", "readings": [{ "resourceName": "r", "value": "1" }] });
    assert_eq!(shown(nameless.to_string().as_bytes()), "refused: \":r\" has no device or no resource");
}
