//! Timelines: who forked where, and whether the record and the journals knew.

use std::collections::{BTreeMap, BTreeSet};

use super::Verdict;
use crate::place::Place;

/// A timeline's ancestors, oldest first: number, and where the next one left it (`X/Y`).
pub type Ancestors = Vec<(u32, String)>;

/// The timeline history files of one server, by the timeline they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timelines {
    /// Whose.
    pub server: Place,
    /// The files.
    pub files: BTreeMap<u32, Ancestors>,
}

/// Reads a timeline history file (PostgreSQL, "Timelines": parent, switch point, reason).
#[must_use]
pub fn read_ancestors(text: &str) -> Ancestors {
    let fields = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(fields).collect()
}

/// No timeline number means two histories, and every timeline was made by a promotion that a journal tells of.
#[must_use]
pub fn check_lineage(servers: &[Timelines], promoted: &BTreeSet<u32>) -> Verdict {
    let mut verdict = Verdict::new("no lineage is forked silently");
    let mut known: BTreeMap<u32, (&Ancestors, Place)> = BTreeMap::new();
    for server in servers {
        for (timeline, ancestors) in &server.files {
            verdict.look();
            let (first, at) = *known.entry(*timeline).or_insert((ancestors, server.server));
            if first != ancestors {
                let (one, other) = (at, server.server);
                verdict
                    .violated(format!("timeline {timeline}: `{one}` has {first:?}, `{other}` {ancestors:?}"));
            }
        }
    }
    for timeline in known.keys().filter(|timeline| !promoted.contains(timeline)) {
        verdict.violated(format!("no journal tells of the promotion to timeline {timeline}"));
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, files: &[(u32, &str)]) -> Timelines {
        let files = files.iter().map(|(timeline, text)| (*timeline, read_ancestors(text)));
        Timelines { server: Place::named(name).unwrap(), files: files.collect() }
    }

    const TO_2: &str = "1\t0/3000148\tno recovery target specified\n";
    const TO_3: &str =
        "1\t0/3000148\tno recovery target specified\n\n2\t0/5000060\tno recovery target specified\n";

    #[test]
    fn a_line_that_everybody_knows_is_kept() {
        let servers = [server("ravena-1", &[(2, TO_2), (3, TO_3)]), server("ravena-2", &[(3, TO_3)])];
        assert!(check_lineage(&servers, &BTreeSet::from([2, 3])).kept());
        assert_eq!(servers[1].files[&3], [(1, "0/3000148".to_owned()), (2, "0/5000060".to_owned())]);
    }

    #[test]
    fn a_number_chosen_twice_is_noticed() {
        let other = "1\t0/4000148\tno recovery target specified\n";
        let servers = [server("ravena-1", &[(2, TO_2)]), server("ravena-2", &[(2, other)])];
        assert_eq!(check_lineage(&servers, &BTreeSet::from([2])).violations, 1);
    }

    #[test]
    fn a_promotion_that_nobody_told_of_is_noticed() {
        assert_eq!(check_lineage(&[server("ravena-1", &[(2, TO_2)])], &BTreeSet::new()).violations, 1);
    }
}
