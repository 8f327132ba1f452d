//! Times and identities as EdgeX tells them.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// In milliseconds, as core-metadata dates things.
pub(crate) fn milliseconds() -> i64 {
    i64::try_from(since_epoch().as_millis()).unwrap_or_default()
}

/// In nanoseconds, as readings are dated. Each is later than the one before.
pub(crate) fn nanoseconds() -> i64 {
    use std::sync::atomic::{AtomicI64, Ordering};
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = i64::try_from(since_epoch().as_nanos()).unwrap_or_default();
    let later = |last: i64| Some(now.max(last + 1));
    LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).map_or(now, |last| now.max(last + 1))
}

fn since_epoch() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// As `date` writes it.
pub(crate) fn date() -> String {
    Timestamp::now().strftime("%a %b %e %H:%M:%S UTC %Y").to_string()
}

/// A new identity (RFC 9562, version 4).
pub(crate) fn uuid() -> String {
    let bits = rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Whether a text is an identity, as requests have to bear one or none.
pub(crate) fn is_uuid(text: &str) -> bool {
    let sizes = text.split('-').map(str::len);
    sizes.eq([8, 4, 4, 4, 12]) && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}
