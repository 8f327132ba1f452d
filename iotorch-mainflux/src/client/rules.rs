//! The rules of Magistrala, which say what is stored.

use super::{Account, Api, Call, Dialect, Failure, Service, part};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

/// What the names of rules of ours begin with; the id of the channel follows.
const PREFIX: &str = "iotorch-";

/// What a rule of ours is about: everything below the channel too. The topic of a rule that names none is the channel's own.
const EVERYTHING: &str = "#";

/// What a rule of ours does with a message: nothing but to pass it on.
const PASS_ON: &str = "return message.payload";

/// Where a rule of ours passes it on to.
const SAVE: &str = "save_senml";

/// A rule.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Rule {
    pub(crate) id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    input_channel: String,
    #[serde(default)]
    input_topic: String,
    #[serde(default)]
    logic: Value,
    #[serde(default)]
    outputs: Value,
    #[serde(default)]
    status: String,
}

impl Rule {
    /// The name of the rule of ours that stores what is sent to a channel.
    fn name_for(channel: &str) -> String {
        format!("{PREFIX}{channel}")
    }

    /// The rules of ours for a channel; the one that counts comes first.
    pub(crate) fn of<'r>(rules: &'r [Self], channel: &str) -> Vec<&'r Self> {
        let mut ours: Vec<_> = rules.iter().filter(|rule| rule.is_for(channel)).collect();
        ours.sort_by_key(|rule| (!rule.fits(channel), !rule.is_enabled(), &rule.id));
        ours
    }

    fn is_enabled(&self) -> bool {
        self.status == "enabled"
    }

    /// Whether it is a rule of ours for a channel, whatever somebody has made of it.
    pub(crate) fn is_for(&self, channel: &str) -> bool {
        self.name == Self::name_for(channel)
    }

    /// Whether it is a rule of ours for any channel.
    pub(crate) fn is_ours(&self) -> bool {
        let is_digit = |sign: char| sign.is_ascii_hexdigit() || sign == '-';
        let is_id = |id: &str| id.len() == 36 && id.chars().all(is_digit);
        self.name.strip_prefix(PREFIX).is_some_and(is_id)
    }

    /// Whether it stores everything that is sent to a channel, once it is enabled.
    fn fits(&self, channel: &str) -> bool {
        let saves = |output: &Value| output["type"] == SAVE;
        self.input_channel == channel
            && self.input_topic == EVERYTHING
            && self.logic["type"] == 0
            && self.logic["value"] == PASS_ON
            && self.outputs.as_array().is_some_and(|outputs| outputs.iter().any(saves))
    }

    /// Whether everything that is sent to a channel is stored by it.
    pub(crate) fn stores(&self, channel: &str) -> bool {
        self.is_enabled() && self.fits(channel)
    }
}

impl Api {
    /// Whether what is stored is said by rules that can be reached.
    pub(crate) fn has_rules(&self) -> bool {
        self.dialect == Dialect::Magistrala && self.is_storage_known()
    }

    /// Whether it can be known what is stored: Magistrala tells by its rules, and the others store everything.
    pub(crate) fn is_storage_known(&self) -> bool {
        self.dialect != Dialect::Magistrala || self.services.endpoint(Service::Rules).is_some()
    }

    /// The rules of the account's domain; none where there is no such thing.
    pub(crate) async fn rules(&self, account: &Account) -> Result<Vec<Rule>, Failure> {
        if !self.has_rules() {
            return Ok(Vec::new());
        }
        let call = Call::get(Service::Rules, format!("/{}/rules", self.domain_of(account)?));
        let unreadable = |error: serde_json::Error| Failure::Unreadable(Service::Rules, error.to_string());
        let listed = self.list(account, &call.with("status", "all"), "rules").await?;
        listed.into_iter().map(|rule| serde_json::from_value(rule).map_err(unreadable)).collect()
    }

    /// Has everything stored that is sent to a channel, by one rule. One that somebody has changed makes way for a new one.
    pub(crate) async fn store(&self, account: &Account, channel: &str) -> Result<(), Failure> {
        if !self.has_rules() {
            return Ok(());
        }
        let rules = self.rules(account).await?;
        let ours = Rule::of(&rules, channel);
        let kept = ours.first().filter(|rule| rule.fits(channel));
        for rule in ours.iter().skip(usize::from(kept.is_some())) {
            self.delete_rule(account, &rule.id).await?;
        }
        let path = format!("/{}/rules", self.domain_of(account)?);
        let call = match kept {
            Some(rule) if rule.is_enabled() => return Ok(()),
            Some(rule) => {
                Call::new(Service::Rules, Method::POST, format!("{path}/{}/enable", part(&rule.id)?))
            }
            None => {
                let body = json!({
                    "name": Rule::name_for(channel),
                    "input_channel": channel,
                    "input_topic": EVERYTHING,
                    "logic": { "type": 0, "value": PASS_ON },
                    "outputs": [{ "type": SAVE }],
                });
                Call::post(Service::Rules, path, body)
            }
        };
        self.change(account, &call).await
    }

    /// Deletes the rules that are meant.
    pub(crate) async fn delete_rules(
        &self,
        account: &Account,
        is_meant: impl Fn(&Rule) -> bool,
    ) -> Result<(), Failure> {
        for rule in self.rules(account).await?.iter().filter(|rule| is_meant(rule)) {
            self.delete_rule(account, &rule.id).await?;
        }
        Ok(())
    }

    /// Deletes a rule. One that is not there counts as deleted.
    pub(crate) async fn delete_rule(&self, account: &Account, id: &str) -> Result<(), Failure> {
        let path = format!("/{}/rules/{}", self.domain_of(account)?, part(id)?);
        let answer = self.call(account, &Call::new(Service::Rules, Method::DELETE, path)).await?;
        match answer.status {
            404 => Ok(()),
            403 => Err(self.forbidden(account, answer.failure()).await),
            _ => answer.success().map(drop),
        }
    }
}
