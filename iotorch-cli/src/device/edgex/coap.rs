//! Over CoAP (RFC 7252): device-coap takes a value of a resource in a POST, in clear.

use std::{fmt, time::Duration};

use coap_lite::{CoapRequest, ContentFormat, MessageClass, MessageType, Packet, RequestType, ResponseType};
use iotorch_core::{Error, ErrorKind, Result};
use iotorch_lite::device::Answer;
use serde_json::Value;
use tokio::{
    net::{UdpSocket, lookup_host},
    sync::Mutex,
    time::{Instant, timeout, timeout_at},
};

use super::{Login, PATIENCE, no_answer, text, unreachable};

/// When a message is sent again that was not answered, at first; doubled each time (ACK_TIMEOUT; RFC 7252 section 4.8).
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(2);

/// The largest datagram.
const DATAGRAM: usize = 64 * 1024;

/// Where a device posts to.
pub(crate) struct CoapLink {
    /// One exchange at a time (NSTART; RFC 7252 section 4.7), and the number of its message.
    exchange: Mutex<(UdpSocket, u16)>,
    path: String,
}

impl fmt::Debug for CoapLink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CoapLink").field("path", &self.path).finish_non_exhaustive()
    }
}

impl CoapLink {
    pub(super) async fn connect(login: &Login) -> Result<Self> {
        let Login { address, path, .. } = login;
        if address.tls || login.credential.is_some() {
            let why = "cannot speak CoAP over DTLS with EdgeX: only device-coap in clear is known here";
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
        let mut found = lookup_host((address.host.as_str(), address.port)).await.map_err(unreachable)?;
        let to = found.next().ok_or_else(|| unreachable("its name has no address"))?;
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).await.map_err(unreachable)?;
        socket.connect(to).await.map_err(unreachable)?;
        Ok(Self { exchange: Mutex::new((socket, rand::random())), path: path.clone() })
    }

    pub(super) async fn send(&self, resource: &str, value: &Value) -> Result<Answer> {
        let mut exchange = self.exchange.lock().await;
        let (socket, number) = &mut *exchange;
        *number = number.wrapping_add(1);
        let request = request(&format!("{}/{resource}", self.path), *number, &text(value));
        let response = timeout(PATIENCE, ask(socket, &request)).await.map_err(|_| no_answer())??;
        answer(resource, &response)
    }
}

fn request(path: &str, number: u16, body: &str) -> Packet {
    let mut request: CoapRequest<()> = CoapRequest::new();
    request.set_method(RequestType::Post);
    request.set_path(path);
    let mut packet = request.message;
    packet.header.message_id = number;
    packet.header.set_type(MessageType::Confirmable);
    packet.set_token(number.to_be_bytes().to_vec());
    packet.set_content_format(ContentFormat::TextPlain);
    packet.payload = body.as_bytes().to_vec();
    packet
}

/// Sends a confirmable request until it is answered.
async fn ask(socket: &UdpSocket, request: &Packet) -> Result<Packet> {
    let bytes = request
        .to_bytes()
        .map_err(|_| Error::new(ErrorKind::Invalid, "the message is larger than a message of CoAP can be"))?;
    let mut pause = ACKNOWLEDGED_WITHIN;
    loop {
        socket.send(&bytes).await.map_err(unreachable)?;
        match timeout_at(Instant::now() + pause, response(socket, request)).await {
            Ok(response) => return response,
            Err(_) => pause *= 2,
        }
    }
}

