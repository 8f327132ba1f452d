//! Messages of a channel, read back.

mod time;

use crate::{
    client::{Account, Api, Call, Dialect, Failure, Service, Services, Tokens, ask_health, http, part},
    convert::{account, dialect_of, domain_of},
};
use iotorch_core::{
    Context, Error, ErrorKind, Result,
    resource::{ApplicationOutputs, AttachmentOutputs, CredentialOutputs, TenantOutputs},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{fmt, path::Path, sync::Arc};
use typed_builder::TypedBuilder;

pub use self::time::Time;

/// The most records in a page. Magistrala gives no more.
const LONGEST_PAGE: u64 = 1000;

/// What the reader of Mainflux 0.13 says to a key that may not read, with status 500; that of 0.12 says nothing.
const NOT_ADMITTED: &str = "failed to perform authorization over the entity";

/// Which records are asked for.
///
/// # Examples
/// ```
/// use iotorch_mainflux::Query;
///
/// let query = Query::builder().name("bench-1:temperature").from("1700000000".parse().unwrap()).build();
/// assert_eq!((query.limit, query.offset), (100, 0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, TypedBuilder)]
pub struct Query {
    /// Only records with exactly this name.
    #[builder(default, setter(into, strip_option))]
    pub name: Option<String>,
    /// Only records of this time or later.
    #[builder(default, setter(strip_option))]
    pub from: Option<Time>,
    /// Only records before this time.
    #[builder(default, setter(strip_option))]
    pub to: Option<Time>,
    /// The most records in the page, 1 to 1000; 100 if not set.
    #[builder(default = 100)]
    pub limit: u64,
    /// How many records are passed over, for the next page.
    #[builder(default)]
    pub offset: u64,
}

impl Default for Query {
    fn default() -> Self {
        Self::builder().build()
    }
}

/// A part of the records that were asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// How many records there are in all.
    pub total: u64,
    /// The records, the newest first.
    pub records: Vec<Record>,
}

/// A record of SenML (RFC 8428), as the server has stored it: resolved, with what it added.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// The name.
    pub name: String,
    /// The unit.
    pub unit: Option<String>,
    /// The time, exactly as the server gives it.
    pub time: Time,
    /// The value, if the record has more than a sum.
    pub value: Option<Value>,
    /// The sum.
    pub sum: Option<f64>,
    /// The id of the thing or client that sent it.
    pub publisher: String,
    /// What it was sent to below the channel.
    pub subtopic: String,
}

/// A value of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number (`v`).
    Number(f64),
    /// A text (`vs`).
    String(String),
    /// A truth value (`vb`).
    Bool(bool),
    /// Bytes in base64url (`vd`).
    Data(String),
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => fmt::Display::fmt(number, out),
            Self::String(text) | Self::Data(text) => out.write_str(text),
            Self::Bool(truth) => fmt::Display::fmt(truth, out),
        }
    }
}

/// The messages of a channel.
///
/// # Examples
/// ```no_run
/// # async fn example(
/// #     cx: &iotorch_core::Context,
/// #     application: &iotorch_core::resource::ApplicationOutputs,
/// #     tenant: &iotorch_core::resource::TenantOutputs,
/// #     attachment: &iotorch_core::resource::AttachmentOutputs,
/// #     credential: &iotorch_core::resource::CredentialOutputs,
/// # ) -> iotorch_core::Result<()> {
/// use iotorch_mainflux::{Messages, Query};
///
/// let messages = Messages::open(cx, application, tenant, attachment, credential, None).await?;
/// for record in messages.page(&Query::builder().limit(10).build()).await?.records {
///     println!("{} {} {:?}", record.time, record.name, record.value);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Messages {
    api: Api,
    /// Mainflux lets things read, SuperMQ and Magistrala users.
    reader: Reader,
    path: String,
    channel: String,
}

enum Reader {
    Thing(iotorch_core::secret::SecretValue),
    User(Account),
}

impl fmt::Debug for Reader {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Thing(_) => "Thing(…)",
            Self::User(_) => "User(…)",
        })
    }
}

impl Messages {
    /// The messages that were sent to an attachment. `trust` is a PEM file of the authorities to trust with TLS in place of the system's.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the server has no endpoint `reader`; what the secret store and the places say.
    pub async fn open(
        cx: &Context,
        application: &ApplicationOutputs,
        tenant: &TenantOutputs,
        attachment: &AttachmentOutputs,
        credential: &CredentialOutputs,
        trust: Option<&Path>,
    ) -> Result<Self> {
        let channel = attachment.channel.clone();
        let what = || format!("cannot read the messages of channel \"{channel}\"");
        let unsupported = |why: String| Error::new(ErrorKind::Unsupported, what()).with_source(why);
        let dialect = dialect_of(application)
            .ok_or_else(|| unsupported(format!("release {:?} is not known", application.version)))?;
        let failed = |failure: Failure| failure.into_error(what());
        let client = http(trust).map_err(failed)?;
        let services = Services::new(client, cx.places.clone(), application.endpoints.clone());
        if services.endpoint(Service::Reader).is_none() {
            return Err(unsupported("the server has no endpoint \"reader\"".to_owned()));
        }
        let part = part(&channel).map_err(failed)?;
        let (reader, path) = if dialect.is_mainflux() {
            (Reader::Thing(cx.secret(&credential.secret).await?), format!("/channels/{part}/messages"))
        } else {
            let user = account(dialect, &tenant.id, cx.secret(&tenant.secret).await?);
            (Reader::User(user), format!("/{}/channels/{part}/messages", domain_of(&tenant.id)))
        };
        let api = Api::new(services, dialect, Arc::new(Tokens::default()));
        Ok(Self { api, reader, path, channel })
    }

