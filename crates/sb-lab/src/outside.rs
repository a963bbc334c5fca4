//! The servers as a host sees them that is no member of the mesh.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::net::TcpStream;

use crate::place::Place;

/// Where that host is, in the block of the servers' public addresses.
pub const STRANGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 200);

/// PostgreSQL, the agents among themselves, health checks, the load balancer's check, the API.
pub const SERVICES: [u16; 5] = [5432, 7432, 8008, 8009, 8080];

/// Nobody listens there and no rule keeps it shut: that it refuses shows that packets get to the server and back.
const UNGUARDED_PORT: u16 = 22;

/// How long the way there and back may take, on a busy machine.
const WAY_LIMIT: Duration = Duration::from_secs(10);

/// A packet that is dropped is never answered: how long to wait for nothing. Many times the way.
const SILENCE: Duration = Duration::from_millis(500);

/// What a stranger has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// The servers that were asked. Each has refused a port that nothing guards, so the way to it is open.
    pub asked: Vec<Place>,
    /// Services that have answered, be it with a refusal.
    pub answered: Vec<(Place, u16)>,
}

/// Asks servers for their services at their public addresses. The calling thread must be in the stranger's namespace.
///
/// # Errors
/// When the way to a server is not open, so that its silence would show nothing.
pub async fn visit(places: Vec<Place>) -> io::Result<Visit> {
    join_all(places.iter().map(|place| find_the_way(*place)))
        .await
        .into_iter()
        .collect::<io::Result<()>>()?;
    let asking = places.iter().flat_map(|place| SERVICES.map(|port| (*place, port)));
    let asking =
        asking.map(|(place, port)| async move { answers(place, port).await.then_some((place, port)) });
    let answered = join_all(asking).await.into_iter().flatten().collect();
    Ok(Visit { asked: places, answered })
}

async fn find_the_way(place: Place) -> io::Result<()> {
    let began = Instant::now();
    while !answers(place, UNGUARDED_PORT).await {
        if began.elapsed() > WAY_LIMIT {
            let message = format!("`{place}` did not answer from outside within {WAY_LIMIT:?}");
            return Err(io::Error::new(ErrorKind::TimedOut, message));
        }
    }
    Ok(())
}

/// Whether anything comes back. What a namespace without a listener says is an answer.
async fn answers(place: Place, port: u16) -> bool {
    let connecting = TcpStream::connect(SocketAddr::from((place.public_address(), port)));
    match tokio::time::timeout(SILENCE, connecting).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => error.kind() == ErrorKind::ConnectionRefused,
        Err(_) => false,
    }
}
