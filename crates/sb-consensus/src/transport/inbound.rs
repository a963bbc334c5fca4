use std::time::Duration;

use tokio::time::timeout;

use crate::error::ServeError;
use crate::replica::Message;
use crate::{BoxedStream, Member, MemberId};

use super::frame::{self, FrameError, Hello};

/// A peer that connected says who it is within this time.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// What the inbound side asks of the store.
pub(crate) trait Receiver: Send + Sync {
    /// The own group.
    fn cluster(&self) -> &str;
    /// Whether this id left the group.
    fn was_removed(&self, id: MemberId) -> bool;
    /// Notes who a peer says it is, and where.
    fn introduced(&self, member: Member);
    /// Takes a message, or drops it when there are too many.
    ///
    /// # Errors
    ///
    /// [`ServeError::Stopped`].
    fn receive(&self, message: Message) -> Result<(), ServeError>;
}

/// Reads one connection until it ends.
pub(crate) async fn serve(
    receiver: &dyn Receiver,
    mut stream: BoxedStream,
    peer: &str,
) -> Result<(), ServeError> {
    let failed = |error: FrameError| into_serve_error(error, peer);
    let first = timeout(HELLO_WITHIN, frame::read(&mut stream, frame::bytes_max(None))).await;
    let late = || FrameError::Io(std::io::ErrorKind::TimedOut.into());
    let Some(bytes) = first.unwrap_or_else(|_| Err(late())).map_err(failed)? else { return Ok(()) };
    let hello = Hello::decode(&bytes).map_err(failed)?;
    check(receiver, &hello, peer)?;
    let from = hello.member.id;
    let bytes_max = frame::bytes_max(Some(hello.lane()));
    receiver.introduced(hello.member);
    while let Some(bytes) = frame::read(&mut stream, bytes_max).await.map_err(failed)? {
        let message = frame::decode_message(&bytes).map_err(failed)?;
        check_sender(&message, from, peer)?;
        receiver.receive(message)?;
    }
    Ok(())
}

fn check(receiver: &dyn Receiver, hello: &Hello, peer: &str) -> Result<(), ServeError> {
    let peer = || peer.to_owned();
    if hello.cluster != receiver.cluster() {
        let ours = receiver.cluster().to_owned();
        return Err(ServeError::OtherCluster { peer: peer(), theirs: hello.cluster.clone(), ours });
    }
    if hello.member.name != peer() {
        return Err(ServeError::OtherName { peer: peer(), claimed: hello.member.name.clone() });
    }
    if receiver.was_removed(hello.member.id) {
        return Err(ServeError::Removed { peer: peer(), id: hello.member.id });
    }
    Ok(())
}

/// A member speaks for itself only. A request to transfer leadership names the successor as its sender.
fn check_sender(message: &Message, from: MemberId, peer: &str) -> Result<(), ServeError> {
    let transfer = message.kind == crate::replica::MessageKind::TransferLeader;
    if transfer || message.from == from {
        return Ok(());
    }
    let reason = format!("it speaks as {} and for {}", from, message.from);
    Err(ServeError::Malformed { peer: peer.to_owned(), reason })
}

fn into_serve_error(error: FrameError, peer: &str) -> ServeError {
    let peer = peer.to_owned();
    match error {
        FrameError::Io(source) => ServeError::Io { peer, source },
        malformed => ServeError::Malformed { peer, reason: malformed.to_string() },
    }
}
