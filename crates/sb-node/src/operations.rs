//! What people asked for, remembered across a restart of the agent, and how it went: read off the record, which is
//! the only one to know.

mod key_rotation;
mod preshared;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sb_api::{Operation, OperationState, Problem, Step, StepState};
use sb_consensus::Applied;
use sb_failover::record::{Branch, Durability, TransferId};
use sb_failover::{ClusterRecord, Term};
use sb_topology::ServerName;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::mesh::{KeyStanding, Knowledge};
use crate::persisted;

pub use preshared::PresharedPair;

/// How many operations are remembered.
pub const OPERATIONS_MAX: usize = 64;

/// Between two looks at the replacement of the own key while nothing is told of it, in milliseconds.
const KEYS_AGAIN_MS: u64 = 1_000;

/// A server's word that is older says nothing about now, in milliseconds.
const WORD_MS_MAX: u64 = 6_000;

/// The moments of how many changes of term are remembered.
const MOMENTS_MAX: usize = sb_failover::record::HISTORY_MAX;

/// What tells that an operation has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mark {
    /// The transfer leaves the record: with a newer term it was done.
    Transfer {
        /// Which.
        id: TransferId,
        /// The term it began in.
        since: Term,
        /// To whom, when that was said.
        to: Option<String>,
    },
    /// The promise asked for holds, as long as no other is asked for.
    Durability {
        /// What was asked for.
        wanted: Durability,
        /// n.
        number: usize,
    },
    /// It had ended when it was journalled.
    Ended,
    /// The store is that of this recovery, and the server that it names takes writes.
    Recovery {
        /// Which.
        id: u64,
        /// The server.
        to: String,
    },
    /// The replacement of this server's WireGuard key is over: with this one it was done.
    KeyRotation {
        /// The public half of the new key.
        key: String,
    },
    /// Every one of these pairs has another preshared key, by the word of whoever makes it.
    Preshared {
        /// The pairs, in the order of the operation's steps.
        pairs: Vec<PresharedPair>,
        /// What is said of others.
        left_out: String,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tracked {
    operation: Operation,
    mark: Mark,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    operations: VecDeque<Tracked>,
    moments: BTreeMap<Term, String>,
    #[serde(default)]
    fell_back: Option<FellBack>,
}

/// Commits wait for nobody although they should.
#[derive(Debug, Serialize, Deserialize)]
struct FellBack {
    /// Since when, as far as this server has seen.
    at: String,
}

/// The operations of one agent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Operations {
    file: Arc<Mutex<PathBuf>>,
    remembered: Arc<Mutex<Remembered>>,
    /// Since when this agent has seen the pause with this id.
    pause_seen: Arc<Mutex<Option<(u64, Instant)>>>,
}

