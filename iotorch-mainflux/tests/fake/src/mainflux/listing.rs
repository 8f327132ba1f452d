//! Lists of Mainflux: their queries, their order and their pages.

use serde_json::{Value, json};

use super::{BAD_QUERY, MALFORMED, refused};
use crate::{
    ask::{Answer, Ask},
    matching::{contains, has},
    state::Made,
};

/// The most that a page may have.
const MOST: u64 = 100;

/// How long a name may be.
pub(super) const NAME: usize = 1024;

/// The one value of a name in the query.
///
/// # Errors
/// It is there more than once, where a comma is as good as another time.
pub(super) fn value<'a>(ask: &'a Ask, name: &str) -> Result<Option<&'a str>, Answer> {
    let mut values = ask.query.iter().filter(|(it, _)| it == name).map(|(_, value)| value.as_str());
    let value = values.next();
    if values.next().is_some() || value.is_some_and(|value| value.contains(',')) {
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

/// What of a list is asked for.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) offset: u64,
    pub(super) limit: u64,
    pub(super) name: String,
    pub(super) metadata: Option<Value>,
    order: String,
    direction: String,
    pub(super) is_disconnected: bool,
}

/// What can be listed.
pub(super) trait Listed {
    fn id(&self) -> &str;
    fn name(&self) -> &str;
    fn metadata(&self) -> Option<&Value>;
    fn made(&self) -> &Made;
    fn told(&self) -> Value;
}

impl Page {
    /// As the query says.
    pub(super) fn of_query(ask: &Ask) -> Result<Self, Answer> {
        let metadata = match value(ask, "metadata")? {
            None => None,
            Some(text) => Some(serde_json::from_str(text).map_err(|_| refused(400, BAD_QUERY))?),
        };
        let page = Self {
            offset: number(ask, "offset", 0)?,
            limit: number(ask, "limit", 10)?,
            name: value(ask, "name")?.unwrap_or_default().to_owned(),
            metadata,
            order: value(ask, "order")?.unwrap_or_default().to_owned(),
            direction: value(ask, "dir")?.unwrap_or_default().to_owned(),
            is_disconnected: value(ask, "disconnected")? == Some("true"),
        };
        page.checked()
    }

    /// As the body of a search says.
    pub(super) fn of_body(ask: &Ask) -> Result<Self, Answer> {
        let body: Value = ask.read().ok_or_else(|| refused(400, MALFORMED))?;
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let page = Self {
            offset: body["offset"].as_u64().unwrap_or_default(),
            limit: body["limit"].as_u64().unwrap_or_default(),
            name: text("name"),
            metadata: body.get("metadata").filter(|metadata| !metadata.is_null()).cloned(),
            order: text("order"),
            direction: text("dir"),
            is_disconnected: false,
        };
        page.or_ten().checked()
    }

    /// With ten where nothing is asked for.
    pub(super) fn or_ten(mut self) -> Self {
        if self.limit == 0 {
            self.limit = 10;
        }
        self
    }

    fn checked(self) -> Result<Self, Answer> {
        let is_right = self.limit <= MOST
            && self.name.len() <= NAME
            && ["", "name", "id"].contains(&self.order.as_str())
            && ["", "asc", "desc"].contains(&self.direction.as_str());
        if is_right { Ok(self) } else { Err(refused(400, MALFORMED)) }
    }

    /// The page of all that there is, in its order.
    pub(super) fn of<'a, T: Listed + 'a>(&self, what: &str, all: impl Iterator<Item = &'a T>) -> Answer {
        let nothing = json!({});
        let is_meant = |it: &&T| {
            (self.name.is_empty() || has(it.name(), &self.name))
                && self.metadata.as_ref().is_none_or(|part| contains(it.metadata().unwrap_or(&nothing), part))
        };
        let mut all: Vec<&T> = all.filter(is_meant).collect();
        all.sort_by(|a, b| {
            let order = if self.order == "name" { a.name().cmp(b.name()) } else { a.id().cmp(b.id()) };
            let order = if self.direction == "asc" { order } else { order.reverse() };
            // Those of the same name stay in the order in which they were made.
            order.then(a.made().number.cmp(&b.made().number))
        });
        let (offset, limit) = (self.offset, self.limit);
        let skipped = all.iter().skip(usize::try_from(offset).unwrap_or(usize::MAX));
        let page: Vec<Value> =
            skipped.take(usize::try_from(limit).unwrap_or(usize::MAX)).map(|it| it.told()).collect();
        let mut body = json!({
            "total": all.len(),
            "offset": offset,
            "limit": limit,
            "order": self.order,
            "direction": self.direction,
        });
        body[what] = page.into();
        Answer::json(200, &body)
    }
}
