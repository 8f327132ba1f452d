//! A device that speaks CoAP (RFC 7252) over DTLS with a pre-shared key (RFC 7252 section 9.1.3.1).

use super::{
    Answer, Login, Message, PATIENCE,
    answer::reason,
    failure::{no_answer, refused_login, too_fast, too_large, unreachable},
    message::Form,
};
use crate::senml::Format;
use coap_lite::{
    CoapOption, CoapRequest, ContentFormat, MessageClass, MessageType, Packet, RequestType, ResponseType,
    option_value::OptionValueU32,
};
use iotorch_core::{Error, ErrorKind, Result, resource::NetAddress};
use std::{fmt, sync::Arc, time::Duration};
use tokio::{
    net::{UdpSocket, lookup_host},
    sync::Mutex,
    time::{Instant, timeout, timeout_at},
};
use webrtc_dtls::{
    Error as DtlsError,
    cipher_suite::CipherSuiteId,
    config::{Config, ExtendedMasterSecretType},
    conn::DTLSConn,
};

/// When a message is sent again that was not answered, at first; doubled each time (ACK_TIMEOUT; RFC 7252 section 4.8).
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(2);

/// The most of a body that goes in one message: the largest block there is (RFC 7959 section 2.2).
const BLOCK: usize = 1024;

/// The largest datagram.
const DATAGRAM: usize = 64 * 1024;

pub(super) struct CoapLink {
    /// One exchange at a time (NSTART; RFC 7252 section 4.7).
    exchange: Mutex<Exchange>,
    path: String,
}

struct Exchange {
    connection: DTLSConn,
    message_id: u16,
}

impl CoapLink {
    pub(super) async fn connect(login: &Login) -> Result<Self> {
        let socket = socket(&login.address).await?;
        let key = login.password.expose().as_bytes().to_vec();
        let config = Config {
            psk: Some(Arc::new(move |_| Ok(key.clone()))),
            psk_identity_hint: Some(identity(login).into_bytes()),
            // What RFC 7252 asks for, and what libraries without CCM have.
            cipher_suites: vec![
                CipherSuiteId::Tls_Psk_With_Aes_128_Ccm_8,
                CipherSuiteId::Tls_Psk_With_Aes_128_Gcm_Sha256,
            ],
            extended_master_secret: ExtendedMasterSecretType::Require,
            ..Config::default()
        };
        let handshake = DTLSConn::new(Arc::new(socket), config, true, None);
        let connection = match timeout(PATIENCE, handshake).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(not_let_in(error)),
            Err(_) => return Err(no_answer()),
        };
        let exchange = Exchange { connection, message_id: rand::random() };
        Ok(Self { exchange: Mutex::new(exchange), path: login.path.clone() })
    }

    pub(super) async fn send(&self, message: &Message) -> Result<Answer> {
        let mut exchange = self.exchange.lock().await;
        let blocks: Vec<&[u8]> = message.payload().chunks(BLOCK).collect();
        let last = blocks.len().saturating_sub(1);
        for (number, block) in blocks.iter().enumerate() {
            let mut request = request(&self.path, message.form(), block);
            if last > 0 {
                request.add_option_as(CoapOption::Block1, block_option(number, number < last)?);
            }
            let response = timeout(PATIENCE, exchange.ask(request)).await.map_err(|_| no_answer())??;
            let class = response.header.code;
            if number == last || class != MessageClass::Response(ResponseType::Continue) {
                return answer(&response);
            }
        }
        Err(Error::new(ErrorKind::Invalid, "the message is empty"))
    }

    pub(super) async fn close(&self) {
        let closed = async { self.exchange.lock().await.connection.close().await };
        // A peer that is gone needs no good-bye.
        let _ = timeout(PATIENCE, closed).await;
    }
}

impl fmt::Debug for CoapLink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CoapLink").field("path", &self.path).finish_non_exhaustive()
    }
}

fn not_let_in(error: DtlsError) -> Error {
    match error {
        DtlsError::Io(_) | DtlsError::Util(_) => unreachable(error),
        _ => refused_login(error),
    }
}

/// Whose key it is, and which of them.
fn identity(login: &Login) -> String {
    match login.generation {
        Some(generation) => format!("{}:{generation}", login.user),
        None => login.user.clone(),
    }
}

async fn socket(address: &NetAddress) -> Result<UdpSocket> {
    let mut found = lookup_host((address.host.as_str(), address.port)).await.map_err(unreachable)?;
    let to = found.next().ok_or_else(|| unreachable("its name has no address"))?;
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await.map_err(unreachable)?;
    socket.connect(to).await.map_err(unreachable)?;
    Ok(socket)
}

/// A block's number, whether more follow, and its size as a power of two less 4 (RFC 7959 section 2.2).
fn block_option(number: usize, more: bool) -> Result<OptionValueU32> {
    const HIGHEST: u32 = (1 << 20) - 1;
    let number = u32::try_from(number).ok().filter(|number| *number <= HIGHEST).ok_or_else(too_large)?;
    Ok(OptionValueU32(number << 4 | u32::from(more) << 3 | (BLOCK.ilog2() - 4)))
}

fn request(path: &str, form: Form, body: &[u8]) -> Packet {
    let mut request: CoapRequest<()> = CoapRequest::new();
    request.set_method(RequestType::Post);
    request.set_path(path);
    let mut packet = request.message;
    packet.set_content_format(match form {
        Form::Text => ContentFormat::TextPlain,
        Form::Json => ContentFormat::ApplicationJSON,
        Form::Senml(Format::Json) => ContentFormat::ApplicationSenmlJSON,
        Form::Senml(Format::Cbor) => ContentFormat::ApplicationSenmlCBOR,
    });
    packet.payload = body.to_vec();
    packet
}

