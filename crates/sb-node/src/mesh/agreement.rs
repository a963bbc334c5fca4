//! The newest agreement about the mesh that this server knows.
//!
//! ```text
//!  own replica of the record ──┐
//!  words of the other servers ─┼─► the newest ──► copy on disk ──► acted on, and told to others
//!  copy on disk, at the start ─┘
//! ```
//!
//! Of two agreements the one of the newer store counts, and of one store the later one; but a key counts that was replaced
//! more often, in whichever of them. A server that is cut off from the
//! store's leader learns what is agreed from whom it still reaches, and passes it on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sb_api::MeshAgreement;
use sb_consensus::Store;
use sb_failover::ClusterRecord;
use sb_failover::record::MESH_BYTES_MAX;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::agreed::{Agreed, AgreedError};
use super::exchange::Words;
use crate::Layout;
use crate::journal::{Entry, Journal};
use crate::persisted::{self, RememberError};
use crate::postgres::chain;
use crate::replicated::Replicated;
use crate::troubles::{Change, Topic, Troubles};

/// An agreement, as text and as what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// As it is told to others.
    pub(super) told: MeshAgreement,
    /// What it says.
    pub(super) agreed: Agreed,
}

impl Known {
    fn read(told: MeshAgreement) -> Result<Self, AgreedError> {
        if told.document.len() > MESH_BYTES_MAX {
            return Err(AgreedError::TooLong { bytes: told.document.len() });
        }
        Ok(Self { agreed: Agreed::read(&told.document)?, told })
    }

    /// The agreement in a record. One that cannot be read has the record's number.
    fn on_record(record: &ClusterRecord) -> Result<Self, (MeshAgreement, AgreedError)> {
        let (branch, generation) = (record.branch.generation, record.mesh.generation);
        let told = MeshAgreement { branch, generation, document: record.mesh.document.clone() };
        let mut known = Self::read(told.clone()).map_err(|error| (told, error))?;
        known.told.generation = generation.saturating_add(known.agreed.ahead);
        Ok(known)
    }

    /// What is known once both are: the later of the two, with the newest keys of both.
    fn joined(&self, heard: Self) -> Self {
        let is_later = rank(&heard.told) > rank(&self.told);
        let (mut later, earlier) = if is_later { (heard, self) } else { (self.clone(), &heard) };
        if later.agreed.learn_keys(&earlier.agreed) {
            later.told.document = later.agreed.to_document();
        }
        later
    }

    /// What the record lacks of this.
    pub(super) fn lacking(&self, record: &ClusterRecord) -> Lacking {
        let Ok(recorded) = Self::on_record(record) else { return Lacking::Nothing };
        match rank(&recorded.told).cmp(&rank(&self.told)) {
            // This server has not learned of it yet.
            std::cmp::Ordering::Greater => Lacking::Nothing,
            std::cmp::Ordering::Equal if recorded.agreed == self.agreed => Lacking::Nothing,
            std::cmp::Ordering::Equal => Lacking::Keys,
            std::cmp::Ordering::Less if recorded.told.branch == self.told.branch => Lacking::Agreement,
            std::cmp::Ordering::Less => Lacking::Store,
        }
    }
}

/// What the cluster's record lacks of the agreement that this server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lacking {
    /// Nothing, as far as this server knows.
    Nothing,
    /// Keys that another store agreed on.
    Keys,
    /// The whole agreement: the record has gone back, or this server's copy of it is late.
    Agreement,
    /// The agreement is of another store, which counts more than the one that this server belongs to.
    Store,
}

/// A record that lacks the newest agreement for so long is not merely late, in milliseconds.
pub(super) const BEHIND_MS_MIN: u64 = 30_000;

/// Between two looks at what the record lacks while nothing is heard, in milliseconds.
const LOOK_MS: u64 = 5_000;

/// By which of two agreements the later one is told: the store's generation, then its own.
type Rank = (u64, u64);

const fn rank(agreement: &MeshAgreement) -> Rank {
    (agreement.branch, agreement.generation)
}

/// Learns of agreements and keeps the newest.
pub(super) struct AgreementLine {
    copy: PathBuf,
    journal: Arc<Journal>,
    newest: watch::Sender<Arc<Known>>,
    /// The newest that could not be read: it is complained about once.
    unreadable: Rank,
    /// The record's agreement that was looked at last.
    recorded: Option<(u64, u64)>,
    /// Since when the record lacks the newest agreement.
    behind: Option<Instant>,
    troubles: Arc<Troubles>,
}

impl AgreementLine {
    /// Begins with the copy on disk. Without a usable one the line begins with no agreement: others know the newest.
    pub(super) fn open(layout: &Layout, journal: Arc<Journal>, troubles: Arc<Troubles>) -> Self {
        let copy = layout.mesh_agreement_file();
        let (newest, _) = watch::channel(Arc::default());
        let unreadable = Rank::default();
        let mut line = Self { copy, journal, newest, unreadable, recorded: None, behind: None, troubles };
        match persisted::read::<MeshAgreement>(&line.copy) {
            Ok(None) => {}
            Ok(Some(told)) => match Known::read(told.clone()) {
                Ok(known) => drop(line.newest.send_replace(Arc::new(known))),
                Err(error) => line.complain(&told, &error),
            },
            Err(error) => {
                let message = "this server's copy of the agreement about the mesh cannot be used";
                line.journal.record(Entry::new("mesh.agreement_lost", message).detail(chain(&error)));
            }
        }
        line
    }

