//! A proxy that can be closed.

use std::{net::SocketAddr, sync::Mutex};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// An address that leads to another one for as long as it is open.
#[derive(Debug)]
pub struct Proxy {
    there: String,
    here: SocketAddr,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    pub async fn open(there: impl Into<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (there, here) = (there.into(), listener.local_addr().unwrap());
        let serving = tokio::spawn(serve(listener, there.clone()));
        Self { there, here, serving: Mutex::new(Some(serving)) }
    }

    pub fn address(&self) -> SocketAddr {
        self.here
    }

    /// Ends all connections, and refuses others.
    pub async fn close(&self) {
        let serving = self.serving.lock().unwrap().take();
        if let Some(serving) = serving {
            serving.abort();
            // It was cancelled.
            let _ = serving.await;
        }
    }

    pub async fn open_again(&self) {
        let listener = TcpListener::bind(self.here).await.unwrap();
        *self.serving.lock().unwrap() = Some(tokio::spawn(serve(listener, self.there.clone())));
    }
}

async fn serve(listener: TcpListener, there: String) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((mut near, _)) = listener.accept() => {
                let there = there.clone();
                connections.spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(there).await {
                        // Either side may close.
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
