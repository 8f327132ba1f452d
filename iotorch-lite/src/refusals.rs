//! Refused logins and requests, counted by user name for whoever looks for the reason.

use crate::{Error, ErrorKind, access::Protocol, api::Refused, log::Log, metrics::Counters};
use axum::http::Method;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// User names come from strangers, so only so many are told apart; the others are counted under [`OTHERS`].
const NAMES: usize = 1000;
const NAME_LENGTH: usize = 128;
const OTHERS: &str = "(others)";

/// Whoever manages has a token, and no name.
const MANAGEMENT: &str = "(management)";

#[derive(Debug, Default)]
pub(crate) struct Refusals {
    users: Mutex<BTreeMap<String, Refused>>,
    counters: Arc<Counters>,
    log: Option<Arc<Log>>,
}

impl Refusals {
    pub(crate) fn new(counters: Arc<Counters>, log: Arc<Log>) -> Self {
        Self { users: Mutex::default(), counters, log: Some(log) }
    }

    pub(crate) fn login(&self, protocol: Protocol, user: &str, reason: &str) {
        self.counters.refused_login(protocol);
        self.count("refused-login", user, reason, |refused| refused.logins += 1);
    }

    pub(crate) fn request(&self, protocol: Protocol, user: &str, reason: &str) {
        self.counters.refused_request(protocol);
        self.count("refused-request", user, reason, |refused| refused.requests += 1);
    }

    /// A call of the management API whose token is not valid, or not for it.
    pub(crate) fn call(&self, method: &Method, path: &str, why: &Error) {
        let reason = format!("{why}: {method} {path}");
        match why.kind() {
            ErrorKind::Unauthorized => self.login(Protocol::Management, MANAGEMENT, &reason),
            ErrorKind::Forbidden => self.request(Protocol::Management, MANAGEMENT, &reason),
            _ => {}
        }
    }

    pub(crate) fn all(&self) -> BTreeMap<String, Refused> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, event: &'static str, user: &str, reason: &str, add: fn(&mut Refused)) {
        tracing::info!(user, reason, "refused");
        if let Some(log) = &self.log {
            let what = event.trim_start_matches("refused-");
            log.warning(event, user, format!("{what} of \"{}\" refused: {reason}", user.escape_debug()));
        }
        let mut refused = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let user: String = user.chars().take(NAME_LENGTH).collect();
        let known = refused.contains_key(&user) || refused.len() < NAMES;
        let entry = refused.entry(if known { user } else { OTHERS.to_owned() }).or_default();
        add(entry);
        reason.clone_into(&mut entry.last_reason);
    }
}
