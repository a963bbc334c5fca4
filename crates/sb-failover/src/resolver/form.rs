//! Where nobody elects by V of this term: no set yet, fallen back, another primary's.

use std::collections::BTreeSet;

use super::{Change, InForce, Owner, Patience, Rest, Situation, Step, Why};
use crate::record::Durability;

/// Commits shall wait for nobody.
pub(super) fn relax<N: Ord + Clone>(situation: &Situation<'_, N>) -> Step<N> {
    match situation.postgres {
        Some(set) if set.names.is_empty() => Step::Rest(Rest::Asynchronous),
        Some(_) | None => Step::Postgres { number: 0, names: BTreeSet::new(), why: Why::Relaxes },
    }
}

/// PostgreSQL first, effective, then the record.
pub(super) fn form<N: Ord + Clone>(situation: &Situation<'_, N>) -> Step<N> {
    let record = &situation.record;
    let falls_back = record.durability == Durability::Sync;
    let unsettled = record.owner == Owner::Former && record.durability.is_synchronous();
    if falls_back && unsettled && (record.degraded || has_lost_patience(situation)) {
        return Step::Record { change: Change::FallBack, why: Why::FallsBack };
    }
    // Having passed the barrier once is not enough: who is silent now would have it fall back again at once.
    let answers = |set: &&InForce<N>| situation.answering(&set.names) >= situation.promised();
    if let Some(set) = situation.postgres.filter(|set| fits(situation, set)).filter(answers) {
        let (behind, allowed) = (situation.behind(&set.names), set.names.len() - situation.promised());
        if behind <= allowed {
            return Step::Record { change: Change::Form { voters: set.names.clone() }, why: Why::Forms };
        }
        return Step::Rest(Rest::Barrier { behind, allowed });
    }
    // Clients are in: commits must not wait for a set that does not answer.
    let clients_in = record.durability == Durability::Async || (falls_back && !unsettled);
    propose(situation, if clients_in { Meanwhile::Relaxed } else { Meanwhile::Waiting })
}

/// What commits do until a set has formed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Relaxed,
    Waiting,
}

fn propose<N: Ord + Clone>(situation: &Situation<'_, N>, meanwhile: Meanwhile) -> Step<N> {
    let (need, ready) = (situation.promised(), situation.ready());
    let have = ready.len();
    let names = match meanwhile {
        _ if have >= need => ready,
        Meanwhile::Relaxed => BTreeSet::new(),
        Meanwhile::Waiting => {
            let others = |names: &BTreeSet<N>| names.iter().filter(|s| *s != situation.me).cloned().collect();
            let (expected, all): (BTreeSet<N>, BTreeSet<N>) =
                (others(situation.standbys.expected), others(situation.standbys.wanted));
            // With fewer servers than n there is nothing to set; commits stay out with the clients.
            if all.len() < need {
                return Step::Rest(Rest::TooFew { have, need });
            }
            let likely: BTreeSet<N> = expected.intersection(&all).cloned().collect();
            if likely.len() >= need { likely } else { all }
        }
    };
    let number = if names.is_empty() { 0 } else { need };
    let wanted = InForce { number, names };
    if situation.postgres == Some(&wanted) {
        return Step::Rest(Rest::TooFew { have, need });
    }
    let InForce { number, names } = wanted;
    let why = if names.is_empty() { Why::Relaxes } else { Why::Forms };
    Step::Postgres { number, names, why }
}

/// Whether `set` could become V.
fn fits<N: Ord + Clone>(situation: &Situation<'_, N>, set: &InForce<N>) -> bool {
    let needed = situation.promised();
    set.number == needed
        && set.names.len() >= needed
        && !set.names.contains(situation.me)
        && set.names.is_subset(situation.standbys.wanted)
}

fn has_lost_patience<N: Ord + Clone>(situation: &Situation<'_, N>) -> bool {
    situation.patience == Patience::Over
        && situation.answering(situation.standbys.wanted) < situation.promised()
}
