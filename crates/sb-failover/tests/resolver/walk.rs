//! Three standbys, one confirmed commit, and everything that can happen to the writes: they succeed, fail half-way, or
//! are applied long after they were given up; standbys come and go; the agent restarts; people change the promise.
//! Whatever the order, every group that may elect has the commit: a crash at any step of a change leaves a way on (patroni
//! #3662).

use std::collections::{BTreeMap, BTreeSet};

use sb_failover::record::Durability;
use sb_failover::resolver::{Change, Late, Owner, Patience, Step, next};

use crate::every_state::after;
use crate::scene::{Mask, Scene, groups, mask};

const ALL: Mask = 0b1110;
/// k of S: what PostgreSQL may be waiting for.
type Setting = (usize, Mask);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    strict: bool,
    asynchronous: bool,
    wants_asynchronous: bool,
    number: usize,
    voters: Mask,
    quorum: usize,
    degraded: bool,
}

impl Record {
    const fn promise(self, asynchronous: bool) -> Durability {
        match (asynchronous, self.strict) {
            (true, _) => Durability::Async,
            (false, true) => Durability::Strict,
            (false, false) => Durability::Sync,
        }
    }

    const fn elects(self) -> bool {
        !self.asynchronous && !self.degraded
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    record: Record,
    /// Proposed from this version, and not heard of since.
    outstanding: BTreeSet<Record>,
    doubted: bool,
    known: bool,
    possible: BTreeSet<Setting>,
    past_barrier: Mask,
    /// The standbys that have the commit, once it was confirmed.
    witnesses: Option<Mask>,
    before_barrier: bool,
}

/// What is decided where the record, PostgreSQL's known setting, the barrier and the doubts are the same.
type Decisions = BTreeMap<(Record, Option<Setting>, Mask, bool), Vec<(Scene, Step<u8>)>>;

/// A rule left out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    NoVoid,
    NoBarrier,
}

impl World {
    fn founding(strict: bool) -> Self {
        Self {
            record: Record {
                strict,
                asynchronous: false,
                wants_asynchronous: false,
                number: 1,
                voters: 0,
                quorum: 0,
                degraded: true,
            },
            outstanding: BTreeSet::new(),
            doubted: false,
            known: true,
            possible: BTreeSet::from([(0, 0)]),
            past_barrier: 0,
            witnesses: None,
            before_barrier: false,
        }
    }

    fn lost(&self) -> bool {
        let Some(witnesses) = self.witnesses.filter(|_| self.record.elects()) else {
            return false;
        };
        groups(self.record.voters, self.record.quorum + 1).any(|electing| electing & witnesses == 0)
    }

    fn scene(&self, well: Mask, gone: Mask, patience: Patience, broken: Broken) -> Scene {
        let late = self.doubted && broken != Broken::NoVoid;
        Scene {
            durability: self.record.promise(self.record.asynchronous),
            wanted_durability: self.record.promise(self.record.wants_asynchronous),
            number: self.record.number,
            owner: Owner::Me,
            voters: self.record.voters,
            quorum: self.record.quorum,
            degraded: self.record.degraded,
            postgres: self.possible.first().copied().filter(|_| self.known),
            late: if late { Late::Possible } else { Late::Impossible },
            patience,
            wanted: ALL,
            ready: well,
            answering: well,
            gone,
            past_barrier: if broken == Broken::NoBarrier { ALL } else { self.past_barrier },
        }
    }

    fn successors(&self, broken: Broken, decisions: &mut Decisions, found: &mut Vec<World>) {
        self.commits(found);
        self.flushes(found);
        self.late_changes(found);
        self.restarts(found);
        self.wishes(found);
        let known = self.possible.first().copied().filter(|_| self.known);
        let key = (self.record, known, self.past_barrier, self.doubted);
        for (scene, step) in decisions.entry(key).or_insert_with(|| self.decisions(broken)) {
            self.take(scene, step, found);
        }
    }

    /// Every step that may be taken here, whoever is well or gone.
    fn decisions(&self, broken: Broken) -> Vec<(Scene, Step<u8>)> {
        let mut decisions: Vec<(Scene, Step<u8>)> = Vec::new();
        for well in groups_of_all() {
            for gone in groups_of_all().filter(|gone| gone & well == 0) {
                for patience in [Patience::Lasts, Patience::Over] {
                    let scene = self.scene(well, gone, patience, broken);
                    let step = scene.with(next);
                    if decisions.iter().all(|(_, known)| *known != step) {
                        decisions.push((scene, step));
                    }
                }
            }
        }
        decisions
    }

