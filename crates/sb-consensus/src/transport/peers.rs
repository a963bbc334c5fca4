use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use crate::limits::MEMBERS_MAX;
use crate::replica::{Message, Outbox};
use crate::{BoxedStream, Connector, Lane, Member, MemberId, Membership};

use super::frame::{self, Hello};
use super::queue::LaneQueue;

/// The first pause after a connection could not be made; doubled up to the longest election timeout.
const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// Where members are: as the group knows, and as they said themselves when they connected.
#[derive(Debug, Default)]
pub(crate) struct AddressBook {
    replicated: Mutex<BTreeMap<MemberId, Member>>,
    told: Mutex<BTreeMap<MemberId, Member>>,
}

impl AddressBook {
    /// Notes what a member says of itself. It overrides the group's knowledge, which is older.
    pub(crate) fn told(&self, member: Member) {
        let mut told = lock(&self.told);
        if told.len() < 2 * MEMBERS_MAX || told.contains_key(&member.id) {
            told.insert(member.id, member);
        }
    }

    /// Notes what the group knows. Who does not belong to it any more is forgotten, and so is what a member said
    /// before the group learned another address of it.
    pub(crate) fn replicated(&self, membership: &Membership) {
        let mut known = lock(&self.replicated);
        let moved = |id: &MemberId| known.get(id).is_some_and(|before| membership.get(*id) != Some(before));
        lock(&self.told)
            .retain(|id, _| membership.is_empty() || (membership.get(*id).is_some() && !moved(id)));
        *known = membership.members().map(|member| (member.id, member.clone())).collect();
    }

    fn find(&self, id: MemberId) -> Option<Member> {
        let told = lock(&self.told).get(&id).cloned();
        told.or_else(|| lock(&self.replicated).get(&id).cloned())
    }
}

/// The outbound side: a task and a queue for each connection of each lane of each peer, made when first needed.
pub(crate) struct Peers {
    runtime: Handle,
    connector: Arc<dyn Connector>,
    cluster: String,
    member: Member,
    book: Arc<AddressBook>,
    lanes: HashMap<(MemberId, Lane), Vec<Arc<LaneQueue>>>,
    patience: Duration,
}

impl Peers {
    /// `patience` bounds a stalled write, twice as much a connection attempt.
    pub(crate) fn new(
        runtime: Handle,
        connector: Arc<dyn Connector>,
        cluster: String,
        member: Member,
        book: Arc<AddressBook>,
        patience: Duration,
    ) -> Self {
        Self { runtime, connector, cluster, member, book, lanes: HashMap::new(), patience }
    }

    /// Closes the lanes to everybody who is not a member any more.
    pub(crate) fn keep(&mut self, membership: &Membership) {
        self.book.replicated(membership);
        self.lanes.retain(|(id, _), queues| {
            let stays = membership.is_empty() || membership.get(*id).is_some();
            if !stays {
                queues.iter().for_each(|queue| queue.close());
            }
            stays
        });
    }

    fn connection(&self, id: MemberId, lane: Lane) -> Arc<LaneQueue> {
        let queue = Arc::new(LaneQueue::default());
        let task = LaneTask {
            queue: Arc::clone(&queue),
            connector: Arc::clone(&self.connector),
            hello: Hello::new(self.cluster.clone(), self.member.clone(), lane),
            book: Arc::clone(&self.book),
            id,
            lane,
            patience: self.patience,
        };
        self.runtime.spawn(task.run());
        queue
    }
}

impl Outbox for Peers {
    fn send(&mut self, message: Message) {
        let lane = message.lane();
        if let Some(frame) =
            frame::encode(&message).filter(|frame| frame.len() - 4 <= frame::bytes_max(Some(lane)))
        {
            let of = (message.to, lane);
            if !self.lanes.contains_key(&of) {
                let connections = (0..lane.connections()).map(|_| self.connection(message.to, lane));
                let connections = connections.collect();
                self.lanes.insert(of, connections);
            }
            self.lanes[&of].iter().for_each(|queue| queue.push(frame.clone()));
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.lanes.values().flatten().for_each(|queue| queue.close());
    }
}

/// One connection to one peer, made again whenever it breaks and there is something to send.
struct LaneTask {
    queue: Arc<LaneQueue>,
    connector: Arc<dyn Connector>,
    hello: Hello,
    book: Arc<AddressBook>,
    id: MemberId,
    lane: Lane,
    patience: Duration,
}

impl LaneTask {
    async fn run(self) {
        let mut backoff = BACKOFF_MIN;
        while self.queue.wait().await {
            if let Some(stream) = self.connect().await {
                backoff = BACKOFF_MIN;
                if self.feed(stream).await.is_none() {
                    return;
                }
            }
            self.queue.clear();
            sleep(backoff).await;
            backoff = (backoff * 2).min(self.patience);
        }
    }

