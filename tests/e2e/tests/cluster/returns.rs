//! Servers that come back: cut off, after a second failure, and with nothing.

use std::time::Duration;

use sb_api::Role;
use sb_e2e::throughout;
use sb_lab::fault::Fault;
use sb_lab::options::Durability;
use sb_lab::picture::{Picture, ServerPicture};
use sb_lab::place::Place;
use sb_lab::recorder::RecorderPlan;
use sb_lab::stage::Inside;

use crate::scene::{FAILOVER, REJOIN, Scene};

/// Several times the longest lease: what has not opened by now waits for the network.
const LONG_ENOUGH: Duration = Duration::from_secs(12);

/// Long enough for a few more attempts, if any were made.
const ALONE: Duration = Duration::from_secs(5);

fn new_primary(scene: &Scene, old: &[Place]) -> Place {
    scene.until("another server was primary", FAILOVER, |picture| {
        picture.primary().is_some_and(|server| !old.contains(&server.place))
    });
    scene.primary()
}

pub fn boots_cut_off(inside: &Inside) {
    Scene::shared(inside, "boots-cut-off", Durability::Async, |scene| {
        let old = scene.primary();
        let office = scene.write(old, RecorderPlan::office());
        scene.kill_host(old);
        new_primary(scene, &[old]);
        scene.written(&office, 50);

        scene.lab().links().unplug(old);
        scene.return_host(old);
        scene.until("the agent of the old primary answered", REJOIN, |picture| {
            picture.server(old).is_some_and(|server| server.status.is_some())
        });
        // A client on the server itself, whom no cut link keeps out.
        let inside_client = scene.lab().record(RecorderPlan::on_the_server(old)).expect("a client");
        throughout("the old primary refuses writes", LONG_ENOUGH, || {
            let role = scene.picture().server(old).and_then(ServerPicture::role);
            inside_client.acknowledged() == 0 && role != Some(Role::Primary)
        });
        assert_eq!(inside_client.finish().acknowledged(), 0);

        scene.act(&Fault::Heal);
        scene.until("the old primary had rejoined", REJOIN, Picture::whole);
        let primary = scene.primary();
        scene.nothing_is_lost_after(office, primary);
    });
}

pub fn two_in_a_row(inside: &Inside) {
    Scene::shared(inside, "two-in-a-row", Durability::Sync, |scene| {
        let (first, term) = (scene.primary(), scene.term());
        let office = scene.write(first, RecorderPlan::office());
        scene.kill_host(first);
        let second = new_primary(scene, &[first]);
        scene.written(&office, 50);
        scene.kill_host(second);
        let third = new_primary(scene, &[first, second]);
        scene.written(&office, 50);

        scene.return_host(first);
        scene.return_host(second);
        scene.until("both had rejoined", REJOIN, Picture::whole);
        assert!(scene.term() >= term + 2, "two changes of primary are two terms");
        assert_eq!(scene.primary(), third, "a returning server took over again");
        scene.nothing_is_lost_after(office, third);
    });
}

pub fn wiped(inside: &Inside) {
    Scene::shared(inside, "wiped", Durability::Sync, |scene| {
        let (primary, victim) = (scene.primary(), scene.standby());
        let before = incarnation(scene, victim).expect("an incarnation");
        let office = scene.write(primary, RecorderPlan::office());

        scene.kill_host(victim);
        let state = &scene.lab().host(victim).expect("a server").directories().state;
        for lost in ["raft", "pgdata"] {
            std::fs::remove_dir_all(state.join(lost)).expect("to wipe");
        }
        scene.return_host(victim);
        scene.until("the wiped server had rejoined", REJOIN, Picture::whole);
        let after = incarnation(scene, victim).expect("an incarnation");
        assert_ne!(before, after, "a server without its log came back under its old incarnation");
        scene.nothing_is_lost_after(office, victim);
        // A vote under the old id would be one that nobody can give any more.
        scene.until("the store knew every server once", REJOIN, |_| {
            let mut names = members_of_the_store(scene, primary);
            names.sort_unstable();
            let mut servers: Vec<_> = Place::servers().map(Place::name).collect();
            servers.sort_unstable();
            names == servers
        });
    });
}

/// A new machine under the name of a lost one, which was given the data directory of another cluster.
pub fn foreign_data(inside: &Inside) {
    Scene::shared(inside, "foreign-data", Durability::Sync, |scene| {
        let victim = scene.standby();
        scene.kill_host(victim);
        let state = &scene.lab().host(victim).expect("a server").directories().state;
        let (data, own) = (state.join("pgdata"), state.join("pgdata.own"));
        std::fs::rename(&data, &own).expect("to set aside");
        sb_e2e::postgres::initialise(&data);
        let control = || std::fs::read(data.join("global/pg_control")).expect("pg_control");
        let foreign = control();

        scene.return_host(victim);
        scene.until("the server said what is wrong with its data directory", REJOIN, |picture| {
            let status = picture.server(victim).and_then(|server| server.status.as_ref());
            status.is_some_and(|status| {
                status.problems.iter().any(|problem| problem.contains("move the data directory away"))
            })
        });
        throughout("the foreign data directory is left alone", ALONE, || {
            let role = scene.picture().server(victim).and_then(ServerPicture::role);
            control() == foreign && role != Some(Role::Standby)
        });

        scene.kill_host(victim);
        std::fs::remove_dir_all(&data).expect("to remove");
        std::fs::rename(&own, &data).expect("to put back");
        scene.return_host(victim);
    });
}

fn incarnation(scene: &Scene, place: Place) -> Option<u64> {
    scene.picture().server(place)?.status.as_ref()?.incarnation
}

fn members_of_the_store(scene: &Scene, asked: Place) -> Vec<String> {
    let asking = scene.lab().agents().cluster(asked);
    let store = scene.wait_for(asking).map(|status| status.cluster.store);
    store.map(|store| [store.voters, store.learners].concat()).unwrap_or_default()
}
