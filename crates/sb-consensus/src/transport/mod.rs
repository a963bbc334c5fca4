//! How members talk: streams that the embedder makes and trusts, two lanes to each peer, the urgent one on two connections.
//!
//! A connection carries frames in one direction, from the member that dialled. The first is a hello that names
//! group, member and advertised address, so that a server that has just joined knows how to answer.

mod frame;
mod inbound;
mod peers;
mod queue;

use std::io;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::Member;

pub(crate) use self::inbound::{Receiver, serve};
pub(crate) use self::peers::{AddressBook, Peers};

/// Bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream of the embedder's making.
pub type BoxedStream = Box<dyn Stream>;

/// Which of a peer's connections. On a long path one lost segment stalls a stream for a retransmission timeout;
/// heartbeats and votes must not wait behind a snapshot's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Heartbeats, votes, acknowledgements: small and few.
    Urgent,
    /// Entries and snapshots.
    Bulk,
}

impl Lane {
    /// How many connections carry the same frames.
    ///
    /// Where a third of all packets is lost, a stream stands still for a quarter of the time: two independent ones seldom do
    /// so together. Raft bears messages that come twice.
    pub(crate) const fn connections(self) -> usize {
        match self {
            Self::Urgent => 2,
            Self::Bulk => 1,
        }
    }
}

/// Makes connections to peers.
///
/// The address is the one that the member advertised last, as far as known here. An embedder that knows better, for
/// example from a topology, may go by the name; that helps when all members have moved at once.
///
/// # To ensure correctness
///
/// The stream leads to a server that proved to be `member.name`, for example by its certificate, and whose embedder
/// hands its end to [`crate::Store::serve`]. Set `TCP_NODELAY`, and `TCP_USER_TIMEOUT` to about the longest election
/// timeout.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// Connects to a member. Cancelled when it takes too long.
    ///
    /// # Errors
    ///
    /// Any; it is tried again after a while.
    async fn connect(&self, member: &Member, lane: Lane) -> io::Result<BoxedStream>;
}
