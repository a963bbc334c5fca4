//! The agent and the guard under attack, each with sessions that were open before and write in a loop: none is
//! answered when it must not be any more.
//!
//! Two sessions watch. The *near* one is on the server itself, where no packet filter is between it and PostgreSQL:
//! only an end of the processes silences it. The *far* one is in the office, behind the kernel's fence.
#![allow(clippy::print_stdout, reason = "the measured times are shown with the test")]

use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sb_e2e::{promise, throughout};
use sb_lab::fault::{Fault, Part, Target};
use sb_lab::options::Durability;
use sb_lab::picture::Picture;
use sb_lab::place::Place;
use sb_lab::recorder::{Ledger, Recorder, RecorderPlan, Silence};
use sb_lab::stage::Inside;

use crate::scene::{FAILOVER, REJOIN, Scene};

/// The lease of the default timings. The last renewal cannot have begun later than the fault.
const LEASE: Duration = Duration::from_millis(3_500);

/// The guard's silence has to be noticed first: one renewal more may be applied, and its deadline is never taken.
const UNNOTICED: Duration = Duration::from_millis(1_500);

/// Long after the deadline, and after another server has opened.
const LONG_ENOUGH: Duration = Duration::from_secs(3);

/// How often the host is frozen and thawed; `SB_E2E_THAWS` asks for more.
const THAWS: u32 = 1;

/// The moment of a fault, on the clock that the clients use and on the one that journals use.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Instant,
    stamp: Timestamp,
}

impl Moment {
    fn now() -> Self {
        Self { at: Instant::now(), stamp: Timestamp::now() }
    }

    /// How long after this moment a journal's entry was written; all servers of the lab have one clock.
    fn until(self, stamp: Timestamp) -> Duration {
        stamp.duration_since(self.stamp).try_into().unwrap_or_default()
    }

    fn until_last(self, ledger: &Ledger) -> Duration {
        let last = ledger.last_acknowledgement().expect("it wrote before the fault");
        last.saturating_duration_since(self.at)
    }
}

/// Both sessions.
struct Sessions {
    near: Recorder,
    far: Recorder,
}

impl Sessions {
    fn open(scene: &Scene, on: Place) -> Self {
        let near = scene.write(on, RecorderPlan::on_the_server(on));
        let only = RecorderPlan { from: Place::OFFICE, ..RecorderPlan::on_the_server(on) };
        let far = scene.lab().record(only).expect("clients");
        scene.written(&far, 50);
        Self { near, far }
    }

    fn acknowledged(&self) -> (usize, usize) {
        (self.near.acknowledged(), self.far.acknowledged())
    }

    fn finish(self) -> (Ledger, Ledger) {
        (self.near.finish(), self.far.finish())
    }
}

/// What an attack showed, as times since it began.
struct Shown {
    near: Duration,
    far: Duration,
    elected: Duration,
}

/// Attacks the primary, waits for another, and says when the sessions got their last answer.
fn attack(scene: &Scene, old: Place, trouble: impl FnOnce()) -> Shown {
    let sessions = Sessions::open(scene, old);
    let fault = Moment::now();
    trouble();
    silenced(scene, another_is_primary(scene, old), sessions, fault)
}

/// Nobody is answered by the old primary any more, now that there is a new one.
fn silenced(scene: &Scene, new: Place, sessions: Sessions, fault: Moment) -> Shown {
    let written = sessions.acknowledged();
    throughout("nobody is answered by the old primary", LONG_ENOUGH, || sessions.acknowledged() == written);
    let (near, far) = sessions.finish();
    let elected = fault.until(event_of(scene, new, "failover.elected").expect("it was elected"));
    let shown = Shown { near: fault.until_last(&near), far: fault.until_last(&far), elected };
    println!(
        "  last answer near {:?}, far {:?}, the next holder {:?} after the fault",
        shown.near, shown.far, shown.elected
    );
    promise!(shown.near < shown.elected, "the near session was answered after the next lease began");
    promise!(shown.far < shown.elected, "the far session was answered after the next lease began");
    shown
}

fn another_is_primary(scene: &Scene, old: Place) -> Place {
    scene.until("another server was primary", FAILOVER, |picture| {
        picture.primary().is_some_and(|server| server.place != old)
    });
    scene.primary()
}

/// When a server last wrote an entry of this kind into its journal.
fn event_of(scene: &Scene, place: Place, kind: &str) -> Option<Timestamp> {
    let last = scene.events(place).into_iter().rfind(|event| event.kind == kind)?;
    last.at.parse().ok()
}

fn newest_event(scene: &Scene, place: Place) -> u64 {
    scene.events(place).last().map_or(0, |event| event.id)
}

