use std::collections::{BTreeMap, BTreeSet};

/// A standby that commits may wait for: eligible, promotable, at another site than the primary's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<S> {
    /// Its site, which fails as a whole.
    pub site: S,
    /// Smaller goes first.
    pub priority: u32,
    /// What is known of it.
    pub presence: Presence,
}

/// Whether a standby counts for the set. In the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// A voter that answers.
    Votes,
    /// A voter that has been silent for a while.
    SilentVoter,
    /// Not a voter; it may join.
    Ready,
    /// Anything else: a voter that has gone, a server that does not stream.
    Absent,
}

/// Who shall make up the set: one server of each other site, since a site fails as a whole, and more only when there
/// are fewer sites than `number`, or when too few of those answer.
#[must_use]
pub fn members<N: Ord + Clone, S: Ord + Clone>(
    candidates: &BTreeMap<N, Candidate<S>>,
    number: usize,
) -> BTreeSet<N> {
    let mut by_preference: Vec<_> = candidates.iter().collect();
    by_preference.sort_by(|(a, x), (b, y)| (x.presence, x.priority, *a).cmp(&(y.presence, y.priority, *b)));
    let (mut sites, mut members) = (BTreeSet::new(), BTreeSet::new());
    for (server, candidate) in &by_preference {
        if sites.insert(candidate.site.clone()) {
            members.insert((*server).clone());
        }
    }
    let others = by_preference.iter().map(|(server, _)| *server);
    for server in others {
        if members.len() >= number {
            break;
        }
        members.insert(server.clone());
    }
    let answers = |c: &Candidate<S>| matches!(c.presence, Presence::Votes | Presence::Ready);
    if by_preference.iter().filter(|(s, c)| answers(c) && members.contains(*s)).count() < number {
        let ready = by_preference.iter().filter(|(_, c)| c.presence == Presence::Ready);
        members.extend(ready.map(|(server, _)| (*server).clone()));
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(candidates: &[(&'static str, u8, Presence)], number: usize) -> Vec<&'static str> {
        let map = candidates.iter().map(|(name, site, presence)| {
            (*name, Candidate { site: *site, priority: u32::from(*site), presence: *presence })
        });
        members(&map.collect(), number).into_iter().collect()
    }

    #[test]
    fn a_site_of_two_servers_counts_once() {
        let all = [("a1", 1, Presence::Ready), ("a2", 1, Presence::Ready), ("b", 2, Presence::Ready)];
        assert_eq!(chosen(&all, 2), ["a1", "b"]);
    }

    #[test]
    fn the_server_that_is_a_member_stays_one() {
        let all = [("a1", 1, Presence::Ready), ("a2", 1, Presence::Votes), ("b", 2, Presence::Votes)];
        assert_eq!(chosen(&all, 1), ["a2", "b"]);
    }

    #[test]
    fn a_member_that_is_gone_gives_way_to_the_other_server_of_its_site() {
        let all = [("a1", 1, Presence::Ready), ("a2", 1, Presence::Absent), ("b", 2, Presence::Votes)];
        assert_eq!(chosen(&all, 1), ["a1", "b"]);
    }

    #[test]
    fn with_fewer_sites_than_the_promise_a_site_gives_two() {
        let all = [("a1", 1, Presence::Ready), ("a2", 1, Presence::Ready)];
        assert_eq!(chosen(&all, 2), ["a1", "a2"]);
    }

    #[test]
    fn when_too_few_voters_answer_every_ready_server_may_join() {
        let all = [("a1", 1, Presence::SilentVoter), ("a2", 1, Presence::Ready)];
        assert_eq!(chosen(&all, 1), ["a1", "a2"]);
    }
}
