//! An election told to people: every member, every gate, and why one goes before another.
//!
//! Decides nothing. [`elect`] decides; this says what it went by, and a property holds the two together.

use sb_pgtypes::Position;
use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use crate::elect::{more_elsewhere, most_log, position_if_named, rank, takes_over_at};
use crate::mutant::Rules;
use crate::record::{Automatic, Durability, Member, Proof, Report, Standing, TransferKind, missing};
use crate::{ClusterRecord, Election, Gate, Ranked, Rejection, Seq, Term, elect};

/// How one lease's succession was judged, by one server, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The term that ends.
    pub term: Term,
    /// Its last renewal.
    pub seq: Seq,
    /// Who held it.
    pub holder: ServerName,
    /// Who takes over; [`None`] when nobody may.
    pub winner: Option<ServerName>,
    /// The sentence about both.
    pub verdict: String,
    /// Every member: those that may take over in their order, then the others by name.
    pub candidates: Vec<Candidate>,
}

/// One member in a [`Judgement`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Which server.
    pub server: ServerName,
    /// Its place among those that may take over, from 1; [`None`] when it may not.
    pub place: Option<usize>,
    /// Why it has this place or none.
    pub why: String,
    /// Everything that was looked at.
    pub gates: Vec<Gate>,
}

/// Judges the succession of the lease in `record` from the reports in it; [`None`] before there is a lease.
#[must_use]
pub fn judge(record: &ClusterRecord) -> Option<Judgement> {
    let lease = record.lease.as_ref()?;
    let order = in_order(record);
    let mut candidates = Vec::new();
    for (index, ranked) in order.iter().enumerate() {
        let member = record.members.get(&ranked.server)?;
        let why = match (index, order.get(1)) {
            (0, None) => "the only one that may take over".to_owned(),
            (0, Some(second)) => {
                format!("goes before `{}`: {}", second.server, before(record, ranked, second))
            }
            (_, _) => {
                let first = &order[0];
                format!("goes after `{}`: {}", first.server, before(record, first, ranked))
            }
        };
        let gates = gates(record, &ranked.server, member, Some(ranked.proof));
        candidates.push(Candidate { server: ranked.server.clone(), place: Some(index + 1), why, gates });
    }
    for (server, member) in &record.members {
        if order.iter().all(|ranked| ranked.server != *server) {
            let gates = gates(record, server, member, None);
            let why = why_not(record, server, &gates);
            candidates.push(Candidate { server: server.clone(), place: None, why, gates });
        }
    }
    let winner = order.first();
    let verdict = match (winner, elect(record)) {
        (Some(winner), _) => format!("`{}` takes over: {}", winner.server, proof_in_words(winner.proof)),
        (None, Election::Blocked(Some(why))) => format!("nobody takes over: {why}"),
        (None, Election::Blocked(None) | Election::Decided(_)) => {
            "nobody takes over: no server has reported".to_owned()
        }
    };
    let winner = winner.map(|w| w.server.clone());
    Some(Judgement {
        term: lease.term,
        seq: lease.seq,
        holder: lease.holder.clone(),
        winner,
        verdict,
        candidates,
    })
}

/// Those that may take over, as their turns come: a person's choice, then who has the end of the former
/// primary's log, then the order of the election.
fn in_order(record: &ClusterRecord) -> Vec<Ranked> {
    let mut order = match elect(record) {
        Election::Decided(ranked) => ranked,
        Election::Blocked(_) => Vec::new(),
    };
    let accepted = accepted_loss(record).filter(|a| order.iter().all(|r| r.server != a.server));
    order.extend(accepted);
    order.sort_by_key(|r| (!is_named(record, &r.server), r.proof != Proof::EndOfWal));
    order
}

/// The server for which a person has accepted a loss, when that covers it.
fn accepted_loss(record: &ClusterRecord) -> Option<Ranked> {
    let to = record.transfer.as_ref()?.to.clone()?;
    let (_, report) = record.valid_reports().find(|(server, _)| **server == to)?;
    let fetch = more_elsewhere(record, &report.position);
    let position = fetch.as_ref().map_or(&report.position, |(_, until)| until);
    record.prove(&to, position, Proof::AcceptedLoss, Rules::default()).ok()?;
    Some(Ranked { server: to, proof: Proof::AcceptedLoss, fetch })
}

/// Whether a person, or the holder that handed over, has chosen this server.
fn is_named(record: &ClusterRecord, server: &ServerName) -> bool {
    let transfer = record.transfer.as_ref().and_then(|t| t.to.as_ref());
    let released = record.lease.as_ref().and_then(|l| l.released.as_ref()).and_then(|r| r.to.as_ref());
    transfer == Some(server) || released == Some(server)
}

