//! Laws of the record and of elections, over arbitrary reports.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use sb_failover::record::{
    Automatic, Durability, Member, Pause, Proof, Released, SyncRecord, Transfer, TransferId, TransferKind,
};
use sb_failover::{
    ClusterRecord, Election, Incarnation, RenewalNumber, Request, Seq, Session, Term, elect, judge,
};
use sb_pgtypes::{Lineage, Lsn, Position, SystemIdentifier, TimelineId};
use sb_topology::{NotAutomatic, ServerName, SiteName};

const FIRST: Term = Term::new(1);

fn name(index: usize) -> ServerName {
    ServerName::new(format!("s{index}")).unwrap()
}

/// `s0` at `site0` was primary and is gone; the others stand at sites of their own, the odd ones with it.
fn record(durability: Durability, servers: usize) -> ClusterRecord {
    let mut record = ClusterRecord::default();
    for index in 0..servers {
        let site = SiteName::new(format!("site{}", index / 2)).unwrap();
        let priority = u32::try_from(index).unwrap() / 2;
        let member = Member {
            incarnation: Incarnation::new(1),
            site,
            priority,
            promotable: true,
            sync_eligible: true,
        };
        record.apply(&Request::Register { server: name(index), member }).unwrap();
    }
    let number = usize::from(durability.is_synchronous());
    let initialize = Request::Initialize {
        by: name(0),
        incarnation: Incarnation::new(1),
        system_identifier: SystemIdentifier::new(1),
        lineage: Lineage::first(),
        renewal: RenewalNumber::default(),
        ttl_ms: 1_000,
        durability,
        number,
        lag_bytes_max: 500,
        automatic: Automatic::Allowed,
    };
    record.apply(&initialize).unwrap();
    record
}

fn renew(count: u64, flushed: u64) -> Request {
    Request::Renew {
        admissions: 0,
        holder: name(0),
        incarnation: Incarnation::new(1),
        term: FIRST,
        renewal: RenewalNumber { session: Session::new(1), count },
        ttl_ms: 1_000,
        position: Some(at(flushed, None)),
    }
}

/// On the first timeline, or on one left for an unrecorded second at `fork`.
fn at(flushed: u64, fork: Option<u64>) -> Position {
    let second = TimelineId::try_from(2).unwrap();
    match fork {
        None => Position { lineage: Lineage::first(), flushed: Lsn::new(flushed) },
        Some(fork) => Position {
            lineage: Lineage::first().forked(Lsn::new(fork), second).unwrap(),
            flushed: Lsn::new(fork + flushed % 50),
        },
    }
}

fn report(record: &ClusterRecord, server: usize, position: Position) -> Request {
    let seq = record.lease.as_ref().map_or(Seq::default(), |l| l.seq);
    Request::Report { server: name(server), incarnation: Incarnation::new(1), term: FIRST, seq, position }
}

fn positions() -> impl Strategy<Value = Vec<Option<(u64, Option<u64>)>>> {
    prop::collection::vec(prop::option::of((1_u64..2_000, prop::option::weighted(0.2, 1_u64..2_000))), 2..6)
}

fn takeover(record: &ClusterRecord, by: &ServerName, position: Position, proof: Proof) -> Request {
    Request::Takeover {
        by: by.clone(),
        incarnation: Incarnation::new(1),
        expect_term: FIRST,
        expect_seq: record.lease.as_ref().unwrap().seq,
        renewal: RenewalNumber::default(),
        ttl_ms: 1_000,
        position,
        proof,
    }
}

/// A settled set of some of `s1` to `s5`, a commit that `number` of them have, and reports of some servers; the others
/// have flushed less by what `behind` says.
fn confirmed_by_voters(
    behind: &[u64],
    votes: &[bool],
    number: usize,
    acknowledging: &prop::sample::Index,
    reports: &[bool],
) -> (ClusterRecord, Lsn) {
    const COMMIT: u64 = 1_000;
    let mut record = record(Durability::Strict, 6);
    record.apply(&renew(1, COMMIT)).unwrap();
    let voters: Vec<usize> = (1..=5).filter(|s| votes[s - 1] && *s != 1).collect();
    if voters.len() < number {
        return (record, Lsn::new(COMMIT));
    }
    let expect = SyncRecord { number, ..record.sync.clone() };
    record.sync = expect.settled(FIRST, name(0), voters.iter().copied().map(name).collect());
    let first = acknowledging.index(voters.len());
    let witnesses: Vec<usize> = voters.iter().cycle().skip(first).take(number).copied().collect();
    for server in (1..=5).filter(|s| reports[s - 1]) {
        let lag = if witnesses.contains(&server) { 0 } else { behind[server - 1] };
        let request = report(&record, server, at(COMMIT - lag, None));
        record.apply(&request).unwrap();
    }
    (record, Lsn::new(COMMIT))
}

