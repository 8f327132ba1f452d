//! Errors and failed runs.

use iotorch_core::{
    Cause, ErrorKind,
    orchestrator::{RunReport, StepFailure},
    store::{RunId, RunState},
};

use serde_json::json;

use super::{problems::problems, time};
use crate::{
    failure::{ApplyFailure, Failure},
    screen::Ink,
};

/// Everything a person needs to know of a failure.
pub(crate) fn failure(failure: &Failure, ink: Ink) -> String {
    match failure {
        Failure::Problems(found) => problems(found, ink),
        Failure::Error(error) => cause(&error.to_cause(), ink),
        Failure::Apply(failure) => applied(failure, ink),
    }
}

/// A failure as a line of JSON, for a program.
pub(crate) fn line(failure: &Failure) -> String {
    let (kind, message, help) = match failure {
        Failure::Problems(problems) => (ErrorKind::Invalid, problems.to_string(), None),
        Failure::Error(error) => told(&error.to_cause()),
        Failure::Apply(failure) => told(&failure.error.error.to_cause()),
    };
    let mut error = json!({ "kind": kind, "message": message });
    if let Some(help) = help {
        error["help"] = help.into();
    }
    json!({ "error": error }).to_string()
}

fn told(cause: &Cause) -> (ErrorKind, String, Option<String>) {
    let message = std::iter::once(&cause.message).chain(&cause.chain).cloned().collect::<Vec<_>>();
    (cause.kind, message.join(": "), cause.help.clone())
}

/// An error that no run caused: what could not be done and why, the rest of the chain, facts, and the way out.
pub(crate) fn cause(cause: &Cause, ink: Ink) -> String {
    let mut links = cause.chain.iter();
    let why = links.next().map(|why| format!(": {why}")).unwrap_or_default();
    let mut text = headline(&format!("{}{why}", cause.message), ink);
    let rows: Vec<(&str, String)> = cause
        .context
        .iter()
        .map(|(key, value)| (key.as_str(), value.clone()))
        .chain(links.map(|link| ("because", link.clone())))
        .collect();
    text.push_str(&block(&rows, ink));
    text.push_str(&help(cause.help.iter().cloned(), ink));
    text
}

/// A plan that was not, or not wholly, applied: a block for each run that failed, and one for what broke outside of them.
fn applied(failure: &ApplyFailure, ink: Ink) -> String {
    let failed: Vec<&RunReport> = failure.error.failed().collect();
    let error = failure.error.error.to_cause();
    let mut blocks: Vec<String> = failed.iter().map(|run| run_failed(failure, run, ink)).collect();
    if !is_told(&error, &failed) {
        blocks.push(cause(&error, ink));
    }
    if failed.len() > 1 {
        let all = failure.error.report.runs.len();
        blocks.push(headline(&format!("{} of {all} slices failed", failed.len()), ink));
    }
    blocks.join("\n")
}

/// Whether the blocks of the runs say what the error of the whole says.
fn is_told(error: &Cause, failed: &[&RunReport]) -> bool {
    let causes: Vec<_> = failed.iter().filter_map(|run| run.failure.as_ref()).collect();
    match error.chain.first() {
        Some(why) => causes.iter().any(|failure| failure.cause.message == *why),
        None => !failed.is_empty() && causes.len() < failed.len(),
    }
}

