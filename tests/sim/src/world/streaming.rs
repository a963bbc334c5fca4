//! Streaming replication: a standby connects, takes what its upstream has flushed, and says how far it is.

use sb_failover::Role;

use super::{What, World};
use crate::invariants::Happening;
use crate::model::postgres::Receiver;

/// `wal_retrieve_retry_interval` and what else passes before a receiver tries again.
const RECONNECT_MS: (u64, u64) = (100, 400);
/// How long a standby with a slow disk or a slow link to itself takes for what it was sent.
const SLOW_MS: (u64, u64) = (200, 2_000);
/// How long a standby takes to flush, in microseconds.
const FLUSH_US: (u64, u64) = (100, 1_500);

impl World {
    /// A standby was started or re-pointed.
    pub fn begin_receiving(&mut self, standby: usize) {
        let p = &self.servers[standby].postgres;
        if p.upstream.is_some() {
            let connection = p.connection;
            let soon = self.ns((1, 20));
            self.after(soon, What::Connect { standby, connection });
        }
    }

    pub fn connect(&mut self, standby: usize, connection: u64) {
        let p = &self.servers[standby].postgres;
        let Some(upstream) = p.upstream.filter(|_| p.role == Role::Standby && p.connection == connection)
        else {
            return;
        };
        let source = &self.servers[upstream].postgres;
        let reached = self.linked(standby, upstream) && source.runs() && !source.hung && !p.hung;
        if !reached || !p.fits(source) {
            let again = self.ns(RECONNECT_MS);
            return self.after(again, What::Connect { standby, connection });
        }
        let receiver = Receiver { connection: source.connection, in_flight: false };
        self.servers[standby].postgres.receiver = Some(receiver);
        self.send_wal(upstream, standby, true);
    }

    /// A receiver with nothing under way finds out that its connection is broken.
    pub fn keep_alive(&mut self, standby: usize) {
        let p = &self.servers[standby].postgres;
        let idle = p.receiver.is_some_and(|r| !r.in_flight);
        if idle && !self.receives(standby) {
            let connection = p.connection;
            self.servers[standby].postgres.receiver = None;
            let again = self.ns(RECONNECT_MS);
            self.after(again, What::Connect { standby, connection });
        } else if idle && let Some(upstream) = p.upstream {
            // Also what was written while nobody woke its sender.
            self.send_wal(upstream, standby, false);
        }
    }

    /// A server has written: those that receive from it get it.
    pub fn wake_senders(&mut self, upstream: usize) {
        for standby in 0..self.count() {
            let p = &self.servers[standby].postgres;
            if p.upstream == Some(upstream) && p.receiver.is_some_and(|r| !r.in_flight) {
                self.send_wal(upstream, standby, false);
            }
        }
    }

    fn send_wal(&mut self, upstream: usize, standby: usize, greeting: bool) {
        let source = &self.servers[upstream].postgres;
        let (sender, records) = (source.connection, source.log.len());
        let p = &mut self.servers[standby].postgres;
        let until = p.batch_end(records);
        let Some(receiver) = p.receiver.as_mut().filter(|r| r.connection == sender && !r.in_flight) else {
            return;
        };
        if until <= p.log.len() && !greeting {
            return;
        }
        receiver.in_flight = true;
        let connection = p.connection;
        let (low, high) = FLUSH_US;
        let flush = self.rng.range(low * 1_000, high * 1_000);
        let slow = if self.servers[standby].slow_receiver > 0 { self.ns(SLOW_MS) } else { 0 };
        let delay = self.network.delay_ns(upstream, standby, &mut self.rng) + flush + slow;
        self.after(delay, What::Stream { standby, connection, until });
    }

    pub fn stream(&mut self, standby: usize, connection: u64, until: usize) {
        let p = &mut self.servers[standby].postgres;
        let Some(upstream) = p.upstream.filter(|_| p.connection == connection) else {
            return;
        };
        let Some(receiver) = &mut p.receiver else {
            return;
        };
        receiver.in_flight = false;
        let sender = receiver.connection;
        let broken = p.hung || !self.receives(standby);
        if broken {
            // TCP has no gaps: what did not come breaks the connection.
            self.servers[standby].postgres.receiver = None;
            let again = self.ns(RECONNECT_MS);
            return self.after(again, What::Connect { standby, connection });
        }
        let (source, p) = two(&mut self.servers, upstream, standby);
        p.copy_from(source, until);
        let records = p.log.len();
        let from_primary = source.role == Role::Primary;
        self.tell(&Happening::Streamed { standby, upstream });
        if from_primary {
            let delay = self.network.delay_ns(standby, upstream, &mut self.rng);
            self.after(delay, What::Flushed { primary: upstream, connection: sender, standby, records });
        }
        self.send_wal(upstream, standby, false);
    }

    pub fn flushed(&mut self, primary: usize, connection: u64, standby: usize, records: usize) {
        let arrives = self.network.carries(standby, primary) && self.servers[primary].suspended.is_none();
        let p = &mut self.servers[primary].postgres;
        if !arrives || p.role != Role::Primary || p.connection != connection {
            return;
        }
        let flushed = p.flushed[standby].get_or_insert(records);
        *flushed = records.max(*flushed);
        self.confirm_waiting(primary);
    }
}

/// The database of `a`, and that of `b` to change.
fn two(
    servers: &mut [crate::server::Server],
    a: usize,
    b: usize,
) -> (&crate::model::postgres::Postgres, &mut crate::model::postgres::Postgres) {
    let [a, b] = servers.get_disjoint_mut([a, b]).expect("nobody receives from itself");
    (&a.postgres, &mut b.postgres)
}

impl World {
    /// Copies what `source` has to `server` at once, as a fetch or a walsender that says goodbye does.
    pub fn copy_log(&mut self, source: usize, server: usize) -> bool {
        let (source, p) = two(&mut self.servers, source, server);
        let fits = p.fits(source);
        if fits {
            p.copy_from(source, usize::MAX);
        }
        fits
    }

    /// Replaces the data of `server` by a copy of that of `source`; gives what it had and the copy has not.
    pub fn copy_data(&mut self, source: usize, server: usize) -> Vec<u64> {
        let (source, p) = two(&mut self.servers, source, server);
        let shared = p.log.iter().zip(&source.log).take_while(|(own, theirs)| own == theirs).count();
        let left = p.log.split_off(shared);
        p.clone_from(source);
        left
    }
}
