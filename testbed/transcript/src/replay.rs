//! Asking the recorded questions again.

use std::{collections::BTreeMap, fmt};

use reqwest::{Client, Method};
use serde_json::Value;

use crate::{Line, Request, value::Known};

/// What a fake answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The status; none where there is no answer.
    pub status: Option<i64>,
    /// The headers, by their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// JSON, or a text that is none.
    pub body: Value,
}

/// Whether a field of an answer is another one each time.
type Varies = dyn Fn(&Line, &str) -> bool + Send + Sync;

/// A transcript in the course of being held against a fake.
pub struct Replay {
    known: Known,
    varies: Box<Varies>,
}

impl Replay {
    /// `varies` says by the name of a field in the answer to a line that its value is another one each time, such as that
    /// of a time in nanoseconds.
    pub fn new(varies: impl Fn(&Line, &str) -> bool + Send + Sync + 'static) -> Self {
        Self { known: Known::default(), varies: Box::new(varies) }
    }

    /// The question of a line, as it has to be asked here.
    pub fn question(&mut self, line: &Line) -> Request {
        let Request { method, path, headers, body } = &line.request;
        self.known.note_chosen(path);
        self.known.note_chosen(&body.to_string());
        headers.values().for_each(|value| self.known.note_chosen(&value.to_string()));
        let headers = headers.iter().map(|(name, value)| (name.clone(), self.known.put_into(value)));
        Request {
            method: method.clone(),
            path: self.known.put_in(path),
            headers: headers.collect(),
            body: self.known.put_into(body),
        }
    }

    /// Holds an answer against the recorded one. Headers that were not recorded are not compared.
    ///
    /// # Errors
    /// The first difference, in words.
    pub fn judge(&mut self, line: &Line, answer: &Answer) -> Result<(), String> {
        let recorded = &line.response;
        if recorded.status != answer.status {
            let (recorded, here) = (recorded.status, answer.status);
            return Err(format!(
                "status {recorded:?} was recorded, and here it is {here:?}: {}",
                answer.body
            ));
        }
        for (name, value) in &recorded.headers {
            let here = answer.headers.get(&name.to_lowercase());
            let here = here.ok_or_else(|| format!("header {name} was {value}, and here there is none"))?;
            self.known.compare_texts(value, here).map_err(|why| format!("header {name} {why}"))?;
        }
        // A recording has no body as an empty one.
        let body = if recorded.body == "" { &Value::Null } else { &recorded.body };
        self.known.compare(body, &answer.body, &|name| (self.varies)(line, name))
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("known", &self.known).finish_non_exhaustive()
    }
}

/// Asks a question over HTTP at `base` (such as `http://127.0.0.1:8180`), with just the headers that it names.
///
/// # Errors
/// Why there was no answer.
pub async fn call(client: &Client, base: &str, question: &Request) -> Result<Answer, reqwest::Error> {
    let method = Method::from_bytes(question.method.as_bytes()).unwrap_or_default();
    let mut request = client.request(method, format!("{base}{}", question.path));
    for (name, value) in &question.headers {
        request = request.header(name, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    request = match &question.body {
        Value::Null => request,
        Value::String(text) => request.body(text.clone()),
        json => request.body(json.to_string()),
    };
    let answer = request.send().await?;
    let status = Some(i64::from(answer.status().as_u16()));
    let headers = answer.headers().iter();
    let headers = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let text = answer.text().await?;
    let body = match serde_json::from_str(&text) {
        Ok(json) => json,
        Err(_) if text.is_empty() => Value::Null,
        Err(_) => text.into(),
    };
    Ok(Answer { status, headers, body })
}
