//! Servers that come back: cut off, after a second failure, and with nothing.

use std::time::Duration;

use sb_api::Role;
use sb_e2e::throughout;
use sb_lab::options::Durability;
use sb_lab::place::Place;
use sb_lab::recorder::RecorderPlan;
use sb_lab::stage::Inside;

use crate::scene::{FAILOVER, REJOIN, Scene};

/// Several times the longest lease: what has not opened by now waits for the network.
const LONG_ENOUGH: Duration = Duration::from_secs(12);

fn new_primary(scene: &Scene, old: &[Place]) -> Place {
    scene.until("another server was primary", FAILOVER, |picture| {
        picture.primary().is_some_and(|server| !old.contains(&server.place))
    });
    scene.primary()
}

pub fn boots_cut_off(inside: &Inside) {
    let scene = Scene::up(inside, "boots-cut-off", Durability::Async);
    let old = scene.primary();
    let office = scene.write(old, RecorderPlan::office());
    scene.kill_host(old);
    new_primary(&scene, &[old]);
    scene.written(&office, 50);

    scene.lab().links().unplug(old);
    scene.return_host(old);
    scene.until("the agent of the old primary answered", REJOIN, |picture| {
        picture.server(old).is_some_and(|server| server.status.is_some())
    });
    // A client on the server itself, whom no cut link keeps out.
    let inside_client = scene.lab().record(RecorderPlan::on_the_server(old)).expect("a client");
    throughout("the old primary refuses writes", LONG_ENOUGH, || {
        let role = scene.picture().server(old).and_then(sb_lab::picture::ServerPicture::role);
        inside_client.acknowledged() == 0 && role != Some(Role::Primary)
    });
    assert_eq!(inside_client.finish().acknowledged(), 0);

    scene.lab().links().heal();
    scene.until("the old primary had rejoined", REJOIN, sb_lab::picture::Picture::whole);
    let primary = scene.primary();
    scene.nothing_is_lost_after(office, primary);
}

pub fn two_in_a_row(inside: &Inside) {
    let scene = Scene::up(inside, "two-in-a-row", Durability::Sync);
    let first = scene.primary();
    let office = scene.write(first, RecorderPlan::office());
    scene.kill_host(first);
    let second = new_primary(&scene, &[first]);
    scene.written(&office, 50);
    scene.kill_host(second);
    let third = new_primary(&scene, &[first, second]);
    scene.written(&office, 50);

    scene.return_host(first);
    scene.return_host(second);
    scene.until("both had rejoined", REJOIN, sb_lab::picture::Picture::whole);
    assert!(scene.picture().term() >= Some(3), "two changes of primary are two terms");
    assert_eq!(scene.primary(), third, "a returning server took over again");
    scene.nothing_is_lost_after(office, third);
}

pub fn wiped(inside: &Inside) {
    let scene = Scene::up(inside, "wiped", Durability::Sync);
    let primary = scene.primary();
    let victim = Place::named("nantucket-1").expect("a place of the lab");
    let incarnation = |scene: &Scene| {
        let picture = scene.picture();
        picture.server(victim).and_then(|server| server.status.as_ref()).and_then(|status| status.incarnation)
    };
    let before = incarnation(&scene).expect("an incarnation");
    let office = scene.write(primary, RecorderPlan::office());

    scene.kill_host(victim);
    let state = &scene.lab().host(victim).expect("a server").directories().state;
    for lost in ["raft", "pgdata"] {
        std::fs::remove_dir_all(state.join(lost)).expect("to wipe");
    }
    scene.return_host(victim);
    scene.until("the wiped server had rejoined", REJOIN, sb_lab::picture::Picture::whole);
    let after = incarnation(&scene).expect("an incarnation");
    assert_ne!(before, after, "a server without its log came back under its old incarnation");
    scene.nothing_is_lost_after(office, victim);
}
