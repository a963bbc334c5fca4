//! What people ask for, at any time and of any server.

use sb_failover::Timings;
use sb_failover::record::{Pause, Request, Transfer, TransferId, TransferKind};

use super::World;
use crate::server::name;

impl World {
    fn ask(&mut self, request: Request) {
        let asked = self.rng.pick(self.count());
        if self.servers[asked].agent_runs() {
            self.note(|| format!("a person asks s{asked} for {request:?}"));
            self.propose(asked, None, request);
        }
    }

    pub fn ask_for_transfer(&mut self) {
        let to = self.rng.pick(self.count() + 1);
        let named = (to < self.count()).then(|| name(to));
        let lossy = !self.profile.durability.is_synchronous() && named.is_some() && self.rng.chance(30);
        let accept_data_loss_bytes = self.rng.range(0, 100_000);
        let kind =
            if lossy { TransferKind::Failover { accept_data_loss_bytes } } else { TransferKind::Switchover };
        let id = TransferId(self.rng.next());
        self.ask(Request::RequestTransfer {
            transfer: Transfer { id, to: named, kind, by: "person".into() },
        });
    }

    pub fn ask_for_pause(&mut self) {
        let (id, for_ms) = (self.rng.next(), self.rng.range(500, 6_000));
        self.ask(Request::SetPause {
            pause: Pause { id, for_ms, by: "person".into(), reason: "test".into() },
        });
    }

    pub fn ask_for_timings(&mut self) {
        let ttl_ms = [2_500, 3_500, 6_000][self.rng.pick(3)];
        let timings = Timings { ttl_ms, ..self.profile.timings.clone() };
        let lag_bytes_max = self.ledger.newest().lag_bytes_max;
        self.ask(Request::SetTimings { timings, lag_bytes_max });
    }
}
