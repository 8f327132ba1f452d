//! Many devices sending at once, and what came of it: sent, acknowledged, accepted, rejected, stored, and how long each took.
//!
//! Each device is a task of its own with its own connection and credential. When a message is due is decided before the first is
//! sent, and times count from then: a gateway that is slow for a while makes all messages late that were due meanwhile, not only
//! the one that waited. Messages are SenML packs with the time at which they were due, by which they are found again at the servers. Where
//! somebody else gives them a time, as EdgeX does, they are found by a value that hardly comes twice.

mod accounts;
mod outcome;
mod random;
mod recording;
mod sender;
mod stored;
mod tally;

pub(crate) use accounts::{Account, Accounts};
pub(crate) use outcome::{Latencies, Messages, Outcome, Readings};
pub(crate) use random::Random;
pub(crate) use recording::Recording;
pub(crate) use sender::{Payload, Schedule, Sender, Start};
pub(crate) use stored::{Pending, follow};
pub(crate) use tally::{Latency, Tally};
