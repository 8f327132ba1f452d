//! Messages of CoAP (RFC 7252 section 3): what a datagram is, what a request asks, and how it is answered.

use super::block::Block;
use crate::api::{Failure, FailureDetail, FailureKind};
use coap_lite::{CoapOption, MessageClass, MessageType, Packet, RequestType, ResponseType};
use serde::Serialize;

pub(super) const TEXT: u16 = 0;
pub(super) const LINKS: u16 = 40;
pub(super) const JSON: u16 = 50;
pub(super) const SENML_JSON: u16 = 110;
pub(super) const SENML_CBOR: u16 = 112;

/// A datagram of a client.
#[derive(Debug, PartialEq)]
pub(super) enum Received {
    Request(Packet),
    /// The client has received the message with this number.
    Acknowledged(u16),
    /// The client does not want the message with this number.
    Reset(u16),
    /// A message that has to be rejected with a reset.
    Rejected(u16),
    /// A message that is rejected by ignoring it.
    Ignored,
}

/// Reads a datagram (RFC 7252 sections 4.2 and 4.3).
pub(super) fn read(datagram: &[u8]) -> Received {
    let Some(&[first, code, high, low]) = datagram.first_chunk() else { return Received::Ignored };
    let number = u16::from_be_bytes([high, low]);
    let confirmable = match first >> 4 {
        0b01_00 => true,
        0b01_01 => false,
        0b01_10 => return Received::Acknowledged(number),
        0b01_11 => return Received::Reset(number),
        // Another version must be ignored.
        _ => return Received::Ignored,
    };
    let is_request = matches!(MessageClass::from(code), MessageClass::Request(_)) || (1..32).contains(&code);
    match Packet::from_bytes(datagram) {
        // A marker without a payload is a format error that only shows when the packet is written again.
        Ok(packet) if is_request && packet.to_bytes_unlimited().is_ok_and(|bytes| bytes == datagram) => {
            Received::Request(packet)
        }
        _ if confirmable => Received::Rejected(number),
        _ => Received::Ignored,
    }
}

/// A message without content: an acknowledgement or a reset.
pub(super) fn empty(kind: MessageType, number: u16) -> Vec<u8> {
    let mut packet = Packet::new();
    packet.header.set_type(kind);
    packet.header.code = MessageClass::Empty;
    packet.header.message_id = number;
    packet.to_bytes_unlimited().unwrap_or_default()
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    pub(super) method: RequestType,
    /// The segments of the path with slashes between them: a topic.
    pub(super) path: String,
    pub(super) token: Vec<u8>,
    pub(super) format: Option<u16>,
    pub(super) accept: Option<u16>,
    pub(super) observe: Option<u32>,
    pub(super) block1: Option<Block>,
    pub(super) block2: Option<Block>,
    pub(super) size1: Option<u32>,
    pub(super) payload: Vec<u8>,
}

impl Request {
    /// A plain request for a path.
    pub(super) const fn get(path: String) -> Self {
        Self {
            method: RequestType::Get,
            path,
            token: Vec::new(),
            format: None,
            accept: None,
            observe: None,
            block1: None,
            block2: None,
            size1: None,
            payload: Vec::new(),
        }
    }

    /// Takes up the options of a request, or says what is wrong with them.
    pub(super) fn new(packet: Packet) -> Result<Self, Answer> {
        use ResponseType::{BadOption, MethodNotAllowed, ProxyingNotSupported};
        let MessageClass::Request(method) = packet.header.code else {
            return Err(Answer::failure(MethodNotAllowed, "there is no such method"));
        };
        for (number, values) in packet.options() {
            let option = CoapOption::from(*number);
            if matches!(option, CoapOption::ProxyUri | CoapOption::ProxyScheme) {
                return Err(Answer::failure(ProxyingNotSupported, "this is not a proxy"));
            }
            // Odd numbers are critical (RFC 7252 section 5.4.6).
            if number % 2 == 1 && !values.iter().all(|value| understood(option, values.len(), value)) {
                return Err(Answer::failure(BadOption, &format!("option {number} is not understood")));
            }
        }
        let number = |option| packet.get_first_option(option).and_then(|value| uint(value));
        let small = |option| number(option).and_then(|number| u16::try_from(number).ok());
        let block = |option| packet.get_first_option(option).and_then(|value| Block::read(value));
        Ok(Self {
            method,
            path: path(&packet)?,
            token: packet.get_token().to_vec(),
            format: small(CoapOption::ContentFormat),
            accept: small(CoapOption::Accept),
            observe: number(CoapOption::Observe),
            block1: block(CoapOption::Block1),
            block2: block(CoapOption::Block2),
            size1: number(CoapOption::Size1),
            payload: packet.payload,
        })
    }
}

