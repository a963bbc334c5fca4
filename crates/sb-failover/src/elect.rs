use std::cmp::Reverse;

use sb_pgtypes::{Lsn, Position};
use sb_topology::ServerName;

use crate::mutant::Rules;
use crate::record::{Proof, Report};
use crate::{ClusterRecord, Rejection};

/// One candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// Which server.
    pub server: ServerName,
    /// Why it may take over, once it has what it lacks.
    pub proof: Proof,
    /// From whom it must fetch up to where before it takes over; [`None`] when it has everything.
    pub fetch: Option<(ServerName, Position)>,
}

/// What one candidate is preferred by: the smallest goes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// Not at the former holder's site.
    pub(crate) elsewhere: bool,
    /// Its site's.
    pub(crate) priority: u32,
    /// Most first.
    pub(crate) log: Reverse<Lsn>,
    name: ServerName,
}

/// What `server` is preferred by; [`None`] unless it is a member that has reported.
pub(crate) fn rank(record: &ClusterRecord, server: &ServerName) -> Option<Rank> {
    let former_site = record.members.get(&record.lease.as_ref()?.holder).map(|m| &m.site);
    let member = record.members.get(server)?;
    let (_, report) = record.valid_reports().find(|(s, _)| *s == server)?;
    Some(Rank {
        elsewhere: former_site != Some(&member.site),
        priority: member.priority,
        log: Reverse(record.recorded_part(&report.position).flushed),
        name: server.clone(),
    })
}

/// What the reports say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Election {
    /// These may take over, the preferred one first. Never empty.
    Decided(Vec<Ranked>),
    /// Nobody may, and what the best placed one lacks; [`None`] when nobody has reported.
    Blocked(Option<Rejection>),
}

/// Who shall take over, from the record and the reports in it alone.
///
/// Every candidate has, or can fetch, everything that was reported. Among those: the former holder's site,
/// then the site's priority, then the most log, then the name.
#[must_use]
pub fn elect(record: &ClusterRecord) -> Election {
    elect_by(record, Rules::default())
}

pub(crate) fn elect_by(record: &ClusterRecord, rules: Rules) -> Election {
    if record.lease.is_none() {
        return Election::Blocked(None);
    }
    let Some((best_server, best)) = most_log(record) else {
        return Election::Blocked(None);
    };
    let mut ranked = Vec::new();
    let mut refusal = None;
    for (server, report) in record.valid_reports() {
        if !record.members.get(server).is_some_and(|m| m.promotable) {
            continue;
        }
        let position = takes_over_at(record, report, best);
        match proof_for(record, server, position, rules) {
            Ok(proof) => {
                let own = *position == report.position;
                let fetch = (!own).then(|| (best_server.clone(), best.position.clone()));
                ranked.push((rank(record, server), Ranked { server: server.clone(), proof, fetch }));
            }
            Err(rejection) => refusal = refusal.or(Some(rejection)),
        }
    }
    ranked.sort_by(|(a, _), (b, _)| a.cmp(b));
    if ranked.is_empty() {
        Election::Blocked(refusal)
    } else {
        Election::Decided(ranked.into_iter().map(|(_, r)| r).collect())
    }
}

/// The server that has reported the most log, and how many bytes it lacks of what the holder told last: what a person
/// loses by naming it. What the holder wrote after its last renewal comes on top.
#[must_use]
pub fn at_risk(record: &ClusterRecord) -> Option<(ServerName, u64)> {
    let (server, best) = most_log(record)?;
    let Some(last) = &record.position else {
        return Some((server.clone(), 0));
    };
    record.lacks(&best.position, last).map(|bytes| (server.clone(), bytes))
}

/// How many bytes of what was told or reported are lost when a person names `server`, which takes first what another has more;
/// [`None`] when it has not reported, or does not stand on the line of the others. What the holder wrote after its last
/// renewal comes on top.
#[must_use]
pub fn loss_if_named(record: &ClusterRecord, server: &ServerName) -> Option<u64> {
    let (_, own) = record.valid_reports().find(|(reporter, _)| *reporter == server)?;
    record.lost_from(&position_if_named(record, &own.position))
}

/// Where a server that stands at `own` takes over when a person names it.
pub(crate) fn position_if_named(record: &ClusterRecord, own: &Position) -> Position {
    more_elsewhere(record, own).map_or_else(|| own.clone(), |(_, until)| until)
}

/// Who has more of the same line than `own`, and up to where: what a person's choice takes first.
pub(crate) fn more_elsewhere(record: &ClusterRecord, own: &Position) -> Option<(ServerName, Position)> {
    let (source, report) = most_log(record)?;
    let more = !own.contains(&record.recorded_part(&report.position)) && report.position.contains(own);
    more.then(|| (source.clone(), report.position.clone()))
}

/// Whether every server that could take over has reported, apart from the one that held the lease.
#[must_use]
pub fn everybody_reported(record: &ClusterRecord) -> bool {
    let Some(lease) = &record.lease else {
        return false;
    };
    let reported = |s: &ServerName| record.valid_reports().any(|(r, _)| r == s);
    record.members.iter().filter(|(s, m)| m.promotable && **s != lease.holder).all(|(s, _)| reported(s))
}

/// Where a candidate takes over: with its own log where that has all that was reported, else with the best that was.
///
/// In the synchronous modes also where it alone has the end that the holder gave its lease back with, and the most log
/// is on a branch beside that end: nobody can have both. Everything that was ever confirmed lies before the end, so
/// nobody saw confirmed what the branch has more. Asynchronously that may be confirmed commits, and goes before.
pub(crate) fn takes_over_at<'a>(record: &ClusterRecord, own: &'a Report, best: &'a Report) -> &'a Position {
    let complete = own.position.contains(&record.recorded_part(&best.position));
    let beside_the_end = record.sync.durability.is_synchronous()
        && record.has_end_of_wal(&own.position)
        && !record.has_end_of_wal(&best.position);
    if complete || beside_the_end { &own.position } else { &best.position }
}

/// The proof that holds, the strongest first; or what the one that the durability asks for lacks.
fn proof_for(
    record: &ClusterRecord,
    by: &ServerName,
    position: &Position,
    rules: Rules,
) -> Result<Proof, Rejection> {
    if record.prove(by, position, Proof::EndOfWal, rules).is_ok() {
        return Ok(Proof::EndOfWal);
    }
    let proof = if record.sync.durability.is_synchronous() { Proof::Quorum } else { Proof::LagBound };
    record.prove(by, position, proof, rules).map(|()| proof)
}

/// The report with the most log; parts of one line are ordered by their end. Of equals one whose line is on
/// record, since everybody can fetch from it.
pub(crate) fn most_log(record: &ClusterRecord) -> Option<(&ServerName, &Report)> {
    record.valid_reports().max_by_key(|(server, report)| {
        let part = record.recorded_part(&report.position);
        (part.flushed, part.lineage == report.position.lineage, Reverse(*server))
    })
}
