//! Where no server takes over by itself: two sites, or an even number of voters.

use sb_failover::elect;
use sb_failover::record::{Automatic, MESH_BYTES_MAX, Report};
use sb_topology::NotAutomatic;

use crate::bench::*;

const TWO_SITES: NotAutomatic = NotAutomatic::FewSites { sites: 2 };

/// The other server leads; no server takes over by itself.
fn manual() -> ClusterRecord {
    ClusterRecord { automatic: Automatic::Refused(TWO_SITES), ..founded_by("other") }
}

fn transfer_to(server: &str) -> Transfer {
    let kind = TransferKind::Failover { accept_data_loss_bytes: 0 };
    Transfer { id: TransferId(1), to: Some(name(server)), kind, by: "root".into() }
}

/// The lease has ended, and our server has frozen.
fn frozen() -> Bench {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = manual();
    let mut bench = bench.begin();
    bench.later(20_000);
    bench.is(State::Frozen);
    bench
}

#[test]
fn nobody_takes_over_where_a_person_must_say_who() {
    let bench = frozen();
    assert_eq!(bench.record.term(), FIRST);
    assert!(bench.issued("Propose").len() < 100, "it does not ask in vain for ever");
    let next = bench.machine.explain(bench.now).next;
    assert_eq!(next, "a person must name the next primary: sb-cli failover --to SERVER");
}

#[test]
fn a_named_server_takes_over_with_an_ordinary_proof() {
    let mut bench = frozen();
    bench.record.apply(&Request::RequestTransfer { transfer: transfer_to("us") }).unwrap();
    bench.show();
    bench.later(500);
    bench.is(State::Leading);
}

#[test]
fn the_record_refuses_a_takeover_that_nobody_asked_for() {
    for (durability, proof) in [(Durability::Async, Proof::LagBound), (Durability::Strict, Proof::Quorum)] {
        let mut record = manual();
        let number = usize::from(durability.is_synchronous());
        record.sync = SyncRecord::founding(durability, number, name("other"), FIRST);
        let lease = record.lease.clone().unwrap();
        let report = Report { term: lease.term, seq: lease.seq, position: position(9_000) };
        record.reports.insert(name("us"), report);
        let takeover = Request::Takeover {
            by: name("us"),
            incarnation: Incarnation::new(1),
            expect_term: lease.term,
            expect_seq: lease.seq,
            renewal: RenewalNumber::default(),
            ttl_ms: 3_500,
            position: position(9_000),
            proof,
        };
        assert_eq!(record.apply(&takeover), Err(Rejection::NotAutomatic { reason: TWO_SITES }), "{proof:?}");
        assert!(matches!(elect(&record), sb_failover::Election::Blocked(Some(_))));
        record.transfer = Some(transfer_to("us"));
        let refused = record.apply(&takeover);
        assert!(!matches!(refused, Err(Rejection::NotAutomatic { .. })), "{proof:?}: {refused:?}");
    }
}

#[test]
fn the_end_of_the_old_primarys_log_needs_no_person() {
    let mut bench = Bench::joiner(Phase::Standby, Role::Standby);
    bench.record = manual();
    let mut bench = bench.begin();
    let release = Request::Release {
        holder: name("other"),
        incarnation: Incarnation::new(1),
        term: FIRST,
        renewal: RenewalNumber { session: Session::new(1), count: 1 },
        end: Some(position(1_000)),
        to: Some(name("us")),
    };
    bench.record.apply(&release).unwrap();
    bench.show();
    bench.later(500);
    bench.is(State::Leading);
}

#[test]
fn the_holder_that_gave_its_lease_back_takes_it_again_by_itself() {
    let mut bench = Bench::leader();
    bench.record.automatic = Automatic::Refused(TWO_SITES);
    bench.failing.push("StartPrimary");
    let mut bench = bench.begin();
    bench.later(8_000);
    bench.took(State::Fencing, Trigger::ProvenGiveBack);
    bench.failing.clear();
    bench.later(20_000);
    bench.is(State::Leading);
    assert_eq!(bench.record.term(), FIRST.next());
}

#[test]
fn the_topology_in_force_says_whether_failover_is_automatic() {
    let mut record = manual();
    let topology = |expect_generation, automatic| Request::SetTopology {
        expect_generation,
        document: String::new(),
        automatic,
    };
    record.apply(&topology(0, Automatic::Allowed)).unwrap();
    assert_eq!(record.automatic, Automatic::Allowed);
    record.apply(&topology(1, Automatic::Refused(TWO_SITES))).unwrap();
    assert_eq!(record.automatic, Automatic::Refused(TWO_SITES));
}

#[test]
fn what_is_agreed_about_the_mesh_is_replaced_only_by_who_knows_it() {
    let mut record = manual();
    let mesh = |expect_generation, document: &str| Request::SetMesh {
        expect_generation,
        document: document.to_owned(),
    };
    record.apply(&mesh(0, "a")).unwrap();
    assert_eq!(record.apply(&mesh(0, "b")), Err(Rejection::MeshMoved { generation: 1 }));
    let too_long = "x".repeat(MESH_BYTES_MAX + 1);
    assert_eq!(record.apply(&mesh(1, &too_long)), Err(Rejection::OutOfBounds));
    assert_eq!((record.mesh.generation, record.mesh.document.as_str()), (1, "a"));
}
