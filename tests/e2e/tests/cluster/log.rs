//! Who has how much of the log, and who may lead with it.
#![allow(clippy::print_stdout, reason = "the measured times are shown with the test")]

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use sb_e2e::throughout;
use sb_lab::fault::{Fault, Part};
use sb_lab::options::Durability;
use sb_lab::picture::Picture;
use sb_lab::place::Place;
use sb_lab::recorder::{Access, RecorderPlan};
use sb_lab::stage::Inside;
use sqlx::Executor as _;

use crate::agents::sb_cli;
use crate::durability::{close_port, open_port};
use crate::scene::{FAILOVER, REJOIN, Scene};

/// The default lease, and the time in which candidates would have stepped in.
const NOBODY: Duration = Duration::from_secs(7);

/// A restart's budget of 5 s, then a hand-over that waits for no lease.
const HAND_OVER: Duration = Duration::from_secs(10);

/// About 4 MiB of log: four times the bound of an automatic failover.
const FILL: &str = "create table if not exists show_build_fill (line text);
                    insert into show_build_fill select repeat('x', 1000) from generate_series(1, 4000)";

/// An open connection to a server that is dark holds a statement for ever.
const FILL_LIMIT: Duration = Duration::from_secs(20);

fn flushed(picture: &Picture, place: Place) -> Option<String> {
    picture.server(place)?.status.as_ref()?.flushed_lsn.clone()
}

/// Waits until these have the primary's whole log, which nobody writes to any more.
fn have_everything(scene: &Scene, primary: Place, standbys: &[Place]) {
    scene.until("the others had everything", REJOIN, |picture| {
        let end = flushed(picture, primary);
        end.is_some() && standbys.iter().all(|place| flushed(picture, *place) == end)
    });
}

/// Those that go before all others when this server is lost: its site's, else the first site's.
fn preferred(scene: &Scene, lost: Place) -> Vec<Place> {
    let others = || scene.lab().databases().filter(|place| *place != lost);
    let mates: Vec<_> = others().filter(|place| place.site() == lost.site()).collect();
    let first = others().next().expect("another server").site();
    if mates.is_empty() { others().filter(|place| place.site() == first).collect() } else { mates }
}

/// cloudnative-pg #8701: the preferred server is behind one that is far away. It fetches from there what it lacks before
/// it is promoted.
pub fn the_preferred_server_fetches(inside: &Inside) {
    Scene::shared(inside, "fast-forward", Durability::Async, |scene| {
        let old = scene.primary();
        let behind = preferred(scene, old);
        let ahead: Vec<_> =
            scene.lab().databases().filter(|place| *place != old && !behind.contains(place)).collect();
        let office = scene.write(old, RecorderPlan::office());
        behind.iter().for_each(|place| close_port(scene, *place));
        scene.written(&office, 100);
        let ledger = office.finish();
        have_everything(scene, old, &ahead);
        let picture = scene.picture();
        assert!(behind.iter().all(|place| flushed(&picture, *place) < flushed(&picture, old)), "{picture:?}");

        scene.kill_host(old);
        behind.iter().for_each(|place| open_port(scene, *place));
        scene.until("the preferred server led", FAILOVER, |picture| {
            picture.primary().is_some_and(|server| behind.contains(&server.place))
        });
        let new = scene.primary();
        let fetched = scene.events(new).into_iter().any(|event| event.kind == "failover.fetching");
        assert!(fetched, "`{new}` has everything and never fetched it");
        scene.nothing_is_lost_of(&ledger, new);
        scene.return_host(old);
    });
}

/// patroni #1849: a standby that lags beyond the bound never leads by itself: not beside one that has the data, and not
/// where all that are left lag. Then the bytes at risk are told, and one command that accepts them.
pub fn nobody_leads_with_too_little(inside: &Inside) {
    Scene::shared(inside, "far-behind", Durability::Async, |scene| {
        let old = scene.primary();
        let others: Vec<_> = scene.lab().databases().filter(|place| *place != old).collect();
        // Three of five votes are with those that lag.
        let (ahead, behind) = others.split_at(others.len() - 3);
        behind.iter().for_each(|place| close_port(scene, *place));
        let fill = move |access: Access| async move {
            access.connect_within(FILL_LIMIT, old).await.expect("a session").execute(FILL).await
        };
        scene.wait_for(scene.lab().client(Place::OFFICE, fill)).expect("a client").expect("to fill");
        have_everything(scene, old, ahead);

        scene.kill_host(old);
        scene.until("a server with the data led", FAILOVER, |picture| {
            picture.primary().is_some_and(|server| ahead.contains(&server.place))
        });
        let leader = scene.primary();
        ahead.iter().for_each(|place| scene.kill_host(*place));
        scene.until("nobody led", FAILOVER, |picture| picture.primary().is_none());
        behind.iter().for_each(|place| open_port(scene, *place));
        throughout("nobody with too little leads", NOBODY, || scene.picture().primary().is_none());

        let asked = behind[0];
        let status = sb_cli(scene, asked, &["status"]);
        assert!(status.data.contains("bytes would be lost, 1048576 are allowed"), "{status:?}");
        let explained = sb_cli(scene, asked, &["explain"]);
        let told = explained.data.lines().find_map(|line| line.split_once("sb-cli failover --to "));
        let (_, told) = told.unwrap_or_else(|| panic!("no command is told: {explained:?}"));
        let (to, loss) = told.split_once(" --accept-data-loss ").expect("a loss in bytes");
        assert!(loss.parse::<u64>().expect("bytes") > 1 << 20, "{told}");
        let failover = |loss: &str| {
            let sure = ["--yes", "--expect-primary", leader.name()];
            sb_cli(scene, asked, &[&["failover", "--to", to, "--accept-data-loss", loss], &sure[..]].concat())
        };
        let refused = failover("1MiB");
        assert_eq!(refused.status, 3, "{refused:?}");
        let moved = failover(loss);
        assert_eq!(moved.status, 0, "{moved:?}");
        assert_eq!(scene.primary().name(), to);
        ahead.iter().chain([&old]).for_each(|place| scene.return_host(*place));
    });
}

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
        fs::write(&settings, sound).expect("to mend them");
        let new = scene.primary();
        let ledger = scene.nothing_is_lost_after(office, new);
        let gap = ledger.write_gap(broken).expect("writes went on");
        println!("  {gap:?} without writes");
        assert!(gap < HAND_OVER, "{gap:?} without writes");
    });
}
