use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::error::{ChangeError, ProposeError, ReadError, ServeError};
use crate::limits::REQUEST_BYTES_MAX;
use crate::store::Backend;
use crate::{
    Applied, BoxedStream, ChangeRejected, Member, MemberId, Membership, MembershipChange, Role, StateMachine,
    StoreHealth,
};

use super::gateway::millis;
use super::patience::Patience;
use super::proposer::{Ask, Fate};
use super::running::{Running, Unread};

/// Between two attempts to read while etcd does not answer.
const READ_AGAIN: Duration = Duration::from_millis(50);

/// The calls of an etcd store. Dropping it ends the member's task.
pub(super) struct EtcdBackend<S: StateMachine> {
    pub(super) shared: Arc<Running<S>>,
    pub(super) inbox: mpsc::Sender<Ask>,
    pub(super) in_flight: Semaphore,
    pub(super) reads_in_flight: Semaphore,
    pub(super) stop: CancellationToken,
    pub(super) _task: AbortOnDropHandle<()>,
}

#[async_trait]
impl<S: StateMachine> Backend<S> for EtcdBackend<S> {
    fn member(&self) -> &Member {
        &self.shared.me
    }

    async fn propose(&self, request: S::Request, within: Duration) -> Result<S::Outcome, ProposeError> {
        let unencodable = |error: serde_json::Error| ProposeError::Unencodable { reason: error.to_string() };
        let body = serde_json::to_vec(&request).map_err(unencodable)?;
        if body.len() > REQUEST_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes: body.len() });
        }
        if self.has_stopped() {
            return Err(ProposeError::Stopped);
        }
        let _permit = self.in_flight.try_acquire().map_err(|_| ProposeError::Overloaded)?;
        let (fate, within_ms) = (Arc::new(Fate::default()), millis(within));
        let (reply, answer) = oneshot::channel();
        let ask = Ask::Request { body, fate: Arc::clone(&fate), reply };
        self.inbox.try_send(ask).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ProposeError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => ProposeError::Stopped,
        })?;
        let bytes = match timeout(within, answer).await {
            Ok(Ok(answer)) => answer?,
            Ok(Err(_)) if !fate.give_up() => return Err(ProposeError::Stopped),
            Err(_) if !fate.give_up() => return Err(ProposeError::Unavailable { within_ms }),
            Ok(Err(_)) | Err(_) => return Err(ProposeError::Ambiguous { within_ms }),
        };
        // It was applied; what this version cannot read of the answer is not known here.
        serde_json::from_slice(&bytes).map_err(|_| ProposeError::Ambiguous { within_ms })
    }

    async fn read(&self, within: Duration) -> Result<S::View, ReadError> {
        let _permit = self.reads_in_flight.try_acquire().map_err(|_| ReadError::Overloaded)?;
        let read = async {
            loop {
                self.refresh().await?;
                if self.shared.mirror.is_member() {
                    return Ok(self.shared.mirror.view());
                }
                tokio::time::sleep(READ_AGAIN).await;
            }
        };
        timeout(within, read).await.unwrap_or(Err(ReadError::Unavailable { within_ms: millis(within) }))
    }

    fn watch(&self) -> watch::Receiver<Applied<S::View>> {
        self.shared.mirror.watch()
    }

    fn health(&self) -> watch::Receiver<StoreHealth> {
        self.shared.health.subscribe()
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

    async fn transfer_leadership(&self, _to: MemberId, _within: Duration) -> Result<(), ChangeError> {
        Err(ChangeError::Unsupported)
    }

    async fn serve(&self, _stream: BoxedStream, _peer_name: &str) -> Result<(), ServeError> {
        Err(ServeError::Unsupported)
    }

    async fn shutdown(&self) {
        self.stop.cancel();
        let _ = self.health().wait_for(|health| health.role == Role::Stopped).await;
    }
}

impl<S: StateMachine> EtcdBackend<S> {
    fn has_stopped(&self) -> bool {
        self.shared.health.borrow().role == Role::Stopped
    }

    /// Until etcd has answered once. A doubt is left to the member's own look at the key.
    async fn refresh(&self) -> Result<(), ReadError> {
        let mut patience = Patience::default();
        loop {
            if self.has_stopped() {
                return Err(ReadError::Stopped);
            }
            match self.shared.refresh(patience.limit()).await {
                Ok(()) => return Ok(()),
                Err(Unread::Call(_) | Unread::Missing | Unread::Doubt(_)) => patience.unanswered(),
            }
            tokio::time::sleep(READ_AGAIN).await;
        }
    }

    /// Asks for one step after the other until none is left. Begins with what the group knows now: the own replica
    /// may be behind.
    async fn change_until(
        &self,
        next: impl Fn(&Membership) -> Option<MembershipChange> + Send,
        within: Duration,
    ) -> Result<(), ChangeError> {
        let done = async {
            self.refresh().await.map_err(|_| ChangeError::Stopped)?;
            while let Some(change) = next(&self.shared.mirror.membership()) {
                let (reply, answer) = oneshot::channel();
                let ask = Ask::Membership { change: change.clone(), reply };
                self.inbox.send(ask).await.map_err(|_| ChangeError::Stopped)?;
                let answer = answer.await.map_err(|_| ChangeError::Stopped)?;
                let wanted_still = next(&self.shared.mirror.membership()) == Some(change);
                if let (Err(rejected), true) = (answer, wanted_still) {
                    return Err(rejected.into());
                }
            }
            Ok(())
        };
        timeout(within, done).await.unwrap_or(Err(ChangeError::Unavailable { within_ms: millis(within) }))
    }
}
