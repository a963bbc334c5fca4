//! A settled set: members join and leave, n rises and falls, a fall back.

use std::collections::BTreeSet;

use super::{Change, InForce, Patience, Rest, Situation, Step, Why};
use crate::record::Durability;

pub(super) fn tend<N: Ord + Clone>(situation: &Situation<'_, N>) -> Step<N> {
    if falls_back(situation) {
        return Step::Record { change: Change::FallBack, why: Why::FallsBack };
    }
    let Some(set) = situation.postgres else {
        return establish(situation);
    };
    if let Err(unsound) = situation.check(set) {
        return repair(situation, set, Why::Repairs(unsound));
    }
    let voters = situation.record.voters;
    if situation.promised() < situation.counted_on() {
        return record(voters.clone(), voters.len() - situation.promised(), Why::Falls);
    }
    let missing: BTreeSet<N> = voters.difference(&set.names).cloned().collect();
    if missing.is_empty() { agreed(situation, set) } else { shrink_or_grow(situation, set, &missing) }
}

fn record<N>(voters: BTreeSet<N>, quorum: usize, why: Why) -> Step<N> {
    Step::Record { change: Change::Set { voters, quorum }, why }
}

fn falls_back<N: Ord + Clone>(situation: &Situation<'_, N>) -> bool {
    let needed = situation.postgres.map_or(0, |set| set.number).max(situation.counted_on()).max(1);
    situation.record.durability == Durability::Sync
        && situation.patience == Patience::Over
        && situation.answering(&situation.voters()) < needed
}

/// What PostgreSQL has to wait for so that the record's quorum suffices.
fn lawful<N: Ord + Clone>(situation: &Situation<'_, N>) -> InForce<N> {
    let names = situation.voters();
    InForce { number: situation.counted_on().clamp(1, names.len().max(1)), names }
}

/// Whatever was tried is part of V, so V may grow unseen, and must when those in it do not answer.
fn establish<N: Ord + Clone>(situation: &Situation<'_, N>) -> Step<N> {
    let InForce { number, names } = lawful(situation);
    if situation.answering(&names) < number
        && let Some(step) = join(situation)
    {
        return step;
    }
    Step::Postgres { number, names, why: Why::Establishes }
}

fn repair<N: Ord + Clone>(situation: &Situation<'_, N>, set: &InForce<N>, why: Why) -> Step<N> {
    let lawful = lawful(situation);
    if lawful != *set {
        return Step::Postgres { number: lawful.number, names: lawful.names, why };
    }
    // PostgreSQL cannot wait for more: then elections have to ask more.
    let voters = situation.record.voters;
    record(voters.clone(), voters.len() - lawful.number, why)
}

/// The next standby that comes in: first on record, since that asks more of elections.
fn join<N: Ord + Clone>(situation: &Situation<'_, N>) -> Option<Step<N>> {
    let voters = situation.record.voters;
    let ready = situation.ready();
    let server = ready.difference(voters).next()?;
    let grown = voters.iter().chain([server]).cloned().collect();
    Some(record(grown, situation.record.quorum + 1, Why::Joins))
}

/// S lacks some of V: they come in, or V follows.
fn shrink_or_grow<N: Ord + Clone>(
    situation: &Situation<'_, N>,
    set: &InForce<N>,
    missing: &BTreeSet<N>,
) -> Step<N> {
    let staying = missing.iter().filter(|s| !situation.shall_leave(s));
    let grown: BTreeSet<N> = set.names.iter().chain(staying).cloned().collect();
    if grown.len() > set.names.len() {
        return Step::Postgres { number: set.number, names: grown, why: Why::Joins };
    }
    let voters = situation.record.voters;
    let Some(leaving) = missing.first() else {
        return Step::Rest(Rest::Settled);
    };
    let left: BTreeSet<N> = voters.iter().filter(|v| *v != leaving).cloned().collect();
    // A sound set that lacks a voter has a quorum of at least one.
    let allowed = situation.record.quorum.saturating_sub(1);
    let behind = situation.behind(&left);
    if behind <= allowed {
        return record(left, allowed, Why::Leaves);
    }
    if situation.answering(&set.names) < set.number
        && let Some(step) = join(situation)
    {
        return step;
    }
    Step::Rest(Rest::Barrier { behind, allowed })
}

/// S is V: what next?
fn agreed<N: Ord + Clone>(situation: &Situation<'_, N>, set: &InForce<N>) -> Step<N> {
    if let Some(step) = join(situation) {
        return step;
    }
    let (voters, promised, counted_on) =
        (situation.record.voters, situation.promised(), situation.counted_on());
    if promised > counted_on {
        if voters.len() < promised {
            return Step::Rest(Rest::TooFew { have: voters.len(), need: promised });
        }
        return rise(situation, set, promised);
    }
    if set.number > promised {
        return Step::Postgres { number: promised, names: voters.clone(), why: Why::Falls };
    }
    let leaving = voters.iter().find(|v| situation.shall_leave(v));
    if let Some(server) = leaving.filter(|_| voters.len() > promised) {
        let names = voters.iter().filter(|v| *v != server).cloned().collect();
        return Step::Postgres { number: set.number, names, why: Why::Leaves };
    }
    let have = situation.answering(voters);
    Step::Rest(if have < promised { Rest::TooFew { have, need: promised } } else { Rest::Settled })
}

/// PostgreSQL first; the quorum falls when enough voters have passed the barrier.
fn rise<N: Ord + Clone>(situation: &Situation<'_, N>, set: &InForce<N>, promised: usize) -> Step<N> {
    let voters = situation.record.voters;
    if set.number < promised {
        return Step::Postgres { number: promised, names: voters.clone(), why: Why::Rises };
    }
    let (behind, allowed) = (situation.behind(voters), voters.len() - promised);
    if behind <= allowed {
        return record(voters.clone(), allowed, Why::Rises);
    }
    Step::Rest(Rest::Barrier { behind, allowed })
}
