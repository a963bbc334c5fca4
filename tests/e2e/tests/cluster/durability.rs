//! What a confirmed commit is worth when standbys are cut off: `sync` falls back and returns, `strict` waits, and a
//! lagging site does not elect itself.

use std::process::{Command, Stdio};
use std::time::Duration;

use sb_api::SyncState;
use sb_e2e::throughout;
use sb_lab::fault::{Fault, Part};
use sb_lab::options::Durability;
use sb_lab::picture::Picture;
use sb_lab::place::Place;
use sb_lab::recorder::RecorderPlan;
use sb_lab::stage::Inside;

use crate::agents::sb_cli;
use crate::scene::{FAILOVER, REJOIN, Scene};

/// Twice `fallbackAfterMs` and more: a `sync` cluster would have fallen back.
const PATIENCE: Duration = Duration::from_secs(25);

/// Several leases, and the time in which asynchronous candidates would have stepped in.
const NOBODY: Duration = Duration::from_secs(15);

/// Drops what servers send each other from and to PostgreSQL's port here. The store's port and the office's clients
/// go on. Ends with [`open_port`].
pub fn close_port(scene: &Scene, at: Place) {
    let servers: Vec<String> = Place::servers().map(|place| place.address().to_string()).collect();
    let servers = servers.join(", ");
    let rules = format!(
        "table ip lab_cut {{
           chain arriving {{
             type filter hook input priority 0;
             ip saddr {{ {servers} }} tcp dport 5432 drop
             ip saddr {{ {servers} }} tcp sport 5432 drop
           }}
           chain leaving {{
             type filter hook output priority 0;
             ip daddr {{ {servers} }} tcp dport 5432 drop
             ip daddr {{ {servers} }} tcp sport 5432 drop
           }}
         }}"
    );
    nft(scene, at, rules);
}

pub fn open_port(scene: &Scene, at: Place) {
    nft(scene, at, "delete table ip lab_cut".to_owned());
}

/// Gives rules to the packet filter of a server.
fn nft(scene: &Scene, at: Place, rules: String) {
    let load = move || async move {
        let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft");
        std::io::Write::write_all(&mut nft.stdin.take().expect("a pipe"), rules.as_bytes()).expect("rules");
        nft.wait().expect("nft")
    };
    let loaded = scene.wait_for(scene.lab().network().namespace(at).run_async(load));
    assert!(loaded.expect("nft ran").success(), "nft on `{at}`");
}

fn degraded(scene: &Scene, asked: Place) -> Option<String> {
    scene.wait_for(scene.lab().agents().cluster(asked)).ok()?.cluster.degraded
}

fn voters(picture: &Picture) -> Vec<Place> {
    let votes = |server: &&sb_lab::picture::ServerPicture| {
        server.status.as_ref().is_some_and(|status| status.sync == Some(SyncState::Quorum))
    };
    picture.servers.iter().filter(votes).map(|server| server.place).collect()
}

fn fall_back(scene: &Scene, primary: Place) {
    close_port(scene, primary);
    scene.until("the fall back was on record", FAILOVER, |_| degraded(scene, primary).is_some());
}

pub fn sync_falls_back(inside: &Inside) {
    Scene::shared(inside, "sync-falls-back", Durability::Sync, |scene| {
        let (primary, term) = (scene.primary(), scene.term());
        let office = scene.write(primary, RecorderPlan::office());
        assert_eq!(degraded(scene, primary), None);

        fall_back(scene, primary);
        scene.written(&office, 50);
        let status = sb_cli(scene, scene.standby(), &["status"]);
        assert!(status.data.contains("DEGRADED"), "{status:?}");
        assert!(status.data.contains("degraded: since 20"), "{status:?}");
        let told = scene.events(primary).into_iter().find(|event| event.kind == "durability.fell_back");
        assert!(told.is_some(), "the journal does not tell of the fall back");

        open_port(scene, primary);
        scene.until("the set had formed again", REJOIN, |_| degraded(scene, primary).is_none());
        scene.written(&office, 50);
        assert_eq!((scene.primary(), scene.term()), (primary, term));

        // Nobody is known to have everything now, so nobody takes over; the old primary's return ends it.
        fall_back(scene, primary);
        scene.written(&office, 50);
        scene.kill_host(primary);
        throughout("nobody takes over", NOBODY, || scene.picture().primary().is_none());
        scene.return_host(primary);
        scene.until("the old primary led again", REJOIN, |picture| {
            picture.primary().is_some_and(|server| server.place == primary)
        });
        scene.written(&office, 50);
        open_port(scene, primary);
        scene.until("the set had formed again", REJOIN, |_| degraded(scene, primary).is_none());
        scene.nothing_is_lost_after(office, primary);
    });
}

