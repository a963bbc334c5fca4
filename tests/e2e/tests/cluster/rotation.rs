//! A server's WireGuard key is replaced while packets flow.
#![allow(clippy::print_stdout, reason = "the measured times are shown with the test")]

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sb_api::Mesh;
use sb_e2e::eventually;
use sb_lab::fault::{Fault, Part};
use sb_lab::options::{Durability, LabOptions, Mesh as MeshChoice};
use sb_lab::picture::Picture;
use sb_lab::place::Place;
use sb_lab::recorder::RecorderPlan;
use sb_lab::stage::Inside;

use crate::agents::sb_cli;
use crate::field::told;
use crate::mesh::every_pair_is_up;
use crate::scene::{REJOIN, Scene};

/// Where a server sends packets back to whoever sent them.
const ECHO_PORT: u16 = 7_007;

/// Between two packets of the load.
const PACE: Duration = Duration::from_millis(10);

/// The bar is one second; a machine that does other things at the same time must not fail the test.
pub const GAP_MAX: Duration = Duration::from_secs(5);

/// Much longer than a rotation takes.
const ROTATED: Duration = Duration::from_secs(60);

/// Under load; then with a server that is switched off; then with the agent killed in the middle. The cluster is left to
/// nobody: the office, which is told no new keys, does not reach that server any more.
pub fn under_load(inside: &Inside) {
    let options = LabOptions { durability: Durability::Sync, mesh: MeshChoice::On, ..LabOptions::default() };
    let scene = &Scene::up(inside, "mesh-rotation", options);
    let (primary, owner) = (scene.primary(), scene.standby());
    every_pair_is_up(scene, primary);
    let office = scene.write(primary, RecorderPlan::office());
    let first = key_of(scene, owner);
    gaps_are_short(scene, owner);
    let second = key_of(scene, owner);
    assert_ne!(first, second);
    assert!(told(scene, owner, "mesh.rotation.done"));
    every_pair_is_up(scene, primary);

    let away = scene.lab().databases().find(|it| *it != primary && *it != owner).expect("a third server");
    scene.kill_host(away);
    let said = sb_cli(scene, owner, &["net", "rotate-key"]);
    assert_eq!(said.status, 0, "{said:?}");
    let third = key_of(scene, owner);
    assert_ne!(second, third);
    scene.return_host(away);
    every_pair_is_up(scene, primary);

    // It is begun and not waited for.
    let said = sb_cli(scene, owner, &["net", "rotate-key", owner.name(), "--timeout", "1s"]);
    assert!([0, 5].contains(&said.status), "{said:?}");
    scene.act(&Fault::Kill(owner.into(), Part::Agent));
    eventually("the agent went on with it", ROTATED, || {
        let key = current_key(scene, owner)?;
        (key != third && ended(scene, owner)).then_some(())
    });
    every_pair_is_up(scene, primary);
    scene.until("everybody followed", REJOIN, Picture::whole);
    scene.nothing_is_lost_after(office, primary);
}

fn gaps_are_short(scene: &Scene, owner: Place) {
    let (said, gaps) = gaps_of(scene, owner, || sb_cli(scene, owner, &["net", "rotate-key", owner.name()]));
    assert_eq!(said.status, 0, "{said:?}");
    assert!(said.data.contains("public key"), "{said:?}");
    println!("  {}", said.data.trim());
    println!("  longest gaps: {gaps:?}");
    assert!(gaps.iter().all(|(_, gap)| *gap < GAP_MAX), "{gaps:?}");
}

/// The longest times without an echo while `work` goes on, of packets that every other server sends to `owner`.
pub fn gaps_of<T>(scene: &Scene, owner: Place, work: impl FnOnce() -> T) -> (T, Vec<(Place, Duration)>) {
    let stop = Arc::new(AtomicBool::new(false));
    let begin = |place: Place, work: fn(Place, &AtomicBool) -> io::Result<Duration>| {
        let stop = stop.clone();
        let running = scene.lab().client(place, move |_| async move {
            // The thread stays in this one's network namespace.
            std::thread::spawn(move || work(owner, &stop))
        });
        (place, scene.wait_for(running).expect("a thread"))
    };
    let echo = begin(owner, send_back);
    let pings: Vec<_> =
        Place::servers().filter(|place| *place != owner).map(|place| begin(place, longest_gap)).collect();
    let worked = work();
    stop.store(true, Ordering::Relaxed);
    let end = |(place, thread): (Place, JoinHandle<io::Result<Duration>>)| {
        (place, thread.join().expect("no panic").unwrap_or_else(|error| panic!("`{place}`: {error}")))
    };
    end(echo);
    (worked, pings.into_iter().map(end).collect())
}

fn send_back(owner: Place, stop: &AtomicBool) -> io::Result<Duration> {
    let socket = UdpSocket::bind((owner.address(), ECHO_PORT))?;
    socket.set_read_timeout(Some(PACE))?;
    let mut packet = [0; 16];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((bytes, from)) = socket.recv_from(&mut packet) {
            // A moment without a way back is what is measured.
            let _ = socket.send_to(&packet[..bytes], from);
        }
    }
    Ok(Duration::ZERO)
}

fn longest_gap(owner: Place, stop: &AtomicBool) -> io::Result<Duration> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect((owner.address(), ECHO_PORT))?;
    socket.set_read_timeout(Some(PACE))?;
    let (mut heard, mut longest) = (None::<Instant>, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let _ = socket.send(b"echo");
        if socket.recv(&mut [0; 16]).is_ok() {
            let before = heard.replace(Instant::now());
            longest = longest.max(before.map(|at| at.elapsed()).unwrap_or_default());
        }
        std::thread::sleep(PACE);
    }
    let heard = heard.ok_or_else(|| io::Error::other("it was never answered"))?;
    Ok(longest.max(heard.elapsed()))
}

/// A server's key by its own word; none while its agent does not answer.
fn current_key(scene: &Scene, server: Place) -> Option<String> {
    let said = sb_cli(scene, server, &["net", "status", "--output", "json"]);
    let mesh: Mesh = serde_json::from_str(&said.data).ok()?;
    let own = mesh.servers.into_iter().find(|it| it.name == server.name())?;
    Some(own.mesh?.public_key)
}

fn key_of(scene: &Scene, server: Place) -> String {
    current_key(scene, server).expect("the agent answers")
}

/// Whether no operation of a server runs.
pub fn ended(scene: &Scene, server: Place) -> bool {
    let said = sb_cli(scene, server, &["ops", "list", "--output", "json"]);
    said.status == 0 && !said.data.contains("\"running\"")
}
