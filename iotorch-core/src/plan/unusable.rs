//! Infrastructures that cannot be used now, and why, in one error.

use std::collections::BTreeMap;

use crate::{
    error::{Cause, Error, ErrorKind},
    model::InfrastructureName,
};

/// Each with what its survey said.
pub(crate) type Unusable = BTreeMap<InfrastructureName, Cause>;

/// Why, as the end of a sentence that begins with its name.
pub(crate) fn why(cause: &Cause) -> String {
    let how = match cause.kind {
        ErrorKind::Denied => "refuses",
        kind if kind.is_retryable() => "cannot be reached",
        _ => "cannot be used",
    };
    format!("{how}: {}", cause.root())
}

/// The error for what could not be done without them, with every cause and every way out.
pub(crate) fn error(what: impl Into<String>, places: Unusable) -> Error {
    let kind = places.values().next().map_or(ErrorKind::Unavailable, |cause| cause.kind);
    let mut error = Error::new(kind, what);
    let mut ways: Vec<&str> = places.values().filter_map(|cause| cause.help.as_deref()).collect();
    ways.dedup();
    if !ways.is_empty() {
        error = error.with_help(ways.join("\n"));
    }
    let mut causes = places.iter();
    match (causes.next(), causes.next()) {
        (Some((name, cause)), None) => {
            error.with_source(Error::new(cause.kind, format!("infrastructure \"{name}\" {}", why(cause))))
        }
        _ => places.iter().fold(error, |error, (name, cause)| error.with_context(name.as_str(), why(cause))),
    }
}

/// Names in a sentence: `a, b and c`.
pub(crate) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(kind: ErrorKind, why: &str, help: &str) -> Cause {
        Error::new(kind, "cannot survey").with_help(help).with_source(Error::new(kind, why)).to_cause()
    }

    #[test]
    fn one_place_is_told_in_the_sentence_and_several_each_for_itself() {
        let denied = cause(ErrorKind::Denied, "the token has expired", "fetch a new one");
        let away = cause(ErrorKind::Unavailable, "connection refused", "fetch a new one");
        let one = Unusable::from([("edge-1".parse().unwrap(), denied.clone())]);
        let told = error("cannot apply the plan", one).to_cause();
        assert_eq!(
            told.to_string(),
            "cannot apply the plan: infrastructure \"edge-1\" refuses: the token has expired"
        );
        assert_eq!(told.help.as_deref(), Some("fetch a new one"));
        let two = Unusable::from([("edge-1".parse().unwrap(), denied), ("edge-2".parse().unwrap(), away)]);
        let told = error("cannot apply the plan", two);
        assert_eq!(told.kind(), ErrorKind::Denied);
        assert_eq!(told.help(), Some("fetch a new one"));
        let told: Vec<_> = told.context().collect();
        assert_eq!(
            told,
            [
                ("edge-1", "refuses: the token has expired"),
                ("edge-2", "cannot be reached: connection refused")
            ]
        );
    }
}
