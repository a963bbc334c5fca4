//! Standbys that PostgreSQL does not start any more, though nothing of them is lost.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod cluster;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use cluster::{Cluster, SOON, Server, desired, eventually};
use sb_pgrepl::{
    LocalData, Postmaster, PostmasterState, RepairStep, ShutdownMode, SourceFacts, StartRole, VainStart,
    repair_plan,
};
use sb_pgtypes::{Lsn, Position};

const SEGMENT_BYTES: u64 = 16 << 20;
const PAGE_BYTES: u64 = 8_192;

/// `b` is promoted at the end of `a`'s log, some pages into a segment; `c`, which has the same log, is stopped.
async fn promoted_without(cluster: &Cluster) -> (Server, Server, Position) {
    let (b, c) = (cluster.server("b"), cluster.server("c"));
    let a = cluster.primary("a", &[&b, &c]).await;
    cluster.join(&b, &a).await;
    cluster.join(&c, &a).await;
    a.sql("INSERT INTO marks SELECT generate_series(1, 20000)");
    a.stop(ShutdownMode::Fast).await;
    let end = a.instance.end_of_wal().await.unwrap();
    for standby in [&b, &c] {
        eventually("the standby has the end of the log", || async {
            standby.status().await.position.is_some_and(|position| position.contains(&end))
        })
        .await;
    }
    c.stop(ShutdownMode::Immediate).await;
    b.instance.freeze(SOON).await.unwrap();
    b.promote(2).await;
    b.instance.reconcile_slots(std::slice::from_ref(&c.name)).await.unwrap();
    (b, c, end)
}

/// The segment of `timeline` that holds `at`.
fn segment(server: &Server, timeline: u32, at: Lsn) -> PathBuf {
    server.data("pg_wal").join(format!("{timeline:08X}{:016X}", at.get() / SEGMENT_BYTES))
}

/// Takes what is behind the first `bytes` of a segment away.
fn cut(segment: &PathBuf, bytes: u64) {
    let mut content = std::fs::read(segment).unwrap();
    content[usize::try_from(bytes).unwrap()..].fill(0);
    std::fs::write(segment, content).unwrap();
}

fn give(from: &PathBuf, to: &PathBuf) {
    std::fs::copy(from, to).unwrap();
    let owner = std::fs::metadata(to.parent().unwrap()).unwrap();
    std::os::unix::fs::chown(to, Some(owner.uid()), Some(owner.gid())).unwrap();
}

fn give_history(from: &Server, to: &Server) {
    let name = "pg_wal/00000002.history";
    give(&from.data(name), &to.data(name));
}

/// Leaves `c` as a WAL receiver does that was killed when it had the new timeline's segment up to four pages before the fork.
fn receive_in_part(b: &Server, c: &Server, fork: Lsn) -> PathBuf {
    let torn = segment(c, 2, fork);
    give_history(b, c);
    give(&segment(b, 2, fork), &torn);
    cut(&torn, (fork.get() % SEGMENT_BYTES) / PAGE_BYTES * PAGE_BYTES - 4 * PAGE_BYTES);
    torn
}