impl Operations {
    /// Reads what an earlier run remembered. A damaged file costs the memory of it, which decides nothing.
    #[must_use]
    pub fn open(file: PathBuf) -> Self {
        let read = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            file: Arc::new(Mutex::new(file)),
            remembered: Arc::new(Mutex::new(read.unwrap_or_default())),
            pause_seen: Arc::default(),
        }
    }

    /// Notes the moments of new terms and the ends of operations, until `stop`.
    pub async fn follow(
        self,
        mut records: watch::Receiver<Applied<Arc<ClusterRecord>>>,
        stop: CancellationToken,
    ) {
        loop {
            let record = records.borrow_and_update().view.clone();
            if self.note(&record, None) {
                let operations = self.clone();
                let _ = tokio::task::spawn_blocking(move || operations.save()).await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = records.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Notes how the replacement of this server's WireGuard key goes on, until `stop`.
    pub(crate) async fn follow_keys(
        self,
        mut standings: watch::Receiver<KeyStanding>,
        stop: CancellationToken,
    ) {
        loop {
            let standing = standings.borrow_and_update().clone();
            if self.note_keys(&standing) {
                let operations = self.clone();
                let _ = tokio::task::spawn_blocking(move || operations.save()).await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = standings.changed() => if changed.is_err() { return },
                // An operation is remembered a moment after the replacement has begun.
                () = tokio::time::sleep(Duration::from_millis(KEYS_AGAIN_MS)) => {}
            }
        }
    }

    /// Notes how preshared keys go on, by the words that `mesh` has of all servers, until `stop`.
    pub(crate) async fn follow_preshared(self, own: ServerName, mesh: Knowledge, stop: CancellationToken) {
        let limit = Duration::from_millis(WORD_MS_MAX);
        loop {
            let of = |maker: &str| mesh.preshared_of(&maker.parse().ok()?, &own, limit);
            let changed = {
                let mut remembered = self.lock();
                let running = remembered.operations.iter_mut().filter(|tracked| !tracked.operation.ended());
                running.fold(false, |changed, tracked| changed | preshared::note(tracked, of))
            };
            if changed {
                let operations = self.clone();
                let _ = tokio::task::spawn_blocking(move || operations.save()).await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(KEYS_AGAIN_MS)) => {}
            }
        }
    }

    /// Whether something changed.
    fn note_keys(&self, standing: &KeyStanding) -> bool {
        let mut remembered = self.lock();
        let running = remembered.operations.iter_mut().filter(|tracked| !tracked.operation.ended());
        running.fold(false, |changed, tracked| changed | key_rotation::note(tracked, standing))
    }

    /// Ends recoveries that this run of the agent does not go on with: their store is another one, and no intent is left.
    pub fn note_withdrawn(&self, branch: &Branch) {
        for tracked in &mut self.lock().operations {
            let given_up = matches!(&tracked.mark, Mark::Recovery { id, .. } if branch.last != Some(*id));
            if given_up && !tracked.operation.ended() {
                let problem = Problem::refused("recover.withdrawn", "the store was not recovered")
                    .hint("The journal says why: sb-cli events. To look again: sb-cli recover --plan");
                tracked.operation.problem = Some(problem);
                finish(&mut tracked.operation, OperationState::Failed, StepState::Failed);
                tracked.mark = Mark::Ended;
            }
        }
    }

    /// Remembers a new operation.
    pub async fn begin(&self, operation: Operation, mark: Mark) {
        {
            let mut remembered = self.lock();
            if remembered.operations.len() == OPERATIONS_MAX {
                remembered.operations.pop_front();
            }
            remembered.operations.push_back(Tracked { operation, mark });
        }
        let operations = self.clone();
        let _ = tokio::task::spawn_blocking(move || operations.save()).await;
    }

    /// Every operation remembered, oldest first, as `record` shows it now and while `writable` takes writes.
    #[must_use]
    pub fn all(&self, record: &ClusterRecord, writable: Option<&str>) -> Vec<Operation> {
        self.note(record, writable);
        self.lock().operations.iter().map(|tracked| tracked.operation.clone()).collect()
    }

    /// One operation.
    #[must_use]
    pub fn one(&self, id: &str, record: &ClusterRecord, writable: Option<&str>) -> Option<Operation> {
        self.all(record, writable).into_iter().find(|operation| operation.id == id)
    }

    /// When this server saw `term` begin: UTC, RFC 3339, for people.
    #[must_use]
    pub fn moment_of(&self, term: Term) -> Option<String> {
        self.lock().moments.get(&term).cloned()
    }

    /// When this server saw commits stop waiting for others, while they do not: UTC, RFC 3339, for people.
    #[must_use]
    pub fn fell_back_at(&self) -> Option<String> {
        self.lock().fell_back.as_ref().map(|fell_back| fell_back.at.clone())
    }

    /// Whether something changed.
    fn note(&self, record: &ClusterRecord, writable: Option<&str>) -> bool {
        self.note_pause(record);
        let mut remembered = self.lock();
        let mut changed = note_moments(&mut remembered.moments, record);
        changed |= note_fall_back(&mut remembered.fell_back, record);
        for tracked in &mut remembered.operations {
            changed |= note_end(tracked, record, writable);
        }
        changed
    }

    fn note_pause(&self, record: &ClusterRecord) {
        let mut seen = self.pause_seen.lock().expect("nothing panics while it is held");
        match (&record.pause, *seen) {
            (None, _) => *seen = None,
            (Some(pause), Some((id, _))) if pause.id == id => {}
            (Some(pause), _) => *seen = Some((pause.id, Instant::now())),
        }
    }

    /// How long the pause in `record` will last, counted from when this agent saw it.
    #[must_use]
    pub fn pause_remaining(&self, record: &ClusterRecord) -> Option<Duration> {
        self.note_pause(record);
        let (_, since) = (*self.pause_seen.lock().expect("nothing panics while it is held"))?;
        let length = Duration::from_millis(record.pause.as_ref()?.for_ms);
        Some(length.saturating_sub(since.elapsed()))
    }

    fn save(&self) {
        // The file's lock orders the writers; what is remembered is not held while the disk works.
        let file = self.file.lock().expect("nothing panics while it is held");
        let text = serde_json::to_value(&*self.lock()).expect("what is remembered has text keys");
        let saved = persisted::replace(&file, &text);
        if let Err(error) = saved {
            tracing::warn!(%error, "could not remember the operations");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().expect("nothing panics while it is held")
    }
}

fn note_moments(moments: &mut BTreeMap<Term, String>, record: &ClusterRecord) -> bool {
    // Terms that an agent finds at its first look began at some time before: that is not a moment.
    let first_look = moments.is_empty() && record.history.len() > 1;
    let mut changed = false;
    for handover in &record.history {
        if !moments.contains_key(&handover.term) && !first_look {
            moments.insert(handover.term, now());
            changed = true;
        }
    }
    while moments.len() > MOMENTS_MAX {
        moments.pop_first();
    }
    changed
}

fn note_fall_back(known: &mut Option<FellBack>, record: &ClusterRecord) -> bool {
    let sync = &record.sync;
    if !(sync.durability.is_synchronous() && sync.degraded && record.lease.is_some()) {
        return known.take().is_some();
    }
    // A later version of the same fall back is a new primary's, or no change at all.
    let new = known.is_none();
    known.get_or_insert_with(|| FellBack { at: now() });
    new
}

fn note_end(tracked: &mut Tracked, record: &ClusterRecord, writable: Option<&str>) -> bool {
    let (id, since, to) = match &tracked.mark {
        Mark::Transfer { id, since, to } => (id, since, to),
        Mark::Durability { wanted, number } => {
            let (wanted, number) = (*wanted, *number);
            return note_promise(tracked, record, wanted, number);
        }
        Mark::Recovery { id, to } => {
            let writes = record.branch.last == Some(*id) && writable == Some(to.as_str());
            return !tracked.operation.ended() && writes && note_recovered(tracked, record.term());
        }
        // Not on the record: [`Operations::follow_keys`] and [`Operations::follow_preshared`] see it.
        Mark::KeyRotation { .. } | Mark::Preshared { .. } | Mark::Ended => return false,
    };
    let pending = record.transfer.as_ref().is_some_and(|transfer| transfer.id == *id);
    if pending || tracked.operation.ended() {
        return false;
    }
    let holder = record.holder().map(|holder| holder.as_str().to_owned());
    let wanted = to.as_ref().is_none_or(|to| holder.as_ref() == Some(to));
    match holder {
        // Done is when clients are let in, not when the lease has moved.
        Some(holder) if record.term() > *since && wanted && writable != Some(holder.as_str()) => {
            return false;
        }
        Some(holder) if record.term() > *since && wanted => {
            let term = record.term();
            tracked.operation.result = Some(format!("`{holder}` is primary (term {term})"));
            finish(&mut tracked.operation, OperationState::Done, StepState::Done);
        }
        holder => {
            let now = holder
                .map_or_else(|| "nobody holds the lease".to_owned(), |h| format!("`{h}` holds the lease"));
            let problem =
                Problem::refused("transfer.not_done", "the transfer was withdrawn or came to another end")
                    .detail(format!("Term {}: {now}.", record.term()))
                    .hint("sb-cli explain says what stands in the way.");
            tracked.operation.problem = Some(problem);
            finish(&mut tracked.operation, OperationState::Failed, StepState::Failed);
        }
    }
    tracked.mark = Mark::Ended;
    true
}

fn note_recovered(tracked: &mut Tracked, term: Term) -> bool {
    if let Mark::Recovery { to, .. } = &tracked.mark {
        tracked.operation.result = Some(format!(
            "`{to}` is primary (term {term}) of a store of its own; servers that were not given up join it by themselves"
        ));
    }
    finish(&mut tracked.operation, OperationState::Done, StepState::Done);
    tracked.mark = Mark::Ended;
    true
}

fn note_promise(tracked: &mut Tracked, record: &ClusterRecord, wanted: Durability, number: usize) -> bool {
    let sync = &record.sync;
    if tracked.operation.ended() {
        return false;
    }
    if (sync.wanted, sync.number) != (wanted, number) {
        let problem = Problem::refused("durability.not_done", "another durability was asked for since");
        tracked.operation.problem = Some(problem);
        finish(&mut tracked.operation, OperationState::Failed, StepState::Failed);
    } else if sync.durability == wanted && !sync.degraded && sync.counted_on() == number {
        let result = match wanted {
            Durability::Async => "commits wait for no other server".to_owned(),
            Durability::Sync | Durability::Strict => {
                format!("commits wait for {number} of {} standbys", sync.voters.len())
            }
        };
        tracked.operation.result = Some(result);
        finish(&mut tracked.operation, OperationState::Done, StepState::Done);
    } else {
        return false;
    }
    tracked.mark = Mark::Ended;
    true
}

fn finish(operation: &mut Operation, state: OperationState, step: StepState) {
    operation.state = state;
    for one in &mut operation.steps {
        one.state = step;
    }
}

/// UTC, RFC 3339, to the millisecond: for people, never compared between servers.
#[must_use]
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// An operation that begins now.
#[must_use]
pub fn new_operation(id: u64, kind: &str, by: &str, steps: &[String]) -> Operation {
    let step = |name: &String| Step { name: name.clone(), state: StepState::Waiting };
    Operation {
        id: format!("{id:016x}"),
        kind: kind.to_owned(),
        state: OperationState::Running,
        by: by.to_owned(),
        started_at: now(),
        steps: steps.iter().map(step).collect(),
        result: None,
        problem: None,
    }
}

#[cfg(test)]
mod tests {
    use sb_failover::record::{Lease, Transfer, TransferKind};
    use sb_failover::{Incarnation, RenewalNumber, Seq};

    use super::*;

    fn record(holder: &str, term: u64, transfer: Option<TransferId>) -> ClusterRecord {
        let lease = Lease {
            holder: holder.parse().unwrap(),
            incarnation: Incarnation::new(1),
            term: Term::new(term),
            seq: Seq::new(0),
            ttl_ms: 3_500,
            renewal: RenewalNumber::default(),
            released: None,
        };
        let transfer = transfer.map(|id| Transfer {
            id,
            to: None,
            kind: TransferKind::Switchover,
            by: "root".to_owned(),
        });
        ClusterRecord { lease: Some(lease), transfer, ..ClusterRecord::default() }
    }

    async fn switchover(operations: &Operations) -> String {
        let operation = new_operation(7, "switchover", "root", &["one step".to_owned()]);
        let id = operation.id.clone();
        let to = Some("ravena-2".to_owned());
        operations.begin(operation, Mark::Transfer { id: TransferId(7), since: Term::new(1), to }).await;
        id
    }

    #[tokio::test]
    async fn a_switchover_is_done_when_clients_are_let_in_and_that_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("operations.json");
        let operations = Operations::open(file.clone());
        let id = switchover(&operations).await;
        let state = |record: &ClusterRecord, writable| operations.one(&id, record, writable).unwrap().state;
        assert_eq!(
            state(&record("ravena-1", 1, Some(TransferId(7))), Some("ravena-1")),
            OperationState::Running
        );
        assert_eq!(state(&record("ravena-2", 2, None), None), OperationState::Running);

        let again = Operations::open(file).one(&id, &record("ravena-2", 2, None), Some("ravena-2")).unwrap();
        assert_eq!(again.state, OperationState::Done);
        assert_eq!(again.result.as_deref(), Some("`ravena-2` is primary (term 2)"));
    }

    #[tokio::test]
    async fn a_switchover_that_another_server_won_has_failed() {
        let dir = tempfile::tempdir().unwrap();
        let operations = Operations::open(dir.path().join("operations.json"));
        let id = switchover(&operations).await;
        let operation = operations.one(&id, &record("tucson-1", 2, None), Some("tucson-1")).unwrap();
        assert_eq!(operation.state, OperationState::Failed);
        assert_eq!(operation.problem.unwrap().code, "transfer.not_done");
    }
}