/// Why `first` has its turn before `second`.
fn before(record: &ClusterRecord, first: &Ranked, second: &Ranked) -> String {
    if is_named(record, &first.server) && !is_named(record, &second.server) {
        return "a person has chosen it".to_owned();
    }
    if first.proof == Proof::EndOfWal && second.proof != Proof::EndOfWal {
        return "it has the former primary's log to its end".to_owned();
    }
    let (Some(a), Some(b)) = (rank(record, &first.server), rank(record, &second.server)) else {
        return "it was ranked first".to_owned();
    };
    if a.elsewhere != b.elsewhere {
        return "it stands at the former primary's site".to_owned();
    }
    if a.priority != b.priority {
        return format!("its site's priority is {}, the other's {}", a.priority, b.priority);
    }
    if a.log != b.log {
        return format!("its log ends at {}, the other's at {}", a.log.0, b.log.0);
    }
    "by name, all else being equal".to_owned()
}

fn proof_in_words(proof: Proof) -> &'static str {
    match proof {
        Proof::EndOfWal => "it has everything up to the end of the former primary's log",
        Proof::Quorum => "enough voters have promised, and it has or fetches all that they have",
        Proof::LagBound => "what it lacks of the last position told is within the bound",
        Proof::AcceptedLoss => "a person has accepted what may be missing",
    }
}

fn why_not(record: &ClusterRecord, server: &ServerName, gates: &[Gate]) -> String {
    let holds = record.lease.as_ref().is_some_and(|l| l.holder == *server);
    match gates.iter().find(|gate| !gate.ok) {
        Some(gate) if gate.name == "report" && holds => {
            "it held the lease, and has not come back as a standby".to_owned()
        }
        Some(gate) if gate.name == "report" => {
            "no report came: it is down, cut off, not ready, or has left the cluster's line".to_owned()
        }
        Some(gate) => format!("{}: {}, must be {}", gate.name, gate.observed, gate.limit),
        None => "it was not ranked".to_owned(),
    }
}

const UNKNOWN: &str = "unknown";

/// Every gate of one member. All are open exactly when it may take over.
fn gates(record: &ClusterRecord, server: &ServerName, member: &Member, proof: Option<Proof>) -> Vec<Gate> {
    let report = record.valid_reports().find(|(s, _)| *s == server).map(|(_, report)| report);
    let position = report.and_then(|own| after_fetch(record, own));
    let known = record.holder().is_none() || !record.strangers.contains_key(server);
    let mut gates = vec![
        Gate::new("promotable", if member.promotable { "yes" } else { "no" }, "yes", member.promotable),
        Gate::new(
            "member",
            if known { "since before the last renewal" } else { "since after the last renewal" },
            "known to the former primary",
            known,
        ),
        report_gate(record, report),
        line_gate(record, report),
        log_gate(record, server, report, position),
    ];
    match proof {
        Some(Proof::EndOfWal) => gates.push(end_gate(record, position)),
        Some(Proof::AcceptedLoss) => gates.push(accepted_gate(record, server, report)),
        Some(Proof::Quorum | Proof::LagBound) | None => {
            gates.extend(if record.sync.durability.is_synchronous() {
                quorum_gates(record, server)
            } else {
                vec![loss_gate(record, position)]
            });
            gates.push(wanted_gate(record, server));
        }
    }
    gates
}

/// Where a candidate takes over: with its own log, or with the best that was reported.
fn after_fetch<'a>(record: &'a ClusterRecord, own: &'a Report) -> Option<&'a Position> {
    let (_, best) = most_log(record)?;
    Some(takes_over_at(record, own, best))
}

fn report_gate(record: &ClusterRecord, report: Option<&Report>) -> Gate {
    let (term, seq) = record.lease.as_ref().map_or_else(Default::default, |l| (l.term, l.seq));
    let observed = report.map_or_else(
        || "none".to_owned(),
        |r| format!("{} on timeline {}", r.position.flushed, r.position.lineage.current()),
    );
    Gate::new("report", observed, format!("for term {term}, renewal {seq}"), report.is_some())
}

fn line_gate(record: &ClusterRecord, report: Option<&Report>) -> Gate {
    let standing = report.and_then(|r| record.standing(&r.position));
    let (observed, ok) = match (report, standing) {
        (None, _) => (UNKNOWN, false),
        (Some(_), None | Some(Standing::InForce)) => ("on the cluster's line", true),
        (Some(_), Some(Standing::Unrecorded)) => ("beyond it, by a promotion that is not on record", true),
        (Some(_), Some(Standing::Diverged)) => ("has left the cluster's line", false),
    };
    Gate::new("line", observed, "on the cluster's line", ok)
}

