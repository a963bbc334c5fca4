//! Who carries whose packets, decided once for all servers.
//!
//! One server decides: the one that leads the store, and where the record is in an etcd, the lease's holder. It goes by what
//! every server says of its own sessions, heard from itself or through a third one, so that it also decides for those that
//! it does not reach. What it decides is only what follows from the plan in force, so a new one goes on where the last one was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sb_api::{MeshRelay, MeshReport, MeshSight, MeshWord};
use sb_consensus::Store;
use sb_topology::ServerName;
use sb_wireguard::relay::{Matrix, Pair, REPORT_MS_MAX, RelayPlan, Sight, SightState};
use tokio_util::sync::CancellationToken;

use super::agreed::Agreed;
use super::agreement::{BEHIND_MS_MIN, Lacking};
use super::exchange::{Words, milliseconds};
use super::knowledge::Knowledge;
use super::proposer::{Proposed, Proposer};
use crate::replicated::Replicated;

/// Between two looks at who reaches whom, and so between two plans, in milliseconds.
const PLAN_MS: u64 = 2_000;

/// A relay passes nothing on when both ends have heard nothing through it for so long, in milliseconds, after the time that
/// they have for going over to it.
const RELAY_SILENT_MS_MIN: u64 = 15_000;

/// For so long a server through which nothing came for a pair is not asked to carry that pair again, in milliseconds.
const DOUBT_MS: u64 = 600_000;

/// Makes the plan while it is this server's to make.
pub(super) struct Planner {
    store: Store<Replicated>,
    proposer: Proposer,
    own: ServerName,
    servers: BTreeSet<ServerName>,
    knowledge: Knowledge,
    /// Since when the record lacks the newest agreement.
    behind: Option<Instant>,
    doubts: Doubts,
}

impl Planner {
    /// Plans for `servers`, of which `own` is one.
    pub(super) fn new(
        store: Store<Replicated>,
        own: ServerName,
        servers: BTreeSet<ServerName>,
        knowledge: Knowledge,
    ) -> Self {
        let proposer = Proposer::new(store.clone(), knowledge.agreed.clone());
        Self { store, proposer, own, servers, knowledge, behind: None, doubts: Doubts::default() }
    }

    /// Runs until `stop`. Nothing is proposed while nothing changes.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut turns = tokio::time::interval(Duration::from_millis(PLAN_MS));
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = turns.tick() => {}
            }
            if !self.decides() {
                continue;
            }
            if self.record_lacks_something(Instant::now()) {
                match self.proposer.put_on_record().await {
                    Ok(()) => tracing::info!("the newest agreement about the mesh is on the record again"),
                    Err(error) => tracing::debug!(%error, "the record did not take the newest agreement"),
                }
                continue;
            }
            let matrix = self.look(Instant::now());
            match self.proposer.propose(|agreed| follow_up(agreed, &matrix, &self.servers)).await {
                Ok(Proposed::AsItWas) => {}
                Ok(Proposed::Changed) => tracing::info!("who carries whose packets was decided anew"),
                Err(error) => tracing::debug!(%error, "the plan of relays was not taken"),
            }
        }
    }

    /// Not at once where all of it lacks: a replica may be late, and two stores that were recovered apart, of which neither
    /// gives way, would go on outdoing each other.
    fn record_lacks_something(&mut self, now: Instant) -> bool {
        let lacking = self.knowledge.agreed.borrow().lacking(&self.store.watch().borrow().view);
        if lacking != Lacking::Agreement {
            self.behind = None;
            return lacking == Lacking::Keys;
        }
        let since = *self.behind.get_or_insert(now);
        let lasts = now.saturating_duration_since(since) >= Duration::from_millis(BEHIND_MS_MIN);
        if lasts {
            self.behind = None;
        }
        lasts
    }

    fn decides(&self) -> bool {
        let health = self.store.health().borrow().clone();
        match health.etcd {
            Some(_) => self.store.watch().borrow().view.holder() == Some(&self.own),
            None => health.is_leader(),
        }
    }

    fn look(&mut self, now: Instant) -> Matrix {
        let own = Said::by(&self.knowledge.word());
        let said = youngest(&self.own, own, &self.knowledge.words.borrow(), now);
        let mut matrix = matrix(&said);
        let known = self.knowledge.agreed.borrow().clone();
        self.doubts.take(&said, &known.agreed.relays, now);
        self.doubts.of.keys().for_each(|(pair, via)| matrix.note_doubt(pair, via));
        matrix
    }
}

