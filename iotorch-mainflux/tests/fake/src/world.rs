//! All services of a release together: what they keep, what they have lost, and what time it is.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::broadcast;

use crate::{
    Dependency, Release, Service,
    bus::{Bus, Published},
    config::Config,
    state::{Changed, Made, State, Token, User},
};

/// How many messages a subscriber may be behind.
const BEHIND: usize = 4096;

/// All services of a release together.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) release: Release,
    pub(crate) state: State,
    pub(crate) bus: Bus,
    pub(crate) breaker: Breaker,
    /// How long services wait for a NATS that is down.
    pub(crate) bus_patience: Duration,
    /// How long tokens are valid that are issued from now on.
    pub(crate) token_lifetime: Duration,
    /// Whether users have to have verified their e-mail addresses.
    pub(crate) wants_verified: bool,
    down: BTreeSet<Dependency>,
    /// What time it is in microseconds, if the clock only goes on when it is looked at.
    looks: Option<AtomicI64>,
    /// How far its clock is ahead of that, or of the machine's.
    ahead: SignedDuration,
    /// Identities that were chosen for what is made next.
    chosen: VecDeque<String>,
    kept_in: Option<PathBuf>,
    instances: BTreeMap<Service, String>,
}

/// What refuses everyone for a while after failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    pub(crate) failures: u32,
    pub(crate) open_until: Option<Timestamp>,
}

impl World {
    /// A release as it is when it is set up, or as it was kept.
    pub(crate) fn new(config: &Config) -> std::io::Result<Self> {
        let kept_in = config.data_dir.as_ref().map(|directory| directory.join("state.json"));
        let kept = match &kept_in {
            Some(path) => State::load(path)?,
            None => None,
        };
        let is_new = kept.is_none();
        let mut world = Self {
            release: config.release,
            state: kept.unwrap_or_default(),
            bus: Bus::new(broadcast::Sender::new(BEHIND)),
            breaker: Breaker::default(),
            bus_patience: config.bus_patience,
            token_lifetime: config.token_lifetime,
            wants_verified: config.wants_verified,
            down: BTreeSet::new(),
            looks: config.clock_starts_at.map(|start| AtomicI64::new(start.as_microsecond())),
            ahead: SignedDuration::ZERO,
            chosen: VecDeque::new(),
            kept_in,
            instances: config.release.services().iter().map(|service| (*service, uuid())).collect(),
        };
        if is_new {
            world.add_admin(config);
        }
        Ok(world)
    }

    fn add_admin(&mut self, config: &Config) {
        let admin = &config.admin;
        let user = User {
            id: self.mint(),
            email: admin.email.clone(),
            name: admin.name.clone(),
            first_name: "super".to_owned(),
            last_name: "admin".to_owned(),
            password: admin.password.clone(),
            metadata: (!self.release.is_mainflux()).then(|| json!({ "role": "admin" })),
            is_admin: true,
            is_enabled: true,
            made: self.made(),
        };
        self.state.users.insert(user.id.clone(), user);
    }

    /// What time it is for the services.
    pub(crate) fn now(&self) -> Timestamp {
        let time = match &self.looks {
            None => Timestamp::now(),
            Some(looks) => {
                let looks = looks.fetch_add(1, Ordering::Relaxed);
                Timestamp::from_microsecond(looks).unwrap_or(Timestamp::UNIX_EPOCH)
            }
        };
        time.saturating_add(self.ahead).unwrap_or(Timestamp::MAX)
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        self.ahead = self.ahead.saturating_add(time);
    }

    /// Whether something is there.
    pub(crate) fn has(&self, dependency: impl Into<Dependency>) -> bool {
        !self.down.contains(&dependency.into())
    }

    pub(crate) fn lose(&mut self, dependency: Dependency) {
        self.down.insert(dependency);
        if dependency == Dependency::Cache {
            self.state.cache = Default::default();
        }
    }

