//! Refused logins and requests, counted by user name for whoever looks for the reason.

use crate::api::Refused;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// User names come from strangers, so only so many are told apart; the others are counted under [`OTHERS`].
const NAMES: usize = 1000;
const NAME_LENGTH: usize = 128;
const OTHERS: &str = "(others)";

#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<String, Refused>>);

impl Refusals {
    pub(crate) fn login(&self, user: &str, reason: &str) {
        self.count(user, reason, |refused| refused.logins += 1);
    }

    pub(crate) fn request(&self, user: &str, reason: &str) {
        self.count(user, reason, |refused| refused.requests += 1);
    }

    pub(crate) fn all(&self) -> BTreeMap<String, Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, user: &str, reason: &str, add: fn(&mut Refused)) {
        tracing::info!(user, reason, "refused");
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let user: String = user.chars().take(NAME_LENGTH).collect();
        let known = refused.contains_key(&user) || refused.len() < NAMES;
        let entry = refused.entry(if known { user } else { OTHERS.to_owned() }).or_default();
        add(entry);
        reason.clone_into(&mut entry.last_reason);
    }
}
