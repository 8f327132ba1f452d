//! A chart repository and a registry on this machine.
#![allow(dead_code, reason = "not every test needs both")]

mod registry;
mod repository;

use axum::{Router, http::HeaderMap};
use std::net::SocketAddr;
use tokio::{net::TcpListener, task::AbortHandle};

pub(crate) use registry::Registry;
pub(crate) use repository::Repository;

/// A server that ends with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    task: AbortHandle,
}

impl Server {
    async fn start(make: impl FnOnce(SocketAddr) -> Router) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = make(address);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }).abort_handle();
        Self { address, task }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// `Authorization`, if there is one.
fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get("authorization")?.to_str().ok()
}

/// `reader` and a password, as Basic (RFC 7617) has them.
fn basic(password: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(format!("reader:{password}")))
}
