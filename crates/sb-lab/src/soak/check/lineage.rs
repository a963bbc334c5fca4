//! Timelines: who forked where, and whether the record and the journals knew.

use std::collections::{BTreeMap, BTreeSet};

use super::{Told, Verdict};
use crate::place::Place;

/// A timeline's ancestors, oldest first: number, and where the next one left it.
pub type Ancestors = Vec<(u32, WalPlace)>;

/// A place in the log, as PostgreSQL writes it: `X/Y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WalPlace(pub u64);

impl WalPlace {
    /// Reads `X/Y`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (high, low) = text.split_once('/')?;
        let (high, low) = (u32::from_str_radix(high, 16).ok()?, u32::from_str_radix(low, 16).ok()?);
        Some(Self(u64::from(high) << 32 | u64::from(low)))
    }
}

/// The timeline history files of one server, by the timeline they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timelines {
    /// Whose.
    pub server: Place,
    /// The files.
    pub files: BTreeMap<u32, Ancestors>,
}

/// A promotion that a journal tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Promotion {
    /// The timeline that it made.
    pub timeline: u32,
    /// In which term.
    pub term: u64,
    /// Who.
    pub server: Place,
}

/// A change of term in the replicated record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handover {
    /// The term that began.
    pub term: u64,
    /// Who holds it.
    pub server: Place,
    /// Where its log ended then: timeline and place; nothing for the founder.
    pub position: Option<(u32, WalPlace)>,
}

/// Reads a timeline history file (PostgreSQL, "Timelines": parent, switch point, reason).
#[must_use]
pub fn read_ancestors(text: &str) -> Ancestors {
    let fields = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse().ok()?, WalPlace::read(words.next()?)?))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(fields).collect()
}

/// The promotions that the journals tell of: "On timeline N.".
#[must_use]
pub fn read_promotions(told: &[Told]) -> BTreeSet<Promotion> {
    let promotion = |entry: &Told| {
        let detail = entry.detail.as_deref()?.strip_prefix("On timeline ")?;
        let timeline = detail.trim_end_matches('.').parse().ok()?;
        Some(Promotion { timeline, term: entry.term?, server: entry.server })
    };
    told.iter().filter(|entry| entry.is("postgres.promoted")).filter_map(promotion).collect()
}

/// No timeline number means two histories. Each was made by one promotion: in a term that the record gave to that very
/// server, and from where the record says that its log ended.
#[must_use]
pub fn check_lineage(
    servers: &[Timelines],
    promotions: &BTreeSet<Promotion>,
    record: &[Handover],
) -> Verdict {
    let mut verdict = Verdict::new("no lineage is forked silently");
    for (timeline, ancestors) in known(servers, &mut verdict) {
        let made: Vec<_> = promotions.iter().filter(|it| it.timeline == timeline).collect();
        match made.as_slice() {
            [] if untold(ancestors, promotions, record) => {}
            [] => verdict.violated(format!("nobody tells of the promotion to timeline {timeline}")),
            [one] => check_promotion(**one, ancestors, record, &mut verdict),
            several => verdict.violated(format!("timeline {timeline} was made more than once: {several:?}")),
        }
    }
    verdict
}

/// The histories of all servers, which must be the same.
fn known<'a>(servers: &'a [Timelines], verdict: &mut Verdict) -> BTreeMap<u32, &'a Ancestors> {
    let mut known: BTreeMap<u32, (&Ancestors, Place)> = BTreeMap::new();
    for server in servers {
        // A file without ancestors keeps its number from being used: no timeline has it there.
        for (timeline, ancestors) in server.files.iter().filter(|(_, ancestors)| !ancestors.is_empty()) {
            verdict.look();
            let (first, at) = *known.entry(*timeline).or_insert((ancestors, server.server));
            if first != ancestors {
                let (one, other) = (at, server.server);
                verdict
                    .violated(format!("timeline {timeline}: `{one}` has {first:?}, `{other}` {ancestors:?}"));
            }
        }
    }
    known.into_iter().map(|(timeline, (ancestors, _))| (timeline, ancestors)).collect()
}

