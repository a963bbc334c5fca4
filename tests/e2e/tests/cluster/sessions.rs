//! A session that was open before a partition gets no acknowledgement after the fence.

use std::time::{Duration, Instant};

use sb_e2e::throughout;
use sb_lab::fault::{Fault, Part, Target};
use sb_lab::options::Durability;
use sb_lab::recorder::RecorderPlan;
use sb_lab::stage::Inside;

use crate::scene::{FAILOVER, REJOIN, Scene};

/// The lease of the default timings. The guard fences before its end, so no answer may come later than this after the
/// links are cut: the last renewal cannot have begun later.
const LEASE: Duration = Duration::from_millis(3_500);

/// Long after the fence, and after another server has opened.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

pub fn agent_alive(inside: &Inside) {
    no_answer_after_the_fence(inside, "open-session", |_| {});
}

pub fn agent_stopped(inside: &Inside) {
    no_answer_after_the_fence(inside, "open-session-stopped", |scene| {
        scene.act(&Fault::Freeze(Target::from(scene.primary()), Part::Agent));
    });
}

fn no_answer_after_the_fence(inside: &Inside, name: &'static str, trouble: impl Fn(&Scene)) {
    let scene = Scene::up(inside, name, Durability::Async);
    let old = scene.primary();
    // The client is on the server itself: the cut does not take its session away, only the fence can.
    let session = scene.write(old, RecorderPlan::on_the_server(old));

    trouble(&scene);
    let cut = Instant::now();
    scene.lab().links().unplug(old);
    scene.until("another server was primary", FAILOVER, |picture| {
        picture.primary().is_some_and(|server| server.place != old)
    });
    let opened = Instant::now();
    let written = session.acknowledged();
    throughout("the old primary acknowledges nothing", LONG_ENOUGH, || session.acknowledged() == written);
    let ledger = session.finish();
    let last = ledger.last_acknowledgement().expect("it wrote before the cut");
    assert!(last < cut + LEASE, "an acknowledgement {:?} after the cut", last.duration_since(cut));
    assert!(last < opened, "two servers acknowledged at once");

    scene.act(&Fault::Thaw(Target::from(old)));
    scene.lab().links().heal();
    scene.until("the old primary had rejoined", REJOIN, sb_lab::picture::Picture::whole);
}
