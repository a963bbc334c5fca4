//! Two sites: with a witness at a third, and without; and lines that are cut between some servers only.
#![allow(clippy::print_stdout, reason = "the measured times are shown with the test")]

use std::time::{Duration, Instant};

use sb_api::Role;
use sb_e2e::{plain_lab, promise, throughout};
use sb_lab::fault::{Fault, Part, Target};
use sb_lab::layout::{Duty, Layout};
use sb_lab::options::{Durability, LabOptions};
use sb_lab::picture::{Picture, ServerPicture};
use sb_lab::place::Place;
use sb_lab::recorder::RecorderPlan;
use sb_lab::stage::Inside;

use crate::agents::sb_cli;
use crate::scene::{FAILOVER, REJOIN, Scene};

/// Twice the default lease, and the time in which a candidate would have stepped in.
const NOBODY: Duration = Duration::from_secs(7);

/// Longer than the lease, so that a primary which had lost it would be gone.
const STEADY: Duration = Duration::from_secs(5);

/// The default lease. Its holder counts it from before it asked, so no answer comes later than this after a cut.
const LEASE: Duration = Duration::from_millis(3_500);

/// Plays a case on these sites, with commits that wait for another one.
fn at(inside: &Inside, name: &'static str, layout: Layout, case: impl FnOnce(&Scene)) {
    let options = LabOptions { layout, durability: Durability::Sync, ..plain_lab() };
    Scene::shared_with(inside, name, options, case);
}

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
    at(inside, "two-sites", Layout::TwoSites, |scene| {
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
    at(inside, "witness-lost", Layout::TwoSites, |scene| {
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

/// patroni #2523: the line between two sites is cut, and both reach the witness. Writes go on, and everybody is told that
/// they are in one place only.
pub fn the_line_is_cut(inside: &Inside) {
    at(inside, "line-cut", Layout::TwoSites, |scene| {
        synchronous(scene);
        let (primary, other, term) = (scene.primary(), scene.standby(), scene.term());
        let office = scene.write(primary, RecorderPlan::office());
        scene.act(&Fault::CutBoth(primary.into(), other.into()));
        let cut = Instant::now();
        scene.until("the fall back was on record", FAILOVER, |_| degraded(scene, primary).is_some());
        scene.written(&office, 50);
        let status = sb_cli(scene, witness(), &["status"]);
        assert!(status.data.contains("DEGRADED"), "{status:?}");
        assert_eq!((scene.primary(), scene.term()), (primary, term));
        scene.act(&Fault::Heal);
        synchronous(scene);
        let ledger = scene.nothing_is_lost_after(office, other);
        println!("  {:?} without writes at most", ledger.write_gap(cut));
    });
}

/// patroni #1182 without a third voter: nobody takes over by itself, the operator is told so, and one command ends it.
pub fn a_person_decides_between_two_sites(inside: &Inside) {
    at(inside, "two-sites-alone", Layout::TwoSitesAlone, |scene| {
        synchronous(scene);
        let (old, asked) = (scene.primary(), scene.standby());
        let status = sb_cli(scene, asked, &["status"]);
        assert!(status.data.contains("no server takes over by itself"), "{status:?}");
        let office = scene.write(old, RecorderPlan::office());
        scene.kill_host(old);
        scene.until("nobody led", FAILOVER, |picture| picture.primary().is_none());
        throughout("nobody takes over", NOBODY, || scene.picture().primary().is_none());
        let status = sb_cli(scene, asked, &["status"]);
        assert!(status.data.contains("a person must name the next one"), "{status:?}");
        let explained = sb_cli(scene, asked, &["explain"]);
        let told = explained.data.lines().find_map(|line| line.split_once("sb-cli failover --to "));
        let (_, to) = told.unwrap_or_else(|| panic!("no command is told: {explained:?}"));
        let sure = ["--yes", "--expect-primary", old.name()];
        let moved = sb_cli(scene, asked, &[&["failover", "--to", to], &sure[..]].concat());
        assert_eq!(moved.status, 0, "{moved:?}");
        scene.written(&office, 50);
        let new = scene.primary();
        assert_eq!(new.name(), to);
        scene.return_host(old);
        scene.nothing_is_lost_after(office, new);
    });
}

/// patroni #2523 at five sites, and voters alone: a line cut between the primary and one voter, a voter that is cut off
/// from everybody and returns: neither moves the primary nor the term. A primary that is cut off with a minority
/// acknowledges nothing after its fence, and rejoins.
pub fn voters_are_cut_off(inside: &Inside) {
    Scene::shared(inside, "cut-off", Durability::Sync, |scene| {
        let (old, voter, term) = (scene.primary(), scene.standby(), scene.term());
        let office = scene.write(old, RecorderPlan::office());
        let cut = Instant::now();
        scene.act(&Fault::CutBoth(old.into(), voter.into()));
        throughout("the primary leads on", STEADY, || leads(&scene.picture(), old));
        scene.act(&Fault::Heal);
        scene.act(&Fault::Isolate(voter.into()));
        throughout("the primary leads on", STEADY, || leads(&scene.picture(), old));
        scene.act(&Fault::Heal);
        scene.until("the voter was back", REJOIN, Picture::whole);
        scene.written(&office, 20);
        assert_eq!((scene.primary(), scene.term(), degraded(scene, old)), (old, term, None));

        let ledger = scene.nothing_is_lost_after(office, voter);
        println!("  {:?} without writes at most", ledger.write_gap(cut));

        let near = scene.write(old, RecorderPlan::on_the_server(old));
        let isolated = Instant::now();
        // With another voter beside it nobody could be elected: that one may be the only witness of a commit.
        scene.act(&Fault::Isolate(Target::site_of(old)));
        scene.until("another site led", FAILOVER, |picture| {
            picture.primary().is_some_and(|server| server.place.site() != old.site())
        });
        let ledger = near.finish();
        let last = ledger.last_acknowledgement().expect("it wrote before");
        promise!(last < isolated + LEASE, "{:?} after the cut", last.duration_since(isolated));
        scene.act(&Fault::Heal);
        scene.until("all had rejoined", REJOIN, Picture::whole);
        scene.nothing_is_lost_of(&ledger, scene.primary());
    });
}
