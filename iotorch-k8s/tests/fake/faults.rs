//! What goes wrong, on demand.

use std::time::Duration;

use super::{refusal::Refusal, request::Asked};

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is refused, and nothing is done.
    Refused(Refusal),
    /// The connection is cut before anything is done.
    Cut,
    /// It is done, and the connection is cut before the answer.
    AnswerLost,
}

/// Requests that something becomes of.
#[derive(Clone, Debug)]
struct Rule {
    verb: &'static str,
    resource: &'static str,
    fault: Fault,
    /// How many such requests are served before.
    after: u32,
    /// How many times more; none for always.
    times: Option<u32>,
}

impl Rule {
    fn is_about(&self, asked: &Asked<'_>) -> bool {
        let is_verb = match self.verb {
            "*" => true,
            "write" => ["create", "update", "patch", "delete", "deletecollection"].contains(&asked.verb),
            verb => verb == asked.verb,
        };
        is_verb && ["*", asked.kind.plural].contains(&self.resource)
    }
}

/// All that goes wrong.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Vec<Rule>,
    /// Rights that are missing: verb and plural.
    missing: Vec<(&'static str, &'static str)>,
    pub is_token_expired: bool,
    pub is_cut_off: bool,
    /// How long watches are behind.
    pub watch_delay: Duration,
}

impl Faults {
    /// The next `times` requests with a verb on a resource, such as `create` and `namespaces`: `*` is any, and `write` any verb that
    /// changes something.
    pub fn next(&mut self, times: u32, verb: &'static str, resource: &'static str, fault: Fault) {
        self.rules.push(Rule { verb, resource, fault, after: 0, times: Some(times) });
    }

    /// One such request, after others were served.
    pub fn after(&mut self, after: u32, verb: &'static str, resource: &'static str, fault: Fault) {
        self.rules.push(Rule { verb, resource, fault, after, times: Some(1) });
    }

    /// Every such request, until it is mended.
    pub fn every(&mut self, verb: &'static str, resource: &'static str, fault: Fault) {
        self.rules.push(Rule { verb, resource, fault, after: 0, times: None });
    }

    /// Takes a right away.
    pub fn forbid(&mut self, verb: &'static str, resource: &'static str) {
        self.missing.push((verb, resource));
    }

    /// Nothing goes wrong any more.
    pub fn mend(&mut self) {
        *self = Self::default();
    }

    pub fn is_allowed(&self, verb: &str, resource: &str) -> bool {
        !self.missing.iter().any(|(it, on)| *it == verb && *on == resource)
    }

    /// What becomes of a request; none where it is served.
    pub fn of(&mut self, asked: &Asked<'_>) -> Option<Fault> {
        if self.is_cut_off {
            return Some(Fault::Cut);
        }
        if self.is_token_expired {
            return Some(Fault::Refused(Refusal::unauthorized()));
        }
        if !self.is_allowed(asked.verb, asked.kind.plural) {
            let namespace = Some(asked.namespace).filter(|namespace| !namespace.is_empty());
            let refusal = Refusal::no_right("tester", asked.verb, asked.kind, namespace, asked.name);
            return Some(Fault::Refused(refusal));
        }
        for rule in self.rules.iter_mut().filter(|rule| rule.times != Some(0)) {
            if rule.is_about(asked) {
                if rule.after == 0 {
                    rule.times = rule.times.map(|times| times - 1);
                    return Some(rule.fault.clone());
                }
                rule.after -= 1;
            }
        }
        None
    }
}
