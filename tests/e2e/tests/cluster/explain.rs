//! After a failover a person can see why it went as it did, and play it again.

use std::process::Command;

use sb_lab::cluster::find_agent;
use sb_lab::options::Durability;
use sb_lab::place::Place;
use sb_lab::stage::Inside;
use serde_json::Value;

use crate::agents::sb_cli;
use crate::scene::{FAILOVER, Scene};

pub fn host_loss_is_explained_and_replayed(inside: &Inside) {
    Scene::shared(inside, "explained", Durability::Async, |scene| {
        let (old, term) = (scene.primary(), scene.term());
        scene.kill_host(old);
        scene.until("another server took over", FAILOVER, |picture| {
            picture.primary().is_some_and(|server| server.place != old)
        });
        let new = scene.primary();

        let asked = sb_cli(scene, new, &["--output", "json", "explain"]);
        assert_eq!(asked.status, 0, "{asked:?}");
        let explained: Value = serde_json::from_str(&asked.data).expect("JSON");
        every_server_has_gates(&explained["candidates"]);
        let judged = &explained["judged"];
        assert_eq!((&judged["winner"], &judged["by"]), (&new.name().into(), &new.name().into()), "{judged}");
        assert_eq!((&judged["holder"], judged["term"].as_u64()), (&old.name().into(), Some(term + 1)));
        every_server_has_gates(&judged["candidates"]);
        assert_eq!(judged["candidates"][0]["server"], new.name(), "the one that took over comes first");

        let asked = sb_cli(scene, new, &["explain", "--term", &(term + 1).to_string()]);
        assert!(asked.data.contains(&format!("`{new}` takes over")), "{asked:?}");
        replays(scene, new);
        scene.return_host(old);
    });
}

fn every_server_has_gates(candidates: &Value) {
    let named = candidates.as_array().expect("candidates");
    for place in Place::servers() {
        let candidate = named.iter().find(|candidate| candidate["server"] == place.name());
        let gates = candidate.and_then(|candidate| candidate["gates"].as_array()).map_or(0, Vec::len);
        assert!(gates >= 5, "{place}: {candidates}");
    }
}

/// The new primary's trace, while its agent goes on writing it.
fn replays(scene: &Scene, new: Place) {
    let trace = scene.lab().host(new).expect("a server").directories().state.join("trace");
    let program = find_agent().expect("sb-agent");
    let output = Command::new(program).arg("replay").arg(&trace).arg("--json").output().expect("a replay");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{talk}");
    let steps = String::from_utf8_lossy(&output.stdout);
    let steps = steps.lines().map(|line| serde_json::from_str::<Value>(line).expect("a step"));
    let mut way: Vec<String> = steps.filter_map(|step| Some(step["after"].as_str()?.to_owned())).collect();
    way.dedup();
    let at =
        |state: &str| way.iter().rposition(|passed| passed == state).unwrap_or_else(|| panic!("{way:?}"));
    assert!(at("Following") < at("Frozen") && at("Frozen") < at("Promoting"), "{way:?}");
    assert!(at("Promoting") < at("Leading"), "{way:?}");
}
