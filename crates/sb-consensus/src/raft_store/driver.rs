use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::replica::{Disk, DiskError, Event, Halt, Outbox, ProposalId, ReadId, Replica, ReplicaHealth};
use crate::{
    Applied, DiskHealth, LeaderInfo, MemberProgress, Membership, ProposeError, ReadError, Role, StateMachine,
    StoreHealth,
};

use super::config::{FatalDiskError, OnFatalDisk, Timings};
use super::inbox::{Input, ProposeCall, ReadCall};

/// Inputs that are stepped before the next fsync; they share it.
const INPUTS_PER_TURN_MAX: usize = 16;
/// After a stall of the process at most this many missed ticks are made up for: time that nobody could act in is no
/// reason to stand for election.
const CATCH_UP_TICKS_MAX: u32 = 2;
/// How often ages in the health report are renewed.
const HEALTH_EVERY: Duration = Duration::from_secs(1);

const PANICKED: &str = "the Raft thread panicked";

/// Where messages to peers go, and who the peers are.
pub(super) trait Network: Outbox + Send + 'static {
    /// The membership has changed.
    fn keep(&mut self, membership: &Membership);
}

impl Network for crate::transport::Peers {
    fn keep(&mut self, membership: &Membership) {
        Self::keep(self, membership);
    }
}

/// The Raft thread: the only one that touches the replica, its disk, and a clock for its ticks.
pub(super) struct Driver<S: StateMachine, D, N> {
    pub(super) replica: Replica<S, D>,
    pub(super) network: N,
    pub(super) inbox: Receiver<Input<S>>,
    pub(super) outlets: Outlets<S>,
    pub(super) timings: Timings,
    pub(super) on_fatal_disk: OnFatalDisk,
    pub(super) proposals: BTreeMap<ProposalId, ProposeCall<S>>,
    pub(super) reads: BTreeMap<ReadId, ReadCall<S>>,
    pub(super) health_at: Instant,
    pub(super) stopping: Option<Stopping>,
}

/// What the thread publishes.
pub(super) struct Outlets<S: StateMachine> {
    pub(super) applied: watch::Sender<Applied<S::View>>,
    pub(super) health: watch::Sender<StoreHealth>,
}

/// A shutdown under way: leadership is handed over first, within a bound.
pub(super) struct Stopping {
    done: oneshot::Sender<()>,
    until: Instant,
}

impl<S: StateMachine, D: Disk, N: Network> Driver<S, D, N> {
    /// Runs until asked to stop, until nobody holds the store any more, or until the replica doubts itself.
    ///
    /// Raft panics when it finds its invariants broken. What it was doing is left where it was then: those who wait
    /// for a proposal hear that nobody knows.
    pub(super) fn run(mut self) {
        let mut farewell = Farewell { outlets: self.outlets.clone(), failure: Some(PANICKED.to_owned()) };
        match catch_unwind(AssertUnwindSafe(|| self.turn_until_stopped())) {
            Ok(ended) => {
                farewell.failure = ended.as_ref().err().map(ToString::to_string);
                self.end(ended);
            }
            Err(panic) => {
                let failure = format!("{PANICKED}: {}", words(panic.as_ref()));
                tracing::error!(failure, "the store stops");
                farewell.failure = Some(failure);
            }
        }
        let done = self.stopping.take().map(|stopping| stopping.done);
        // The directory is free before whoever asked for the stop hears of it.
        drop(self);
        drop(farewell);
        if let Some(done) = done {
            let _ = done.send(());
        }
    }

    fn end(&mut self, ended: Result<(), Halt>) {
        match ended {
            Ok(()) => self.replica.close(),
            Err(halt) => self.halt(halt),
        }
        for (id, call) in std::mem::take(&mut self.proposals) {
            self.give_up_proposal(id, call);
        }
        for (_, call) in std::mem::take(&mut self.reads) {
            let _ = call.reply.send(Err(ReadError::Stopped));
        }
    }