    /// The newest agreement, from now on.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<Known>> {
        self.newest.subscribe()
    }

    /// Learns from the own replica of the record and from the other servers, until `stop`.
    pub(super) async fn run(
        mut self,
        store: Store<Replicated>,
        mut words: watch::Receiver<Words>,
        stop: CancellationToken,
    ) {
        let mut records = store.watch();
        loop {
            let record = records.borrow_and_update().view.clone();
            self.learn_of_record(&record).await;
            let told: Vec<_> = {
                let (words, known) = (words.borrow_and_update(), self.newest.borrow());
                let other = |told: &&MeshAgreement| **told != known.told;
                words.values().map(|heard| &heard.word.agreed).filter(other).cloned().collect()
            };
            for agreement in told {
                self.learn(agreement).await;
            }
            self.tell_of(&record, Instant::now());
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = records.changed() => if changed.is_err() { return },
                changed = words.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
            }
        }
    }

    /// The record changes with every renewal of the lease, its agreement hardly ever.
    async fn learn_of_record(&mut self, record: &ClusterRecord) {
        let (branch, generation) = (record.branch.generation, record.mesh.generation);
        if self.recorded == Some((branch, generation)) {
            return;
        }
        match Known::on_record(record) {
            Ok(recorded) => {
                if self.take(recorded).await.is_ok() {
                    self.recorded = Some((branch, generation));
                }
            }
            Err((told, error)) => self.complain(&told, &error),
        }
    }

    /// Learns of an agreement that another server told of.
    pub(super) async fn learn(&mut self, told: MeshAgreement) {
        match Known::read(told.clone()) {
            // It comes again with the next word.
            Ok(heard) => drop(self.take(heard).await),
            Err(error) => self.complain(&told, &error),
        }
    }

    /// Keeps what is new in an agreement. It is on disk before anybody acts on it; what cannot be written is not acted on.
    async fn take(&mut self, heard: Known) -> Result<(), RememberError> {
        let known = self.newest.borrow().clone();
        let joined = known.joined(heard);
        if joined == *known {
            return Ok(());
        }
        let written = self.write(joined.told.clone()).await;
        self.tell_of_disk(written.as_ref().err());
        if written.is_ok() {
            self.newest.send_replace(Arc::new(joined));
        }
        written
    }

    fn tell_of_disk(&self, error: Option<&RememberError>) {
        let sentence = error
            .map(|error| format!("what is agreed about the mesh is not followed here: {}", chain(error)));
        let change = self.troubles.set(Topic::Agreement, sentence);
        if let (Some(error), Change::Began | Change::Differs) = (error, change) {
            let message = "this server cannot keep, and does not follow, the newest agreement about the mesh";
            self.journal.record(Entry::new("mesh.agreement_unwritable", message).detail(chain(error)));
        }
    }

    /// Says so when the record lacks the newest agreement for long: no change of it is taken then.
    fn tell_of(&mut self, record: &ClusterRecord, now: Instant) {
        let known = self.newest.borrow().clone();
        let lacking = known.lacking(record);
        let sentence = match lacking {
            Lacking::Nothing | Lacking::Keys => None,
            Lacking::Agreement => {
                Some("the cluster's record has gone back behind the agreement about the mesh")
            }
            Lacking::Store => Some("the agreement about the mesh is of a newer store than this server's"),
        };
        self.behind = sentence.and(self.behind.or(Some(now)));
        let lasts = self.behind.is_some_and(|since| now - since >= Duration::from_millis(BEHIND_MS_MIN));
        let sentence = sentence.filter(|_| lasts);
        if self.troubles.set(Topic::Record, sentence.map(str::to_owned)) == Change::Began {
            let entry = Entry::new("mesh.behind", sentence.unwrap_or_default());
            let MeshAgreement { branch, generation, .. } = &known.told;
            let detail = format!(
                "Known here: number {generation} of store {branch}. The record has number {} of store {}.",
                record.mesh.generation, record.branch.generation
            );
            self.journal.record(entry.detail(detail));
        }
    }

    fn is_newer(&self, found: Rank) -> bool {
        found > rank(&self.newest.borrow().told)
    }

    /// A disk that hangs holds up nothing but this line.
    async fn write(&self, told: MeshAgreement) -> Result<(), RememberError> {
        let copy = self.copy.clone();
        let written = tokio::task::spawn_blocking(move || persisted::replace(&copy, &told)).await;
        written.expect("writing a file does not panic, and the runtime outlives its parts")
    }

    fn complain(&mut self, told: &MeshAgreement, error: &AgreedError) {
        if rank(told) <= self.unreadable || !self.is_newer(rank(told)) {
            return;
        }
        self.unreadable = rank(told);
        let message = "an agreement about the mesh cannot be read; the one before it stays";
        let detail = format!("Generation {}: {}.", told.generation, chain(error));
        self.journal.record(Entry::new("mesh.agreement_unreadable", message).detail(detail));
    }
}

#[cfg(test)]
mod tests;
