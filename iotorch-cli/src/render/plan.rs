//! A plan with its colours.

use iotorch_core::plan::{Line, LineKind, Plan};

use crate::screen::Ink;

/// The plan as a tree.
pub(crate) fn plan(plan: &Plan, ink: Ink) -> String {
    plan.to_lines().iter().map(|line| coloured(line, ink)).collect::<Vec<_>>().join("\n")
}

fn coloured(line: &Line, ink: Ink) -> String {
    match line.kind {
        LineKind::Title => ink.bold(&line.text),
        LineKind::Create => ink.green(&line.text),
        LineKind::Update | LineKind::Replace | LineKind::Warning => ink.yellow(&line.text),
        LineKind::Delete => ink.red(&line.text),
        LineKind::Context | LineKind::Conditional => ink.dim(&line.text),
        _ => line.text.clone(),
    }
}
