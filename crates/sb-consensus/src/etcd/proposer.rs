use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::limits::ANCHOR_BYTES_MAX;
use crate::{ChangeRejected, MembershipChange, ProposeError, StateMachine};

use super::gateway::{CallError, Put, Version};
use super::mirror::{Change, Doubt, Plan};
use super::patience::Patience;
use super::running::Running;

/// After the own change was seen through the watch, etcd's answer to it is waited for this much longer, so that its
/// connection can be used again.
const ANSWER_GRACE: Duration = Duration::from_millis(50);

/// Between two attempts that failed at once.
const PAUSE: Duration = Duration::from_millis(50);

/// Longest wait for news while there is nothing that could be put into etcd.
const NEWS_WAIT: Duration = Duration::from_millis(100);

/// What is asked of the proposer.
pub(super) enum Ask {
    /// A request of the embedder, encoded.
    Request { body: Vec<u8>, fate: Arc<Fate>, reply: oneshot::Sender<Result<Vec<u8>, ProposeError>> },
    /// A step of membership.
    Membership { change: MembershipChange, reply: oneshot::Sender<Result<(), ChangeRejected>> },
}

/// Where a request is, decided between its caller and the proposer.
#[derive(Debug, Default)]
pub(super) struct Fate(AtomicU8);

