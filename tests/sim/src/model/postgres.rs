//! PostgreSQL as a model: the log is a list, a standby copies it, a primary waits for acknowledgements.

use std::collections::VecDeque;

use sb_failover::record::Standing;
use sb_failover::{Role, SyncStandbys, Term};
use sb_pgtypes::{Lineage, Lsn, Position, TimelineId};

use crate::server::index;

/// One record of the log: which promotion, shutdown or transaction it is. Numbers rise and are never used twice.
pub type Record = u64;

/// The bytes of one record.
pub const RECORD_BYTES: u64 = 1_000;
/// Records that a standby takes in one go.
const BATCH_RECORDS_MAX: usize = 200;

pub const fn lsn(records: usize) -> Lsn {
    Lsn::new(records as u64 * RECORD_BYTES)
}

/// A commit that waits for standbys.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// The log has to be there up to this many records.
    pub records: usize,
    pub transaction: Record,
    pub client: usize,
}

/// A running WAL receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// The upstream's [`Postgres::connection`] when it was made.
    pub connection: u64,
    /// Something is on its way.
    pub in_flight: bool,
}

/// The data directory and, while `role` is not `Stopped`, the server on it.
#[derive(Clone, Debug)]
pub struct Postgres {
    pub has_data: bool,
    /// A copy was begun and not completed: whoever starts this has destroyed a database.
    pub torn: bool,
    /// The data has been in recovery since it last was a primary's: only a promotion makes it one again.
    pub recovering: bool,
    pub log: Vec<Record>,
    pub lineage: Lineage,
    pub role: Role,
    pub term: Term,
    pub upstream: Option<usize>,
    pub receiver: Option<Receiver>,
    /// Rises with every start and re-pointing: what was sent on an older connection does not count.
    pub connection: u64,
    pub clients: bool,
    /// It takes connections and answers nothing.
    pub hung: bool,
    pub sync: SyncStandbys,
    sync_mask: u64,
    /// Of a primary: up to where each server has flushed.
    pub flushed: Vec<Option<usize>>,
    pub waiting: VecDeque<Waiting>,
}

impl Postgres {
    pub fn absent(servers: usize) -> Self {
        Self {
            has_data: false,
            torn: false,
            recovering: false,
            log: Vec::new(),
            lineage: Lineage::first(),
            role: Role::Stopped,
            term: Term::default(),
            upstream: None,
            receiver: None,
            connection: 0,
            clients: false,
            hung: false,
            sync: SyncStandbys::default(),
            sync_mask: 0,
            flushed: vec![None; servers],
            waiting: VecDeque::new(),
        }
    }

    pub fn runs(&self) -> bool {
        self.role != Role::Stopped
    }

    pub fn position(&self) -> Position {
        Position { lineage: self.lineage.clone(), flushed: lsn(self.log.len()) }
    }

    /// Whether `record` is in its log, where numbers only rise.
    pub fn has(&self, record: Record) -> bool {
        self.log.binary_search(&record).is_ok()
    }

    pub fn start(&mut self, role: Role) {
        self.forget_connections();
        self.role = role;
        self.recovering |= role == Role::Standby;
    }

    pub fn kill(&mut self) {
        self.forget_connections();
        self.role = Role::Stopped;
        self.upstream = None;
    }

    fn forget_connections(&mut self) {
        self.connection += 1;
        self.receiver = None;
        self.clients = false;
        self.hung = false;
        self.flushed.fill(None);
        self.waiting.clear();
    }

    /// Receives from another server from now on.
    pub fn point(&mut self, upstream: Option<usize>) {
        self.connection += 1;
        self.receiver = None;
        self.upstream = upstream;
    }

    /// The number that PostgreSQL takes when nothing keeps it free.
    pub fn next_timeline(&self) -> TimelineId {
        TimelineId::try_from(self.lineage.current().get() + 1).expect("more than zero")
    }

    /// To a number that is not below [`Postgres::next_timeline`].
    pub fn promote(&mut self, term: Term, mark: Record, timeline: TimelineId) {
        let forked = self.lineage.forked(lsn(self.log.len()), timeline);
        self.lineage = forked.expect("timelines and positions rise");
        self.forget_connections();
        self.log.push(mark);
        self.role = Role::Primary;
        self.recovering = false;
        self.term = term;
        self.upstream = None;
    }

    /// Whether its log is a part of that of `source`, as the walsender finds out.
    pub fn fits(&self, source: &Postgres) -> bool {
        Standing::of(&self.position(), &source.lineage) == Standing::InForce
            && self.log.len() <= source.log.len()
    }

    /// Takes records from `source`, up to `until` of them in all.
    pub fn copy_from(&mut self, source: &Postgres, until: usize) {
        let begin = self.log.len();
        let end = source.log.len().min(until);
        if begin < end {
            self.log.extend_from_slice(&source.log[begin..end]);
        }
        // A change of timeline without a record behind it is taken too, as a standby takes the history file.
        if self.lineage != source.lineage {
            self.lineage = lineage_at(&source.lineage, self.log.len());
        }
    }

    /// How far one go takes a standby.
    pub fn batch_end(&self, source_records: usize) -> usize {
        source_records.min(self.log.len() + BATCH_RECORDS_MAX)
    }

    pub fn clone_from(&mut self, source: &Postgres) {
        self.has_data = true;
        self.torn = false;
        self.recovering = true;
        self.log.clone_from(&source.log);
        self.lineage = source.lineage.clone();
    }

    /// Writes one transaction; true when it is acknowledged at once.
    pub fn write(&mut self, transaction: Record, client: usize) -> bool {
        self.log.push(transaction);
        let at_once = self.sync.names.is_empty();
        if !at_once {
            self.waiting.push_back(Waiting { records: self.log.len(), transaction, client });
        }
        at_once
    }

    /// The next transaction that is acknowledged now.
    pub fn acknowledge(&mut self) -> Option<Waiting> {
        let waiting = *self.waiting.front()?;
        if self.hung || self.synced_to(waiting.records) < self.sync.number {
            return None;
        }
        self.waiting.pop_front()
    }

    pub fn set_sync(&mut self, sync: &SyncStandbys) {
        if self.sync != *sync {
            self.sync = sync.clone();
            self.sync_mask = sync.names.iter().fold(0, |mask, name| mask | 1 << index(name));
        }
    }

    /// How many of the synchronous standbys have flushed this many records.
    pub fn synced_to(&self, records: usize) -> usize {
        let named = |server: usize| self.sync_mask >> server & 1 == 1;
        let flushed = self.flushed.iter().enumerate();
        flushed.filter(|(server, flushed)| named(*server) && flushed.is_some_and(|f| f >= records)).count()
    }
}

/// The lineage of the first `records` records of a log on `lineage`.
fn lineage_at(lineage: &Lineage, records: usize) -> Lineage {
    let forks: Vec<_> = lineage.forks().iter().take_while(|f| f.at < lsn(records)).copied().collect();
    let current = lineage.forks().get(forks.len()).map_or(lineage.current(), |f| f.from);
    Lineage::new(forks, current).expect("a part of a lineage is one")
}
