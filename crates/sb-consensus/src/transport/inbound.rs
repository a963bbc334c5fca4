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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::Lane;
    use crate::replica::MessageKind;

    #[derive(Default)]
    struct Ours {
        met: Mutex<Vec<Member>>,
        received: Mutex<Vec<Message>>,
    }

    impl Receiver for Ours {
        fn cluster(&self) -> &str {
            "ours"
        }

        fn was_removed(&self, id: MemberId) -> bool {
            id.get() == 99
        }

        fn introduced(&self, member: Member) {
            self.met.lock().unwrap().push(member);
        }

        fn receive(&self, message: Message) -> Result<(), ServeError> {
            self.received.lock().unwrap().push(message);
            Ok(())
        }
    }

    fn peer(id: u64) -> Member {
        Member { id: MemberId::new(id).unwrap(), name: "b".into(), address: "b:1".into() }
    }

    fn vote(from: u64) -> Message {
        let (to, from) = (MemberId::new(1).unwrap(), MemberId::new(from).unwrap());
        let empty = postcard::to_allocvec(&(MessageKind::RequestVote, to, from, 3_u64)).unwrap();
        let zeros = [0; 10];
        postcard::from_bytes(&[empty.as_slice(), &zeros].concat()).unwrap()
    }

    async fn hear(ours: &Ours, hello: Hello, messages: &[Message]) -> Result<(), ServeError> {
        let (mut theirs, stream) = tokio::io::duplex(1 << 16);
        theirs.write_all(&frame::encode(&hello).unwrap()).await.unwrap();
        for message in messages {
            theirs.write_all(&frame::encode(message).unwrap()).await.unwrap();
        }
        drop(theirs);
        serve(ours, Box::new(stream), "b").await
    }

    #[tokio::test]
    async fn a_peer_is_met_and_heard() {
        let ours = Ours::default();
        let hello = Hello::new("ours".into(), peer(2), Lane::Urgent);
        hear(&ours, hello, &[vote(2)]).await.unwrap();
        assert_eq!(*ours.met.lock().unwrap(), [peer(2)]);
        assert_eq!(*ours.received.lock().unwrap(), [vote(2)]);
    }

    #[tokio::test]
    async fn a_peer_of_another_group_under_another_name_or_removed_is_refused() {
        let ours = Ours::default();
        let other = hear(&ours, Hello::new("theirs".into(), peer(2), Lane::Bulk), &[]).await;
        assert!(matches!(other, Err(ServeError::OtherCluster { .. })), "{other:?}");
        let liar = Member { name: "a".into(), ..peer(2) };
        let other = hear(&ours, Hello::new("ours".into(), liar, Lane::Bulk), &[]).await;
        assert!(matches!(other, Err(ServeError::OtherName { .. })), "{other:?}");
        let gone = hear(&ours, Hello::new("ours".into(), peer(99), Lane::Bulk), &[]).await;
        assert!(matches!(gone, Err(ServeError::Removed { .. })), "{gone:?}");
        assert!(ours.met.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_peer_speaks_for_itself_only() {
        let ours = Ours::default();
        let hello = Hello::new("ours".into(), peer(2), Lane::Urgent);
        let refused = hear(&ours, hello, &[vote(3)]).await;
        assert!(matches!(refused, Err(ServeError::Malformed { .. })), "{refused:?}");
        assert!(ours.received.lock().unwrap().is_empty());
    }
}
