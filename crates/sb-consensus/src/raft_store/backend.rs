use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::error::{ChangeError, ProposeError, ReadError, ServeError};
use crate::replica::Message;
use crate::store::Backend;
use crate::transport::{AddressBook, Receiver, serve};
use crate::{
    Applied, BoxedStream, ChangeRejected, Member, MemberId, Membership, MembershipChange, StateMachine,
    StoreHealth,
};

use super::inbox::{Call, Input};

/// The thread answers every call at its deadline. When it cannot, because its disk hangs, the caller is let go after
/// this much more.
const GRACE: Duration = Duration::from_millis(500);
/// A change of membership or leadership that came to nothing is asked for again after this long.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// The tokio side of a Raft store.
pub(super) struct RaftBackend<S: StateMachine> {
    pub(super) cluster: String,
    pub(super) member: Member,
    pub(super) inbox: SyncSender<Input<S>>,
    pub(super) applied: watch::Receiver<Applied<S::View>>,
    pub(super) health: watch::Receiver<StoreHealth>,
    pub(super) book: Arc<AddressBook>,
}

#[async_trait]
impl<S: StateMachine> Backend<S> for RaftBackend<S> {
    fn member(&self) -> &Member {
        &self.member
    }

    async fn propose(&self, request: S::Request, within: Duration) -> Result<S::Outcome, ProposeError> {
        let within_ms = millis(within);
        let (call, answer) = call(within);
        match self.inbox.try_send(Input::Propose(request, call)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(ProposeError::Overloaded),
            Err(TrySendError::Disconnected(_)) => return Err(ProposeError::Stopped),
        }
        // The request is with the thread: whatever keeps the answer away, it may have left.
        let answer = timeout(within + GRACE, answer).await;
        answer.ok().and_then(Result::ok).unwrap_or(Err(ProposeError::Ambiguous { within_ms }))
    }

    async fn read(&self, within: Duration) -> Result<S::View, ReadError> {
        let (call, answer) = call(within);
        match self.inbox.try_send(Input::Read(call)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(ReadError::Overloaded),
            Err(TrySendError::Disconnected(_)) => return Err(ReadError::Stopped),
        }
        match timeout(within + GRACE, answer).await {
            Ok(answer) => answer.unwrap_or(Err(ReadError::Stopped)),
            Err(_) => Err(ReadError::Unavailable { within_ms: millis(within) }),
        }
    }

    fn watch(&self) -> watch::Receiver<Applied<S::View>> {
        self.applied.clone()
    }

    fn health(&self) -> watch::Receiver<StoreHealth> {
        self.health.clone()
    }

    async fn add_learner(&self, member: Member, within: Duration) -> Result<(), ChangeError> {
        member.validate().map_err(ChangeRejected::from)?;
        self.change_until(|group| group.next_to_add(&member), within).await
    }

    async fn promote(&self, id: MemberId, within: Duration) -> Result<(), ChangeError> {
        self.change_until(|group| group.next_to_promote(id), within).await
    }

    async fn remove(&self, id: MemberId, within: Duration) -> Result<(), ChangeError> {
        self.change_until(|group| group.next_to_remove(id), within).await
    }

    async fn transfer_leadership(&self, to: MemberId, within: Duration) -> Result<(), ChangeError> {
        let mut health = self.health.clone();
        let done = async {
            loop {
                {
                    let now = health.borrow_and_update();
                    if now.leader.as_ref().is_some_and(|leader| leader.id == to) {
                        return Ok(());
                    }
                    if !now.membership.is_voter(to) {
                        return Err(ChangeError::NotAVoter(to));
                    }
                }
                self.send(Input::Transfer(to))?;
                let _ = timeout(ASK_AGAIN, health.changed()).await;
            }
        };
        timeout(within, done).await.unwrap_or(Err(ChangeError::Unavailable { within_ms: millis(within) }))
    }

    async fn serve(&self, stream: BoxedStream, peer_name: &str) -> Result<(), ServeError> {
        serve(self, stream, peer_name).await
    }

    async fn shutdown(&self) {
        let (done, stopped) = oneshot::channel();
        let mut input = Input::Stop(done);
        // The inbox is bounded; a full one empties within a tick.
        while let Err(TrySendError::Full(again)) = self.inbox.try_send(input) {
            input = again;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let _ = stopped.await;
    }
}

impl<S: StateMachine> RaftBackend<S> {
    /// Asks for one step after the other until none is left. Begins with what the group knows now: the own replica
    /// may be behind.
    async fn change_until(
        &self,
        next: impl Fn(&Membership) -> Option<MembershipChange> + Send,
        within: Duration,
    ) -> Result<(), ChangeError> {
        let unavailable = ChangeError::Unavailable { within_ms: millis(within) };
        let done = async {
            match self.read(within).await {
                Ok(_) => {}
                Err(ReadError::Stopped) => return Err(ChangeError::Stopped),
                Err(ReadError::Overloaded | ReadError::Unavailable { .. }) => return Err(unavailable.clone()),
            }
            let mut health = self.health.clone();
            loop {
                let step = next(&health.borrow_and_update().membership);
                let Some(change) = step else { return Ok(()) };
                self.change(change.clone()).await?;
                let moved_on = |now: &StoreHealth| next(&now.membership).as_ref() != Some(&change);
                let _ = timeout(ASK_AGAIN, health.wait_for(moved_on)).await;
            }
        };
        timeout(within, done).await.unwrap_or(Err(unavailable.clone()))
    }

    async fn change(&self, change: MembershipChange) -> Result<(), ChangeError> {
        let (reply, answer) = oneshot::channel();
        self.send(Input::Change(change, reply))?;
        match answer.await {
            // It became true in between.
            Ok(Err(ChangeRejected::Already(_))) => Ok(()),
            Ok(answer) => Ok(answer?),
            Err(_) => Err(ChangeError::Stopped),
        }
    }

    /// A full inbox drops the request: it is asked again.
    fn send(&self, input: Input<S>) -> Result<(), ChangeError> {
        match self.inbox.try_send(input) {
            Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(ChangeError::Stopped),
        }
    }
}

impl<S: StateMachine> Receiver for RaftBackend<S> {
    fn cluster(&self) -> &str {
        &self.cluster
    }

    fn was_removed(&self, id: MemberId) -> bool {
        self.health.borrow().membership.was_removed(id)
    }

    fn introduced(&self, member: Member) {
        self.book.told(member);
    }

    fn receive(&self, message: Message) -> Result<(), ServeError> {
        match self.inbox.try_send(Input::Message(Box::new(message))) {
            Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(ServeError::Stopped),
        }
    }
}

fn call<T>(within: Duration) -> (Call<T>, oneshot::Receiver<T>) {
    let (reply, answer) = oneshot::channel();
    (Call { reply, deadline: Instant::now() + within, within_ms: millis(within) }, answer)
}

fn millis(within: Duration) -> u64 {
    u64::try_from(within.as_millis()).unwrap_or(u64::MAX)
}
