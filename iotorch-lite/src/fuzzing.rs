//! What fuzz targets reach of a gateway: the code that reads what devices send, in this process.
//!
//! It is there only with `--cfg fuzzing`, and may change with any release.

pub use crate::{
    broker::fuzzing::Mqtt,
    coap::fuzzing::{Coap, Crowd, Talk},
    gateway::fuzzing::{DEVICE, Gateway, Outbox, PACKET, PASSWORD, Reading, judge, profile},
};

use crate::{http, seats::Seats, web};
use axum::Router;
use std::{net::Ipv4Addr, sync::Arc};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

/// The HTTP of a gateway.
#[derive(Debug)]
pub struct Http {
    router: Router,
    seats: Arc<Seats>,
}

impl Http {
    /// The HTTP of this gateway.
    #[must_use]
    pub fn new(gateway: &Gateway) -> Self {
        let router = http::router("gateway", PACKET, gateway.access(), CancellationToken::new());
        Self { router, seats: Seats::new(1) }
    }

    /// Serves one connection to its end. It is cut off if another one comes meanwhile.
    pub async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Send + 'static) {
        let Some(seat) = self.seats.take((Ipv4Addr::LOCALHOST, 1).into()) else { return };
        let router = self.router.clone();
        // How a connection ends is told by what was sent over it.
        let _ = web::converse(stream, Arc::new(seat), router, CancellationToken::new()).await;
    }
}