fn said_since(scene: &Scene, place: Place, since: u64, kind: &str) -> bool {
    scene.events(place).iter().any(|event| event.id > since && event.kind == kind)
}

fn pids(scene: &Scene, place: Place, wanted: impl Fn(Option<Part>) -> bool) -> Vec<Pid> {
    let processes = scene.lab().host(place).expect("a server").processes().expect("processes");
    let meant = processes.iter().filter(|process| wanted(process.part()));
    meant.map(|process| Pid::from_raw(process.pid)).collect()
}

fn signal(pids: &[Pid], signal: Signal) {
    for pid in pids {
        // One that has ended meanwhile needs no signal.
        let _ = kill(*pid, signal);
    }
}

fn take_away(scene: &Scene, place: Place, part: Part) {
    let killed = scene.lab().host(place).expect("a server").take_away(part).expect("signals");
    assert_eq!(killed, 1, "there was not one {part:?}");
}

fn bring_back(scene: &Scene, place: Place) {
    scene.act(&Fault::Thaw(Target::from(place)));
    scene.lab().host(place).expect("a server").switch_on();
}

pub fn agent_gone(inside: &Inside) {
    Scene::shared(inside, "agent-gone", Durability::Async, |scene| {
        let old = scene.primary();
        let shown = attack(scene, old, || take_away(scene, old, Part::Agent));
        promise!(shown.near < LEASE && shown.far < LEASE, "answered after the deadline");
        bring_back(scene, old);
    });
}

pub fn guard_killed(inside: &Inside) {
    Scene::shared(inside, "guard-killed", Durability::Async, |scene| {
        let (old, term) = (scene.primary(), scene.term());
        let before = newest_event(scene, old);
        let office = scene.write(old, RecorderPlan::office());
        let postmaster = pids(scene, old, |part| part == Some(Part::Postgres));
        let killed = Instant::now();
        scene.act(&Fault::Kill(old.into(), Part::Guard));
        scene.until("the postmaster had ended with its guard", FAILOVER, |_| {
            pids(scene, old, |part| part == Some(Part::Postgres)) != postmaster
        });
        scene.written(&office, 50);
        for kind in ["guard.lost", "guard.found"] {
            assert!(said_since(scene, old, before, kind), "the journal of `{old}` says nothing of {kind}");
        }
        let (primary, now) = (scene.primary(), scene.term());
        let ledger = scene.nothing_is_lost_after(office, primary);
        println!("  {:?} without writes; term {term}, then {now}", ledger.write_gap(killed).expect("writes"));
    });
}

/// Whoever leads next: a quick old primary proves that nothing of it is left, and opens again within its own lease.
pub fn guard_stopped(inside: &Inside) {
    Scene::shared(inside, "guard-stopped", Durability::Async, |scene| {
        let old = scene.primary();
        let before = newest_event(scene, old);
        let guard = pids(scene, old, |part| part == Some(Part::Guard));
        let sessions = Sessions::open(scene, old);
        let fault = Moment::now();
        scene.act(&Fault::Freeze(Target::from(old), Part::Guard));
        scene.until("somebody let clients in", FAILOVER, |picture| {
            let other = picture.primary().is_some_and(|server| server.place != old);
            other || said_since(scene, old, before, "clients.open")
        });
        let new = scene.primary();
        if new == old {
            silenced_until_open(scene, sessions, fault);
        } else {
            let shown = silenced(scene, new, sessions, fault);
            promise!(shown.far < LEASE, "the kernel's fence was renewed for a guard that does not answer");
            assert!(shown.near < LEASE + UNNOTICED, "nobody has ended PostgreSQL under a guard that hangs");
        }
        // Nobody thaws anything: the agent has ended the guard that hung.
        scene.until("there was a guard that works", REJOIN, |picture| {
            picture.whole() && pids(scene, old, |part| part == Some(Part::Guard)) != guard
        });
        for kind in ["guard.silent", "guard.ended"] {
            assert!(said_since(scene, old, before, kind), "the journal of `{old}` says nothing of {kind}");
        }
    });
}

/// The old primary leads on: its sessions were silenced all the same, until it let clients in again.
fn silenced_until_open(scene: &Scene, sessions: Sessions, fault: Moment) {
    let written = sessions.acknowledged();
    scene.until("both sessions write again", FAILOVER, |_| {
        let (near, far) = sessions.acknowledged();
        near > written.0 && far > written.1
    });
    let (near, far) = sessions.finish();
    let [near, far] = [near, far].map(|ledger| ledger.longest_silence(fault.at).expect("it writes again"));
    let since = |silence: &Silence| silence.from.saturating_duration_since(fault.at);
    println!("  the old primary leads on; silent near from {:?}, far from {:?}", since(&near), since(&far));
    promise!(since(&far) < LEASE, "the kernel's fence was renewed for a guard that does not answer");
    assert!(since(&near) < LEASE + UNNOTICED, "nobody has ended PostgreSQL under a guard that hangs");
}