    /// A page of the records.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a limit out of range; [`ErrorKind::Denied`] if the server does not let the channel be read, and
    /// [`ErrorKind::Unavailable`] while the reader, or what it needs, is away.
    pub async fn page(&self, query: &Query) -> Result<Page> {
        let what = || format!("cannot read the messages of channel \"{}\"", self.channel);
        if query.limit == 0 || query.limit > LONGEST_PAGE {
            let why = format!("a page has 1 to {LONGEST_PAGE} records, and not {}", query.limit);
            return Err(Error::new(ErrorKind::Invalid, what()).with_source(why));
        }
        self.fetch(query).await.map_err(|failure| failure.into_error(what()))
    }

    async fn fetch(&self, query: &Query) -> Result<Page, Failure> {
        let dialect = self.api.dialect;
        let call = Call::get(Service::Reader, &self.path);
        let mut call = call.with("offset", query.offset).with("limit", query.limit);
        if let Some(name) = &query.name {
            call = call.with("name", name);
        }
        for (bound, time) in [("from", query.from), ("to", query.to)] {
            if let Some(time) = time {
                let is_in_seconds = dialect.is_mainflux();
                call = call.with(
                    bound,
                    if is_in_seconds { time.to_string() } else { time.nanoseconds().to_string() },
                );
            }
        }
        let answer = match &self.reader {
            Reader::Thing(key) => {
                let prefix = if dialect == Dialect::MainfluxBearer { "Thing " } else { "" };
                let answer =
                    self.api.services.send(&call, Some(&format!("{prefix}{}", key.expose()))).await?;
                if answer.status == 500 && ["", NOT_ADMITTED].contains(&answer.message().as_str()) {
                    return Err(self.unread().await);
                }
                answer
            }
            Reader::User(user) => {
                let answer = self.api.call(user, &call).await?;
                if answer.status == 403 {
                    return Err(self.api.forbidden(user, answer.failure()).await);
                }
                answer
            }
        };
        let wire: Wire = answer.success()?.read()?;
        let unreadable = |why: String| Failure::Unreadable(Service::Reader, why);
        let records = wire.messages.unwrap_or_default().into_iter();
        let records =
            records.map(|record| record.resolve(dialect).map_err(unreadable)).collect::<Result<_, _>>()?;
        Ok(Page { total: wire.total, records })
    }

    /// Why the reader does not admit the key. It says so of a wrong one, of a channel that the thing is not connected to, and while
    /// "things" is away, which "things" itself is asked about.
    async fn unread(&self) -> Failure {
        match ask_health(&self.api.services, Service::Things).await {
            // Behind a proxy that stands for all, nobody tells.
            Ok(_) | Err(Failure::Answer { status: 404, .. }) => Failure::Unread,
            Err(away) => away,
        }
    }
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    total: u64,
    /// Mainflux leaves it out when there are none.
    #[serde(default)]
    messages: Option<Vec<WireRecord>>,
}

#[derive(Deserialize)]
struct WireRecord {
    #[serde(default)]
    name: String,
    #[serde(default)]
    unit: Option<String>,
    /// Read as a text: a double would not hold nanoseconds.
    #[serde(default)]
    time: Option<Box<RawValue>>,
    #[serde(default)]
    value: Option<f64>,
    #[serde(default)]
    string_value: Option<String>,
    #[serde(default)]
    bool_value: Option<bool>,
    #[serde(default)]
    data_value: Option<String>,
    #[serde(default)]
    sum: Option<f64>,
    #[serde(default)]
    publisher: String,
    #[serde(default)]
    subtopic: String,
}

impl WireRecord {
    fn resolve(self, dialect: Dialect) -> Result<Record, String> {
        let text = self.time.as_ref().map_or("0", |time| time.get());
        let time = if dialect.is_mainflux() { Time::of_seconds(text) } else { Time::of_nanoseconds(text) };
        let time = time.ok_or_else(|| format!("{text} is not a time"))?;
        let value = self
            .value
            .map(Value::Number)
            .or_else(|| self.string_value.map(Value::String))
            .or_else(|| self.bool_value.map(Value::Bool))
            .or_else(|| self.data_value.map(Value::Data));
        let unit = self.unit.filter(|unit| !unit.is_empty());
        let Self { name, sum, publisher, subtopic, .. } = self;
        Ok(Record { name, unit, time, value, sum, publisher, subtopic })
    }
}
