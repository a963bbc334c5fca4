//! The store hangs on every server while all else goes on: with the failsafe the primary goes on by everybody's
//! promise, without it or without one of the promises it ends with its lease.
#![allow(clippy::print_stdout, reason = "the measured times are shown with the test")]

use std::time::{Duration, Instant};

use sb_api::FailsafePart;
use sb_e2e::{plain_lab, throughout};
use sb_lab::fault::{Fault, Part, Target};
use sb_lab::options::{Durability, Equipment, Failsafe, LabOptions};
use sb_lab::picture::Picture;
use sb_lab::place::Place;
use sb_lab::recorder::{Recorder, RecorderPlan};
use sb_lab::stage::Inside;

use crate::agents::sb_cli;
use crate::scene::{FAILOVER, REJOIN, Scene};

/// Longer than the lease and everything that a takeover waits for.
const HANG: Duration = Duration::from_secs(5);

/// By how much the last renewal that counts may reach beyond the lease as it was seen before the trouble.
const RENEWED: Duration = Duration::from_secs(1);

/// How long nothing may be acknowledged after the lease, before the store goes on.
const SILENCE: Duration = Duration::from_millis(1_500);

/// What a primary that goes on may keep clients waiting for: they write every 40 ms, on a busy machine.
const HARDLY_NOTICED: Duration = Duration::from_millis(1_500);

fn options(failsafe: Failsafe) -> LabOptions {
    let equipment = Equipment::Disks;
    LabOptions { durability: Durability::Async, equipment, failsafe, ..plain_lab() }
}

pub fn everybody_promises(inside: &Inside) {
    Scene::shared_with(inside, "failsafe", options(Failsafe::On), |scene| {
        let (primary, term) = (scene.primary(), scene.term());
        let office = scene.write(primary, RecorderPlan::office());

        let began = hang_the_store(scene, HANG);
        scene.until("the primary went on without the store", HANG, |picture| {
            part(picture, primary) == Some(FailsafePart::Holds)
        });
        let status = sb_cli(scene, primary, &["status"]).data;
        assert!(status.contains("FAILSAFE: ") && status.contains("DEGRADED"), "{status}");
        scene.until("the store took renewals again", FAILOVER, |picture| part(picture, primary).is_none());
        scene.written(&office, 50);

        assert!(began.elapsed() > HANG, "the store did not hang");
        assert_eq!((scene.primary(), scene.term()), (primary, term), "{}", scene.kept_logs());
        assert!(journal_tells(scene, primary, "failsafe.holds"));
        assert!(journal_tells(scene, primary, "failsafe.ended"));
        let gap = scene.nothing_is_lost_after(office, primary).write_gap(began).expect("writes went on");
        println!("  longest time without writes: {gap:?}");
        assert!(gap < HARDLY_NOTICED, "nothing was written for {gap:?}\n{}", scene.kept_logs());
    });
}

pub fn one_does_not_answer(inside: &Inside) {
    Scene::shared_with(inside, "failsafe-refused", options(Failsafe::On), |scene| {
        let (primary, silent) = (scene.primary(), scene.standby());
        let session = scene.write(primary, RecorderPlan::on_the_server(primary));
        scene.act(&Fault::Freeze(Target::from(silent), Part::Agent));
        ends_with_its_lease(scene, primary, &session);
        scene.act(&Fault::Thaw(Target::from(silent)));
        scene.until("every server followed a primary again", REJOIN, Picture::whole);
        drop(session.finish());
    });
}

pub fn nobody_is_asked(inside: &Inside) {
    Scene::shared_with(inside, "no-failsafe", options(Failsafe::Off), |scene| {
        let primary = scene.primary();
        let session = scene.write(primary, RecorderPlan::on_the_server(primary));
        ends_with_its_lease(scene, primary, &session);
        assert!(!journal_tells(scene, primary, "failsafe.holds"));
        scene.until("every server followed a primary again", REJOIN, Picture::whole);
        drop(session.finish());
    });
}

/// Lets the store hang, and fails when a client on the primary itself is answered after its lease, which is as long
/// as the trouble before has made it.
fn ends_with_its_lease(scene: &Scene, primary: Place, session: &Recorder) {
    let picture = scene.picture();
    let lease = picture.server(primary).and_then(|server| server.status.as_ref()?.lease);
    let lease = Duration::from_millis(lease.expect("a primary has a lease").remaining_ms) + RENEWED;
    let began = hang_the_store(scene, lease + SILENCE);
    std::thread::sleep(lease.saturating_sub(began.elapsed()));
    let written = session.acknowledged();
    throughout("nothing is acknowledged", SILENCE, || session.acknowledged() == written);
    println!("  nothing was acknowledged from {lease:?} after the store's last word on");
}

/// Lets the store hang on every server. What counted was sent before the moment that is returned.
fn hang_the_store(scene: &Scene, time: Duration) -> Instant {
    let time_ms = u32::try_from(time.as_millis()).expect("seconds");
    for place in Place::servers() {
        scene.act(&Fault::HangStore(place.into(), time_ms));
    }
    Instant::now()
}

fn part(picture: &Picture, place: Place) -> Option<FailsafePart> {
    picture.server(place)?.status.as_ref()?.failsafe
}

fn journal_tells(scene: &Scene, place: Place, kind: &str) -> bool {
    scene.events(place).iter().any(|event| event.kind == kind)
}
