//! Who belongs to the store's group: whoever leads it brings it in order, as agents do.

use sb_consensus::MembershipChange;
use sb_failover::Incarnation;

use super::build::{INCARNATIONS, member, server_of};
use super::{What, World};
use crate::invariants::Happening;
use crate::model::disk::VirtualDisk;
use crate::rng::MS;

const TEND_MS: (u64, u64) = (200, 500);

impl World {
    pub fn tend_membership(&mut self) {
        let again = self.ns(TEND_MS);
        self.after(again, What::TendMembership);
        for server in 0..self.count() {
            if !self.servers[server].agent_runs() || self.servers[server].store.busy {
                continue;
            }
            let change = self.next_change(server);
            if let (Some(change), Some(node)) = (change, &mut self.servers[server].store.node) {
                // What is not admitted now is asked for again.
                let _ = node.change(&change);
                self.note(|| format!("s{server} asks the store for {change:?}"));
                self.settle(server);
            }
        }
    }

    /// The first thing that is not as it should be, if this server leads.
    fn next_change(&self, leader: usize) -> Option<MembershipChange> {
        let node = self.servers[leader].store.node.as_ref().filter(|node| node.is_leader())?;
        let membership = node.membership();
        let stranger = membership.members().find(|m| self.servers[server_of(m.id)].store.member.id != m.id);
        if let Some(stranger) = stranger {
            return Some(MembershipChange::Remove(stranger.id));
        }
        let here = |s: usize| membership.get(self.servers[s].store.member.id).is_some();
        if let Some(missing) = (0..self.count()).find(|s| !here(*s)) {
            return Some(MembershipChange::AddLearner(self.servers[missing].store.member.clone()));
        }
        let learner = (0..self.count())
            .find(|s| self.voters[*s] && membership.is_learner(self.servers[*s].store.member.id))?;
        Some(MembershipChange::Promote(self.servers[learner].store.member.id))
    }

    /// The server loses its store and its data and comes back as somebody else. If it had a vote and its neighbour
    /// of the same site has none, the vote goes there.
    pub fn wipe(&mut self, server: usize) {
        let site = self.servers[server].site;
        let mate =
            (0..self.count()).find(|s| *s != server && self.servers[*s].site == site && !self.voters[*s]);
        if let Some(mate) = mate.filter(|_| self.voters[server])
            && self.rng.chance(50)
        {
            self.voters.swap(server, mate);
        }
        self.replace_store(server);
        let s = &mut self.servers[server];
        s.persisted = sb_failover::Persisted::default();
        let absent = crate::model::postgres::Postgres::absent(s.postgres.flushed.len());
        s.buried = Some(Box::new(std::mem::replace(&mut s.postgres, absent)));
        self.wiped = true;
        self.tell(&Happening::Left { server });
    }

    /// A new, empty directory for the store, under a new identity.
    pub fn replace_store(&mut self, server: usize) {
        let s = &mut self.servers[server];
        let incarnation = s.store.member.id.get() / INCARNATIONS + 1;
        s.store.member = member(server, incarnation);
        s.store.disk = VirtualDisk::default();
        s.store.applied = 0;
        s.config.member.incarnation = Incarnation::new(incarnation);
        s.config.founding = sb_failover::Founding::Joiner;
    }

    /// Starts the agent of a server whose store was replaced.
    pub fn rejoin(&mut self, server: usize) {
        if !self.servers[server].up || self.servers[server].agent {
            return;
        }
        if self.servers[server].store.disk.content().is_err() {
            self.replace_store(server);
        }
        let run = self.servers[server].run;
        self.after(50 * MS, What::AgentStarts { server, run });
    }
}
