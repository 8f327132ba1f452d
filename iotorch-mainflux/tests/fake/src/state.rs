//! What a release keeps: what would be in its databases.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::senml::Resolved;

/// All that a release keeps.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// How many things, channels, and so on were made, for the order of those that were made at once.
    pub(crate) made: u64,
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) tokens: BTreeMap<String, Token>,
    pub(crate) api_keys: BTreeMap<String, ApiKey>,
    pub(crate) domains: BTreeMap<String, Domain>,
    /// Things of Mainflux, and clients of SuperMQ.
    pub(crate) things: BTreeMap<String, Thing>,
    pub(crate) channels: BTreeMap<String, Channel>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) rules: BTreeMap<String, Rule>,
    pub(crate) messages: Vec<Message>,
    pub(crate) cache: Cache,
}

/// A person or a program that logs in.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) password: String,
    pub(crate) metadata: Option<Value>,
    pub(crate) is_admin: bool,
    pub(crate) is_enabled: bool,
    pub(crate) made: Made,
}

/// When something was made and changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) number: u64,
    pub(crate) at: Timestamp,
    /// When and by which user it was changed last.
    pub(crate) changed: Option<(Timestamp, String)>,
}

/// A change that is made to something.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) number: u64,
    pub(crate) at: Timestamp,
    pub(crate) by: String,
}

impl Changed {
    /// Notes the change: what was changed last is first in lists.
    pub(crate) fn apply(self, made: &mut Made) {
        made.number = self.number;
        made.changed = Some((self.at, self.by));
    }
}

/// What a token stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) user: String,
    /// What tells it apart from others of the same second.
    pub(crate) name: String,
    pub(crate) is_refresh: bool,
    pub(crate) expires_at: Option<Timestamp>,
}

/// A token of Mainflux that has a name, and a lifetime that is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ApiKey {
    pub(crate) user: String,
    pub(crate) token: String,
    pub(crate) issued_at: Timestamp,
}

/// What clients and channels of SuperMQ are in.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Domain {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) route: String,
    pub(crate) metadata: Option<Value>,
    pub(crate) is_enabled: bool,
    pub(crate) owner: String,
    pub(crate) role: String,
    pub(crate) made: Made,
}

/// What publishes and reads messages: a thing of Mainflux, a client of SuperMQ.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Thing {
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) domain: String,
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) identity: String,
    pub(crate) metadata: Option<Value>,
    pub(crate) is_enabled: bool,
    pub(crate) role: String,
    pub(crate) made: Made,
}

/// Where messages go.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Channel {
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) domain: String,
    pub(crate) name: String,
    pub(crate) route: String,
    pub(crate) metadata: Option<Value>,
    pub(crate) is_enabled: bool,
    pub(crate) role: String,
    pub(crate) made: Made,
}

/// What a thing may do on a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Connection {
    pub(crate) channel: String,
    pub(crate) thing: String,
    pub(crate) publish: bool,
    pub(crate) subscribe: bool,
}

/// What Magistrala does with messages of a channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) domain: String,
    pub(crate) name: String,
    pub(crate) channel: String,
    pub(crate) topic: String,
    pub(crate) logic: Value,
    pub(crate) outputs: Option<Value>,
    pub(crate) is_enabled: bool,
    pub(crate) role: String,
    pub(crate) owner: String,
    pub(crate) made: Made,
}

/// A record that is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) channel: String,
    pub(crate) subtopic: String,
    pub(crate) publisher: String,
    pub(crate) protocol: String,
    pub(crate) record: Resolved,
}

/// What is in Redis: what was let in once, and is not looked up again.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cache {
    /// Whose a key is.
    pub(crate) things: BTreeMap<String, Known>,
    /// The key of a thing that was let in last.
    pub(crate) keys: BTreeMap<String, String>,
    /// Channels, each with a thing that is connected to it.
    pub(crate) connections: BTreeSet<(String, String)>,
}

/// Whose a key is known to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) thing: String,
    /// Until when that is believed; none is for ever.
    pub(crate) until: Option<Timestamp>,
}

impl State {
    /// The channel and the thing's connection to it.
    pub(crate) fn connection(&self, channel: &str, thing: &str) -> Option<&Connection> {
        self.connections.iter().find(|it| it.channel == channel && it.thing == thing)
    }

    /// What was kept in a file; nothing where there is none.
    pub(crate) fn load(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps all in a file, which is either the one before or a whole new one.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(new, path)
    }
}
