//! The services of Mainflux 0.12 and 0.13.

mod auth;
mod channels;
mod connections;
mod listing;
mod publishing;
mod reader;
mod things;
mod users;

pub(crate) use publishing::{identify, may_use, route};

use hyper::Method;
use serde_json::json;

use crate::{
    Release, Service,
    ask::{Answer, Ask, TEXT},
    world::World,
};

const NO_CREDENTIALS: &str = "missing or invalid credentials provided";
const UNAUTHENTICATED: &str = "failed to perform authentication over the entity";
const UNAUTHORIZED: &str = "failed to perform authorization over the entity";
const MALFORMED: &str = "malformed entity specification";
const BAD_QUERY: &str = "invalid query parameters";
const ABSENT: &str = "non-existent entity";
const EXISTS: &str = "entity already exists";
const BAD_TYPE: &str = "unsupported content type";

/// What a service answers.
pub(crate) fn answer(world: &mut World, ask: &Ask) -> Answer {
    if ask.service != Service::MqttWs
        && ask.service != Service::ThingsAuth
        && ask.method == Method::GET
        && ask.path == "version"
    {
        return version(world, ask.service);
    }
    match ask.service {
        Service::Auth => auth::answer(world, ask),
        Service::Users => users::answer(world, ask),
        Service::Things => things::answer(world, ask),
        Service::ThingsAuth => publishing::answer_whose(world, ask),
        Service::Http => publishing::answer(world, ask),
        Service::Reader => reader::answer(world, ask),
        _ => Answer::no_page(),
    }
}

/// The version, which is also the sign of health: it needs nothing else.
fn version(world: &World, service: Service) -> Answer {
    let service = match service {
        Service::Writer => "postgres-writer",
        Service::Reader => "postgres-reader",
        other => other.name(),
    };
    let body = json!({ "service": service, "version": world.release.version() });
    Answer::text(200, TEXT, body.to_string())
}

/// A refusal in words.
fn refused(status: u16, why: &str) -> Answer {
    Answer::json(status, &json!({ "error": why }))
}

/// A refusal of those services that forget to say that it is JSON.
fn refused_as_text(status: u16, why: &str) -> Answer {
    Answer::text(status, TEXT, json!({ "error": why }).to_string())
}

/// The token of a user in a request.
fn token<'a>(world: &World, ask: &'a Ask) -> &'a str {
    authorization(world, ask, "Bearer ")
}

/// What is in `Authorization`: as it is in 0.12, after a word in 0.13.
fn authorization<'a>(world: &World, ask: &'a Ask, word: &str) -> &'a str {
    let authorization = match world.release {
        Release::Mainflux012 => ask.authorization.as_deref(),
        _ => ask.authorized_by(word),
    };
    authorization.unwrap_or_default()
}

/// The user who asks, if there is one and the service of tokens can say so.
fn user(world: &World, ask: &Ask) -> Option<String> {
    if !world.has(Service::Auth) {
        return None;
    }
    world.user_of(token(world, ask)).map(|user| user.id.clone())
}
