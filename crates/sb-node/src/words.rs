//! The failover machine's journal entries in words for people.

use std::collections::BTreeSet;

use sb_failover::record::Durability;
use sb_failover::{Candidate, FailsafeRefusal, Gate, JournalEntry, Judgement, PaceReason, Seq, State};
use sb_pgtypes::Position;
use sb_topology::ServerName;

use crate::journal::Entry;

/// An entry as the journal writes it down.
#[must_use]
pub fn entry(entry: &JournalEntry) -> Entry {
    match entry {
        JournalEntry::Moved { from, trigger, to } => {
            Entry::new("machine.moved", format!("from {from} to {to}")).detail(format!("{trigger:?}"))
        }
        JournalEntry::Detected { holder, term, seq } => detected(holder, *seq).term(term.get()),
        JournalEntry::Frozen { term, position } => frozen(position).term(term.get()),
        JournalEntry::Fetching { source, until } => fetching(source, until),
        JournalEntry::Elected { term, from } => {
            let message = format!("this server holds the lease that `{from}` held");
            Entry::new("failover.elected", message).term(term.get())
        }
        JournalEntry::Promoted { term, lineage } => Entry::new("postgres.promoted", "PostgreSQL is primary")
            .term(term.get())
            .detail(format!("On timeline {}.", lineage.current())),
        JournalEntry::Open { term } => Entry::new("clients.open", "clients may write").term(term.get()),
        JournalEntry::PostgresGone { term } => {
            Entry::new("postgres.gone", "PostgreSQL ended without having been asked to").term(term.get())
        }
        JournalEntry::Fenced { term } => {
            Entry::new("fence.proven", "no process of PostgreSQL is left").term(term.get())
        }
        JournalEntry::Released { term, to } => released(to.as_ref()).term(term.get()),
        JournalEntry::Following { upstream, term } => {
            Entry::new("postgres.following", format!("this server follows `{upstream}`")).term(term.get())
        }
        JournalEntry::Repairing { source } => {
            Entry::new("repair.begun", format!("this server's copy is brought in line with `{source}`"))
        }
        JournalEntry::Draining { to } => {
            Entry::new("switchover.draining", format!("PostgreSQL is shut down to hand over to `{to}`"))
        }
        JournalEntry::Refused { reason } => {
            Entry::new("failover.refused", "nobody may take over by itself").detail(reason.clone())
        }
        JournalEntry::Rejected { reason } => {
            Entry::new("store.rejected", "the record refused a proposal").detail(reason.to_string())
        }
        JournalEntry::FailsafeHolds { term } => {
            Entry::new("failsafe.holds", ON_WITHOUT_THE_STORE).term(term.get())
        }
        JournalEntry::FailsafeRefused { by, reason } => failsafe_refused(by, reason),
        JournalEntry::FailsafeEnded { term } => {
            Entry::new("failsafe.ended", "the store takes renewals again").term(term.get())
        }
        JournalEntry::LeaseLength { before_ms, ttl_ms, why } => lease_length(*before_ms, *ttl_ms, *why),
        JournalEntry::FellBack { term, silent } => fell_back(silent).term(term.get()),
        JournalEntry::SetFormed { term, number, voters } => {
            let message = format!("commits wait for {number} of {} standbys", voters.len());
            Entry::new("durability.formed", message).term(term.get()).detail(names(voters))
        }
        JournalEntry::PromiseChanged { wanted, number } => asked_for(*wanted, *number),
        JournalEntry::Opening { term } => {
            Entry::new("clients.opening", "clients are about to be let in").term(term.get())
        }
        JournalEntry::DeadlinePassed { term, ago_ms, lead_ms } => {
            deadline_passed(*ago_ms, *lead_ms).term(term.get())
        }
        JournalEntry::Claiming { term, own, told, missing_bytes, silent_ms } => {
            claiming(own, told.as_ref(), *missing_bytes, *silent_ms).term(term.get())
        }
        JournalEntry::Judged(judgement) => judged(judgement),
        JournalEntry::OperationFailed { operation, detail } => {
            Entry::new("operation.failed", format!("{operation} did not succeed; it is tried again"))
                .detail(detail.clone())
        }
    }
}

const ON_WITHOUT_THE_STORE: &str =
    "the primary goes on without the store: every server that could take over has promised not to";

fn failsafe_refused(by: &ServerName, reason: &FailsafeRefusal) -> Entry {
    Entry::new("failsafe.refused", format!("`{by}` does not promise to hold back")).detail(reason.to_string())
}

