//! Messages that Mainflux has stored.

use hyper::Method;
use serde_json::{Value, json};

use super::{
    BAD_QUERY, NO_CREDENTIALS, UNAUTHORIZED, authorization, listing, publishing, refused, refused_as_text,
};
use crate::{
    Dependency, Release,
    ask::{Answer, Ask},
    number::number,
    stored::{Filter, told},
    world::{World, is_uuid},
};

/// The table of messages in SenML; there is no other.
const SENML: &str = "messages";

pub(super) fn answer(world: &mut World, ask: &Ask) -> Answer {
    let segments = ask.segments();
    let ["channels", channel, "messages"] = segments.as_slice() else {
        return Answer::no_page();
    };
    if ask.method != Method::GET {
        return Answer::bare(405);
    }
    read(world, ask, channel).unwrap_or_else(|refusal| refusal)
}

fn read(world: &mut World, ask: &Ask, channel: &str) -> Result<Answer, Answer> {
    // Here the refusal of a query is not said to be JSON.
    let wrong = |_| refused_as_text(400, BAD_QUERY);
    let offset = listing::number(ask, "offset", 0).map_err(wrong)?;
    let limit = listing::number(ask, "limit", 10).map_err(wrong)?;
    let format = listing::value(ask, "format").map_err(wrong)?.unwrap_or(SENML);
    let filter = Filter::read(|name| listing::value(ask, name).map_err(|_| ()));
    let filter = filter.filter(|_| limit > 0).ok_or_else(|| refused_as_text(400, BAD_QUERY))?;
    let key = authorization(world, ask, "Thing ").to_owned();
    if key.is_empty() {
        return Err(refused_as_text(403, NO_CREDENTIALS));
    }
    if !publishing::may_read(world, channel, &key) {
        return Err(match world.release {
            Release::Mainflux013 => refused(500, UNAUTHORIZED),
            _ => Answer::bare(500),
        });
    }
    if format != SENML {
        return Ok(Answer::json(200, &json!({ "offset": 0, "limit": 0, "total": 0 })));
    }
    let is_wrong = filter.publisher.as_ref().is_some_and(|publisher| !is_uuid(publisher));
    if is_wrong || !world.has(Dependency::Database) {
        return Err(refused_as_text(500, "failed to read messages from postgres database"));
    }
    let found = filter.find(&world.state.messages, channel);
    let page = found.iter().skip(usize::try_from(offset).unwrap_or(usize::MAX));
    let page: Vec<Value> = page
        .take(usize::try_from(limit).unwrap_or(usize::MAX))
        .map(|message| told(message, number))
        .collect();
    let mut body = json!({ "offset": offset, "limit": limit, "format": SENML, "total": found.len() });
    filter.tell(&mut body);
    if !page.is_empty() {
        body["messages"] = page.into();
    }
    Ok(Answer::json(200, &body))
}
