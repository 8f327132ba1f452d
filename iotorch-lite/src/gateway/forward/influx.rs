//! Exports to InfluxDB, by its HTTP API (InfluxDB 1.x, `/write`; InfluxDB 2.x and 3.x have it too).

use super::{ACKNOWLEDGED_WITHIN, Target, line::line, pack::Unsendable};
use crate::{senml::Record, tls};
use reqwest::{Client, RequestBuilder, StatusCode};
use std::{fmt::Write, path::Path};

/// How much of an answer is told.
const SHOWN: usize = 300;

/// What InfluxDB says of points that it does not take, whatever else is in the same request. Anything else that it refuses may be
/// taken later.
const WRONG_POINTS: [&str; 3] = ["partial write", "unable to parse", "field type conflict"];

/// A database, and how to write to it.
#[derive(Debug)]
pub(super) struct Database<'a> {
    http: Client,
    base_url: String,
    target: &'a Target,
}

/// Why nothing of a request was written.
enum Refused {
    /// The points are wrong and stay wrong.
    Points(String),
    Other(String),
}

impl<'a> Database<'a> {
    /// Finds out whether a database can be reached.
    pub(super) async fn connect(target: &'a Target, trust: Option<&Path>) -> Result<Self, String> {
        let (export, scheme) = (&target.export, if target.export.tls { "https" } else { "http" });
        let tls = if export.tls { tls::trusting(trust) } else { tls::trusting_nobody() };
        let tls = tls.map_err(|error| error.to_string())?;
        let http = Client::builder()
            .timeout(ACKNOWLEDGED_WITHIN)
            .no_proxy()
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|error| chain(&error))?;
        let host = if export.host.contains(':') { format!("[{}]", export.host) } else { export.host.clone() };
        let database = Self { http, base_url: format!("{scheme}://{host}:{}", export.port), target };
        // Some ask who it is even for that.
        let ping = database.authorized(database.http.get(format!("{}/ping", database.base_url)));
        match database.ask(ping).await? {
            (status, _) if status.is_success() => Ok(database),
            (status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), text) => {
                Err(refused_login(status, &text))
            }
            (status, text) => Err(format!("the target does not answer as InfluxDB does: {status} {text}")),
        }
    }

    /// Writes records. Where InfluxDB refuses some of them, it is found out which, and the others are written.
    pub(super) async fn write(&self, records: &[Record]) -> Result<Vec<Unsendable>, String> {
        let (mut lines, mut unsendable) = (Vec::with_capacity(records.len()), Vec::new());
        for record in records {
            match line(record) {
                Ok(line) => lines.push((record, line)),
                Err(wrong) => unsendable.push(wrong),
            }
        }
        let mut left: Vec<&[(&Record, String)]> = if lines.is_empty() { Vec::new() } else { vec![&lines] };
        while let Some(lines) = left.pop() {
            match (self.post(lines).await, lines) {
                (Ok(()), _) => {}
                (Err(Refused::Points(why)), [(record, _)]) => {
                    unsendable.push(Unsendable::new(&record.name, format!("was refused: {why}")));
                }
                // What was written already is the same point again.
                (Err(Refused::Points(_)), lines) => {
                    let (first, second) = lines.split_at(lines.len() / 2);
                    left.extend([second, first]);
                }
                (Err(Refused::Other(why)), _) => return Err(why),
            }
        }
        Ok(unsendable)
    }

    async fn post(&self, lines: &[(&Record, String)]) -> Result<(), Refused> {
        let mut body = String::new();
        for (_, line) in lines {
            // Writing to a string cannot fail.
            let _ = writeln!(body, "{line}");
        }
        let url = format!("{}/write", self.base_url);
        let query = [("db", self.target.export.topic.as_str()), ("precision", "ns")];
        let request = self.authorized(self.http.post(url).query(&query)).body(body);
        let (status, text) = self.ask(request).await.map_err(Refused::Other)?;
        if status.is_success() {
            return Ok(());
        }
        let why = serde_json::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|answer| {
                Some(answer.get("error").or_else(|| answer.get("message"))?.as_str()?.to_owned())
            })
            .unwrap_or(text);
        let wrong = matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)
            && WRONG_POINTS.iter().any(|words| why.contains(words));
        Err(match status {
            _ if wrong => Refused::Points(why),
            StatusCode::PAYLOAD_TOO_LARGE => Refused::Points("it is too large".to_owned()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Refused::Other(refused_login(status, &why)),
            _ => Refused::Other(format!("the target refused readings: {status} {why}")),
        })
    }

    /// A user and a password, or a token.
    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match (self.target.login(), &self.target.secret) {
            (Some((user, password)), _) => request.basic_auth(user, Some(password)),
            (None, Some(token)) => request.header("Authorization", format!("Token {}", token.expose())),
            (None, None) => request,
        }
    }

    async fn ask(&self, request: RequestBuilder) -> Result<(StatusCode, String), String> {
        let export = &self.target.export;
        let failed = |error: reqwest::Error| {
            format!("no connection to {}:{}: {}", export.host, export.port, chain(&error.without_url()))
        };
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        Ok((status, text.trim().chars().take(SHOWN).collect()))
    }
}

fn refused_login(status: StatusCode, why: &str) -> String {
    format!("the target refused the login: {status} {why}")
}

/// An error and what it comes from: of itself it only says that a request failed.
fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
