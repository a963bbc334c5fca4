//! The loop around the failover machine: events in, commands out, nothing decided here.

use std::sync::Arc;
use std::time::Duration;

use sb_consensus::{Applied, ProposeError, Store};
use sb_failover::{
    BootTime, ClusterRecord, Command, Event, Explanation, FailsafePromise, JournalEntry, Machine, OpFailure,
    OpId, OpOutput, ProposalId, ProposalResult, Request, State,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::failsafe_line::FailsafeLine;
use crate::guard_link::GuardLink;
use crate::journal::{Entry, Journal};
use crate::persisted::Memory;
use crate::postgres::Driver;
use crate::replicated::Replicated;
use crate::trace::Trace;
use crate::{boottime, words};

/// Longest wait for a proposal's outcome, in milliseconds. What has no answer by then is ambiguous, and the machine
/// proposes anew.
const PROPOSAL_MS_MAX: u64 = 1_500;

/// Events that may wait for the machine; those who send them wait when it is full.
pub const EVENTS_WAITING_MAX: usize = 256;

/// The machine as others may see it.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Why it is where it is.
    pub explanation: Explanation,
    /// When it last turned.
    pub at: BootTime,
}

/// What the loop drives.
pub struct Runtime {
    /// Decides.
    pub machine: Machine,
    /// Where proposals go and records come from.
    pub store: Store<Replicated>,
    /// Holds the deadline.
    pub guard: GuardLink,
    /// Works on PostgreSQL; a witness has none, and its machine asks for nothing.
    pub driver: Option<Driver>,
    /// Asks and answers about going on without the store.
    pub failsafe: FailsafeLine,
    /// Where promises are kept.
    pub memory: Memory,
    /// For people.
    pub journal: Arc<Journal>,
    /// What the machine is told, to be played again.
    pub trace: Trace,
    /// Events of everybody else.
    pub events: mpsc::Receiver<Event>,
    /// For the ends of proposals.
    pub sender: mpsc::Sender<Event>,
    /// Tells the state to whoever follows it.
    pub state: watch::Sender<State>,
    /// Tells the picture to the status.
    pub turn: watch::Sender<Option<Turn>>,
}

impl Runtime {
    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut records = self.store.watch();
        records.mark_changed();
        self.carry_out();
        loop {
            self.publish();
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = records.changed() => match changed {
                    Ok(()) => record(&mut records),
                    Err(_) => return,
                },
                Some(event) = self.events.recv() => Some(event),
                () = until(self.machine.poll_timeout()) => Some(Event::Timeout),
            };
            if let Some(event) = event {
                let now = boottime::now();
                self.trace.event(&self.machine, &event, now);
                self.machine.handle(event, now);
                self.carry_out();
                self.trace.end(&self.machine, now);
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(command) = self.machine.poll_command() {
            self.trace.command(&command);
            match command {
                Command::Propose { id, request } => self.propose(id, request),
                Command::ArmGuard { term, fence_at } => self.guard.arm(term, fence_at),
                Command::Disarm { term } => self.guard.disarm(term),
                Command::Cancel { op } => {
                    if let Some(driver) = &self.driver {
                        driver.cancel(op);
                    }
                }
                Command::Journal(entry) => {
                    if let JournalEntry::FellBack { term, .. } = &entry {
                        tracing::warn!(%term, "the promise of `sync` is not kept: commits wait for no other server");
                    }
                    self.journal.record(words::entry(&entry));
                }
                Command::AskFailsafe { round, members, question } => {
                    self.failsafe.ask(round, &members, &question);
                }
                Command::AnswerFailsafe { ask, answer } => self.failsafe.answer(ask, answer),
                Command::StoreFailsafe { op, promise } => self.store_failsafe(op, promise),
                Command::Fence { op }
                | Command::StartPrimary { op, .. }
                | Command::StartStandby { op, .. }
                | Command::StopPostgres { op, .. }
                | Command::Follow { op, .. }
                | Command::StorePromise { op, .. }
                | Command::Persist { op, .. }
                | Command::Freeze { op }
                | Command::Fetch { op, .. }
                | Command::Promote { op, .. }
                | Command::OpenClients { op, .. }
                | Command::SetSyncStandbys { op, .. }
                | Command::Repair { op, .. }
                | Command::InitDb { op } => match &self.driver {
                    Some(driver) => driver.begin(op, command),
                    None => tracing::error!(command = command.name(), "a witness has no PostgreSQL"),
                },
            }
        }
    }

    /// Beside the work on PostgreSQL: a clone that takes hours must not keep a primary waiting for an answer.
    fn store_failsafe(&self, op: OpId, promise: FailsafePromise) {
        let (memory, sender) = (self.memory.clone(), self.sender.clone());
        tokio::spawn(async move {
            let stored = tokio::task::spawn_blocking(move || memory.store_failsafe(&promise)).await;
            let result = match stored {
                Ok(Ok(())) => Ok(OpOutput::Nothing),
                Ok(Err(error)) => Err(OpFailure::Failed { detail: error.to_string() }),
                Err(panic) => Err(OpFailure::Failed { detail: panic.to_string() }),
            };
            let _ = sender.send(Event::Done { op, result }).await;
        });
    }

    fn propose(&self, id: ProposalId, request: Request) {
        let (store, sender) = (self.store.clone(), self.sender.clone());
        tokio::spawn(async move {
            let result = match store.propose(request, Duration::from_millis(PROPOSAL_MS_MAX)).await {
                Ok(Ok(())) => ProposalResult::Applied,
                Ok(Err(rejection)) => ProposalResult::Rejected(rejection),
                Err(error) => {
                    report(&error);
                    ProposalResult::Ambiguous
                }
            };
            let _ = sender.send(Event::ProposalDone { id, result }).await;
        });
    }

    fn publish(&mut self) {
        let now = boottime::now();
        let state = self.machine.state();
        let moved = self.state.send_if_modified(|known| std::mem::replace(known, state) != state);
        if moved && state == State::Parked {
            let next = self.machine.explain(now).next;
            tracing::error!(%next, "this server needs a person");
            self.journal.record(Entry::new("server.parked", "this server needs a person").detail(next));
        }
        self.turn.send_replace(Some(Turn { explanation: self.machine.explain(now), at: now }));
    }
}

fn record(records: &mut watch::Receiver<Applied<Arc<ClusterRecord>>>) -> Option<Event> {
    let applied = records.borrow_and_update();
    // Index 0 is the state of a server that the store has not reached: it says nothing about the cluster.
    (applied.index > 0).then(|| Event::Record(applied.view.clone()))
}

fn report(error: &ProposeError) {
    match error {
        ProposeError::Ambiguous { .. } | ProposeError::Unavailable { .. } | ProposeError::Stopped => {
            tracing::debug!(%error, "a proposal has no answer");
        }
        ProposeError::Overloaded
        | ProposeError::TooLarge { .. }
        | ProposeError::RecordTooLarge { .. }
        | ProposeError::Unencodable { .. } => {
            tracing::error!(%error, "a proposal could not be made");
        }
    }
}

async fn until(time: Option<BootTime>) {
    match time {
        Some(time) => tokio::time::sleep(time.since(boottime::now())).await,
        None => std::future::pending().await,
    }
}