const HERE: u8 = 0;
const MAY_BE_APPLIED: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Fate {
    /// The request is about to leave; no when its caller has been told that it never will.
    fn leave(&self) -> bool {
        self.0.compare_exchange(HERE, MAY_BE_APPLIED, Ordering::AcqRel, Ordering::Acquire) != Err(GIVEN_UP)
    }

    /// It is certain that no attempt so far was or will be applied.
    fn is_here_again(&self) {
        let _ = self.0.compare_exchange(MAY_BE_APPLIED, HERE, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The caller waits no longer; whether the request may have been, or may still be, applied.
    pub(super) fn give_up(&self) -> bool {
        self.0.swap(GIVEN_UP, Ordering::AcqRel) == MAY_BE_APPLIED
    }
}

/// Puts changes into etcd, one transaction at a time, each with everything that waits.
///
/// An attempt without an answer is repeated as it is: both name the same revision, so at most one of them is carried
/// out, and where it was, the record has the answer.
pub(super) struct Proposer<S: StateMachine> {
    shared: Arc<Running<S>>,
    inbox: mpsc::Receiver<Ask>,
    waiting: Vec<Waiting>,
    last_seq: u64,
    patience: Patience,
}

struct Waiting {
    ask: Ask,
    /// Number of a request; 0 for a change of membership.
    seq: u64,
    /// The newest revision that an attempt named.
    tried_on: Option<u64>,
}

impl<S: StateMachine> Proposer<S> {
    pub(super) fn new(shared: Arc<Running<S>>, inbox: mpsc::Receiver<Ask>) -> Self {
        Self { shared, inbox, waiting: Vec::new(), last_seq: 0, patience: Patience::default() }
    }

    /// Runs until this member doubts itself.
    pub(super) async fn run(mut self) -> Doubt {
        loop {
            if self.waiting.is_empty() {
                match self.inbox.recv().await {
                    Some(ask) => self.take(ask),
                    None => std::future::pending().await,
                }
            }
            while let Ok(ask) = self.inbox.try_recv() {
                self.take(ask);
            }
            if let Err(doubt) = self.step().await {
                return doubt;
            }
        }
    }

    fn take(&mut self, ask: Ask) {
        let seq = match ask {
            Ask::Request { .. } => {
                self.last_seq += 1;
                self.last_seq
            }
            Ask::Membership { .. } => 0,
        };
        self.waiting.push(Waiting { ask, seq, tried_on: None });
    }

    async fn step(&mut self) -> Result<(), Doubt> {
        self.settle()?;
        let Some(plan) = self.plan()? else {
            if !self.waiting.is_empty() {
                self.wait_for_news().await;
            }
            return Ok(());
        };
        match self.put(&plan).await {
            Some(Ok(Put::Done(revision))) => {
                self.patience.answered();
                self.shared.adopt(&Version { revision, bytes: plan.bytes })?;
                self.membership_changed();
            }
            Some(Ok(Put::MovedOn(version))) => {
                self.patience.answered();
                if version.revision < plan.base {
                    return Err(Doubt::RevisionSetBack { known: plan.base, found: version.revision });
                }
                self.shared.adopt(&version)?;
            }
            Some(Ok(Put::Missing)) => {
                self.shared.note_missing();
                sleep(PAUSE).await;
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "a change has no answer from etcd");
                if !matches!(error, CallError::TimedOut { .. }) {
                    sleep(PAUSE).await;
                }
                self.patience.unanswered();
            }
            None => {}
        }
        Ok(())
    }

    /// One attempt; none when the record has moved on before its answer came.
    async fn put(&self, plan: &Plan) -> Option<Result<Put, CallError>> {
        let put = self.shared.gateway.put(plan.base, &plan.bytes, self.patience.limit());
        tokio::pin!(put);
        tokio::select! {
            biased;
            put = &mut put => Some(put),
            () = self.shared.beyond(plan.base) => tokio::time::timeout(ANSWER_GRACE, put).await.ok(),
        }
    }

    /// Answers what the record answers, forgets what nobody waits for.
    fn settle(&mut self) -> Result<(), Doubt> {
        let (revision, membership) = (self.shared.mirror.revision(), self.shared.mirror.membership());
        for mut waiting in std::mem::take(&mut self.waiting) {
            let decided = waiting.tried_on.is_some_and(|tried| tried < revision);
            match waiting.ask {
                Ask::Request { ref fate, ref reply, .. } => {
                    let answer = if decided { self.shared.mirror.answer(waiting.seq)? } else { None };
                    if let Some(answer) = answer {
                        waiting.answer(Ok(answer));
                        continue;
                    }
                    if decided {
                        fate.is_here_again();
                        waiting.tried_on = None;
                    }
                    if reply.is_closed() {
                        continue;
                    }
                }
                Ask::Membership { ref change, ref reply } => {
                    if reply.is_closed() {
                        continue;
                    }
                    if revision > 0
                        && let Err(rejected) = membership.check(change)
                    {
                        waiting.reject(rejected);
                        continue;
                    }
                }
            }
            self.waiting.push(waiting);
        }
        Ok(())
    }

    /// What all that waits makes of the record. Too much for one value goes alone.
    fn plan(&mut self) -> Result<Option<Plan>, Doubt> {
        let member = self.shared.mirror.is_member();
        self.waiting.retain(|waiting| match &waiting.ask {
            Ask::Request { fate, .. } => !member || fate.leave(),
            Ask::Membership { .. } => true,
        });
        let changes = self.changes(usize::MAX);
        if changes.is_empty() {
            return Ok(None);
        }
        let Some(plan) = self.shared.mirror.plan(&changes)? else { return Ok(None) };
        if plan.bytes.len() <= ANCHOR_BYTES_MAX {
            self.tried(plan.base, usize::MAX);
            return Ok(Some(plan));
        }
        let Some(plan) = self.shared.mirror.plan(&self.changes(1))? else { return Ok(None) };
        if plan.bytes.len() <= ANCHOR_BYTES_MAX {
            self.tried(plan.base, 1);
            return Ok(Some(plan));
        }
        self.refuse_first(plan.bytes.len());
        Ok(None)
    }

    /// What the first of those that wait want, as far as it can be done now.
    fn changes(&self, count: usize) -> Vec<Change> {
        let member = self.shared.mirror.is_member();
        let floor = self.waiting.iter().map(|waiting| waiting.seq).filter(|seq| *seq > 0).min().unwrap_or(0);
        let wanted = self.waiting.iter().filter_map(|waiting| match &waiting.ask {
            Ask::Request { body, .. } if member => {
                Some(Change::Request { seq: waiting.seq, floor, body: body.clone() })
            }
            Ask::Request { .. } => None,
            Ask::Membership { change, .. } => Some(Change::Membership(change.clone())),
        });
        wanted.take(count).collect()
    }

    fn tried(&mut self, base: u64, count: usize) {
        for (at, waiting) in self.waiting.iter_mut().enumerate() {
            if at < count {
                waiting.tried_on = Some(base);
            } else if let (Ask::Request { fate, .. }, None) = (&waiting.ask, waiting.tried_on) {
                fate.is_here_again();
            }
        }
    }

    /// Only a request can make the record that large.
    fn refuse_first(&mut self, bytes: usize) {
        if let Some(at) = self.waiting.iter().position(|waiting| matches!(waiting.ask, Ask::Request { .. })) {
            self.waiting.remove(at).answer(Err(ProposeError::RecordTooLarge { bytes }));
        }
    }

    /// The transaction with all of them is done.
    fn membership_changed(&mut self) {
        let done = |waiting: &mut Waiting| {
            matches!(waiting.ask, Ask::Membership { .. }) && waiting.tried_on.is_some()
        };
        for waiting in self.waiting.extract_if(.., done) {
            if let Ask::Membership { reply, .. } = waiting.ask {
                let _ = reply.send(Ok(()));
            }
        }
    }

    async fn wait_for_news(&mut self) {
        tokio::select! {
            () = self.shared.beyond(self.shared.mirror.revision()) => {}
            ask = self.inbox.recv() => if let Some(ask) = ask { self.take(ask) },
            () = sleep(NEWS_WAIT) => {}
        }
    }
}

impl Waiting {
    fn answer(self, answer: Result<Vec<u8>, ProposeError>) {
        if let Ask::Request { reply, .. } = self.ask {
            let _ = reply.send(answer);
        }
    }

    fn reject(self, rejected: ChangeRejected) {
        if let Ask::Membership { reply, .. } = self.ask {
            let _ = reply.send(Err(rejected));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_given_up_before_it_left_never_leaves() {
        let fate = Fate::default();
        assert!(!fate.give_up());
        assert!(!fate.leave());
    }

    #[test]
    fn a_request_that_left_is_given_up_as_unknown_unless_its_attempts_are_dead() {
        let fate = Fate::default();
        assert!(fate.leave() && fate.leave());
        assert!(fate.give_up());
        let fate = Fate::default();
        assert!(fate.leave());
        fate.is_here_again();
        assert!(!fate.give_up());
    }
}
