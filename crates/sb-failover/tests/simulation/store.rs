//! A linearizable store as a model: one log, one record after each entry.

use std::sync::Arc;

use sb_failover::mutant::Mutant;
use sb_failover::record::{ClusterRecord, Outcome, Request};

#[derive(Debug)]
pub struct Store {
    records: Vec<Arc<ClusterRecord>>,
    mutant: Option<Mutant>,
}

impl Store {
    pub fn new(mutant: Option<Mutant>) -> Self {
        Self { records: vec![Arc::new(ClusterRecord::default())], mutant }
    }

    pub fn commit(&mut self, request: &Request) -> Outcome {
        let mut next = ClusterRecord::clone(self.newest());
        let before = next.clone();
        let outcome = next.apply_mutated(request, self.mutant);
        assert!(outcome.is_ok() || next == before, "a rejected entry changed the record: {request:?}");
        if outcome.is_ok() {
            self.records.push(Arc::new(next));
        }
        outcome
    }

    pub fn newest(&self) -> &Arc<ClusterRecord> {
        self.records.last().unwrap()
    }

    pub fn at(&self, index: usize) -> &Arc<ClusterRecord> {
        &self.records[index]
    }

    pub fn last(&self) -> usize {
        self.records.len() - 1
    }
}