pub fn a_person_ends_it(inside: &Inside) {
    Scene::shared(inside, "a-person-ends-it", Durability::Sync, |scene| {
        let primary = scene.primary();
        let office = scene.write(primary, RecorderPlan::office());
        fall_back(scene, primary);
        scene.written(&office, 50);
        drop(office.finish());
        scene.kill_host(primary);
        scene.until("nobody was primary", FAILOVER, |picture| picture.primary().is_none());
        let to = scene.picture().servers.iter().map(|server| server.place).find(|place| *place != primary);
        let to = to.expect("another server");
        let ask = ["failover", "--to", to.name(), "--accept-data-loss", "64MiB"];
        let moved = sb_cli(scene, to, &[&ask[..], &["--yes", "--expect-primary", primary.name()]].concat());
        assert_eq!(moved.status, 0, "{moved:?}");
        scene.until("the chosen server led", FAILOVER, |picture| {
            picture.primary().is_some_and(|server| server.place == to)
        });
        open_port(scene, primary);
        scene.return_host(primary);
        scene.until("the old primary had rejoined", REJOIN, Picture::whole);
        scene.until("the set had formed again", REJOIN, |_| degraded(scene, to).is_none());
    });
}

pub fn strict_waits(inside: &Inside) {
    Scene::shared(inside, "strict-waits", Durability::Strict, |scene| {
        let (primary, term) = (scene.primary(), scene.term());
        let office = scene.write(primary, RecorderPlan::office());
        close_port(scene, primary);
        // What was under way may still be answered.
        std::thread::sleep(Duration::from_secs(1));
        let confirmed = office.acknowledged();
        throughout("commits wait", PATIENCE, || {
            office.acknowledged() == confirmed && degraded(scene, primary).is_none()
        });
        open_port(scene, primary);
        scene.written(&office, 50);
        assert_eq!((scene.primary(), scene.term()), (primary, term));
        scene.nothing_is_lost_after(office, primary);
    });
}

pub fn lagging_site_does_not_win(inside: &Inside) {
    Scene::shared(inside, "lagging-site", Durability::Sync, |scene| {
        let old = scene.primary();
        scene.until("every other site had a vote", REJOIN, |picture| voters(picture).len() >= 4);
        let voters = voters(&scene.picture());
        let (near, far) = (voters[0], voters[voters.len() - 1]);
        let office = scene.write(old, RecorderPlan::office());
        close_port(scene, far);
        scene.written(&office, 100);

        // The far one has a vote and lacks what was confirmed; one that may be the only witness cannot be asked.
        scene.act(&Fault::Freeze(near.into(), Part::Host));
        scene.kill_host(old);
        throughout("nobody wins", NOBODY, || scene.picture().primary().is_none());
        scene.act(&Fault::Thaw(near.into()));
        scene.until("another server was primary", FAILOVER, |picture| {
            picture.primary().is_some_and(|server| server.place != old)
        });
        let new = scene.primary();
        assert_ne!(new, far, "the lagging site won");
        open_port(scene, far);
        scene.written(&office, 50);
        scene.return_host(old);
        scene.until("all had rejoined", REJOIN, Picture::whole);
        scene.nothing_is_lost_after(office, new);
    });
}

pub fn changes_at_run_time(inside: &Inside) {
    Scene::shared(inside, "durability-changes", Durability::Sync, |scene| {
        let (primary, term) = (scene.primary(), scene.term());
        let office = scene.write(primary, RecorderPlan::office());
        let change = |words: &[&str]| {
            let sure = ["--yes", "--expect-primary", primary.name()];
            let changed = sb_cli(scene, scene.standby(), &[&["durability"], words, &sure].concat());
            assert_eq!(changed.status, 0, "{changed:?}");
            changed.data
        };
        let state = &scene.lab().host(primary).expect("a server").directories().state;
        let waits_for = || std::fs::read_to_string(state.join("pgdata/sb-sync.conf")).expect("the setting");
        assert!(waits_for().contains("ANY 1 ("), "{}", waits_for());

        assert_eq!(change(&["async"]).trim(), "commits wait for no other server");
        scene.until("PostgreSQL waited for nobody", FAILOVER, |_| !waits_for().contains('('));
        scene.written(&office, 50);
        assert!(change(&["strict", "--number", "2"]).starts_with("commits wait for 2 of"));
        assert!(waits_for().contains("ANY 2 ("), "{}", waits_for());
        scene.written(&office, 50);
        assert!(change(&["sync"]).starts_with("commits wait for 1 of"));
        scene.until("PostgreSQL waited for one", FAILOVER, |_| waits_for().contains("ANY 1 ("));

        let refused = ["durability", "strict", "--number", "7", "--yes", "--expect-primary", primary.name()];
        let refused = sb_cli(scene, primary, &refused);
        assert_eq!(refused.status, 3, "{refused:?}");
        assert_eq!((scene.primary(), scene.term()), (primary, term));
        scene.nothing_is_lost_after(office, primary);
    });
}
