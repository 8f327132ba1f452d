//! Lists of SuperMQ: their queries, their order and their pages.

use serde_json::{Value, json};

use super::refused;
use crate::{
    ask::{Answer, Ask},
    matching::{contains, has},
    state::{Channel, Domain, Made, Thing, User},
};

const BAD_QUERY: &str = "invalid query parameters";

/// The most that a page may have.
const MOST: u64 = 100;

/// What of a list is asked for.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) offset: u64,
    pub(super) limit: u64,
    name: String,
    metadata: Option<Value>,
    id: Option<String>,
    status: String,
    is_by_name: bool,
    is_ascending: bool,
}

/// What can be listed.
pub(super) trait Listed {
    fn id(&self) -> &str;
    fn name(&self) -> &str;
    fn metadata(&self) -> Option<&Value>;
    fn made(&self) -> &Made;
    fn is_enabled(&self) -> bool;
}

macro_rules! listed {
    ($($kind:ident),*) => {$(
        impl Listed for $kind {
            fn id(&self) -> &str {
                &self.id
            }

            fn name(&self) -> &str {
                &self.name
            }

            fn metadata(&self) -> Option<&Value> {
                self.metadata.as_ref()
            }

            fn made(&self) -> &Made {
                &self.made
            }

            fn is_enabled(&self) -> bool {
                self.is_enabled
            }
        }
    )*};
}

listed!(User, Domain, Thing, Channel);

/// The one value of a name in the query.
pub(super) fn value<'a>(ask: &'a Ask, name: &str) -> Result<Option<&'a str>, Answer> {
    let mut values = ask.query.iter().filter(|(it, _)| it == name).map(|(_, value)| value.as_str());
    let value = values.next();
    if values.next().is_some() {
        return Err(refused(400, BAD_QUERY));
    }
    Ok(value.filter(|value| !value.is_empty()))
}

/// A number of the query.
pub(super) fn number(ask: &Ask, name: &str, otherwise: u64) -> Result<u64, Answer> {
    match value(ask, name)? {
        None => Ok(otherwise),
        Some(text) => text.parse().map_err(|_| refused(400, BAD_QUERY)),
    }
}

/// A limit between 1 and the most that is allowed.
pub(super) fn limit(ask: &Ask, most: u64) -> Result<u64, Answer> {
    let limit = number(ask, "limit", 10)?;
    if limit == 0 || limit > most {
        return Err(refused(400, "invalid limit size"));
    }
    Ok(limit)
}

impl Page {
    /// As the query says; by `name`, the name of the query that a name is asked for with.
    pub(super) fn read(ask: &Ask, name: &str) -> Result<Self, Answer> {
        let metadata = match value(ask, "metadata")? {
            None => None,
            Some(text) => Some(serde_json::from_str(text).map_err(|_| refused(400, BAD_QUERY))?),
        };
        Ok(Self {
            offset: number(ask, "offset", 0)?,
            limit: limit(ask, MOST)?,
            name: value(ask, name)?.unwrap_or_default().to_owned(),
            metadata,
            id: value(ask, "id")?.map(str::to_owned),
            status: value(ask, "status")?.unwrap_or("enabled").to_owned(),
            is_by_name: value(ask, "order")? == Some("name"),
            is_ascending: value(ask, "dir")? == Some("asc"),
        })
    }

    /// The page of all that there is: what was made or changed last is first.
    pub(super) fn of<'a, T: Listed + 'a>(
        &self,
        what: &str,
        all: impl Iterator<Item = &'a T>,
        tell: impl Fn(&'a T) -> Value,
    ) -> Answer {
        let nothing = json!({});
        let is_meant = |it: &&T| {
            (self.name.is_empty() || has(it.name(), &self.name))
                && self.id.as_ref().is_none_or(|id| it.id() == id)
                && (self.status == "all" || self.status == super::status(it.is_enabled()))
                && self.metadata.as_ref().is_none_or(|part| contains(it.metadata().unwrap_or(&nothing), part))
        };
        let mut all: Vec<&T> = all.filter(is_meant).collect();
        all.sort_by(|a, b| {
            let order =
                if self.is_by_name { a.name().cmp(b.name()) } else { a.made().number.cmp(&b.made().number) };
            if self.is_ascending { order } else { order.reverse() }
        });
        let page = all.iter().skip(usize::try_from(self.offset).unwrap_or(usize::MAX));
        let page: Vec<Value> =
            page.take(usize::try_from(self.limit).unwrap_or(usize::MAX)).map(|it| tell(it)).collect();
        let mut body = json!({ "limit": self.limit, "total": all.len() });
        if self.offset > 0 {
            body["offset"] = json!(self.offset);
        }
        // Only users are an empty list when there are none.
        if !page.is_empty() || what == "users" {
            body[what] = page.into();
        }
        Answer::json(200, &body)
    }
}
