//! Messages that Magistrala has stored.

use hyper::Method;
use serde_json::{Value, json};

use super::{
    UNAUTHENTICATED, UNAUTHORIZED,
    access::caller,
    listing::{limit, number, value},
    refused, topics,
};
use crate::{
    Dependency,
    ask::{Answer, Ask},
    dialect::Purpose,
    number::number as real,
    stored::{Filter, told},
    world::World,
};

/// The most that a page may have.
const MOST: u64 = 1000;

pub(super) fn answer(world: &World, ask: &Ask) -> Answer {
    let segments = ask.segments();
    let [domain, "channels", channel, "messages"] = segments.as_slice() else {
        return Answer::no_page();
    };
    if ask.method != Method::GET {
        return Answer::bare(405);
    }
    read(world, ask, domain, channel).unwrap_or_else(|refusal| refusal)
}

fn read(world: &World, ask: &Ask, domain: &str, channel: &str) -> Result<Answer, Answer> {
    let (offset, limit) = (number(ask, "offset", 0)?, limit(ask, MOST)?);
    let filter = Filter::read(|name| value(ask, name).map_err(|_| ()));
    let filter = filter.ok_or_else(|| refused(400, "invalid query parameters"))?;
    check(world, ask, domain, channel)?;
    if !world.has(Dependency::Database) {
        return Err(refused(500, "failed to read messages from postgres database"));
    }
    let found = filter.find(&world.state.messages, channel);
    let page = found.iter().skip(usize::try_from(offset).unwrap_or(usize::MAX));
    let page: Vec<Value> =
        page.take(usize::try_from(limit).unwrap_or(usize::MAX)).map(|message| told(message, real)).collect();
    let mut body = json!({
        "offset": offset,
        "limit": limit,
        "order": "time",
        "dir": "desc",
        "format": "messages",
        "total": found.len(),
        "messages": page,
    });
    filter.tell(&mut body);
    Ok(Answer::json(200, &body))
}

/// Lets in the client that is connected, and the user whose channel it is.
fn check(world: &World, ask: &Ask, domain: &str, channel: &str) -> Result<(), Answer> {
    let is_there = world.state.channels.get(channel).is_some_and(|channel| channel.domain == domain);
    if let Some(secret) = ask.authorized_by("Client ") {
        let mut clients = world.state.things.values().filter(|it| it.domain == domain && it.key == secret);
        let client = clients.next().ok_or_else(|| refused(401, UNAUTHENTICATED))?;
        let may = is_there && topics::may(world, channel, &client.id, Purpose::Subscribe);
        return if may { Ok(()) } else { Err(refused(403, UNAUTHORIZED)) };
    }
    caller(world, ask)?.may_with(world, domain, is_there)
}
