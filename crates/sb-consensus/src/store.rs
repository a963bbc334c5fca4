use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::error::{ChangeError, ProposeError, ReadError, ServeError};
use crate::{Applied, BoxedStream, Member, MemberId, StateMachine, StoreHealth};

/// A handle on the store; clones share it.
///
/// Every call is bounded by the time it is given. Dropping the last handle stops the member without a goodbye, as a
/// crash would; [`shutdown`](Self::shutdown) is kinder to the group.
pub struct Store<S: StateMachine> {
    backend: Arc<dyn Backend<S>>,
}

impl<S: StateMachine> Clone for Store<S> {
    fn clone(&self) -> Self {
        Self { backend: Arc::clone(&self.backend) }
    }
}

impl<S: StateMachine> std::fmt::Debug for Store<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(self.backend.member()).finish()
    }
}

/// What a backend provides; [`Store`] documents the meaning.
#[async_trait]
pub(crate) trait Backend<S: StateMachine>: Send + Sync + 'static {
    fn member(&self) -> &Member;
    async fn propose(&self, request: S::Request, within: Duration) -> Result<S::Outcome, ProposeError>;
    async fn read(&self, within: Duration) -> Result<S::View, ReadError>;
    fn watch(&self) -> watch::Receiver<Applied<S::View>>;
    fn health(&self) -> watch::Receiver<StoreHealth>;
    async fn add_learner(&self, member: Member, within: Duration) -> Result<(), ChangeError>;
    async fn promote(&self, id: MemberId, within: Duration) -> Result<(), ChangeError>;
    async fn remove(&self, id: MemberId, within: Duration) -> Result<(), ChangeError>;
    async fn transfer_leadership(&self, to: MemberId, within: Duration) -> Result<(), ChangeError>;
    async fn serve(&self, stream: BoxedStream, peer_name: &str) -> Result<(), ServeError>;
    async fn shutdown(&self);
}

impl<S: StateMachine> Store<S> {
    pub(crate) fn new(backend: impl Backend<S>) -> Self {
        Self { backend: Arc::new(backend) }
    }

    /// This member: its incarnation, name and advertised address.
    #[must_use]
    pub fn member(&self) -> &Member {
        self.backend.member()
    }

    /// Has one request applied, exactly once, and returns its outcome after THIS member's replica applied it.
    ///
    /// A follower forwards to the leader. Lost messages and changes of leader are retried inside, under one
    /// identity, so that the request takes effect once. Up to [`crate::limits::PROPOSALS_IN_FLIGHT_MAX`] calls may
    /// be under way; their order among each other is open. Dropping the future does not take the request back.
    ///
    /// # Errors
    ///
    /// [`ProposeError::Ambiguous`] when the request left this server and no answer came in time; every other error
    /// means that it was not and will not be applied.
    pub async fn propose(&self, request: S::Request, within: Duration) -> Result<S::Outcome, ProposeError> {
        self.backend.propose(request, within).await
    }

    /// The state with every request that was answered anywhere before this call (linearizable, Raft dissertation
    /// section 6.4, `ReadIndex`).
    ///
    /// # Errors
    ///
    /// [`ReadError::Unavailable`] when no quorum confirmed in time.
    pub async fn read(&self, within: Duration) -> Result<S::View, ReadError> {
        self.backend.read(within).await
    }

    /// The own replica's state, published after it applied something. States in quick succession may be seen as one,
    /// the last is always seen.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Applied<S::View>> {
        self.backend.watch()
    }

    /// The member's view of the group.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<StoreHealth> {
        self.backend.health()
    }

    /// Waits for the store to fail, and says why. Does not return while it works, nor after
    /// [`shutdown`](Self::shutdown).
    ///
    /// A store that failed never works again in this process: a program that cannot do without it ends.
    pub async fn failed(&self) -> String {
        let mut health = self.health();
        let failed = health.wait_for(|health| health.failure.is_some()).await;
        let failure = failed.ok().and_then(|health| health.failure.clone());
        match failure {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }

    /// Makes a server a learner; done when this member's replica has applied it. A learner already there is success.
    ///
    /// When another incarnation of the same name is still a member it is removed first: that server lost its
    /// directory and will never answer again, and two members of one name are never both in the group.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; after [`ChangeError::Unavailable`] ask again.
    pub async fn add_learner(&self, member: Member, within: Duration) -> Result<(), ChangeError> {
        self.backend.add_learner(member, within).await
    }

    /// Gives a learner its vote, as soon as it has caught up with the leader. A voter already is success.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; [`ChangeError::Unavailable`] also when it did not catch up in time.
    pub async fn promote(&self, id: MemberId, within: Duration) -> Result<(), ChangeError> {
        self.backend.promote(id, within).await
    }

    /// Takes a member out of the group for good. A leader that is to leave hands leadership over first. A member
    /// already gone is success.
    ///
    /// # Errors
    ///
    /// [`ChangeError`], for example when it is the last voter.
    pub async fn remove(&self, id: MemberId, within: Duration) -> Result<(), ChangeError> {
        self.backend.remove(id, within).await
    }

    /// Makes a voter the leader; done when this member follows it.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub async fn transfer_leadership(&self, to: MemberId, within: Duration) -> Result<(), ChangeError> {
        self.backend.transfer_leadership(to, within).await
    }

    /// Reads one inbound connection until it ends. `peer_name` is the name that the embedder's transport vouches
    /// for, for example from the peer's certificate.
    ///
    /// # Errors
    ///
    /// Why the connection ended, other than by the peer closing it.
    pub async fn serve(&self, stream: BoxedStream, peer_name: &str) -> Result<(), ServeError> {
        self.backend.serve(stream, peer_name).await
    }

    /// Stops this member: leadership is handed over when it leads, what is known is made durable, the directory is
    /// free afterwards. Calls under way end with an error.
    pub async fn shutdown(&self) {
        self.backend.shutdown().await;
    }
}
