//! How PostgreSQL compares: `LIKE`, and JSON that is contained in other JSON.

use serde_json::Value;

/// Whether a name has a pattern anywhere in it, as by `LOWER(name) LIKE LOWER('%pattern%')`: `%` is any text, `_` any character,
/// and what is after `\` is meant as it is.
pub(crate) fn has(name: &str, pattern: &str) -> bool {
    has_exactly(&name.to_lowercase(), &pattern.to_lowercase())
}

/// The same where upper and lower case are told apart.
pub(crate) fn has_exactly(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let pattern: Vec<char> = format!("%{pattern}%").chars().collect();
    is_like(&text, &pattern)
}

fn is_like(name: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => name.is_empty(),
        ['%', rest @ ..] => (0..=name.len()).any(|skipped| is_like(&name[skipped..], rest)),
        ['_', rest @ ..] => !name.is_empty() && is_like(&name[1..], rest),
        ['\\', meant, rest @ ..] => name.first() == Some(meant) && is_like(&name[1..], rest),
        [meant, rest @ ..] => name.first() == Some(meant) && is_like(&name[1..], rest),
    }
}

/// Whether JSON contains other JSON, as by the operator `@>`.
pub(crate) fn contains(all: &Value, part: &Value) -> bool {
    match (all, part) {
        (Value::Object(all), Value::Object(part)) => {
            part.iter().all(|(name, part)| all.get(name).is_some_and(|all| contains(all, part)))
        }
        (Value::Array(all), Value::Array(part)) => {
            part.iter().all(|part| all.iter().any(|all| contains(all, part)))
        }
        (all, part) => all == part,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pattern_may_be_anywhere_and_has_wildcards() {
        for (name, pattern, is_there) in [
            ("gw-1-extra", "GW-1", true),
            ("gw-1", "gw_1", true),
            ("gw-1", "%", true),
            ("", "%", true),
            ("a\\", "a\\", false),
            ("a%", "\\%", true),
            ("ab", "\\%", false),
            ("gw", "gw-1", false),
        ] {
            assert_eq!(has(name, pattern), is_there, "{pattern} in {name}");
        }
    }

    #[test]
    fn case_is_told_apart_where_it_matters() {
        assert!(has("A", "a"));
        assert!(!has_exactly("A", "a"));
        assert!(has_exactly("xay", "a"));
    }

    #[test]
    fn json_contains_a_part_of_itself() {
        let all = json!({ "iotorch": { "slice": "s1", "gateway": "gw" }, "list": [1, 2] });
        assert!(contains(&all, &json!({ "iotorch": { "slice": "s1" } })));
        assert!(contains(&all, &json!({ "list": [2] })));
        assert!(contains(&all, &json!({})));
        assert!(!contains(&all, &json!({ "iotorch": { "slice": "s2" } })));
        assert!(!contains(&all, &json!({ "list": [3] })));
    }
}
