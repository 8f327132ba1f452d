//! A plan as a text tree, for a person.
//!
//! ```text
//! Slice greenhouse · 3 to create · on failure: roll back
//!
//!   edge-1 (kubernetes, edge)  chosen for gw: tier edge; rejected: edge-2 (tier cloud)
//!   + space              namespace greenhouse
//!     + gw               lite gateway            after transport gw-hub
//!       + application    lite
//! ```
//!
//! `+` creates, `~` changes, `-` deletes, `±` removes and makes again, `?` changes only if its inputs do. A line without a sign
//! is there already and only shows what the others live in. Many that are alike share a line.

mod fold;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

pub use words::label;

use fold::{Branch, fold};

use super::{Basis, Condition, PlacementChoice, Plan, Reason, SlicePlan, Step, Summary, Warning, unusable};
use crate::resource::{Change, KindName, ResourceId};

/// The widest that a column of the tree gets before it pushes the next one to the right.
const WIDEST_COLUMN: usize = 44;

/// How many steps a line names that come before its own.
const NAMED_PREDECESSORS: usize = 3;

/// What a line of a rendered plan is about, so that it can be coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineKind {
    /// The heading of a slice, or the sum at the end.
    Title,
    /// Where the resources below live.
    Place,
    /// A resource that stays as it is and hosts others.
    Context,
    /// A resource that is made.
    Create,
    /// A resource that is changed.
    Update,
    /// A resource that is removed.
    Delete,
    /// A resource that is removed and made again.
    Replace,
    /// A resource that is changed if its inputs are.
    Conditional,
    /// Something to know before applying the plan.
    Warning,
    /// Nothing: space between blocks.
    Blank,
}

impl LineKind {
    /// The sign in front of the resource.
    #[must_use]
    pub const fn sign(self) -> char {
        match self {
            Self::Create => '+',
            Self::Update => '~',
            Self::Delete => '-',
            Self::Replace => '±',
            Self::Conditional => '?',
            Self::Title | Self::Place | Self::Context | Self::Warning | Self::Blank => ' ',
        }
    }
}

/// A line of a rendered plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is about.
    pub kind: LineKind,
    /// The text, indented and in columns, without a line break.
    pub text: String,
}

impl Line {
    fn new(kind: LineKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    const fn blank() -> Self {
        Self { kind: LineKind::Blank, text: String::new() }
    }
}

/// A row of the tree before its columns are aligned.
struct Row {
    kind: LineKind,
    depth: usize,
    label: String,
    detail: String,
    note: String,
}

impl Plan {
    /// The plan as the lines of a text tree: every change with its sign, what it is, why, and what it comes after.
    #[must_use]
    pub fn to_lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        lines.extend(self.infrastructures.iter().map(|place| {
            let (driver, tier) = (&place.spec.driver, place.spec.tier);
            Line::new(LineKind::Create, format!("+ infrastructure {} ({driver}, {tier})", place.name))
        }));
        lines.extend(self.unusable.iter().map(|(name, cause)| {
            let text = format!("  warning: infrastructure {name} {}", unusable::why(cause));
            Line::new(LineKind::Warning, text)
        }));
        lines.extend(
            self.removed_infrastructures
                .iter()
                .map(|name| Line::new(LineKind::Delete, format!("- infrastructure {name}"))),
        );
        if !lines.is_empty() {
            lines.push(Line::blank());
        }
        for slice in self.slices.iter().filter(|slice| !slice.is_empty()) {
            self.push_slice(slice, &mut lines);
            lines.push(Line::blank());
        }
        let silent = self.slices.iter().filter(|slice| slice.is_empty());
        lines.extend(silent.clone().flat_map(|slice| slice.warnings.iter().map(warned)));
        let as_far = if silent.clone().any(|slice| !slice.warnings.is_empty()) {
            ", as far as can be seen"
        } else {
            ""
        };
        let unchanged: usize = self.slices.iter().map(|slice| slice.unchanged).sum();
        lines.push(Line::new(
            LineKind::Title,
            if self.is_empty() {
                format!(
                    "No changes: {} as wanted{as_far}",
                    words::counted(unchanged, "resource is", "resources are")
                )
            } else {
                self.summary().to_string()
            },
        ));
        lines
    }

