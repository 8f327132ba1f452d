//! Parameters of queries that are no text: what is wrong with one is said with what was given and what is expected.
//!
//! They are used with `#[serde(deserialize_with = "…")]`, and read numbers of JSON as well.

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use std::{fmt, marker::PhantomData, str::FromStr};

/// What a parameter can be.
pub(crate) trait Parameter: FromStr {
    /// The words for it in an error.
    const EXPECTED: &'static str;
}

impl Parameter for u64 {
    const EXPECTED: &'static str = "a whole number from 0";
}

impl Parameter for usize {
    const EXPECTED: &'static str = "a whole number from 0";
}

impl Parameter for f64 {
    const EXPECTED: &'static str = "a number";
}

impl Parameter for bool {
    const EXPECTED: &'static str = "true or false";
}

/// Reads a parameter that is given.
pub(crate) fn given<'de, T: Parameter, D: Deserializer<'de>>(input: D) -> Result<T, D::Error> {
    Given::deserialize(input).map(|Given(value)| value)
}

/// Reads a parameter that may be left out.
pub(crate) fn optional<'de, T: Parameter, D: Deserializer<'de>>(input: D) -> Result<Option<T>, D::Error> {
    Ok(Option::deserialize(input)?.map(|Given(value)| value))
}

struct Given<T>(T);

impl<'de, T: Parameter> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Reader(PhantomData)).map(Self)
    }
}

struct Reader<T>(PhantomData<T>);

impl<T: Parameter> Visitor<'_> for Reader<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let wrong = |_| E::custom(format!("\"{}\" is not {}", text.escape_debug(), T::EXPECTED));
        text.parse().map_err(wrong)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        self.visit_str(if value { "true" } else { "false" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Query {
        #[serde(deserialize_with = "given")]
        wait: f64,
        #[serde(deserialize_with = "optional")]
        limit: Option<u64>,
        #[serde(deserialize_with = "given")]
        adopt: bool,
    }

    #[test]
    fn parameters_are_read_from_text_and_from_json() {
        let expected = Query { wait: 1.5, limit: Some(3), adopt: true };
        for query in [
            json!({ "wait": "1.5", "limit": "3", "adopt": "true" }),
            json!({ "wait": 1.5, "limit": 3, "adopt": true }),
        ] {
            assert_eq!(serde_json::from_value::<Query>(query).unwrap(), expected);
        }
        assert_eq!(serde_json::from_value::<Query>(json!({ "limit": null })).unwrap(), Query::default());
    }

    #[test]
    fn what_is_wrong_is_told_with_what_is_expected() {
        for (query, wrong) in [
            (json!({ "wait": "long" }), "\"long\" is not a number"),
            (json!({ "limit": "-1" }), "\"-1\" is not a whole number from 0"),
            (json!({ "limit": 1.5 }), "\"1.5\" is not a whole number from 0"),
            (json!({ "adopt": "yes" }), "\"yes\" is not true or false"),
            (json!({ "limit": [1] }), "invalid type: sequence, expected a whole number from 0"),
        ] {
            assert_eq!(serde_json::from_value::<Query>(query).unwrap_err().to_string(), wrong);
        }
    }
}
