//! HTTP: what was asked is noted, goes wrong if it is to, and is answered.
//!
//! It is served by `hyper` itself, as a router's handler cannot end a connection without an answer.

use std::{
    error::Error,
    fmt,
    sync::{Arc, PoisonError},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;

use crate::{
    Service,
    ask::{Answer, Ask, decode_query},
    dialect,
    fake::Inner,
    faults::Fault,
};

/// A request over HTTP, and what became of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Asked {
    /// The service that was asked.
    pub service: Service,
    /// The method.
    pub method: String,
    /// The path with its query, as it was sent.
    pub path: String,
    /// What was in `Authorization`.
    pub authorization: Option<String>,
    /// The body as a text.
    pub body: String,
    /// The status of the answer; none as long as there is none, or where it was lost.
    pub status: Option<u16>,
}

/// The answer is lost: the connection ends without it.
#[derive(Debug)]
struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is lost")
    }
}

impl Error for Lost {}

/// Serves a connection until it ends.
pub(crate) async fn serve(inner: Arc<Inner>, service: Service, stream: TcpStream) {
    let answering = service_fn(move |request| {
        let inner = Arc::clone(&inner);
        async move { answer(inner, service, request).await }
    });
    // That a connection ends is nothing that anybody here has to know.
    _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answering).await;
}

async fn answer(
    inner: Arc<Inner>,
    service: Service,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Lost> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Lost)?.to_bytes();
    let header = |name: HeaderName| Some(head.headers.get(name)?.to_str().ok()?.to_owned());
    let path = head.uri.path().trim_start_matches('/');
    let ask = Ask {
        service,
        method: head.method.clone(),
        path: percent_decode_str(path).decode_utf8_lossy().into_owned(),
        query: decode_query(head.uri.query().unwrap_or_default()),
        authorization: header(AUTHORIZATION),
        content_type: header(CONTENT_TYPE),
        body,
    };
    let target = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let number = note(&inner, &ask, &target);
    let fault = inner.faults.take(ask.method.as_str(), &target);
    let is_lost = matches!(fault, Some(Fault::LoseAnswer));
    // A task of its own, which acts even when who has asked is gone.
    let answering = tokio::spawn({
        let inner = Arc::clone(&inner);
        async move { act(&inner, &ask, fault).await }
    });
    let answer = answering.await.map_err(|_| Lost)?;
    if is_lost {
        return Err(Lost);
    }
    if let Some(asked) = inner.asked.lock().unwrap_or_else(PoisonError::into_inner).get_mut(number) {
        asked.status = Some(answer.status);
    }
    Ok(answer.into_response())
}

fn note(inner: &Inner, ask: &Ask, path: &str) -> usize {
    let mut asked = inner.asked.lock().unwrap_or_else(PoisonError::into_inner);
    asked.push(Asked {
        service: ask.service,
        method: ask.method.to_string(),
        path: path.to_owned(),
        authorization: ask.authorization.clone(),
        body: String::from_utf8_lossy(&ask.body).into_owned(),
        status: None,
    });
    asked.len() - 1
}

async fn act(inner: &Inner, ask: &Ask, fault: Option<Fault>) -> Answer {
    if let Some(Fault::Answer(status)) = fault {
        return Answer::bare(status);
    }
    if let Some(Fault::Hold(held)) = &fault {
        held.wait().await;
    }
    let answer = {
        let mut world = inner.world();
        let answer = dialect::answer(&mut world, ask);
        if ask.method != Method::GET {
            world.keep();
        }
        answer
    };
    if let Some(Fault::Hold(held)) = &fault {
        held.finish();
    }
    if !answer.after.is_zero() {
        tokio::time::sleep(answer.after).await;
    }
    answer
}
