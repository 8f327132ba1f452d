//! Where datagrams are received: on a thread that does nothing else, for all listeners of this process.
//!
//! What finds a socket's buffer full is lost, whoever sent it. If receiving took turns with the sessions, a crowd that keeps
//! those busy would push out everybody's datagrams; alone it keeps up with what comes, and most of what strangers send is
//! dropped there and then.

use std::{io, net::SocketAddr, sync::LazyLock};
use tokio::{
    net::UdpSocket,
    runtime::{Builder, Handle, Runtime},
};

/// The bytes that may wait in a socket, if the system allows as many (`net.core.rmem_max`).
const BUFFER: usize = 1024 * 1024;

/// None where no thread can be had.
static THREAD: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let thread =
        Builder::new_multi_thread().worker_threads(1).thread_name("iotorch-coap").enable_io().build();
    thread.inspect_err(|error| tracing::warn!(%error, "datagrams are received beside all other work")).ok()
});

/// Where to receive; where there is no such thread, beside the caller's other tasks.
pub(super) fn thread() -> Handle {
    THREAD.as_ref().map_or_else(Handle::current, |thread| thread.handle().clone())
}

/// Binds a socket to be received from there.
pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    // A smaller one will do in quieter times.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(BUFFER);
    let thread = thread();
    let _entered = thread.enter();
    UdpSocket::from_std(socket)
}
