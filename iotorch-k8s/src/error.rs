//! From what a cluster answers to the errors of iotorch.

use std::{io, time::Duration};

use iotorch_core::{Error, ErrorKind};

/// What could not be done, and what the API server said.
pub(crate) fn failed(what: impl Into<String>, error: kube::Error) -> Error {
    let kind = kind_of(&error);
    let failed = Error::new(kind, what);
    let failed = match help(&error) {
        Some(help) => failed.with_help(help),
        None => failed,
    };
    let failed = match retry_after(&error) {
        Some(pause) => failed.with_retry_after(pause),
        None => failed,
    };
    failed.with_source(Error::new(kind, reason(&error)))
}

/// What could not be done, and what Helm said.
pub(crate) fn of_helm(what: impl Into<String>, error: iotorch_helm::Error) -> Error {
    use iotorch_helm::ErrorKind as Helm;
    let kind = match error.kind() {
        Helm::InvalidChart | Helm::InvalidValues => ErrorKind::Invalid,
        Helm::NotFound => ErrorKind::NotFound,
        Helm::Denied => ErrorKind::Denied,
        Helm::Unreachable => ErrorKind::Unavailable,
        Helm::Conflict => ErrorKind::Conflict,
        Helm::Rejected => ErrorKind::Infeasible,
        Helm::Pending | Helm::Busy => ErrorKind::NotReady,
        Helm::TimedOut => ErrorKind::Timeout,
        Helm::Unsupported => ErrorKind::Unsupported,
        Helm::Cancelled => ErrorKind::Cancelled,
        _ => ErrorKind::Unexpected,
    };
    let help = error.help().map(str::to_owned);
    let failed = Error::new(kind, what).with_source(error);
    match help {
        Some(help) => failed.with_help(help),
        None => failed,
    }
}

/// Whether the object is not there.
pub(crate) fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether an object of that name is there already, or was changed since it was read.
pub(crate) fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// HTTP status codes as the API server uses them:
/// <https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#http-status-codes>.
pub(crate) fn kind_of(error: &kube::Error) -> ErrorKind {
    match error {
        kube::Error::Api(status) => match status.code {
            // A quota that is used up is told as if it were a right that is missing.
            403 if status.message.contains("exceeded quota") => ErrorKind::Infeasible,
            // So is a namespace that somebody removes.
            403 if status.message.contains("because it is being terminated") => ErrorKind::NotReady,
            401 | 403 => ErrorKind::Denied,
            404 => ErrorKind::NotFound,
            409 => ErrorKind::Conflict,
            400 | 422 => ErrorKind::Invalid,
            429 => ErrorKind::RateLimited,
            500 | 502..=504 => ErrorKind::Unavailable,
            _ => ErrorKind::Unexpected,
        },
        kube::Error::Auth(_) => ErrorKind::Denied,
        error if certificate(error).is_some() => ErrorKind::Invalid,
        kube::Error::Service(_)
        | kube::Error::HyperError(_)
        | kube::Error::ReadEvents(_)
        | kube::Error::UpgradeConnection(_) => ErrorKind::Unavailable,
        _ => ErrorKind::Unexpected,
    }
}

/// The innermost words: `kube` says what layer failed, and the layers below what happened.
fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => match status.message.as_str() {
            "" => format!("the API server answered {}", status.code),
            // All that it says of a token that it does not know, or that has expired.
            "Unauthorized" => "the API server does not accept the credentials (401)".to_owned(),
            message => message.to_owned(),
        },
        other => match certificate(other) {
            Some(why) => format!("the certificate of the API server is not accepted: {why}"),
            None if chain(other).any(is_timeout) => "the API server does not answer".to_owned(),
            None => chain(other).last().map_or_else(String::new, ToString::to_string),
        },
    }
}

/// An error and all below it.
fn chain(error: &kube::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| {
        let error: &(dyn std::error::Error + 'static) = *error;
        // An I/O error that wraps another one gives the source of that as its own.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn std::error::Error + 'static)),
            None => error.source(),
        }
    })
}

fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<tower::timeout::error::Elapsed>()
        || error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// Why the certificate of the API server is not accepted, which will not pass.
fn certificate(error: &kube::Error) -> Option<String> {
    chain(error).find_map(|error| match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            Some("the certificate authority of the kubeconfig has not signed it".to_owned())
        }
        rustls::Error::InvalidCertificate(why) => Some(why.to_string()),
        _ => None,
    })
}

fn help(error: &kube::Error) -> Option<&'static str> {
    match error {
        kube::Error::Api(status) if status.code == 401 => {
            Some("the token or certificate of the kubeconfig's user is wrong or has expired; fetch a new one")
        }
        error if certificate(error).is_some() => Some(
            "the kubeconfig may be one of another cluster: see its \"server\" and \"certificate-authority\"",
        ),
        _ => None,
    }
}

fn retry_after(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else { return None };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn told(code: u16, message: &str) -> Error {
        let status = Status::failure(message, "").with_code(code).boxed();
        failed("cannot make namespace \"greenhouse\"", kube::Error::Api(status))
    }

    #[test]
    fn each_answer_has_its_kind_and_its_words() {
        for (code, message, kind) in [
            (401, "Unauthorized", ErrorKind::Denied),
            (403, "namespaces is forbidden: User \"nobody\" cannot create", ErrorKind::Denied),
            (403, "pods \"gw\" is forbidden: exceeded quota: iotorch", ErrorKind::Infeasible),
            (
                403,
                "secrets \"gw\" is forbidden: unable to create new content in namespace a because it is being terminated",
                ErrorKind::NotReady,
            ),
            (404, "namespaces \"a\" not found", ErrorKind::NotFound),
            (409, "already exists", ErrorKind::Conflict),
            (422, "Namespace \"A\" is invalid", ErrorKind::Invalid),
            (429, "too many requests", ErrorKind::RateLimited),
            (503, "etcdserver: leader changed", ErrorKind::Unavailable),
        ] {
            let error = told(code, message);
            assert_eq!(error.kind(), kind, "{code} {message}");
            assert_eq!(error.to_string(), "cannot make namespace \"greenhouse\"");
            let root = error.to_cause().root().to_owned();
            assert!(code == 401 || root == message, "{root}");
        }
        let late = io::Error::new(io::ErrorKind::TimedOut, "deadline has elapsed");
        let late = failed("cannot make namespace \"greenhouse\"", kube::Error::Service(Box::new(late)));
        assert_eq!(late.kind(), ErrorKind::Unavailable);
        assert_eq!(late.to_cause().root(), "the API server does not answer");
        assert!(told(401, "Unauthorized").help().is_some());
    }
}
