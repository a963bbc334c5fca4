//! A simulation that does not notice a broken rule proves nothing about the rule.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::Write as _;
use std::sync::Mutex;

use sb_sim::MUTANTS;

#[test]
fn every_rule_that_is_broken_on_purpose_is_noticed_in_time() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (left, missed) = (Mutex::new(MUTANTS.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(case) = { left.lock().unwrap().next() } {
                    let said = match case.caught() {
                        Some((schedules, by)) => format!("by {by} in schedule {schedules}"),
                        None => {
                            missed.lock().unwrap().push(case.name);
                            "not".to_owned()
                        }
                    };
                    let (name, rule, most) = (case.name, case.rule, case.schedules_max);
                    let _ = writeln!(std::io::stderr(), "{name} ({rule}): caught {said} of at most {most}");
                }
            });
        }
    });
    assert_eq!(missed.into_inner().unwrap(), Vec::<&str>::new());
}
