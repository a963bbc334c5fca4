//! Settings, access, roles, slots and synchronous standbys are in force, not only written.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod cluster;

use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Output};

use cluster::{Cluster, SOON, Server, application, desired, eventually};
use sb_pgrepl::{
    Application, ClientAccess, ClientNetwork, ClientRow, ConfigureError, Desired, PrepareError, RolesError,
    SettingsError, ShutdownMode, SlotName, SqlName, StartRole, SyncError, SyncStandbys,
};
use sb_topology::ServerName;

fn open() -> Desired {
    let from = ClientNetwork::host(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let application = application();
    let row = ClientRow { database: application.database, role: application.owner, from };
    Desired { client_access: ClientAccess::Open, client_rows: vec![row], ..desired() }
}

/// The application's way in, over TCP.
fn as_application(server: &Server, tls: &str, sql: &str) -> Output {
    let config = server.instance.config();
    let target =
        format!("host=127.0.0.1 port={} dbname=show-build user=show_build sslmode={tls}", config.port);
    let mut psql = Command::new(config.programs.bin().join("psql"));
    // Without the home directory of whoever runs the tests: it may hold a client certificate.
    psql.env("PGPASSWORD", "secret").env("HOME", "/nonexistent");
    psql.args(["-XAtqw", "-d", &target, "-c", sql]).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_come_in_only_with_tls_and_only_while_access_is_open() {
    let cluster = Cluster::new();
    let a = cluster.primary("a", &[]).await;
    let closed = as_application(&a, "require", "SELECT 1");
    assert!(String::from_utf8_lossy(&closed.stderr).contains("no pg_hba.conf entry"), "{closed:?}");
    a.instance.configure(&open()).await.unwrap();
    let table = as_application(&a, "require", "CREATE TABLE t (n int); INSERT INTO t VALUES (1) RETURNING n");
    assert_eq!(String::from_utf8_lossy(&table.stdout), "1\n", "{table:?}");
    let plain = as_application(&a, "disable", "SELECT 1");
    assert!(String::from_utf8_lossy(&plain.stderr).contains("no encryption"), "{plain:?}");
    a.instance.configure(&open().with_client_access(ClientAccess::Closed)).await.unwrap();
    assert!(!as_application(&a, "require", "SELECT 1").status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_have_exactly_their_rights() {
    let cluster = Cluster::new();
    let b = cluster.server("b");
    let a = cluster.primary("a", &[&b]).await;
    a.sql("ALTER SYSTEM SET log_statement = 'all'");
    a.instance.configure(&desired()).await.unwrap();
    a.instance.ensure_roles(&application()).await.unwrap();
    let log = std::fs::read_to_string(a.instance.config().log_dir.join("startup.log")).unwrap();
    assert!(log.contains("statement: SET log_statement") && !log.contains("PASSWORD"), "{log}");
    let rights =
        "SELECT string_agg(rolname || ' ' || rolsuper || ' ' || rolreplication, ',' ORDER BY rolname)
                  FROM pg_roles WHERE rolname IN ('replicator', 'sb_monitor', 'sb_rewind', 'show_build')";
    let expected =
        "replicator false true,sb_monitor false false,sb_rewind false false,show_build false false";
    assert_eq!(a.sql(rights), expected);
    let stored = "SELECT count(*) FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256%'";
    assert_eq!(a.sql(stored), "4");
    let reserved = Application { owner: SqlName::new("postgres").unwrap(), ..application() };
    let error = a.instance.ensure_roles(&reserved).await.unwrap_err();
    assert!(matches!(error, RolesError::Reserved { .. }), "the superuser stays one: {error:?}");
    cluster.join(&b, &a).await;
    let error = b.instance.ensure_roles(&application()).await.unwrap_err();
    assert!(matches!(error, RolesError::Standby), "{error:?}");
    let conninfo = b.sql("SELECT conninfo FROM pg_stat_wal_receiver");
    assert!(conninfo.contains("sslmode=verify-full") && !conninfo.contains("word"), "{conninfo}");
}

#[tokio::test(flavor = "multi_thread")]
async fn alter_system_does_not_override_ours_running_or_restarted() {
    let cluster = Cluster::new();
    let a = cluster.primary("a", &[]).await;
    a.sql("ALTER SYSTEM SET wal_retrieve_retry_interval = '5s'");
    let configured = a.instance.configure(&desired()).await.unwrap();
    assert_eq!(configured.taken_back, ["wal_retrieve_retry_interval"]);
    assert_eq!(a.sql("SHOW wal_retrieve_retry_interval"), "200ms");
    assert_eq!(a.instance.configure(&desired()).await.unwrap().taken_back, Vec::<String>::new());

    a.sql("ALTER SYSTEM SET restart_after_crash = on");
    a.sql("ALTER SYSTEM SET jit = off");
    a.stop(ShutdownMode::Fast).await;
    a.start(&StartRole::Primary).await;
    assert_eq!(a.sql("SHOW restart_after_crash"), "off");
    assert_eq!(a.sql("SHOW jit"), "off", "what is not ours stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_and_forbidden_settings_are_named() {
    let cluster = Cluster::new();
    let a = cluster.primary("a", &[]).await;
    let with = |name: &str, value: &str| {
        let mut desired = desired();
        desired.settings.insert(name.to_owned(), value.to_owned());
        desired
    };
    let error = a.instance.configure(&with("fsync", "off")).await.unwrap_err();
    assert!(matches!(error, ConfigureError::Settings(SettingsError::NotYours { .. })), "{error:?}");
    let error = a.instance.configure(&with("work_mem", "many")).await.unwrap_err();
    let ConfigureError::Refused { problems } = error else { panic!("{error:?}") };
    assert!(problems.iter().any(|p| p.contains("sb.conf")), "{problems:?}");
    let configured = a.instance.configure(&with("max_connections", "110")).await.unwrap();
    assert_eq!(configured.pending_restart, ["max_connections"]);
    a.stop(ShutdownMode::Fast).await;
    let error =
        a.instance.prepare_start(&StartRole::Primary, &with("Restart_After_Crash", "on")).await.unwrap_err();
    assert!(matches!(error, PrepareError::Settings(SettingsError::NotYours { .. })), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_starts_with_no_fewer_connections_than_its_primary() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.server("a"), cluster.server("b"));
    a.instance.init_db().await.unwrap();
    let mut many = desired();
    many.settings.insert("max_connections".to_owned(), "150".to_owned());
    a.start_as(&StartRole::Primary, &many).await;
    a.instance.ensure_roles(&application()).await.unwrap();
    a.instance.reconcile_slots(std::slice::from_ref(&b.name)).await.unwrap();
    cluster.join(&b, &a).await;
    assert_eq!(b.sql("SHOW max_connections"), "150");
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_exist_for_members_and_for_nobody_else() {
    let cluster = Cluster::new();
    let b = cluster.server("b-1");
    let a = cluster.primary("a", &[&b]).await;
    cluster.join(&b, &a).await;
    let gone = ServerName::new("gone").unwrap();
    let slot = SlotName::for_server;
    let report = a.instance.reconcile_slots(&[a.name.clone(), b.name.clone(), gone.clone()]).await.unwrap();
    assert_eq!(report.created, [slot(&gone)]);
    let names = "SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots";
    assert_eq!(a.sql(names), "sb_b_1,sb_gone");
    let report = a.instance.reconcile_slots(&[]).await.unwrap();
    assert_eq!((report.dropped, report.busy), (vec![slot(&gone)], vec![slot(&b.name)]));
    assert_eq!(a.sql(names), "sb_b_1", "a slot in use is not dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn synchronous_standbys_are_in_force_when_the_call_returns() {
    let cluster = Cluster::new();
    let b = cluster.server("b-1");
    let a = cluster.primary("a", &[&b]).await;
    cluster.join(&b, &a).await;
    let one_of = |names: &[&str]| SyncStandbys {
        count: 1,
        members: names.iter().map(|name| ServerName::new(*name).unwrap()).collect(),
    };
    // PostgreSQL shows every standby as asynchronous that has not said yet what it has flushed.
    eventually("it is heard", || async { a.status().await.senders[0].flushed.is_some() }).await;
    let effective = a.instance.set_sync_standbys(&one_of(&["b-1", "c"]), SOON).await.unwrap();
    assert_eq!(effective.setting, "ANY 1 (\"b-1\", \"c\")");
    let status = a.status().await;
    assert_eq!(status.synchronous_standby_names, effective.setting);
    assert_eq!(status.senders[0].sync_state, "quorum");
    let loaded_at = effective.loaded_at;
    assert!(loaded_at.is_some());
    eventually("it is flushed", || async { a.status().await.senders[0].flushed >= loaded_at }).await;

    b.instance.freeze(SOON).await.unwrap();
    let mut waiting = a.psql("INSERT INTO marks VALUES (1)").spawn().unwrap();
    let waiters = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    eventually("the commit waits", || async { a.sql(waiters) == "1" }).await;
    let effective = a.instance.set_sync_standbys(&one_of(&["c"]), SOON).await.unwrap();
    assert!(effective.loaded_at.is_some(), "whoever is there");
    assert!(waiting.try_wait().unwrap().is_none(), "still nobody has it");

    let effective = a.instance.set_sync_standbys(&SyncStandbys::default(), SOON).await.unwrap();
    assert_eq!((effective.setting.as_str(), effective.loaded_at), ("", None));
    assert!(waiting.wait().unwrap().success());
    let error =
        a.instance.set_sync_standbys(&SyncStandbys { count: 1, members: vec![] }, SOON).await.unwrap_err();
    assert!(matches!(error, SyncError::TooFew { count: 1, members: 0 }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_wait_for_more_standbys_when_the_call_returns() {
    let cluster = Cluster::new();
    let (b, c) = (cluster.server("b"), cluster.server("c"));
    let a = cluster.primary("a", &[&b, &c]).await;
    cluster.join(&b, &a).await;
    cluster.join(&c, &a).await;
    let any = |count| SyncStandbys { count, members: vec![b.name.clone(), c.name.clone()] };
    a.instance.set_sync_standbys(&any(1), SOON).await.unwrap();
    c.instance.freeze(SOON).await.unwrap();
    a.sql("INSERT INTO marks VALUES (1)");

    let effective = a.instance.set_sync_standbys(&any(2), SOON).await.unwrap();
    assert_eq!(effective.setting, "ANY 2 (\"b\", \"c\")");
    assert_eq!(a.sql("SHOW synchronous_standby_names"), effective.setting);
    let priorities = "SELECT string_agg(sync_priority::text, ',') FROM pg_stat_replication";
    assert_eq!(a.sql(priorities), "1", "nothing of the way round is left");
    let mut waiting = a.psql("INSERT INTO marks VALUES (2)").spawn().unwrap();
    let waiters = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    eventually("one standby is not enough", || async { a.sql(waiters) == "1" }).await;
    a.instance.set_sync_standbys(&any(1), SOON).await.unwrap();
    assert!(waiting.wait().unwrap().success(), "one is enough again");
}

/// wal-g #724: a server whose libraries sort otherwise than those that the data was written with.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_other_libraries_would_sort_otherwise_is_named() {
    let cluster = Cluster::new();
    let a = cluster.primary("a", &[]).await;
    let differing = || a.instance.differing_collations(SOON);
    a.sql("CREATE DATABASE adopted TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'");
    assert_eq!(differing().await.unwrap(), [], "made by the libraries of this very server");
    a.sql("UPDATE pg_database SET datcollversion = '1.0' WHERE datname = 'adopted'");
    let named = differing().await.unwrap();
    assert_eq!(named.len(), 1, "{named:?}");
    assert_eq!((named[0].database.as_str(), named[0].written.as_str()), ("adopted", "1.0"));
    assert_ne!(named[0].here, "1.0");
}
