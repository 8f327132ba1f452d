//! A device of an EdgeX gateway.
//!
//! It sends values of one resource at a time: over MQTT to a topic of its own that device-mqtt reads, over HTTP to device-rest, over CoAP to
//! device-coap. None of them says whether EdgeX takes a value: a broker only has it, and a device service has looked at its form. So the
//! most that is known is [`Answer::Acknowledged`].

mod coap;
mod http;
mod mqtt;
mod trust;

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use iotorch_core::{Error, ErrorKind, Result, model::DeviceProtocol, resource::NetAddress};
use iotorch_lite::{
    Secret,
    device::{Answer, Message, Qos},
};
use serde_json::{Map, Value};

use coap::CoapLink;
use http::HttpLink;
use mqtt::MqttLink;

/// How long a gateway may take to let a device in, and to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The values of a message that are on their way at the same time.
const SIDE_BY_SIDE: usize = 16;

/// Who a device is, and where it sends to.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// How it speaks.
    pub(crate) protocol: DeviceProtocol,
    /// Where its gateway listens for that.
    pub(crate) address: NetAddress,
    /// The start of the topic or path; the resource follows.
    pub(crate) path: String,
    /// Its name on the gateway.
    pub(crate) name: String,
    /// Its user name and password, where its gateway asks for them.
    pub(crate) credential: Option<(String, Secret)>,
    /// The authorities to check a gateway by that speaks TLS, in place of those that the system trusts.
    pub(crate) trust: Option<PathBuf>,
}

/// A connection. Clones share it.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// To the broker.
    Mqtt(Arc<MqttLink>),
    /// To device-rest.
    Http(Arc<HttpLink>),
    /// To device-coap.
    Coap(Arc<CoapLink>),
}

impl Link {
    /// Connects, and logs in where somebody asks who it is. `qos` is for MQTT.
    pub(crate) async fn connect(login: &Login, qos: Qos) -> Result<Self> {
        Ok(match login.protocol {
            DeviceProtocol::Mqtt => Self::Mqtt(Arc::new(MqttLink::connect(login, qos).await?)),
            DeviceProtocol::Http => Self::Http(Arc::new(HttpLink::new(login)?)),
            DeviceProtocol::Coap => Self::Coap(Arc::new(CoapLink::connect(login).await?)),
            other => return Err(Error::new(ErrorKind::Unsupported, format!("cannot speak {other}"))),
        })
    }

    /// Sends a JSON object of values by resource: each value for itself.
    pub(crate) async fn send(&self, message: &Message) -> Result<Answer> {
        let values = values(message)?;
        let sending = stream::iter(values).map(async |(resource, value)| match self {
            Self::Mqtt(link) => link.send(&resource, &value).await,
            Self::Http(link) => link.send(&resource, &value).await,
            Self::Coap(link) => link.send(&resource, &value).await,
        });
        let answers: Vec<Answer> = sending.buffered(SIDE_BY_SIDE).try_collect().await?;
        Ok(together(answers))
    }

    /// Says good-bye, as far as the protocol has words for it.
    pub(crate) async fn close(&self) {
        if let Self::Mqtt(link) = self {
            link.close().await;
        }
    }
}

/// The values of a message, which has to be a JSON object of them.
fn values(message: &Message) -> Result<Map<String, Value>> {
    let refused = |why: &str| {
        Error::new(ErrorKind::Unsupported, format!("EdgeX takes values by resource, {why}"))
            .with_help("send them as RESOURCE=VALUE, or as a JSON object such as {\"temperature\":21.5}")
    };
    match serde_json::from_slice(message.payload()) {
        Ok(Value::Object(values)) if !values.is_empty() => Ok(values),
        Ok(Value::Object(_)) => Err(refused("and this has none")),
        Ok(Value::Array(_)) => Err(refused("and no SenML packs")),
        Ok(_) | Err(_) => Err(refused("and this is something else")),
    }
}

/// What was said of a message, by what was said of its values.
fn together(answers: Vec<Answer>) -> Answer {
    let mut accepted = 0;
    let mut rejected = Vec::new();
    let mut all = Answer::Acknowledged;
    for answer in answers {
        match answer {
            Answer::Rejected { rejected: why, .. } => rejected.extend(why),
            Answer::Sent => all = Answer::Sent,
            _ => accepted += 1,
        }
    }
    if rejected.is_empty() { all } else { Answer::Rejected { accepted, rejected } }
}

/// The text of a value as it stands alone.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn unreachable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Unavailable, "the gateway cannot be reached").with_source(source)
}

fn no_answer() -> Error {
    Error::new(ErrorKind::Timeout, format!("the gateway did not answer within {} s", PATIENCE.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_many_values_as_it_has_resources() {
        let message = Message::new(r#"{"temperature":21.5,"on":true,"label":"a b"}"#);
        let texts: Vec<String> =
            values(&message).unwrap().iter().map(|(name, value)| format!("{name} {}", text(value))).collect();
        assert_eq!(texts, ["label a b", "on true", "temperature 21.5"]);
        for wrong in [&b"[{\"n\":\"t\",\"v\":1}]"[..], b"21.5", b"{}", &[0x81, 0xa0]] {
            let error = values(&Message::new(wrong)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        }
    }

    #[test]
    fn a_message_is_rejected_if_one_of_its_values_is() {
        let rejected = |accepted, why: &str| Answer::Rejected { accepted, rejected: vec![why.into()] };
        assert_eq!(together(vec![Answer::Acknowledged, Answer::Acknowledged]), Answer::Acknowledged);
        assert_eq!(together(vec![Answer::Sent, Answer::Sent]), Answer::Sent);
        assert_eq!(
            together(vec![Answer::Acknowledged, rejected(0, "no resource")]),
            rejected(1, "no resource")
        );
    }
}
