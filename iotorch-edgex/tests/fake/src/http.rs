//! The listeners of the services.

use std::{net::SocketAddr, sync::Arc};

use axum::http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::oneshot,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Asked, Release, Service, about,
    answer::Answer,
    command, consul, data, export, keeper, metadata, now,
    outage::{self, Fault},
    secure, south,
    system::CORRELATION,
    v1,
    world::World,
};

/// Says to another process of a chart, which holds the state, as which service it is asked.
pub(crate) const PLAYED: &str = "x-played-service";

/// Answers as a service for as long as it is wanted, and again when it is wanted again.
pub(crate) async fn serve(world: Arc<World>, service: Service, first: TcpListener, tls: Option<TlsAcceptor>) {
    let address = first.local_addr();
    let mut listener = Some(first);
    let mut wanted = world.wanted.subscribe();
    loop {
        if let Some(listener) = listener.take() {
            world.open.send_if_modified(|open| open.insert(service));
            tokio::select! {
                () = accept(&world, service, &listener, tls.as_ref()) => {}
                _ = wanted.wait_for(|wanted| !wanted.contains(&service)) => {}
            }
        }
        world.open.send_if_modified(|open| open.remove(&service));
        if wanted.wait_for(|wanted| wanted.contains(&service)).await.is_err() {
            return;
        }
        listener = match &address {
            Ok(address) => again(*address).await,
            Err(_) => return,
        };
    }
}

/// Somebody else may have the port for a moment: those who look for free ones.
async fn again(address: SocketAddr) -> Option<TcpListener> {
    loop {
        if let Ok(listener) = TcpListener::bind(address).await {
            return Some(listener);
        }
        tokio::task::yield_now().await;
    }
}

/// Its connections end with it.
async fn accept(world: &Arc<World>, service: Service, listener: &TcpListener, tls: Option<&TlsAcceptor>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        // What waits for an acknowledgement is not held back.
        let _ = stream.set_nodelay(true);
        let (world, tls) = (Arc::clone(world), tls.cloned());
        connections.spawn(async move {
            match tls {
                None => converse(world, service, stream).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        converse(world, service, stream).await;
                    }
                }
            }
        });
    }
}

async fn converse(
    world: Arc<World>,
    service: Service,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let respond = service_fn(move |request| respond(Arc::clone(&world), service, request));
    // A client that goes away is no concern of the service.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), respond).await;
}

/// Ends the connection without an answer.
#[derive(Debug)]
struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection ends here")
    }
}

impl std::error::Error for Gone {}

async fn respond(
    world: Arc<World>,
    service: Service,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Gone> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Gone)?.to_bytes().to_vec();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let played = head.headers.get(PLAYED).and_then(|name| Service::named(name.to_str().ok()?));
    let service = played.unwrap_or(service);
    let asked = Asked { service, method: head.method, path, headers: head.headers, body };
    let correlation = asked.headers.get("x-correlation-id").cloned();
    let answer = ask(&world, asked).await?;
    let answer = if service == Service::Metadata { after(&world, answer) } else { answer };
    let mut response = Response::builder().status(answer.status);
    if let Some(content_type) = answer.content_type {
        response = response.header(CONTENT_TYPE, content_type);
    }
    if let Some(correlation) = correlation {
        response = response.header("x-correlation-id", correlation);
    }
    response.body(Full::new(Bytes::from(answer.body))).map_err(|_| Gone)
}

/// Has a request worked on, even if who asked goes away.
async fn ask(world: &Arc<World>, asked: Asked) -> Result<Answer, Gone> {
    let (hold, fault) = {
        let mut state = world.state();
        if world.config.records {
            state.asked.push(asked.clone());
        }
        if state.lost.services.contains(&asked.service) {
            return Err(Gone);
        }
        let hold = state.holds.iter().position(|held| held.fits(&asked));
        let hold = hold.map(|index| state.holds.remove(index));
        (hold, outage::meet(&mut state.faults, &asked))
    };
    match fault {
        Some(Fault::Refused(status)) => {
            return Ok(Answer::refused(status, "it is a fault that was asked for"));
        }
        Some(Fault::Said(status, text)) => {
            return Ok(Answer::text(status, "text/plain; charset=utf-8", text));
        }
        Some(Fault::Lost) => return Err(Gone),
        Some(Fault::LostAnswer) | None => {}
    }
    let (tell, told) = oneshot::channel();
    let here = Arc::clone(world);
    world.spawn(async move {
        if let Some(hold) = hold {
            hold.wait().await;
        }
        let correlation = asked.headers.get("x-correlation-id").and_then(|value| value.to_str().ok());
        let correlation = correlation.map_or_else(now::uuid, str::to_owned);
        let answer = CORRELATION.scope(correlation, act(&here, &asked)).await;
        here.keep(&asked);
        // Whoever asked may be gone.
        let _ = tell.send(answer);
    });
    let answer = told.await.map_err(|_| Gone)?;
    if fault == Some(Fault::LostAnswer) { Err(Gone) } else { Ok(answer) }
}

/// What a service answers.
pub(crate) async fn act(world: &Arc<World>, asked: &Asked) -> Answer {
    if asked.service == Service::Gateway {
        return secure::answer(world, asked).await;
    }
    if world.config.release == Release::V1 {
        return v1::answer(world, asked);
    }
    if let Some(answer) = about::answer(world, asked) {
        return answer;
    }
    match asked.service {
        Service::Metadata => {
            work_goes_on(world);
            metadata::answer(world, asked).await
        }
        Service::Command => command::answer(world, asked).await,
        Service::Keeper => keeper::answer(world, asked),
        Service::Consul => consul::answer(world, asked),
        Service::Data => data::answer(world, asked),
        service if service.is_south() => south::answer(world, asked).await,
        Service::AppMqttExport => export::answer(asked),
        _ => Answer::message(404, "Not Found"),
    }
}

/// Work that goes on is done after some more requests.
fn work_goes_on(world: &Arc<World>) {
    let due = {
        let mut state = world.state();
        let due = state.requests_until_late == Some(0);
        state.requests_until_late = state.requests_until_late.and_then(|left| left.checked_sub(1));
        due
    };
    if due {
        metadata::finish(world, usize::MAX);
    }
}

/// Puts an answer that came too late before the next one, on whichever connection: what goes on takes the place of a later request.
fn after(world: &World, answer: Answer) -> Answer {
    let mut state = world.state();
    if answer.status == 503 {
        if !state.mixes {
            state.late_answer = None;
        }
        return answer;
    }
    match state.late_answer.take() {
        None => answer,
        Some(late) => {
            let mut body = late.body;
            body.push(b'\n');
            body.extend(answer.body);
            body.push(b'\n');
            Answer { body, ..late }
        }
    }
}
