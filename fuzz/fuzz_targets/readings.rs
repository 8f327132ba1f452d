//! A topic, a line break and a message: what the gateway makes of it by a profile, and what exports get.

#![no_main]

use iotorch_fuzz::{NOW, written};
use iotorch_lite::{
    api::{Access, Profile, ValueType},
    fuzzing::{DEVICE, Outbox, Reading, judge, profile},
    senml::{self, Format, Record, Value},
};
use libfuzzer_sys::{Corpus, fuzz_target};
use std::sync::LazyLock;

/// The longest reason for a rejection, and the longest pack, in bytes.
const REASON: usize = 1024;
const PACK: usize = 60 * 1024;

static PROFILE: LazyLock<Profile> = LazyLock::new(|| profile().expect("the profile can be read"));
static OUTBOX: LazyLock<Outbox> = LazyLock::new(|| Outbox::start().expect("the store works"));

type Judged = Vec<Result<Reading, String>>;

fuzz_target!(|input: &[u8]| -> Corpus {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let (Some(topic), Some(message)) = (parts.next(), parts.next()) else { return Corpus::Reject };
    let Ok(topic) = str::from_utf8(topic) else { return Corpus::Reject };
    let Some(judged) = read(topic, message) else {
        assert_ne!(topic, format!("devices/{DEVICE}"));
        return Corpus::Keep;
    };
    for judged in &judged {
        match judged {
            Ok(reading) => allowed(reading),
            Err(why) => assert!((1..=REASON).contains(&why.len()), "{} bytes: {why}", why.len()),
        }
    }
    match topic.strip_prefix(&format!("devices/{DEVICE}/")) {
        Some(resource) => plain(resource, message, &judged),
        None => together(message, &judged),
    }
    forwarded(topic, message, judged);
    Corpus::Keep
});

fn read(topic: &str, message: &[u8]) -> Option<Judged> {
    judge(topic, message, NOW).expect("the profile can be read")
}

/// What is accepted is within the profile.
fn allowed(reading: &Reading) {
    let Reading { resource, record } = reading;
    let rule = &PROFILE.resources[resource];
    assert!(rule.access != Access::Write);
    assert_eq!(record.name, format!("{DEVICE}:{resource}"));
    assert!(rule.unit.is_none() || record.unit == rule.unit, "{record:?}");
    assert!(record.extensions.is_empty());
    match (rule.value_type, record.value.as_ref().expect("a reading has a value")) {
        (ValueType::Float, Value::Number(number)) => {
            assert!(number.is_finite() && within(rule.min, rule.max, *number), "{record:?}");
        }
        (ValueType::Integer, Value::Number(number)) => {
            let exact = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
            assert!(exact && within(rule.min, rule.max, *number), "{record:?}");
        }
        (ValueType::Bool, Value::Bool(_)) | (ValueType::String, Value::Text(_)) => {}
        _ => panic!("of another type than {:?}: {record:?}", rule.value_type),
    }
}

fn within(min: Option<f64>, max: Option<f64>, number: f64) -> bool {
    min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max)
}

/// A plain value is one reading. Said in a JSON object it is judged alike, unless a text may be anything.
fn plain(resource: &str, message: &[u8], judged: &Judged) {
    assert_eq!(judged.len(), 1);
    let is_text = PROFILE.resources.get(resource).is_none_or(|rule| rule.value_type == ValueType::String);
    if is_text || serde_json::from_slice::<serde_json::Value>(message).is_err() {
        return;
    }
    let object = [format!("{{\"{resource}\":").as_bytes(), message, b"}"].concat();
    let said = read(&format!("devices/{DEVICE}"), &object).expect("the device has this topic");
    assert_eq!(said.iter().flatten().collect::<Vec<_>>(), judged.iter().flatten().collect::<Vec<_>>());
}

/// Each record of a pack is judged, or the pack is rejected as one.
fn together(message: &[u8], judged: &Judged) {
    let first = message.iter().find(|byte| !byte.is_ascii_whitespace());
    if Format::of(message) == Format::Cbor || first == Some(&b'[') {
        let records = senml::parse(message, NOW).map_or(1, |records| records.len());
        assert_eq!(judged.len(), records);
    }
}

/// What is accepted is counted, can be written, and comes to exports as it is, in packs that they can take.
fn forwarded(topic: &str, message: &[u8], judged: Judged) {
    let (mut accepted, mut rejected) = (Vec::<Record>::new(), Vec::new());
    for judged in judged {
        match judged {
            Ok(reading) => accepted.push(reading.record),
            Err(why) => rejected.push(why),
        }
    }
    if accepted.is_empty() {
        return;
    }
    written(&accepted);
    let (count, reasons, packs) = OUTBOX.take(topic, message, NOW).expect("the store works");
    assert_eq!((count, reasons), (accepted.len() as u64, rejected));
    let mut arrived = Vec::new();
    for pack in packs {
        assert!(pack.len() <= PACK, "a pack of {} bytes", pack.len());
        arrived.extend(senml::parse(&pack, NOW).expect("what is sent can be read"));
    }
    let sequence = |record: &Record| record.extensions["seq"].as_u64();
    assert!(arrived.windows(2).all(|pair| sequence(&pair[1]) == sequence(&pair[0]).map(|before| before + 1)));
    arrived.iter_mut().for_each(|record| record.extensions.clear());
    assert_eq!(arrived, accepted);
}
