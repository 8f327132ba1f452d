//! Lists that come in pages.

use super::{Account, Api, Call, Failure};
use serde_json::Value;
use std::collections::HashSet;

/// The most entries that a service gives at once.
const PAGE: usize = 100;

/// How often a list is read anew that changed while it was read. One that changes all the time is told as such.
const READINGS: usize = 3;

impl Api {
    /// A whole list, whose entries are under `key`. What is missing from it is not there: a list that was cut, or that changed while
    /// it was read, is read anew, and then is an error.
    pub(crate) async fn list(
        &self,
        account: &Account,
        call: &Call,
        key: &str,
    ) -> Result<Vec<Value>, Failure> {
        let (mut read, mut total) = (0, 0);
        for _ in 0..READINGS {
            match self.read_list(account, call, key).await? {
                Ok(entries) => return Ok(entries),
                Err(seen) => (read, total) = seen,
            }
        }
        Err(Failure::Incomplete { service: call.service, read, total })
    }

    /// A list, or how many of how many entries could be read.
    async fn read_list(
        &self,
        account: &Account,
        call: &Call,
        key: &str,
    ) -> Result<Result<Vec<Value>, (usize, u64)>, Failure> {
        let mut entries: Vec<Value> = Vec::new();
        let mut ids = HashSet::new();
        let mut expected = None;
        loop {
            let page = call.clone().with("offset", entries.len()).with("limit", PAGE);
            let mut page: Value = self.call(account, &page).await?.success()?.read()?;
            let unreadable = |why: &str| Failure::Unreadable(call.service, why.to_owned());
            let total = page
                .get("total")
                .and_then(Value::as_u64)
                .ok_or_else(|| unreadable("a list without a total"))?;
            let found = match page.get_mut(key).map(Value::take) {
                Some(Value::Array(found)) => found,
                // SuperMQ leaves out what is empty.
                None | Some(Value::Null) => Vec::new(),
                Some(_) => return Err(unreadable("a list that is none")),
            };
            let is_last = found.is_empty();
            for entry in &found {
                let id = entry
                    .get("id")
                    .and_then(Value::as_str)
                    .ok_or_else(|| unreadable("an entry without an id"))?;
                ids.insert(id.to_owned());
            }
            entries.extend(found);
            let is_steady = *expected.get_or_insert(total) == total && ids.len() == entries.len();
            match (entries.len() as u64).cmp(&total) {
                _ if !is_steady => return Ok(Err((ids.len(), total))),
                std::cmp::Ordering::Equal => return Ok(Ok(entries)),
                std::cmp::Ordering::Less if !is_last => {}
                _ => return Ok(Err((ids.len(), total))),
            }
        }
    }
}