    fn take(&self, scene: &Scene, step: &Step<u8>, found: &mut Vec<World>) {
        match step {
            Step::Rest(_) => {}
            Step::Postgres { number, names, .. } => {
                let setting = (*number, mask(names));
                let mut effective = self.clone();
                effective.known = true;
                effective.possible = BTreeSet::from([setting]);
                effective.past_barrier = 0;
                effective.before_barrier = self.witnesses.is_some();
                let mut failed = self.clone();
                failed.known = false;
                failed.past_barrier = 0;
                failed.possible.insert(setting);
                found.extend([effective, failed]);
            }
            Step::Record { change, .. } => {
                let tightens = matches!(change, Change::Form { .. } | Change::Set { .. });
                let then = after(scene, step);
                let record = Record {
                    asynchronous: then.durability == Durability::Async,
                    voters: then.voters,
                    quorum: then.quorum,
                    degraded: then.degraded,
                    ..self.record
                };
                let mut unheard = self.clone();
                unheard.doubted |= tightens;
                unheard.outstanding.insert(record);
                found.extend([self.with_record(record), unheard]);
            }
        }
    }

    fn with_record(&self, record: Record) -> World {
        let (outstanding, doubted) = (BTreeSet::new(), false);
        World { record, outstanding, doubted, ..self.clone() }
    }

    /// The commit is confirmed by whatever PostgreSQL may be waiting for.
    fn commits(&self, found: &mut Vec<World>) {
        let clients_in = !(self.record.strict && self.record.degraded);
        if self.witnesses.is_some() || !clients_in {
            return;
        }
        for (number, names) in &self.possible {
            for witnesses in groups(*names, *number) {
                let past_barrier = if self.known { self.past_barrier | witnesses } else { 0 };
                let witnesses = Some(witnesses);
                found.push(World { witnesses, past_barrier, before_barrier: false, ..self.clone() });
            }
        }
    }

    fn flushes(&self, found: &mut Vec<World>) {
        for standby in groups(ALL, 1).filter(|s| self.known && self.past_barrier & s == 0) {
            let mut world = self.clone();
            world.past_barrier |= standby;
            if world.before_barrier {
                world.witnesses = world.witnesses.map(|w| w | standby);
            }
            found.push(world);
        }
    }

    fn late_changes(&self, found: &mut Vec<World>) {
        found.extend(self.outstanding.iter().map(|record| self.with_record(*record)));
    }

    fn restarts(&self, found: &mut Vec<World>) {
        found.push(World { known: false, past_barrier: 0, doubted: true, ..self.clone() });
    }

    /// A person changes n, or whether commits wait at all.
    fn wishes(&self, found: &mut Vec<World>) {
        let record = self.record;
        found.push(self.with_record(Record { number: 3 - record.number, ..record }));
        if !record.asynchronous {
            let nobody = Record { voters: 0, quorum: 0, degraded: false, ..record };
            let asynchronous = Record { asynchronous: true, wants_asynchronous: true, ..nobody };
            found.push(self.with_record(asynchronous));
        } else if record.wants_asynchronous {
            found.push(self.with_record(Record { wants_asynchronous: false, ..record }));
        }
    }
}

fn groups_of_all() -> impl Iterator<Item = Mask> {
    (0..=ALL).filter(|m| m & !ALL == 0)
}

/// How many worlds there are, or one in which the commit can be lost.
fn walk(founding: World, broken: Broken, worlds_max: usize) -> Result<usize, World> {
    let mut seen: BTreeSet<World> = BTreeSet::from([founding.clone()]);
    let mut open = vec![founding];
    let (mut found, mut decisions) = (Vec::new(), Decisions::new());
    while let Some(world) = open.pop() {
        if world.lost() {
            return Err(world);
        }
        assert!(seen.len() < worlds_max, "more than {worlds_max} worlds");
        world.successors(broken, &mut decisions, &mut found);
        found.sort_by_key(|w| w.witnesses.is_none());
        for next in found.drain(..) {
            if !seen.contains(&next) {
                seen.insert(next.clone());
                open.push(next);
            }
        }
    }
    Ok(seen.len())
}

const WORLDS_MAX: usize = 5_000_000;

#[test]
fn no_order_of_writes_loses_a_confirmed_commit_in_sync() {
    let worlds = walk(World::founding(false), Broken::Nothing, WORLDS_MAX);
    assert!(worlds.as_ref().is_ok_and(|n| *n > 10_000), "{worlds:?}");
}

#[test]
fn no_order_of_writes_loses_a_confirmed_commit_in_strict() {
    let worlds = walk(World::founding(true), Broken::Nothing, WORLDS_MAX);
    assert!(worlds.as_ref().is_ok_and(|n| *n > 10_000), "{worlds:?}");
}

#[test]
fn without_voiding_late_changes_a_commit_can_be_lost() {
    assert!(walk(World::founding(true), Broken::NoVoid, WORLDS_MAX).is_err());
}

#[test]
fn without_the_barrier_a_commit_can_be_lost() {
    assert!(walk(World::founding(true), Broken::NoBarrier, WORLDS_MAX).is_err());
}