    fn turn_until_stopped(&mut self) -> Result<(), Halt> {
        let mut next_tick = Instant::now() + self.timings.tick();
        self.turn()?;
        // Also where the log held nothing beyond the snapshot.
        self.outlets.applied.send_replace(self.replica.view());
        loop {
            let pause = next_tick.saturating_duration_since(Instant::now());
            match self.inbox.recv_timeout(pause) {
                Ok(input) => self.take_inputs(input)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            let now = Instant::now();
            if now >= next_tick {
                self.tick(now, &mut next_tick);
            }
            self.turn()?;
            if self.has_stopped(now) {
                return Ok(());
            }
        }
    }

    fn take_inputs(&mut self, first: Input<S>) -> Result<(), Halt> {
        self.take(first)?;
        for _ in 1..INPUTS_PER_TURN_MAX {
            let Ok(input) = self.inbox.try_recv() else { break };
            self.take(input)?;
        }
        Ok(())
    }

    fn take(&mut self, input: Input<S>) -> Result<(), Halt> {
        match input {
            Input::Message(message) => self.replica.step(&message)?,
            Input::Propose(request, call) => match self.replica.propose(&request) {
                Ok(id) => drop(self.proposals.insert(id, call)),
                Err(error) => drop(call.reply.send(Err(error))),
            },
            Input::Read(call) => match self.replica.read() {
                Ok(id) => drop(self.reads.insert(id, call)),
                Err(error) => drop(call.reply.send(Err(error))),
            },
            Input::Change(change, reply) => drop(reply.send(self.replica.change(&change))),
            Input::Transfer(to) => self.replica.transfer_leadership(to),
            Input::Stop(done) => {
                self.hand_over();
                let patience = Duration::from_millis(u64::from(self.timings.election_max_ms));
                self.stopping = Some(Stopping { done, until: Instant::now() + patience });
            }
        }
        Ok(())
    }

    fn tick(&mut self, now: Instant, next_tick: &mut Instant) {
        let tick = self.timings.tick();
        for _ in 0..CATCH_UP_TICKS_MAX {
            if *next_tick <= now {
                self.replica.tick();
                *next_tick += tick;
            }
        }
        if *next_tick <= now {
            *next_tick = now + tick;
        }
        if self.stopping.is_some() {
            self.hand_over();
        }
        self.expire(now);
    }

    /// Everything that follows from what was taken in: disk, messages, state, answers, health.
    fn turn(&mut self) -> Result<(), Halt> {
        self.replica.settle(&mut self.network)?;
        while let Some(event) = self.replica.poll_event() {
            self.tell(event);
        }
        self.publish_health();
        Ok(())
    }

    /// An answer that nobody waits for any more is dropped.
    fn tell(&mut self, event: Event<S>) {
        match event {
            // The newest: of a log that is replayed, the states in between are of the past.
            Event::Applied(_) => drop(self.outlets.applied.send_replace(self.replica.view())),
            Event::Answered { id, outcome } => {
                if let Some(call) = self.proposals.remove(&id) {
                    let _ = call.reply.send(Ok(outcome));
                }
            }
            Event::Read { id, view } => {
                if let Some(call) = self.reads.remove(&id) {
                    let _ = call.reply.send(Ok(view));
                }
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        let late: Vec<_> = self.proposals.extract_if(.., |_, call| call.deadline <= now).collect();
        for (id, call) in late {
            self.give_up_proposal(id, call);
        }
        let late: Vec<_> = self.reads.extract_if(.., |_, call| call.deadline <= now).collect();
        for (id, call) in late {
            self.replica.cancel_read(id);
            let _ = call.reply.send(Err(ReadError::Unavailable { within_ms: call.within_ms }));
        }
    }

    fn give_up_proposal(&mut self, id: ProposalId, call: ProposeCall<S>) {
        let within_ms = call.within_ms;
        let error = if self.replica.cancel_proposal(id) {
            ProposeError::Ambiguous { within_ms }
        } else {
            ProposeError::Unavailable { within_ms }
        };
        let _ = call.reply.send(Err(error));
    }

    /// Asks the best successor to take over, where this member leads. Whoever was not heard from a moment ago is not
    /// asked, so that a leader that stops asks again.
    fn hand_over(&mut self) {
        if let Some(successor) = self.replica.best_successor().filter(|_| self.replica.is_leader()) {
            self.replica.transfer_leadership(successor);
        }
    }

    fn has_stopped(&self, now: Instant) -> bool {
        self.stopping.as_ref().is_some_and(|stopping| {
            !self.replica.is_leader() || self.replica.is_alone() || now >= stopping.until
        })
    }

    fn publish_health(&mut self) {
        let now = Instant::now();
        let health = into_store_health(self.replica.health(), u64::from(self.timings.tick_ms));
        let periodic = now.duration_since(self.health_at) >= HEALTH_EVERY;
        if periodic {
            self.replica.announce_address();
        }
        let before = self.outlets.health.borrow().clone();
        if before.membership != health.membership {
            self.network.keep(&health.membership);
        }
        if (before.role, &before.leader) != (health.role, &health.leader) {
            let leader = health.leader.as_ref().map(|leader| leader.id.to_string());
            tracing::info!(role = ?health.role, leader, raft_term = health.raft_term, "the group's leader or my role changed");
        }
        if before.disk != health.disk {
            tracing::warn!(disk = ?health.disk, "the disk's state changed");
        }
        if periodic || !is_alike(&before, &health) {
            self.health_at = now;
            self.outlets.health.send_replace(health);
        }
    }

    fn halt(&mut self, halt: Halt) {
        tracing::error!(
            error = &halt as &dyn std::error::Error,
            "the store stops: this replica doubts itself"
        );
        if let Halt::Disk(DiskError::Failed { what, path, source }) = halt {
            let reason = format!("could not {what} `{}`: {source}", path.display());
            self.outlets.health.send_modify(|health| health.disk = DiskHealth::Failed { reason });
            self.on_fatal_disk.run(&FatalDiskError { what, path, source });
        }
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

/// Says that the store has stopped, whatever happens to the thread.
struct Farewell<S: StateMachine> {
    outlets: Outlets<S>,
    failure: Option<String>,
}

impl<S: StateMachine> Drop for Farewell<S> {
    fn drop(&mut self) {
        let failure = self.failure.take();
        self.outlets.health.send_modify(|health| {
            health.role = Role::Stopped;
            health.leader = None;
            health.failure = failure;
        });
    }
}

impl<S: StateMachine> Clone for Outlets<S> {
    fn clone(&self) -> Self {
        Self { applied: self.applied.clone(), health: self.health.clone() }
    }
}

/// Whether two reports differ in nothing but ages and counters that always move.
fn is_alike(before: &StoreHealth, after: &StoreHealth) -> bool {
    let caught_up = |health: &StoreHealth| -> Vec<_> {
        health.progress.iter().map(|(id, progress)| (*id, progress.caught_up)).collect()
    };
    (before.role, &before.leader, before.raft_term) == (after.role, &after.leader, after.raft_term)
        && (&before.membership, &before.disk) == (&after.membership, &after.disk)
        && caught_up(before) == caught_up(after)
}

pub(super) fn into_store_health(health: ReplicaHealth, tick_ms: u64) -> StoreHealth {
    let name = |id| health.membership.get(id).map(|member| member.name.clone());
    let leader = health.leader.map(|id| LeaderInfo { id, name: name(id) });
    let progress = health.progress.iter().map(|(id, (matched_index, caught_up, age))| {
        let contact_age_ms = age.map(|ticks| ticks * tick_ms);
        (*id, MemberProgress { matched_index: *matched_index, caught_up: *caught_up, contact_age_ms })
    });
    StoreHealth {
        progress: progress.collect(),
        leader,
        role: health.role,
        raft_term: health.raft_term,
        commit_index: health.commit_index,
        applied_index: health.applied_index,
        quorum_contact_age_ms: health.quorum_contact_age.map(|ticks| ticks * tick_ms),
        membership: health.membership,
        disk: health.disk,
        etcd: None,
        failure: None,
    }
}
