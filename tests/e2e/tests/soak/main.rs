//! A soak in short: random faults from a fixed seed on the real thing, and every promise checked afterwards. Longer ones
//! are for `./run lab soak`.
#![allow(
    clippy::print_stdout,
    reason = "what happened, and the seed that repeats it, are shown with the test"
)]

use std::process::ExitCode;
use std::time::Duration;

use sb_e2e::{Case, Program, plain_lab, promise};
use sb_lab::lab::Lab;
use sb_lab::options::{Durability, Equipment, LabOptions};
use sb_lab::soak::{SoakPlan, Weather, run};
use sb_lab::stage::Inside;

/// Its first faults hit the primary's network, its host and its guard, and move it on purpose.
const SEED: u64 = 1;

fn main() -> ExitCode {
    sb_e2e::run(&Program {
        outside: &[],
        inside: &[Case { name: "a_soak_in_short_breaks_no_promise", body: short_soak }],
    })
}

fn short_soak(inside: &Inside) {
    println!("  the same again: ./run lab soak --minutes 1.5 --every 8 --seed {SEED}");
    let root = inside.mount().expect("mounts");
    let options = LabOptions { durability: Durability::Sync, equipment: Equipment::Disks, ..plain_lab() };
    let plan = SoakPlan {
        time: Duration::from_secs(90),
        every: Duration::from_secs(8),
        seed: SEED,
        clients: 6,
        weather: Weather::OneByOne,
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let lab = Lab::build(&root, &options).expect("a lab");
        let mut say = |line: &str| println!("  {line}");
        let soaked = run(&lab, &options, plan, &mut say).await.expect("a run");
        soaked.report.lines().iter().for_each(|line| println!("  {line}"));
        let report = &soaked.report;
        assert!(report.acknowledged_writes > 0 && !report.faults.is_empty(), "nothing was shown");
        if !report.kept() {
            let kept = lab.keep_logs("soak-in-short").expect("logs");
            soaked.write_history(&kept.join("history.jsonl")).expect("the history");
            let broken: Vec<_> = report.lines().into_iter().filter(|line| line.contains("BROKEN")).collect();
            promise!(false, "logs and history: {}\n{}", kept.display(), broken.join("\n"));
        }
    });
}
