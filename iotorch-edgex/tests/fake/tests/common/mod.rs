//! Asking over HTTP with nothing between: paths go as they are, and connections are kept or not as a test wants it.

#![allow(dead_code, reason = "each test binary uses some of it")]

pub(crate) mod broker;
pub(crate) mod play;

use std::{collections::BTreeMap, net::SocketAddr};

use iotorch_transcript::{Answer, Request};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// A connection to a service, made again where it has ended.
#[derive(Debug, Default)]
pub(crate) struct Connection(Option<BufReader<TcpStream>>);

impl Connection {
    /// Asks, and gives no status where there is no answer.
    pub(crate) async fn ask(&mut self, address: SocketAddr, question: &Request) -> Answer {
        // One that was kept may have ended meanwhile.
        if self.0.is_some()
            && let Ok(answer) = self.try_ask(address, question).await
        {
            return answer;
        }
        self.0 = None;
        self.try_ask(address, question).await.unwrap_or_default()
    }

    async fn try_ask(&mut self, address: SocketAddr, question: &Request) -> std::io::Result<Answer> {
        let Request { method, path, headers, body } = question;
        let body = match body {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            json => json.to_string(),
        };
        let mut text =
            format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(&body);
        let mut stream = match self.0.take() {
            Some(stream) => stream,
            None => BufReader::new(TcpStream::connect(address).await?),
        };
        stream.write_all(text.as_bytes()).await?;
        let answer = read(&mut stream).await?;
        self.0 = Some(stream);
        Ok(answer)
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Answer> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let gone = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(gone)?;
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let text = String::from_utf8_lossy(&body).into_owned();
    let body = match serde_json::from_str(&text) {
        Ok(json) => json,
        Err(_) if text.is_empty() => Value::Null,
        Err(_) => text.into(),
    };
    Ok(Answer { status: Some(status), headers, body })
}

/// A request with a body of JSON.
pub(crate) fn request(method: &str, path: &str, body: Value) -> Request {
    Request { method: method.to_owned(), path: path.to_owned(), headers: BTreeMap::new(), body }
}

/// Asks on a connection of its own.
pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str, body: Value) -> Answer {
    Connection::default().ask(address, &request(method, path, body)).await
}
