//! Over HTTP: device-rest takes a value of a resource in a POST.

use iotorch_core::{Error, ErrorKind, Result};
use iotorch_lite::device::Answer;
use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use serde_json::Value;

use super::{Login, PATIENCE, no_answer, text, trust::trusting, unreachable};

/// Where a device posts to.
#[derive(Debug)]
pub(crate) struct HttpLink {
    http: Client,
    url: String,
}

impl HttpLink {
    pub(super) fn new(login: &Login) -> Result<Self> {
        let Login { address, path, .. } = login;
        crate::tls::provide();
        // A gateway is asked directly, as a device in the field would ask it.
        let http = Client::builder().timeout(PATIENCE).no_proxy();
        let http = match address.tls {
            true => http.tls_backend_preconfigured(trusting(login.trust.as_deref())?),
            false => http,
        };
        let http = http.build().map_err(|error| {
            Error::new(ErrorKind::Unexpected, "cannot make an HTTP client").with_source(error)
        })?;
        let scheme = if address.tls { "https" } else { "http" };
        Ok(Self { http, url: format!("{scheme}://{address}/{path}") })
    }

    pub(super) async fn send(&self, resource: &str, value: &Value) -> Result<Answer> {
        let posted = self
            .http
            .post(format!("{}/{resource}", self.url))
            .header(CONTENT_TYPE, "text/plain")
            .body(text(value))
            .send()
            .await
            .map_err(lost)?;
        let status = posted.status();
        let body = posted.bytes().await.map_err(lost)?;
        answer(resource, status, &body)
    }
}

fn lost(error: reqwest::Error) -> Error {
    // The address is in the device's own description already.
    if error.is_timeout() { no_answer() } else { unreachable(error.without_url()) }
}

fn answer(resource: &str, status: StatusCode, body: &[u8]) -> Result<Answer> {
    if status.is_success() {
        return Ok(Answer::Acknowledged);
    }
    let body = String::from_utf8_lossy(body);
    let why = match body.trim() {
        "" => status.to_string(),
        said => said.to_owned(),
    };
    match status {
        // What is no value of the resource, and a device or a resource that it does not know.
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {
            Ok(Answer::Rejected { accepted: 0, rejected: vec![format!("{resource}: {why}")] })
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(Error::new(ErrorKind::Denied, "the gateway refuses the login").with_source(why))
        }
        StatusCode::LOCKED => {
            Err(Error::new(ErrorKind::Denied, "the device is locked at its gateway").with_source(why))
        }
        status if status.is_server_error() => Err(unreachable(why)),
        status => {
            Err(Error::new(ErrorKind::Unexpected, format!("the gateway answers {status}")).with_source(why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_device_rest_answers_is_told_apart() {
        assert_eq!(answer("t", StatusCode::OK, b"").unwrap(), Answer::Acknowledged);
        assert_eq!(
            answer("t", StatusCode::BAD_REQUEST, b"no number\n").unwrap(),
            Answer::Rejected { accepted: 0, rejected: vec!["t: no number".into()] }
        );
        assert_eq!(
            answer("t", StatusCode::NOT_FOUND, b"").unwrap(),
            Answer::Rejected { accepted: 0, rejected: vec!["t: 404 Not Found".into()] }
        );
        for (status, kind) in [
            (StatusCode::UNAUTHORIZED, ErrorKind::Denied),
            (StatusCode::LOCKED, ErrorKind::Denied),
            (StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unavailable),
            (StatusCode::IM_A_TEAPOT, ErrorKind::Unexpected),
        ] {
            assert_eq!(answer("t", status, b"").unwrap_err().kind(), kind, "{status}");
        }
    }
}
