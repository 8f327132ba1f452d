//! Lists of runs.

use iotorch_core::{orchestrator::RunSummary, plan::Summary};
use jiff::Timestamp;

use super::{table::table, time};

/// Runs as a table, in the order given.
pub(crate) fn runs(runs: &[RunSummary], now: Timestamp) -> String {
    if runs.is_empty() {
        return "no runs".into();
    }
    table(
        ["RUN", "SLICE", "STATE", "CHANGES", "STARTED", "CAUSE"],
        runs.iter().map(|run| {
            let left = match run.residue.len() {
                0 => String::new(),
                n => format!("; left: {n}"),
            };
            let cause = run.cause.as_ref().map(ToString::to_string).unwrap_or_default();
            [
                run.id.to_string(),
                run.slice.to_string(),
                run.state.to_string(),
                changes(run.planned),
                time::ago(now, run.started_at),
                format!("{}{left}", first_line(&cause)),
            ]
        }),
    )
}

/// `+14 ~1 -2 ?3`, what is zero left out.
fn changes(summary: Summary) -> String {
    let counts =
        [('+', summary.create), ('~', summary.change), ('-', summary.delete), ('?', summary.conditional)];
    let parts: Vec<String> =
        counts.iter().filter(|(_, count)| *count > 0).map(|(sign, count)| format!("{sign}{count}")).collect();
    parts.join(" ")
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use iotorch_core::{
        Error, ErrorKind,
        store::{RunId, RunState},
    };

    use super::*;

    #[test]
    fn runs_show_what_they_were_to_do_and_why_they_failed() {
        let now: Timestamp = "2024-06-01T12:00:00Z".parse().unwrap();
        let started: Timestamp = "2024-06-01T11:58:00Z".parse().unwrap();
        let run = |id, state, cause: Option<Error>| RunSummary {
            id: RunId(id),
            slice: "greenhouse".parse().unwrap(),
            state,
            planned: Summary { create: 14, change: 0, delete: 0, conditional: 1 },
            started_at: started,
            since: started,
            cause: cause.map(|error| error.to_cause()),
            residue: Vec::new(),
        };
        let refused = Error::new(ErrorKind::Denied, "cannot create tenant").with_source("401\nsecond line");
        let mut stuck = run(8, RunState::Stuck, Some(refused));
        stuck.residue.push("greenhouse/edge-1/space".into());
        insta::assert_snapshot!(runs(&[stuck, run(7, RunState::Succeeded, None)], now));
        assert_eq!(runs(&[], now), "no runs");
    }
}
