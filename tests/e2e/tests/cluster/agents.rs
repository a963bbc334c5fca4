//! The agent as a part that can fail by itself, and as the one that answers people.
#![allow(clippy::print_stdout, reason = "the measured times are shown with the test")]

use std::process::Command;
use std::time::{Duration, Instant};

use sb_api::Role;
use sb_e2e::throughout;
use sb_lab::cluster::find_agent;
use sb_lab::fault::{Fault, Part};
use sb_lab::options::Durability;
use sb_lab::place::Place;
use sb_lab::recorder::RecorderPlan;
use sb_lab::stage::Inside;

use crate::scene::{FAILOVER, Scene};

/// The lease of the default timings. Nobody can take over from a server that was heard of until it has passed.
const LEASE: Duration = Duration::from_millis(3_500);

pub fn killed(inside: &Inside) {
    Scene::shared(inside, "agent-killed", Durability::Async, |scene| {
        let (primary, term) = (scene.primary(), scene.term());
        let office = scene.write(primary, RecorderPlan::office());
        let postmaster = part(scene, primary, Part::Postgres).expect("a postmaster");
        let agent = part(scene, primary, Part::Agent).expect("an agent");

        let killed = Instant::now();
        scene.act(&Fault::Kill(primary.into(), Part::Agent));
        scene.until("another agent led on", FAILOVER, |picture| {
            let role = picture.server(primary).and_then(sb_lab::picture::ServerPicture::role);
            role == Some(Role::Primary) && part(scene, primary, Part::Agent).is_some_and(|pid| pid != agent)
        });
        throughout("the adopted lease is kept", LEASE * 2, || {
            part(scene, primary, Part::Postgres) == Some(postmaster)
        });
        scene.written(&office, 50);
        assert_eq!((scene.primary(), scene.term()), (primary, term), "the primary was given up");
        let ledger = scene.nothing_is_lost_after(office, primary);
        let gap = ledger.write_gap(killed).expect("writes went on");
        println!("  {gap:?} without writes");
        assert!(gap < LEASE, "{gap:?} without writes is as long as a failover");
    });
}

pub fn part(scene: &Scene, place: Place, part: Part) -> Option<i32> {
    let processes = scene.lab().host(place)?.processes().expect("processes");
    processes.iter().find(|process| process.part() == Some(part)).map(|process| process.pid)
}

/// What `sb-cli` said.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub data: String,
    pub talk: String,
}

pub fn sb_cli(scene: &Scene, at: Place, arguments: &[&str]) -> Said {
    let program = find_agent().expect("sb-agent").with_file_name("sb-cli");
    let socket = scene.lab().host(at).expect("a server").directories().run.join("agent.sock");
    let output = Command::new(&program).arg("--socket").arg(socket).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    Said {
        status: output.status.code().unwrap_or(-1),
        data: String::from_utf8_lossy(&output.stdout).into_owned(),
        talk: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub fn answers_people(inside: &Inside) {
    Scene::shared(inside, "answers-people", Durability::Async, |scene| {
        let (old, new, term) = (scene.primary(), scene.standby(), scene.term());
        let ask = |arguments: &[&str]| sb_cli(scene, new, arguments);

        let status = ask(&["status"]);
        assert_eq!(status.status, 0, "{status:?}");
        assert!(status.data.contains(&format!("`{old}` is primary (term {term})")), "{status:?}");
        let explained = ask(&["explain"]);
        assert_eq!(explained.status, 0, "{explained:?}");
        let unknown = ask(&["explain", "nobody-1"]);
        assert_eq!(unknown.status, 1, "{unknown:?}");

        let paused = ask(&["pause", "--for", "5m", "--reason", "a new switch"]);
        assert_eq!(paused.status, 0, "{paused:?}");
        let status = ask(&["status"]);
        assert!(status.data.contains("a new switch"), "{status:?}");
        let resumed = ask(&["resume"]);
        assert_eq!(resumed.status, 0, "{resumed:?}");

        let wrong = ask(&["switchover", "--to", old.name(), "--yes", "--expect-primary", new.name()]);
        assert_eq!(wrong.status, 3, "{wrong:?}");
        assert!(wrong.talk.contains(old.name()), "a refusal that does not say who is primary: {wrong:?}");
        assert_eq!((scene.primary(), scene.term()), (old, term), "a refusal changed something");
        let moved = ask(&["switchover", "--to", new.name(), "--yes", "--expect-primary", old.name()]);
        assert_eq!(moved.status, 0, "{moved:?}");
        assert_eq!(scene.primary(), new, "{moved:?}");

        let history = ask(&["--output", "json", "history"]);
        assert_eq!(history.status, 0, "{history:?}");
        let history: serde_json::Value = serde_json::from_str(&history.data).expect("JSON");
        let last = history["history"].as_array().and_then(|entries| entries.last()).expect("an entry");
        assert_eq!((&last["primary"], &last["previous"]), (&new.name().into(), &old.name().into()), "{last}");
        assert_eq!(last["term"], scene.term(), "{last}");
    });
}
