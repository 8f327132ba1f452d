//! Messages to SuperMQ and Magistrala by HTTP.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::Method;
use serde_json::json;

use super::{refused, topics};
use crate::{
    Dependency, Release, Service,
    ask::{Answer, Ask, TEXT},
    bus::Published,
    dialect::Purpose,
    world::World,
};

/// What the adapter says to whoever may not publish, and why never matters.
const REFUSED: &str = "failed to perform authorization over the entity : failed to perform authentication over the entity : \
                       entity not found : failed to perform authorization over the entity";

/// Who publishes.
enum Who<'a> {
    /// The client with this secret.
    Secret(&'a str),
    /// The client with this identity and secret.
    Client(String, String),
    /// The user with this token.
    User(&'a str),
}

pub(super) fn answer(world: &mut World, ask: &Ask) -> Answer {
    let answered = match world.release {
        Release::Magistrala030 => publish_to_magistrala(world, ask),
        _ => publish(world, ask),
    };
    answered.unwrap_or_else(|refusal| refusal)
}

/// A refusal that is not said to be JSON.
fn refused_as_text(status: u16, why: &str) -> Answer {
    Answer::text(status, TEXT, json!({ "message": why }).to_string())
}

fn publish(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    if ask.method != Method::POST {
        return Err(Answer::bare(405));
    }
    let kind = ask.content_type.as_deref().unwrap_or_default();
    if !["application/json", "application/senml+json", "application/senml+cbor"].contains(&kind) {
        return Err(refused(415, "unsupported content type"));
    }
    if ask.body.is_empty() {
        return Err(refused(400, "empty message"));
    }
    let Some(who) = who(ask) else {
        let why = "missing or invalid bearer entity key : something went wrong with the request";
        return Err(refused_as_text(400, why));
    };
    if let Some(domain) = ask.path.strip_prefix("hc/") {
        let is_there = topics::find_domain(world, domain).is_some();
        return if is_there { Ok(Answer::empty(200)) } else { Err(refused_as_text(401, REFUSED)) };
    }
    let malformed = |why| refused_as_text(400, why);
    let (domain, channel, subtopic) =
        topics::split(&ask.path).ok_or_else(|| malformed("failed to publish : malformed topic"))?;
    let is_right = |part: &str| part.len() < 2 || !part.contains(['*', '>']);
    if !subtopic.split('/').all(is_right) {
        return Err(malformed("failed to publish : malformed topic : malformed subtopic"));
    }
    check_services(world, &who)?;
    let refusal = || refused_as_text(401, REFUSED);
    let domain = topics::find_domain(world, domain).ok_or_else(refusal)?;
    let channel = topics::find_channel(world, &domain, channel).ok_or_else(refusal)?;
    let publisher = match who {
        Who::User(token) => {
            let user = world.user_of(token).ok_or_else(refusal)?;
            let may = user.is_admin || world.state.domains.get(&domain).is_some_and(|it| it.owner == user.id);
            may.then(|| user.id.clone())
        }
        who => client(world, &domain, &who).filter(|id| topics::may(world, &channel, id, Purpose::Publish)),
    };
    let publisher = publisher.ok_or_else(refusal)?;
    if !world.has(Dependency::Nats) {
        let why = "failed to publish to supermq message broker : context deadline exceeded";
        return Err(refused_as_text(500, why).after(world.bus_patience));
    }
    send(world, ask, domain, channel, subtopic, publisher);
    Ok(Answer::empty(202))
}

/// Refuses where someone who has to be asked is not there, or says that a token has expired.
fn check_services(world: &World, who: &Who<'_>) -> Result<(), Answer> {
    if let Who::User(token) = who
        && world.user_of(token).is_none()
    {
        let why = "failed to perform authentication over the entity : failed to perform authentication over the entity : \
                   token is expired";
        return Err(refused_as_text(401, why));
    }
    if !world.has(Service::Clients) {
        let why = "failed to perform authentication over the entity : unexpected gRPC status: Unavailable \
                   (status code:Unavailable) : connection error: desc = \"transport: Error while dialing: dial tcp \
                   127.0.0.1:7006: connect: connection refused\"";
        return Err(refused_as_text(401, why));
    }
    Ok(())
}

/// FluxMQ, which takes everything that may be published, and says less.
fn publish_to_magistrala(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    let Some((domain, channel, subtopic)) = topics::split(&ask.path) else { return Err(Answer::no_page()) };
    if ask.method != Method::POST {
        return Err(Answer::bare(405));
    }
    let who = who(ask).map(|who| match who {
        // There only secrets are known.
        Who::User(secret) => Who::Secret(secret),
        other => other,
    });
    let is_in = |world: &World| who.as_ref().and_then(|who| client(world, domain, who));
    let publisher = topics::authenticate(world, is_in);
    let publisher = publisher.ok_or_else(|| Answer::text(401, TEXT, "unauthorized\n"))?;
    let found = topics::find_channel(world, domain, channel);
    let found = found.filter(|channel| topics::may(world, channel, &publisher, Purpose::Publish));
    let channel = found.ok_or_else(|| Answer::text(403, TEXT, "forbidden\n"))?;
    send(world, ask, domain.to_owned(), channel, subtopic, publisher);
    Ok(Answer::text(200, TEXT, r#"{"status":"ok"}"#))
}

/// Who is named in `Authorization`.
fn who(ask: &Ask) -> Option<Who<'_>> {
    let text = ask.authorization.as_deref().filter(|text| !text.is_empty())?;
    if let Some(secret) = text.strip_prefix("Client ") {
        return Some(Who::Secret(secret));
    }
    if let Some(token) = text.strip_prefix("Bearer ") {
        return Some(Who::User(token));
    }
    if let Some(basic) = text.strip_prefix("Basic ") {
        let pair = String::from_utf8(BASE64_STANDARD.decode(basic).ok()?).ok()?;
        let (id, secret) = pair.split_once(':')?;
        return Some(Who::Client(id.to_owned(), secret.to_owned()));
    }
    Some(Who::Secret(text))
}

/// The client of a domain that someone is.
fn client(world: &World, domain: &str, who: &Who<'_>) -> Option<String> {
    let mut clients =
        world.state.things.values().filter(|client| client.domain == domain && client.is_enabled);
    let client = match who {
        Who::Secret(secret) => clients.find(|client| client.key == *secret),
        Who::Client(id, secret) => clients.find(|client| client.id == *id && client.key == *secret),
        Who::User(_) => None,
    };
    client.map(|client| client.id.clone())
}

fn send(world: &mut World, ask: &Ask, domain: String, channel: String, subtopic: &str, publisher: String) {
    let published = Published {
        topic: topics::full(&domain, &channel, subtopic),
        domain,
        channel,
        subtopic: subtopic.to_owned(),
        publisher,
        protocol: "http",
        payload: ask.body.to_vec(),
        at: world.now(),
        qos: 0,
        retain: false,
    };
    world.publish(published);
}
