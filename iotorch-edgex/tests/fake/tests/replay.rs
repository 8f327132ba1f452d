//! Every call that was recorded from EdgeX 4.0.2 is put to the fake, in the same order, and the answers are compared.
//!
//! The copies of the transcripts are shorter than what was recorded: `…` in an object or an array says that something was left
//! out there, and a header that says JSON is not repeated.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::play::{DEVICES, OUTAGES, Play, comparing, lines, recorded};

#[tokio::test]
async fn every_recorded_call_is_answered_as_edgex_answered_it() {
    let lines = lines(&[DEVICES, OUTAGES]);
    assert_eq!(lines.len(), 585);
    let mut play = Play::start(recorded(), None).await;
    let wrong = play.replay(&mut comparing(), &lines).await;
    assert!(wrong.is_empty(), "{} answers differ:\n{}", wrong.len(), wrong.join("\n"));
}
