//! Who carries whose packets while two servers do not reach each other directly.
//!
//! The input is what all servers publish of their direct sessions ([`Matrix`]), the output one plan for all of them, and the
//! same wherever it is made. A pair that has been down for [`DOWN_MS_MIN`] is carried by a third server that both reach;
//! a relay is never carried by another. The direct peers stay configured without addresses and go on shaking hands, so that
//! a line that comes back is seen: after [`GOOD_MS_MIN`] the pair talks directly again.
//!
//! A plan is meant for both ends at once: WireGuard refuses packets whose source it does not expect from a peer. Between
//! the two moments at which the ends switch, packets of the pair are lost, as they were before.

use std::collections::{BTreeMap, BTreeSet};

use sb_topology::ServerName;

use crate::DesiredInterface;

/// A pair that has been down for so long gets a relay, in milliseconds.
pub const DOWN_MS_MIN: u64 = 30_000;
/// A pair whose direct session has been good for so long goes without its relay, in milliseconds.
pub const GOOD_MS_MIN: u64 = 60_000;
/// A server is chosen to carry others' packets when its own sessions with both have been good for so long, in
/// milliseconds.
pub const LEG_MS_MIN: u64 = 10_000;
/// What was published longer ago says nothing about now, in milliseconds.
pub const REPORT_MS_MAX: u64 = 20_000;

/// Two servers, the first by name in front.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair(ServerName, ServerName);

impl Pair {
    /// The pair of two servers, in either order.
    #[must_use]
    pub fn new(one: &ServerName, other: &ServerName) -> Self {
        let (first, second) = if one < other { (one, other) } else { (other, one) };
        Self(first.clone(), second.clone())
    }

    /// Both, the first by name in front.
    #[must_use]
    pub const fn servers(&self) -> (&ServerName, &ServerName) {
        (&self.0, &self.1)
    }

    /// The other one, when `server` is one of them.
    #[must_use]
    pub fn other(&self, server: &ServerName) -> Option<&ServerName> {
        match (&self.0 == server, &self.1 == server) {
            (true, _) => Some(&self.1),
            (false, true) => Some(&self.0),
            (false, false) => None,
        }
    }
}

/// How one server finds its direct session with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// Whether packets come through.
    pub state: SightState,
    /// For how long it had been so when it was published, in milliseconds.
    pub for_ms: u64,
    /// How long ago that was, in milliseconds.
    pub age_ms: u64,
}

/// Whether packets come through directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SightState {
    /// They come.
    Up,
    /// They do not.
    Down,
}

/// What all servers publish, by who sees and whom. What is not there is not known, which is neither up nor down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matrix {
    sights: BTreeMap<(ServerName, ServerName), Sight>,
    unable: BTreeSet<ServerName>,
    doubted: BTreeSet<(Pair, ServerName)>,
}

impl Matrix {
    /// Notes how `observer` finds its direct session with `peer`. What is too old is left out.
    pub fn note(&mut self, observer: &ServerName, peer: &ServerName, sight: Sight) {
        if sight.age_ms <= REPORT_MS_MAX && observer != peer {
            self.sights.insert((observer.clone(), peer.clone()), sight);
        }
    }

    /// Notes that `server` knows that it cannot pass packets on.
    pub fn note_unable(&mut self, server: &ServerName) {
        self.unable.insert(server.clone());
    }

    /// Notes that nothing came through when `via` was to carry the packets of `pair`, although all three were there.
    pub fn note_doubt(&mut self, pair: &Pair, via: &ServerName) {
        self.doubted.insert((pair.clone(), via.clone()));
    }

    fn may_carry(&self, pair: &Pair, via: &ServerName) -> bool {
        !self.unable.contains(via) && !self.doubted.contains(&(pair.clone(), via.clone()))
    }

    /// For how long both have found it good, in milliseconds; [`None`] unless both say so.
    fn good_ms(&self, pair: &Pair) -> Option<u64> {
        let up = |sight: &Sight| (sight.state == SightState::Up).then_some(sight.for_ms);
        let [there, back] = self.both(pair).map(|sight| sight.and_then(up));
        Some(there?.min(back?))
    }

    /// For how long one of them has found it down, in milliseconds: a line that works one way is no line.
    fn down_ms(&self, pair: &Pair) -> Option<u64> {
        let down = |sight: &Sight| (sight.state == SightState::Down).then_some(sight.for_ms);
        self.both(pair).into_iter().flatten().filter_map(down).max()
    }

    fn both(&self, Pair(one, other): &Pair) -> [Option<&Sight>; 2] {
        let sight = |from: &ServerName, to: &ServerName| self.sights.get(&(from.clone(), to.clone()));
        [sight(one, other), sight(other, one)]
    }

