//! A PostgreSQL that dies under an agent that lives.
#![allow(clippy::print_stdout, reason = "the measured times are shown with the test")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sb_lab::fault::{Fault, Part};
use sb_lab::options::Durability;
use sb_lab::place::Place;
use sb_lab::recorder::RecorderPlan;
use sb_lab::stage::Inside;

use crate::log::{fill, flushed};
use crate::scene::{FAILOVER, REJOIN, Scene};

/// A restart's budget of 5 s, then a hand-over that waits for no lease.
const HAND_OVER: Duration = Duration::from_secs(10);

/// A start that ends at once is tried again within a second or so; then PostgreSQL recovers and connects.
const NEXT_TRY: Duration = Duration::from_secs(15);

const PAGE_BYTES: u64 = 8_192;
const SEGMENT_BYTES: u64 = 16 << 20;

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
        // A person mends them; the agent has tried to start it again all the time.
        fs::write(&settings, sound).expect("to mend them");
        let new = scene.primary();
        scene.until("the former primary followed", NEXT_TRY, |picture| {
            picture.server(old).is_some_and(|server| server.follows(new))
        });
        let ledger = scene.nothing_is_lost_after(office, new);
        let gap = ledger.write_gap(broken).expect("writes went on");
        println!("  {gap:?} without writes");
        assert!(gap < HAND_OVER, "{gap:?} without writes");
    });
}

/// A standby whose WAL receiver was killed before it had the new timeline's segment up to where the timeline begins.
/// PostgreSQL does not start with that, and the agent does without a new copy.
pub fn torn_segment(inside: &Inside) {
    Scene::shared(inside, "torn-segment", Durability::Async, |scene| {
        let (old, victim) = (scene.primary(), scene.standby());
        let filled = fill(scene, old);
        scene.until("everybody had the log", REJOIN, |picture| {
            scene.lab().databases().all(|place| flushed(picture, place) >= Some(filled))
        });
        scene.kill_host(victim);
        scene.kill_host(old);
        scene.until("another server led", FAILOVER, |picture| {
            picture.primary().is_some_and(|server| server.place != old)
        });
        let new = scene.primary();

        let (from, to) = (wal(scene, new), wal(scene, victim));
        let timeline = newest_timeline(&from);
        give(&from, &to, &format!("{timeline:08X}.history"));
        let segment = format!("{timeline:08X}{:016X}", filled / SEGMENT_BYTES);
        give(&from, &to, &segment);
        let received = (filled % SEGMENT_BYTES / PAGE_BYTES).checked_sub(4).expect("some pages") * PAGE_BYTES;
        let mut torn = fs::read(to.join(&segment)).expect("the segment");
        torn[usize::try_from(received).expect("a small number")..].fill(0);
        fs::write(to.join(&segment), torn).expect("to cut it");

        scene.return_host(victim);
        scene.until("the standby followed", REJOIN, |picture| {
            picture.server(victim).is_some_and(|server| server.follows(new))
        });
        let events = scene.events(victim);
        assert!(
            events.iter().any(|event| event.kind == "repair.segment"),
            "it was not torn: {events:#?}\n{}",
            scene.kept_logs()
        );
        assert!(to.join(segment + ".partial").exists(), "it was copied anew: {events:#?}");
        scene.return_host(old);
    });
}

fn wal(scene: &Scene, place: Place) -> PathBuf {
    scene.lab().host(place).expect("a server").directories().state.join("pgdata/pg_wal")
}

fn newest_timeline(wal: &Path) -> u32 {
    let names = fs::read_dir(wal).expect("a log").map(|entry| entry.expect("a file").file_name());
    let histories = names.filter_map(|name| Some(name.to_str()?.strip_suffix(".history")?.to_owned()));
    let timelines = histories.map(|name| u32::from_str_radix(&name, 16).expect("a timeline"));
    timelines.max().expect("a history")
}

/// Copies a file of one server's log to another's, which may read it.
fn give(from: &Path, to: &Path, name: &str) {
    fs::copy(from.join(name), to.join(name)).expect("to copy");
    let owner = fs::metadata(to).expect("a directory");
    chown(to.join(name), Some(owner.uid()), Some(owner.gid())).expect("to hand over");
}
