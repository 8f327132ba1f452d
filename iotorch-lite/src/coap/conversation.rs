//! What is said in a session: each datagram of the client and each change of its commands, and what follows from it.
//!
//! It does no input or output of its own and takes the time as Tokio has it.

use super::{
    block::{Part, Transfers},
    memory::Memory,
    message::{self, Answer, Received, Request},
    observation::{Observation, Overdue},
    resources::Resources,
};
use crate::{access::Access, clock};
use coap_lite::{MessageType, Packet, RequestType, ResponseType};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How far ahead a change by time is looked for. It keeps sums of times in range.
const AHEAD: Duration = Duration::from_secs(3600);

pub(super) struct Conversation {
    resources: Resources,
    /// The largest body, in bytes.
    limit: usize,
    memory: Memory,
    transfers: Transfers,
    observation: Option<Observation>,
    /// When a command expires that the client was told of.
    expiry: Option<Instant>,
    /// The number of the next message that does not answer a confirmable one.
    number: u16,
}

impl Conversation {
    pub(super) fn new(access: Arc<dyn Access>, user: String, limit: usize) -> Self {
        Self {
            resources: Resources::new(access, user),
            limit,
            memory: Memory::default(),
            transfers: Transfers::default(),
            observation: None,
            expiry: None,
            number: rand::random(),
        }
    }

    pub(super) const fn is_observing(&self) -> bool {
        self.observation.is_some()
    }

    /// Whether the client has to acknowledge a notification.
    pub(super) fn is_asking(&self) -> bool {
        self.observation.as_ref().is_some_and(Observation::is_outstanding)
    }

    /// Takes a datagram and gives the one to send for it, if any.
    pub(super) async fn receive(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        match message::read(datagram) {
            Received::Request(packet) => self.request(packet).await,
            Received::Acknowledged(number) => {
                let settled =
                    self.observation.as_mut().is_some_and(|observation| observation.acknowledged(number));
                if settled { self.changed() } else { None }
            }
            Received::Reset(number) => {
                // The client does not know what it is told of (RFC 7641 section 3.6).
                self.observation.take_if(|observation| observation.acknowledged(number));
                None
            }
            Received::Rejected(number) => Some(message::empty(MessageType::Reset, number)),
            Received::Ignored => None,
        }
    }

    /// Tells the client of its commands if they are not what it was told last.
    pub(super) fn changed(&mut self) -> Option<Vec<u8>> {
        if self.is_asking() { None } else { self.notify(false) }
    }

    /// Asks a client that has been silent whether it still is there; `None` if there is nothing to ask by.
    pub(super) fn ask(&mut self) -> Option<Vec<u8>> {
        self.notify(true)
    }

    /// When [`Conversation::tick`] is to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        let observation = self.observation.as_ref();
        let resend = observation.and_then(Observation::due);
        let expiry =
            self.expiry.filter(|_| observation.is_some_and(|observation| !observation.is_outstanding()));
        [resend, expiry, self.transfers.until()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self) -> Option<Vec<u8>> {
        let now = Instant::now();
        self.transfers.expire(now);
        match self.observation.as_mut().map_or(Overdue::No, |observation| observation.overdue(now)) {
            Overdue::No => self.changed(),
            // What is sent again is the newest (RFC 7641 section 4.5.2).
            Overdue::Again(datagram) => self.notify(false).or(Some(datagram)),
            Overdue::GivenUp => {
                self.observation = None;
                None
            }
        }
    }

    async fn request(&mut self, packet: Packet) -> Option<Vec<u8>> {
        let number = packet.header.message_id;
        if let Some(answer) = self.memory.recall(number, Instant::now()) {
            return answer;
        }
        let confirmable = packet.header.get_type() == MessageType::Confirmable;
        let token = packet.get_token().to_vec();
        let answer = match Request::new(packet) {
            Ok(request) => self.answer(request).await,
            // What would be a bad option is rejected where nobody waits for an answer (RFC 7252 section 5.4.1).
            Err(answer) if confirmable || answer.code != ResponseType::BadOption => answer,
            Err(_) => return None,
        };
        let now = Instant::now();
        if confirmable {
            let datagram = answer.write(MessageType::Acknowledgement, number, &token);
            self.memory.remember(number, Some(datagram.clone()), now);
            Some(datagram)
        } else {
            self.memory.remember(number, None, now);
            let number = self.next_number();
            Some(answer.write(MessageType::NonConfirmable, number, &token))
        }
    }

