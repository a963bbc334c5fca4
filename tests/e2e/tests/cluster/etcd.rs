//! The same cluster with its record in a real etcd of five members, one at each site: what a server loses takes its
//! member along, and what etcd loses must cost no more than a lease.
#![allow(clippy::print_stdout, reason = "the measured times are shown with the test")]

use std::time::{Duration, Instant};

use sb_e2e::{plain_lab, promise, throughout};
use sb_lab::cluster::etcd;
use sb_lab::fault::{Fault, Part, Target};
use sb_lab::options::{Durability, Failsafe, LabOptions, StoreChoice};
use sb_lab::place::Place;
use sb_lab::recorder::RecorderPlan;
use sb_lab::stage::Inside;

use crate::scene::{FAILOVER, Scene};

/// Shorter than a lease less its fence, with room for the elections that follow a thaw.
const SHORT_STALL: Duration = Duration::from_millis(1_200);

/// Long after the deadline: what answers now answers for ever.
const LONG_ENOUGH: Duration = Duration::from_secs(3);

/// Twice the default lease, several times the first round of the failsafe.
const WITHOUT_ETCD: Duration = Duration::from_secs(7);

/// No renewal, no fence, no election: whatever stops writes for longer than this was one of them.
const HICCUP: Duration = Duration::from_millis(2_000);

fn on_etcd(durability: Durability, failsafe: Failsafe) -> LabOptions {
    LabOptions { durability, store: StoreChoice::Etcd, failsafe, ..plain_lab() }
}

fn shared(inside: &Inside, name: &'static str, case: impl FnOnce(&Scene)) {
    Scene::shared_with(inside, name, on_etcd(Durability::Sync, Failsafe::Off), case);
}

fn another_is_primary(scene: &Scene, old: Place) -> Place {
    scene.until("another server was primary", FAILOVER, |picture| {
        picture.primary().is_some_and(|server| server.place != old)
    });
    scene.primary()
}

pub fn host_loss(inside: &Inside) {
    shared(inside, "etcd-host-loss", |scene| {
        let old = scene.primary();
        assert!(etcd::has_member(old), "the cluster begins where a member of etcd is");
        let office = scene.write(old, RecorderPlan::office());
        let fault = Instant::now();
        scene.kill_host(old);
        let new = another_is_primary(scene, old);
        scene.written(&office, 50);
        scene.return_host(old);
        let ledger = scene.nothing_is_lost_after(office, new);
        println!("  {:?} without writes", ledger.write_gap(fault).expect("writes"));
    });
}

pub fn partition(inside: &Inside) {
    shared(inside, "etcd-partition", |scene| {
        let old = scene.primary();
        // On the server itself: the cut does not take its session away, only the fence can.
        let near = scene.write(old, RecorderPlan::on_the_server(old));
        scene.act(&Fault::Isolate(Target::site_of(old)));
        let new = another_is_primary(scene, old);
        let opened = Instant::now();
        let written = near.acknowledged();
        throughout("the primary that is cut off answers nobody", LONG_ENOUGH, || {
            promise!(near.acknowledged() == written, "the primary that is cut off answers");
            true
        });
        let ledger = scene.nothing_is_lost_after(near, new);
        promise!(ledger.last_acknowledgement().expect("writes") < opened, "two servers acknowledged at once");
        scene.act(&Fault::Heal);
        writes_go_on(scene);
    });
}

pub fn short_stall(inside: &Inside) {
    shared(inside, "etcd-short-stall", |scene| {
        let (primary, term) = (scene.primary(), scene.term());
        let office = scene.write(primary, RecorderPlan::office());
        let fault = Instant::now();
        scene.act(&Fault::Freeze(Target::everywhere(), Part::Etcd));
        std::thread::sleep(SHORT_STALL);
        scene.act(&Fault::Thaw(Target::everywhere()));
        throughout("the primary stays", LONG_ENOUGH, || scene.term() == term && scene.primary() == primary);
        scene.written(&office, 50);
        let ledger = scene.nothing_is_lost_after(office, primary);
        let gap = ledger.write_gap(fault).expect("writes");
        println!("  {gap:?} without writes");
        assert!(gap < HICCUP, "{gap:?} without writes");
    });
}

pub fn fenced(inside: &Inside) {
    shared(inside, "etcd-fenced", |scene| {
        let old = scene.primary();
        let near = scene.write(old, RecorderPlan::on_the_server(old));
        scene.act(&Fault::Freeze(Target::everywhere(), Part::Etcd));
        let lease_ends = Instant::now() + rest_of_the_lease(scene, old);
        scene.until("the primary was fenced", FAILOVER, |picture| picture.primary().is_none());
        let written = near.acknowledged();
        throughout("nobody is primary without the store", LONG_ENOUGH, || {
            near.acknowledged() == written && scene.picture().primary().is_none()
        });
        let ledger = near.finish();
        let last = ledger.last_acknowledgement().expect("it wrote before");
        println!("  last answer {:?} before the lease ended", lease_ends.saturating_duration_since(last));
        promise!(last < lease_ends, "an answer after the lease had ended");
        scene.act(&Fault::Thaw(Target::everywhere()));
        // The same one, when it comes before the others; nobody has taken over meanwhile.
        scene.until("there was a primary", FAILOVER, |picture| picture.primary().is_some());
        scene.nothing_is_lost_of(&ledger, scene.primary());
        writes_go_on(scene);
    });
}

fn writes_go_on(scene: &Scene) {
    let ledger = scene.write(scene.primary(), RecorderPlan::office()).finish();
    assert!(ledger.acknowledged() > 0, "nothing was acknowledged any more");
}

fn rest_of_the_lease(scene: &Scene, primary: Place) -> Duration {
    let picture = scene.picture();
    let status = picture.server(primary).and_then(|server| server.status.as_ref());
    let lease = status.and_then(|status| status.lease).expect("a lease");
    Duration::from_millis(lease.remaining_ms)
}

/// Three of five members are gone for twice the lease. Everybody who could take over promises not to.
pub fn failsafe(inside: &Inside) {
    let options = on_etcd(Durability::Async, Failsafe::On);
    Scene::shared_with(inside, "etcd-failsafe", options, |scene| {
        let (primary, term) = (scene.primary(), scene.term());
        let office = scene.write(primary, RecorderPlan::office());
        let fault = Instant::now();
        let lost: Vec<Place> = etcd::members().take(3).collect();
        for place in &lost {
            let killed = scene.lab().host(*place).expect("a server").take_away(Part::Etcd).expect("signals");
            assert_eq!(killed, 1, "`{place}` had no member of etcd");
        }
        throughout("the primary stays", WITHOUT_ETCD, || scene.term() == term && scene.primary() == primary);
        scene.written(&office, 50);
        let holds = scene.events(primary).iter().any(|event| event.kind == "failsafe.holds");
        assert!(holds, "the journal of `{primary}` says nothing of the failsafe");
        for place in &lost {
            scene.lab().host(*place).expect("a server").switch_on();
        }
        scene.until("the store took writes again", FAILOVER, |_| {
            scene.events(primary).iter().any(|event| event.kind == "failsafe.ended")
        });
        assert_eq!((scene.primary(), scene.term()), (primary, term), "the failsafe saved nothing");
        let ledger = scene.nothing_is_lost_after(office, primary);
        let gap = ledger.write_gap(fault).expect("writes");
        println!("  {gap:?} without writes");
        assert!(gap < HICCUP, "{gap:?} without writes");
    });
}
