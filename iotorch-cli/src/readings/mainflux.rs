//! Channels at servers of Mainflux, SuperMQ and Magistrala, read by their readers.

use std::sync::Arc;

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use iotorch_core::{Error, ErrorKind, Result};
use iotorch_lite::senml::{self, Record};
use iotorch_mainflux::{Messages, Query, Time, Value};

use super::{
    Attached,
    paged::{Newest, Paged, Pages, Wanted},
    reader::Reader,
};
use crate::{installation::Session, management::trust};

/// Nanoseconds in a second.
const NANOSECONDS: f64 = 1e9;

/// What reads the channel of an attachment.
pub(super) async fn reader(there: &Attached<'_>, session: &Session) -> Result<Option<Arc<dyn Reader>>> {
    // Without a credential nothing can have been sent.
    let Some(credential) = &there.credential else { return Ok(None) };
    let cx = session.context(there.server.endpoints.values()).await?;
    let trust = trust(there.spec);
    let messages =
        Messages::open(&cx, there.server, there.account, there.there, credential, trust.as_deref()).await?;
    Ok(Some(Arc::new(Paged(Arc::new(messages)))))
}

#[async_trait]
impl Pages for Messages {
    async fn ask(&self, wanted: &Wanted) -> Result<Newest> {
        let Wanted { name, from, to, offset, limit } = wanted;
        let query = Query {
            name: name.clone(),
            from: from.map(time).transpose()?,
            to: to.map(time).transpose()?,
            offset: *offset,
            limit: *limit,
        };
        let page = self.page(&query).await?;
        Ok(Newest { total: page.total, records: page.records.into_iter().map(record).collect() })
    }
}

/// A time in seconds, to the microsecond: a double of seconds since 1970 has no more.
fn time(seconds: f64) -> Result<Time> {
    let text = format!("{seconds:.6}");
    text.parse().map_err(|error: Error| {
        Error::new(ErrorKind::Invalid, format!("cannot ask for messages of time {seconds}"))
            .with_source(error)
    })
}

#[allow(clippy::cast_precision_loss, reason = "a record has its time as a double")]
fn record(stored: iotorch_mainflux::Record) -> Record {
    let value = stored.value.map(|value| match value {
        Value::Number(number) => senml::Value::Number(number),
        Value::String(text) => senml::Value::Text(text),
        Value::Bool(on) => senml::Value::Bool(on),
        // What is no base64 is shown as it is.
        Value::Data(text) => match URL_SAFE_NO_PAD.decode(&text) {
            Ok(bytes) => senml::Value::Data(bytes),
            Err(_) => senml::Value::Text(text),
        },
    });
    let nanoseconds = stored.time.nanoseconds();
    let exact = i64::try_from(nanoseconds).ok();
    let seconds = nanoseconds as f64 / NANOSECONDS;
    let mut record = match exact {
        Some(nanoseconds) => Record::at_nanoseconds(stored.name, nanoseconds, senml::Value::Bool(false)),
        None => Record::new(stored.name, seconds, senml::Value::Bool(false)),
    };
    (record.value, record.unit, record.sum) = (value, stored.unit, stored.sum);
    record
}
