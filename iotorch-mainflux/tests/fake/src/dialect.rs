//! What the releases have in common, each in its own way.

use crate::{
    ask::{Answer, Ask},
    mainflux, supermq,
    world::World,
};

/// Whether a client of MQTT is let in.
#[derive(Debug, PartialEq)]
pub(crate) enum Admission {
    /// It is this thing.
    As(String),
    /// The connection is closed without a word.
    Refused,
    /// Nothing is said, and the connection stays.
    Unanswered,
}

/// What a topic is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Publish,
    Subscribe,
}

/// What a topic is about.
#[derive(Debug, PartialEq)]
pub(crate) enum Route {
    /// Messages of a channel; the topic is as the broker has it.
    Messages { topic: String, domain: String, channel: String, subtopic: String },
    /// The health of the adapter.
    Health,
}

/// What a service answers over HTTP.
pub(crate) fn answer(world: &mut World, ask: &Ask) -> Answer {
    if world.release.is_mainflux() { mainflux::answer(world, ask) } else { supermq::answer(world, ask) }
}

/// Whether a client is let in.
pub(crate) fn admit(world: &mut World, client: &str, user: &str, password: &str) -> Admission {
    if !world.release.is_mainflux() {
        return supermq::admit(world, client, user, password);
    }
    match mainflux::identify(world, password) {
        Some(thing) if thing == user => Admission::As(thing),
        _ => Admission::Refused,
    }
}

/// What a topic or filter is about, if the thing may use it.
pub(crate) fn permit(world: &mut World, thing: &str, topic: &str, purpose: Purpose) -> Option<Route> {
    if !world.release.is_mainflux() {
        return supermq::permit(world, thing, topic, purpose);
    }
    let (channel, subtopic) = mainflux::route(topic)?;
    mainflux::may_use(world, &channel, thing).then(|| Route::Messages {
        topic: topic.to_owned(),
        domain: String::new(),
        channel,
        subtopic,
    })
}

/// Whether a refused subscription is told, instead of ending the connection.
pub(crate) fn says_no(world: &World) -> bool {
    world.release == crate::Release::Magistrala030
}
