//! The servers reach each other through the agents' WireGuard, and nobody else reaches them.
#![allow(clippy::print_stdout, reason = "the measured times are shown with the test")]

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use sb_api::{Mesh, MeshPeer, MeshPeerState};
use sb_e2e::eventually;
use sb_lab::fault::Fault;
use sb_lab::options::{Durability, LabOptions, Mesh as MeshChoice};
use sb_lab::picture::Picture;
use sb_lab::place::Place;
use sb_lab::recorder::RecorderPlan;
use sb_lab::stage::Inside;

use crate::agents::sb_cli;
use crate::field::told;
use crate::scene::{FAILOVER, REJOIN, Scene};

/// A packet that is dropped is never answered: how long to wait for nothing.
const SILENCE: Duration = Duration::from_millis(500);

/// A pair is down for 30 s before it gets a relay; that it is down shows after at most 35 s.
const RELAYED: Duration = Duration::from_secs(90);

/// A pair is good for 60 s before it goes without its relay; the two find each other within a few seconds.
const DIRECT: Duration = Duration::from_secs(120);

/// PostgreSQL's port, and that of the store and the peers.
const POSTGRES: u16 = 5432;
const STORE: u16 = 7432;

fn options() -> LabOptions {
    LabOptions { durability: Durability::Sync, mesh: MeshChoice::On, ..LabOptions::default() }
}

pub fn survives_the_primary(inside: &Inside) {
    Scene::shared_with(inside, "mesh", options(), |scene| {
        let old = scene.primary();
        every_pair_is_up(scene, old);
        every_pair_is_measured(scene, old);
        let visit = scene.wait_for(scene.lab().visit_from_outside()).expect("a way to the servers");
        let visit = visit.expect("an outside");
        assert_eq!(visit.asked.len(), Place::servers().count());
        assert!(visit.answered.is_empty(), "the world is answered by {:?}", visit.answered);
        let office = scene.write(old, RecorderPlan::office());
        scene.kill_host(old);
        scene.until("another server was primary", FAILOVER, |picture| {
            picture.primary().is_some_and(|server| server.place != old)
        });
        scene.written(&office, 50);
        let new = scene.primary();
        scene.return_host(old);
        scene.until("the old primary followed", REJOIN, Picture::whole);
        every_pair_is_up(scene, new);
        scene.nothing_is_lost_after(office, new);
    });
}

/// Two servers that do not reach each other go through a third one, and directly again a minute after the line has come back.
pub fn relayed(inside: &Inside) {
    Scene::shared_with(inside, "mesh-relay", options(), |scene| {
        let (primary, standby) = (scene.primary(), scene.standby());
        every_pair_is_up(scene, primary);
        let office = scene.write(primary, RecorderPlan::office());
        scene.act(&Fault::CutBoth(primary.into(), standby.into()));
        let cut = Instant::now();
        eventually("both went through a third server", RELAYED, || {
            let carrier = via(scene, primary, standby)?;
            (via(scene, standby, primary)? == carrier).then_some(())
        });
        let relayed = cut.elapsed();
        scene.until("the standby followed again", REJOIN, Picture::whole);
        let carrier = via(scene, standby, primary).expect("the line is still cut");
        assert_eq!((forwards(scene, carrier), forwards(scene, primary)), (true, false));
        assert!(told(scene, carrier, "mesh.carries"), "the carrier tells of it");
        assert!(!told(scene, standby, "mesh.restored"), "a relay is no change by hand");

        // As Docker and ufw do, without a word to the agent.
        let rules = "add table inet host; add chain inet host forward \
                     { type filter hook forward priority 10; policy drop; }";
        run(scene, carrier, "nft", vec![rules.to_owned()]);
        let dropped = Instant::now();
        eventually("both went through another server", RELAYED, || {
            let other = via(scene, primary, standby)?;
            (other != carrier && via(scene, standby, primary)? == other).then_some(())
        });
        println!("  through another one {:?} after the carrier passed nothing on", dropped.elapsed());
        run(scene, carrier, "nft", vec!["delete table inet host".to_owned()]);
        scene.until("the standby followed through the other", REJOIN, Picture::whole);
        let carrier = via(scene, standby, primary).expect("the line is still cut");

        scene.act(&Fault::Heal);
        let healed = Instant::now();
        eventually("both went directly again", DIRECT, || {
            (via(scene, primary, standby).is_none() && via(scene, standby, primary).is_none()).then_some(())
        });
        println!("  through a third server after {relayed:?}, directly again after {:?}", healed.elapsed());
        eventually("the carrier carried nobody", FAILOVER, || (!forwards(scene, carrier)).then_some(()));
        assert!(told(scene, primary, "mesh.relay.ended") && told(scene, standby, "mesh.relay.ended"));
        scene.until("the standby followed directly", REJOIN, Picture::whole);
        scene.nothing_is_lost_after(office, standby);
    });
}

/// Through whom a server reaches another, by its own word.
fn via(scene: &Scene, from: Place, to: Place) -> Option<Place> {
    let said = sb_cli(scene, from, &["net", "status", "--output", "json"]).data;
    let mesh: Mesh = serde_json::from_str(&said).ok()?;
    let own = mesh.servers.into_iter().find(|server| server.name == from.name())?.mesh?;
    let via = own.peers.into_iter().find(|peer| peer.name == to.name())?.via?;
    Place::servers().find(|place| place.name() == via)
}

