//! The cluster's record as what the store replicates.

use std::sync::Arc;

use sb_consensus::{RestoreError, StateMachine};
use sb_failover::{ClusterRecord, Outcome, Request};

/// The record behind the store's interface. Its view is shared, not copied.
#[derive(Debug, Default)]
pub struct Replicated {
    record: Arc<ClusterRecord>,
}

impl StateMachine for Replicated {
    type Request = Request;
    type Outcome = Outcome;
    type View = Arc<ClusterRecord>;

    fn apply(&mut self, request: &Request) -> Outcome {
        Arc::make_mut(&mut self.record).apply(request)
    }

    fn view(&self) -> Self::View {
        self.record.clone()
    }

    fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(&*self.record).expect("the record has text keys and no foreign types")
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.record = Arc::new(serde_json::from_slice(bytes).map_err(RestoreError::new)?);
        Ok(())
    }
}
