//! What gateways and servers have refused.

use super::table::table;
use crate::management::Refusal;

/// By whom, whose, how often, and why the last time.
pub(crate) fn refusals(refused: &[Refusal]) -> String {
    table(
        ["BY", "USER", "LOGINS", "REQUESTS", "THE LAST BECAUSE"],
        refused.iter().map(|it| {
            [
                it.by.to_string(),
                // A user name comes from a stranger.
                it.user.escape_debug().to_string(),
                it.logins.to_string(),
                it.requests.to_string(),
                it.last_reason.clone(),
            ]
        }),
    )
}

/// The same in a line for a slice.
pub(crate) fn summary(slice: &str, refused: &[Refusal]) -> Option<String> {
    let logins: u64 = refused.iter().map(|it| it.logins).sum();
    let requests: u64 = refused.iter().map(|it| it.requests).sum();
    let count = |count: u64, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        n => Some(format!("{n} {what}s")),
    };
    let counts: Vec<String> =
        [count(logins, "login"), count(requests, "request")].into_iter().flatten().collect();
    (!counts.is_empty())
        .then(|| format!("{slice} has refused {}: iotorch describe {slice} says whose", counts.join(" and ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_who_was_refused_and_why() {
        let all = [
            Refusal {
                by: "gw".parse().unwrap(),
                user: "bench-1".into(),
                logins: 3,
                requests: 0,
                last_reason: "the password is wrong".into(),
            },
            Refusal {
                by: "gw".parse().unwrap(),
                user: "x\u{1b}".into(),
                logins: 0,
                requests: 1,
                last_reason: "may not publish to devices/bench-2".into(),
            },
        ];
        insta::assert_snapshot!(
            [refusals(&all), summary("greenhouse", &all).unwrap(), summary("greenhouse", &all[..1]).unwrap()]
                .join("\n\n")
        );
        assert_eq!(summary("greenhouse", &[]), None);
    }
}
