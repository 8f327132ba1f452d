//! A device that speaks HTTP: a POST of each message, with Basic authentication (RFC 7617).

use super::{
    Answer, Login, Message, PATIENCE,
    answer::reason,
    failure::{no_answer, refused_login, too_fast, too_large, unreachable},
};
use crate::Secret;
use iotorch_core::{Error, ErrorKind, Result};
use reqwest::{
    Client, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct HttpLink {
    http: Client,
    url: String,
    user: String,
    password: Secret,
}

impl HttpLink {
    pub(super) fn new(login: &Login) -> Result<Self> {
        let Login { address, path, user, password, .. } = login;
        // A gateway is asked directly, as a device in the field would ask it.
        let http =
            Client::builder().timeout(PATIENCE).no_proxy().tls_backend_preconfigured(login.tls()?).build();
        let http = http.map_err(|error| {
            Error::new(ErrorKind::Unexpected, "cannot make an HTTP client").with_source(error)
        })?;
        let scheme = if address.tls { "https" } else { "http" };
        let url = format!("{scheme}://{address}/{path}");
        Ok(Self { http, url, user: user.clone(), password: password.clone() })
    }

    pub(super) async fn send(&self, message: &Message) -> Result<Answer> {
        let posted = self
            .http
            .post(&self.url)
            .basic_auth(&self.user, Some(self.password.expose()))
            .header(CONTENT_TYPE, message.form().media_type())
            .body(message.payload().to_vec())
            .send()
            .await
            .map_err(lost)?;
        let (status, pause) = (posted.status(), pause(posted.headers()));
        let body = posted.bytes().await.map_err(lost)?;
        answer(status, &body, pause)
    }
}

fn lost(error: reqwest::Error) -> Error {
    // The address is in the device's own description already.
    if error.is_timeout() { no_answer() } else { unreachable(error.without_url()) }
}

/// How long the gateway wants to be left alone (RFC 9110 section 10.2.3).
fn pause(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn answer(status: StatusCode, body: &[u8], pause: Option<Duration>) -> Result<Answer> {
    if status.is_success() {
        return Ok(Answer::of_success(body));
    }
    let why = reason(body).unwrap_or_else(|| status.to_string());
    match status {
        StatusCode::UNAUTHORIZED => Err(refused_login(why)),
        StatusCode::FORBIDDEN => Err(Error::new(ErrorKind::Denied, why)),
        StatusCode::PAYLOAD_TOO_LARGE => Err(too_large()),
        StatusCode::TOO_MANY_REQUESTS => Err(too_fast(why, pause)),
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST => Ok(Answer::of_refusal(body, why)),
        status if status.is_server_error() => Err(unreachable(why)),
        _ => Err(Error::new(ErrorKind::Unexpected, format!("the gateway answers {status}")).with_source(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_gateway_answers_is_told_apart() {
        let some = br#"{"accepted":1,"rejected":["temperature: 900 is above 85"]}"#;
        let rejected =
            |accepted| Answer::Rejected { accepted, rejected: vec!["temperature: 900 is above 85".into()] };
        assert_eq!(answer(StatusCode::NO_CONTENT, b"", None).unwrap(), Answer::Accepted);
        assert_eq!(answer(StatusCode::OK, some, None).unwrap(), rejected(1));
        let none = br#"{"accepted":0,"rejected":["temperature: 900 is above 85"]}"#;
        assert_eq!(answer(StatusCode::UNPROCESSABLE_ENTITY, none, None).unwrap(), rejected(0));
        let kinds = [
            (StatusCode::UNAUTHORIZED, ErrorKind::Denied),
            (StatusCode::FORBIDDEN, ErrorKind::Denied),
            (StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::Invalid),
            (StatusCode::TOO_MANY_REQUESTS, ErrorKind::RateLimited),
            (StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unavailable),
            (StatusCode::IM_A_TEAPOT, ErrorKind::Unexpected),
        ];
        for (status, kind) in kinds {
            assert_eq!(answer(status, b"", None).unwrap_err().kind(), kind, "{status}");
        }
    }
}
