//! A PostgreSQL that dies under an agent that lives.
#![allow(clippy::print_stdout, reason = "the measured times are shown with the test")]

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use sb_lab::fault::{Fault, Part};
use sb_lab::options::Durability;
use sb_lab::recorder::RecorderPlan;
use sb_lab::stage::Inside;

use crate::scene::{FAILOVER, Scene};

/// A restart's budget of 5 s, then a hand-over that waits for no lease.
const HAND_OVER: Duration = Duration::from_secs(10);

/// PostgreSQL dies under an agent that lives: killed again and again it is restarted in place, and when it cannot start
/// any more another server leads, without waiting for the lease and without loss.
pub fn postgres_cannot_start(inside: &Inside) {
    Scene::shared(inside, "unstartable", Durability::Sync, |scene| {
        let (old, term) = (scene.primary(), scene.term());
        let office = scene.write(old, RecorderPlan::office());
        for _ in 0..2 {
            scene.act(&Fault::Kill(old.into(), Part::Postgres));
            scene.written(&office, 20);
        }
        assert_eq!(
            (scene.primary(), scene.term()),
            (old, term),
            "a crash that a restart mends moved the primary"
        );

        let state = &scene.lab().host(old).expect("a server").directories().state;
        let settings = state.join("pgdata/postgresql.conf");
        let sound = fs::read(&settings).expect("settings");
        let mut file = fs::OpenOptions::new().append(true).open(&settings).expect("settings");
        file.write_all(b"\nthis is no setting\n").expect("to break them");
        let broken = Instant::now();
        scene.act(&Fault::Kill(old.into(), Part::Postgres));
        scene.until("another server led", FAILOVER, |picture| {
            picture.primary().is_some_and(|server| server.place != old)
        });
        scene.written(&office, 50);
        // A person mends them and boots the server: its agent would wait for the start that failed for up to a minute.
        fs::write(&settings, sound).expect("to mend them");
        scene.kill_host(old);
        scene.return_host(old);
        let new = scene.primary();
        let ledger = scene.nothing_is_lost_after(office, new);
        let gap = ledger.write_gap(broken).expect("writes went on");
        println!("  {gap:?} without writes");
        assert!(gap < HAND_OVER, "{gap:?} without writes");
    });
}