fn judged(judgement: &Judgement) -> Entry {
    let term = judgement.term.next().get();
    let detail = judgement.candidates.iter().map(|c| format!("`{}` {}", c.server, c.why));
    Entry::new("failover.judged", judgement.verdict.clone())
        .term(term)
        .detail(detail.collect::<Vec<_>>().join("; "))
        .judgement(sb_api::Judgement {
            term,
            holder: judgement.holder.to_string(),
            renewal: judgement.seq.get(),
            by: String::new(),
            at: String::new(),
            winner: judgement.winner.as_ref().map(ToString::to_string),
            verdict: judgement.verdict.clone(),
            candidates: judgement.candidates.iter().map(candidate).collect(),
        })
}

/// A candidate as the API shows it.
#[must_use]
pub fn candidate(candidate: &Candidate) -> sb_api::Candidate {
    sb_api::Candidate {
        server: candidate.server.to_string(),
        place: candidate.place.and_then(|place| u64::try_from(place).ok()),
        why: Some(candidate.why.clone()),
        gates: candidate.gates.iter().map(gate).collect(),
    }
}

/// A gate as the API shows it.
#[must_use]
pub fn gate(gate: &Gate) -> sb_api::Gate {
    sb_api::Gate {
        name: gate.name.clone(),
        observed: gate.observed.clone(),
        limit: gate.limit.clone(),
        ok: gate.ok,
    }
}

fn lease_length(before_ms: u64, ttl_ms: u64, why: PaceReason) -> Entry {
    let message = format!("the lease is {ttl_ms} ms long now, it was {before_ms} ms");
    Entry::new("lease.length", message).detail(format!("{why}. A failover waits for this long."))
}

fn deadline_passed(ago_ms: u64, lead_ms: u64) -> Entry {
    Entry::new("lease.ended", "no renewal counted before the deadline: PostgreSQL is ended")
        .detail(format!("The deadline passed {ago_ms} ms ago; the lease itself ends {lead_ms} ms after it."))
}

fn detected(holder: &ServerName, seq: Seq) -> Entry {
    Entry::new("failover.detected", format!("`{holder}` no longer renews its lease"))
        .detail(format!("The last renewal was {seq}."))
}

fn frozen(position: &Position) -> Entry {
    Entry::new("failover.frozen", "this server takes nothing more from the primary")
        .detail(format!("It stands at {}.", place(position)))
}

fn fetching(source: &ServerName, until: &Position) -> Entry {
    Entry::new("failover.fetching", format!("this server fetches from `{source}` what it lacks"))
        .detail(format!("Up to {}.", place(until)))
}

fn released(to: Option<&ServerName>) -> Entry {
    let message = match to {
        Some(to) => format!("the lease was given back for `{to}`"),
        None => "the lease was given back".to_owned(),
    };
    Entry::new("lease.released", message)
}

fn claiming(own: &Position, told: Option<&Position>, missing_bytes: Option<u64>, silent_ms: u64) -> Entry {
    let missing = match missing_bytes {
        Some(0) => "all of that is here".to_owned(),
        Some(bytes) => format!("{bytes} bytes of that are missing here"),
        None => "how much of that is here cannot be said".to_owned(),
    };
    let (own, told) = (place(own), told.map_or("nothing".to_owned(), place));
    Entry::new("failover.claiming", "this server asks for the lease").detail(format!(
        "It stands at {own}. The primary's last word, {silent_ms} ms ago, was {told}: {missing}. What it confirmed \
         after that word is not known."
    ))
}

fn fell_back(silent: &BTreeSet<ServerName>) -> Entry {
    let who = if silent.is_empty() { "no synchronous standby".to_owned() } else { names(silent) };
    Entry::new("durability.fell_back", "commits wait for no other server: too few answered")
        .detail(format!("Silent: {who}. No server takes over by itself until a set has formed again."))
}

fn asked_for(wanted: Durability, number: usize) -> Entry {
    let wanted = format!("{wanted:?}").to_lowercase();
    let message = format!("the durability asked for is `{wanted}`");
    Entry::new("durability.asked", message).detail(format!("On {number} other servers."))
}

/// A state in one lower-case word.
#[must_use]
pub fn state(state: State) -> String {
    state.to_string().to_lowercase()
}

fn names(servers: &BTreeSet<ServerName>) -> String {
    servers.iter().map(|server| format!("`{server}`")).collect::<Vec<_>>().join(", ")
}

fn place(position: &Position) -> String {
    format!("{} on timeline {}", position.flushed, position.lineage.current())
}