    fn push_slice(&self, slice: &SlicePlan, lines: &mut Vec<Line>) {
        lines.push(Line::new(LineKind::Title, title(slice)));
        lines.push(Line::blank());
        let tree = Tree::new(slice);
        let mut rows = Vec::new();
        for place in places(slice) {
            let heading = self.place_heading(place, slice);
            rows.push(Row {
                kind: LineKind::Place,
                depth: 0,
                label: heading,
                detail: chosen(place, &slice.placements),
                note: String::new(),
            });
            let roots = tree.roots(place).map(|root| tree.branch(root)).collect();
            fold(roots).into_iter().for_each(|branch| branch.push(0, &mut rows));
        }
        align(&rows, lines);
        lines.extend(slice.warnings.iter().map(warned));
    }

    fn place_heading(&self, place: &str, slice: &SlicePlan) -> String {
        let known = self.places.iter().find(|(name, _)| name.as_str() == place);
        match known {
            Some((name, summary)) => format!("{name} ({}, {})", summary.driver, summary.tier),
            None => match place {
                "external" => "external applications".into(),
                "physical" => "physical functions".into(),
                "network" => {
                    let network = slice.document.as_ref().and_then(|document| document.spec.network.as_ref());
                    match network.and_then(|network| network.snssai) {
                        Some(snssai) => format!("network (S-NSSAI {snssai})"),
                        None => "network".into(),
                    }
                }
                infrastructure => infrastructure.into(),
            },
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_lines().iter().try_for_each(|line| writeln!(f, "{}", line.text))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [create, change, delete] = [self.create, self.change, self.delete].map(words::grouped);
        write!(f, "{create} to create, {change} to change, {delete} to delete")?;
        match self.conditional {
            0 => Ok(()),
            n => write!(f, ", {} to change if what they use changes", words::grouped(n)),
        }
    }
}

fn warned(warning: &Warning) -> Line {
    Line::new(LineKind::Warning, format!("  warning: {warning}"))
}

fn title(slice: &SlicePlan) -> String {
    let summary = slice.summary();
    let counts = [
        (summary.create, "to create"),
        (summary.change, "to change"),
        (summary.delete, "to delete"),
        (summary.conditional, "to change if what they use changes"),
    ];
    let mut text = format!("Slice {}", slice.slice);
    for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!(" · {} {what}", words::grouped(*count)));
    }
    if slice.steps.is_empty() {
        text.push_str(" · a new document, and nothing to do for it");
    }
    if slice.document.is_some() {
        text.push_str(&format!(" · on failure: {}", slice.on_failure));
    }
    text
}

/// The places that a slice's steps are in: first as its parts were placed, then the rest, the network last.
fn places(slice: &SlicePlan) -> Vec<&str> {
    let mut used: BTreeSet<&str> = slice.steps.iter().map(|step| step.resource.place()).collect();
    let mut places = Vec::new();
    for choice in &slice.placements {
        places.extend(used.take(choice.infrastructure.as_str()));
    }
    let last: Vec<&str> =
        ["external", "physical", "network"].iter().filter_map(|place| used.take(place)).collect();
    places.extend(used);
    places.extend(last);
    places
}

/// Why parts were placed here.
fn chosen(place: &str, placements: &[PlacementChoice]) -> String {
    let mut by_reason: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    for choice in placements.iter().filter(|choice| choice.infrastructure.as_str() == place) {
        let rejected: Vec<String> = choice
            .rejected
            .iter()
            .map(|other| format!("{} ({})", other.infrastructure, other.reason))
            .collect();
        by_reason.entry((&choice.reason, rejected.join(", "))).or_default().push(choice.part.as_str());
    }
    let sentence = |((reason, rejected), parts): (&(&str, String), &Vec<&str>)| {
        let mut text = format!("chosen for {}: {reason}", parts.join(", "));
        if !rejected.is_empty() {
            text.push_str(&format!("; rejected: {rejected}"));
        }
        text
    };
    by_reason.iter().map(sentence).collect::<Vec<_>>().join(" · ")
}

/// The steps of a slice by resource, and how the resources live in each other.
struct Tree<'a> {
    slice: &'a SlicePlan,
    steps: BTreeMap<&'a ResourceId, Vec<&'a Step>>,
    children: BTreeMap<Option<ResourceId>, BTreeSet<Node>>,
}

