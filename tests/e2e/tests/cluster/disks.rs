//! Disks that fill up and disks that hang, below a running primary and its agent.

use std::time::Duration;

use sb_e2e::plain_lab;
use sb_lab::fault::{Fault, Part};
use sb_lab::options::{Durability, Equipment, LabOptions};
use sb_lab::picture::Picture;
use sb_lab::place::Place;
use sb_lab::recorder::RecorderPlan;
use sb_lab::stage::Inside;

use crate::agents::{part, sb_cli};
use crate::field::{MESSAGE_BYTES, superuser, told};
use crate::scene::{FAILOVER, REJOIN, Scene};

/// Longer than any case.
const FOR_EVER: Duration = Duration::from_secs(600);

/// More segments than PostgreSQL may have made before they were needed.
const MESSAGES_MAX: usize = 64;

/// Each server with a disk of its own, on which everything can go wrong; commits wait for another site.
fn with_disks() -> LabOptions {
    LabOptions { durability: Durability::Sync, equipment: Equipment::Disks, ..plain_lab() }
}

fn another_leads(scene: &Scene, old: Place) {
    scene.until("another server was primary", FAILOVER, |picture| {
        picture.primary().is_some_and(|server| server.place != old)
    });
}

/// What the agent there says about its own server.
fn problems(scene: &Scene, at: Place) -> String {
    sb_cli(scene, at, &["status"]).data
}

/// patroni #1732, #2997, #3102: the disk of the primary fills up, with its log, its data and the agent's state on it.
/// PostgreSQL ends and cannot be started; the agent works on, gives the lease back, and says what is wrong.
pub fn full(inside: &Inside) {
    Scene::shared_with(inside, "full-disk", with_disks(), |scene| {
        let (old, term) = (scene.primary(), scene.term());
        let office = scene.write(old, RecorderPlan::office());
        let agent = part(scene, old, Part::Agent).expect("an agent");

        scene.act(&Fault::FillDisk(old.into()));
        let message = format!("select pg_logical_emit_message(false, 'lab', repeat('x', {MESSAGE_BYTES}))");
        let written = (0..MESSAGES_MAX).take_while(|_| superuser(scene, old, &message).is_some()).count();
        assert!(written < MESSAGES_MAX, "the disk does not fill up");
        another_leads(scene, old);
        scene.written(&office, 50);

        assert_eq!(part(scene, old, Part::Agent), Some(agent), "the agent did not live on");
        scene.until("the agent said what is wrong", FAILOVER, |_| {
            told(scene, old, "disk.full") && problems(scene, old).contains("is full or nearly so")
        });
        scene.act(&Fault::FreeDisk(old.into()));
        scene.until("the old primary had rejoined", REJOIN, Picture::whole);
        scene.until("the reserve was whole again", FAILOVER, |_| told(scene, old, "disk.room"));
        assert!(scene.term() > term, "nothing was handed on");
        let new = scene.primary();
        scene.nothing_is_lost_after(office, new);
    });
}

/// patroni #2380, cloudnative-pg #10678: the disk of the data directory answers nothing any more, while the store's log is
/// on another one and the agent's renewals would go on for ever. The server notices by a write of its own and lets the
/// lease lapse; the guard ends PostgreSQL without that disk.
pub fn hung(inside: &Inside) {
    Scene::shared_with(inside, "hung-disk", with_disks(), |scene| {
        let old = scene.primary();
        let office = scene.write(old, RecorderPlan::office());
        let host = scene.lab().host(old).expect("a server");
        let brake = &host.trouble().expect("a disk").brake;
        brake.spare(host.directories().state.join("raft"));
        let hung_ms = u32::try_from(FOR_EVER.as_millis()).expect("a short eternity");
        scene.act(&Fault::SlowDisk(old.into(), hung_ms));

        another_leads(scene, old);
        assert!(told(scene, old, "storage.hangs"), "nobody noticed the disk");
        assert!(problems(scene, old).contains("has not answered a write"), "{}", problems(scene, old));
        scene.written(&office, 50);

        scene.act(&Fault::SlowDisk(old.into(), 0));
        scene.until("the old primary had rejoined", REJOIN, Picture::whole);
        scene.until("the disk was said to answer", FAILOVER, |_| told(scene, old, "storage.answers"));
        let new = scene.primary();
        scene.nothing_is_lost_after(office, new);
    });
}
