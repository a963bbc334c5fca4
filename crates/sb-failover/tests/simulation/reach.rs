//! Who reaches whom.

use crate::world::World;

impl World {
    pub fn linked(&self, a: usize, b: usize) -> bool {
        let up = self.servers[a].up && self.servers[b].up;
        a == b || (up && self.links[a][b] && self.links[b][a])
    }

    /// Whether a server that reaches a majority of the others can be reached.
    pub fn reaches_store(&self, server: usize) -> bool {
        if self.store_down {
            return false;
        }
        let count = self.servers.len();
        let votes =
            |a: usize| (0..count).filter(|b| self.servers[*b].agent_runs() && self.linked(a, *b)).count();
        let leads = |a: usize| self.servers[a].agent_runs() && votes(a) > count / 2;
        self.servers[server].agent_runs() && (0..count).any(|a| self.linked(server, a) && leads(a))
    }
}
