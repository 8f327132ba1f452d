//! What came of a plan that was applied.

use iotorch_core::{Report, plan::Plan};

use super::time;
use crate::screen::Ink;

/// One line for each slice that was changed.
pub(crate) fn report(plan: &Plan, report: &Report, ink: Ink) -> String {
    let mut lines: Vec<String> = Vec::new();
    for run in &report.runs {
        let took = time::short(run.took);
        let line = format!("{}  {} in {took} ({})", ink.bold(&run.slice), done(run.done), run.run);
        lines.push(line);
        lines.extend(run.residue.iter().map(|left| format!("  left behind: {left}")));
    }
    let unchanged = plan.slices.iter().filter(|slice| slice.is_empty()).count();
    match (lines.is_empty(), unchanged) {
        (true, _) if plan.is_empty() => lines.push("no changes".into()),
        (true, _) => lines.push("done".into()),
        (false, 0) => {}
        (false, 1) => lines.push("1 other slice is as wanted".into()),
        (false, n) => lines.push(format!("{n} other slices are as wanted")),
    }
    lines.join("\n")
}

fn done(summary: iotorch_core::plan::Summary) -> String {
    let counts = [(summary.create, "created"), (summary.change, "changed"), (summary.delete, "deleted")];
    let parts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if parts.is_empty() { "nothing to do".into() } else { parts.join(", ") }
}
