//! A device that speaks HTTP: a POST of each message, with Basic authentication (RFC 7617).

use async_trait::async_trait;
use iotorch_core::{Error, ErrorKind, Result, resource::NetAddress, secret::SecretValue};
use reqwest::{Client, StatusCode, header::CONTENT_TYPE};

use super::{
    Answer, Device, Link, Message, PATIENCE, no_answer, reason, refused_login, tls, too_fast, too_large,
    unreachable,
};

pub(super) struct HttpLink {
    http: Client,
    url: String,
    user: String,
    password: SecretValue,
}

impl HttpLink {
    pub(super) fn new(device: &Device, address: &NetAddress, password: &SecretValue) -> Result<Self> {
        crate::tls::provide();
        // A gateway is asked directly, as a device in the field would ask it.
        let mut http = Client::builder().timeout(PATIENCE).no_proxy();
        if address.tls {
            http = http.tls_backend_preconfigured(tls(device)?);
        }
        let http = http.build().map_err(|error| {
            Error::new(ErrorKind::Unexpected, "cannot make an HTTP client").with_source(error)
        })?;
        let scheme = if address.tls { "https" } else { "http" };
        let url = format!("{scheme}://{address}/{}", device.path);
        Ok(Self { http, url, user: device.user.clone(), password: password.clone() })
    }
}

#[async_trait]
impl Link for HttpLink {
    async fn send(&self, message: &Message) -> Result<Answer> {
        let posted = self
            .http
            .post(&self.url)
            .basic_auth(&self.user, Some(self.password.expose()))
            .header(CONTENT_TYPE, message.form.media_type())
            .body(message.payload.clone())
            .send()
            .await
            .map_err(lost)?;
        let status = posted.status();
        let body = posted.bytes().await.map_err(lost)?;
        answer(status, &body)
    }

    async fn close(&self) {}
}

fn lost(error: reqwest::Error) -> Error {
    // The address is in the device's own description already.
    if error.is_timeout() { no_answer() } else { unreachable(error.without_url()) }
}

fn answer(status: StatusCode, body: &[u8]) -> Result<Answer> {
    if status.is_success() {
        return Ok(Answer::of_success(body));
    }
    let why = reason(body).unwrap_or_else(|| status.to_string());
    match status {
        StatusCode::UNAUTHORIZED => Err(refused_login(why)),
        StatusCode::FORBIDDEN => Err(Error::new(ErrorKind::Denied, why)),
        StatusCode::PAYLOAD_TOO_LARGE => Err(too_large()),
        StatusCode::TOO_MANY_REQUESTS => Err(too_fast(why)),
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST => {
            Ok(Answer::of_refusal(body)
                .unwrap_or_else(|| Answer::Rejected { accepted: 0, rejected: vec![why] }))
        }
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
        assert_eq!(answer(StatusCode::NO_CONTENT, b"").unwrap(), Answer::Accepted);
        assert_eq!(answer(StatusCode::OK, some).unwrap(), rejected(1));
        let none = br#"{"accepted":0,"rejected":["temperature: 900 is above 85"]}"#;
        assert_eq!(answer(StatusCode::UNPROCESSABLE_ENTITY, none).unwrap(), rejected(0));
        let kinds = [
            (StatusCode::UNAUTHORIZED, ErrorKind::Denied),
            (StatusCode::FORBIDDEN, ErrorKind::Denied),
            (StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::Invalid),
            (StatusCode::TOO_MANY_REQUESTS, ErrorKind::RateLimited),
            (StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unavailable),
            (StatusCode::IM_A_TEAPOT, ErrorKind::Unexpected),
        ];
        for (status, kind) in kinds {
            assert_eq!(answer(status, b"").unwrap_err().kind(), kind, "{status}");
        }
    }
}
