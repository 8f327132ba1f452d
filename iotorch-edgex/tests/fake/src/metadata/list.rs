//! Lists, cut into pages.

use serde_json::{Value, json};

use crate::answer::{Answer, Asked};

/// How many are told where nobody says how many, and at most.
const USUAL: i64 = 20;
const MOST: i64 = 1024;

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    offset: i64,
    limit: i64,
}

impl Page {
    /// # Errors
    /// The answer to numbers that are none, or out of range.
    pub(crate) fn of(asked: &Asked) -> Result<Self, Answer> {
        let offset = number(asked, "offset", 0, 0, i64::from(i32::MAX))?;
        let limit = number(asked, "limit", USUAL, -1, MOST)?;
        Ok(Self { offset, limit })
    }

    /// The part of these that is asked for, told under a name with the number of all.
    pub(crate) fn tell<T>(self, name: &str, all: &[T], mut tell: impl FnMut(&T) -> Value) -> Answer {
        let total = all.len();
        let offset = usize::try_from(self.offset).unwrap_or_default();
        if offset > total && total > 0 {
            let message = format!("query objects bounds out of range. length:{total} offset:{offset}");
            return Answer::refused(416, message);
        }
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let told: Vec<Value> = all.iter().skip(offset).take(limit).map(&mut tell).collect();
        Answer::v3(200, json!({ "totalCount": total, name: told }))
    }
}

fn number(asked: &Asked, name: &str, usual: i64, least: i64, most: i64) -> Result<i64, Answer> {
    let Some(text) = asked.parameter(name) else { return Ok(usual) };
    let number: i64 = text.parse().map_err(|_| {
        let message = format!(
            "failed to parse querystring {name}'s value {text} into integer. Error:strconv.Atoi: parsing \
             \"{text}\": invalid syntax"
        );
        Answer::refused(400, message)
    })?;
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    let message = format!("querystring {name}'s value {number} is out of min {least} ~ max {most} range.");
    Err(Answer::refused(400, message))
}

/// The labels that all have to be there. A second parameter of the same name is not looked at.
pub(crate) fn labels(asked: &Asked) -> Vec<String> {
    let text = asked.parameter("labels").unwrap_or_default();
    text.split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect()
}

/// Whether `has` has all of `wanted`.
pub(crate) fn has_all(has: &[String], wanted: &[String]) -> bool {
    wanted.iter().all(|label| has.contains(label))
}
