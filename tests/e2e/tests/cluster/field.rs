//! What went wrong in the field, played on the real thing. The thread that each case is about stands above it; the
//! whole list is docs/internals/testing.md.

use std::process::Command;
use std::time::{Duration, Instant};

use sb_e2e::{promise, throughout};
use sb_lab::fault::{Fault, Part};
use sb_lab::options::Durability;
use sb_lab::picture::Picture;
use sb_lab::place::Place;
use sb_lab::recorder::{Access, RecorderPlan};
use sb_lab::stage::Inside;
use sqlx::Row;

use crate::agents::sb_cli;
use crate::durability::{close_port, open_port};
use crate::scene::{FAILOVER, REJOIN, Scene};

/// Several rounds of whatever could let a client in too early.
const KEPT_OUT: Duration = Duration::from_secs(6);

/// Of one message in the log, in bytes.
pub const MESSAGE_BYTES: u32 = 8 << 20;

/// Between two looks of an impatient client.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// patroni #1414, cloudnative-pg #1688: a commit that waits for its standby is on the primary's disk already. Killed and
/// restarted, the primary knows it as committed, and must show it to nobody before a standby has it: who saw it would
/// have seen what the next failover takes back.
pub fn a_waiting_commit_is_not_shown_early(inside: &Inside) {
    Scene::shared(inside, "waiting-commit", Durability::Strict, |scene| {
        let (old, term) = (scene.primary(), scene.term());
        let made = scene.lab().client(Place::OFFICE, move |access| make_table(access, old));
        scene.wait_for(made).expect("a client");

        close_port(scene, old);
        let waits = scene.lab().client(Place::OFFICE, move |access| commit_that_waits(access, old));
        scene.wait_for(waits).expect("a client");
        scene.act(&Fault::Kill(old.into(), Part::Postgres));
        scene.until("PostgreSQL ran again", FAILOVER, |_| superuser(scene, old, COUNT).is_some());
        assert_eq!(superuser(scene, old, COUNT).as_deref(), Some("1"), "the commit is on the old primary");

        throughout("no client is let in", KEPT_OUT, || {
            let looks = scene.lab().client(Place::OFFICE, move |access| sees(access, old));
            scene.wait_for(looks).expect("a client").is_none() && scene.picture().primary().is_none()
        });
        open_port(scene, old);
        let looks = scene.lab().client(Place::OFFICE, move |access| sees_at_last(access, old));
        assert_eq!(scene.wait_for(looks).expect("a client"), 1, "the commit is still there");
        scene.until("it led on", FAILOVER, |picture| picture.primary().is_some());
        assert_eq!((scene.primary(), scene.term()), (old, term), "the primary was given up");

        // Seen is seen: the primary that showed it is lost at once, and its successor has it too.
        scene.kill_host(old);
        scene.until("another server was primary", FAILOVER, |picture| {
            picture.primary().is_some_and(|server| server.place != old)
        });
        let new = scene.primary();
        let looks = scene.lab().client(Place::OFFICE, move |access| sees_at_last(access, new));
        promise!(scene.wait_for(looks).expect("a client") == 1, "a row was shown and then lost");
        scene.return_host(old);
    });
}

const COUNT: &str = "select count(*) from show_build_waiting";

async fn make_table(access: Access, place: Place) {
    let mut session = access.connect_within(FAILOVER, place).await.expect("a session");
    let table = "drop table if exists show_build_waiting; create table show_build_waiting (id int)";
    sqlx::raw_sql(table).execute(&mut session).await.expect("a table");
}

