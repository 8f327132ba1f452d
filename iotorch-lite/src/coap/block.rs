//! Bodies that are larger than a datagram should be, block by block (RFC 7959).

use super::message::{Answer, Content, Request};
use coap_lite::{RequestType, ResponseType};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::time::Instant;

/// The largest block, and what is sent where the client does not ask for less.
const LARGEST: u8 = 6;

/// How long the rest of a body is waited for, and the rest of an answer is kept: EXCHANGE_LIFETIME (RFC 7252 section
/// 4.8.2).
const PATIENCE: Duration = Duration::from_secs(247);

/// The value of an option Block1 or Block2 (RFC 7959 section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) number: u32,
    pub(super) more: bool,
    /// The size is 2 to the power of this and 4.
    exponent: u8,
}

impl Block {
    /// Reads a value; `None` if it is too long or its size is reserved.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let encoded = value.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        let exponent = (encoded & 7) as u8;
        (value.len() <= 3 && exponent <= LARGEST).then_some(Self {
            number: encoded >> 4,
            more: encoded & 8 != 0,
            exponent,
        })
    }

    pub(super) const fn encoded(self) -> u32 {
        self.number << 4 | (self.more as u32) << 3 | self.exponent as u32
    }

    pub(super) const fn size(self) -> usize {
        16 << self.exponent
    }

    const fn offset(self) -> usize {
        self.number as usize * self.size()
    }
}

impl Default for Block {
    fn default() -> Self {
        Self { number: 0, more: false, exponent: LARGEST }
    }
}

/// What is under way between a client and its resources: at most one body in each direction, as clients send and fetch
/// one at a time. Whoever begins another gives up the one before.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    upload: Option<Upload>,
    rest: Option<Rest>,
}

/// A body that has come in part.
#[derive(Debug)]
struct Upload {
    method: RequestType,
    path: String,
    format: Option<u16>,
    body: Vec<u8>,
    until: Instant,
}

/// An answer that has been fetched in part.
#[derive(Debug)]
struct Rest {
    method: RequestType,
    path: String,
    answer: Answer,
    until: Instant,
}

/// What to do with a request that may be a part of one.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    /// The request with its whole body.
    Whole(Request),
    /// A part was taken, or refused: this is to be said.
    Said(Box<Answer>),
}

impl Transfers {
    /// Puts the body of a request together. `limit` is the largest one, in bytes.
    pub(super) fn collect(&mut self, mut request: Request, limit: usize, now: Instant) -> Part {
        let Some(block) = request.block1 else {
            return if request.payload.len() > limit { too_large(limit) } else { Part::Whole(request) };
        };
        let announced = request.size1.is_some_and(|size| size as usize > limit);
        if announced || block.offset() + request.payload.len() > limit {
            self.upload = None;
            return too_large(limit);
        }
        if block.more && request.payload.len() != block.size() || request.payload.len() > block.size() {
            return said(Answer::failure(ResponseType::BadRequest, "the block is not as long as it says"));
        }
        if block.number == 0 {
            self.upload = Some(Upload::of(&request, now));
        }
        let Some(mut upload) = self.upload.take().filter(|upload| upload.continues_with(&request, block))
        else {
            return said(Answer::failure(
                ResponseType::RequestEntityIncomplete,
                "a block before this one is missing",
            ));
        };
        upload.body.extend_from_slice(&request.payload);
        upload.until = now + PATIENCE;
        if block.more {
            self.upload = Some(upload);
            return said(Answer { block1: Some(block), ..ResponseType::Continue.into() });
        }
        request.payload = upload.body;
        Part::Whole(request)
    }

    /// Whether a request asks for more of an answer that was given before, and that part of it.
    pub(super) fn more(&mut self, request: &Request) -> Option<Answer> {
        let wanted = request.block2.filter(|block| block.number > 0)?;
        let rest =
            self.rest.as_ref().filter(|rest| rest.method == request.method && rest.path == request.path);
        match rest {
            Some(rest) => {
                let part = part(rest.answer.clone(), wanted);
                if !part.block2.is_some_and(|block| block.more) {
                    self.rest = None;
                }
                Some(part)
            }
            // What can be read is read again.
            None if request.method == RequestType::Get => None,
            None => Some(Answer::failure(ResponseType::RequestEntityIncomplete, "this answer is gone")),
        }
    }

    /// The part of an answer that a client asked for, or its first; the rest is kept.
    pub(super) fn divide(&mut self, request: &Request, answer: Answer, now: Instant) -> Answer {
        let wanted = request.block2.unwrap_or_default();
        let part = part(answer.clone(), wanted);
        if part.block2.is_some_and(|block| block.more) {
            let (method, path) = (request.method, request.path.clone());
            self.rest = Some(Rest { method, path, answer, until: now + PATIENCE });
        }
        part
    }

    /// When the next of these is given up.
    pub(super) fn until(&self) -> Option<Instant> {
        let upload = self.upload.as_ref().map(|upload| upload.until);
        upload.into_iter().chain(self.rest.as_ref().map(|rest| rest.until)).min()
    }

    /// Gives up what has taken too long.
    pub(super) fn expire(&mut self, now: Instant) {
        self.upload.take_if(|upload| upload.until <= now);
        self.rest.take_if(|rest| rest.until <= now);
    }

    /// The bytes of all bodies and paths.
    #[cfg(fuzzing)]
    pub(super) fn held(&self) -> usize {
        let upload = self.upload.as_ref().map_or(0, |upload| upload.body.len() + upload.path.len());
        let body = |rest: &Rest| rest.answer.content.as_ref().map_or(0, |content| content.body.len());
        upload + self.rest.as_ref().map_or(0, |rest| body(rest) + rest.path.len())
    }
}

impl Upload {
    fn of(request: &Request, now: Instant) -> Self {
        let Request { method, path, format, .. } = request;
        Self { method: *method, path: path.clone(), format: *format, body: Vec::new(), until: now + PATIENCE }
    }

    fn continues_with(&self, request: &Request, block: Block) -> bool {
        (self.method, &self.path, self.format) == (request.method, &request.path, request.format)
            && self.body.len() == block.offset()
    }
}

fn said(answer: Answer) -> Part {
    Part::Said(Box::new(answer))
}

fn too_large(limit: usize) -> Part {
    let message = format!("the largest message has {limit} bytes");
    let size1 = u32::try_from(limit).ok();
    said(Answer { size1, ..Answer::failure(ResponseType::RequestEntityTooLarge, &message) })
}

/// One block of an answer, or the whole of it if it is no longer than a block.
fn part(mut answer: Answer, wanted: Block) -> Answer {
    let Some(Content { format, body }) = answer.content.take() else { return answer };
    let (from, size) = (wanted.offset(), wanted.size());
    if from > 0 && from >= body.len() {
        return Answer::failure(ResponseType::BadRequest, "there is no such block");
    }
    let to = body.len().min(from + size);
    if body.len() > size {
        answer.block2 = Some(Block { more: to < body.len(), ..wanted });
        answer.size2 = u32::try_from(body.len()).ok();
        // Blocks of one body have one tag, so a client notices when it is another body.
        answer.etag = Sha256::digest(&body).first_chunk().copied();
    }
    answer.content = Some(Content { format, body: body[from..to].to_vec() });
    answer
}
