use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sb_consensus::{RestoreError, StateMachine};
use sb_failover::mutant::Mutant;
use sb_failover::{ClusterRecord, Outcome, Request};
use serde::{Deserialize, Serialize};

/// Names a request in the [`Ledger`]; this is what travels through Raft. How requests are encoded is tested where
/// the encoding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(u32);

/// Names the step of the ledger that answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Answer(u32);

/// Every request there was, and every state the record went through, once for all replicas of a world.
///
/// A replica that applies its n-th request is compared with the first one that did: another request, or another
/// result of the same one, is a fork of the replicated state.
#[derive(Clone, Debug)]
pub struct Ledger {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    requests: Vec<Request>,
    steps: Vec<Step>,
    founded: Arc<ClusterRecord>,
    fork: Option<String>,
    mutant: Option<Mutant>,
}

#[derive(Debug)]
struct Step {
    ticket: Ticket,
    outcome: Outcome,
    record: Arc<ClusterRecord>,
    /// A second replica came to the same result on its own.
    confirmed: bool,
}

impl Ledger {
    pub fn new(mutant: Option<Mutant>) -> Self {
        let founded = Arc::new(ClusterRecord::default());
        let inner = Inner { requests: Vec::new(), steps: Vec::new(), founded, fork: None, mutant };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    pub fn issue(&self, request: Request) -> Ticket {
        let mut inner = self.lock();
        inner.requests.push(request);
        Ticket(number(inner.requests.len() - 1))
    }

    pub fn outcome(&self, answer: Answer) -> Outcome {
        self.lock().steps[answer.0 as usize].outcome.clone()
    }

    /// How many requests were carried out anywhere.
    pub fn len(&self) -> usize {
        self.lock().steps.len()
    }

    /// The record after `steps` requests.
    pub fn at(&self, steps: usize) -> Arc<ClusterRecord> {
        self.lock().at(steps)
    }

    pub fn newest(&self) -> Arc<ClusterRecord> {
        let inner = self.lock();
        inner.at(inner.steps.len())
    }

    /// The request of one step, with what came of it.
    pub fn step(&self, index: usize) -> (Request, Outcome) {
        let inner = self.lock();
        let step = &inner.steps[index];
        (inner.requests[step.ticket.0 as usize].clone(), step.outcome.clone())
    }

    /// What two replicas disagree about.
    pub fn fork(&self) -> Option<String> {
        self.lock().fork.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn at(&self, steps: usize) -> Arc<ClusterRecord> {
        let step = steps.checked_sub(1).and_then(|last| self.steps.get(last));
        Arc::clone(step.map_or(&self.founded, |step| &step.record))
    }

    fn carry_out(&self, ticket: Ticket, before: &Arc<ClusterRecord>) -> (Outcome, Arc<ClusterRecord>) {
        let mut after = ClusterRecord::clone(before);
        match after.apply_mutated(&self.requests[ticket.0 as usize], self.mutant) {
            Ok(()) => (Ok(()), Arc::new(after)),
            Err(rejection) => {
                assert!(after == **before, "a rejected entry changed the record: {rejection}");
                (Err(rejection), Arc::clone(before))
            }
        }
    }

    fn apply(&mut self, index: usize, ticket: Ticket) {
        let before = self.at(index);
        let Some(step) = self.steps.get(index) else {
            let (outcome, record) = self.carry_out(ticket, &before);
            self.steps.push(Step { ticket, outcome, record, confirmed: false });
            return;
        };
        if step.ticket != ticket {
            self.fork = Some(format!("request {} is {:?} here and {ticket:?} there", index + 1, step.ticket));
        } else if !step.confirmed {
            let (outcome, record) = self.carry_out(ticket, &before);
            if (&outcome, &record) != (&step.outcome, &step.record) {
                self.fork = Some(format!("request {} has two results", index + 1));
            }
            self.steps[index].confirmed = true;
        }
    }
}

/// What a replica keeps: how far it is.
#[derive(Debug)]
pub struct Replicated {
    ledger: Ledger,
    applied: usize,
}

/// A replica's state.
#[derive(Clone, Debug)]
pub struct View {
    /// How many requests it has carried out.
    pub applied: usize,
}

impl Replicated {
    pub fn new(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), applied: 0 }
    }
}

impl StateMachine for Replicated {
    type Request = Ticket;
    type Outcome = Answer;
    type View = View;

    fn apply(&mut self, ticket: &Ticket) -> Answer {
        self.ledger.lock().apply(self.applied, *ticket);
        self.applied += 1;
        Answer(number(self.applied - 1))
    }

    fn view(&self) -> View {
        View { applied: self.applied }
    }

    fn snapshot(&self) -> Vec<u8> {
        self.applied.to_le_bytes().to_vec()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.applied = usize::from_le_bytes(bytes.try_into().map_err(RestoreError::new)?);
        Ok(())
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a minute has fewer requests")
}