    async fn connect(&self) -> Option<BoxedStream> {
        let member = self.book.find(self.id)?;
        // A packet that is lost on the way costs a connection a second; half made it is worth more than a new one.
        match timeout(2 * self.patience, self.connector.connect(&member, self.lane)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(peer = member.name, lane = ?self.lane, %error, "could not connect");
                None
            }
            Err(_) => None,
        }
    }

    /// Writes until the connection breaks; `None` when the lane is closed.
    async fn feed(&self, stream: BoxedStream) -> Option<()> {
        let (mut read, mut write) = tokio::io::split(stream);
        let mut next = vec![frame::encode(&self.hello)?];
        let mut unexpected = [0; 1];
        loop {
            let bytes = next.concat();
            let written = timeout(self.patience, async {
                write.write_all(&bytes).await?;
                write.flush().await
            });
            if !matches!(written.await, Ok(Ok(()))) {
                return Some(());
            }
            // Nothing is ever sent this way, so whatever is read means that the peer is gone.
            next = tokio::select! {
                frames = self.queue.take() => frames?,
                _ = read.read(&mut unexpected) => return Some(()),
            };
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::io::DuplexStream;
    use tokio::sync::mpsc;

    use super::*;
    use crate::replica::MessageKind;

    /// Hands the far end of every connection to the test.
    struct Ends(mpsc::UnboundedSender<(Lane, DuplexStream)>);

    #[async_trait::async_trait]
    impl Connector for Ends {
        async fn connect(&self, _: &Member, lane: Lane) -> io::Result<BoxedStream> {
            let (near, far) = tokio::io::duplex(1 << 16);
            self.0.send((lane, far)).map_err(io::Error::other)?;
            Ok(Box::new(near))
        }
    }

    fn member(id: u64) -> Member {
        Member { id: MemberId::new(id).unwrap(), name: "b".into(), address: "b:1".into() }
    }

    fn message(kind: MessageKind) -> Message {
        let (to, from) = (MemberId::new(2).unwrap(), MemberId::new(1).unwrap());
        let head = postcard::to_allocvec(&(kind, to, from, 3_u64)).unwrap();
        postcard::from_bytes(&[head.as_slice(), &[0; 10]].concat()).unwrap()
    }

    async fn first_message(far: &mut DuplexStream) -> Message {
        let hello = frame::read(far, frame::bytes_max(None)).await.unwrap().unwrap();
        Hello::decode(&hello).unwrap();
        let bytes = frame::read(far, frame::bytes_max(None)).await.unwrap().unwrap();
        frame::decode_message(&bytes).unwrap()
    }

    #[tokio::test]
    async fn what_is_urgent_goes_two_ways_and_entries_go_one() {
        let (sender, mut ends) = mpsc::unbounded_channel();
        let book = Arc::new(AddressBook::default());
        book.told(member(2));
        let patience = Duration::from_secs(5);
        let runtime = Handle::current();
        let connector = Arc::new(Ends(sender));
        let mut peers = Peers::new(runtime, connector, "ours".into(), member(1), book, patience);
        let (heartbeat, append) = (message(MessageKind::Heartbeat), message(MessageKind::Append));
        peers.send(heartbeat.clone());
        peers.send(append.clone());
        let mut lanes = Vec::new();
        for _ in 0..3 {
            let (lane, mut far) = ends.recv().await.unwrap();
            let expected = if lane == Lane::Urgent { &heartbeat } else { &append };
            assert_eq!(first_message(&mut far).await, *expected);
            lanes.push(lane);
        }
        lanes.sort();
        assert_eq!(lanes, [Lane::Urgent, Lane::Urgent, Lane::Bulk]);
        assert!(ends.try_recv().is_err());
    }
}
