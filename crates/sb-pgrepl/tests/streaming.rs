//! From nothing to a promoted standby, on real PostgreSQL.

mod cluster;

use cluster::{Cluster, SOON, desired, eventually};
use sb_pgrepl::{Role, ShutdownMode, StartRole};

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_streams_and_takes_over_on_a_new_timeline() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    cluster.join(&b, &a).await;
    a.sql("INSERT INTO marks VALUES (1)");
    b.has_everything_of(&a).await;
    assert_eq!(b.sql("SELECT n FROM marks"), "1");

    a.stop(ShutdownMode::Fast).await;
    let end = a.instance.end_of_wal().await.unwrap();
    eventually("the standby has the shutdown checkpoint", || async {
        b.status().await.position.is_some_and(|position| position.contains(&end))
    })
    .await;
    let frozen = b.instance.freeze(SOON).await.unwrap();
    assert_eq!(frozen, end, "the end of WAL is exactly what the standby has flushed");

    let promoted = b.instance.promote(SOON).await.unwrap();
    assert_eq!(promoted.lineage.current().get(), 2);
    assert_eq!(promoted.lineage.forks()[0].at, end.flushed);
    assert!(promoted.contains(&end));
    assert_eq!(b.status().await.role, Role::Primary);
    b.sql("INSERT INTO marks VALUES (2)");
    let again = b.instance.promote(SOON).await.unwrap();
    assert_eq!(again.lineage, promoted.lineage, "a repeated promotion is none");

    // What a stopped server says of itself agrees with what it said while it ran.
    b.stop(ShutdownMode::Fast).await;
    let on_disk = b.instance.position_on_disk().await.unwrap().unwrap();
    assert_eq!(on_disk, b.instance.end_of_wal().await.unwrap());
    assert_eq!(on_disk.lineage, promoted.lineage);
    b.start_as(&StartRole::Primary, &desired()).await;
    assert_eq!(b.sql("SELECT count(*) FROM marks"), "2");
}