fn check_promotion(made: Promotion, ancestors: &Ancestors, record: &[Handover], verdict: &mut Verdict) {
    let Promotion { timeline, term, server } = made;
    // The record remembers the newest changes of term.
    if record.first().is_some_and(|oldest| term < oldest.term) {
        return;
    }
    match record.iter().find(|handover| handover.term == term) {
        Some(handover) if handover.server != server => verdict.violated(format!(
            "`{server}` made timeline {timeline} in term {term}, which the record gave to `{}`",
            handover.server
        )),
        Some(handover) if !forks_at(ancestors, handover) => verdict.violated(format!(
            "timeline {timeline} forks at {:?}; by the record the log of `{server}` ended at {:?} in term {term}",
            ancestors.last(),
            handover.position
        )),
        Some(_) => {}
        None => verdict.violated(format!(
            "`{server}` made timeline {timeline} in term {term}, of which the record knows nothing"
        )),
    }
}

/// A promotion forks at the end of the last whole record, so not beyond where the log ended.
fn forks_at(ancestors: &Ancestors, handover: &Handover) -> bool {
    match (ancestors.last(), handover.position) {
        (Some((parent, fork)), Some((timeline, end))) => *parent == timeline && *fork <= end,
        (_, _) => false,
    }
}

/// Whether it belongs to a term whose holder was killed between its promotion and its word of it.
fn untold(ancestors: &Ancestors, promotions: &BTreeSet<Promotion>, record: &[Handover]) -> bool {
    let silent = |handover: &&Handover| !promotions.iter().any(|it| it.term == handover.term);
    record.iter().filter(silent).any(|handover| forks_at(ancestors, handover))
}

