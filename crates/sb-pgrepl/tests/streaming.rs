//! From nothing to a promoted standby, on real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod cluster;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cluster::{Cluster, SOON, desired, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sb_pgrepl::{
    ClientAccess, Observation, Observer, Role, ShutdownMode, Silence, SqlError, StartRole, SyncStandbys,
    Upstream,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_streams_and_takes_over_on_a_new_timeline() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    cluster.join(&b, &a).await;
    a.sql("INSERT INTO marks VALUES (1)");
    b.has_everything_of(&a).await;
    assert_eq!(b.sql("SELECT n FROM marks"), "1");

    let flushed = a.status().await.position.unwrap().flushed;
    let (timeline, end) = b.instance.source_position(&a.upstream_for(&b), SOON).await.unwrap();
    assert_eq!(timeline.get(), 1);
    assert!(end >= flushed, "{end} {flushed}");
    let standby = a.instance.source_position(&b.upstream_for(&a), SOON).await.unwrap_err();
    assert!(matches!(standby, SqlError::Query { .. }), "{standby:?}");

    a.stop(ShutdownMode::Fast).await;
    let end = a.instance.end_of_wal().await.unwrap();
    eventually("the standby has the shutdown checkpoint", || async {
        b.status().await.position.is_some_and(|position| position.contains(&end))
    })
    .await;
    let frozen = b.instance.freeze(SOON).await.unwrap();
    assert_eq!(frozen, end, "the end of WAL is exactly what the standby has flushed");

    let promoted = b.promote(2).await;
    assert_eq!(promoted.lineage.current().get(), 2);
    assert_eq!(promoted.lineage.forks()[0].at, end.flushed);
    assert!(promoted.contains(&end));
    assert_eq!(b.status().await.role, Role::Primary);
    b.sql("INSERT INTO marks VALUES (2)");
    let again = b.promote(2).await;
    assert_eq!(again.lineage, promoted.lineage, "a repeated promotion is none");

    // What a stopped server says of itself agrees with what it said while it ran.
    b.stop(ShutdownMode::Fast).await;
    let on_disk = b.instance.position_on_disk().await.unwrap().unwrap();
    assert_eq!(on_disk, b.instance.end_of_wal().await.unwrap());
    assert_eq!(on_disk.lineage, promoted.lineage);
    b.start_as(&StartRole::Primary, &desired()).await;
    assert_eq!(b.sql("SELECT count(*) FROM marks"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_of_a_client_lives_through_a_promotion() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    cluster.join(&b, &a).await;
    b.has_everything_of(&a).await;
    // It waits for the promotion, to write then.
    let writes = "DO $$ BEGIN WHILE pg_is_in_recovery() LOOP PERFORM pg_sleep(0.01); END LOOP; END $$;
                  INSERT INTO marks VALUES (13)";
    let mut client = b.psql(writes).stderr(Stdio::null()).spawn().unwrap();
    eventually("the client is in", || async {
        b.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%VALUES (13)' AND pid <> pg_backend_pid()")
            == "1"
    })
    .await;
    let mut observer = Observer::new(b.instance.clone());
    assert!(observer.observe(SOON).await.status().is_some());
    let own = "SELECT pid FROM pg_stat_activity WHERE application_name = 'sb-agent'";
    let watching = b.sql(own);
    b.instance.freeze(SOON).await.unwrap();

    assert_eq!(b.instance.end_client_sessions(SOON).await.unwrap(), 1);
    assert!(!client.wait().unwrap().success(), "it was ended");
    b.promote(2).await;
    assert_eq!(b.sql("SELECT count(*) FROM marks"), "0");
    assert_eq!(b.sql(own), watching, "the agent's own session was spared");
    assert_eq!(b.instance.end_client_sessions(SOON).await.unwrap(), 0, "nobody is left");
}

/// Nobody shows who is still proving its identity; that client would come in by the rules of before.
#[tokio::test(flavor = "multi_thread")]
async fn nor_one_that_had_only_knocked_when_the_door_was_closed() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    cluster.join(&b, &a).await;
    let mut client = TcpStream::connect(("127.0.0.1", b.instance.config().port)).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    // PostgreSQL's answer to a request for TLS (message formats: SSLRequest): it has a process now, and waits for more.
    client.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).unwrap();
    let mut answer = [0];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"S");
    b.instance.freeze(SOON).await.unwrap();
    let closed = desired().with_client_access(ClientAccess::Closed);
    b.instance.configure(&closed).await.unwrap();
    b.instance.end_client_sessions(SOON).await.unwrap();
    let rest = client.read(&mut answer);
    assert!(
        matches!(rest, Ok(0)) || rest.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset),
        "it is gone"
    );
    b.promote(2).await;
    assert_eq!(b.sql("SHOW transaction_read_only"), "off");
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_a_promoted_server_wait_for_standbys_that_were_set_before() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    cluster.join(&b, &a).await;
    b.has_everything_of(&a).await;
    b.instance.freeze(SOON).await.unwrap();
    let sync = SyncStandbys { count: 1, members: vec![a.name.clone()] };
    let unproven = b.instance.set_sync_standbys(&sync, SOON).await.unwrap();
    assert_eq!(unproven.loaded_at, None);
    b.promote(2).await;
    b.instance.prove_commits_wait(SOON).await.unwrap();
    let log = std::fs::read_to_string(b.instance.config().log_dir.join("startup.log")).unwrap();
    assert!(
        !log.contains("checkpoint starting: immediate force"),
        "it was proven without a checkpoint: {log}"
    );

    let mut writer = b.psql("INSERT INTO marks VALUES (1)").spawn().unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    eventually("its commit waits", || async { b.sql(waiting) == "1" }).await;
    let nobody = SyncStandbys::default();
    b.instance.set_sync_standbys(&nobody, SOON).await.unwrap();
    assert!(writer.wait().unwrap().success());
    b.instance.prove_commits_wait(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_standby_does_not_move_though_a_reader_held_up_its_replay() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    cluster.join(&b, &a).await;
    b.has_everything_of(&a).await;
    // A reader's lock on the table, and a change of the table that replay cannot make until it is gone.
    let mut reader = b.psql("SELECT count(*) FROM marks; SELECT pg_sleep(100)");
    let mut reader = reader.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("the reader sleeps", || async {
        b.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1"
    })
    .await;
    a.sql("ALTER TABLE marks ADD m int");
    eventually("replay is held up", || async { b.status().await.replay_blocked }).await;
    assert_eq!(b.status().await.receiver.map(|r| r.status).as_deref(), Some("streaming"));

    let began = Instant::now();
    let frozen = b.instance.freeze(SOON).await.unwrap();
    // The reader would have held it up for `max_standby_streaming_delay`, 30 s.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(!reader.wait().unwrap().success(), "the reader was ended");

    a.sql("INSERT INTO marks SELECT g FROM generate_series(1, 1000) g");
    let status = b.status().await;
    assert_eq!(status.position, Some(frozen.clone()));
    assert_eq!(status.receiver, None);
    assert!(a.status().await.position.unwrap().flushed > frozen.flushed);

    b.instance.follow(&a.upstream_for(&b)).await.unwrap();
    b.has_everything_of(&a).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_holds_also_when_the_receiver_is_just_being_made() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    cluster.join(&b, &a).await;
    for n in 0..10 {
        b.instance.follow(&a.upstream_for(&b)).await.unwrap();
        let frozen = b.instance.freeze(SOON).await.unwrap();
        a.sql(&format!("INSERT INTO marks VALUES ({n})"));
        let status = b.status().await;
        assert_eq!((status.receiver, status.position), (None, Some(frozen)), "round {n}");
        eventually("nobody acknowledges", || async { a.status().await.senders.is_empty() }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_fetches_what_another_standby_has_more() {
    let cluster = Cluster::new();
    let (b, c) = (cluster.server("b"), cluster.server("c"));
    let a = cluster.primary("a", &[&b, &c]).await;
    cluster.join(&b, &a).await;
    cluster.join(&c, &a).await;
    let behind = b.instance.freeze(SOON).await.unwrap();
    a.sql("INSERT INTO marks VALUES (1)");
    c.has_everything_of(&a).await;
    a.stop(ShutdownMode::Immediate).await;
    let ahead = c.instance.freeze(SOON).await.unwrap();
    assert!(ahead.contains(&behind) && ahead != behind);

    let source = Upstream { slot: None, ..c.upstream_for(&b) };
    let fetched = b.instance.fetch(&source, ahead.flushed, SOON).await.unwrap();
    assert!(fetched.contains(&ahead), "{fetched:?} {ahead:?}");
    assert_eq!(b.status().await.receiver, None, "frozen again");
    b.promote(2).await;
    assert_eq!(b.sql("SELECT n FROM marks"), "1");

    // The other one goes along without any repair: it has nothing that the new primary lacks.
    b.instance.reconcile_slots(std::slice::from_ref(&c.name)).await.unwrap();
    c.instance.follow(&b.upstream_for(&c)).await.unwrap();
    b.sql("INSERT INTO marks VALUES (2)");
    c.has_everything_of(&b).await;
    assert_eq!(c.sql("SELECT count(*) FROM marks"), "2");
    let position = c.status().await.position.unwrap();
    assert_eq!(position.lineage.current().get(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_standby_reports_all_that_is_on_its_disk() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    cluster.join(&b, &a).await;
    a.sql("INSERT INTO marks SELECT g FROM generate_series(1, 1000) g");
    b.has_everything_of(&a).await;
    let before = b.instance.freeze(SOON).await.unwrap();
    b.stop(ShutdownMode::Immediate).await;
    assert_eq!(b.instance.position_on_disk().await.unwrap(), Some(before.clone()));

    b.start(&StartRole::Standby(None)).await;
    eventually("it knows its position", || async { b.status().await.position.is_some() }).await;
    assert_eq!(b.status().await.position, Some(before));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_log_cut_off_under_load_is_known_before_it_is_replayed() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    cluster.join(&b, &a).await;
    b.stop(ShutdownMode::Fast).await;
    let switched = b.instance.position_on_disk().await.unwrap().unwrap();
    b.start(&StartRole::Standby(Some(a.upstream_for(&b)))).await;
    eventually("it knows its position", || async { b.status().await.position.is_some() }).await;
    assert!(b.status().await.position.unwrap().contains(&switched), "{switched:?}");
    b.streams_from(&a).await;

    let load = "DO $$ BEGIN FOR i IN 1..100000 LOOP INSERT INTO marks VALUES (i); COMMIT; END LOOP; END $$";
    let mut writer = a.psql(load).stderr(Stdio::null()).spawn().unwrap();
    let start = a.status().await.position.unwrap().flushed;
    eventually("some of it has arrived", || async {
        b.status().await.received.is_some_and(|received| received.bytes_ahead_of(start) > 200_000)
    })
    .await;
    b.stop(ShutdownMode::Immediate).await;
    a.stop(ShutdownMode::Immediate).await;
    assert!(!writer.wait().unwrap().success(), "it was cut off");
    for server in [&a, &b] {
        let end = server.instance.position_on_disk().await.unwrap();
        server.start(&StartRole::Standby(None)).await;
        eventually("its log is replayed", || async { server.status().await.waits_for_wal }).await;
        assert_eq!(server.status().await.position, end, "{}", server.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_server_is_an_observation_within_the_limit() {
    let cluster = Cluster::new();
    let a = cluster.server("a");
    assert_eq!(a.observe().await, Observation::Silent(Silence::NotRunning));
    a.instance.init_db().await.unwrap();
    a.start(&StartRole::Primary).await;
    let mut observer = Observer::new(a.instance.clone());
    assert!(observer.observe(SOON).await.status().is_some());
    let pid = a.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'sb-agent'").parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    let hung = observer.observe(Duration::from_millis(200)).await;
    kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
    assert_eq!(hung, Observation::Silent(Silence::Deadline));
    assert!(observer.observe(SOON).await.status().is_some(), "the next look uses a new session");
    a.stop(ShutdownMode::Fast).await;
    assert_eq!(observer.observe(SOON).await, Observation::Silent(Silence::NotRunning));
    a.start(&StartRole::Primary).await;
    assert!(observer.observe(SOON).await.status().is_some(), "it connects again by itself");
}

/// By itself it would not look again for an hour.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_came_too_early_streams_as_soon_as_it_can() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    b.instance.clone_from(&a.clone_request(&b).await).await.unwrap();
    let mut patient = desired();
    patient.settings.insert("wal_retrieve_retry_interval".to_owned(), "1h".to_owned());
    b.start_as(&StartRole::Standby(None), &patient).await;
    a.stop(ShutdownMode::Fast).await;
    b.instance.follow(&a.upstream_for(&b)).await.unwrap();
    a.start(&StartRole::Primary).await;
    b.instance.hasten_streaming(SOON).await.unwrap();
    b.streams_from(&a).await;
}
