//! HAProxy's agent check: who connects is told the state that the server should have in a backend of the primary.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{Alive, Health, Serves};
use crate::http::AgentView;
use crate::http::connection::Server;
use crate::http::listener::{CONNECTIONS_MAX, ListenError, bind};

/// Longest time to hand over one line, in seconds.
const ANSWER_SECONDS_MAX: u64 = 5;

/// The port of HAProxy's agent check: a line of text to each who connects, and the end.
///
/// A standby is in maintenance there and not down, so that a page of HAProxy's shows only what is broken in red.
#[derive(Debug)]
pub struct AgentCheckListener {
    socket: TcpListener,
}

impl AgentCheckListener {
    /// Listens on `address`.
    ///
    /// # Errors
    /// When the system refuses the address.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        Ok(Self { socket: bind(address).await? })
    }

    /// The address listened on, with the port that the system chose when 0 was asked for.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Answers until `stop`.
    pub async fn serve(self, view: Arc<dyn AgentView>, stop: CancellationToken) {
        let server = Server::new(axum::Router::new(), CONNECTIONS_MAX, stop);
        while let Some(place) = server.place().await {
            let Some((stream, _)) = server.next(&self.socket).await else { return };
            let line = line(&view.health());
            server.spawn(place, async move {
                // Whoever does not take it asks again.
                let _ =
                    tokio::time::timeout(Duration::from_secs(ANSWER_SECONDS_MAX), say(stream, line)).await;
            });
        }
    }
}

async fn say(mut stream: TcpStream, line: &'static str) -> io::Result<()> {
    stream.write_all(line.as_bytes()).await?;
    stream.shutdown().await
}

fn line(health: &Health) -> &'static str {
    match (health.alive, health.serves) {
        (_, Serves::Writes) => "up ready\n",
        (Alive::Yes, Serves::Reads) => "maint\n",
        (Alive::No, Serves::Reads) | (_, Serves::Nothing) => "down ready\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_primary_is_up_and_a_standby_is_not_down() {
        let health = |alive, serves| Health { alive, serves, ..Health::default() };
        assert_eq!(line(&health(Alive::Yes, Serves::Writes)), "up ready\n");
        assert_eq!(line(&health(Alive::Yes, Serves::Reads)), "maint\n");
        assert_eq!(line(&health(Alive::No, Serves::Reads)), "down ready\n");
        assert_eq!(line(&health(Alive::Yes, Serves::Nothing)), "down ready\n");
    }
}