/// A resource, in the order in which a person looks for it: by kind, then by name.
type Node = (KindName, ResourceId);

impl<'a> Tree<'a> {
    fn new(slice: &'a SlicePlan) -> Self {
        let mut steps: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut children: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for step in &slice.steps {
            steps.entry(&step.resource).or_default().push(step);
            for id in std::iter::once(step.resource.clone()).chain(step.resource.hosts()) {
                children.entry(id.host()).or_default().insert((id.kind(), id));
            }
        }
        Self { slice, steps, children }
    }

    fn below(&self, host: Option<&ResourceId>) -> impl Iterator<Item = &ResourceId> {
        self.children.get(&host.cloned()).into_iter().flatten().map(|(_, id)| id)
    }

    fn roots(&self, place: &str) -> impl Iterator<Item = &ResourceId> {
        self.below(None).filter(move |id| id.place() == place)
    }

    fn branch(&self, id: &ResourceId) -> Branch {
        let below = self.below(Some(id)).map(|child| self.branch(child)).collect();
        Branch { id: id.clone(), row: self.row(id), below: fold(below) }
    }

    fn row(&self, id: &ResourceId) -> Row {
        let (depth, label) = (0, words::label(id));
        let Some(steps) = self.steps.get(id) else {
            return Row { kind: LineKind::Context, depth, label, detail: String::new(), note: String::new() };
        };
        // A replacement is two steps on one resource; the one that makes it again says more.
        let told = steps.iter().find(|step| !step.change.is_delete()).or_else(|| steps.first());
        let detail = told.map_or_else(String::new, |step| words::detail(step));
        let note = told.map_or_else(String::new, |step| self.note(step));
        let kind = match (steps.as_slice(), told.map(|step| (&step.change, step.condition))) {
            ([_, _, ..], _) => LineKind::Replace,
            (_, Some((_, Condition::IfInputsChanged))) => LineKind::Conditional,
            (_, Some((Change::Create { .. }, _))) => LineKind::Create,
            (_, Some((Change::Update { .. }, _))) => LineKind::Update,
            (_, Some((Change::Delete { .. }, _)) | None) => LineKind::Delete,
        };
        Row { kind, depth, label, detail, note }
    }

    /// Why the step is there and what it waits for, where the tree itself does not say it.
    fn note(&self, step: &Step) -> String {
        let mut parts = Vec::new();
        // That something new is new, and that what nobody wants is unwanted, is said by its sign.
        let said_by_sign = match &step.reason {
            Reason::New => true,
            Reason::Unwanted => self.slice.document.is_none(),
            _ => false,
        };
        if !said_by_sign {
            parts.push(words::reason(&step.reason));
        }
        if step.basis == Basis::Assumed {
            parts.push("assumed: its place cannot be reached".into());
        }
        let scope = step.resource.scope();
        let waits: Vec<&ResourceId> = step
            .after
            .iter()
            .map(|before| &self.slice.step(*before).resource)
            .filter(|before| before.scope() != scope && !before.contains(&step.resource))
            .filter(|before| !step.resource.contains(before))
            .collect();
        if !waits.is_empty() {
            parts.push(format!("after {}", words::list(&waits, NAMED_PREDECESSORS)));
        }
        parts.join(" · ")
    }
}

fn align(rows: &[Row], lines: &mut Vec<Line>) {
    let width = |text: &str| text.chars().count();
    let label_width = |row: &Row| row.depth * 2 + 2 + width(&row.label);
    let steps = || rows.iter().filter(|row| row.kind != LineKind::Place);
    let column = |widths: &mut dyn Iterator<Item = usize>| widths.max().unwrap_or(0).min(WIDEST_COLUMN);
    let labels = column(&mut steps().map(label_width));
    let details = column(&mut steps().filter(|row| !row.note.is_empty()).map(|row| width(&row.detail)));
    for row in rows {
        let text = if row.kind == LineKind::Place {
            format!("  {}  {}", row.label, row.detail)
        } else {
            let head = format!("{:indent$}{} {}", "", row.kind.sign(), row.label, indent = row.depth * 2);
            format!("  {head:<labels$}  {:<details$}  {}", row.detail, row.note)
        };
        lines.push(Line::new(row.kind, text.trim_end()));
    }
}

#[cfg(test)]
mod tests;