fn reported(durability: Durability, given: &[Option<(u64, Option<u64>)>]) -> ClusterRecord {
    let mut record = record(durability, given.len() + 1);
    record.apply(&renew(1, 1_500)).unwrap();
    if durability.is_synchronous() {
        let voters = (2..=given.len()).map(name).collect();
        let expect = record.sync.clone();
        let sync: SyncRecord = expect.settled(FIRST, name(0), voters);
        let (holder, incarnation) = (name(0), Incarnation::new(1));
        let _ = record.apply(&Request::SetSync { holder, incarnation, term: FIRST, expect, sync });
    }
    for (index, given) in given.iter().enumerate() {
        if let Some((flushed, fork)) = given {
            let request = report(&record, index + 1, at(*flushed, *fork));
            record.apply(&request).unwrap();
        }
    }
    record
}

/// Something beside the reports that an election goes by.
fn befall(record: &mut ClusterRecord, circumstance: u8, server: &ServerName) {
    let transfer = |kind| Transfer { id: TransferId(1), to: Some(server.clone()), kind, by: "ada".into() };
    match circumstance {
        0 => {}
        1 => record.pause = Some(Pause { id: 1, for_ms: 1_000, by: "ada".into(), reason: String::new() }),
        2 => record.transfer = Some(transfer(TransferKind::Failover { accept_data_loss_bytes: 800 })),
        3 => {
            record.strangers.insert(server.clone(), 1);
        }
        4 | 5 => {
            let own = record.reports.get(server).filter(|_| circumstance == 5).map(|r| r.position.clone());
            let end = own.or_else(|| record.position.clone());
            let released = Released { end, to: Some(server.clone()) };
            record.lease.as_mut().unwrap().released = Some(released);
        }
        _ => {
            record.members.get_mut(server).unwrap().promotable = false;
            record.automatic = Automatic::Refused(NotAutomatic::EvenVoters { voters: 2 });
        }
    }
}

proptest! {
    #[test]
    fn whoever_is_elected_can_take_over_with_what_it_has_or_fetches(
        given in positions(),
        synchronous in any::<bool>(),
    ) {
        let durability = if synchronous { Durability::Sync } else { Durability::Async };
        let record = reported(durability, &given);
        if let Election::Decided(ranked) = elect(&record) {
            prop_assert!(!ranked.is_empty());
            for candidate in &ranked {
                let own = record.reports[&candidate.server].position.clone();
                let position = candidate.fetch.as_ref().map_or(own, |(_, until)| until.clone());
                let mut after = record.clone();
                let request = takeover(&record, &candidate.server, position, candidate.proof);
                prop_assert_eq!(after.apply(&request), Ok(()));
                prop_assert_eq!(after.term(), FIRST.next());
            }
        }
    }

    /// R6: whoever the voters are, whichever n of them confirmed a commit, whoever reports, and however far anybody
    /// lags: nobody takes over without it, neither by the election's choice nor by proposing it unasked.
    #[test]
    fn no_server_that_lags_behind_a_confirmed_commit_takes_over(
        behind in prop::collection::vec(0_u64..1_000, 5),
        votes in prop::collection::vec(any::<bool>(), 5),
        reports in prop::collection::vec(prop::bool::weighted(0.8), 5),
        number in 1_usize..=3,
        acknowledging in any::<prop::sample::Index>(),
    ) {
        let (record, commit) = confirmed_by_voters(&behind, &votes, number, &acknowledging, &reports);
        prop_assume!(!record.sync.degraded);
        if let Election::Decided(ranked) = elect(&record) {
            for candidate in &ranked {
                let own = record.reports[&candidate.server].position.clone();
                let position = candidate.fetch.as_ref().map_or(own, |(_, until)| until.clone());
                prop_assert!(position.flushed >= commit, "{} at {}", candidate.server, position.flushed);
            }
        }
        for (server, report) in record.valid_reports() {
            let request = takeover(&record, server, report.position.clone(), Proof::Quorum);
            let applied = record.clone().apply(&request).is_ok();
            prop_assert!(!applied || report.position.flushed >= commit, "{server} elected itself");
        }
    }

    /// What people are told is what the election goes by.
    #[test]
    fn all_gates_are_open_exactly_for_those_that_may_take_over(
        given in positions(),
        synchronous in any::<bool>(),
        circumstance in 0..7_u8,
        chosen in any::<prop::sample::Index>(),
    ) {
        let durability = if synchronous { Durability::Sync } else { Durability::Async };
        let mut record = reported(durability, &given);
        let server = name(1 + chosen.index(given.len()));
        befall(&mut record, circumstance, &server);
        let judgement = judge(&record).unwrap();
        prop_assert_eq!(judgement.candidates.len(), record.members.len(), "everybody is named");
        for candidate in &judgement.candidates {
            let open = candidate.gates.iter().all(|gate| gate.ok);
            prop_assert_eq!(open, candidate.place.is_some(), "{:?}", candidate);
            prop_assert!(!candidate.why.is_empty());
        }
        let placed: BTreeSet<_> =
            judgement.candidates.iter().filter(|c| c.place.is_some()).map(|c| c.server.clone()).collect();
        let elected: BTreeSet<_> = match elect(&record) {
            Election::Decided(ranked) => ranked.into_iter().map(|r| r.server).collect(),
            Election::Blocked(_) => BTreeSet::new(),
        };
        prop_assert!(placed.is_superset(&elected));
        let accepted: BTreeSet<_> = placed.difference(&elected).collect();
        let named = record.transfer.as_ref().and_then(|t| t.to.as_ref());
        prop_assert!(accepted.iter().all(|s| Some(*s) == named), "only a person adds a candidate");
    }

    #[test]
    fn a_takeover_after_a_renewal_is_refused(given in positions()) {
        let record = reported(Durability::Async, &given);
        if let Election::Decided(ranked) = elect(&record) {
            let best = &ranked[0];
            let position = record.reports[&best.server].position.clone();
            let request = takeover(&record, &best.server, position, best.proof);
            let mut renewed = record.clone();
            renewed.apply(&renew(2, 1_600)).unwrap();
            let before = renewed.clone();
            prop_assert!(renewed.apply(&request).is_err());
            prop_assert_eq!(before, renewed);
        }
    }

    #[test]
    fn the_order_of_reports_does_not_matter(given in positions()) {
        let forward = reported(Durability::Async, &given);
        let mut backward = reported(Durability::Async, &vec![None; given.len()]);
        for (index, given) in given.iter().enumerate().rev() {
            if let Some((flushed, fork)) = given {
                let request = report(&backward, index + 1, at(*flushed, *fork));
                backward.apply(&request).unwrap();
            }
        }
        prop_assert_eq!(elect(&forward), elect(&backward));
    }

    #[test]
    fn a_renewal_that_comes_again_or_late_changes_nothing(counts in prop::collection::vec(1_u64..20, 1..30)) {
        let mut record = record(Durability::Async, 3);
        let mut newest = 0;
        for count in counts {
            let applied = record.apply(&renew(count, count)).is_ok();
            prop_assert_eq!(applied, count > newest);
            newest = newest.max(count);
        }
    }

    #[test]
    fn a_record_read_again_is_the_same(given in positions()) {
        let record = reported(Durability::Async, &given);
        let json = serde_json::to_string(&record).unwrap();
        prop_assert_eq!(&serde_json::from_str::<ClusterRecord>(&json).unwrap(), &record);
        let bytes = postcard::to_stdvec(&record).unwrap();
        prop_assert_eq!(&postcard::from_bytes::<ClusterRecord>(&bytes).unwrap(), &record);
    }
}

