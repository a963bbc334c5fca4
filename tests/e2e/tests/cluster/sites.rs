//! Two sites: with a witness at a third, and without; and lines that are cut between some servers only.
#![allow(clippy::print_stdout, reason = "the measured times are shown with the test")]

use std::time::{Duration, Instant};

use sb_api::Role;
use sb_e2e::throughout;
use sb_lab::fault::{Fault, Part, Target};
use sb_lab::layout::{Duty, Layout};
use sb_lab::options::Durability;
use sb_lab::picture::{Picture, ServerPicture};
use sb_lab::place::Place;
use sb_lab::recorder::RecorderPlan;
use sb_lab::stage::Inside;

use crate::agents::sb_cli;
use crate::scene::{FAILOVER, REJOIN, Scene};

/// Twice the default lease, and the time in which a candidate would have stepped in.
const NOBODY: Duration = Duration::from_secs(8);

fn witness() -> Place {
    let (place, _) = Layout::TwoSites.servers().find(|(_, duty)| *duty == Duty::Witness).expect("a witness");
    place
}

fn leads(picture: &Picture, place: Place) -> bool {
    picture.primary().is_some_and(|server| server.place == place)
}

fn degraded(scene: &Scene, asked: Place) -> Option<String> {
    scene.wait_for(scene.lab().agents().cluster(asked)).ok()?.cluster.degraded
}

fn synchronous(scene: &Scene) {
    let primary = scene.primary();
    scene.until("commits waited for the other site", REJOIN, |_| degraded(scene, primary).is_none());
}

/// patroni #1182: two datacentres, and nobody to say which of them is gone. Here a third voter without PostgreSQL does.
///
/// patroni #890: A dies, B leads, B dies, A returns alone. It holds a majority with the witness, but not what B
/// confirmed since, so it must not lead.
pub fn a_site_is_lost(inside: &Inside) {
    Scene::shared_at(inside, "two-sites", Layout::TwoSites, Durability::Sync, |scene| {
        synchronous(scene);
        let (first, second) = (scene.primary(), scene.standby());
        let office = scene.write(first, RecorderPlan::office());
        let lost = Instant::now();
        scene.act(&Fault::Kill(Target::site_of(first), Part::Host));
        scene.until("the other site led", FAILOVER, |picture| leads(picture, second));
        scene.written(&office, 50);
        assert!(degraded(scene, second).is_some(), "one copy is left, and nobody says so");

        scene.kill_host(second);
        scene.return_host(first);
        scene.until("the first site was back", REJOIN, |picture| {
            picture.server(first).and_then(ServerPicture::role) == Some(Role::Standby)
        });
        throughout("the first site does not lead", NOBODY, || scene.picture().primary().is_none());
        scene.return_host(second);
        scene.until("the second site led again", FAILOVER, |picture| leads(picture, second));
        scene.written(&office, 50);
        let ledger = scene.nothing_is_lost_after(office, second);
        println!("  {:?} without writes at most", ledger.write_gap(lost));
    });
}

pub fn the_witness_is_lost(inside: &Inside) {
    Scene::shared_at(inside, "witness-lost", Layout::TwoSites, Durability::Sync, |scene| {
        synchronous(scene);
        let (primary, term) = (scene.primary(), scene.term());
        let processes = scene.lab().host(witness()).expect("a server").processes().expect("processes");
        let parts: Vec<_> = processes.iter().filter_map(|process| process.part()).collect();
        assert_eq!(parts, [Part::Agent], "a witness runs its agent and nothing else");
        let status = sb_cli(scene, witness(), &["status", "-o", "wide"]);
        assert_eq!(status.status, 0, "{status:?}");
        assert!(status.data.contains("witness"), "{status:?}");

        let office = scene.write(primary, RecorderPlan::office());
        scene.kill_host(witness());
        let lost = Instant::now();
        throughout("the primary leads on", NOBODY, || leads(&scene.picture(), primary));
        scene.written(&office, 50);
        assert_eq!((scene.term(), degraded(scene, primary)), (term, None));
        scene.return_host(witness());
        let ledger = scene.nothing_is_lost_after(office, primary);
        let gap = ledger.write_gap(lost).expect("writes went on");
        println!("  {gap:?} without writes at most");
        assert!(gap < Duration::from_secs(3), "{gap:?} without writes: the lease was lost on the way");
    });
}