pub fn both_gone(inside: &Inside) {
    Scene::shared(inside, "both-gone", Durability::Async, |scene| {
        let old = scene.primary();
        let shown = attack(scene, old, || {
            take_away(scene, old, Part::Agent);
            take_away(scene, old, Part::Guard);
        });
        promise!(shown.near < LEASE && shown.far < LEASE, "answered after the deadline");
        assert!(pids(scene, old, |_| true).is_empty(), "PostgreSQL outlives its guard");
        bring_back(scene, old);
    });
}

/// With both stopped nobody on the server can act: the kernel's fence alone silences the clients behind it. One on
/// the server itself goes on, which is said in the operator's guide.
pub fn both_stopped(inside: &Inside) {
    Scene::shared(inside, "both-stopped", Durability::Async, |scene| {
        let old = scene.primary();
        let far = RecorderPlan { from: Place::OFFICE, ..RecorderPlan::on_the_server(old) };
        let far = scene.write(old, far);
        let fault = Moment::now();
        scene.act(&Fault::Freeze(Target::from(old), Part::Agent));
        scene.act(&Fault::Freeze(Target::from(old), Part::Guard));
        let new = another_is_primary(scene, old);
        let written = far.acknowledged();
        throughout("nobody behind the fence is answered", LONG_ENOUGH, || far.acknowledged() == written);
        let last = fault.until_last(&far.finish());
        let elected = fault.until(event_of(scene, new, "failover.elected").expect("it was elected"));
        println!("  last answer {last:?}, the next holder {elected:?} after the fault");
        promise!(last < LEASE && last < elected, "answered after the deadline");
        bring_back(scene, old);
    });
}

pub fn thawed_async(inside: &Inside) {
    thawed(inside, "thawed-async", Durability::Async);
}

pub fn thawed_sync(inside: &Inside) {
    thawed(inside, "thawed-sync", Durability::Sync);
}

/// Everything on the host is stopped for longer than the lease, while its network goes on: requests wait in the
/// sockets. Then all go on, PostgreSQL before its guard. Behind the kernel's fence nobody may be answered; on the
/// server itself somebody may, and in `sync` nothing of that may be lost.
fn thawed(inside: &Inside, name: &'static str, durability: Durability) {
    let times = std::env::var("SB_E2E_THAWS").ok().and_then(|text| text.parse().ok()).unwrap_or(THAWS);
    Scene::shared(inside, name, durability, |scene| {
        for from in [Watch::Far, Watch::Near] {
            let mut worst = (0, Duration::ZERO);
            for _ in 0..times {
                let (answers, late) = freeze_and_thaw(scene, from, durability);
                worst = (worst.0.max(answers), worst.1.max(late));
            }
            println!(
                "  {from:?}, {times} thaws: at most {} answers, the last {:?} after it",
                worst.0, worst.1
            );
            promise!(from == Watch::Near || worst.0 == 0, "the kernel's fence let an answer pass");
        }
    });
}

/// Where the session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    Near,
    Far,
}

/// How many answers the session got after the thaw, and when the last came.
fn freeze_and_thaw(scene: &Scene, from: Watch, durability: Durability) -> (usize, Duration) {
    scene.until("every server followed the primary", REJOIN, Picture::whole);
    let old = scene.primary();
    let near = RecorderPlan::on_the_server(old);
    let plan = if from == Watch::Near { near } else { RecorderPlan { from: Place::OFFICE, ..near } };
    let session = scene.write(old, plan);
    let own = pids(scene, old, |part| matches!(part, Some(Part::Agent | Part::Guard)));
    let rest = pids(scene, old, |part| !matches!(part, Some(Part::Agent | Part::Guard)));
    signal(&own, Signal::SIGSTOP);
    signal(&rest, Signal::SIGSTOP);
    // What was forked while the list was read; what is stopped forks no more.
    signal(&pids(scene, old, |_| true), Signal::SIGSTOP);
    let new = another_is_primary(scene, old);
    let before = session.acknowledged();
    let thawed = Instant::now();
    signal(&rest, Signal::SIGCONT);
    signal(&pids(scene, old, |_| true), Signal::SIGCONT);
    scene.until("every server followed the new primary", REJOIN, |picture| {
        picture.whole() && picture.primary().is_some_and(|server| server.place != old)
    });
    let answers = session.acknowledged() - before;
    let ledger = match durability {
        Durability::Async => session.finish(),
        Durability::Sync | Durability::Strict => scene.nothing_is_lost_after(session, new),
    };
    let last = ledger.last_acknowledgement().expect("it wrote before the freeze");
    (answers, last.saturating_duration_since(thawed))
}
