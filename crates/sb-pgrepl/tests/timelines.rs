//! The numbers of timelines: chosen by whoever promotes, and what the files that keep others free mean for everybody else.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod cluster;

use std::os::unix::fs::MetadataExt;

use cluster::{Cluster, SOON, Server, eventually};
use sb_pgrepl::{
    PromoteError, RepairStep, Role, ShutdownMode, SourceFacts, StartRole, TimelineError, Upstream,
    repair_plan,
};

/// The numbers of the history files there.
fn histories(server: &Server) -> Vec<u32> {
    let names = std::fs::read_dir(server.data("pg_wal")).unwrap().map(|it| it.unwrap().file_name());
    let numbers = names
        .filter_map(|name| u32::from_str_radix(name.to_str().unwrap().strip_suffix(".history")?, 16).ok());
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

/// What an agent that was killed just before the promotion itself leaves behind.
fn leave_placeholders(server: &Server, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        let path = server.data("pg_wal").join(format!("{number:08X}.history"));
        std::fs::write(&path, "# kept free\n").unwrap();
        let owner = std::fs::metadata(server.data("pg_wal")).unwrap();
        std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
}

async fn is_on(server: &Server, primary: &Server, timeline: u32) {
    eventually("the standby is on the new timeline and has everything", || async {
        let (own, there) = (server.status().await.position, primary.status().await.position);
        own.zip(there).is_some_and(|(own, there)| {
            own.lineage.current().get() == timeline && own.lineage == there.lineage && own.contains(&there)
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn standbys_and_returned_primaries_and_copies_cross_a_gap_of_numbers() {
    let cluster = Cluster::new();
    let (b, c, late) = (cluster.server("b"), cluster.server("c"), cluster.server("late"));
    let a = cluster.primary("a", &[&b, &c, &late]).await;
    for standby in [&b, &c, &late] {
        cluster.join(standby, &a).await;
        standby.has_everything_of(&a).await;
    }
    late.stop(ShutdownMode::Fast).await;
    b.instance.freeze(SOON).await.unwrap();
    a.stop(ShutdownMode::Immediate).await;

    let promoted = b.promote(5).await;
    let members = [a.name.clone(), c.name.clone(), cluster.server("d").name];
    b.instance.reconcile_slots(&members).await.unwrap();
    b.sql("INSERT INTO marks VALUES (2)");
    assert_eq!(promoted.lineage.forks().len(), 1, "it came from the first: {promoted:?}");
    assert_eq!(histories(&b), [2, 3, 4, 5]);

    c.instance.follow(&b.upstream_for(&c)).await.unwrap();
    is_on(&c, &b, 5).await;

    let facts = b.status().await;
    let source =
        SourceFacts { system_identifier: facts.system_identifier, position: facts.position.unwrap() };
    let plan = repair_plan(&a.instance.local_data().await.unwrap(), &source);
    if let RepairStep::Rewind { fork } = plan {
        let identifier = source.system_identifier;
        a.instance.rewind_from(&b.upstream_for(&a), identifier, fork, SOON).await.unwrap();
    }
    a.start(&StartRole::Standby(Some(b.upstream_for(&a)))).await;
    is_on(&a, &b, 5).await;

    // A copy has the history of its own timeline only, and whoever follows it may come from further back.
    let d = cluster.server("d");
    cluster.join(&d, &b).await;
    is_on(&d, &b, 5).await;
    b.stop(ShutdownMode::Fast).await;
    d.instance.freeze(SOON).await.unwrap();
    assert_eq!(d.promote(8).await.lineage.forks().len(), 2);
    d.instance.reconcile_slots(&[c.name.clone(), late.name.clone()]).await.unwrap();
    d.sql("INSERT INTO marks VALUES (3)");
    c.instance.follow(&d.upstream_for(&c)).await.unwrap();
    is_on(&c, &d, 8).await;
    late.start(&StartRole::Standby(Some(Upstream { slot: None, ..d.upstream_for(&late) }))).await;
    // The log that it needs is not in the copy; that it gets all histories is what is seen here.
    eventually("the late standby has asked for every number", || async { histories(&late).len() == 7 }).await;
    assert_eq!(histories(&d), (2..=8).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_with_numbers_kept_free_follows_another_and_starts_again() {
    let cluster = Cluster::new();
    let (b, c) = (cluster.server("b"), cluster.server("c"));
    let a = cluster.primary("a", &[&b, &c]).await;
    cluster.join(&b, &a).await;
    cluster.join(&c, &a).await;

    leave_placeholders(&b, 2..=4);
    b.stop(ShutdownMode::Immediate).await;
    b.start(&StartRole::Standby(Some(a.upstream_for(&b)))).await;
    b.streams_from(&a).await;
    assert_eq!(histories(&b), [] as [u32; 0]);

    // The same, and it goes on: another is promoted to a later number.
    leave_placeholders(&b, 2..=4);
    c.has_everything_of(&a).await;
    b.instance.freeze(SOON).await.unwrap();
    c.instance.freeze(SOON).await.unwrap();
    a.stop(ShutdownMode::Immediate).await;
    c.promote(6).await;
    c.instance.reconcile_slots(std::slice::from_ref(&b.name)).await.unwrap();
    c.sql("INSERT INTO marks VALUES (2)");
    b.instance.follow(&c.upstream_for(&b)).await.unwrap();
    is_on(&b, &c, 6).await;
    b.stop(ShutdownMode::Immediate).await;
    b.start(&StartRole::Standby(Some(c.upstream_for(&b)))).await;
    is_on(&b, &c, 6).await;
    assert_eq!(histories(&b), [2, 3, 4, 5, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_used_already_is_refused_before_anything_is_changed() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    cluster.join(&b, &a).await;
    let refused = b.instance.promote(1.try_into().unwrap(), SOON).await.unwrap_err();
    assert!(matches!(refused, PromoteError::Timeline(TimelineError::Known { known: 1, .. })), "{refused}");
    assert_eq!(b.status().await.role, Role::Standby);

    b.promote(3).await;
    let other = b.instance.promote(4.try_into().unwrap(), SOON).await.unwrap_err();
    assert!(matches!(other, PromoteError::OtherTimeline { .. }), "it is a primary on 3 already: {other}");
}