fn run_failed(failure: &ApplyFailure, run: &RunReport, ink: Ink) -> String {
    let title = format!("cannot {} slice \"{}\"", failure.verb(&run.slice), run.slice);
    let again = failure.again.as_deref();
    let failure = run.failure.as_ref();
    let why =
        failure.map_or_else(|| format!("run {} is {}", run.run, run.state), |it| it.cause.message.clone());
    let mut text = headline(&format!("{title}: {why}"), ink);
    let mut rows = Vec::new();
    if let Some(StepFailure { step, cause, after }) = failure {
        rows.extend(step.as_ref().map(|step| {
            let inside = step.as_str().split_once('/').map_or(step.as_str(), |(_, inside)| inside);
            ("step", inside.to_owned())
        }));
        let chain = cause.chain.join("\n");
        if !chain.is_empty() {
            rows.push(("cause", chain));
        }
        let said = |key: &str| ["step", "slice", "run"].contains(&key);
        let facts = cause.context.iter().filter(|(key, _)| !said(key));
        rows.extend(facts.map(|(key, value)| (key.as_str(), value.clone())));
        rows.push(("since", time::hms(*after)));
    }
    rows.push(("done", outcome(run)));
    rows.extend(run.residue.iter().map(|left| ("left", left.clone())));
    text.push('\n');
    text.push_str(&block(&rows, ink));
    let told = failure.and_then(|failure| failure.cause.help.clone());
    let ways: Vec<String> = told.into_iter().chain(ways_on(run, again)).collect();
    if !ways.is_empty() {
        text.push('\n');
        text.push_str(&help(ways, ink));
    }
    text
}

/// What became of the run, in words.
fn outcome(run: &RunReport) -> String {
    let steps = run.done.create + run.done.change + run.done.delete;
    let counted = |n: usize| format!("{n} {}", if n == 1 { "step" } else { "steps" });
    let left =
        if run.residue.is_empty() { "nothing of this run is left" } else { "something of this run is left" };
    match run.state {
        RunState::RolledBack if run.undone == 0 => "nothing was changed".into(),
        RunState::RolledBack => format!("rolled back {}; {left}", counted(run.undone)),
        RunState::Kept => format!(
            "kept {} that were done; what failed is marked and repaired by the next apply",
            counted(steps)
        ),
        RunState::Paused => format!("paused after {}; run {} stays open", counted(steps), run.run),
        RunState::Stuck => {
            format!("undid {} and could not undo the rest; run {} stays open", counted(run.undone), run.run)
        }
        RunState::Interrupted => format!("stopped after {}; run {} stays open", counted(steps), run.run),
        RunState::Waiting => format!("waits for a place that cannot be reached; run {} stays open", run.run),
        RunState::Running => format!("run {} was left in the middle and stays open", run.run),
        RunState::Succeeded => format!("{} done", counted(steps)),
    }
}

/// What a person can type next.
fn ways_on(run: &RunReport, again: Option<&str>) -> Vec<String> {
    let resume = |words: &str, run: RunId, how: &str| format!("{words:<19}iotorch resume {run}{how}");
    match run.state {
        RunState::RolledBack => {
            again.map(|again| format!("keep it next time:  {again} --on-failure pause")).into_iter().collect()
        }
        RunState::Paused | RunState::Interrupted => vec![
            resume("go on:", run.run, " --continue"),
            resume("undo it:", run.run, " --rollback"),
            resume("leave it as it is:", run.run, " --abandon"),
        ],
        RunState::Stuck => {
            vec![resume("try again:", run.run, ""), resume("leave it as it is:", run.run, " --abandon")]
        }
        RunState::Waiting | RunState::Running => {
            vec![resume("go on:", run.run, ""), resume("undo it:", run.run, " --rollback")]
        }
        RunState::Kept | RunState::Succeeded => Vec::new(),
    }
}

fn headline(message: &str, ink: Ink) -> String {
    format!("{} {message}\n", ink.red(ink.bold("error:")))
}

/// Rows of a key and a text, whose further lines stand below the first.
fn block(rows: &[(&str, String)], ink: Ink) -> String {
    let width = rows.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (key, value) in rows {
        for (number, line) in value.lines().enumerate() {
            let key = format!("{:<width$}", if number == 0 { key } else { "" });
            text.push_str(format!("  {}  {line}", ink.dim(key)).trim_end());
            text.push('\n');
        }
    }
    text
}

fn help(ways: impl IntoIterator<Item = String>, ink: Ink) -> String {
    let mut text = String::new();
    for line in ways.into_iter().flat_map(|way| way.lines().map(str::to_owned).collect::<Vec<_>>()) {
        let key = if text.is_empty() { ink.cyan("help:") } else { "     ".into() };
        text.push_str(&format!("{key} {line}\n"));
    }
    text
}

#[cfg(test)]
mod tests;
