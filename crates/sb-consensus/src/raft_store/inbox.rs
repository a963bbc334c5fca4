use std::time::Instant;

use tokio::sync::oneshot;

use crate::replica::Message;
use crate::{ChangeRejected, MemberId, MembershipChange, ProposeError, ReadError, StateMachine};

/// A call that waits for its answer until a deadline. The deadline bounds patience only; nothing about the state
/// depends on this clock.
pub(super) struct Call<T> {
    pub(super) reply: oneshot::Sender<T>,
    pub(super) deadline: Instant,
    pub(super) within_ms: u64,
}

pub(super) type ProposeCall<S> = Call<Result<<S as StateMachine>::Outcome, ProposeError>>;
pub(super) type ReadCall<S> = Call<Result<<S as StateMachine>::View, ReadError>>;

/// What reaches the Raft thread.
pub(super) enum Input<S: StateMachine> {
    Message(Box<Message>),
    Propose(S::Request, ProposeCall<S>),
    Read(ReadCall<S>),
    Change(MembershipChange, oneshot::Sender<Result<(), ChangeRejected>>),
    Transfer(MemberId),
    Stop(oneshot::Sender<()>),
}
