//! Many resources that are alike, as one line.
//!
//! A slice can have thousands of devices, and a tree of them all hides what differs. Those that live in the same host, have the same
//! sign, are the same in all but their names, and have the same below them are folded where there are more than [`SHOWN`].

use std::{cmp::Ordering, collections::HashMap};

use super::{Row, words};
use crate::resource::{KindName, ResourceId};

/// So many that are alike are shown one by one.
const SHOWN: usize = 10;

/// A row with those of what lives in its resource.
pub(super) struct Branch {
    pub(super) id: ResourceId,
    pub(super) row: Row,
    pub(super) below: Vec<Self>,
}

impl Branch {
    /// What is the same of all that are alike.
    fn likeness(&self) -> String {
        let Row { kind, detail, note, .. } = &self.row;
        let below: Vec<String> =
            self.below.iter().map(|one| format!("{}\u{1}{}", one.row.label, one.likeness())).collect();
        format!("{}\u{2}{kind:?}\u{2}{detail}\u{2}{note}\u{2}[{}]", self.id.kind(), below.join("\u{3}"))
    }

    /// Appends its row, then those below it.
    pub(super) fn push(self, depth: usize, rows: &mut Vec<Row>) {
        rows.push(Row { depth, ..self.row });
        for branch in self.below {
            branch.push(depth + 1, rows);
        }
    }

    /// One in place of `count` that are alike, whose names reach from `first` to `last`.
    fn standing_for(mut self, count: usize, first: &str, last: &str) -> Self {
        let named = format!("{first} … {last}");
        self.row.label = format!("{} {}s", words::grouped(count), self.id.kind());
        self.row.detail = match self.row.detail.as_str() {
            "" => named,
            detail => format!("{named} · {detail}"),
        };
        self.below.iter_mut().for_each(Self::of_each);
        self
    }

    fn of_each(&mut self) {
        self.row.label.push_str(" of each");
        self.below.iter_mut().for_each(Self::of_each);
    }
}

/// Folds what is alike; each stands where the first of them was.
pub(super) fn fold(branches: Vec<Branch>) -> Vec<Branch> {
    if branches.len() <= SHOWN {
        return branches;
    }
    let mut order: Vec<String> = Vec::new();
    let mut alike: HashMap<String, Vec<Branch>> = HashMap::new();
    for branch in branches {
        let likeness = branch.likeness();
        let known = alike.entry(likeness.clone()).or_default();
        if known.is_empty() {
            order.push(likeness);
        }
        known.push(branch);
    }
    let mut folded = Vec::new();
    for likeness in order {
        let same = alike.remove(&likeness).unwrap_or_default();
        if same.len() <= SHOWN {
            folded.extend(same);
            continue;
        }
        let count = same.len();
        let names = || same.iter().map(|branch| branch.id.name());
        let first = names().min_by(|one, other| by_number(one, other)).unwrap_or_default().to_owned();
        let last = names().max_by(|one, other| by_number(one, other)).unwrap_or_default().to_owned();
        folded.extend(same.into_iter().next().map(|branch| branch.standing_for(count, &first, &last)));
    }
    // Those that were left as they are keep their order among each other: by kind, then by name.
    folded.sort_by(|one, other| order_of(one).cmp(&order_of(other)));
    folded
}

fn order_of(branch: &Branch) -> (KindName, &ResourceId) {
    (branch.id.kind(), &branch.id)
}

/// Names in the order in which a person counts them: `bench-9` before `bench-10`.
fn by_number(one: &str, other: &str) -> Ordering {
    let (start, number) = numbered(one);
    let (other_start, other_number) = numbered(other);
    start.cmp(other_start).then_with(|| number.len().cmp(&other_number.len())).then_with(|| one.cmp(other))
}

/// A name without the number at its end, and that number without the zeros before it.
fn numbered(name: &str) -> (&str, &str) {
    let start = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (start, name[start.len()..].trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_their_numbers() {
        let mut names = ["bench-10", "bench-9", "a-100", "bench-1000", "bench-007", "bench"];
        names.sort_by(|one, other| by_number(one, other));
        assert_eq!(names, ["a-100", "bench", "bench-007", "bench-9", "bench-10", "bench-1000"]);
    }
}
