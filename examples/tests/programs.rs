//! Every program runs to its end and shows what its documentation says.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::process::Command;

/// What a program prints; it has to succeed.
fn shown_by(program: &str) -> String {
    let output = Command::new(program).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{shown}\n{error}", output.status);
    shown
}

#[test]
fn embed_reads_back_what_the_device_has_sent_and_leaves_nothing() {
    insta::assert_snapshot!(shown_by(env!("CARGO_BIN_EXE_embed")));
}

#[test]
fn own_placement_chooses_by_price_and_moves_nothing_that_runs() {
    insta::assert_snapshot!(shown_by(env!("CARGO_BIN_EXE_own_placement")));
}

#[test]
fn failure_and_rollback_shows_the_error_and_that_nothing_is_left() {
    insta::assert_snapshot!(shown_by(env!("CARGO_BIN_EXE_failure_and_rollback")));
}

#[test]
fn resume_after_a_crash_brings_the_run_to_its_end() {
    insta::assert_snapshot!(shown_by(env!("CARGO_BIN_EXE_resume_after_a_crash")));
}

#[test]
fn many_slices_keep_their_readings_apart() {
    let shown = shown_by(env!("CARGO_BIN_EXE_many_slices"));
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"in [0-9.]+ s", "in [time]");
    settings.bind(|| insta::assert_snapshot!(shown));
}

#[test]
fn rotation_loses_no_reading() {
    insta::assert_snapshot!(shown_by(env!("CARGO_BIN_EXE_rotation")));
}