    pub(crate) fn mend(&mut self, dependency: Dependency) {
        self.down.remove(&dependency);
        if dependency == Dependency::Nats {
            self.flush();
        }
    }

    /// Chooses identities for what is made next.
    pub(crate) fn choose(&mut self, identities: impl IntoIterator<Item = String>) {
        self.chosen.extend(identities);
    }

    /// A new identity.
    pub(crate) fn mint(&mut self) -> String {
        self.chosen.pop_front().unwrap_or_else(uuid)
    }

    /// When something was made that is made now.
    pub(crate) fn made(&mut self) -> Made {
        self.state.made += 1;
        Made { number: self.state.made, at: self.now(), changed: None }
    }

    /// A change that a user makes now.
    pub(crate) fn changed(&mut self, by: &str) -> Changed {
        self.state.made += 1;
        Changed { number: self.state.made, at: self.now(), by: by.to_owned() }
    }

    /// Which run of a service it is.
    pub(crate) fn instance(&self, service: Service) -> &str {
        self.instances.get(&service).map(String::as_str).unwrap_or_default()
    }

    /// A token for a user. Within a second all are the same, as they only say who, since when and until when; `name` tells apart
    /// those that have to differ.
    pub(crate) fn issue(
        &mut self,
        user: &str,
        is_refresh: bool,
        name: &str,
        lifetime: Option<Duration>,
    ) -> String {
        let now = self.now();
        let expires_at = lifetime
            .and_then(|lifetime| SignedDuration::try_from(lifetime).ok())
            .and_then(|lifetime| now.checked_add(lifetime).ok());
        let claims = json!({
            "iat": now.as_second(),
            "exp": expires_at.map(Timestamp::as_second),
            "sub": user,
            "type": i32::from(is_refresh),
            "jti": name,
        });
        let token = signed(&claims);
        self.state.tokens.entry(token.clone()).or_insert_with(|| Token {
            user: user.to_owned(),
            name: name.to_owned(),
            is_refresh,
            expires_at,
        });
        token
    }

    /// The user that a token stands for, if it is valid.
    pub(crate) fn user_of(&self, token: &str) -> Option<&User> {
        let token = self.state.tokens.get(token)?;
        if token.expires_at.is_some_and(|end| end <= self.now()) {
            return None;
        }
        self.state.users.get(&token.user)
    }

    /// Keeps the state, where it is to be kept.
    pub(crate) fn keep(&self) {
        if let Some(path) = &self.kept_in
            && let Err(error) = self.state.save(path)
        {
            // A state that cannot be kept is one that the next start does not know: what plays a release has no other way to say so.
            #[allow(clippy::print_stderr, reason = "the only place where whoever runs it can read why")]
            {
                eprintln!("cannot keep the state in \"{}\": {error}", path.display());
            }
        }
    }

    /// Hands on what has waited for its way.
    pub(crate) fn flush(&mut self) {
        if self.has(Dependency::Nats) {
            for published in self.bus.due() {
                self.deliver(published);
            }
        }
    }

    /// Whether messages are stored at the moment.
    pub(crate) fn can_store(&self) -> bool {
        self.has(Service::Writer) && self.has(Dependency::Database)
    }

    /// Those who subscribe see what is published.
    pub(crate) fn show(&mut self, published: &Published) {
        self.bus.show(published);
    }
}

/// A JSON Web Token in form; only this program knows it again.
fn signed(claims: &Value) -> String {
    let part = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let head = part(br#"{"alg":"HS512","typ":"JWT"}"#);
    let claims = part(claims.to_string().as_bytes());
    let signature = part(&Sha256::digest(format!("{head}.{claims}")));
    format!("{head}.{claims}.{signature}")
}

/// A random UUID of version 4.
pub(crate) fn uuid() -> String {
    let random = rand::random::<u128>();
    let random = random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{random:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Whether a text is a UUID.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(at, sign)| match at {
            8 | 13 | 18 | 23 => sign == '-',
            _ => sign.is_ascii_hexdigit(),
        })
}
