//! Who has how much of the log, and who may lead with it.

use sb_lab::options::Durability;
use sb_lab::picture::Picture;
use sb_lab::place::Place;
use sb_lab::recorder::RecorderPlan;
use sb_lab::stage::Inside;

use crate::durability::{close_port, open_port};
use crate::scene::{FAILOVER, REJOIN, Scene};

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