/// The line of the newest term that clients were let into contains those of all others before it: nothing that was
/// acknowledged was given up for it. Not for an asynchronous cluster, whose winner may lack the last fork.
#[must_use]
pub fn check_succession(servers: &[Timelines], promotions: &BTreeSet<Promotion>, opened: &[u64]) -> Verdict {
    let mut verdict = Verdict::new("no line that clients wrote on was given up");
    let mut lines: Vec<_> = promotions.iter().filter(|it| opened.contains(&it.term)).collect();
    lines.sort_by_key(|it| it.term);
    let Some((newest, before)) = lines.split_last() else { return verdict };
    let ancestors = servers.iter().find_map(|server| server.files.get(&newest.timeline));
    for it in before {
        verdict.look();
        let is_ancestor = |ancestors: &Ancestors| ancestors.iter().any(|(line, _)| *line == it.timeline);
        if it.timeline != newest.timeline && !ancestors.is_some_and(is_ancestor) {
            verdict.violated(format!(
                "timeline {} of term {} is no ancestor of timeline {}",
                it.timeline, it.term, newest.timeline
            ));
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        Place::named(name).unwrap()
    }

    fn server(name: &str, files: &[(u32, &str)]) -> Timelines {
        let files = files.iter().map(|(timeline, text)| (*timeline, read_ancestors(text)));
        Timelines { server: place(name), files: files.collect() }
    }

    fn promotion(timeline: u32, term: u64, server: &str) -> Promotion {
        Promotion { timeline, term, server: place(server) }
    }

    fn handover(term: u64, server: &str, position: Option<(u32, u64)>) -> Handover {
        Handover { term, server: place(server), position: position.map(|(line, at)| (line, WalPlace(at))) }
    }

    const TO_2: &str = "1\t0/3000148\tno recovery target specified\n";
    const TO_3: &str =
        "1\t0/3000148\tno recovery target specified\n\n2\t0/5000060\tno recovery target specified\n";

    fn servers() -> [Timelines; 2] {
        [server("ravena-1", &[(2, TO_2), (3, TO_3)]), server("ravena-2", &[(3, TO_3)])]
    }

    fn promotions() -> BTreeSet<Promotion> {
        BTreeSet::from([promotion(2, 2, "ravena-2"), promotion(3, 4, "burlington-1")])
    }

    /// In term 3 nobody was promoted.
    fn record() -> Vec<Handover> {
        vec![
            handover(1, "ravena-1", None),
            handover(2, "ravena-2", Some((1, 0x300_0160))),
            handover(3, "ravena-1", Some((2, 0x500_0060))),
            handover(4, "burlington-1", Some((2, 0x500_0060))),
        ]
    }

    #[test]
    fn a_line_that_everybody_knows_is_kept() {
        assert!(check_lineage(&servers(), &promotions(), &record()).kept());
        assert_eq!(servers()[1].files[&3], [(1, WalPlace(0x300_0148)), (2, WalPlace(0x500_0060))]);
    }

    #[test]
    fn a_number_that_is_only_kept_free_is_no_timeline() {
        let passed_over = server("tucson-1", &[(2, "# kept free\n"), (3, TO_3)]);
        let [one, other] = servers();
        assert!(check_lineage(&[passed_over, one, other], &promotions(), &record()).kept());
    }

    #[test]
    fn a_number_chosen_twice_is_noticed() {
        let other = "1\t0/3000140\tno recovery target specified\n";
        let servers = [server("ravena-1", &[(2, TO_2)]), server("ravena-2", &[(2, other)])];
        assert_eq!(check_lineage(&servers, &promotions(), &record()).violations, 1);
    }

    #[test]
    fn a_number_made_in_two_terms_is_noticed() {
        let twice = BTreeSet::from([promotion(2, 2, "ravena-2"), promotion(2, 3, "ravena-1")]);
        let servers = [server("ravena-1", &[(2, TO_2)])];
        assert_eq!(check_lineage(&servers, &twice, &record()).violations, 1);
    }

    #[test]
    fn a_promotion_that_nobody_told_of_is_noticed() {
        let servers = [server("ravena-1", &[(2, TO_2)])];
        assert_eq!(check_lineage(&servers, &BTreeSet::new(), &record()[..1]).violations, 1);
        assert_eq!(
            check_lineage(&servers, &BTreeSet::new(), &record()[2..]).violations,
            1,
            "it forks elsewhere"
        );
    }

    #[test]
    fn a_holder_that_was_killed_before_it_could_tell_is_known_by_the_record() {
        let told = BTreeSet::from([promotion(2, 2, "ravena-2")]);
        assert!(check_lineage(&servers(), &told, &record()).kept());
    }

    #[test]
    fn a_promotion_by_another_than_the_terms_holder_is_noticed() {
        let other = BTreeSet::from([promotion(2, 2, "tucson-1"), promotion(3, 4, "burlington-1")]);
        assert_eq!(check_lineage(&servers(), &other, &record()).violations, 1);
    }

    #[test]
    fn a_promotion_in_a_term_that_the_record_lacks_is_noticed_and_one_that_it_has_forgotten_is_not() {
        assert_eq!(check_lineage(&servers(), &promotions(), &record()[..3]).violations, 1);
        assert!(check_lineage(&servers(), &promotions(), &record()[2..]).kept());
    }

    #[test]
    fn a_fork_beyond_where_the_record_has_the_log_end_is_noticed() {
        for position in [Some((2, 0x500_005f)), Some((1, 0x500_0060)), None] {
            let mut record = record();
            record[3] = handover(4, "burlington-1", position);
            assert_eq!(check_lineage(&servers(), &promotions(), &record).violations, 1, "{position:?}");
        }
    }

    #[test]
    fn a_line_that_clients_wrote_on_and_that_was_given_up_is_noticed() {
        let made = BTreeSet::from([promotion(2, 2, "ravena-2"), promotion(3, 4, "burlington-1")]);
        assert!(check_succession(&servers(), &made, &[1, 2, 4]).kept());
        let from_1 = "1\t0/3000148\tno recovery target specified\n";
        let servers = [server("ravena-1", &[(2, TO_2), (3, from_1)])];
        assert_eq!(check_succession(&servers, &made, &[1, 2, 4]).violations, 1);
        assert!(check_succession(&servers, &made, &[1, 4]).kept(), "nobody was let in there");
    }
}
