//! The rules of Magistrala, which say what is stored.

use super::{Account, Api, Call, Dialect, Failure, Service, part};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

/// What a rule of ours does with a message: nothing but to pass it on.
const PASS_ON: &str = "return message.payload";

/// A rule.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Rule {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) input_channel: String,
    #[serde(default)]
    status: String,
}

impl Rule {
    /// The name of the rule of ours that stores what is sent to a channel.
    pub(crate) fn name_for(channel: &str) -> String {
        format!("iotorch-{channel}")
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.status == "enabled"
    }

    /// Whether it is the rule of ours for a channel.
    pub(crate) fn is_for(&self, channel: &str) -> bool {
        self.input_channel == channel && self.name == Self::name_for(channel)
    }
}

impl Api {
    /// Whether what is stored is said by rules that can be reached.
    pub(crate) fn has_rules(&self) -> bool {
        self.dialect == Dialect::Magistrala && self.services.endpoint(Service::Rules).is_some()
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

    /// Has everything stored that is sent to a channel, by one rule.
    pub(crate) async fn store(&self, account: &Account, channel: &str) -> Result<(), Failure> {
        if !self.has_rules() {
            return Ok(());
        }
        let mut ours = self.rules(account).await?;
        ours.retain(|rule| rule.is_for(channel));
        ours.sort_by(|a, b| (!a.is_enabled(), &a.id).cmp(&(!b.is_enabled(), &b.id)));
        let Some((first, others)) = ours.split_first() else {
            // Everything below the channel too: the topic of a rule that names none is the channel's own.
            let body = json!({
                "name": Rule::name_for(channel),
                "input_channel": channel,
                "input_topic": "#",
                "logic": { "type": 0, "value": PASS_ON },
                "outputs": [{ "type": "save_senml" }],
            });
            let path = format!("/{}/rules", self.domain_of(account)?);
            return self.change(account, &Call::post(Service::Rules, path, body)).await;
        };
        for rule in others {
            self.delete_rule(account, &rule.id).await?;
        }
        if first.is_enabled() {
            return Ok(());
        }
        let path = format!("/{}/rules/{}/enable", self.domain_of(account)?, part(&first.id)?);
        self.change(account, &Call::new(Service::Rules, Method::POST, path)).await
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