fn log_gate(
    record: &ClusterRecord,
    server: &ServerName,
    report: Option<&Report>,
    position: Option<&Position>,
) -> Gate {
    let limit = "all that was reported, or somebody to fetch it from";
    let (Some(own), Some(position), Some((source, best))) = (report, position, most_log(record)) else {
        return Gate::new("log", UNKNOWN, limit, false);
    };
    let complete = *position == own.position;
    let contains = record.prove_contains_reports(server, position).is_ok();
    let observed = match missing(&own.position, &best.position) {
        _ if complete && contains => "complete".to_owned(),
        _ if complete => format!("to the former primary's end; `{source}` has more on another branch"),
        Some(bytes) => format!("lacks {bytes} bytes, which `{source}` has"),
        None => format!("on another branch than `{source}`, which has more"),
    };
    Gate::new("log", observed, limit, contains || (complete && record.has_end_of_wal(position)))
}

fn end_gate(record: &ClusterRecord, position: Option<&Position>) -> Gate {
    let end = record.lease.as_ref().and_then(|l| l.released.as_ref()).and_then(|r| r.end.as_ref());
    let lacks = position.zip(end).and_then(|(position, end)| missing(position, end));
    let observed = lacks.map_or_else(|| UNKNOWN.to_owned(), |bytes| format!("lacks {bytes} bytes"));
    let limit = end.map_or_else(|| UNKNOWN.to_owned(), |end| format!("everything up to {}", end.flushed));
    Gate::new("end of the log", observed, limit, lacks == Some(0))
}

fn accepted_gate(record: &ClusterRecord, server: &ServerName, report: Option<&Report>) -> Gate {
    let position = report.map(|own| position_if_named(record, &own.position));
    let position = position.as_ref();
    let accepted = match record.transfer.as_ref().map(|t| t.kind) {
        Some(TransferKind::Failover { accept_data_loss_bytes }) => accept_data_loss_bytes,
        Some(TransferKind::Switchover) | None => 0,
    };
    let ok = position.is_some_and(|p| record.prove(server, p, Proof::AcceptedLoss, Rules::default()).is_ok());
    let observed = position.map(|p| in_bytes(record.lost_from(p))).unwrap_or_else(|| UNKNOWN.to_owned());
    Gate::new("accepted loss", observed, format!("{accepted} bytes, said by a person"), ok)
}

fn quorum_gates(record: &ClusterRecord, server: &ServerName) -> Vec<Gate> {
    let votes = |s: &ServerName| s != server && record.sync.voters.contains(s);
    let have = record.valid_reports().filter(|(s, _)| votes(s)).count();
    let need = record.reports_needed(server);
    let degraded = record.sync.degraded;
    let in_force = if degraded { "fallen back: nobody is known to have everything" } else { "in force" };
    vec![
        Gate::new("synchronous set", in_force, "in force", !degraded),
        Gate::new("promises", format!("{have} other voters"), format!("{need} or more"), have >= need),
    ]
}

fn loss_gate(record: &ClusterRecord, position: Option<&Position>) -> Gate {
    debug_assert_eq!(record.sync.durability, Durability::Async);
    let ok = position.is_some_and(|p| record.prove_missing_at_most(p, record.lag_bytes_max).is_ok());
    let limit = format!("{} bytes of what the primary told last", record.lag_bytes_max);
    Gate::new("loss", lost(record, position), limit, ok)
}

fn lost(record: &ClusterRecord, position: Option<&Position>) -> String {
    match (position, &record.position) {
        (None, _) => UNKNOWN.to_owned(),
        (Some(_), None) => "none: the primary told no position".to_owned(),
        (Some(position), Some(last)) => in_bytes(record.lacks(position, last)),
    }
}

fn in_bytes(lost: Option<u64>) -> String {
    lost.map_or_else(|| "another branch".to_owned(), |bytes| format!("{bytes} bytes"))
}

fn wanted_gate(record: &ClusterRecord, server: &ServerName) -> Gate {
    let named = record.transfer.as_ref().is_some_and(|t| t.to.as_ref() == Some(server));
    let wanted = record.prove_wanted(server);
    let observed = match &wanted {
        Ok(()) if named => "named by a person".to_owned(),
        Ok(()) if record.automatic == Automatic::Allowed => "on".to_owned(),
        Ok(()) => "off here, but it held the lease itself".to_owned(),
        Err(Rejection::Paused) => {
            let by = record.pause.as_ref().map_or("", |p| p.by.as_str());
            format!("paused by {by}")
        }
        Err(rejection) => rejection.to_string(),
    };
    Gate::new("automatic failover", observed, "on, or named by a person", wanted.is_ok())
}
