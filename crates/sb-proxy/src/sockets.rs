//! How sockets are set.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpSocket, TcpStream};

use crate::Limits;
use crate::client::ClientStream;

/// Connects to a server, as every connection to one is set.
pub async fn dial(address: SocketAddr, limits: &Limits) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let stream = socket.connect(address).await?;
    tend(&stream, limits)?;
    Ok(stream)
}

/// Small messages go at once, and a peer that is gone is noticed: idle by keepalive, with data on the way by the user
/// timeout.
pub fn tend(stream: &TcpStream, limits: &Limits) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, limits.keepalive.idle)?;
    sockopt::set_tcp_keepintvl(stream, limits.keepalive.interval)?;
    sockopt::set_tcp_keepcnt(stream, limits.keepalive.count)?;
    let milliseconds = u32::try_from(limits.user_timeout.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, milliseconds)?;
    Ok(())
}

/// Makes the close of both a reset: what waits to be sent is thrown away, and the peers notice at once.
pub fn reset_on_close(client: &ClientStream, server: &TcpStream) {
    // A socket that refuses is closed in the ordinary way.
    if let ClientStream::Tcp(client) = client {
        let _ = sockopt::set_socket_linger(client, Some(Duration::ZERO));
    }
    let _ = sockopt::set_socket_linger(server, Some(Duration::ZERO));
}
