//! PostgreSQL as a model: the log is a list, a standby copies it, a primary waits for acknowledgements.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sb_failover::record::Standing;
use sb_failover::{Role, SyncStandbys, Term};
use sb_pgtypes::{Lineage, Lsn, Position, TimelineId};

/// One record of the log: which promotion or transaction it is. Numbers are never used twice.
pub type Record = u64;

/// The bytes of one record.
const RECORD_BYTES: u64 = 1_000;

pub fn lsn(records: usize) -> Lsn {
    Lsn::new(records as u64 * RECORD_BYTES)
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
    /// Rises with every start and re-pointing: what was sent on an older connection does not count.
    pub connection: u64,
    pub clients: bool,
    pub sync: SyncStandbys,
    /// Of a primary: up to where its standbys have flushed.
    pub flushed: BTreeMap<usize, usize>,
    /// Commits that wait: log length and transaction.
    pub waiting: VecDeque<(usize, Record)>,
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            has_data: false,
            torn: false,
            recovering: false,
            log: Vec::new(),
            lineage: Lineage::first(),
            role: Role::Stopped,
            term: Term::default(),
            upstream: None,
            connection: 0,
            clients: false,
            sync: SyncStandbys::default(),
            flushed: BTreeMap::new(),
            waiting: VecDeque::new(),
        }
    }
}

impl Postgres {
    pub fn position(&self) -> Position {
        Position { lineage: self.lineage.clone(), flushed: lsn(self.log.len()) }
    }

    pub fn start(&mut self, role: Role) {
        assert!(!self.torn, "R8: a torn data directory was started");
        self.role = role;
        self.recovering |= role == Role::Standby;
        self.connection += 1;
        self.clients = false;
        self.flushed.clear();
        self.waiting.clear();
    }

    pub fn kill(&mut self) {
        self.role = Role::Stopped;
        self.connection += 1;
        self.upstream = None;
        self.clients = false;
        self.flushed.clear();
        self.waiting.clear();
    }

    pub fn promote(&mut self, term: Term, mark: Record, timeline: TimelineId) {
        self.lineage = self.lineage.forked(lsn(self.log.len()), timeline).unwrap();
        self.log.push(mark);
        self.role = Role::Primary;
        self.recovering = false;
        self.term = term;
        self.upstream = None;
        self.connection += 1;
        self.clients = false;
        self.flushed.clear();
    }

    /// Takes up to `most` records from `source`; false when the logs do not fit together.
    pub fn copy_from(&mut self, source: &Postgres, most: usize) -> bool {
        if Standing::of(&self.position(), &source.lineage) != Standing::InForce {
            return false;
        }
        if self.log.len() >= source.log.len() {
            return true;
        }
        let end = source.log.len().min(self.log.len() + most);
        let begin = self.log.len();
        self.log.extend_from_slice(&source.log[begin..end]);
        self.lineage = lineage_at(&source.lineage, self.log.len());
        true
    }

    pub fn clone_from(&mut self, source: &Postgres) {
        self.has_data = true;
        self.torn = false;
        self.recovering = true;
        self.log.clone_from(&source.log);
        self.lineage = source.lineage.clone();
    }

    /// Writes one transaction; true when it is acknowledged at once.
    pub fn write(&mut self, transaction: Record) -> bool {
        self.log.push(transaction);
        let at_once = self.sync.names.is_empty();
        if !at_once {
            self.waiting.push_back((self.log.len(), transaction));
        }
        at_once
    }

    /// The transactions that are acknowledged now.
    pub fn acknowledge(&mut self, name_of: impl Fn(usize) -> sb_topology::ServerName) -> Vec<Record> {
        let mut done = Vec::new();
        while let Some((length, transaction)) = self.waiting.front().copied() {
            if self.synced_to(length, &self.sync.names, &name_of) < self.sync.number {
                break;
            }
            self.waiting.pop_front();
            done.push(transaction);
        }
        done
    }

    pub fn synced_to(
        &self,
        length: usize,
        names: &BTreeSet<sb_topology::ServerName>,
        name_of: &impl Fn(usize) -> sb_topology::ServerName,
    ) -> usize {
        self.flushed
            .iter()
            .filter(|(s, flushed)| **flushed >= length && names.contains(&name_of(**s)))
            .count()
    }
}

/// The lineage of the first `records` records of a log on `lineage`.
fn lineage_at(lineage: &Lineage, records: usize) -> Lineage {
    let forks: Vec<_> = lineage.forks().iter().take_while(|f| f.at < lsn(records)).copied().collect();
    let current = lineage.forks().get(forks.len()).map_or(lineage.current(), |f| f.from);
    Lineage::new(forks, current).unwrap()
}
