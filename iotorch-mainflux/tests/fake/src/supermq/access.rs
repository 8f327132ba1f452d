//! Who asks, and what they may.

use super::{ABSENT, UNAUTHENTICATED, UNAUTHORIZED, refused};
use crate::{
    Dependency, Release, Service,
    ask::{Answer, Ask},
    world::World,
};

/// Who asks.
pub(super) struct Caller {
    pub(super) user: String,
    pub(super) is_admin: bool,
}

/// The user who asks. Tokens are good without the service that issues them.
pub(super) fn caller(world: &World, ask: &Ask) -> Result<Caller, Answer> {
    let token = ask.authorized_by("Bearer ").filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| refused(401, "missing or invalid bearer user token"))?;
    let user = world.user_of(token).ok_or_else(|| refused(401, UNAUTHENTICATED))?;
    // Only the service of users lets in whom nobody has verified, and administrators are let in everywhere.
    if world.wants_verified && !user.is_admin && ask.service != Service::Users {
        return Err(refused(401, "email not verified"));
    }
    Ok(Caller { user: user.id.clone(), is_admin: user.is_admin })
}

impl Caller {
    /// Whether a domain is the caller's; the administrator's are all.
    pub(super) fn owns(&self, world: &World, domain: &str) -> bool {
        self.is_admin || world.state.domains.get(domain).is_some_and(|domain| domain.owner == self.user)
    }

    /// May do something in a domain.
    pub(super) fn may(&self, world: &World, domain: &str) -> Result<(), Answer> {
        if !world.state.domains.contains_key(domain) {
            return Err(match world.release {
                Release::SuperMq017 => refused(403, "failed to perform authorization over the domain"),
                _ => refused(404, ABSENT),
            });
        }
        if !self.owns(world, domain) || !world.has(Dependency::SpiceDb) {
            return Err(refused(403, UNAUTHORIZED));
        }
        Ok(())
    }

    /// May make something in a domain, for which the service of tokens is asked.
    pub(super) fn may_make(&self, world: &World, domain: &str) -> Result<(), Answer> {
        if !world.has(Service::Auth) {
            return Err(refused(403, "failed to perform authorization over the domain"));
        }
        self.may(world, domain)
    }

    /// May do something with what is in a domain: what is absent is as little allowed as what is another's.
    pub(super) fn may_with(&self, world: &World, domain: &str, is_there: bool) -> Result<(), Answer> {
        self.may(world, domain)?;
        if is_there { Ok(()) } else { Err(refused(403, UNAUTHORIZED)) }
    }
}