fn path(packet: &Packet) -> Result<String, Answer> {
    let mut path = String::new();
    for (place, segment) in packet.get_option(CoapOption::UriPath).into_iter().flatten().enumerate() {
        let segment = std::str::from_utf8(segment).ok().filter(|segment| !segment.contains('/'));
        let Some(segment) = segment else {
            return Err(Answer::failure(ResponseType::BadRequest, "the path is not one of names"));
        };
        if place > 0 {
            path.push('/');
        }
        path.push_str(segment);
    }
    Ok(path)
}

/// Whether a critical option is known, of a length that it may have, and not given too often.
fn understood(option: CoapOption, times: usize, value: &[u8]) -> bool {
    match option {
        CoapOption::UriPath | CoapOption::UriQuery => value.len() <= 255,
        CoapOption::UriHost => times == 1 && (1..=255).contains(&value.len()),
        CoapOption::UriPort | CoapOption::Accept => times == 1 && value.len() <= 2,
        CoapOption::Block1 | CoapOption::Block2 => times == 1 && Block::read(value).is_some(),
        _ => false,
    }
}

/// An unsigned integer as options hold it (RFC 7252 section 3.2).
fn uint(value: &[u8]) -> Option<u32> {
    (value.len() <= 4).then(|| value.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

/// The bytes of an option that is an unsigned integer: as few as hold it.
pub(super) fn uint_bytes(number: u32) -> Vec<u8> {
    number.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect()
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) code: ResponseType,
    pub(super) content: Option<Content>,
    pub(super) max_age: Option<u32>,
    pub(super) observe: Option<u32>,
    pub(super) block1: Option<Block>,
    pub(super) block2: Option<Block>,
    pub(super) size1: Option<u32>,
    pub(super) size2: Option<u32>,
    pub(super) etag: Option<[u8; 8]>,
}

/// A payload and its format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) format: u16,
    pub(super) body: Vec<u8>,
}

impl Content {
    pub(super) fn json(value: &impl Serialize) -> Self {
        // Only maps with keys that are not strings cannot be written, and no answer has one.
        Self { format: JSON, body: serde_json::to_vec(value).unwrap_or_default() }
    }
}

impl From<ResponseType> for Answer {
    fn from(code: ResponseType) -> Self {
        Self {
            code,
            content: None,
            max_age: None,
            observe: None,
            block1: None,
            block2: None,
            size1: None,
            size2: None,
            etag: None,
        }
    }
}

impl Answer {
    pub(super) fn with(code: ResponseType, content: Content) -> Self {
        Self { content: Some(content), ..code.into() }
    }

    /// An error, in the shape that the management API gives it.
    pub(super) fn failure(code: ResponseType, message: &str) -> Self {
        let kind = match code {
            ResponseType::Forbidden => FailureKind::Forbidden,
            ResponseType::NotFound => FailureKind::NotFound,
            ResponseType::InternalServerError | ResponseType::ServiceUnavailable => FailureKind::Internal,
            ResponseType::TooManyRequests => FailureKind::Limited,
            _ => FailureKind::Invalid,
        };
        let error = FailureDetail { kind, message: message.to_owned(), owner: None };
        Self::with(code, Content::json(&Failure { error }))
    }

