//! MQTT as SuperMQ and Magistrala let clients use it.

use jiff::SignedDuration;

use crate::{
    Dependency, Release, Service,
    dialect::{Admission, Purpose, Route},
    state::{Known, Thing},
    world::World,
};

/// How long the MQTT adapter of SuperMQ believes a secret that was right once.
const BELIEVED: SignedDuration = SignedDuration::from_mins(10);

/// How many failures in a row Magistrala allows.
const FAILURES: u32 = 5;

/// How long it refuses everyone after them.
const REFUSING: SignedDuration = SignedDuration::from_secs(10);

/// Whether a client is let in.
pub(crate) fn admit(world: &mut World, client: &str, user: &str, password: &str) -> Admission {
    if world.release == Release::Magistrala030 {
        let known = |world: &World| {
            let client = world.state.things.get(user).filter(|it| it.is_enabled && it.key == password);
            client.map(|client| client.id.clone())
        };
        return authenticate(world, known).map_or(Admission::Refused, Admission::As);
    }
    if client.is_empty() {
        return Admission::Refused;
    }
    if !world.has(Dependency::Nats) {
        return Admission::Unanswered;
    }
    let name = format!("{user}:{password}");
    let now = world.now();
    let believed = world.state.cache.things.get(&name);
    if !world.has(Service::Clients) {
        return Admission::Refused;
    }
    if let Some(known) = believed.filter(|known| known.until.is_none_or(|until| now < until)) {
        return Admission::As(known.thing.clone());
    }
    let is_right = |client: &&Thing| client.is_enabled && client.key == password;
    let Some(id) = world.state.things.get(user).filter(is_right).map(|client| client.id.clone()) else {
        return Admission::Refused;
    };
    let until = now.checked_add(BELIEVED).ok();
    world.state.cache.things.insert(name, Known { thing: id.clone(), until });
    Admission::As(id)
}

/// Asks who someone is, as Magistrala does: after five failures in a row everyone is refused for ten seconds.
pub(super) fn authenticate(
    world: &mut World,
    known: impl FnOnce(&World) -> Option<String>,
) -> Option<String> {
    let now = world.now();
    if world.breaker.open_until.is_some_and(|until| now < until) {
        return None;
    }
    world.breaker.open_until = None;
    let known = known(world).filter(|_| world.has(Service::Clients));
    if known.is_some() {
        world.breaker.failures = 0;
        return known;
    }
    world.breaker.failures += 1;
    if world.breaker.failures >= FAILURES {
        world.breaker.failures = 0;
        world.breaker.open_until = now.checked_add(REFUSING).ok();
    }
    None
}

/// What a topic or filter is about, if the client may use it so.
pub(crate) fn permit(world: &mut World, client: &str, topic: &str, purpose: Purpose) -> Option<Route> {
    let topic = topic.strip_prefix('/').unwrap_or(topic);
    if let Some(domain) = topic.strip_prefix("hc/") {
        return (find_domain(world, domain).is_some() && purpose == Purpose::Publish)
            .then_some(Route::Health);
    }
    let (domain, channel, subtopic) = split(topic)?;
    let domain = find_domain(world, domain)?;
    let channel = find_channel(world, &domain, channel)?;
    if purpose == Purpose::Publish && subtopic.contains(['#', '+']) {
        return None;
    }
    if !may(world, &channel, client, purpose) {
        return None;
    }
    Some(Route::Messages {
        topic: full(&domain, &channel, subtopic),
        subtopic: subtopic.to_owned(),
        domain,
        channel,
    })
}

/// Domain, channel and subtopic of `m/DOMAIN/c/CHANNEL/SUBTOPIC`.
pub(super) fn split(topic: &str) -> Option<(&str, &str, &str)> {
    let mut parts = topic.splitn(5, '/');
    let ("m", domain, "c", channel) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?) else {
        return None;
    };
    if domain.is_empty() || channel.is_empty() {
        return None;
    }
    Some((domain, channel, parts.next().unwrap_or_default().trim_matches('/')))
}

/// A topic with identities instead of routes.
pub(super) fn full(domain: &str, channel: &str, subtopic: &str) -> String {
    let topic = format!("m/{domain}/c/{channel}");
    if subtopic.is_empty() { topic } else { format!("{topic}/{subtopic}") }
}

/// The domain with this identity or route.
pub(super) fn find_domain(world: &World, name: &str) -> Option<String> {
    let mut domains = world.state.domains.values();
    domains.find(|domain| domain.id == name || domain.route == name).map(|domain| domain.id.clone())
}

/// The channel of a domain with this identity or route.
pub(super) fn find_channel(world: &World, domain: &str, name: &str) -> Option<String> {
    let mut channels = world.state.channels.values().filter(|channel| channel.domain == domain);
    channels.find(|channel| channel.id == name || channel.route == name).map(|channel| channel.id.clone())
}

/// Whether a client may do this on a channel.
pub(super) fn may(world: &World, channel: &str, client: &str, purpose: Purpose) -> bool {
    let state = &world.state;
    let is_enabled = state.things.get(client).is_some_and(|client| client.is_enabled)
        && state.channels.get(channel).is_some_and(|channel| {
            channel.is_enabled && state.domains.get(&channel.domain).is_some_and(|domain| domain.is_enabled)
        });
    let connection = state.connection(channel, client);
    is_enabled
        && connection.is_some_and(|it| match purpose {
            Purpose::Publish => it.publish,
            Purpose::Subscribe => it.subscribe,
        })
}
