//! Clients, and what they were told.

use sb_failover::Term;

use crate::invariants::Happening;
use crate::postgres::Record;
use crate::world::{What, World};

impl World {
    /// Clients write wherever they are let in.
    pub fn write(&mut self) {
        let again = self.ns((15, 30));
        self.after(again, What::Write);
        for server in 0..self.servers.len() {
            if !self.servers[server].is_primary() || !self.servers[server].postgres.clients {
                continue;
            }
            let transaction = self.new_record();
            let p = &mut self.servers[server].postgres;
            if p.write(transaction) {
                let term = p.term;
                self.acknowledged(server, term, transaction);
            }
        }
    }

    pub fn acknowledged(&mut self, server: usize, term: Term, transaction: Record) {
        self.acknowledged.push((transaction, self.now));
        self.tell(&Happening::Acknowledged { server, term });
    }
}
