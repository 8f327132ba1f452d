//! What helm's errors mean. helm has no codes for them: its words, and those of the API server in them, are all there is.

use std::{error::Error as StdError, fmt, process::ExitStatus};

use crate::error::{Error, ErrorKind};

/// What helm said, in its own words.
#[derive(Debug)]
struct HelmSaid(String);

impl fmt::Display for HelmSaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for HelmSaid {}

/// The error of a helm that has failed; `what` was not possible.
pub(super) fn read(what: &str, errors: &str, status: ExitStatus) -> Error {
    let Some(said) = said(errors) else {
        let why = format!("helm ended with {status} and said nothing");
        return Error::new(ErrorKind::Unexpected, what).with_source(why);
    };
    let kind = kind_of(&said);
    let error = Error::new(kind, what);
    let error = match help(kind, &said) {
        Some(help) => error.with_help(help),
        None => error,
    };
    error.with_source(HelmSaid(said))
}

/// The error itself, which comes last: after warnings, and log lines that say the same.
fn said(errors: &str) -> Option<String> {
    let start = errors
        .match_indices("Error: ")
        .map(|(at, _)| at)
        .find(|at| *at == 0 || errors[..*at].ends_with('\n'));
    let text = match start {
        Some(at) => errors[at..].trim_start_matches("Error: "),
        None => errors,
    };
    let lines = text.lines().map(str::trim_end).filter(|line| !is_noise(line));
    let text = lines.collect::<Vec<_>>().join("\n");
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn is_noise(line: &str) -> bool {
    line.starts_with("level=") || line == "Use --debug flag to render out invalid YAML"
}

/// Words, and what they mean. The first line with all its words counts.
const MEANINGS: &[(&[&str], ErrorKind)] = &[
    // What the API server says about who asks. Quotas and policies say "forbidden", too.
    (&["exceeded quota"], ErrorKind::Rejected),
    (&["violates PodSecurity"], ErrorKind::Rejected),
    (&["admission webhook", "denied the request"], ErrorKind::Rejected),
    (&["ValidatingAdmissionPolicy"], ErrorKind::Rejected),
    (&["because it is being terminated"], ErrorKind::Rejected),
    (&["is forbidden: User"], ErrorKind::Denied),
    (&["cannot impersonate"], ErrorKind::Denied),
    (&["the server has asked for the client to provide credentials"], ErrorKind::Denied),
    (&["You must be logged in to the server"], ErrorKind::Denied),
    (&["Unauthorized"], ErrorKind::Denied),
    (&["is forbidden"], ErrorKind::Rejected),
    // What Helm finds out by itself.
    (&["another operation (install/upgrade/rollback) is in progress"], ErrorKind::Pending),
    (&["cannot reuse a name that is still in use"], ErrorKind::Conflict),
    (&["cannot re-use a name that is still in use"], ErrorKind::Conflict),
    (&["exists and cannot be imported into the current release"], ErrorKind::Conflict),
    (&["invalid ownership metadata"], ErrorKind::Conflict),
    (&["cannot be owned"], ErrorKind::Conflict),
    (&["has no deployed releases"], ErrorKind::NotFound),
    (&["release: not found"], ErrorKind::NotFound),
    (&["release has no", "version"], ErrorKind::NotFound),
    (&["no revision for release"], ErrorKind::NotFound),
    (&["release: already exists"], ErrorKind::Conflict),
    (&["values don't meet the specifications of the schema"], ErrorKind::InvalidValues),
    (&["failed to parse "], ErrorKind::InvalidValues),
    (&["invalid kube version"], ErrorKind::InvalidValues),
    (&["chart requires kubeVersion"], ErrorKind::Rejected),
    // Charts.
    (&["Chart.yaml file is missing"], ErrorKind::InvalidChart),
    (&["unable to detect chart at"], ErrorKind::InvalidChart),
    (&["unable to load chart archive"], ErrorKind::InvalidChart),
    (&["double-star (**) syntax is not supported"], ErrorKind::InvalidChart),
    (&["cannot load Chart.yaml"], ErrorKind::InvalidChart),
    (&["cannot load values.yaml"], ErrorKind::InvalidChart),
    (&["cannot load values.schema.json"], ErrorKind::InvalidChart),
    (&["does not appear to be a gzipped archive"], ErrorKind::InvalidChart),
    (&["does not appear to be a valid chart file"], ErrorKind::InvalidChart),
    (&["found in Chart.yaml, but missing in charts/ directory"], ErrorKind::InvalidChart),
    (&["charts are not installable"], ErrorKind::InvalidChart),
    (&["chart.metadata"], ErrorKind::InvalidChart),
    (&["validation: "], ErrorKind::InvalidChart),
    (&["error unpacking"], ErrorKind::InvalidChart),
    // What the API server says about objects.
    (&["ensure CRDs are installed first"], ErrorKind::Rejected),
    (&["no matches for kind"], ErrorKind::Rejected),
    (&["conflict occurred while applying object"], ErrorKind::Conflict),
    (&["Apply failed with", "conflict"], ErrorKind::Conflict),
    (&["the object has been modified"], ErrorKind::Conflict),
    (&["field is immutable"], ErrorKind::Rejected),
    (&["is invalid: "], ErrorKind::Rejected),
    (&["ValidationError"], ErrorKind::Rejected),
    (&["unknown field"], ErrorKind::Rejected),
    (&["field not declared in schema"], ErrorKind::Rejected),
    (&["failed to create typed patch object"], ErrorKind::Rejected),
    (&["cannot be handled as a"], ErrorKind::Rejected),
    (&["error validating data"], ErrorKind::Rejected),
    (&["already exists"], ErrorKind::Conflict),
    (&["namespaces", "not found"], ErrorKind::NotFound),
    // The archive of a chart.
    (&["path ", "not found"], ErrorKind::NotFound),
    // Ways to the cluster. Hooks that take too long say the same as servers that do.
    (&["context", "does not exist"], ErrorKind::NotFound),
    (&["timed out waiting for the condition"], ErrorKind::TimedOut),
    (&["hook", "context deadline exceeded"], ErrorKind::TimedOut),
    (&["resource", "not ready"], ErrorKind::TimedOut),
    (&["ubernetes cluster unreachable: stat", "no such file or directory"], ErrorKind::NotFound),
    (&["ubernetes cluster unreachable"], ErrorKind::Unreachable),
    (&["connection refused"], ErrorKind::Unreachable),
    (&["connection reset by peer"], ErrorKind::Unreachable),
    (&["no such host"], ErrorKind::Unreachable),
    (&["i/o timeout"], ErrorKind::Unreachable),
    (&["TLS handshake timeout"], ErrorKind::Unreachable),
    (&["Client.Timeout exceeded"], ErrorKind::Unreachable),
    (&["no route to host"], ErrorKind::Unreachable),
    (&["network is unreachable"], ErrorKind::Unreachable),
    (&["http2: client connection lost"], ErrorKind::Unreachable),
    (&["etcdserver:"], ErrorKind::Unreachable),
    (&["the server is currently unable to handle the request"], ErrorKind::Unreachable),
    (&["unexpected EOF"], ErrorKind::Unreachable),
    (&["context deadline exceeded"], ErrorKind::TimedOut),
];

/// How errors of templates begin. They go on in the chart's own words, which mean nothing here.
const TEMPLATE: [&str; 6] = [
    "execution error at (",
    "execution error in (",
    "parse error at (",
    "parse error in (",
    "YAML parse error on ",
    "error parsing ",
];

fn is_of_a_template(said: &str) -> bool {
    let said = ["INSTALLATION FAILED: ", "UPGRADE FAILED: "]
        .iter()
        .fold(said, |said, operation| said.strip_prefix(operation).unwrap_or(said));
    let is_executing = said.contains("executing \"") && said.contains(" at <");
    // A template can ask the cluster, whose answer counts then.
    let asks = said.contains("error calling lookup:");
    TEMPLATE.iter().any(|beginning| said.starts_with(beginning)) || (is_executing && !asks)
}

/// What an error of helm means.
fn kind_of(said: &str) -> ErrorKind {
    if is_of_a_template(said) {
        return ErrorKind::InvalidChart;
    }
    let meant = MEANINGS.iter().find(|(words, _)| words.iter().all(|word| said.contains(word)));
    meant.map_or(ErrorKind::Unexpected, |(_, kind)| *kind)
}

fn help(kind: ErrorKind, said: &str) -> Option<&'static str> {
    match kind {
        ErrorKind::Pending => {
            Some("when no helm is at work on it any more, remove the release, or mark it as failed")
        }
        ErrorKind::Rejected if said.contains("no matches for kind") => {
            Some("install what defines the kinds of the chart first")
        }
        ErrorKind::NotFound if said.contains("no such file") => Some("check the path of the kubeconfig"),
        ErrorKind::NotFound if said.contains("context ") => {
            Some("check the name of the context of the kubeconfig")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    /// What helm said when things went wrong on purpose, each message after a line `== <kind>`.
    const HELM_3: &str = include_str!("failure/helm3.txt");
    const HELM_4: &str = include_str!("failure/helm4.txt");

    #[test]
    fn messages_of_both_versions_mean_what_went_wrong() {
        for (version, messages) in [(3, HELM_3), (4, HELM_4)] {
            let mut count = 0;
            for message in messages.split("== ").skip(1) {
                let (kind, said) = message.split_once('\n').unwrap();
                let error = read("cannot do that", said, ExitStatus::from_raw(256));
                assert_eq!(error.kind().as_str(), kind, "helm {version}: {said}");
                let source = error.source().unwrap().to_string();
                assert!(said.contains(source.lines().next().unwrap()), "{source}");
                assert!(!source.contains("level=") && !source.contains("--debug"), "{source}");
                count += 1;
            }
            assert!(count > 40, "helm {version} has said {count} things");
        }
    }

    #[test]
    fn a_helm_that_says_nothing_is_told_by_how_it_ended() {
        let error = read("cannot do that", "", ExitStatus::from_raw(9));
        assert_eq!(error.kind(), ErrorKind::Unexpected);
        assert!(error.source().unwrap().to_string().contains("signal: 9"));
    }

    #[test]
    fn the_error_is_told_from_what_else_helm_prints() {
        let errors = "WARNING: This chart is deprecated\nlevel=ERROR msg=\"a: b\"\nError: INSTALLATION FAILED: a: b\n\n\
                      Use --debug flag to render out invalid YAML\n";
        assert_eq!(said(errors).as_deref(), Some("INSTALLATION FAILED: a: b"));
        assert_eq!(said("Killed\n").as_deref(), Some("Killed"));
        assert_eq!(said("level=WARN msg=x\n"), None);
    }
}
