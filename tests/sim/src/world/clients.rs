//! Clients: each writes one row after the other, wherever it is let in, and remembers what it was told.

use sb_failover::Term;

use super::{What, World};
use crate::invariants::Happening;
use crate::model::postgres::{Record, Waiting};
use crate::rng::MS;

/// How many there are.
pub const CLIENTS: usize = 4;
/// What passes between two writes of one.
const THINK_MS: (u64, u64) = (60, 140);
/// After how long a write without an answer is given up: nobody knows what became of it.
const PATIENCE_MS: u64 = 2_000;
/// Of 100 answers, how many do not arrive.
const ANSWERS_LOST: u64 = 1;

/// A client, which stays with a server until that does not answer or does not let it write.
#[derive(Clone, Debug)]
pub struct Client {
    server: usize,
    open: Option<(Record, u64)>,
}

/// A commit that a client saw confirmed.
#[derive(Clone, Copy, Debug)]
pub struct Confirmed {
    pub transaction: Record,
    pub at: u64,
    pub term: Term,
}

impl Client {
    pub const fn new(server: usize) -> Self {
        Self { server, open: None }
    }
}

impl World {
    pub fn client(&mut self, client: usize) {
        let again = self.ns(THINK_MS);
        self.after(again, What::Client { client });
        if let Some((_, since)) = self.clients[client].open {
            if self.now - since < PATIENCE_MS * MS {
                return;
            }
            self.clients[client].open = None;
            self.clients[client].server = self.rng.pick(self.count());
        }
        let server = self.clients[client].server;
        if !self.lets_in(server) {
            self.clients[client].server = self.rng.pick(self.count());
            return;
        }
        let transaction = self.new_record();
        self.clients[client].open = Some((transaction, self.now));
        let p = &mut self.servers[server].postgres;
        if p.hung || self.servers[server].suspended.is_some() || self.servers[server].store.disk.is_full() {
            return;
        }
        let at_once = self.servers[server].postgres.write(transaction, client);
        self.wake_senders(server);
        if at_once {
            self.confirm(server, Waiting { records: 0, transaction, client });
        }
    }

    fn lets_in(&self, server: usize) -> bool {
        let s = &self.servers[server];
        s.is_primary() && s.postgres.clients
    }

    /// Commits that waited for standbys and have them now.
    pub fn confirm_waiting(&mut self, primary: usize) {
        while let Some(waiting) = self.servers[primary].postgres.acknowledge() {
            self.confirm(primary, waiting);
        }
    }

    /// PostgreSQL answers; the client hears it if it still listens and the kernel lets the answer pass.
    fn confirm(&mut self, server: usize, waiting: Waiting) {
        let Waiting { transaction, client, .. } = waiting;
        let listens = self.clients[client].open.is_some_and(|(open, _)| open == transaction);
        let heard = self.is_heard(server);
        if !listens || !heard || (self.network.lossy && self.rng.chance(ANSWERS_LOST)) {
            return;
        }
        self.clients[client].open = None;
        let term = self.servers[server].postgres.term;
        self.confirmed.push(Confirmed { transaction, at: self.now, term });
        self.tell(&Happening::Acknowledged { server, term });
    }
}