/// Leaves a commit behind that waits, in a session of its own.
async fn commit_that_waits(access: Access, place: Place) {
    let mut session = access.connect_within(FAILOVER, place).await.expect("a session");
    let mut looker = access.connect_within(FAILOVER, place).await.expect("a session");
    let began = Instant::now();
    let commit = sqlx::raw_sql("insert into show_build_waiting values (1)").execute(&mut session);
    let waiting = async {
        let question = "select (select count(*) from pg_stat_activity where wait_event = 'SyncRep'), (COUNT)"
            .replace("COUNT", COUNT);
        loop {
            let row = sqlx::query(sqlx::AssertSqlSafe(question.as_str())).fetch_one(&mut looker).await;
            let row = row.expect("a look at the sessions");
            assert_eq!(row.get::<i64, _>(1), 0, "a commit that waits is seen by another session");
            if row.get::<i64, _>(0) > 0 {
                return;
            }
            assert!(began.elapsed() < FAILOVER, "the commit does not wait");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::select! {
        ended = commit => panic!("a commit that no standby can have was answered: {ended:?}"),
        () = waiting => {}
    }
}

/// The rows that a client sees, if it is let in.
async fn sees(access: Access, place: Place) -> Option<i64> {
    let mut session = access.connect(place).await.ok()?;
    sqlx::query(COUNT).fetch_one(&mut session).await.ok().map(|row| row.get(0))
}

async fn sees_at_last(access: Access, place: Place) -> i64 {
    let began = Instant::now();
    loop {
        if let Some(rows) = sees(access.clone(), place).await {
            return rows;
        }
        assert!(began.elapsed() < FAILOVER, "no client was let in again");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// What PostgreSQL answers its superuser on that server; nothing while it does not answer.
pub fn superuser(scene: &Scene, at: Place, sql: &str) -> Option<String> {
    let run = &scene.lab().host(at).expect("a server").directories().run;
    let words = sb_e2e::postgres::step_down();
    let answer = Command::new(&words[0])
        .args(&words[1..])
        .arg(sb_e2e::postgres::programs().join("psql"))
        .args(["-XAtq", "-U", "postgres", "-d", &scene.lab().access().database, "-h"])
        .arg(run.join("pg"))
        .args(["-c", sql])
        .output()
        .expect("psql runs");
    answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).trim().to_owned())
}

fn set(scene: &Scene, at: Place, statements: &[&str]) {
    for statement in statements {
        assert!(superuser(scene, at, statement).is_some(), "`{at}` refused: {statement}");
    }
}

pub fn told(scene: &Scene, at: Place, kind: &str) -> bool {
    told_since(scene, at, 0, kind)
}

/// What was told after the event of this number.
fn told_since(scene: &Scene, at: Place, since: u64, kind: &str) -> bool {
    // An agent that starts does not answer yet.
    let events = scene.wait_for(scene.lab().agents().events(at, since)).unwrap_or_default();
    events.iter().any(|event| event.kind == kind)
}

/// Lets the log of the primary grow.
fn write_log(scene: &Scene, at: Place, messages: u32) {
    let message = format!("select pg_logical_emit_message(false, 'lab', repeat('x', {MESSAGE_BYTES}))");
    for _ in 0..messages {
        set(scene, at, &[&message, "select pg_switch_wal()"]);
    }
}

/// patroni #1941, #1378: a dead server's slot is given up at its budget, after a person was told, and the server, whose
/// log is nowhere any more, notices by itself that it will never catch up, and is copied anew.
pub fn a_slot_is_given_up_and_its_server_comes_back(inside: &Inside) {
    Scene::shared(inside, "slot-given-up", Durability::Async, |scene| {
        let (primary, victim) = (scene.primary(), scene.standby());
        // Cases before may have told of other slots.
        let before = scene.events(primary).last().map_or(0, |event| event.id);
        scene.kill_host(victim);
        // Twenty segments. Three quarters are gone at fifteen, which leaves room for segments that the first message and
        // the background begin.
        let small =
            ["alter system set max_slot_wal_keep_size = '320MB'", "alter system set wal_keep_size = 0"];
        set(scene, primary, &[&small[..], &["select pg_reload_conf()", "checkpoint"]].concat());

        write_log(scene, primary, 16);
        scene.until("the budget was said to run out", FAILOVER, |_| {
            told_since(scene, primary, before, "slot.near_budget")
        });
        assert!(!told_since(scene, primary, before, "slot.renewed"), "given up before anybody was told");
        let status = sb_cli(scene, scene.primary(), &["status"]);
        assert!(status.data.contains("budget"), "{status:?}");
        write_log(scene, primary, 6);
        set(scene, primary, &["checkpoint"]);
        scene
            .until("the slot was given up", FAILOVER, |_| told_since(scene, primary, before, "slot.renewed"));

        scene.return_host(victim);
        scene.until("the server was copied anew", REJOIN, |_| told(scene, victim, "repair.parked"));
        scene.until("it followed again", REJOIN, Picture::whole);
        set(scene, primary, &["alter system reset all", "select pg_reload_conf()"]);
    });
}

/// patroni #2919, repmgr #573: a pause is kept, everybody is told of it, and it ends by itself.
pub fn a_pause_ends_by_itself(inside: &Inside) {
    const PAUSE: Duration = Duration::from_secs(14);
    Scene::shared(inside, "pause-ends", Durability::Async, |scene| {
        let (old, asked) = (scene.primary(), scene.standby());
        let office = scene.write(old, RecorderPlan::office());
        let paused = Instant::now();
        let ask = ["pause", "--for", "14s", "--reason", "a new switch"];
        let answer = sb_cli(scene, asked, &ask);
        assert_eq!(answer.status, 0, "{answer:?}");
        for place in Place::servers().filter(|place| *place != old) {
            scene.until("everybody told of the pause", FAILOVER, |_| {
                let words = [&["status"][..], &["explain"]].map(|words| sb_cli(scene, place, words));
                words[0].data.contains("a new switch") && words[1].data.contains("pause")
            });
        }
        scene.kill_host(old);
        let rest = PAUSE.saturating_sub(paused.elapsed());
        throughout("nobody takes over in the pause", rest, || scene.picture().primary().is_none());

        scene.until("another server was primary", FAILOVER, |picture| picture.primary().is_some());
        let status = sb_cli(scene, asked, &["status"]);
        assert!(!status.data.contains("a new switch"), "{status:?}");
        scene.written(&office, 50);
        scene.return_host(old);
        drop(office.finish());
    });
}