impl Exchange {
    /// Sends a confirmable request until it is answered.
    async fn ask(&mut self, mut request: Packet) -> Result<Packet> {
        self.message_id = self.message_id.wrapping_add(1);
        request.header.message_id = self.message_id;
        request.header.set_type(MessageType::Confirmable);
        request.set_token(self.message_id.to_be_bytes().to_vec());
        let bytes = request.to_bytes().map_err(|_| too_large())?;
        let mut pause = ACKNOWLEDGED_WITHIN;
        loop {
            self.write(&bytes).await?;
            let until = Instant::now() + pause;
            match timeout_at(until, self.response(&request)).await {
                Ok(response) => return response,
                Err(_) => pause *= 2,
            }
        }
    }

    /// The response to a request: in its acknowledgement, or in a message of its own.
    async fn response(&mut self, request: &Packet) -> Result<Packet> {
        let mut datagram = vec![0; DATAGRAM];
        loop {
            let length = self.connection.read(&mut datagram, None).await.map_err(unreachable)?;
            let Ok(packet) = Packet::from_bytes(&datagram[..length]) else { continue };
            let kind = packet.header.get_type();
            if kind == MessageType::Reset && packet.header.message_id == request.header.message_id {
                return Err(unreachable("it knows nothing of the exchange"));
            }
            if kind == MessageType::Confirmable {
                self.acknowledge(&packet).await?;
            }
            let is_response = matches!(packet.header.code, MessageClass::Response(_));
            if is_response && packet.get_token() == request.get_token() {
                return Ok(packet);
            }
        }
    }

    async fn acknowledge(&self, packet: &Packet) -> Result<()> {
        let mut acknowledgement = Packet::new();
        acknowledgement.header.set_type(MessageType::Acknowledgement);
        acknowledgement.header.code = MessageClass::Empty;
        acknowledgement.header.message_id = packet.header.message_id;
        self.write(&acknowledgement.to_bytes().map_err(|_| too_large())?).await
    }

    async fn write(&self, bytes: &[u8]) -> Result<()> {
        self.connection.write(bytes, None).await.map(drop).map_err(unreachable)
    }
}

/// How long the gateway wants to be left alone (RFC 8516 section 3).
fn pause(refusal: &Packet) -> Option<Duration> {
    let OptionValueU32(seconds) = refusal.get_first_option_as(CoapOption::MaxAge)?.ok()?;
    Some(Duration::from_secs(seconds.into()))
}

fn answer(packet: &Packet) -> Result<Answer> {
    let (class, body) = (packet.header.code, packet.payload.as_slice());
    let why = || reason(body).unwrap_or_else(|| class.to_string());
    let MessageClass::Response(response) = class else { return Err(strange(class)) };
    if !response.is_error() {
        return Ok(Answer::of_success(body));
    }
    match response {
        ResponseType::Unauthorized => Err(refused_login(why())),
        ResponseType::Forbidden => Err(Error::new(ErrorKind::Denied, why())),
        ResponseType::RequestEntityTooLarge => Err(too_large()),
        ResponseType::TooManyRequests => Err(too_fast(why(), pause(packet))),
        ResponseType::UnprocessableEntity | ResponseType::BadRequest => Ok(Answer::of_refusal(body, why())),
        ResponseType::InternalServerError | ResponseType::ServiceUnavailable => Err(unreachable(why())),
        _ => Err(strange(class)),
    }
}

fn strange(class: MessageClass) -> Error {
    Error::new(ErrorKind::Unexpected, format!("the gateway answers {class}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_says_which_it_is_and_whether_more_follow() {
        assert_eq!(block_option(0, true).unwrap().0, 0b1110);
        assert_eq!(block_option(17, false).unwrap().0, 17 << 4 | 0b0110);
        assert!(block_option(1 << 20, false).is_err());
    }

    fn response(kind: ResponseType, body: &[u8]) -> Packet {
        let mut packet = Packet::new();
        packet.header.code = MessageClass::Response(kind);
        packet.payload = body.to_vec();
        packet
    }

    #[test]
    fn what_a_gateway_answers_is_told_apart() {
        assert_eq!(answer(&response(ResponseType::Changed, b"")).unwrap(), Answer::Accepted);
        let none = br#"{"accepted":0,"rejected":["no resource \"x\""]}"#;
        let rejected = Answer::Rejected { accepted: 0, rejected: vec!["no resource \"x\"".into()] };
        assert_eq!(answer(&response(ResponseType::UnprocessableEntity, none)).unwrap(), rejected);
        let kinds = [
            (ResponseType::Unauthorized, ErrorKind::Denied),
            (ResponseType::Forbidden, ErrorKind::Denied),
            (ResponseType::RequestEntityTooLarge, ErrorKind::Invalid),
            (ResponseType::TooManyRequests, ErrorKind::RateLimited),
            (ResponseType::ServiceUnavailable, ErrorKind::Unavailable),
            (ResponseType::NotFound, ErrorKind::Unexpected),
        ];
        for (kind, error) in kinds {
            assert_eq!(answer(&response(kind, b"")).unwrap_err().kind(), error, "{kind:?}");
        }
    }
}
