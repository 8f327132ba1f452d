//! A service that is played by another process of the same chart, which has the state of the whole gateway.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::{Service, http::PLAYED};

/// The longest head of a request that is passed on.
const HEAD: usize = 64 * 1024;

/// Listens as a service, and passes every request on to core-metadata of the process that plays all of them. A connection serves
/// one request.
///
/// # Errors
/// Where the port cannot be had.
pub async fn pass_on(service: Service, listen: SocketAddr, to: String) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let to = to.clone();
        // It ends with its connection, or with the process.
        tokio::spawn(async move { pass(service, stream, &to).await });
    }
}

async fn pass(service: Service, mut from: TcpStream, to: &str) -> io::Result<()> {
    let mut head = Vec::new();
    let end = loop {
        if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if head.len() > HEAD || from.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    };
    let mut there = TcpStream::connect(to).await?;
    there.write_all(&head[..end]).await?;
    let added = format!("\r\n{PLAYED}: {}\r\nconnection: close", service.name());
    there.write_all(added.as_bytes()).await?;
    there.write_all(&head[end..]).await?;
    copy_bidirectional(&mut from, &mut there).await?;
    Ok(())
}