    /// The datagram of this answer.
    pub(super) fn write(&self, kind: MessageType, number: u16, token: &[u8]) -> Vec<u8> {
        let mut packet = Packet::new();
        packet.header.set_type(kind);
        packet.header.code = MessageClass::Response(self.code);
        packet.header.message_id = number;
        packet.set_token(token.to_vec());
        let numbers = [
            (CoapOption::Observe, self.observe),
            (CoapOption::ContentFormat, self.content.as_ref().map(|content| content.format.into())),
            (CoapOption::MaxAge, self.max_age),
            (CoapOption::Block2, self.block2.map(Block::encoded)),
            (CoapOption::Block1, self.block1.map(Block::encoded)),
            (CoapOption::Size2, self.size2),
            (CoapOption::Size1, self.size1),
        ];
        for (option, number) in numbers {
            if let Some(number) = number {
                packet.add_option(option, uint_bytes(number));
            }
        }
        if let Some(etag) = self.etag {
            packet.add_option(CoapOption::ETag, etag.to_vec());
        }
        packet.payload = self.content.as_ref().map(|content| content.body.clone()).unwrap_or_default();
        packet.to_bytes_unlimited().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::tests::request;

    #[test]
    fn a_message_with_a_format_error_is_rejected_if_it_is_confirmable() {
        let marker_without_payload = [0x40, 2, 0, 9, 0xff];
        let token_too_long = [0x49, 2, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        let option_cut_off = [0x40, 2, 0, 9, 0xb5, b'a'];
        let reserved_delta = [0x40, 2, 0, 9, 0xf0];
        let empty_with_token = [0x41, 0, 0, 9, 1];
        let ping = [0x40, 0, 0, 9];
        let response = [0x40, 0x45, 0, 9];
        let reserved_class = [0x40, 0x21, 0, 9];
        for datagram in [
            &marker_without_payload[..],
            &token_too_long,
            &option_cut_off,
            &reserved_delta,
            &empty_with_token,
            &ping,
            &response,
            &reserved_class,
        ] {
            assert_eq!(read(datagram), Received::Rejected(9), "{datagram:?}");
            let not_confirmable = [&[datagram[0] | 0x10], &datagram[1..]].concat();
            assert_eq!(read(&not_confirmable), Received::Ignored, "{datagram:?}");
        }
    }

    #[test]
    fn what_is_too_short_or_of_another_version_is_ignored_and_settlements_are_told_apart() {
        for datagram in [&b""[..], &[0x40, 2, 0], &[0x80, 2, 0, 9], &[0, 2, 0, 9]] {
            assert_eq!(read(datagram), Received::Ignored, "{datagram:?}");
        }
        assert_eq!(read(&[0x60, 0, 1, 2]), Received::Acknowledged(0x102));
        assert_eq!(read(&[0x70, 0, 1, 2]), Received::Reset(0x102));
        assert_eq!(empty(MessageType::Reset, 0x102), [0x70, 0, 1, 2]);
    }

    fn taken_up(datagram: &[u8]) -> Result<Request, ResponseType> {
        let Received::Request(packet) = read(datagram) else { panic!("{datagram:?} is no request") };
        Request::new(packet).map_err(|answer| answer.code)
    }

    #[test]
    fn options_that_a_client_may_leave_out_are_ignored_and_critical_ones_are_not() {
        let get = || request(RequestType::Get, "devices/d1/commands", 1);
        let elective = get().option(CoapOption::Unknown(2000), 1).option(CoapOption::Accept, 50);
        let known = taken_up(&elective.bytes()).unwrap();
        assert_eq!((known.path.as_str(), known.accept), ("devices/d1/commands", Some(50)));
        for (option, refused) in [
            (CoapOption::Unknown(2001), ResponseType::BadOption),
            (CoapOption::IfMatch, ResponseType::BadOption),
            (CoapOption::Oscore, ResponseType::BadOption),
            (CoapOption::ProxyUri, ResponseType::ProxyingNotSupported),
        ] {
            assert_eq!(taken_up(&get().option(option, 1).bytes()), Err(refused), "{option:?}");
        }
        let twice = get().option(CoapOption::Accept, 50).option(CoapOption::Accept, 50);
        assert_eq!(taken_up(&twice.bytes()), Err(ResponseType::BadOption));
        let reserved_size = get().option(CoapOption::Block2, 7);
        assert_eq!(taken_up(&reserved_size.bytes()), Err(ResponseType::BadOption));
    }

    #[test]
    fn a_path_consists_of_names() {
        let slash_in_name = [0x40, 1, 0, 1, 0xb3, b'a', b'/', b'b'];
        let not_text = [0x40, 1, 0, 1, 0xb1, 0xff];
        for datagram in [&slash_in_name[..], &not_text] {
            assert_eq!(taken_up(datagram), Err(ResponseType::BadRequest));
        }
    }

    #[test]
    fn numbers_in_options_are_as_short_as_they_can_be() {
        for number in [0, 1, 255, 256, 0x12_3456, u32::MAX] {
            assert_eq!(uint(&uint_bytes(number)), Some(number));
        }
        assert_eq!(uint_bytes(0), Vec::<u8>::new());
        assert_eq!(uint(&[1; 5]), None);
    }
}
