//! Who has how much of the log, and who may lead with it.
#![allow(clippy::print_stdout, reason = "who knew what is shown with the test")]

use std::time::Duration;

use sb_e2e::throughout;
use sb_lab::options::Durability;
use sb_lab::picture::Picture;
use sb_lab::place::Place;
use sb_lab::recorder::{Access, RecorderPlan};
use sb_lab::stage::Inside;
use sqlx::{Executor as _, Row as _};

use crate::agents::sb_cli;
use crate::durability::{close_port, open_port};
use crate::scene::{FAILOVER, REJOIN, Scene};

/// Twice the default lease, and the time in which candidates would have stepped in.
const NOBODY: Duration = Duration::from_secs(7);

/// The bound of an automatic failover.
const BOUND: u64 = 1 << 20;

/// About 4 MiB of log: four times the bound.
const FILL: &str = "create table if not exists show_build_fill (line text);
                    insert into show_build_fill select repeat('x', 1000) from generate_series(1, 4000)";

/// An open connection to a server that is dark holds a statement for ever.
const FILL_LIMIT: Duration = Duration::from_secs(20);

pub fn flushed(picture: &Picture, place: Place) -> Option<u64> {
    bytes(picture.server(place)?.status.as_ref()?.flushed_lsn.as_ref()?)
}

/// A place in the log, which is written as `X/Y`.
fn bytes(lsn: &str) -> Option<u64> {
    let (high, low) = lsn.split_once('/')?;
    Some(u64::from_str_radix(high, 16).ok()? << 32 | u64::from_str_radix(low, 16).ok()?)
}

/// What a standby lacks of what the record knows of the primary's log.
fn lacks(picture: &Picture, place: Place) -> Option<u64> {
    picture.server(place)?.status.as_ref()?.lag_bytes
}

/// Fills the log on this primary, and returns where it ends then.
pub fn fill(scene: &Scene, primary: Place) -> u64 {
    let fill = move |access: Access| async move {
        let mut session = access.connect_within(FILL_LIMIT, primary).await.expect("a session");
        session.execute(FILL).await.expect("to fill");
        let end = session.fetch_one("select pg_current_wal_flush_lsn()::text").await.expect("an end");
        end.get::<String, _>(0)
    };
    let end = scene.wait_for(scene.lab().client(Place::OFFICE, fill)).expect("a client");
    bytes(&end).expect("a place in the log")
}

/// Shows who has how much of the log, and what each standby lacks of what the record knows of it.
fn show_who_knows(scene: &Scene, when: &str) {
    println!("  {when}:");
    let picture = scene.picture();
    for place in scene.lab().databases() {
        if let Some(end) = flushed(&picture, place) {
            println!("    `{place}` has {end:#x}, lacks {:?}", lacks(&picture, place));
        }
    }
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
///
/// What a primary wrote and neither told nor sent is within no bound: the first one lives until its renewals have told of
/// all of it, and the second one until another has what it wrote too.
pub fn nobody_leads_with_too_little(inside: &Inside) {
    Scene::shared(inside, "far-behind", Durability::Async, |scene| {
        let old = scene.primary();
        let others: Vec<_> = scene.lab().databases().filter(|place| *place != old).collect();
        // Three of five votes are with those that lag.
        let (ahead, behind) = others.split_at(others.len() - 3);
        behind.iter().for_each(|place| close_port(scene, *place));
        let filled = fill(scene, old);
        let told = |picture: &Picture| behind.iter().all(|place| lacks(picture, *place) > Some(3 * BOUND));
        scene.until("the others had everything, and the record knew of it", REJOIN, |picture| {
            told(picture) && ahead.iter().all(|place| flushed(picture, *place) >= Some(filled))
        });
        show_who_knows(scene, "told");

        scene.kill_host(old);
        scene.until("a server with the data led", FAILOVER, |picture| {
            picture.primary().is_some_and(|server| ahead.contains(&server.place))
        });
        let leader = scene.primary();
        scene.until("the other one had what the new primary wrote", REJOIN, |picture| {
            let end = flushed(picture, leader);
            let follows = |place: &Place| picture.server(*place).is_some_and(|server| server.follows(leader));
            let others = ahead.iter().filter(|place| **place != leader);
            end > Some(filled)
                && others.into_iter().all(|place| follows(place) && flushed(picture, *place) >= end)
        });
        for event in scene.events(leader).into_iter().filter(|event| event.kind == "failover.claiming") {
            println!("  `{leader}`: {} {:?}", event.message, event.detail);
        }
        show_who_knows(scene, "another led");

        ahead.iter().for_each(|place| scene.kill_host(*place));
        scene.until("nobody led", FAILOVER, |picture| picture.primary().is_none());
        show_who_knows(scene, "nobody led");
        behind.iter().for_each(|place| open_port(scene, *place));
        throughout("nobody with too little leads", NOBODY, || scene.picture().primary().is_none());

        let asked = behind[0];
        let status = sb_cli(scene, asked, &["status"]);
        assert!(status.data.contains("bytes would be lost, 1048576 are allowed"), "{status:?}");
        let explained = sb_cli(scene, asked, &["explain"]);
        let told = explained.data.lines().find_map(|line| line.split_once("sb-cli failover --to "));
        let (_, told) = told.unwrap_or_else(|| panic!("no command is told: {explained:?}"));
        let (to, loss) = told.split_once(" --accept-data-loss ").expect("a loss in bytes");
        assert!(loss.parse::<u64>().expect("bytes") > BOUND, "{told}");
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
