//! The demo's five scenarios: nothing lost, and back in time.
#![allow(clippy::print_stdout, reason = "the measured numbers are shown with the test")]

use sb_e2e::promise;
use sb_lab::options::{Durability, LabOptions, Mesh, Scenario};
use sb_lab::stage::Inside;

use crate::scene::Scene;

/// Several times every bar: a machine that does much else meanwhile is slow, and only a cluster that waits for
/// something that never comes is slower. The bars themselves are measured by `./run bench`.
const WRITE_GAP_SECONDS_MAX: f64 = 20.0;

fn nothing_lost(inside: &Inside, scenario: Scenario, durability: Durability) {
    plays(Scene::set(inside, scenario.as_str(), durability), scenario);
}

/// As `./run demo` builds its sites: the story then also looks at the mesh, and asks from outside.
fn nothing_lost_through_the_mesh(inside: &Inside, scenario: Scenario, durability: Durability) {
    let options = LabOptions { durability, mesh: Mesh::On, ..LabOptions::default() };
    plays(Scene::set_with(inside, scenario.as_str(), options), scenario);
}

fn plays(scene: Scene, scenario: Scenario) {
    let outcome = scene.play(scenario);
    let report = &outcome.report;
    report.lines().iter().for_each(|line| println!("  {line}"));
    promise!(outcome.findings.clean(), "{:?}\n{}", outcome.findings, scene.kept_logs());
    promise!(outcome.kept, "less was kept than the durability promises: {report:?}");
    assert!(report.write_gap_seconds < WRITE_GAP_SECONDS_MAX, "{report:?}");
    if scenario != Scenario::PostgresCrash {
        assert_ne!(report.new_primary, "ravena-1", "the primary has not moved");
        assert!(report.term >= 2, "{report:?}");
    }
}

pub fn switchover(inside: &Inside) {
    nothing_lost(inside, Scenario::Switchover, Durability::Async);
}

pub fn postgres_crash(inside: &Inside) {
    nothing_lost(inside, Scenario::PostgresCrash, Durability::Async);
}

pub fn host_loss(inside: &Inside) {
    nothing_lost_through_the_mesh(inside, Scenario::HostLoss, Durability::Sync);
}

pub fn site_loss(inside: &Inside) {
    nothing_lost(inside, Scenario::SiteLoss, Durability::Sync);
}

pub fn partition(inside: &Inside) {
    nothing_lost_through_the_mesh(inside, Scenario::Partition, Durability::Sync);
}
