//! Messages that are stored, as readers filter and tell them.

use serde_json::{Value, json};

use crate::{number::number, state::Message};

/// Which messages are asked for.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) publisher: Option<String>,
    subtopic: Option<String>,
    name: Option<String>,
    protocol: Option<String>,
    value: Option<f64>,
    comparator: Option<String>,
    string: Option<String>,
    boolean: Option<bool>,
    data: Option<String>,
    from: Option<f64>,
    to: Option<f64>,
}

impl Filter {
    /// What a query asks for; none if it is not right.
    pub(crate) fn read<'a>(value: impl Fn(&str) -> Result<Option<&'a str>, ()>) -> Option<Self> {
        let text = |name: &str| Some(value(name).ok()?.map(str::to_owned));
        let real = |name: &str| match value(name).ok()? {
            None => Some(None),
            Some(text) => Some(Some(text.parse::<f64>().ok()?)),
        };
        let filter = Self {
            publisher: text("publisher")?,
            subtopic: text("subtopic")?,
            name: text("name")?,
            protocol: text("protocol")?,
            value: real("v")?,
            comparator: text("comparator")?,
            string: text("vs")?,
            boolean: match value("vb").ok()? {
                None => None,
                Some(text) => Some(text.parse().ok()?),
            },
            data: text("vd")?,
            from: real("from")?,
            to: real("to")?,
        };
        let is_known = |it: &String| ["eq", "lt", "le", "gt", "ge"].contains(&it.as_str());
        filter.comparator.as_ref().is_none_or(is_known).then_some(filter)
    }

    /// The messages of a channel that are asked for, the newest first.
    pub(crate) fn find<'a>(&self, messages: &'a [Message], channel: &str) -> Vec<&'a Message> {
        let mut found: Vec<_> =
            messages.iter().filter(|it| it.channel == channel && self.is_met_by(it)).collect();
        found.sort_by(|a, b| b.record.time.total_cmp(&a.record.time));
        found
    }

    fn is_met_by(&self, message: &Message) -> bool {
        let record = &message.record;
        let is = |wanted: &Option<String>, it: &str| wanted.as_ref().is_none_or(|wanted| wanted == it);
        let is_value = |wanted: f64| {
            record.value.is_some_and(|value| match self.comparator.as_deref() {
                Some("lt") => value < wanted,
                Some("le") => value <= wanted,
                Some("gt") => value > wanted,
                Some("ge") => value >= wanted,
                _ => value == wanted,
            })
        };
        is(&self.publisher, &message.publisher)
            && is(&self.subtopic, &message.subtopic)
            && is(&self.name, &record.name)
            && is(&self.protocol, &message.protocol)
            && self.value.is_none_or(is_value)
            && self.string.as_ref().is_none_or(|wanted| record.string.as_ref() == Some(wanted))
            && self.boolean.is_none_or(|wanted| record.boolean == Some(wanted))
            && self.data.as_ref().is_none_or(|wanted| record.data.as_ref() == Some(wanted))
            && self.from.is_none_or(|from| record.time >= from)
            && self.to.is_none_or(|to| record.time < to)
    }

    /// Repeats in an answer what was asked for.
    pub(crate) fn tell(&self, body: &mut Value) {
        let texts = [
            ("publisher", &self.publisher),
            ("subtopic", &self.subtopic),
            ("name", &self.name),
            ("protocol", &self.protocol),
            ("comparator", &self.comparator),
            ("vs", &self.string),
            ("vd", &self.data),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                body[name] = json!(text);
            }
        }
        for (name, real) in [("v", self.value), ("from", self.from), ("to", self.to)] {
            if let Some(real) = real.filter(|real| *real != 0.0) {
                body[name] = number(real);
            }
        }
        if self.boolean == Some(true) {
            body["vb"] = json!(true);
        }
    }
}

/// A message as it is told, with its time as the reader has it.
pub(crate) fn told(message: &Message, time: impl Fn(f64) -> Value) -> Value {
    let record = &message.record;
    let mut told = json!({
        "channel": message.channel,
        "publisher": message.publisher,
        "protocol": message.protocol,
        "name": record.name,
        "time": time(record.time),
    });
    for (name, text) in [("subtopic", &message.subtopic), ("unit", &record.unit)] {
        if !text.is_empty() {
            told[name] = json!(text);
        }
    }
    for (name, real) in [("value", record.value), ("sum", record.sum)] {
        if let Some(real) = real {
            told[name] = number(real);
        }
    }
    for (name, text) in [("string_value", &record.string), ("data_value", &record.data)] {
        if let Some(text) = text {
            told[name] = json!(text);
        }
    }
    if let Some(boolean) = record.boolean {
        told["bool_value"] = json!(boolean);
    }
    if record.update_time != 0.0 {
        told["update_time"] = number(record.update_time);
    }
    told
}
