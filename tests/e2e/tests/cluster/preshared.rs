//! Pairs of servers get preshared keys, and others, while packets flow.
#![allow(clippy::print_stdout, reason = "the measured times are shown with the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sb_api::{Mesh, MeshPreshared};
use sb_e2e::eventually;
use sb_lab::fault::{Fault, Part};
use sb_lab::options::{Durability, LabOptions, Mesh as MeshChoice};
use sb_lab::picture::Picture;
use sb_lab::place::Place;
use sb_lab::recorder::RecorderPlan;
use sb_lab::stage::Inside;

use crate::agents::sb_cli;
use crate::mesh::every_pair_is_up;
use crate::rotation::{GAP_MAX, gaps_of};
use crate::scene::{REJOIN, Scene};

/// Much longer than a new key takes in user space, where a handshake proves it at once.
const SHARED: Duration = Duration::from_secs(120);

/// By which marks the servers of a pair speak of their key.
type Marks = BTreeMap<BTreeSet<String>, String>;

/// Under load; then with a server that is switched off; then with the agent killed in the middle.
pub fn under_load(inside: &Inside) {
    let options = LabOptions { durability: Durability::Sync, mesh: MeshChoice::On, ..LabOptions::default() };
    Scene::shared_with(inside, "mesh-preshared", options, |scene| {
        let (primary, standby) = (scene.primary(), scene.standby());
        every_pair_is_up(scene, primary);
        let office = scene.write(primary, RecorderPlan::office());
        let first = every_pair_gets_one(scene, primary, standby);
        let second = every_pair_gets_one(scene, primary, standby);
        assert!(first.iter().all(|(pair, mark)| second[pair] != *mark), "{first:?} {second:?}");

        let (maker, away) = a_maker_and_another(scene, primary);
        scene.kill_host(away);
        let said = sb_cli(
            scene,
            primary,
            &["net", "rotate-preshared", maker.name(), away.name(), "--timeout", "1s"],
        );
        assert_eq!(said.status, 5, "it waits for the server that is away: {said:?}");
        scene.return_host(away);
        let pair = BTreeSet::from([maker, away].map(|place| place.name().to_owned()));
        let third = shared(scene, primary, |marks| marks[&pair] != second[&pair]);
        every_pair_is_up(scene, primary);

        // It is begun and not waited for.
        let said = sb_cli(scene, standby, &["net", "rotate-preshared", standby.name(), "--timeout", "1s"]);
        assert!([0, 5].contains(&said.status), "{said:?}");
        scene.act(&Fault::Kill(standby.into(), Part::Agent));
        shared(scene, primary, |marks| {
            third.iter().all(|(pair, mark)| !pair.contains(standby.name()) || marks[pair] != *mark)
        });
        every_pair_is_up(scene, primary);
        scene.until("everybody followed", REJOIN, Picture::whole);
        scene.nothing_is_lost_after(office, primary);
    });
}

/// A server that makes keys, and another one of which it makes the key: neither the primary nor, with it, a majority.
fn a_maker_and_another(scene: &Scene, primary: Place) -> (Place, Place) {
    let mut others: Vec<_> = Place::servers().filter(|it| *it != primary && *it != scene.standby()).collect();
    others.sort_by_key(|place| place.name());
    (others[0], others[others.len() - 1])
}

/// Asks for a key of every pair, and sees that the two of each speak of the same one.
fn every_pair_gets_one(scene: &Scene, at: Place, towards: Place) -> Marks {
    let begun = Instant::now();
    let (said, gaps) = gaps_of(scene, towards, || sb_cli(scene, at, &["net", "rotate-preshared"]));
    assert_eq!(said.status, 0, "{said:?}");
    println!("  {} after {} ms", said.data.trim(), begun.elapsed().as_millis());
    println!("  longest gaps: {gaps:?}");
    assert!(gaps.iter().all(|(_, gap)| *gap < GAP_MAX), "{gaps:?}");
    shared(scene, at, |_| true)
}

/// Waits until every pair shares one key, none is on its way, and they are as `wanted`.
fn shared(scene: &Scene, at: Place, wanted: impl Fn(&Marks) -> bool) -> Marks {
    eventually("every pair shared the key that was wanted", SHARED, || {
        let said = sb_cli(scene, at, &["net", "matrix", "--output", "json"]);
        let mesh: Mesh = serde_json::from_str(&said.data).ok()?;
        marks(&mesh).filter(&wanted)
    })
}

fn marks(mesh: &Mesh) -> Option<Marks> {
    let mut marks = Marks::new();
    let number = Place::servers().count();
    for server in &mesh.servers {
        for peer in &server.mesh.as_ref()?.peers {
            let Some(MeshPreshared { key: Some(mark), step: None, .. }) = &peer.preshared else { continue };
            let pair = BTreeSet::from([server.name.clone(), peer.name.clone()]);
            if marks.insert(pair, mark.clone()).is_some_and(|other| other != *mark) {
                return None;
            }
        }
    }
    let both = mesh.servers.iter().filter_map(|server| server.mesh.as_ref()).flat_map(|mesh| &mesh.peers);
    let held = both.filter(|peer| peer.preshared.as_ref().is_some_and(|it| it.key.is_some())).count();
    (marks.len() == number * (number - 1) / 2 && held == number * (number - 1)).then_some(marks)
}