#[test]
fn the_former_site_goes_first_then_priority_then_log_then_name() {
    let record =
        reported(Durability::Async, &[Some((1_400, None)), Some((1_500, None)), Some((1_500, None))]);
    let Election::Decided(ranked) = elect(&record) else { panic!("nobody was elected") };
    let order: Vec<_> = ranked.iter().map(|r| r.server.to_string()).collect();
    assert_eq!(order, ["s1", "s2", "s3"]);
    assert_eq!(ranked[0].fetch, Some((name(2), at(1_500, None))), "it has less, so it fetches first");
}

/// Tucson (`s5`) lags; the others of the set are gone or frozen, and one of them may be the only witness.
#[test]
fn a_lagging_far_site_does_not_elect_itself_while_a_server_with_the_data_lives() {
    let five = [(2, 1_500), (3, 1_500), (4, 1_500), (5, 300)];
    let with = |given: &[(usize, u64)]| {
        let mut record = reported(Durability::Sync, &[None, None, None, None, None]);
        for (server, flushed) in given {
            let request = report(&record, *server, at(*flushed, None));
            record.apply(&request).unwrap();
        }
        elect(&record)
    };
    let Election::Decided(ranked) = with(&five) else { panic!("nobody was elected") };
    assert_eq!(ranked[0].server, name(2), "the preferred server that has everything");
    assert!(ranked.iter().all(|r| r.server != name(5) || r.fetch.is_some()), "it would have to fetch first");
    for missing in 2..=4 {
        let rest: Vec<_> = five.iter().copied().filter(|(server, _)| *server != missing).collect();
        let Election::Blocked(why) = with(&rest) else { panic!("elected without s{missing}") };
        assert!(why.unwrap().to_string().contains("of 3 voters have promised"));
    }
    assert!(matches!(with(&[(5, 300)]), Election::Blocked(Some(_))), "alone");
}

#[test]
fn a_loss_beyond_the_bound_is_refused() {
    let record = reported(Durability::Async, &[Some((900, None)), Some((950, None))]);
    let Election::Blocked(Some(why)) = elect(&record) else { panic!("somebody was elected") };
    assert_eq!(why.to_string(), "550 bytes would be lost, 500 are allowed");
}
