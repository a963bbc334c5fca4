//! Three of five voters lost for good, the primary among them: a person goes on with a server that is left.
#![allow(clippy::print_stdout, reason = "the measured times are shown with the test")]

use std::time::{Duration, Instant};

use sb_api::Role;
use sb_e2e::{eventually, promise, throughout};
use sb_lab::options::Durability;
use sb_lab::picture::{Picture, ServerPicture};
use sb_lab::place::Place;
use sb_lab::recorder::RecorderPlan;
use sb_lab::stage::Inside;

use crate::agents::{Said, sb_cli};
use crate::scene::{FAILOVER, REJOIN, Scene};

/// By how much the term jumps, at least: nobody of the old store can have come this far.
const JUMP: u64 = 1_000;

/// Until then the lost servers, which find each other and are a majority of the old store, would have led it.
const LONG_ENOUGH: Duration = Duration::from_secs(8);

/// Whom the case loses for good and who is left.
struct Loss {
    lost: Vec<Place>,
    left: Vec<Place>,
}

impl Loss {
    /// The primary, and other voters until three of the five are among the lost.
    fn of(scene: &Scene) -> Self {
        let primary = scene.primary();
        let store = scene.wait_for(scene.lab().agents().cluster(primary)).expect("a status").cluster.store;
        let votes = |place: Place| store.voters.iter().any(|name| name == place.name());
        assert_eq!(store.voters.len(), 5, "{store:?}");
        let mut lost = vec![primary];
        for place in Place::servers().filter(|place| *place != primary && votes(*place)) {
            if lost.iter().filter(|place| votes(**place)).count() < 3 {
                lost.push(place);
            }
        }
        let left = Place::servers().filter(|place| !lost.contains(place)).collect();
        Self { lost, left }
    }

    fn names(&self) -> String {
        self.lost.iter().map(|place| place.name()).collect::<Vec<_>>().join(",")
    }
}

pub fn lost_majority(inside: &Inside) {
    Scene::shared(inside, "lost-majority", Durability::Async, |scene| {
        let loss = Loss::of(scene);
        let (old, term) = (scene.primary(), scene.term());
        let office = scene.write(old, RecorderPlan::office());
        let promised = scene.nothing_is_lost_after(office, loss.left[0]);
        refuses_while_a_majority_answers(scene, &loss);

        loss.lost.iter().for_each(|place| scene.kill_host(*place));
        let (chosen, at_risk) = plan(scene, &loss);
        refuses_what_is_not_confirmed(scene, &loss, chosen);
        let began = Instant::now();
        let done = recover(scene, chosen, &loss.names(), at_risk, old);
        assert_eq!(done.status, 0, "{done:?}");
        println!("  {:.1} s from the request to a writable primary", began.elapsed().as_secs_f64());
        assert_eq!(scene.primary(), chosen);
        assert!(scene.term() > term + JUMP, "{} is no jump from {term}", scene.term());
        promise!(scene.has_every_row(&promised, chosen), "an acknowledged row of `{chosen}` is gone");
        let office = scene.write(chosen, RecorderPlan::office());
        scene.until("the others that were left followed", REJOIN, |picture| {
            loss.left.iter().all(|place| *place == chosen || follows(picture, *place, chosen))
        });
        lost_servers_come_back(scene, &loss, chosen);
        scene.nothing_is_lost_after(office, loss.lost[0]);
    });
}

fn follows(picture: &Picture, place: Place, primary: Place) -> bool {
    picture.server(place).is_some_and(|server| server.follows(primary))
}

fn recover(scene: &Scene, chosen: Place, lost: &str, bytes: u64, old: Place) -> Said {
    let (bytes, expect) = (bytes.to_string(), old.name());
    let arguments = ["recover", "--to", chosen.name(), "--confirm-lost", lost, "--accept-data-loss", &bytes];
    sb_cli(scene, chosen, &[&arguments[..], &["--yes", "--expect-primary", expect]].concat())
}