/// Starts `server`, which ends by itself. It keeps its log as it does in the field.
async fn start_in_vain(server: &Server, role: &StartRole) {
    let mut desired = desired();
    desired.settings.insert("logging_collector".into(), "on".into());
    let spec = server.instance.prepare_start(role, &desired).await.unwrap();
    server.postmaster.start(&spec).await.unwrap();
    eventually("it has ended by itself", || async {
        matches!(server.postmaster.state().await, PostmasterState::Exited { .. })
    })
    .await;
    server.stop(ShutdownMode::Immediate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_killed_while_it_received_a_new_timelines_first_segment_goes_on() {
    let cluster = Cluster::new();
    let (b, c, end) = promoted_without(&cluster).await;
    let torn = receive_in_part(&b, &c, end.flushed);
    let role = StartRole::Standby(Some(b.upstream_for(&c)));
    start_in_vain(&c, &role).await;
    assert_eq!(c.instance.why_start_was_vain(), Some(VainStart::TornSegment));

    let aside = c.instance.set_torn_segment_aside().await.unwrap().expect("the segment is torn");
    assert!(aside.exists() && !torn.exists());
    assert_eq!(
        c.instance.position_on_disk().await.unwrap().unwrap(),
        end,
        "it has as much as it has ever confirmed"
    );
    assert_eq!(c.instance.set_torn_segment_aside().await.unwrap(), None, "once is enough");

    c.start(&role).await;
    c.streams_from(&b).await;
    b.sql("INSERT INTO marks VALUES (20001)");
    c.has_everything_of(&b).await;
    assert_eq!(c.sql("SELECT count(*) FROM marks"), "20001");
    assert_eq!(c.instance.why_start_was_vain(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_whole_or_has_more_than_the_timeline_before_stays() {
    let cluster = Cluster::new();
    let (b, c, end) = promoted_without(&cluster).await;
    let fork = end.flushed;
    let torn = receive_in_part(&b, &c, fork);
    let before = segment(&c, 1, fork);
    let whole = std::fs::read(&before).unwrap();
    cut(&before, fork.get() % SEGMENT_BYTES / PAGE_BYTES * PAGE_BYTES - 5 * PAGE_BYTES);
    assert_eq!(c.instance.set_torn_segment_aside().await.unwrap(), None, "only it has the last page");
    std::fs::remove_file(&before).unwrap();
    assert_eq!(c.instance.set_torn_segment_aside().await.unwrap(), None, "only it has the log");
    std::fs::write(&before, whole).unwrap();
    give(&segment(&b, 2, fork), &torn);
    assert_eq!(c.instance.set_torn_segment_aside().await.unwrap(), None, "it reaches the fork");
    assert!(torn.exists());
}

/// Its WAL receiver had fetched the history when it was killed, before anybody saw that it had diverged.
#[tokio::test(flavor = "multi_thread")]
async fn a_diverged_standby_that_knows_the_new_timeline_does_not_start_and_is_rewound() {
    let cluster = Cluster::new();
    let (b, c) = (cluster.server("b"), cluster.server("c"));
    let a = cluster.primary("a", &[&b, &c]).await;
    cluster.join(&b, &a).await;
    cluster.join(&c, &a).await;
    b.has_everything_of(&a).await;
    b.instance.freeze(SOON).await.unwrap();
    a.sql("INSERT INTO marks VALUES (13)");
    c.has_everything_of(&a).await;
    c.stop(ShutdownMode::Fast).await;
    a.stop(ShutdownMode::Immediate).await;
    b.promote(2).await;
    b.instance.reconcile_slots(std::slice::from_ref(&c.name)).await.unwrap();
    b.sql("INSERT INTO marks VALUES (2)");
    give_history(&b, &c);
    let role = StartRole::Standby(Some(b.upstream_for(&c)));
    start_in_vain(&c, &role).await;
    assert_eq!(c.instance.why_start_was_vain(), Some(VainStart::Diverged));
    assert_eq!(c.instance.set_torn_segment_aside().await.unwrap(), None);

    let local = c.instance.local_data().await.unwrap();
    assert!(matches!(local, LocalData::Present { .. }), "{local:?}");
    let facts = b.status().await;
    let (system_identifier, position) = (facts.system_identifier, facts.position.unwrap());
    let RepairStep::Rewind { fork } = repair_plan(&local, &SourceFacts { system_identifier, position })
    else {
        panic!("a rewind is planned")
    };
    c.instance.rewind_from(&b.upstream_for(&c), system_identifier, fork, SOON).await.unwrap();
    c.start(&role).await;
    c.streams_from(&b).await;
    c.has_everything_of(&b).await;
    assert_eq!(c.sql("SELECT n FROM marks"), "2");
}
