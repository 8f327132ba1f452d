//! The resources of a device: its topics, which take readings, and its commands.

use super::{
    block::Block,
    message::{Answer, Content, JSON, LINKS, Request, SENML_CBOR, SENML_JSON, TEXT},
};
use crate::{
    Error, ErrorKind,
    access::{Access, Protocol, Taken},
    api::{Command, CommandState},
    gateway::commands::Commands,
    senml::shown,
};
use coap_lite::{RequestType, ResponseType};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// Formats of readings; without one the payload is looked at.
const READINGS: [u16; 4] = [TEXT, JSON, SENML_JSON, SENML_CBOR];

const WELL_KNOWN: &str = ".well-known/core";

/// What a device that has proved who it is may use.
pub(super) struct Resources {
    access: Arc<dyn Access>,
    user: String,
}

impl Resources {
    pub(super) const fn new(access: Arc<dyn Access>, user: String) -> Self {
        Self { access, user }
    }

    /// Whether a request may be made at all, asked before its body is collected.
    pub(super) fn check(&self, request: &Request) -> Result<(), Answer> {
        use ResponseType::{NotAcceptable, UnsupportedContentFormat};
        let begins = |block: Option<Block>| block.is_none_or(|block| block.number == 0);
        if begins(request.block1) && begins(request.block2) {
            self.access.limits().admit(&self.user).map_err(too_fast)?;
        }
        match request.method {
            RequestType::Post | RequestType::Put => {
                if !self.access.may_publish(&self.user, &request.path) {
                    return Err(self.forbidden("published to", &request.path));
                }
                if request.format.is_some_and(|format| !READINGS.contains(&format)) {
                    let message =
                        "readings are text (0), JSON (50), SenML in JSON (110) or SenML in CBOR (112)";
                    return Err(Answer::failure(UnsupportedContentFormat, message));
                }
                Ok(())
            }
            RequestType::Get => {
                let format = if request.path == WELL_KNOWN { LINKS } else { JSON };
                if request.accept.is_some_and(|accept| accept != format) {
                    return Err(Answer::failure(NotAcceptable, &format!("this is in format {format} only")));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Answers a request that was checked and whose body is whole.
    pub(super) async fn answer(&self, request: &Request) -> Answer {
        match request.method {
            RequestType::Post | RequestType::Put => self.publish(&request.path, &request.payload).await,
            RequestType::Get => self.read(&request.path),
            RequestType::Delete => self.acknowledge(&request.path).await,
            _ => not_allowed(),
        }
    }

    /// What waits for the device, and when that changes by itself, in seconds since the Unix epoch.
    pub(super) fn commands(&self, path: &str) -> Result<(Content, Option<f64>), Answer> {
        let (device, commands) = self.own_commands(path)?;
        let waiting = commands.waiting(device).map_err(|error| failed(&error))?;
        let expires = waiting.iter().map(|command: &Command| command.expires).min_by(f64::total_cmp);
        Ok((Content::json(&waiting), expires))
    }

    async fn publish(&self, path: &str, payload: &[u8]) -> Answer {
        match self.access.publish(&self.user, path, payload).await {
            Ok(taken) => took(&taken),
            Err(error) => failed(&error),
        }
    }

    fn read(&self, path: &str) -> Answer {
        if path == WELL_KNOWN {
            return Answer::with(
                ResponseType::Content,
                Content { format: LINKS, body: self.links().into_bytes() },
            );
        }
        if commands_of(path).is_none() && self.access.may_publish(&self.user, path) {
            return not_allowed();
        }
        match self.commands(path) {
            Ok((content, _)) => Answer::with(ResponseType::Content, content),
            Err(answer) => answer,
        }
    }

    async fn acknowledge(&self, path: &str) -> Answer {
        let Some((list, id)) = path.rsplit_once('/').filter(|(list, _)| commands_of(list).is_some()) else {
            return not_allowed();
        };
        let (device, commands) = match self.own_commands(list) {
            Ok(own) => own,
            Err(answer) => return answer,
        };
        let Ok(id) = id.parse() else { return not_found(path) };
        match deliver(commands, device, id).await {
            Ok(true) => ResponseType::Deleted.into(),
            Ok(false) => not_found(path),
            Err(error) => failed(&error),
        }
    }

    fn own_commands<'a>(&'a self, path: &'a str) -> Result<(&'a str, &'a Commands), Answer> {
        let found = commands_of(path).zip(self.access.commands());
        let found = found.ok_or_else(|| not_found(path))?;
        // Commands come by the topics below the path in MQTT.
        if self.access.may_subscribe(&self.user, &format!("{path}/#")) {
            Ok(found)
        } else {
            Err(self.forbidden("asked for", path))
        }
    }

    fn forbidden(&self, what: &str, path: &str) -> Answer {
        let reason = format!("{what} \"{}\", which is not its own", shown(path));
        self.refused(&reason);
        Answer::failure(ResponseType::Forbidden, &format!("\"{}\" {reason}", self.user))
    }

    /// Counts a refused request.
    pub(super) fn refused(&self, reason: &str) {
        self.access.refusals().request(Protocol::Coap, &self.user, reason);
    }

    /// The links of RFC 6690. There is one for readings by resource too, whose names only the profile knows.
    fn links(&self) -> String {
        let user = &self.user;
        let formats = READINGS.map(|format| format.to_string()).join(" ");
        format!("</devices/{user}>;ct=\"{formats}\",</devices/{user}/commands>;ct={JSON};obs")
    }
}

/// The device whose commands a path names.
fn commands_of(path: &str) -> Option<&str> {
    path.strip_prefix("devices/")?.strip_suffix("/commands").filter(|device| !device.contains('/'))
}

/// Whether there is or was such a command. One that has ended before counts as acknowledged, because the client may not
/// have heard so.
async fn deliver(commands: &Commands, device: &str, id: u64) -> crate::Result<bool> {
    Ok(commands.end(device, id, CommandState::Delivered).await?
        || commands.all(device)?.iter().any(|command| command.id == id))
}

fn took(taken: &Taken) -> Answer {
    if taken.rejected.is_empty() {
        return ResponseType::Changed.into();
    }
    if taken.accepted > 0 {
        return Answer::with(ResponseType::Changed, Content::json(&told(taken, taken.told())));
    }
    // Clients fetch the blocks of an answer only if it is no error, so this has to fit in one.
    let fits = |shown: &usize| Content::json(&told(taken, *shown)).body.len() <= Block::default().size();
    let shown = (1..=taken.rejected.len()).take_while(fits).last().unwrap_or_default();
    Answer::with(ResponseType::UnprocessableEntity, Content::json(&told(taken, shown)))
}

/// What became of a message, with the first reasons.
fn told(taken: &Taken, first: usize) -> Value {
    json!({ "accepted": taken.accepted, "rejected": taken.reasons(first) })
}

/// Whoever sends too fast is told when to go on (RFC 8516).
fn too_fast(wait: Duration) -> Answer {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let message = format!("too many messages: wait {seconds} s");
    let max_age = u32::try_from(seconds).ok();
    Answer { max_age, ..Answer::failure(ResponseType::TooManyRequests, &message) }
}

fn not_allowed() -> Answer {
    Answer::failure(ResponseType::MethodNotAllowed, "the path does not take this method")
}

fn not_found(path: &str) -> Answer {
    failed(&Error::not_found(&shown(path)))
}

fn failed(error: &Error) -> Answer {
    let code = match error.kind() {
        ErrorKind::Invalid => ResponseType::BadRequest,
        ErrorKind::Unauthorized | ErrorKind::Forbidden => ResponseType::Forbidden,
        ErrorKind::NotFound => ResponseType::NotFound,
        ErrorKind::Conflict | ErrorKind::InUse => ResponseType::Conflict,
        ErrorKind::Taken | ErrorKind::Store => {
            let source = std::error::Error::source(error);
            tracing::error!(%error, ?source, "cannot carry out a request; it is answered as not done");
            ResponseType::ServiceUnavailable
        }
    };
    Answer::failure(code, &error.to_string())
}
