//! Rules of Magistrala, without which no message is stored.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ABSENT, NEVER, NOT_JSON, UNAUTHORIZED,
    access::{Caller, caller},
    listing::{limit, number, value},
    read, refused,
    roles::{self, Of},
    status,
};
use crate::{
    ask::{Answer, Ask},
    state::Rule,
    world::World,
};

/// The most that a page may have.
const MOST: u64 = 1000;

/// What a rule can do with what its logic returns.
const OUTPUTS: [&str; 6] = ["channels", "save_senml", "save_remote_pg", "email", "alarms", "slack"];

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    name: String,
    #[serde(default)]
    input_channel: String,
    #[serde(default)]
    input_topic: String,
    logic: Option<Value>,
    outputs: Option<Vec<Value>>,
}

pub(super) fn answer(world: &mut World, ask: &Ask) -> Answer {
    let answered = match (&ask.method, ask.segments().as_slice()) {
        (&Method::POST, [domain, "rules"]) => create(world, ask, domain),
        (&Method::GET, [domain, "rules"]) => list(world, ask, domain),
        (&Method::GET, [domain, "rules", id]) => view(world, ask, domain, id),
        (&Method::DELETE, [domain, "rules", id]) => delete(world, ask, domain, id),
        (&Method::POST, [domain, "rules", id, "enable"]) => enable(world, ask, domain, id, true),
        (&Method::POST, [domain, "rules", id, "disable"]) => enable(world, ask, domain, id, false),
        (_, [_, "rules"] | [_, "rules", _] | [_, "rules", _, "enable" | "disable"]) => Ok(Answer::bare(405)),
        _ => Ok(Answer::no_page()),
    };
    answered.unwrap_or_else(|refusal| refusal)
}

fn create(world: &mut World, ask: &Ask, domain: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    let Wanted { name, input_channel, input_topic, logic, outputs } = read(ask)?;
    let is_known = |output: &Value| output["type"].as_str().is_some_and(|it| OUTPUTS.contains(&it));
    if !outputs.iter().flatten().all(is_known) {
        return Err(refused(400, NOT_JSON));
    }
    may(world, &caller, domain)?;
    let rule = Rule {
        id: world.mint(),
        domain: domain.to_owned(),
        name,
        channel: input_channel,
        topic: input_topic,
        logic: logic.unwrap_or_else(|| json!({ "type": 0, "value": "" })),
        outputs: outputs.map(Value::Array),
        is_enabled: true,
        role: roles::new(Of::Rule),
        owner: caller.user,
        made: world.made(),
    };
    let answer = Answer::json(201, &told(&rule)).at(format!("/rules/{}", rule.id));
    world.state.rules.insert(rule.id.clone(), rule);
    Ok(answer)
}

fn list(world: &World, ask: &Ask, domain: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    let (offset, limit) = (number(ask, "offset", 0)?, limit(ask, MOST)?);
    let channel = value(ask, "input_channel")?;
    may(world, &caller, domain)?;
    let rules = world.state.rules.values().filter(|rule| rule.domain == domain);
    let mut rules: Vec<&Rule> =
        rules.filter(|rule| channel.is_none_or(|channel| rule.channel == channel)).collect();
    rules.sort_by(|a, b| b.id.cmp(&a.id));
    let page = rules.iter().skip(usize::try_from(offset).unwrap_or(usize::MAX));
    let tell = |rule: &&Rule| {
        let mut told = told(rule);
        roles::tell_direct(&mut told, world, Of::Rule, &rule.role);
        told
    };
    let page: Vec<Value> = page.take(usize::try_from(limit).unwrap_or(usize::MAX)).map(tell).collect();
    Ok(Answer::json(200, &json!({ "offset": offset, "limit": limit, "total": rules.len(), "rules": page })))
}

fn view(world: &World, ask: &Ask, domain: &str, id: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    Ok(Answer::json(200, &told(own(world, &caller, domain, id)?)))
}

fn enable(world: &mut World, ask: &Ask, domain: &str, id: &str, is_enabled: bool) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    own(world, &caller, domain, id)?;
    let changed = world.changed(&caller.user);
    let rule = world.state.rules.get_mut(id).ok_or_else(|| refused(404, ABSENT))?;
    rule.is_enabled = is_enabled;
    changed.apply(&mut rule.made);
    Ok(Answer::json(200, &told(rule)))
}

fn delete(world: &mut World, ask: &Ask, domain: &str, id: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    own(world, &caller, domain, id)?;
    world.state.rules.remove(id);
    Ok(Answer::empty(204))
}

fn own<'a>(world: &'a World, caller: &Caller, domain: &str, id: &str) -> Result<&'a Rule, Answer> {
    may(world, caller, domain)?;
    world.state.rules.get(id).filter(|rule| rule.domain == domain).ok_or_else(|| refused(404, ABSENT))
}

/// Rules know only that a domain is not the caller's, not whether there is one.
fn may(world: &World, caller: &Caller, domain: &str) -> Result<(), Answer> {
    caller.may(world, domain).map_err(|_| refused(403, UNAUTHORIZED))
}

fn told(rule: &Rule) -> Value {
    let (at, by) = match &rule.made.changed {
        Some((at, by)) => (json!(at), by.as_str()),
        None => (json!(NEVER), ""),
    };
    let mut told = json!({
        "id": rule.id,
        "name": rule.name,
        "domain": rule.domain,
        "input_channel": rule.channel,
        "input_topic": rule.topic,
        "logic": rule.logic,
        "schedule": { "start_datetime": null, "time": NEVER },
        "status": status(rule.is_enabled),
        "created_at": rule.made.at,
        "created_by": rule.owner,
        "updated_at": at,
        "updated_by": by,
    });
    if let Some(outputs) = &rule.outputs {
        told["outputs"] = outputs.clone();
    }
    told
}
