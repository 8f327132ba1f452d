use std::time::Duration;

use iotorch_core::{ApplyError, Error, ErrorKind, Report, plan::Summary};

use super::*;

fn run(slice: &str, state: RunState) -> RunReport {
    let root =
        Error::new(ErrorKind::Unexpected, "last lines:\n  connect to postgres:5432: connection refused");
    let pod = Error::new(
        ErrorKind::Unexpected,
        "pod gw-core-metadata-6d4f: container \"metadata\" exits with code 1, 4 times",
    )
    .with_source(root);
    let step = Error::new(ErrorKind::Timeout, "gateway \"gw\" did not become ready on \"edge-1\"")
        .with_help(
            "the chart's values set database.host to \"postgres\", which has no Service in namespace greenhouse",
        )
        .with_source(pod);
    RunReport {
        slice: slice.parse().unwrap(),
        run: RunId(7),
        state,
        done: Summary { create: 5, ..Summary::default() },
        undone: 5,
        took: Duration::from_secs(43),
        failure: Some(StepFailure {
            step: Some(format!("{slice}/edge-1/space/gw").parse().unwrap()),
            cause: step.to_cause(),
            after: Duration::from_secs(41),
        }),
        residue: Vec::new(),
    }
}

/// What the engine says of a plan whose first failed run is the first of these.
fn failed(runs: Vec<RunReport>) -> ApplyFailure {
    let first = runs.iter().find(|run| run.state != RunState::Succeeded).unwrap();
    let mut error = Error::new(ErrorKind::Timeout, "cannot bring the slice to what is wanted");
    if let Some(failure) = &first.failure {
        error = error.with_source(Error::from(failure.cause.clone()));
    }
    let verbs = [("greenhouse".parse().unwrap(), "create"), ("orchard".parse().unwrap(), "change")].into();
    let again = Some("iotorch apply -f greenhouse.yaml".to_owned());
    ApplyFailure { error: ApplyError { error, report: Report { runs } }, verbs, again }
}

fn shown(runs: Vec<RunReport>) -> String {
    failure(&Failure::Apply(Box::new(failed(runs))), Ink::Plain)
}

#[test]
fn a_run_that_was_rolled_back_says_why_and_that_nothing_is_left() {
    insta::assert_snapshot!(shown(vec![run("greenhouse", RunState::RolledBack)]));
}

#[test]
fn a_run_that_is_stuck_names_what_is_left_and_how_to_go_on() {
    let mut stuck = run("greenhouse", RunState::Stuck);
    stuck.undone = 3;
    stuck.residue = vec!["greenhouse/edge-1/space: the cluster does not answer".into()];
    insta::assert_snapshot!(shown(vec![stuck]));
}

#[test]
fn a_run_that_stays_open_offers_every_way_on() {
    let mut interrupted = run("greenhouse", RunState::Interrupted);
    interrupted.failure = None;
    insta::assert_snapshot!(shown(vec![interrupted]));
}

#[test]
fn of_several_slices_each_that_failed_has_its_block() {
    let mut orchard = run("orchard", RunState::Paused);
    orchard.run = RunId(8);
    let mut fine = run("carpark", RunState::Succeeded);
    fine.failure = None;
    insta::assert_snapshot!(shown(vec![run("greenhouse", RunState::RolledBack), fine, orchard]));
}

#[test]
fn an_error_outside_of_runs_shows_its_chain_its_facts_and_its_help() {
    let root = Error::new(ErrorKind::Unavailable, "connection refused (os error 111)");
    let error = Error::new(ErrorKind::Unavailable, "cannot attach gateway \"gw\" to server \"hub\"")
        .with_context("server", "127.0.0.1:8080")
        .with_help("start the server, or look at its log:\niotorch status")
        .with_source(Error::new(ErrorKind::Unavailable, "the server does not answer").with_source(root));
    insta::assert_snapshot!(failure(&Failure::Error(error), Ink::Plain));
}

#[test]
fn what_breaks_outside_of_the_runs_is_told_beside_them() {
    let mut broken = failed(vec![run("greenhouse", RunState::RolledBack)]);
    broken.error.error =
        Error::new(ErrorKind::Infeasible, "cannot reserve \"port 127.0.0.1:1883\" for slice \"orchard\"")
            .with_source("greenhouse/desk/space/gw holds it");
    insta::assert_snapshot!(failure(&Failure::Apply(Box::new(broken)), Ink::Plain));
}

#[test]
fn for_a_program_a_failure_is_a_line_of_json() {
    let error = Error::new(ErrorKind::NotFound, "cannot find slice \"a\"").with_source("there is none");
    assert_eq!(
        line(&Failure::Error(error.with_help("iotorch get slices lists them"))),
        r#"{"error":{"help":"iotorch get slices lists them","kind":"not-found","message":"cannot find slice \"a\": there is none"}}"#
    );
    let run = Failure::Apply(Box::new(failed(vec![run("greenhouse", RunState::RolledBack)])));
    assert!(line(&run).starts_with(r#"{"error":{"kind":"timeout","#), "{}", line(&run));
}
