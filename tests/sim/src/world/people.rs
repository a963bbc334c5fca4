//! What people ask for, at any time and of any server.

use sb_failover::record::{Durability, Pause, Transfer, TransferId, TransferKind};
use sb_failover::{ClusterRecord, Request, Role, Timings, at_risk};
use sb_topology::ServerName;

use super::{Confirmed, What, World};
use crate::rng::MS;
use crate::server::name;

/// For how long a person watches a calm cluster without a primary in which nothing moves.
const PATIENCE_MS: u64 = 7_000;
/// How long after whoever was named may take over a person looks what `explain` says.
const REFUSED_AFTER_MS: u64 = 1_000;
/// What a person accepts where nobody has reported who could tell what is at risk.
const LOST_WITH_A_SERVER_BYTES_MIN: u64 = 20_000;

impl World {
    fn ask(&mut self, request: Request) {
        let asked = self.rng.pick(self.count());
        self.troubles += 1;
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

    /// Another number, or that it never falls back. Never less than the profile promises.
    pub fn ask_for_durability(&mut self) {
        if self.profile.durability.is_synchronous() {
            let number = 1 + self.rng.pick(2);
            let strict = self.profile.durability == Durability::Strict || self.rng.chance(30);
            let durability = if strict { Durability::Strict } else { Durability::Sync };
            self.ask(Request::SetDurability { durability, number });
        }
    }

    /// What the founder's agent does with the times of its policy, until they are in force; and in the calm back
    /// to a promise that can be kept when a server never returns.
    pub fn arrange(&mut self) {
        self.after(1_500 * MS, What::Arrange);
        let (record, durability) = (self.ledger.newest(), self.profile.durability);
        if record.lease.is_none() {
            return;
        }
        self.help_out();
        let calm = self.calm_since.is_some();
        if record.timings.margin_ms != self.profile.timings.margin_ms
            || calm && record.timings != self.profile.timings
        {
            let (timings, lag_bytes_max) = (self.profile.timings.clone(), record.lag_bytes_max);
            self.ask(Request::SetTimings { timings, lag_bytes_max });
        }
        if calm && durability.is_synchronous() && (record.sync.wanted, record.sync.number) != (durability, 1)
        {
            self.ask(Request::SetDurability { durability, number: 1 });
        }
    }

    /// The states that docs/open-points.md says need a person: a lease given back without an end, a set that had fallen
    /// back, or a voter whose directories are lost, and nobody left who is known to have everything. In the calm a
    /// person names the server with the most log, and accepts no loss but, where directories are lost, what `explain` says, if need be in a second try.
    fn help_out(&mut self) {
        let record = self.ledger.newest();
        let leads = self.servers.iter().any(|s| s.is_primary() && s.postgres.clients);
        if leads || self.calm_since.is_none() || self.watched.0 != record.term() {
            self.watched = (record.term(), self.now);
        }
        let released = record.lease.as_ref().and_then(|l| l.released.as_ref());
        let gone = self.servers.iter().any(|s| s.lost);
        let stuck = released.is_some_and(|r| r.end.is_none()) || record.sync.degraded || self.wiped || gone;
        if self.now - self.watched.1 < PATIENCE_MS * MS || !stuck {
            return;
        }
        if let Some(transfer) = &record.transfer {
            let id = transfer.id;
            let tried = |at: u64| self.now > at + self.helped_ns() + REFUSED_AFTER_MS * MS;
            // Another wish stands in the way, or more is at risk than was accepted: now that it is reported, `explain` tells.
            if self.helped_out.is_none_or(tried) {
                self.ask(Request::CancelTransfer { id });
            }
            return;
        }
        let reported = record.valid_reports().max_by_key(|(_, r)| r.position.flushed).map(|(s, _)| s.clone());
        // Where nobody is to take over by itself nobody reports before a person asks; `sb-cli status` shows who has what.
        if let Some(to) = reported.or_else(|| self.most_log(&record)) {
            self.tally.note("a person helped out in the calm");
            self.helped_out = Some(self.now);
            let told = at_risk(&record).map_or(0, |(_, bytes)| bytes).max(LOST_WITH_A_SERVER_BYTES_MIN);
            let accept_data_loss_bytes = if self.wiped { told } else { 0 };
            self.accept_what_is_lost();
            let kind = TransferKind::Failover { accept_data_loss_bytes };
            let id = TransferId(self.rng.next());
            let transfer = Transfer { id, to: Some(to), kind, by: "person".into() };
            self.ask(Request::RequestTransfer { transfer });
        }
    }

    /// Never what a whole copy still has, wherever it is.
    fn accept_what_is_lost(&mut self) {
        let whole = |c: &&Confirmed| {
            let has = |s: &crate::server::Server| !s.postgres.torn && s.postgres.has(c.transaction);
            self.servers.iter().any(has)
        };
        let gone: Vec<_> = self.confirmed.iter().filter(|c| !whole(c)).map(|c| c.transaction).collect();
        if self.wiped {
            self.accepted_lost.extend(gone);
        }
    }

    fn most_log(&self, record: &ClusterRecord) -> Option<ServerName> {
        let runs = |s: &usize| self.servers[*s].postgres.role == Role::Standby;
        let whole = (0..self.count()).filter(runs).filter(|s| self.has_whole_copy(*s, record));
        whole.max_by_key(|s| self.servers[*s].postgres.log.len()).map(name)
    }

    pub fn ask_for_timings(&mut self) {
        let ttl_ms = [2_500, 3_500, 6_000][self.rng.pick(3)];
        let timings = Timings { ttl_ms, ..self.profile.timings.clone() };
        let lag_bytes_max = self.ledger.newest().lag_bytes_max;
        self.ask(Request::SetTimings { timings, lag_bytes_max });
    }
}