    async fn answer(&mut self, request: Request) -> Answer {
        if let Err(answer) = self.resources.check(&request) {
            return answer;
        }
        if let Some(answer) = self.transfers.more(&request) {
            return answer;
        }
        let block1 = request.block1;
        let request = match self.transfers.collect(request, self.limit, Instant::now()) {
            Part::Whole(request) => request,
            Part::Said(answer) => {
                if answer.code == ResponseType::RequestEntityTooLarge {
                    self.resources.refused("its message is too big");
                }
                return *answer;
            }
        };
        let mut answer = self.resources.answer(&request).await;
        if request.method == RequestType::Get {
            self.observe(&request, &mut answer);
        }
        Answer { block1, ..self.transfers.divide(&request, answer, Instant::now()) }
    }

    /// Takes up or ends an observation. A client has one for a path at most, and there is one path to observe, so
    /// another takes the place of the one before.
    fn observe(&mut self, request: &Request, answer: &mut Answer) {
        let first = request.block2.is_none_or(|block| block.number == 0);
        match request.observe {
            Some(0) if first && answer.code == ResponseType::Content => {
                // Other resources cannot be observed, and are answered as if they had not been asked for it.
                let Ok((content, expires)) = self.resources.commands(&request.path) else { return };
                let observation =
                    Observation::new(request.token.clone(), request.path.clone(), content.clone());
                answer.content = Some(content);
                answer.observe = Some(observation.sequence());
                self.observation = Some(observation);
                self.expiry = expires.map(instant);
            }
            Some(1) => drop(self.observation.take_if(|observation| observation.token == request.token)),
            _ => {}
        }
    }

    /// The notification of what has changed, or of what is there in any case.
    fn notify(&mut self, in_any_case: bool) -> Option<Vec<u8>> {
        let observation = self.observation.as_mut()?;
        let (content, expires) = match self.resources.commands(&observation.path) {
            Ok(commands) => commands,
            Err(answer) => return Some(self.end_observation(&answer)),
        };
        self.expiry = expires.map(instant);
        if observation.knows(&content) && !in_any_case {
            return None;
        }
        let observe = Some(observation.next(content.clone()));
        let (token, path) = (observation.token.clone(), observation.path.clone());
        let answer = Answer { observe, ..Answer::with(ResponseType::Content, content) };
        let answer = self.transfers.divide(&Request::get(path), answer, Instant::now());
        let number = self.next_number();
        let datagram = answer.write(MessageType::Confirmable, number, &token);
        if let Some(observation) = &mut self.observation {
            observation.sent(number, datagram.clone(), Instant::now());
        }
        Some(datagram)
    }

    /// A client whose commands cannot be read any more is told why, and nothing after it (RFC 7641 section 4.2).
    fn end_observation(&mut self, answer: &Answer) -> Vec<u8> {
        let token = self.observation.take().map(|observation| observation.token).unwrap_or_default();
        let number = self.next_number();
        answer.write(MessageType::NonConfirmable, number, &token)
    }

    /// The bytes that are kept of what was said.
    #[cfg(fuzzing)]
    pub(super) fn held(&self) -> usize {
        let told = self.observation.as_ref().map_or(0, Observation::held);
        self.memory.held() + self.transfers.held() + told
    }

    fn next_number(&mut self) -> u16 {
        self.number = self.number.wrapping_add(1);
        self.number
    }
}

/// When it is this time, in seconds since the Unix epoch.
fn instant(time: f64) -> Instant {
    let ahead = Duration::try_from_secs_f64((time - clock::now()).max(0.0)).unwrap_or(AHEAD);
    Instant::now() + ahead.min(AHEAD)
}
