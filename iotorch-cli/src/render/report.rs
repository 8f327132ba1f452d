//! What came of a plan that was applied.

use iotorch_core::{
    Report,
    orchestrator::RunReport,
    plan::{Plan, Summary},
    store::RunState,
};

use super::time;
use crate::screen::Ink;

/// One line for each slice that was worked on.
pub(crate) fn report(report: &Report, plan: Option<&Plan>, ink: Ink) -> String {
    let mut lines: Vec<String> = Vec::new();
    for run in &report.runs {
        let is_deleted = plan.is_some_and(|plan| {
            plan.slices.iter().any(|slice| slice.slice == run.slice && slice.document.is_none())
        });
        lines.push(format!("{}  {}", ink.bold(&run.slice), ended(run, is_deleted)));
        lines.extend(run.residue.iter().map(|left| format!("  left behind: {left}")));
    }
    let unchanged = plan.map_or(0, |plan| plan.slices.iter().filter(|slice| slice.is_empty()).count());
    match (lines.is_empty(), unchanged) {
        (true, _) if plan.is_none_or(Plan::is_empty) => lines.push("no changes".into()),
        (true, _) => lines.extend(plan.into_iter().flat_map(infrastructures)),
        (false, 0) => {}
        (false, 1) => lines.push("1 other slice is as wanted".into()),
        (false, n) => lines.push(format!("{n} other slices are as wanted")),
    }
    lines.join("\n")
}

/// What became of infrastructures, which needs no run.
fn infrastructures(plan: &Plan) -> Vec<String> {
    let stored = plan.infrastructures.iter().map(|place| {
        let warning = match plan.unusable.get(&place.name) {
            Some(cause) => format!("; it cannot be used yet: {}", cause.root()),
            None => String::new(),
        };
        format!("infrastructure {}  stored{warning}", place.name)
    });
    let removed = plan.removed_infrastructures.iter().map(|name| format!("infrastructure {name}  removed"));
    stored.chain(removed).collect()
}

fn ended(run: &RunReport, is_deleted: bool) -> String {
    let Summary { create, change, delete, .. } = run.done;
    let counts = [(create, "created"), (change, "changed"), (delete, "deleted"), (run.undone, "undone")];
    let counted =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let counted = counted.collect::<Vec<_>>().join(", ");
    let took = time::short(run.took);
    match run.state {
        // A new document that asks for nothing new in the world is no run.
        RunState::Succeeded if counted.is_empty() && is_deleted => "deleted; there was nothing in it".into(),
        RunState::Succeeded if counted.is_empty() => "the new document is kept; nothing else to do".into(),
        RunState::Succeeded => format!("{counted} in {took} ({})", run.run),
        state if counted.is_empty() => format!("{state} ({})", run.run),
        state => format!("{state}: {counted} ({})", run.run),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use iotorch_core::store::RunId;

    use super::*;

    fn run(slice: &str, state: RunState, done: Summary, undone: usize) -> RunReport {
        RunReport {
            slice: slice.parse().unwrap(),
            run: RunId(7),
            state,
            done,
            undone,
            took: Duration::from_millis(1_250),
            failure: None,
            residue: Vec::new(),
        }
    }

    #[test]
    fn each_slice_says_what_became_of_it() {
        let some = Summary { create: 14, change: 1, ..Summary::default() };
        let mut deleted = run("orchard", RunState::Succeeded, Summary { delete: 9, ..Summary::default() }, 0);
        deleted.residue = vec!["user orchard on mainflux, which cannot delete users".into()];
        let runs = vec![
            run("greenhouse", RunState::Succeeded, some, 0),
            deleted,
            run("carpark", RunState::RolledBack, Summary::default(), 3),
            run("bridge", RunState::Kept, some, 0),
            run("tunnel", RunState::Succeeded, Summary::default(), 0),
        ];
        insta::assert_snapshot!(report(&Report { runs }, None, Ink::Plain));
        assert_eq!(report(&Report::default(), None, Ink::Plain), "no changes");
    }
}
