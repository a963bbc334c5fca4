//! What happens to a data directory that is not in line: rewound, cloned anew, or refused; never lost.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod cluster;

use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster::{Cluster, SOON, Server, desired, eventually};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use sb_pgrepl::{
    CloneError, CloneRequest, DataIdentity, Desired, InitError, Instance, InstanceConfig, LocalData,
    LostWrites, PARKED_DATA_MAX, PARKED_WAL_MAX, PrepareError, RepairStep, RewindError, ShutdownMode,
    SlotName, SourceFacts, StartRole, Unfinished, repair_plan,
};
use sb_pgtypes::{Relation, SystemIdentifier};

async fn plan_for(server: &Server, source: &Server) -> RepairStep {
    let facts = source.status().await;
    let source =
        SourceFacts { system_identifier: facts.system_identifier, position: facts.position.unwrap() };
    repair_plan(&server.instance.local_data().await.unwrap(), &source)
}

/// `a` crashes with a transaction that `b` never got; `b` is promoted and goes on. Returns that transaction's id.
async fn diverge(a: &Server, b: &Server) -> u32 {
    b.has_everything_of(a).await;
    b.instance.freeze(SOON).await.unwrap();
    let xid =
        a.sql("BEGIN; INSERT INTO marks VALUES (13); SELECT pg_current_xact_id(); COMMIT").parse().unwrap();
    a.stop(ShutdownMode::Immediate).await;
    b.promote(2).await;
    b.instance.reconcile_slots(std::slice::from_ref(&a.name)).await.unwrap();
    b.sql("INSERT INTO marks VALUES (2)");
    xid
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_primary_is_rewound_and_its_lost_transaction_is_named() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    cluster.join(&b, &a).await;
    let lost_xid = diverge(&a, &b).await;

    let RepairStep::Rewind { fork } = plan_for(&a, &b).await else { panic!("a rewind is planned") };
    let upstream = b.upstream_for(&a);
    let identifier = b.system_identifier().await;
    let rewound = a.instance.rewind_from(&upstream, identifier, fork, SOON).await.unwrap();

    let parked = rewound.parked.expect("there was diverged WAL");
    let xids: Vec<_> = parked.lost_writes.transactions.iter().map(|t| t.xid).collect();
    assert_eq!(xids, [lost_xid]);
    let report = std::fs::read(parked.directory.join("lost-writes.json")).unwrap();
    assert_eq!(serde_json::from_slice::<LostWrites>(&report).unwrap(), parked.lost_writes);
    assert!(parked.lost_writes.complete);
    assert!(std::fs::read_dir(parked.directory.join("pg_wal")).unwrap().count() > 0, "its segments are kept");

    let as_primary = a.instance.prepare_start(&StartRole::Primary, &desired()).await.unwrap_err();
    assert!(matches!(as_primary, PrepareError::NotAPrimary { .. }), "{as_primary:?}");
    a.start(&StartRole::Standby(Some(upstream))).await;
    a.streams_from(&b).await;
    a.has_everything_of(&b).await;
    assert_eq!(a.sql("SELECT n FROM marks"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_primary_without_lost_wal_just_follows() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    cluster.join(&b, &a).await;
    a.stop(ShutdownMode::Fast).await;
    let end = a.instance.end_of_wal().await.unwrap();
    assert!(b.instance.freeze(SOON).await.unwrap().contains(&end));
    b.promote(2).await;
    b.instance.reconcile_slots(std::slice::from_ref(&a.name)).await.unwrap();
    b.sql("INSERT INTO marks VALUES (2)");

    assert_eq!(plan_for(&a, &b).await, RepairStep::Stream);
    a.start(&StartRole::Standby(Some(b.upstream_for(&a)))).await;
    a.streams_from(&b).await;
    let slots = a.instance.reconcile_slots(&[]).await.unwrap();
    assert_eq!(slots.dropped, [SlotName::for_server(&b.name)], "a standby keeps no WAL for others");
    a.has_everything_of(&b).await;
    assert_eq!(a.sql("SELECT n FROM marks"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_has_more_than_the_new_primary_is_rewound_too() {
    let cluster = Cluster::new();
    let (b, c) = (cluster.server("b"), cluster.server("c"));
    let a = cluster.primary("a", &[&b, &c]).await;
    cluster.join(&b, &a).await;
    cluster.join(&c, &a).await;
    b.instance.freeze(SOON).await.unwrap();
    a.sql("INSERT INTO marks VALUES (13)");
    c.has_everything_of(&a).await;
    a.stop(ShutdownMode::Immediate).await;
    b.promote(2).await;
    b.instance.reconcile_slots(std::slice::from_ref(&c.name)).await.unwrap();
    b.sql("INSERT INTO marks VALUES (2)");

    let whole = c.status().await.whole_records().unwrap();
    assert_eq!(whole.relation(&b.status().await.position.unwrap()), Relation::Diverged);
    c.stop(ShutdownMode::Fast).await;
    let RepairStep::Rewind { fork } = plan_for(&c, &b).await else { panic!("a rewind is planned") };
    let upstream = b.upstream_for(&c);
    let rewound = c.instance.rewind_from(&upstream, b.system_identifier().await, fork, SOON).await.unwrap();
    assert_eq!(rewound.parked.unwrap().lost_writes.transaction_count, 1);
    c.start(&StartRole::Standby(Some(upstream))).await;
    c.streams_from(&b).await;
    c.has_everything_of(&b).await;
    assert_eq!(c.sql("SELECT n FROM marks"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_cut_short_is_never_started_and_is_cloned_anew() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    cluster.join(&b, &a).await;
    diverge(&a, &b).await;
    let RepairStep::Rewind { fork } = plan_for(&a, &b).await else { panic!("a rewind is planned") };
    let identifier = b.system_identifier().await;
    // Too little time for the copy, enough for the checkpoint before it.
    let (upstream, limit) = (b.upstream_for(&a), Duration::from_millis(1));
    b.instance.checkpoint(SOON).await.unwrap();
    let mut error = a.instance.rewind_from(&upstream, identifier, fork, limit).await.unwrap_err();
    let mut limit = limit;
    while matches!(error, RewindError::Source(_)) {
        limit *= 2;
        error = a.instance.rewind_from(&upstream, identifier, fork, limit).await.unwrap_err();
    }
    assert!(matches!(error, RewindError::Unusable(_)), "{error:?}");

    let what = Unfinished::Rewind { source: "b".to_owned() };
    assert_eq!(a.instance.local_data().await.unwrap(), LocalData::Unfinished(what));
    for role in [StartRole::Primary, StartRole::Standby(Some(upstream.clone()))] {
        let error = a.instance.prepare_start(&role, &desired()).await.unwrap_err();
        assert!(matches!(error, PrepareError::Unfinished { .. }), "{error:?}");
    }
    assert!(!a.instance.discard_unfinished_clone().await.unwrap(), "of a rewind nothing can be had back");

    let parked =
        a.instance.clone_from(&b.clone_request(&a).await).await.unwrap().expect("the former data is kept");
    assert!(parked.join("PG_VERSION").exists());
    assert_eq!(parked_names(&a), ["data-1", "wal-1"], "each attempt had the same log: it is kept once");
    a.start(&StartRole::Standby(Some(upstream))).await;
    a.streams_from(&b).await;
}

fn parked_names(server: &Server) -> Vec<String> {
    let entries = std::fs::read_dir(&server.instance.config().parked_dir).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn only_the_newest_parked_data_and_logs_are_kept_and_every_report() {
    let cluster = Cluster::new();
    let a = cluster.server("a");
    let parked = &a.instance.config().parked_dir;
    assert_eq!(a.instance.trim_parked().await.unwrap(), Vec::<PathBuf>::new());
    for n in 1..=PARKED_DATA_MAX + 10 {
        std::fs::create_dir_all(parked.join(format!("data-{n}/base"))).unwrap();
    }
    for n in 1..=PARKED_WAL_MAX + 1 {
        std::fs::create_dir_all(parked.join(format!("wal-{n}/pg_wal"))).unwrap();
        std::fs::write(parked.join(format!("wal-{n}/lost-writes.json")), "{}").unwrap();
    }
    let deleted = a.instance.trim_parked().await.unwrap();
    assert_eq!(deleted.len(), 10 + 1);
    assert!(deleted.iter().all(|path| !path.exists()));
    let data: Vec<_> = parked_names(&a).into_iter().filter(|name| name.starts_with("data")).collect();
    assert_eq!(data, ["data-11", "data-12"]);
    assert!(parked.join("wal-1/lost-writes.json").exists() && !parked.join("wal-1/pg_wal").exists());
    assert!(parked.join("wal-2/pg_wal").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_cut_short_is_never_started_and_the_former_data_can_be_had_back() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    cluster.join(&b, &a).await;
    b.stop(ShutdownMode::Fast).await;
    let slow = CloneRequest { rate_kib_max: Some(1_000), ..a.clone_request(&b).await };
    let (instance, half) = (b.instance.clone(), b.data("../data.cloning-1/PG_VERSION"));
    let cloning = tokio::spawn(async move { instance.clone_from(&slow).await });
    eventually("the copy has begun", || async { half.exists() }).await;
    eventually("it streams WAL", || async {
        let senders = a.status().await.senders;
        let own_name = senders.iter().any(|s| s.application_name == b.name.as_str());
        assert!(!own_name, "a copy may be taken for a synchronous standby: {senders:?}");
        senders.iter().any(|s| s.application_name == "clone/b" && s.state == "streaming")
    })
    .await;
    cloning.abort();
    assert!(cloning.await.unwrap_err().is_cancelled());

    let what = Unfinished::Clone { source: "a".to_owned(), parked: None };
    assert_eq!(b.instance.local_data().await.unwrap(), LocalData::Unfinished(what.clone()));
    assert_eq!(b.instance.data_identity().await.unwrap(), DataIdentity::Unfinished(what));
    let upstream = a.upstream_for(&b);
    let role = StartRole::Standby(Some(upstream));
    let error = b.instance.prepare_start(&role, &desired()).await.unwrap_err();
    assert!(matches!(error, PrepareError::Unfinished { .. }), "{error:?}");

    assert!(b.instance.discard_unfinished_clone().await.unwrap());
    b.start(&role).await;
    b.streams_from(&a).await;
    b.stop(ShutdownMode::Fast).await;
    b.instance.clone_from(&a.clone_request(&b).await).await.unwrap().expect("the former data is kept");
    assert!(!half.exists());
    b.start(&role).await;
    b.streams_from(&a).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn former_data_that_was_parked_by_a_clone_cut_short_comes_back() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    assert_eq!(b.instance.data_identity().await.unwrap(), DataIdentity::Absent);
    let identifier = b.instance.init_db().await.unwrap();
    let present = DataIdentity::Present { system_identifier: identifier };
    assert_eq!(b.instance.data_identity().await.unwrap(), present);
    // As after a power cut between the two renames of a clone.
    let config = b.instance.config();
    let parked = config.parked_dir.join("data-1");
    std::fs::create_dir(&config.parked_dir).unwrap();
    std::fs::rename(&config.data_dir, &parked).unwrap();
    let note =
        serde_json::to_vec(&Unfinished::Clone { source: "a".to_owned(), parked: Some(parked) }).unwrap();
    std::fs::write(config.data_dir.with_extension("unfinished"), note).unwrap();
    assert!(matches!(b.instance.local_data().await.unwrap(), LocalData::Unfinished(_)));

    assert!(b.instance.discard_unfinished_clone().await.unwrap());
    assert_eq!(b.system_identifier().await, identifier);
    assert!(!b.instance.discard_unfinished_clone().await.unwrap(), "there is nothing left to discard");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_never_ran_is_no_primary() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    b.instance.clone_from(&a.clone_request(&b).await).await.unwrap();
    let error = b.instance.prepare_start(&StartRole::Primary, &desired()).await.unwrap_err();
    assert!(matches!(error, PrepareError::NotAPrimary { .. }), "{error:?}");
    assert!(!b.data("postmaster.pid").exists());

    let running = a.instance.clone_from(&a.clone_request(&b).await).await.unwrap_err();
    assert!(matches!(running, CloneError::Running { .. }), "{running:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clusters_data_directory_is_refused_and_kept() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.server("a"), cluster.server("b"));
    let ours = a.instance.init_db().await.unwrap();
    let theirs = b.instance.init_db().await.unwrap();
    let desired = Desired { system_identifier: Some(ours), ..desired() };
    let role = StartRole::Standby(Some(a.upstream_for(&b)));
    let error = b.instance.prepare_start(&role, &desired).await.unwrap_err();
    assert!(matches!(error, PrepareError::Foreign { found, .. } if found == theirs), "{error:?}");
    assert!(!b.data("standby.signal").exists(), "nothing of it was changed");

    a.start_as(&StartRole::Primary, &desired).await;
    a.instance.ensure_roles(&cluster::application()).await.unwrap();
    a.instance.reconcile_slots(std::slice::from_ref(&b.name)).await.unwrap();
    let other = SystemIdentifier::new(7);
    let request = CloneRequest { system_identifier: other, ..a.clone_request(&b).await };
    let error = b.instance.clone_from(&request).await.unwrap_err();
    assert!(matches!(error, CloneError::Foreign { found, .. } if found == ours), "{error:?}");
    assert_eq!(b.system_identifier().await, theirs, "the former data is as it was");
    assert!(!b.data("../data.cloning-1").exists() && !b.data("../data.unfinished").exists());
}

/// A small file system of its own, taken away when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, mib: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={mib}m,mode=755");
        let options = Some(options.as_str());
        let mounted = mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), options);
        mounted.is_ok().then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that fails to end must not keep it for ever.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stderr, reason = "a skipped test must say so")]
async fn former_data_is_parked_on_its_own_disk_and_a_mount_point_is_refused() {
    let cluster = Cluster::new();
    let Some(disk) = SmallDisk::mount(&cluster.path().join("disk"), 256) else {
        eprintln!("SKIPPED: mounting a small file system needs root");
        return;
    };
    let b = cluster.server_with_data_in("b", &disk.0);
    let elsewhere =
        InstanceConfig { parked_dir: cluster.path().join("parked"), ..b.instance.config().clone() };
    let on_mount = InstanceConfig { data_dir: disk.0.clone(), ..elsewhere.clone() };
    let refused = Instance::new(on_mount.clone()).init_db().await.unwrap_err();
    assert!(matches!(refused, InitError::Mounted { .. }), "{refused:?}");
    assert!(refused.hint().unwrap().contains(&format!("{}/data", disk.0.display())));

    let data_dir = elsewhere.data_dir.clone();
    let instance = Instance::new(elsewhere);
    std::fs::create_dir(&data_dir).unwrap();
    instance.init_db().await.unwrap();
    assert!(matches!(instance.init_db().await.unwrap_err(), InitError::Exists { .. }));

    let a = cluster.primary("a", &[&b]).await;
    let request = a.clone_request(&b).await;
    let parked = instance.clone_from(&request).await.unwrap().expect("the former data is kept");
    assert_eq!(parked, disk.0.join("data.parked/data-1"));
    let refused = Instance::new(on_mount).clone_from(&request).await.unwrap_err();
    assert!(matches!(refused, CloneError::Mounted { .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stderr, reason = "a skipped test must say so")]
async fn a_disk_that_fills_up_while_cloning_leaves_the_former_data_whole() {
    let cluster = Cluster::new();
    let Some(disk) = SmallDisk::mount(&cluster.path().join("disk"), 64) else {
        eprintln!("SKIPPED: mounting a small file system needs root");
        return;
    };
    let b = cluster.server_with_data_in("b", &disk.0);
    b.instance.init_db().await.unwrap();
    let before = b.instance.local_data().await.unwrap();
    let a = cluster.primary("a", &[&b]).await;
    let error = b.instance.clone_from(&a.clone_request(&b).await).await.unwrap_err();
    assert!(matches!(error, CloneError::DiskFull { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("untouched"));
    assert_eq!(b.instance.local_data().await.unwrap(), before);
    assert!(!b.data("../data.cloning-1").exists(), "the half copy is gone");
}
