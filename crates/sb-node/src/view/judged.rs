//! How a succession was judged, and how it would be judged now.

use sb_api::{Candidate, ExplainQuery, Gate, Judgement, Role, ServerStatus, Status};
use sb_failover::record::Report;
use sb_failover::{ClusterRecord, judge};
use sb_pgtypes::{Lsn, Position};
use sb_topology::ServerName;

use super::Agent;
use crate::gates::gate;
use crate::words;

impl Agent {
    /// How the succession of `query.term`, or the last one, was judged, by whichever server remembers it: the one that
    /// took over before others, then this one.
    pub(super) async fn judged_anywhere(&self, query: ExplainQuery) -> Option<Judgement> {
        let mut told: Vec<Judgement> = self.journal.judgement(query.term).into_iter().collect();
        told.extend(self.peers.judgements(query).await);
        // Of equals the last one is taken, so the own goes to the end.
        told.reverse();
        told.into_iter().max_by_key(|judgement| {
            let winner = self.record().history.iter().any(|handover| {
                handover.term.get() == judgement.term && handover.to.as_str() == judgement.by
            });
            (judgement.term, winner, judgement.winner.is_some())
        })
    }

    /// Every server as an election would judge it if the primary were lost now: each standby that is heard reports
    /// where it stands.
    pub(super) fn if_primary_were_lost(&self, status: &Status) -> Option<(String, Vec<Candidate>)> {
        let judgement = judge(&as_if_reported(&self.record(), &status.servers))?;
        let mut candidates = judgement.candidates.iter().map(words::candidate).collect::<Vec<_>>();
        for candidate in &mut candidates {
            let server = status.servers.iter().find(|s| s.name == candidate.server);
            let holds = judgement.holder.as_str() == candidate.server;
            candidate.gates.splice(0..0, presence(server, holds));
            if holds && candidate.place.is_none() {
                candidate.why = Some("it is the one that would be lost".to_owned());
            } else if let Some(closed) = candidate.gates.iter().find(|gate| !gate.ok) {
                candidate.why =
                    Some(format!("{}: {}, must be {}", closed.name, closed.observed, closed.limit));
            }
        }
        Some((judgement.verdict, candidates))
    }
}

/// The record as an election would have it if it began now: what has been reported, and what each standby that is heard would
/// report.
pub(super) fn as_if_reported(record: &ClusterRecord, servers: &[ServerStatus]) -> ClusterRecord {
    let mut record = record.clone();
    for server in servers {
        if let Some((name, report)) = report_of(&record, server) {
            record.reports.entry(name).or_insert(report);
        }
    }
    record
}

/// What a standby would report; [`None`] when it would not come to that.
fn report_of(record: &ClusterRecord, server: &ServerStatus) -> Option<(ServerName, Report)> {
    let lease = record.lease.as_ref()?;
    let name: ServerName = server.name.parse().ok()?;
    let stands = server.reachable == Some(true) && server.role == Role::Standby && is_sound(server);
    if !stands || lease.holder == name && lease.released.is_none() {
        return None;
    }
    // Only the number of the timeline is told between servers: that of another line is not a position here.
    let lineage = record.lineage.as_ref()?.lineage.clone();
    if server.timeline != Some(lineage.current().get()) {
        return None;
    }
    let flushed = server.flushed_lsn.as_ref()?.parse::<Lsn>().ok()?;
    let report = Report { term: lease.term, seq: lease.seq, position: Position { lineage, flushed } };
    Some((name, report))
}

/// Whether its failover machine is where it can be asked for its position.
fn is_sound(server: &ServerStatus) -> bool {
    use sb_failover::State;
    [State::Following, State::Freezing, State::Frozen, State::Fetching, State::Claiming]
        .iter()
        .any(|state| words::state(*state) == server.state)
}

/// The gates of a server that has not been asked for its position.
fn presence(server: Option<&ServerStatus>, holds: bool) -> Vec<Gate> {
    let reachable = server.is_some_and(|s| s.reachable == Some(true));
    let role = server.map_or(Role::Unknown, |s| s.role);
    let state = server.map_or("unknown", |s| s.state.as_str());
    if holds {
        return vec![gate("standby", role.word(), "standby", role == Role::Standby)];
    }
    vec![
        gate("reachable", if reachable { "yes" } else { "no" }, "yes", reachable),
        gate("standby", role.word(), "standby", role == Role::Standby),
        gate("state", state, "following, or in an election", server.is_some_and(is_sound)),
    ]
}
