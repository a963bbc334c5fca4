//! What the agent sees of PostgreSQL.

use sb_failover::{DataDirectory, Event, Follower, Observation, Role};
use sb_pgtypes::SystemIdentifier;

use super::{What, World};
use crate::model::postgres::lsn;

/// The number of the one database there is.
pub const SYSTEM: SystemIdentifier = SystemIdentifier::new(4711);
/// How often an agent looks.
const OBSERVE_MS: (u64, u64) = (120, 200);

impl World {
    pub fn observe(&mut self, server: usize) {
        let again = self.ns(OBSERVE_MS);
        self.after(again, What::Observe { server });
        self.keep_alive(server);
        if self.servers[server].agent_runs() {
            let observation = self.observation(server);
            self.feed(server, Event::Postgres(observation));
        }
    }

    pub fn deliver_observation(&mut self, server: usize) {
        let observation = self.observation(server);
        self.deliver(server, Event::Postgres(observation));
    }

    pub fn observation(&self, server: usize) -> Observation {
        let p = &self.servers[server].postgres;
        let role = if p.hung { Role::Unknown } else { p.role };
        let data = if p.has_data { DataDirectory::Present(SYSTEM) } else { DataDirectory::Absent };
        let from = p.upstream.filter(|_| self.receives(server));
        Observation {
            role,
            data,
            position: (p.runs() && !p.hung).then(|| p.position()),
            streaming_from: from.map(|upstream| self.servers[upstream].name.clone()),
            broken: None,
            followers: if role == Role::Primary { self.followers(server) } else { Vec::new() },
        }
    }

    fn followers(&self, primary: usize) -> Vec<Follower> {
        let known = self.servers[primary].postgres.flushed.iter().enumerate();
        let known = known.filter_map(|(standby, flushed)| Some((standby, (*flushed)?)));
        let follower = |(standby, records): (usize, usize)| Follower {
            server: self.servers[standby].name.clone(),
            flushed: lsn(records),
            streaming: self.servers[standby].postgres.upstream == Some(primary) && self.receives(standby),
        };
        known.map(follower).collect()
    }

    /// Whether a standby's receiver is connected to what its upstream runs now.
    pub fn receives(&self, standby: usize) -> bool {
        let p = &self.servers[standby].postgres;
        let (Some(receiver), Some(upstream)) = (p.receiver, p.upstream) else {
            return false;
        };
        let source = &self.servers[upstream].postgres;
        source.runs() && source.connection == receiver.connection && self.linked(standby, upstream)
    }
}
