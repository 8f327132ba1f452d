//! Comparing what was recorded with what is answered now.

use std::{
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
};

use regex::{Captures, Regex};
use serde_json::Value;

/// What is another one in each run: a UUID, a token by the name that it has in a recording, a time of RFC 3339 or of `date`.
static VARYING: LazyLock<Regex> = LazyLock::new(|| {
    let uuid = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";
    let time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)";
    let date = r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d [A-Z]+ \d{4}";
    #[allow(clippy::unwrap_used, reason = "it is always the same, and right")]
    Regex::new(&format!(r"{uuid}|\btoken-\d+\b|{time}|{date}")).unwrap()
});

/// What is known of the run that is compared.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// What stands here for what was recorded.
    here: HashMap<String, String>,
    /// What who asks has chosen, and which so is the same here.
    chosen: BTreeSet<String>,
}

impl Known {
    /// The text of a question, as it has to be asked here.
    pub(crate) fn put_in(&self, text: &str) -> String {
        let replaced = VARYING.replace_all(text, |found: &Captures<'_>| {
            self.here.get(&found[0]).cloned().unwrap_or_else(|| found[0].to_owned())
        });
        replaced.into_owned()
    }

    /// The same for all texts in a question.
    pub(crate) fn put_into(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.put_in(text).into(),
            Value::Array(items) => items.iter().map(|item| self.put_into(item)).collect(),
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| (self.put_in(name), self.put_into(value)));
                Value::Object(fields.collect())
            }
            other => other.clone(),
        }
    }

    /// Notes what a question chooses.
    pub(crate) fn note_chosen(&mut self, text: &str) {
        for found in VARYING.find_iter(text) {
            if !self.here.contains_key(found.as_str()) {
                self.chosen.insert(found.as_str().to_owned());
            }
        }
    }

    /// The first difference between a text that was recorded and one that is told here.
    pub(crate) fn compare_texts(&mut self, recorded: &str, here: &str) -> Result<(), String> {
        let differs = || Err(format!("{recorded:?} was recorded, and here it is {here:?}"));
        let mut pattern = String::from("(?s)^");
        let mut varying = Vec::new();
        let mut end = 0;
        for found in VARYING.find_iter(recorded) {
            pattern.push_str(&regex::escape(&recorded[end..found.start()]));
            pattern.push_str("(.+?)");
            varying.push(found.as_str());
            end = found.end();
        }
        pattern.push_str(&regex::escape(&recorded[end..]));
        pattern.push('$');
        let Some(told) = Regex::new(&pattern).ok().and_then(|pattern| pattern.captures(here)) else {
            return differs();
        };
        for (index, recorded) in varying.into_iter().enumerate() {
            let told = &told[index + 1];
            let same = match self.here.get(recorded) {
                Some(known) => known == told,
                None if self.chosen.contains(recorded) => recorded == told,
                None => {
                    self.here.insert(recorded.to_owned(), told.to_owned());
                    true
                }
            };
            // Times come again by chance, and mean nothing.
            if !same && !recorded.contains(':') {
                return differs();
            }
        }
        Ok(())
    }

    /// The first difference between JSON that was recorded and JSON that is told here, with the place where it is. `varies` says by
    /// the name of a field that its value is another one each time.
    pub(crate) fn compare(
        &mut self,
        recorded: &Value,
        here: &Value,
        varies: &dyn Fn(&str) -> bool,
    ) -> Result<(), String> {
        match (recorded, here) {
            (Value::String(recorded), Value::String(here)) => self.compare_texts(recorded, here),
            (Value::Array(recorded), Value::Array(here)) => {
                if recorded.len() != here.len() {
                    let (before, now) = (recorded.len(), here.len());
                    return Err(format!("{before} were recorded, and here are {now}: {here:?}"));
                }
                for (index, (recorded, here)) in recorded.iter().zip(here).enumerate() {
                    let compared = self.compare(recorded, here, varies);
                    compared.map_err(|why| format!("[{index}] {why}"))?;
                }
                Ok(())
            }
            (Value::Object(recorded), Value::Object(here)) => {
                if let Some((name, value)) = here.iter().find(|(name, _)| !recorded.contains_key(*name)) {
                    return Err(format!("\"{name}\" was not recorded, and here it is {value}"));
                }
                for (name, recorded) in recorded {
                    let Some(here) = here.get(name) else {
                        return Err(format!("\"{name}\" was {recorded}, and here there is none"));
                    };
                    if !varies(name) {
                        let compared = self.compare(recorded, here, varies);
                        compared.map_err(|why| format!(".{name} {why}"))?;
                    }
                }
                Ok(())
            }
            (recorded, here) if recorded == here => Ok(()),
            (recorded, here) => Err(format!("{recorded} was recorded, and here it is {here}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const A: &str = "efee7789-f818-4b84-bfd0-b07c6a1319e1";
    const B: &str = "00000000-0000-4000-8000-00000000000b";

    fn compare(known: &mut Known, recorded: &Value, here: &Value) -> Result<(), String> {
        known.compare(recorded, here, &|name| name == "created")
    }

    #[test]
    fn an_identity_stands_for_the_recorded_one_from_where_it_is_told() {
        let mut known = Known::default();
        compare(&mut known, &json!({ "id": A, "token": "token-1" }), &json!({ "id": B, "token": "secret" }))
            .unwrap();
        assert_eq!(known.put_in(&format!("/users/{A}?t=token-1")), format!("/users/{B}?t=secret"));
        assert_eq!(known.put_into(&json!({ A: [A, "token-12"] })), json!({ B: [B, "token-12"] }));
        compare(&mut known, &json!([format!("user {A} is gone")]), &json!([format!("user {B} is gone")]))
            .unwrap();
        let other = json!({ "id": "00000000-0000-4000-8000-00000000000c" });
        assert!(compare(&mut known, &json!({ "id": A }), &other).is_err());
    }

    #[test]
    fn what_who_asks_has_chosen_has_to_come_back() {
        let mut known = Known::default();
        known.note_chosen(A);
        compare(&mut known, &json!(A), &json!(A)).unwrap();
        assert!(compare(&mut known, &json!(A), &json!(B)).is_err());
    }

    #[test]
    fn times_and_fields_that_vary_are_only_compared_by_their_form() {
        let mut known = Known::default();
        let recorded = json!({ "at": "2026-11-23T05:13:09.69788Z", "date": "Mon Nov 23 04:47:27 UTC 2026", "created": 1 });
        let here =
            json!({ "at": "2027-01-01T00:00:00Z", "date": "Tue Dec  1 04:47:27 UTC 2026", "created": 2 });
        for _ in 0..2 {
            compare(&mut known, &recorded, &here).unwrap();
        }
    }

    #[test]
    fn everything_else_has_to_be_the_same() {
        let mut known = Known::default();
        for (recorded, here, why) in [
            (
                json!({ "a": [1, { "b": 2 }] }),
                json!({ "a": [1, { "b": 3 }] }),
                ".a [1] .b 2 was recorded, and here it is 3",
            ),
            (json!({ "a": 1 }), json!({}), "\"a\" was 1, and here there is none"),
            (json!({}), json!({ "a": 1 }), "\"a\" was not recorded, and here it is 1"),
            (json!([1]), json!([]), "1 were recorded, and here are 0: []"),
            (json!("x.y"), json!("x-y"), "\"x.y\" was recorded, and here it is \"x-y\""),
        ] {
            assert_eq!(compare(&mut known, &recorded, &here).unwrap_err(), why);
        }
    }
}