fn refuses_while_a_majority_answers(scene: &Scene, loss: &Loss) {
    let refused = recover(scene, loss.left[0], &loss.names(), u64::MAX, scene.primary());
    assert_eq!(refused.status, 3, "{refused:?}");
    assert!(refused.talk.contains("gate: majority lost: the store has one"), "{refused:?}");
    assert!(refused.talk.contains("gate: declared lost and not silent"), "{refused:?}");
}

/// Waits until the loss is seen; the best server and the bytes at risk with it.
fn plan(scene: &Scene, loss: &Loss) -> (Place, u64) {
    let asked = loss.left[0];
    let best = eventually("the plan names a server to go on with", FAILOVER, || {
        let said = sb_cli(scene, asked, &["--output", "json", "recover", "--plan"]);
        best_of(&serde_json::from_str(&said.data).ok()?, loss)
    });
    let page = sb_cli(scene, asked, &["recover", "--plan"]);
    assert_eq!(page.status, 0, "{page:?}");
    for word in ["AT RISK", "Nobody can know", "--confirm-lost"] {
        assert!(page.data.contains(word), "{page:?}");
    }
    best
}

fn best_of(plan: &serde_json::Value, loss: &Loss) -> Option<(Place, u64)> {
    let majority_lost = plan["gates"].as_array()?.iter().all(|gate| gate["ok"] == true);
    let all_silent = plan["silent"].as_array()?.len() == loss.lost.len();
    let best = plan["servers"].as_array()?.iter().find(|server| server["name"] == plan["best"])?;
    let found = (Place::named(best["name"].as_str()?)?, best["at_risk_bytes"].as_u64()?);
    (majority_lost && all_silent).then_some(found)
}

fn refuses_what_is_not_confirmed(scene: &Scene, loss: &Loss, chosen: Place) {
    let old = loss.lost[0];
    let forgotten = recover(scene, chosen, old.name(), u64::MAX, old);
    assert_eq!(forgotten.status, 3, "{forgotten:?}");
    assert!(forgotten.talk.contains("gate: silent and not declared lost"), "{forgotten:?}");
    let other = loss.left.iter().find(|place| **place != chosen).expect("two are left");
    let arguments = ["recover", "--to", chosen.name(), "--accept-data-loss", "1GiB"];
    let confirmed = ["--confirm-lost", &loss.names(), "--yes", "--expect-primary", old.name()];
    let elsewhere = sb_cli(scene, *other, &[&arguments[..], &confirmed[..]].concat());
    assert_eq!(elsewhere.status, 3, "{elsewhere:?}");
    assert!(elsewhere.talk.contains("gate: here"), "{elsewhere:?}");
}

/// All at once, so that they are the old majority.
fn lost_servers_come_back(scene: &Scene, loss: &Loss, chosen: Place) {
    let term = scene.term();
    loss.lost.iter().for_each(|place| scene.return_host(*place));
    scene.until("the lost servers said that they stay out", REJOIN, |picture| {
        loss.lost.iter().all(|place| says_that_it_stays_out(picture, *place))
    });
    throughout("the lost servers disturb nothing", LONG_ENOUGH, || {
        let picture = scene.picture();
        let role = |place: &Place| picture.server(*place).and_then(ServerPicture::role);
        // An agent of a busy machine may answer a moment late: only what is said counts.
        let same_primary = picture.primary().is_none_or(|server| server.place == chosen);
        let led = loss.lost.iter().any(|place| role(place) == Some(Role::Primary));
        !led && same_primary && picture.term().is_none_or(|now| now == term)
    });
    for place in &loss.lost {
        let rejoined = sb_cli(scene, chosen, &["server", "rejoin", place.name()]);
        assert_eq!(rejoined.status, 0, "{rejoined:?}");
    }
    scene.until("every server followed the new primary", REJOIN, Picture::whole);
    assert_eq!((scene.primary(), scene.term()), (chosen, term), "a returning server moved the primary");
}

fn says_that_it_stays_out(picture: &Picture, place: Place) -> bool {
    let status = picture.server(place).and_then(|server| server.status.as_ref());
    status.is_some_and(|status| status.problems.iter().any(|problem| problem.contains("was declared lost")))
}