/// What a server said of the mesh.
#[derive(Debug, Clone, Default)]
struct Said {
    sights: Vec<MeshSight>,
    relays: Vec<MeshRelay>,
    cannot_carry: bool,
}

impl Said {
    fn by(word: &MeshWord) -> Self {
        let MeshWord { sights, relays, cannot_carry, .. } = word;
        Self { sights: sights.clone(), relays: relays.clone(), cannot_carry: *cannot_carry }
    }
}

/// Of each server the youngest of what it said of itself and what others have heard it say, with its age in milliseconds.
fn youngest(own: &ServerName, said: Said, words: &Words, now: Instant) -> BTreeMap<ServerName, (u64, Said)> {
    let mut youngest = BTreeMap::from([(own.clone(), (0, said))]);
    let mut hear = |server: &ServerName, age_ms: u64, said: Said| {
        if youngest.get(server).is_none_or(|(known_ms, _)| age_ms < *known_ms) {
            youngest.insert(server.clone(), (age_ms, said));
        }
    };
    for (server, heard) in words {
        let since_ms = milliseconds(now.saturating_duration_since(heard.at));
        hear(server, since_ms, Said::by(&heard.word));
        for report in &heard.word.reports {
            let MeshReport { sights, relays, cannot_carry, .. } = report;
            let said = Said { sights: sights.clone(), relays: relays.clone(), cannot_carry: *cannot_carry };
            if let Ok(server) = report.server.parse() {
                hear(&server, since_ms.saturating_add(report.age_ms), said);
            }
        }
    }
    youngest
}

fn matrix(said: &BTreeMap<ServerName, (u64, Said)>) -> Matrix {
    let mut matrix = Matrix::default();
    for (observer, (age_ms, said)) in said {
        for MeshSight { peer, up, for_ms } in &said.sights {
            let state = if *up { SightState::Up } else { SightState::Down };
            if let Ok(peer) = peer.parse() {
                matrix.note(observer, &peer, Sight { state, for_ms: *for_ms, age_ms: *age_ms });
            }
        }
        if said.cannot_carry {
            matrix.note_unable(observer);
        }
    }
    matrix
}

/// Carriers through which nothing came, each for one pair and for a while: so a pair whose carriers all pass nothing on tries each
/// of them once in that time and moves no more often.
#[derive(Debug, Default)]
struct Doubts {
    /// Until when.
    of: BTreeMap<(Pair, ServerName), Instant>,
}

impl Doubts {
    /// Takes what both ends of a relay of `plan` say. One end alone may be the one that is away.
    fn take(&mut self, said: &BTreeMap<ServerName, (u64, Said)>, plan: &RelayPlan, now: Instant) {
        self.of.retain(|_, until| *until > now);
        let is_silent = |from: &ServerName, to: &ServerName, via: &ServerName| {
            said.get(from).is_some_and(|(age_ms, said)| {
                let of_it = |relay: &&MeshRelay| relay.peer == to.as_str() && relay.via == via.as_str();
                let relay = said.relays.iter().find(of_it);
                *age_ms <= REPORT_MS_MAX && relay.is_some_and(|relay| relay.silent_ms >= RELAY_SILENT_MS_MIN)
            })
        };
        for (pair, via) in plan.relays() {
            let (one, other) = pair.servers();
            if is_silent(one, other, via) && is_silent(other, one, via) {
                let until = now + Duration::from_millis(DOUBT_MS);
                self.of.entry((pair.clone(), via.clone())).or_insert(until);
            }
        }
    }
}

/// The agreement with the plan that follows on its own; [`None`] when that is the same. Whoever has left the cluster carries
/// nobody and is not carried.
fn follow_up(agreed: &Agreed, matrix: &Matrix, servers: &BTreeSet<ServerName>) -> Option<Agreed> {
    let before = &agreed.relays;
    let is_here = |(pair, via): &(&Pair, &ServerName)| {
        let (one, other) = pair.servers();
        [one, other, via].into_iter().all(|server| servers.contains(server))
    };
    let here = before.relays().filter(is_here).map(|(pair, via)| (pair.clone(), via.clone()));
    let next = RelayPlan::known(before.generation, here).next(matrix);
    if next.relays().eq(before.relays()) {
        return None;
    }
    let relays = next.relays().map(|(pair, via)| (pair.clone(), via.clone()));
    let relays = RelayPlan::known(before.generation + 1, relays);
    Some(Agreed { relays, ..agreed.clone() })
}

#[cfg(test)]
mod tests;
