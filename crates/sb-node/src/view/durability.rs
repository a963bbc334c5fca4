//! A person changes what a commit waits for: gates first, the same for a dry run, then one request to the store. The
//! primary does the rest, in the order of R6.

use sb_api::{DurabilityRequest, Operation, Refused, Status};
use sb_failover::Request;
use sb_failover::record::Durability;

use super::Agent;
use super::requests::{fresh_id, planned};
use crate::gates::{gate, passed};
use crate::http::Caller;
use crate::operations::{Mark, new_operation};

impl Agent {
    pub(super) async fn request_durability(
        &self,
        by: &Caller,
        request: DurabilityRequest,
    ) -> Refused<Operation> {
        let wanted = match request.durability {
            sb_api::Durability::Async => Durability::Async,
            sb_api::Durability::Sync => Durability::Sync,
            sb_api::Durability::Strict => Durability::Strict,
        };
        let number = if wanted.is_synchronous() { usize::from(request.number.unwrap_or(1)) } else { 0 };
        let peers = self.peers.look().await;
        let status = self.cluster_status(&peers);
        let mut gates = self.common_gates(&status, request.expect_primary.as_deref());
        gates.push(self.eligible_gate(&status, number));
        let word = format!("{wanted:?}").to_lowercase();
        passed("durability.refused", &format!("cannot change the durability to `{word}`"), gates)?;
        let operation = new_operation(fresh_id(), "durability", &by.name, &steps(wanted, number));
        if request.dry_run {
            let result = match wanted {
                Durability::Async => "commits would wait for no other server".to_owned(),
                Durability::Sync | Durability::Strict => {
                    format!("commits would wait for {number} other servers")
                }
            };
            return Ok(planned(operation, result));
        }
        self.propose(Request::SetDurability { durability: wanted, number }).await?;
        self.operations.begin(operation.clone(), Mark::Durability { wanted, number }).await;
        Ok(operation)
    }

    /// Whom commits may wait for: sites that say so, other than the primary's.
    fn eligible_gate(&self, status: &Status, number: usize) -> sb_api::Gate {
        let primary = status.cluster.primary.as_deref();
        let home = status.servers.iter().find(|s| Some(s.name.as_str()) == primary).map(|s| s.site.as_str());
        let record = self.record();
        let eligible = |m: &&sb_failover::record::Member| {
            m.sync_eligible && m.promotable && Some(m.site.as_str()) != home
        };
        let have = record.members.values().filter(eligible).count();
        let observed = format!("{have} at other sites whose `replicationMode` is `sync`");
        gate("standbys", &observed, &format!("at least {number}"), have >= number)
    }
}

fn steps(wanted: Durability, number: usize) -> [String; 2] {
    match wanted {
        Durability::Async => [
            "the record says that commits wait for nobody".to_owned(),
            "PostgreSQL waits for nobody".to_owned(),
        ],
        Durability::Sync | Durability::Strict => [
            format!("PostgreSQL waits for {number} standbys that have everything"),
            "the record asks every election to have as many".to_owned(),
        ],
    }
}