    fn servers(&self) -> BTreeSet<&ServerName> {
        self.sights.keys().flat_map(|(observer, peer)| [observer, peer]).collect()
    }

    fn pairs(&self) -> BTreeSet<Pair> {
        self.sights.keys().map(|(observer, peer)| Pair::new(observer, peer)).collect()
    }
}

/// Which pairs are carried by whom, for all servers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RelayPlan {
    /// Grows with every plan that says something else than the one before.
    pub generation: u64,
    relays: BTreeMap<Pair, ServerName>,
}

impl RelayPlan {
    /// A plan that was made before.
    #[must_use]
    pub fn known(generation: u64, relays: impl IntoIterator<Item = (Pair, ServerName)>) -> Self {
        Self { generation, relays: relays.into_iter().collect() }
    }

    /// The plan that follows on this one.
    ///
    /// A relay stays until the pair is good again or one of its own sessions is down as long as a pair must be: the
    /// times differ by direction, so a line that comes and goes moves nothing. One whose carrier passes nothing on moves to
    /// another server, and stays where there is none that may do better.
    #[must_use]
    pub fn next(&self, matrix: &Matrix) -> Self {
        let holds = |pair: &Pair, via: &ServerName| {
            let recovered = matrix.good_ms(pair).is_some_and(|ms| ms >= GOOD_MS_MIN);
            !recovered && !legs(pair, via).iter().any(|leg| is_down(matrix, leg))
        };
        let mut relays = self.relays.clone();
        relays.retain(|pair, via| holds(pair, via));
        let useless = relays.iter().filter(|(pair, via)| !matrix.may_carry(pair, via));
        for pair in useless.map(|(pair, _)| pair.clone()).collect::<Vec<_>>() {
            if let Some(other) = choose(matrix, &relays, &pair) {
                relays.insert(pair, other);
            }
        }
        for pair in matrix.pairs() {
            if is_down(matrix, &pair)
                && !relays.contains_key(&pair)
                && let Some(via) = choose(matrix, &relays, &pair)
            {
                relays.insert(pair, via);
            }
        }
        let generation = self.generation + u64::from(relays != self.relays);
        Self { generation, relays }
    }

    /// Who carries the packets of a pair; [`None`] when they go directly.
    #[must_use]
    pub fn via(&self, pair: &Pair) -> Option<&ServerName> {
        self.relays.get(pair)
    }

    /// Every pair that is carried, and by whom.
    pub fn relays(&self) -> impl Iterator<Item = (&Pair, &ServerName)> {
        self.relays.iter()
    }

    /// The pairs whose packets `server` has to forward: between the mesh addresses of these, and nothing else.
    pub fn carried_by<'a>(&'a self, server: &'a ServerName) -> impl Iterator<Item = &'a Pair> {
        self.relays.iter().filter(move |(_, via)| *via == server).map(|(pair, _)| pair)
    }

    /// Moves the addresses of every server that `interface`'s own reaches through another to that other. The direct
    /// peer stays, without addresses.
    pub fn apply(&self, interface: &mut DesiredInterface) {
        for (pair, via) in &self.relays {
            let Some(other) = pair.other(&interface.server) else { continue };
            let at = |name: &ServerName| interface.peers.iter().position(|peer| peer.name == *name);
            let (Some(from), Some(to)) = (at(other), at(via)) else { continue };
            let moved = std::mem::take(&mut interface.peers[from].addresses);
            interface.peers[to].addresses.extend(moved);
        }
    }
}

fn legs(Pair(one, other): &Pair, via: &ServerName) -> [Pair; 2] {
    [Pair::new(one, via), Pair::new(via, other)]
}

fn is_down(matrix: &Matrix, pair: &Pair) -> bool {
    matrix.down_ms(pair).is_some_and(|ms| ms >= DOWN_MS_MIN)
}

/// The server that carries the fewest of those that both reach directly and that may carry, the first by name of these.
fn choose(matrix: &Matrix, relays: &BTreeMap<Pair, ServerName>, pair: &Pair) -> Option<ServerName> {
    let is_good =
        |leg: &Pair| matrix.good_ms(leg).is_some_and(|ms| ms >= LEG_MS_MIN) && !relays.contains_key(leg);
    let carries = |via: &ServerName| relays.values().filter(|other| *other == via).count();
    let servers = matrix.servers().into_iter().filter(|via| pair.other(via).is_none());
    let able = servers.filter(|via| matrix.may_carry(pair, via) && legs(pair, via).iter().all(is_good));
    able.min_by_key(|via| (carries(via), *via)).cloned()
}

#[cfg(test)]
mod tests;