/// Whether a server's kernel passes on what comes in through the tunnel.
fn forwards(scene: &Scene, server: Place) -> bool {
    let path = format!("/proc/sys/net/ipv4/conf/{}/forwarding", server.name());
    let reading = scene.lab().client(server, move |_| async move { std::fs::read_to_string(path) });
    scene.wait_for(reading).expect("a client").expect("the setting is read").trim() == "1"
}

/// The faults of single ports see what is inside the tunnels, and nothing else stops there.
pub fn a_port_is_cut_inside(inside: &Inside) {
    Scene::shared_with(inside, "mesh-cut-port", options(), |scene| {
        let (primary, standby) = (scene.primary(), scene.standby());
        let connects = |port: u16| {
            let to = SocketAddr::from((primary.address(), port));
            let connecting = scene
                .lab()
                .client(standby, move |_| async move { TcpStream::connect_timeout(&to, SILENCE).is_ok() });
            scene.wait_for(connecting).expect("a client")
        };
        eventually("PostgreSQL answers through the mesh", FAILOVER, || connects(POSTGRES).then_some(()));
        scene.act(&Fault::CutPort(POSTGRES));
        assert!(!connects(POSTGRES), "the port is not cut");
        eventually("the store answers through the mesh", FAILOVER, || connects(STORE).then_some(()));
        scene.act(&Fault::Heal);
        eventually("PostgreSQL answers again", FAILOVER, || connects(POSTGRES).then_some(()));
    });
}

/// Somebody takes a peer away with the distribution's `wg`, as on any WireGuard interface.
pub fn put_right(inside: &Inside) {
    Scene::shared_with(inside, "mesh-by-hand", options(), |scene| {
        let (server, peer) = (scene.standby(), Place::OFFICE);
        every_pair_is_up(scene, scene.primary());
        let said = sb_cli(scene, server, &["net", "status", "--output", "json"]).data;
        let mesh: Mesh = serde_json::from_str(&said).expect("a mesh");
        let own = mesh.servers.into_iter().find(|it| it.name == server.name()).and_then(|it| it.mesh);
        let peers = own.expect("an interface").peers;
        let key =
            peers.into_iter().find(|it| it.name == peer.name()).expect("the office is a peer").public_key;
        wg(scene, server, ["set", server.name(), "peer", &key, "remove"].map(str::to_owned).to_vec());
        eventually("the journal told of the change", FAILOVER, || {
            told(scene, server, "mesh.restored").then_some(())
        });
        let shown = wg(scene, server, ["show", server.name(), "peers"].map(str::to_owned).to_vec());
        assert!(shown.contains(&key), "`wg` shows {shown}");
    });
}

/// Runs `wg` on a server, and returns what it printed.
fn wg(scene: &Scene, server: Place, arguments: Vec<String>) -> String {
    run(scene, server, "wg", arguments)
}

/// Runs a program on a server to its end, and returns what it printed.
fn run(scene: &Scene, server: Place, program: &'static str, arguments: Vec<String>) -> String {
    let running = scene.lab().client(server, move |_| async move {
        let output = std::process::Command::new(program).args(arguments).output().expect("it is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    scene.wait_for(running).expect("it runs")
}

/// By the word of every server, asked of one of them.
pub fn every_pair_is_up(scene: &Scene, at: Place) {
    eventually("every pair of servers had a session", REJOIN, || {
        let said = sb_cli(scene, at, &["net", "matrix", "--output", "json"]).data;
        let mesh: Mesh = serde_json::from_str(&said).expect("a mesh");
        pairs_without_session(&mesh).is_empty().then_some(())
    });
}

/// Round trips, the size of packets and clocks, which of all servers of a lab are the same one.
fn every_pair_is_measured(scene: &Scene, at: Place) {
    eventually("every pair of servers had been probed", REJOIN, || {
        let said = sb_cli(scene, at, &["net", "matrix", "--output", "json"]).data;
        let mesh: Mesh = serde_json::from_str(&said).expect("a mesh");
        let names: BTreeSet<&str> = mesh.servers.iter().map(|server| server.name.as_str()).collect();
        let peers =
            mesh.servers.iter().filter_map(|server| server.mesh.as_ref()).flat_map(|mesh| &mesh.peers);
        let measured = peers.filter(|peer| names.contains(peer.name.as_str()) && is_measured(peer)).count();
        (measured == names.len() * (names.len() - 1)).then_some(())
    });
}

fn is_measured(peer: &MeshPeer) -> bool {
    let clock = peer.clock_offset_us.zip(peer.clock_uncertainty_us);
    let clock_is_right = clock.is_some_and(|(offset, within)| offset.unsigned_abs() <= within + 1_000);
    peer.round_trip_us.is_some() && peer.full_size == Some(true) && clock_is_right
}

fn pairs_without_session(mesh: &Mesh) -> Vec<String> {
    let names: Vec<&str> = mesh.servers.iter().map(|server| server.name.as_str()).collect();
    let mut unheard = Vec::new();
    for server in &mesh.servers {
        let peers = server.mesh.as_ref().map(|mesh| mesh.peers.as_slice()).unwrap_or_default();
        for other in names.iter().filter(|other| **other != server.name) {
            let up = peers.iter().any(|peer| peer.name == **other && peer.state == MeshPeerState::Up);
            if !up {
                unheard.push(format!("{} and {other}", server.name));
            }
        }
    }
    unheard
}