/// The response to a request: in its acknowledgement, or in a message of its own.
async fn response(socket: &UdpSocket, request: &Packet) -> Result<Packet> {
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut datagram).await.map_err(unreachable)?;
        let Ok(packet) = Packet::from_bytes(&datagram[..length]) else { continue };
        let kind = packet.header.get_type();
        if kind == MessageType::Reset && packet.header.message_id == request.header.message_id {
            return Err(unreachable("it knows nothing of the exchange"));
        }
        let is_response = matches!(packet.header.code, MessageClass::Response(_));
        if kind == MessageType::Confirmable {
            let mut acknowledgement = Packet::new();
            acknowledgement.header.set_type(MessageType::Acknowledgement);
            acknowledgement.header.code = MessageClass::Empty;
            acknowledgement.header.message_id = packet.header.message_id;
            let bytes = acknowledgement.to_bytes().map_err(|_| unreachable("its answer is no message"))?;
            socket.send(&bytes).await.map_err(unreachable)?;
        }
        if is_response && packet.get_token() == request.get_token() {
            return Ok(packet);
        }
    }
}

fn answer(resource: &str, packet: &Packet) -> Result<Answer> {
    let class = packet.header.code;
    let MessageClass::Response(response) = class else {
        return Err(Error::new(ErrorKind::Unexpected, format!("the gateway answers {class}")));
    };
    if !response.is_error() {
        return Ok(Answer::Acknowledged);
    }
    let said = String::from_utf8_lossy(&packet.payload);
    let why = match said.trim() {
        "" => class.to_string(),
        said => said.to_owned(),
    };
    match response {
        ResponseType::BadRequest
        | ResponseType::NotFound
        | ResponseType::UnsupportedContentFormat
        | ResponseType::UnprocessableEntity => {
            Ok(Answer::Rejected { accepted: 0, rejected: vec![format!("{resource}: {why}")] })
        }
        ResponseType::Unauthorized | ResponseType::Forbidden => {
            Err(Error::new(ErrorKind::Denied, "the gateway refuses the login").with_source(why))
        }
        ResponseType::InternalServerError | ResponseType::ServiceUnavailable => Err(unreachable(why)),
        _ => Err(Error::new(ErrorKind::Unexpected, format!("the gateway answers {class}")).with_source(why)),
    }
}

#[cfg(test)]
mod tests {
    use iotorch_core::{model::DeviceProtocol, resource::NetAddress};

    use super::*;

    #[tokio::test]
    async fn a_value_is_posted_to_its_resource_and_the_answer_is_told() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let login = Login {
            protocol: DeviceProtocol::Coap,
            address: NetAddress { host: "127.0.0.1".into(), port, tls: false },
            path: "a1r/bench-1".into(),
            name: "bench-1".into(),
            credential: None,
            trust: None,
        };
        let serving = async {
            let mut asked = Vec::new();
            for response in [ResponseType::Changed, ResponseType::NotFound] {
                let mut datagram = vec![0; DATAGRAM];
                let (length, from) = server.recv_from(&mut datagram).await.unwrap();
                let request: CoapRequest<()> =
                    CoapRequest::from_packet(Packet::from_bytes(&datagram[..length]).unwrap(), ());
                asked.push((request.get_path(), String::from_utf8(request.message.payload.clone()).unwrap()));
                let mut answer = Packet::new();
                answer.header.set_type(MessageType::Acknowledgement);
                answer.header.code = MessageClass::Response(response);
                answer.header.message_id = request.message.header.message_id;
                answer.set_token(request.message.get_token().to_vec());
                server.send_to(&answer.to_bytes().unwrap(), from).await.unwrap();
            }
            asked
        };
        let sending = async {
            let link = CoapLink::connect(&login).await.unwrap();
            let first = link.send("temperature", &Value::from(21.5)).await.unwrap();
            (first, link.send("other", &Value::from("a b")).await.unwrap())
        };
        let (asked, told) = tokio::join!(serving, sending);
        assert_eq!(
            asked,
            [
                ("a1r/bench-1/temperature".into(), "21.5".to_owned()),
                ("a1r/bench-1/other".into(), "a b".into())
            ]
        );
        assert_eq!(told.0, Answer::Acknowledged);
        assert!(matches!(told.1, Answer::Rejected { accepted: 0, .. }), "{told:?}");
    }
}
